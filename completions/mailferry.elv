
use builtin;
use str;

set edit:completion:arg-completer[mailferry] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'mailferry'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'mailferry'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand convert 'Convert mboxes to Maildir and back, or one mailbox into another'
            cand verify 'Check mailboxes for damage, and that converted mail is complete'
            cand deliver 'Deliver the message on standard input into a Maildir or mbox, safely'
            cand inject 'Complete the message on standard input and send it'
            cand inspect 'Show what is in a mailbox, and why each message begins where it does'
            cand report 'Add up the results of many accounts'
            cand bounce 'Read the bounce on standard input: who did not get the message, and why'
            cand man 'Write the manual pages into a directory, or print mailferry(1)'
            cand completions 'Print the completions for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'mailferry;convert'= {
            cand --fsync 'When to flush: once for all messages, after each, or never'
            cand --eol 'Line ends of the messages written'
            cand --labels 'Use of Gmail''s labels'
            cand --deleted 'Treatment of messages marked as deleted'
            cand --headers 'Treatment of fields that only mail programs use, such as Status'
            cand --date 'Where the received date is looked for first'
            cand --from-zone 'Time zone of From_ lines without one'
            cand --since 'Only messages received on this day or later'
            cand --before 'Only messages received before this day'
            cand --split 'Spread messages over folders or mboxes: year'
            cand --host 'Last part of the file names of messages'
            cand --info-sep 'Character before the flags in a file name, where a colon is impossible'
            cand --boundaries 'Edited list of inspect --boundaries that decides where messages begin'
            cand --dedupe 'Leave out messages that the destination has already'
            cand --manifest 'File of the manifest; default: mailferry.manifest in the Maildir'
            cand --source 'Source to restore, by its path or number, if there are several'
            cand --uids 'Treatment of the UIDs by which IMAP and POP3 clients know messages'
            cand --uid-format 'List of UIDs to write'
            cand --owner 'Owner (and group) of everything created; needs root for another user'
            cand --mode 'Mode of the files created; their readers may enter the directories'
            cand --layout 'Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]'
            cand --into 'One folder for everything, such as Archive/2019'
            cand --map 'New name for a folder and those in it; repeatable'
            cand --files-from 'File with a source on each line; - is standard input'
            cand --accounts 'List of accounts to convert, each in a process of its own'
            cand --shard 'Convert only the accounts of this share: 3/16, or auto in a job array'
            cand --results 'Directory with a result for each account'
            cand --max-failures 'Start no more accounts after more than N have failed'
            cand --fingerprint 'The state of an account after an earlier run, or - if there was none'
            cand --lock 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none'
            cand --lock-timeout 'Time limit for locks, in seconds'
            cand --spool-dir 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]'
            cand --spool-limit 'Limit on the bytes unpacked there [default: free space less 64 MiB]'
            cand --report 'Write a report to keep into FILE.html, .json, .csv or .txt'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand -n 'Write nothing; report what would be done'
            cand --dry-run 'Write nothing; report what would be done'
            cand --new-source 'Treat this path as a new mailbox, even if it was converted before'
            cand --no-manifest 'Write no manifest; later runs cannot continue, and --exact cannot restore'
            cand --exact 'Restore a source byte for byte from a Maildir and its manifest'
            cand --force 'Replace an existing file'
            cand --append 'Append to an existing mbox under its locks; undone on error'
            cand -p 'Create missing directories above the destination'
            cand --parents 'Create missing directories above the destination'
            cand --live 'Hold the locks of mboxes in use only while each is opened'
            cand --follow 'Follow symbolic links inside a tree, never out of it'
            cand -0 'Names in that file end with a NUL, as find -print0 writes them'
            cand --null 'Names in that file end with a NUL, as find -print0 writes them'
            cand --redact 'Leave names, addresses and subjects out of that report'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Exit with 1 if there are warnings'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;verify'= {
            cand --against 'Compare with the mail in OTHER, message by message'
            cand --labels 'With --against: the --labels of convert [default: as in the manifest]'
            cand --deleted 'With --against: the --deleted of convert [default: as in the manifest]'
            cand --split 'With --against: the --split of convert'
            cand --manifest 'Manifest of the Maildir [default: mailferry.manifest in it]'
            cand --source 'Present path of the converted source [default: as in the manifest]'
            cand --into 'One folder for everything, such as Archive/2019'
            cand --map 'New name for a folder and those in it; repeatable'
            cand --lock 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none'
            cand --lock-timeout 'Time limit for locks, in seconds'
            cand --spool-dir 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]'
            cand --spool-limit 'Limit on the bytes unpacked there [default: free space less 64 MiB]'
            cand --report 'Write a report to keep into FILE.html, .json, .csv or .txt'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand --quick 'Check the structure only, not the contents of messages'
            cand --metadata 'With --against: also compare flags, dates and status fields'
            cand --repair 'Fix what can be fixed without touching a message'
            cand -n 'Write nothing; with --repair, report what would be done'
            cand --dry-run 'Write nothing; with --repair, report what would be done'
            cand --follow 'Follow symbolic links inside a tree, never out of it'
            cand --no-sandbox 'Run without the sandbox, to see whether it causes an error'
            cand --redact 'Leave names, addresses and subjects out of that report'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Exit with 1 if there are warnings'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;deliver'= {
            cand -f 'Envelope sender, may be empty; written as Return-Path [default: $SENDER]'
            cand --sender 'Envelope sender, may be empty; written as Return-Path [default: $SENDER]'
            cand -r 'Envelope recipient; written as Delivered-To [default: $RECIPIENT]'
            cand --recipient 'Envelope recipient; written as Delivered-To [default: $RECIPIENT]'
            cand --folder 'Folder of the Maildir, such as Lists.qmail'
            cand --quota 'Quota of the Maildir, such as 1000000S,500C [default: in maildirsize]'
            cand --flags 'Flags of the message (DFPRST); a message with flags goes to cur/'
            cand --max-size 'Refuse a message with more bytes'
            cand --umask 'File mode creation mask'
            cand --lock 'Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none'
            cand --lock-timeout 'Time limit for locks, in seconds'
            cand --spool-dir 'Directory for messages of more than 8 MiB [default: $TMPDIR or /tmp]'
            cand --exit-codes 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111'
            cand --home 'Home directory; root acts as --user, or as its owner'
            cand --user 'Owner of the home; the rest of the local part is the extension'
            cand --delimiter 'Delimiter besides `-`, such as `+`; in file names it is `-`'
            cand --program-timeout 'Time limit for a program or next hop [default: 900; with --protocol 300]'
            cand --via 'Next hop of forwarded mail; repeat it for fallbacks'
            cand --protocol 'Speak this protocol with a mail system on standard input and output'
            cand --mailbox 'Mailbox of a recipient, with %u (local part), %d (domain), %e (extension)'
            cand --recipient-map 'File with lines of ADDRESS MAILBOX; @DOMAIN is the rest of a domain'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand --quota-temp 'Report a message over quota as a temporary failure (75)'
            cand --create 'Create a missing mailbox or folder'
            cand --once 'Skip a mailbox that already has this message'
            cand -n 'Deliver nothing; report what would be done'
            cand --dry-run 'Deliver nothing; report what would be done'
            cand --from-mta 'The message comes directly from an MTA that writes trace fields'
            cand --dot-qmail 'Deliver by the .qmail files in --home, see dot-qmail(5)'
            cand --no-sandbox 'Run without the sandbox, to see whether it causes an error'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Exit with 1 if there are warnings'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;inject'= {
            cand -f 'Envelope sender, may be empty [default: Return-Path, or the author]'
            cand --sender 'Envelope sender, may be empty [default: Return-Path, or the author]'
            cand --via 'Next hop; repeat it for fallbacks'
            cand --timeout 'Time limit for a next hop'
            cand --message-id 'Content of a new Message-ID'
            cand --spool-dir 'Directory for large messages and those for programs [default: $TMPDIR or /tmp]'
            cand --exit-codes 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand -a 'Recipients are the arguments only'
            cand -h 'Recipients are those in the header only'
            cand -H 'Recipients are the arguments and those in the header'
            cand -A 'Recipients are the arguments, or without any those in the header (default)'
            cand -n 'Print the message with its Return-Path on top; send nothing'
            cand --dry-run 'Print the message with its Return-Path on top; send nothing'
            cand -N 'Send it (default)'
            cand --help 'Print help'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Exit with 1 if there are warnings'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;inspect'= {
            cand --by 'Group the counts; default: year'
            cand --top 'Show only the N largest groups'
            cand --lock 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none'
            cand --lock-timeout 'Time limit for locks, in seconds'
            cand --spool-dir 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]'
            cand --spool-limit 'Limit on the bytes unpacked there [default: free space less 64 MiB]'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand --stored 'With N: its bytes as in the mbox, with From_ line and quoting'
            cand --boundaries 'Print every line that could begin a message, and the decision about it'
            cand --stats 'Count messages, bytes, unread and flagged messages'
            cand --second-opinion 'Show how many messages other readers see, and at which lines they differ'
            cand --no-sandbox 'Run without the sandbox, to see whether it causes an error'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Exit with 1 if there are warnings'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;report'= {
            cand --accounts 'List of all accounts, as for convert'
            cand --html 'Also write the report into FILE.html'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand --redact 'Leave out the names of users and hosts, and the errors'
            cand --json 'Report in JSON Lines: accounts that are not done, then one summary'
            cand --csv 'Print a row for each account, as CSV'
            cand -q 'Print only the accounts that are not done'
            cand --quiet 'Print only the accounts that are not done'
            cand -v 'On a terminal, list all accounts that are not done'
            cand --verbose 'On a terminal, list all accounts that are not done'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;bounce'= {
            cand --max-size 'Refuse a message with more bytes'
            cand --exit-codes 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;man'= {
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;completions'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;help'= {
            cand convert 'Convert mboxes to Maildir and back, or one mailbox into another'
            cand verify 'Check mailboxes for damage, and that converted mail is complete'
            cand deliver 'Deliver the message on standard input into a Maildir or mbox, safely'
            cand inject 'Complete the message on standard input and send it'
            cand inspect 'Show what is in a mailbox, and why each message begins where it does'
            cand report 'Add up the results of many accounts'
            cand bounce 'Read the bounce on standard input: who did not get the message, and why'
            cand man 'Write the manual pages into a directory, or print mailferry(1)'
            cand completions 'Print the completions for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'mailferry;help;convert'= {
        }
        &'mailferry;help;verify'= {
        }
        &'mailferry;help;deliver'= {
        }
        &'mailferry;help;inject'= {
        }
        &'mailferry;help;inspect'= {
        }
        &'mailferry;help;report'= {
        }
        &'mailferry;help;bounce'= {
        }
        &'mailferry;help;man'= {
        }
        &'mailferry;help;completions'= {
        }
        &'mailferry;help;help'= {
        }
    ]
    $completions[$command]
}
