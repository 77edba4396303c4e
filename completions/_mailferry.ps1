
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'mailferry' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'mailferry'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'mailferry' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('convert', 'convert', [CompletionResultType]::ParameterValue, 'Convert mboxes to Maildir and back, or one mailbox into another')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Say whether mailboxes are sound, and whether they still hold the mail that was converted')
            [CompletionResult]::new('deliver', 'deliver', [CompletionResultType]::ParameterValue, 'Deliver the message on standard input into a Maildir or mbox, safely')
            [CompletionResult]::new('inject', 'inject', [CompletionResultType]::ParameterValue, 'Complete the message on standard input and hand it on')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what is in a mailbox, and why each message begins where it does')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Write the manual pages into a directory, or print mailferry(1)')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'mailferry;convert' {
            [CompletionResult]::new('--fsync', '--fsync', [CompletionResultType]::ParameterName, 'When to flush: once for all messages, after each, or never')
            [CompletionResult]::new('--eol', '--eol', [CompletionResultType]::ParameterName, 'Line ends of the messages written')
            [CompletionResult]::new('--labels', '--labels', [CompletionResultType]::ParameterName, 'Treatment of the labels of Gmail')
            [CompletionResult]::new('--deleted', '--deleted', [CompletionResultType]::ParameterName, 'Treatment of messages marked as deleted')
            [CompletionResult]::new('--headers', '--headers', [CompletionResultType]::ParameterName, 'Treatment of fields that only mail programs use, such as Status')
            [CompletionResult]::new('--date', '--date', [CompletionResultType]::ParameterName, 'Where the received date is looked for first')
            [CompletionResult]::new('--from-zone', '--from-zone', [CompletionResultType]::ParameterName, 'Time zone of From_ lines without one')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Last part of the names of messages')
            [CompletionResult]::new('--info-sep', '--info-sep', [CompletionResultType]::ParameterName, 'Character before the flags in a name, for file systems without colons')
            [CompletionResult]::new('--boundaries', '--boundaries', [CompletionResultType]::ParameterName, 'Edited list of inspect --boundaries that decides where messages begin')
            [CompletionResult]::new('--dedupe', '--dedupe', [CompletionResultType]::ParameterName, 'Leave out messages that the destination has already')
            [CompletionResult]::new('--manifest', '--manifest', [CompletionResultType]::ParameterName, 'File of the manifest; default: mailferry.manifest in the Maildir')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Source to restore, by its path or number, if there are several')
            [CompletionResult]::new('--owner', '--owner', [CompletionResultType]::ParameterName, 'Owner (and group) of everything created; needs root for another user')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'Mode of the files created; their readers may enter the directories')
            [CompletionResult]::new('--layout', '--layout', [CompletionResultType]::ParameterName, 'Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]')
            [CompletionResult]::new('--into', '--into', [CompletionResultType]::ParameterName, 'One folder for everything, such as Archive/2019')
            [CompletionResult]::new('--map', '--map', [CompletionResultType]::ParameterName, 'New name for a folder and those in it; repeatable')
            [CompletionResult]::new('--files-from', '--files-from', [CompletionResultType]::ParameterName, 'File with a source on each line; - is standard input')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Time limit for locks, in seconds')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]')
            [CompletionResult]::new('--spool-limit', '--spool-limit', [CompletionResultType]::ParameterName, 'Limit on the bytes unpacked there [default: free space less 64 MiB]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Write nothing; report what would be done')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Write nothing; report what would be done')
            [CompletionResult]::new('--new-source', '--new-source', [CompletionResultType]::ParameterName, 'Treat this path as a new mailbox, even if it was converted before')
            [CompletionResult]::new('--no-manifest', '--no-manifest', [CompletionResultType]::ParameterName, 'Write no manifest; later runs cannot continue, and --exact cannot restore')
            [CompletionResult]::new('--exact', '--exact', [CompletionResultType]::ParameterName, 'Restore a source byte for byte from a Maildir and its manifest')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Replace an existing file')
            [CompletionResult]::new('--append', '--append', [CompletionResultType]::ParameterName, 'Append to an existing mbox under its locks; undone on error')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Create missing directories above the destination')
            [CompletionResult]::new('--parents', '--parents', [CompletionResultType]::ParameterName, 'Create missing directories above the destination')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'Hold the locks of mboxes in use only while each is opened')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Follow symbolic links inside a tree, never out of it')
            [CompletionResult]::new('-0', '-0', [CompletionResultType]::ParameterName, 'End of a name in that file is a NUL, as find -print0 writes it')
            [CompletionResult]::new('--null', '--null', [CompletionResultType]::ParameterName, 'End of a name in that file is a NUL, as find -print0 writes it')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Let warnings count for the exit code (1)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;verify' {
            [CompletionResult]::new('--against', '--against', [CompletionResultType]::ParameterName, 'Instead: is it the same mail as in OTHER, message by message, whatever the two lie in? Several mailboxes are taken together. Where both sides have folders it has to be the same in each; a single mailbox is compared with all folders together. --into and --map are as convert was given them')
            [CompletionResult]::new('--labels', '--labels', [CompletionResultType]::ParameterName, 'With --against: what convert made of a user''s own Gmail labels; default: what the manifest says')
            [CompletionResult]::new('--deleted', '--deleted', [CompletionResultType]::ParameterName, 'With --against: what convert made of messages that are marked as deleted; with skip, those of an mbox without a counterpart are left out; default: what the manifest says')
            [CompletionResult]::new('--manifest', '--manifest', [CompletionResultType]::ParameterName, 'The manifest of the Maildir; default: mailferry.manifest in it')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Where the source that was converted lies now; default: where the manifest says')
            [CompletionResult]::new('--into', '--into', [CompletionResultType]::ParameterName, 'One folder for everything, such as Archive/2019')
            [CompletionResult]::new('--map', '--map', [CompletionResultType]::ParameterName, 'New name for a folder and those in it; repeatable')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Time limit for locks, in seconds')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]')
            [CompletionResult]::new('--spool-limit', '--spool-limit', [CompletionResultType]::ParameterName, 'Limit on the bytes unpacked there [default: free space less 64 MiB]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--quick', '--quick', [CompletionResultType]::ParameterName, 'Look at the structure only: framing, names, sizes, modes; not at what messages contain')
            [CompletionResult]::new('--metadata', '--metadata', [CompletionResultType]::ParameterName, 'With --against: compare flags, received dates and the fields that readers rewrite as well')
            [CompletionResult]::new('--repair', '--repair', [CompletionResultType]::ParameterName, 'Mend what can be mended without touching a message: missing directories, modes, the end of an mbox; stale files of tmp/ are moved to mailferry-lost/')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Write nothing: with --repair, report what it would do')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Write nothing: with --repair, report what it would do')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Follow symbolic links inside a tree, never out of it')
            [CompletionResult]::new('--no-sandbox', '--no-sandbox', [CompletionResultType]::ParameterName, 'Do without the sandbox, to find out whether it is the cause of an error')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Let warnings count for the exit code (1)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;deliver' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Envelope sender, empty for the null sender; default: $SENDER. Written as Return-Path')
            [CompletionResult]::new('--sender', '--sender', [CompletionResultType]::ParameterName, 'Envelope sender, empty for the null sender; default: $SENDER. Written as Return-Path')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Envelope recipient; default: $RECIPIENT, or $LOCAL@$DOMAIN and what Exim and qmail call them. Written as Delivered-To; a message that has been delivered to it before is refused as looping')
            [CompletionResult]::new('--recipient', '--recipient', [CompletionResultType]::ParameterName, 'Envelope recipient; default: $RECIPIENT, or $LOCAL@$DOMAIN and what Exim and qmail call them. Written as Delivered-To; a message that has been delivered to it before is refused as looping')
            [CompletionResult]::new('--folder', '--folder', [CompletionResultType]::ParameterName, 'A folder of the Maildirs that are named, its levels with dots between them: Lists.qmail')
            [CompletionResult]::new('--quota', '--quota', [CompletionResultType]::ParameterName, 'What a Maildir may hold, as 1000000S,500C: bytes, messages or both; default: what its maildirsize says. Over quota is for good (77)')
            [CompletionResult]::new('--flags', '--flags', [CompletionResultType]::ParameterName, 'Flags of the message, letters of DFPRST; with any, it goes to cur/')
            [CompletionResult]::new('--max-size', '--max-size', [CompletionResultType]::ParameterName, 'Refuse a message with more bytes')
            [CompletionResult]::new('--umask', '--umask', [CompletionResultType]::ParameterName, 'What is taken off the modes 0666 and 0777 of files and directories')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a lock')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Where a message of more than 8 MiB is kept meanwhile; default: $TMPDIR, or /tmp')
            [CompletionResult]::new('--exit-codes', '--exit-codes', [CompletionResultType]::ParameterName, 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111')
            [CompletionResult]::new('--home', '--home', [CompletionResultType]::ParameterName, 'The home directory. As root, deliver becomes the account --user, or else the home''s owner, before it looks inside. With --protocol it and --user may have %u, %d and %e')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'Whose home it is: what follows this name and a delimiter in the local part is the extension, and all of it where it begins otherwise. Default: $USER where the local part begins so, or else that up to its first delimiter')
            [CompletionResult]::new('--delimiter', '--delimiter', [CompletionResultType]::ParameterName, 'A second delimiter beside `-`, such as `+`; in the names of files it is a `-`')
            [CompletionResult]::new('--program-timeout', '--program-timeout', [CompletionResultType]::ParameterName, 'How long a program may run, the queue program, too; then its process group is killed. A next hop for forwards may take as long. Default: 900, with --protocol 300, and 30 more are all that a user has there for a message')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Where forwards go: qmqp://HOST, qmtp://HOST, smtp://HOST, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH or sendmail:PATH. Given again, a place for those that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue; $QMAILHOME is /var/qmail')
            [CompletionResult]::new('--protocol', '--protocol', [CompletionResultType]::ParameterName, 'Speak with an MTA on standard input and output instead: several messages, several recipients, an outcome for each')
            [CompletionResult]::new('--mailbox', '--mailbox', [CompletionResultType]::ParameterName, 'The mailbox of a recipient: %u is the local part, %d the domain, %e the extension, in lower case; %% is a percent sign. With %e the local part is divided at its first delimiter, and `/.%e` goes where there is no extension')
            [CompletionResult]::new('--recipient-map', '--recipient-map', [CompletionResultType]::ParameterName, 'A file of lines ADDRESS MAILBOX; @DOMAIN stands for the others of a domain. A mailbox may have %u, %d and %e')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--quota-temp', '--quota-temp', [CompletionResultType]::ParameterName, 'Over quota, ask to try again later (75)')
            [CompletionResult]::new('--create', '--create', [CompletionResultType]::ParameterName, 'Make what is missing: the mailbox, the folder')
            [CompletionResult]::new('--once', '--once', [CompletionResultType]::ParameterName, 'Leave a mailbox alone that has just this message already, so that a repeat doubles nothing')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Deliver nothing: say what would be done')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Deliver nothing: say what would be done')
            [CompletionResult]::new('--from-mta', '--from-mta', [CompletionResultType]::ParameterName, 'The message comes straight from a mail system that writes trace fields: a Delivered-To above its first Received is of this delivery, and no loop. Known by itself of Postfix, of LMTP, and where a From_ line is on top')
            [CompletionResult]::new('--dot-qmail', '--dot-qmail', [CompletionResultType]::ParameterName, 'Deliver as the .qmail files in --home say: dot-qmail(5). The MAILBOXes, relative to it, are the default delivery, for an address without a file and for an empty file; without any it is ./Maildir/')
            [CompletionResult]::new('--no-sandbox', '--no-sandbox', [CompletionResultType]::ParameterName, 'Do without the sandbox, to find out whether it is the cause of an error')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Let warnings count for the exit code (1)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;inject' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Envelope sender, empty for the null sender. Default: the message''s Return-Path, or the author')
            [CompletionResult]::new('--sender', '--sender', [CompletionResultType]::ParameterName, 'Envelope sender, empty for the null sender. Default: the message''s Return-Path, or the author')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Where to hand it on: qmqp://HOST, qmtp://HOST, smtp://HOST, each with :PORT if it is another, lmtp://HOST:PORT, lmtp+unix:PATH, queue:PATH, sendmail:PATH, maildir:PATH or mbox:PATH. Given again, a place for those recipients that the one before could not take for now. Default: queue:$QMAILQUEUE, or queue:$QMAILHOME/bin/qmail-queue ($QMAILHOME is /var/qmail) if that is there, else qmqp://HOST for each line of $QMAILHOME/control/qmqpservers')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long a next hop may take')
            [CompletionResult]::new('--message-id', '--message-id', [CompletionResultType]::ParameterName, 'What a new Message-ID is made of')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Where a message is kept meanwhile that has more than 8 MiB or goes to a program; default: $TMPDIR, or /tmp')
            [CompletionResult]::new('--exit-codes', '--exit-codes', [CompletionResultType]::ParameterName, 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Recipients are the arguments, and no others')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Recipients are those of the header (To, Cc, Bcc, or Resent-To and so on), and no others')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Recipients are the arguments and those of the header')
            [CompletionResult]::new('-A', '-A ', [CompletionResultType]::ParameterName, 'Recipients are the arguments if there are any, else those of the header; that is the default')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Print the message with its Return-Path on top, and hand nothing on')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the message with its Return-Path on top, and hand nothing on')
            [CompletionResult]::new('-N', '-N ', [CompletionResultType]::ParameterName, 'Hand it on; that is the default')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Let warnings count for the exit code (1)')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;inspect' {
            [CompletionResult]::new('--by', '--by', [CompletionResultType]::ParameterName, 'Group the counts; default: year')
            [CompletionResult]::new('--top', '--top', [CompletionResultType]::ParameterName, 'Show only the N largest groups')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Time limit for locks, in seconds')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]')
            [CompletionResult]::new('--spool-limit', '--spool-limit', [CompletionResultType]::ParameterName, 'Limit on the bytes unpacked there [default: free space less 64 MiB]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--stored', '--stored', [CompletionResultType]::ParameterName, 'With N: its bytes as in the mbox, with From_ line and quoting')
            [CompletionResult]::new('--boundaries', '--boundaries', [CompletionResultType]::ParameterName, 'Print every line that could begin a message, and the decision about it')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Count messages, bytes, unread and flagged messages')
            [CompletionResult]::new('--second-opinion', '--second-opinion', [CompletionResultType]::ParameterName, 'Show how many messages other readers see, and at which lines they differ')
            [CompletionResult]::new('--no-sandbox', '--no-sandbox', [CompletionResultType]::ParameterName, 'Do without the sandbox, to find out whether it is the cause of an error')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Let warnings count for the exit code (1)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;man' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;help' {
            [CompletionResult]::new('convert', 'convert', [CompletionResultType]::ParameterValue, 'Convert mboxes to Maildir and back, or one mailbox into another')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Say whether mailboxes are sound, and whether they still hold the mail that was converted')
            [CompletionResult]::new('deliver', 'deliver', [CompletionResultType]::ParameterValue, 'Deliver the message on standard input into a Maildir or mbox, safely')
            [CompletionResult]::new('inject', 'inject', [CompletionResultType]::ParameterValue, 'Complete the message on standard input and hand it on')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what is in a mailbox, and why each message begins where it does')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Write the manual pages into a directory, or print mailferry(1)')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'mailferry;help;convert' {
            break
        }
        'mailferry;help;verify' {
            break
        }
        'mailferry;help;deliver' {
            break
        }
        'mailferry;help;inject' {
            break
        }
        'mailferry;help;inspect' {
            break
        }
        'mailferry;help;man' {
            break
        }
        'mailferry;help;completions' {
            break
        }
        'mailferry;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
