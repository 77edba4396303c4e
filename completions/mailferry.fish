# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mailferry_global_optspecs
    string join \n h/help V/version
end

function __fish_mailferry_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mailferry_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mailferry_using_subcommand
    set -l cmd (__fish_mailferry_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mailferry -n "__fish_mailferry_needs_command" -s h -l help -d 'Print help'
complete -c mailferry -n "__fish_mailferry_needs_command" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "convert" -d 'Convert mboxes to Maildir and back, or one mailbox into another'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "verify" -d 'Check mailboxes for damage, and that converted mail is complete'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "deliver" -d 'Deliver the message on standard input into a Maildir or mbox, safely'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "inject" -d 'Complete the message on standard input and send it'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "inspect" -d 'Show what is in a mailbox, and why each message begins where it does'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "report" -d 'Add up the results of many accounts'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "bounce" -d 'Read the bounce on standard input: who did not get the message, and why; or write one'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "man" -d 'Write the manual pages into a directory, or print mailferry(1)'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l fsync -d 'When to flush: once for all messages, after each, or never' -r -f -a "batch\t''
each\t''
none\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l eol -d 'Line ends of the messages written' -r -f -a "keep\t''
lf\t''
crlf\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l labels -d 'Use of Gmail\'s labels' -r -f -a "keywords\t'Keywords of the message'
folders\t'Each label is a folder'
first\t'The first label is the folder'
ignore\t'They stay in the header'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l deleted -d 'Treatment of messages marked as deleted' -r -f -a "keep\t'They do not get the flag T'
flag\t'They get the flag T'
skip\t'They are left out; --exact restores them from the manifest'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l headers -d 'Treatment of fields that only mail programs use, such as Status' -r -f -a "keep\t'They stay'
strip\t'They are removed; --exact restores them from the manifest'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l date -d 'Where the received date is looked for first' -r -f -a "from\t'The From_ line'
received\t'The topmost Received field'
header\t'The Date field'
mtime\t'The source file'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l from-zone -d 'Time zone of From_ lines without one' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l since -d 'Only messages received on this day or later' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l before -d 'Only messages received before this day' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l split -d 'Spread messages over folders or mboxes: year' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l host -d 'Last part of the file names of messages' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l info-sep -d 'Character before the flags in a file name, where a colon is impossible' -r -f -a ":\t''
;\t''
!\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l boundaries -d 'Edited list of inspect --boundaries that decides where messages begin' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l dedupe -d 'Leave out messages that the destination has already' -r -f -a "content\t''
message-id\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l manifest -d 'File of the manifest; default: mailferry.manifest in the Maildir' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l source -d 'Source to restore, by its path or number, if there are several' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l uids -d 'Treatment of the UIDs by which IMAP and POP3 clients know messages' -r -f -a "keep\t'Keep them where possible, and warn otherwise'
new\t'Let the server give new ones'
require\t'Keep them, or write nothing'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l uid-format -d 'List of UIDs to write' -r -f -a "dovecot\t'dovecot-uidlist'
courier\t'courierimapuiddb'
both\t'Both lists'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l owner -d 'Owner (and group) of everything created; needs root for another user' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l mode -d 'Mode of the files created; their readers may enter the directories' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l layout -d 'Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]' -r -f -a "maildir++\t'Maildirs .A.B next to cur/, as in Courier and Dovecot'
fs\t'Maildirs A/B'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l into -d 'One folder for everything, such as Archive/2019' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l map -d 'New name for a folder and those in it; repeatable' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l files-from -d 'File with a source on each line; - is standard input' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l accounts -d 'List of accounts to convert, each in a process of its own' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l shard -d 'Convert only the accounts of this share: 3/16, or auto in a job array' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l results -d 'Directory with a result for each account' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l max-failures -d 'Start no more accounts after more than N have failed' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l fingerprint -d 'The state of an account after an earlier run, or - if there was none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l lock -d 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l lock-timeout -d 'Time limit for locks, in seconds' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l spool-dir -d 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l spool-limit -d 'Limit on the bytes unpacked there [default: free space less 64 MiB]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l report -d 'Write a report to keep into FILE.html, .json, .csv or .txt' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s n -l dry-run -d 'Write nothing; report what would be done'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l new-source -d 'Treat this path as a new mailbox, even if it was converted before'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l no-manifest -d 'Write no manifest; later runs cannot continue, and --exact cannot restore'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l exact -d 'Restore a source byte for byte from a Maildir and its manifest'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l force -d 'Replace an existing file'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l append -d 'Append to an existing mbox under its locks; undone on error'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s p -l parents -d 'Create missing directories above the destination'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l live -d 'Hold the locks of mboxes in use only while each is opened'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l follow -d 'Follow symbolic links inside a tree, never out of it'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s 0 -l null -d 'Names in that file end with a NUL, as find -print0 writes them'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l redact -d 'Leave names, addresses and subjects out of that report'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l strict -d 'Exit with 1 if there are warnings'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l against -d 'Compare with the mail in OTHER, message by message' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l labels -d 'With --against: the --labels of convert [default: as in the manifest]' -r -f -a "keywords\t'Keywords of the message'
folders\t'Each label is a folder'
first\t'The first label is the folder'
ignore\t'They stay in the header'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l deleted -d 'With --against: the --deleted of convert [default: as in the manifest]' -r -f -a "keep\t'They do not get the flag T'
flag\t'They get the flag T'
skip\t'They are left out; --exact restores them from the manifest'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l split -d 'With --against: the --split of convert' -r -f -a "year\t'By the year of the received date'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l manifest -d 'Manifest of the Maildir [default: mailferry.manifest in it]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l source -d 'Present path of the converted source [default: as in the manifest]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l into -d 'One folder for everything, such as Archive/2019' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l map -d 'New name for a folder and those in it; repeatable' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l lock -d 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l lock-timeout -d 'Time limit for locks, in seconds' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l spool-dir -d 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l spool-limit -d 'Limit on the bytes unpacked there [default: free space less 64 MiB]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l report -d 'Write a report to keep into FILE.html, .json, .csv or .txt' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l quick -d 'Check the structure only, not the contents of messages'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l metadata -d 'With --against: also compare flags, dates and status fields'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l repair -d 'Fix what can be fixed without touching a message'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s n -l dry-run -d 'Write nothing; with --repair, report what would be done'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l follow -d 'Follow symbolic links inside a tree, never out of it'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l no-sandbox -d 'Run without the sandbox, to see whether it causes an error'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l redact -d 'Leave names, addresses and subjects out of that report'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l strict -d 'Exit with 1 if there are warnings'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s f -l sender -d 'Envelope sender, may be empty; written as Return-Path [default: $SENDER]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s r -l recipient -d 'Envelope recipient; written as Delivered-To [default: $RECIPIENT]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l folder -d 'Folder of the Maildir, such as Lists.qmail' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l quota -d 'Quota of the Maildir, such as 1000000S,500C [default: in maildirsize]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l flags -d 'Flags of the message (DFPRST); a message with flags goes to cur/' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l max-size -d 'Refuse a message with more bytes' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l umask -d 'File mode creation mask' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l lock -d 'Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l lock-timeout -d 'Time limit for locks, in seconds' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l spool-dir -d 'Directory for messages of more than 8 MiB [default: $TMPDIR or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l exit-codes -d 'Exit codes: those of sysexits(3), or qmail\'s 0, 100 and 111' -r -f -a "sysexits\t'sysexits(3)'
qmail\t'qmail-command(8)'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l home -d 'Home directory; root acts as --user, or as its owner' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l user -d 'Owner of the home; the rest of the local part is the extension' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l delimiter -d 'Delimiter besides `-`, such as `+`; in file names it is `-`' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l program-timeout -d 'Time limit for a program or next hop [default: 900; with --protocol 300]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l via -d 'Next hop of forwarded mail; repeat it for fallbacks' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l ca -d 'Certificates of authorities (PEM) that replace the system\'s' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l password-file -d 'File whose first line is the password; only its owner has access' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l password-command -d 'Shell command whose first line of output is the password' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l protocol -d 'Speak this protocol with a mail system on standard input and output' -r -f -a "lmtp\t'RFC 2033'
qmtp\t'qmail\'s protocol between hosts'
qmqp\t'qmail\'s protocol for clients without a queue'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l mailbox -d 'Mailbox of a recipient, with %u (local part), %d (domain), %e (extension)' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l recipient-map -d 'File with lines of ADDRESS MAILBOX; @DOMAIN is the rest of a domain' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l quota-temp -d 'Report a message over quota as a temporary failure (75)'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l create -d 'Create a missing mailbox or folder'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l once -d 'Skip a mailbox that already has this message'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s n -l dry-run -d 'Deliver nothing; report what would be done'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l from-mta -d 'The message comes directly from an MTA that writes trace fields'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l dot-qmail -d 'Deliver by the .qmail files in --home, see dot-qmail(5)'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l no-sandbox -d 'Run without the sandbox, to see whether it causes an error'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l strict -d 'Exit with 1 if there are warnings'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s f -l sender -d 'Envelope sender, may be empty [default: Return-Path, or the author]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l via -d 'Next hop; repeat it for fallbacks' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l ca -d 'Certificates of authorities (PEM) that replace the system\'s' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l password-file -d 'File whose first line is the password; only its owner has access' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l password-command -d 'Shell command whose first line of output is the password' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l timeout -d 'Time limit for a next hop' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l message-id -d 'Content of a new Message-ID' -r -f -a "qmail\t'Time and process, as qmail has it'
random\t'128 random bits, which disclose nothing'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l spool-dir -d 'Directory for large messages and those for programs [default: $TMPDIR or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l exit-codes -d 'Exit codes: those of sysexits(3), or qmail\'s 0, 100 and 111' -r -f -a "sysexits\t'sysexits(3)'
qmail\t'qmail-command(8)'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s a -d 'Recipients are the arguments only'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s h -d 'Recipients are those in the header only'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s H -d 'Recipients are the arguments and those in the header'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s A -d 'Recipients are the arguments, or without any those in the header (default)'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s n -l dry-run -d 'Print the message with its Return-Path on top; send nothing'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s N -d 'Send it (default)'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l help -d 'Print help'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l strict -d 'Exit with 1 if there are warnings'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l by -d 'Group the counts; default: year' -r -f -a "year\t''
month\t''
folder\t''
sender\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l top -d 'Show only the N largest groups' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l lock -d 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l lock-timeout -d 'Time limit for locks, in seconds' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l spool-dir -d 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l spool-limit -d 'Limit on the bytes unpacked there [default: free space less 64 MiB]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l stored -d 'With N: its bytes as in the mbox, with From_ line and quoting'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l boundaries -d 'Print every line that could begin a message, and the decision about it'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l stats -d 'Count messages, bytes, unread and flagged messages'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l second-opinion -d 'Show how many messages other readers see, and at which lines they differ'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l no-sandbox -d 'Run without the sandbox, to see whether it causes an error'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l strict -d 'Exit with 1 if there are warnings'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -l accounts -d 'List of all accounts, as for convert' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -l html -d 'Also write the report into FILE.html' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -l redact -d 'Leave out the names of users and hosts, and the errors'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -l json -d 'Report in JSON Lines: accounts that are not done, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -l csv -d 'Print a row for each account, as CSV'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -s q -l quiet -d 'Print only the accounts that are not done'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -s v -l verbose -d 'On a terminal, list all accounts that are not done'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand report" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -l max-size -d 'Refuse a message with more bytes' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -l exit-codes -d 'Exit codes: those of sysexits(3), or qmail\'s 0, 100 and 111' -r -f -a "sysexits\t'sysexits(3)'
qmail\t'qmail-command(8)'"
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -l write -d 'Write a bounce for the message on standard input' -r -f -a "qsbmf\t'The paragraphs of qmail-send'
dsn\t'A delivery status notification: multipart/report'"
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -s r -l recipient -d 'Recipient who did not get the message; repeat it for several' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -l status -d 'Status code of the failure, such as 5.1.1 (RFC 3463)' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -l reason -d 'Reason: a sentence, or the reply of an SMTP server' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -l remote-mta -d 'Host that refused the message' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -s f -l sender -d 'Sender of the message, who gets the bounce [default: $SENDER, Return-Path]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand bounce" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand man" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand completions" -s h -l help -d 'Print help'
complete -c mailferry -n "__fish_mailferry_using_subcommand completions" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "convert" -d 'Convert mboxes to Maildir and back, or one mailbox into another'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "verify" -d 'Check mailboxes for damage, and that converted mail is complete'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "deliver" -d 'Deliver the message on standard input into a Maildir or mbox, safely'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "inject" -d 'Complete the message on standard input and send it'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "inspect" -d 'Show what is in a mailbox, and why each message begins where it does'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "report" -d 'Add up the results of many accounts'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "bounce" -d 'Read the bounce on standard input: who did not get the message, and why; or write one'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "man" -d 'Write the manual pages into a directory, or print mailferry(1)'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "completions" -d 'Print the completions for a shell'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect report bounce man completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
