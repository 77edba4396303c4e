
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
            cand verify 'Say whether mailboxes are sound, and whether they still hold the mail that was converted'
            cand deliver 'Deliver the message on standard input into a Maildir or mbox, safely'
            cand inject 'Complete the message on standard input and hand it on'
            cand inspect 'Show what is in a mailbox, and why each message begins where it does'
            cand man 'Write the manual pages into a directory, or print mailferry(1)'
            cand completions 'Print the completions for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'mailferry;convert'= {
            cand --fsync 'When to flush: once for all messages, after each, or never'
            cand --eol 'Line ends of the messages written'
            cand --labels 'Treatment of the labels of Gmail'
            cand --deleted 'Treatment of messages marked as deleted'
            cand --headers 'Treatment of fields that only mail programs use, such as Status'
            cand --date 'Where the received date is looked for first'
            cand --from-zone 'Time zone of From_ lines without one'
            cand --host 'Last part of the names of messages'
            cand --info-sep 'Character before the flags in a name, for file systems without colons'
            cand --boundaries 'Edited list of inspect --boundaries that decides where messages begin'
            cand --dedupe 'Leave out messages that the destination has already'
            cand --manifest 'File of the manifest; default: mailferry.manifest in the Maildir'
            cand --source 'Source to restore, by its path or number, if there are several'
            cand --owner 'Owner (and group) of everything created; needs root for another user'
            cand --mode 'Mode of the files created; their readers may enter the directories'
            cand --layout 'Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]'
            cand --into 'One folder for everything, such as Archive/2019'
            cand --map 'New name for a folder and those in it; repeatable'
            cand --files-from 'File with a source on each line; - is standard input'
            cand --lock 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none'
            cand --lock-timeout 'Time limit for locks, in seconds'
            cand --spool-dir 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]'
            cand --spool-limit 'Limit on the bytes unpacked there [default: free space less 64 MiB]'
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
            cand -0 'End of a name in that file is a NUL, as find -print0 writes it'
            cand --null 'End of a name in that file is a NUL, as find -print0 writes it'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Let warnings count for the exit code (1)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;verify'= {
            cand --against 'Instead: is it the same mail as in OTHER, message by message, whatever the two lie in? Several mailboxes are taken together. Where both sides have folders it has to be the same in each; a single mailbox is compared with all folders together. --into and --map are as convert was given them'
            cand --labels 'With --against: what convert made of a user''s own Gmail labels; default: what the manifest says'
            cand --deleted 'With --against: what convert made of messages that are marked as deleted; with skip, those of an mbox without a counterpart are left out; default: what the manifest says'
            cand --manifest 'The manifest of the Maildir; default: mailferry.manifest in it'
            cand --source 'Where the source that was converted lies now; default: where the manifest says'
            cand --into 'One folder for everything, such as Archive/2019'
            cand --map 'New name for a folder and those in it; repeatable'
            cand --lock 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none'
            cand --lock-timeout 'Time limit for locks, in seconds'
            cand --spool-dir 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]'
            cand --spool-limit 'Limit on the bytes unpacked there [default: free space less 64 MiB]'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand --quick 'Look at the structure only: framing, names, sizes, modes; not at what messages contain'
            cand --metadata 'With --against: compare flags, received dates and the fields that readers rewrite as well'
            cand --repair 'Mend what can be mended without touching a message: missing directories, modes, the end of an mbox; stale files of tmp/ are moved to mailferry-lost/'
            cand -n 'Write nothing: with --repair, report what it would do'
            cand --dry-run 'Write nothing: with --repair, report what it would do'
            cand --follow 'Follow symbolic links inside a tree, never out of it'
            cand --no-sandbox 'Do without the sandbox, to find out whether it is the cause of an error'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Let warnings count for the exit code (1)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;deliver'= {
            cand -f 'Envelope sender, empty for the null sender; default: $SENDER. Written as Return-Path'
            cand --sender 'Envelope sender, empty for the null sender; default: $SENDER. Written as Return-Path'
            cand -r 'Envelope recipient; default: $RECIPIENT, or $LOCAL@$DOMAIN and what Exim and qmail call them. Written as Delivered-To; a message that has been delivered to it before is refused as looping'
            cand --recipient 'Envelope recipient; default: $RECIPIENT, or $LOCAL@$DOMAIN and what Exim and qmail call them. Written as Delivered-To; a message that has been delivered to it before is refused as looping'
            cand --folder 'A folder of the Maildirs that are named, its levels with dots between them: Lists.qmail'
            cand --quota 'What a Maildir may hold, as 1000000S,500C: bytes, messages or both; default: what its maildirsize says. Over quota is for good (77)'
            cand --flags 'Flags of the message, letters of DFPRST; with any, it goes to cur/'
            cand --max-size 'Refuse a message with more bytes'
            cand --umask 'What is taken off the modes 0666 and 0777 of files and directories'
            cand --lock 'Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none'
            cand --lock-timeout 'How long to wait for a lock'
            cand --spool-dir 'Where a message of more than 8 MiB is kept meanwhile; default: $TMPDIR, or /tmp'
            cand --exit-codes 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111'
            cand --home 'The home directory. As root, deliver becomes the account --user, or else the home''s owner, before it looks inside. With --protocol it and --user may have %u, %d and %e'
            cand --user 'Whose home it is: what follows this name and a delimiter in the local part is the extension, and all of it where it begins otherwise. Default: $USER where the local part begins so, or else that up to its first delimiter'
            cand --delimiter 'A second delimiter beside `-`, such as `+`; in the names of files it is a `-`'
            cand --program-timeout 'How long a program may run, the queue program, too; then its process group is killed. A next hop for forwards may take as long. Default: 900, with --protocol 300, and 30 more are all that a user has there for a message'
            cand --via 'Where forwards go: qmqp://HOST, qmtp://HOST, smtp://HOST, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH or sendmail:PATH. Given again, a place for those that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue; $QMAILHOME is /var/qmail'
            cand --protocol 'Speak with an MTA on standard input and output instead: several messages, several recipients, an outcome for each'
            cand --mailbox 'The mailbox of a recipient: %u is the local part, %d the domain, %e the extension, in lower case; %% is a percent sign. With %e the local part is divided at its first delimiter, and `/.%e` goes where there is no extension'
            cand --recipient-map 'A file of lines ADDRESS MAILBOX; @DOMAIN stands for the others of a domain. A mailbox may have %u, %d and %e'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand --quota-temp 'Over quota, ask to try again later (75)'
            cand --create 'Make what is missing: the mailbox, the folder'
            cand --once 'Leave a mailbox alone that has just this message already, so that a repeat doubles nothing'
            cand -n 'Deliver nothing: say what would be done'
            cand --dry-run 'Deliver nothing: say what would be done'
            cand --from-mta 'The message comes straight from a mail system that writes trace fields: a Delivered-To above its first Received is of this delivery, and no loop. Known by itself of Postfix, of LMTP, and where a From_ line is on top'
            cand --dot-qmail 'Deliver as the .qmail files in --home say: dot-qmail(5). The MAILBOXes, relative to it, are the default delivery, for an address without a file and for an empty file; without any it is ./Maildir/'
            cand --no-sandbox 'Do without the sandbox, to find out whether it is the cause of an error'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Let warnings count for the exit code (1)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'mailferry;inject'= {
            cand -f 'Envelope sender, empty for the null sender. Default: the message''s Return-Path, or the author'
            cand --sender 'Envelope sender, empty for the null sender. Default: the message''s Return-Path, or the author'
            cand --via 'Where to hand it on: qmqp://HOST, qmtp://HOST, smtp://HOST, each with :PORT if it is another, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH, sendmail:PATH, maildir:PATH or mbox:PATH. Given again, a place for those recipients that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue ($QMAILHOME is /var/qmail) if that is there, else qmqp://HOST for each line of $QMAILHOME/control/qmqpservers'
            cand --timeout 'How long a next hop may take'
            cand --message-id 'What a new Message-ID is made of'
            cand --spool-dir 'Where a message is kept meanwhile that has more than 8 MiB or goes to a program; default: $TMPDIR, or /tmp'
            cand --exit-codes 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111'
            cand --color 'Colour the report'
            cand --progress 'Show progress on standard error'
            cand -j 'Number of worker threads [default: all cores]'
            cand --jobs 'Number of worker threads [default: all cores]'
            cand -a 'Recipients are the arguments, and no others'
            cand -h 'Recipients are those of the header (To, Cc, Bcc, or Resent-To and so on), and no others'
            cand -H 'Recipients are the arguments and those of the header'
            cand -A 'Recipients are the arguments if there are any, else those of the header; that is the default'
            cand -n 'Print the message with its Return-Path on top, and hand nothing on'
            cand --dry-run 'Print the message with its Return-Path on top, and hand nothing on'
            cand -N 'Hand it on; that is the default'
            cand --help 'Print help'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Let warnings count for the exit code (1)'
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
            cand --no-sandbox 'Do without the sandbox, to find out whether it is the cause of an error'
            cand --json 'Report in JSON Lines: findings, then one summary'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'List every finding, including infos'
            cand --verbose 'List every finding, including infos'
            cand --strict 'Let warnings count for the exit code (1)'
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
            cand verify 'Say whether mailboxes are sound, and whether they still hold the mail that was converted'
            cand deliver 'Deliver the message on standard input into a Maildir or mbox, safely'
            cand inject 'Complete the message on standard input and hand it on'
            cand inspect 'Show what is in a mailbox, and why each message begins where it does'
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
        &'mailferry;help;man'= {
        }
        &'mailferry;help;completions'= {
        }
        &'mailferry;help;help'= {
        }
    ]
    $completions[$command]
}
