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
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "verify" -d 'Say whether mailboxes are sound, and whether they still hold the mail that was converted'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "deliver" -d 'Deliver the message on standard input into a Maildir or mbox, safely'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "inject" -d 'Complete the message on standard input and hand it on'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "inspect" -d 'Show what is in a mailbox, and why each message begins where it does'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "man" -d 'Write the manual pages into a directory, or print mailferry(1)'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c mailferry -n "__fish_mailferry_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l fsync -d 'When to flush: once for all messages, after each, or never' -r -f -a "batch\t''
each\t''
none\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l eol -d 'Line ends of the messages written' -r -f -a "keep\t''
lf\t''
crlf\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l labels -d 'Treatment of the labels of Gmail' -r -f -a "keywords\t'Keywords of the message'
folders\t'A folder each'
first\t'The first is the folder'
ignore\t'Nothing; they stay in the header'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l deleted -d 'Treatment of messages marked as deleted' -r -f -a "keep\t'They come without the flag T'
flag\t'They get the flag T'
skip\t'They are left out; the manifest has them, and --exact puts them back'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l headers -d 'Treatment of fields that only mail programs use, such as Status' -r -f -a "keep\t'They stay'
strip\t'They are taken out; the manifest has them, and --exact puts them back'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l date -d 'Where the received date is looked for first' -r -f -a "from\t'The From_ line'
received\t'The topmost Received field'
header\t'The Date field'
mtime\t'The source file'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l from-zone -d 'Time zone of From_ lines without one' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l host -d 'Last part of the names of messages' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l info-sep -d 'Character before the flags in a name, for file systems without colons' -r -f -a ":\t''
;\t''
!\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l boundaries -d 'Edited list of inspect --boundaries that decides where messages begin' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l dedupe -d 'Leave out messages that the destination has already' -r -f -a "content\t''
message-id\t''"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l manifest -d 'File of the manifest; default: mailferry.manifest in the Maildir' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l source -d 'Source to restore, by its path or number, if there are several' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l owner -d 'Owner (and group) of everything created; needs root for another user' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l mode -d 'Mode of the files created; their readers may enter the directories' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l layout -d 'Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]' -r -f -a "maildir++\t'Maildirs .A.B beside cur/, as Courier and Dovecot have them'
fs\t'Maildirs A/B'"
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l into -d 'One folder for everything, such as Archive/2019' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l map -d 'New name for a folder and those in it; repeatable' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l files-from -d 'File with a source on each line; - is standard input' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l lock -d 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l lock-timeout -d 'Time limit for locks, in seconds' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l spool-dir -d 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l spool-limit -d 'Limit on the bytes unpacked there [default: free space less 64 MiB]' -r
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
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s 0 -l null -d 'End of a name in that file is a NUL, as find -print0 writes it'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -l strict -d 'Let warnings count for the exit code (1)'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand convert" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l against -d 'Instead: is it the same mail as in OTHER, message by message, whatever the two lie in? Several mailboxes are taken together. Where both sides have folders it has to be the same in each; a single mailbox is compared with all folders together. --into and --map are as convert was given them' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l labels -d 'With --against: what convert made of a user\'s own Gmail labels; default: what the manifest says' -r -f -a "keywords\t'Keywords of the message'
folders\t'A folder each'
first\t'The first is the folder'
ignore\t'Nothing; they stay in the header'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l deleted -d 'With --against: what convert made of messages that are marked as deleted; with skip, those of an mbox without a counterpart are left out; default: what the manifest says' -r -f -a "keep\t'They come without the flag T'
flag\t'They get the flag T'
skip\t'They are left out; the manifest has them, and --exact puts them back'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l manifest -d 'The manifest of the Maildir; default: mailferry.manifest in it' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l source -d 'Where the source that was converted lies now; default: where the manifest says' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l into -d 'One folder for everything, such as Archive/2019' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l map -d 'New name for a folder and those in it; repeatable' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l lock -d 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l lock-timeout -d 'Time limit for locks, in seconds' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l spool-dir -d 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l spool-limit -d 'Limit on the bytes unpacked there [default: free space less 64 MiB]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l quick -d 'Look at the structure only: framing, names, sizes, modes; not at what messages contain'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l metadata -d 'With --against: compare flags, received dates and the fields that readers rewrite as well'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l repair -d 'Mend what can be mended without touching a message: missing directories, modes, the end of an mbox; stale files of tmp/ are moved to mailferry-lost/'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s n -l dry-run -d 'Write nothing: with --repair, report what it would do'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l follow -d 'Follow symbolic links inside a tree, never out of it'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l no-sandbox -d 'Do without the sandbox, to find out whether it is the cause of an error'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -l strict -d 'Let warnings count for the exit code (1)'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand verify" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s f -l sender -d 'Envelope sender, empty for the null sender; default: $SENDER. Written as Return-Path' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s r -l recipient -d 'Envelope recipient; default: $RECIPIENT, or $LOCAL@$DOMAIN and what Exim and qmail call them. Written as Delivered-To; a message that has been delivered to it before is refused as looping' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l folder -d 'A folder of the Maildirs that are named, its levels with dots between them: Lists.qmail' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l quota -d 'What a Maildir may hold, as 1000000S,500C: bytes, messages or both; default: what its maildirsize says. Over quota is for good (77)' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l flags -d 'Flags of the message, letters of DFPRST; with any, it goes to cur/' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l max-size -d 'Refuse a message with more bytes' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l umask -d 'What is taken off the modes 0666 and 0777 of files and directories' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l lock -d 'Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l lock-timeout -d 'How long to wait for a lock' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l spool-dir -d 'Where a message of more than 8 MiB is kept meanwhile; default: $TMPDIR, or /tmp' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l exit-codes -d 'Exit codes: those of sysexits(3), or qmail\'s 0, 100 and 111' -r -f -a "sysexits\t'sysexits(3)'
qmail\t'qmail-command(8)'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l home -d 'The home directory. As root, deliver becomes the account --user, or else the home\'s owner, before it looks inside. With --protocol it and --user may have %u, %d and %e' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l user -d 'Whose home it is: what follows this name and a delimiter in the local part is the extension, and all of it where it begins otherwise. Default: $USER where the local part begins so, or else that up to its first delimiter' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l delimiter -d 'A second delimiter beside `-`, such as `+`; in the names of files it is a `-`' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l program-timeout -d 'How long a program may run, the queue program, too; then its process group is killed. A next hop for forwards may take as long. Default: 900, with --protocol 300, and 30 more are all that a user has there for a message' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l via -d 'Where forwards go: qmqp://HOST, qmtp://HOST, smtp://HOST, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH or sendmail:PATH. Given again, a place for those that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue; $QMAILHOME is /var/qmail' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l protocol -d 'Speak with an MTA on standard input and output instead: several messages, several recipients, an outcome for each' -r -f -a "lmtp\t'RFC 2033'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l mailbox -d 'The mailbox of a recipient: %u is the local part, %d the domain, %e the extension, in lower case; %% is a percent sign. With %e the local part is divided at its first delimiter, and `/.%e` goes where there is no extension' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l recipient-map -d 'A file of lines ADDRESS MAILBOX; @DOMAIN stands for the others of a domain. A mailbox may have %u, %d and %e' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l quota-temp -d 'Over quota, ask to try again later (75)'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l create -d 'Make what is missing: the mailbox, the folder'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l once -d 'Leave a mailbox alone that has just this message already, so that a repeat doubles nothing'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s n -l dry-run -d 'Deliver nothing: say what would be done'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l from-mta -d 'The message comes straight from a mail system that writes trace fields: a Delivered-To above its first Received is of this delivery, and no loop. Known by itself of Postfix, of LMTP, and where a From_ line is on top'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l dot-qmail -d 'Deliver as the .qmail files in --home say: dot-qmail(5). The MAILBOXes, relative to it, are the default delivery, for an address without a file and for an empty file; without any it is ./Maildir/'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l no-sandbox -d 'Do without the sandbox, to find out whether it is the cause of an error'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -l strict -d 'Let warnings count for the exit code (1)'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand deliver" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s f -l sender -d 'Envelope sender, empty for the null sender. Default: the message\'s Return-Path, or the author' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l via -d 'Where to hand it on: qmqp://HOST, qmtp://HOST, smtp://HOST, each with :PORT if it is another, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH, sendmail:PATH, maildir:PATH or mbox:PATH. Given again, a place for those recipients that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue ($QMAILHOME is /var/qmail) if that is there, else qmqp://HOST for each line of $QMAILHOME/control/qmqpservers' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l timeout -d 'How long a next hop may take' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l message-id -d 'What a new Message-ID is made of' -r -f -a "qmail\t'Time and process, as qmail has it'
random\t'128 random bits, which tell nothing'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l spool-dir -d 'Where a message is kept meanwhile that has more than 8 MiB or goes to a program; default: $TMPDIR, or /tmp' -r -F
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l exit-codes -d 'Exit codes: those of sysexits(3), or qmail\'s 0, 100 and 111' -r -f -a "sysexits\t'sysexits(3)'
qmail\t'qmail-command(8)'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l color -d 'Colour the report' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l progress -d 'Show progress on standard error' -r -f -a "auto\t'If there is a terminal'
always\t'Always'
never\t'Never'"
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s j -l jobs -d 'Number of worker threads [default: all cores]' -r
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s a -d 'Recipients are the arguments, and no others'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s h -d 'Recipients are those of the header (To, Cc, Bcc, or Resent-To and so on), and no others'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s H -d 'Recipients are the arguments and those of the header'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s A -d 'Recipients are the arguments if there are any, else those of the header; that is the default'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s n -l dry-run -d 'Print the message with its Return-Path on top, and hand nothing on'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s N -d 'Hand it on; that is the default'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l help -d 'Print help'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand inject" -l strict -d 'Let warnings count for the exit code (1)'
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
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l no-sandbox -d 'Do without the sandbox, to find out whether it is the cause of an error'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l json -d 'Report in JSON Lines: findings, then one summary'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s q -l quiet -d 'Print errors only'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s v -l verbose -d 'List every finding, including infos'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -l strict -d 'Let warnings count for the exit code (1)'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand inspect" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailferry -n "__fish_mailferry_using_subcommand man" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand completions" -s h -l help -d 'Print help'
complete -c mailferry -n "__fish_mailferry_using_subcommand completions" -s V -l version -d 'Print version'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "convert" -d 'Convert mboxes to Maildir and back, or one mailbox into another'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "verify" -d 'Say whether mailboxes are sound, and whether they still hold the mail that was converted'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "deliver" -d 'Deliver the message on standard input into a Maildir or mbox, safely'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "inject" -d 'Complete the message on standard input and hand it on'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "inspect" -d 'Show what is in a mailbox, and why each message begins where it does'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "man" -d 'Write the manual pages into a directory, or print mailferry(1)'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "completions" -d 'Print the completions for a shell'
complete -c mailferry -n "__fish_mailferry_using_subcommand help; and not __fish_seen_subcommand_from convert verify deliver inject inspect man completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
