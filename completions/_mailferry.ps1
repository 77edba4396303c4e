
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
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check mailboxes for damage, and that converted mail is complete')
            [CompletionResult]::new('deliver', 'deliver', [CompletionResultType]::ParameterValue, 'Deliver the message on standard input into a Maildir or mbox, safely')
            [CompletionResult]::new('inject', 'inject', [CompletionResultType]::ParameterValue, 'Complete the message on standard input and send it')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what is in a mailbox, and why each message begins where it does')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Add up the results of many accounts')
            [CompletionResult]::new('bounce', 'bounce', [CompletionResultType]::ParameterValue, 'Read the bounce on standard input: who did not get the message, and why; or write one')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Write the manual pages into a directory, or print mailferry(1)')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completions for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'mailferry;convert' {
            [CompletionResult]::new('--fsync', '--fsync', [CompletionResultType]::ParameterName, 'When to flush: once for all messages, after each, or never')
            [CompletionResult]::new('--eol', '--eol', [CompletionResultType]::ParameterName, 'Line ends of the messages written')
            [CompletionResult]::new('--labels', '--labels', [CompletionResultType]::ParameterName, 'Use of Gmail''s labels')
            [CompletionResult]::new('--deleted', '--deleted', [CompletionResultType]::ParameterName, 'Treatment of messages marked as deleted')
            [CompletionResult]::new('--headers', '--headers', [CompletionResultType]::ParameterName, 'Treatment of fields that only mail programs use, such as Status')
            [CompletionResult]::new('--date', '--date', [CompletionResultType]::ParameterName, 'Where the received date is looked for first')
            [CompletionResult]::new('--from-zone', '--from-zone', [CompletionResultType]::ParameterName, 'Time zone of From_ lines without one')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only messages received on this day or later')
            [CompletionResult]::new('--before', '--before', [CompletionResultType]::ParameterName, 'Only messages received before this day')
            [CompletionResult]::new('--split', '--split', [CompletionResultType]::ParameterName, 'Spread messages over folders or mboxes: year')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Last part of the file names of messages')
            [CompletionResult]::new('--info-sep', '--info-sep', [CompletionResultType]::ParameterName, 'Character before the flags in a file name, where a colon is impossible')
            [CompletionResult]::new('--boundaries', '--boundaries', [CompletionResultType]::ParameterName, 'Edited list of inspect --boundaries that decides where messages begin')
            [CompletionResult]::new('--dedupe', '--dedupe', [CompletionResultType]::ParameterName, 'Leave out messages that the destination has already')
            [CompletionResult]::new('--manifest', '--manifest', [CompletionResultType]::ParameterName, 'File of the manifest; default: mailferry.manifest in the Maildir')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Source to restore, by its path or number, if there are several')
            [CompletionResult]::new('--uids', '--uids', [CompletionResultType]::ParameterName, 'Treatment of the UIDs by which IMAP and POP3 clients know messages')
            [CompletionResult]::new('--uid-format', '--uid-format', [CompletionResultType]::ParameterName, 'List of UIDs to write')
            [CompletionResult]::new('--owner', '--owner', [CompletionResultType]::ParameterName, 'Owner (and group) of everything created; needs root for another user')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'Mode of the files created; their readers may enter the directories')
            [CompletionResult]::new('--layout', '--layout', [CompletionResultType]::ParameterName, 'Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]')
            [CompletionResult]::new('--into', '--into', [CompletionResultType]::ParameterName, 'One folder for everything, such as Archive/2019')
            [CompletionResult]::new('--map', '--map', [CompletionResultType]::ParameterName, 'New name for a folder and those in it; repeatable')
            [CompletionResult]::new('--files-from', '--files-from', [CompletionResultType]::ParameterName, 'File with a source on each line; - is standard input')
            [CompletionResult]::new('--accounts', '--accounts', [CompletionResultType]::ParameterName, 'List of accounts to convert, each in a process of its own')
            [CompletionResult]::new('--shard', '--shard', [CompletionResultType]::ParameterName, 'Convert only the accounts of this share: 3/16, or auto in a job array')
            [CompletionResult]::new('--results', '--results', [CompletionResultType]::ParameterName, 'Directory with a result for each account')
            [CompletionResult]::new('--max-failures', '--max-failures', [CompletionResultType]::ParameterName, 'Start no more accounts after more than N have failed')
            [CompletionResult]::new('--fingerprint', '--fingerprint', [CompletionResultType]::ParameterName, 'The state of an account after an earlier run, or - if there was none')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Time limit for locks, in seconds')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]')
            [CompletionResult]::new('--spool-limit', '--spool-limit', [CompletionResultType]::ParameterName, 'Limit on the bytes unpacked there [default: free space less 64 MiB]')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'Write a report to keep into FILE.html, .json, .csv or .txt')
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
            [CompletionResult]::new('-0', '-0', [CompletionResultType]::ParameterName, 'Names in that file end with a NUL, as find -print0 writes them')
            [CompletionResult]::new('--null', '--null', [CompletionResultType]::ParameterName, 'Names in that file end with a NUL, as find -print0 writes them')
            [CompletionResult]::new('--redact', '--redact', [CompletionResultType]::ParameterName, 'Leave names, addresses and subjects out of that report')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 1 if there are warnings')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;verify' {
            [CompletionResult]::new('--against', '--against', [CompletionResultType]::ParameterName, 'Compare with the mail in OTHER, message by message')
            [CompletionResult]::new('--labels', '--labels', [CompletionResultType]::ParameterName, 'With --against: the --labels of convert [default: as in the manifest]')
            [CompletionResult]::new('--deleted', '--deleted', [CompletionResultType]::ParameterName, 'With --against: the --deleted of convert [default: as in the manifest]')
            [CompletionResult]::new('--split', '--split', [CompletionResultType]::ParameterName, 'With --against: the --split of convert')
            [CompletionResult]::new('--manifest', '--manifest', [CompletionResultType]::ParameterName, 'Manifest of the Maildir [default: mailferry.manifest in it]')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Present path of the converted source [default: as in the manifest]')
            [CompletionResult]::new('--into', '--into', [CompletionResultType]::ParameterName, 'One folder for everything, such as Archive/2019')
            [CompletionResult]::new('--map', '--map', [CompletionResultType]::ParameterName, 'New name for a folder and those in it; repeatable')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on mboxes, in the order dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Time limit for locks, in seconds')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory to unpack compressed sources in [default: $TMPDIR, or /tmp]')
            [CompletionResult]::new('--spool-limit', '--spool-limit', [CompletionResultType]::ParameterName, 'Limit on the bytes unpacked there [default: free space less 64 MiB]')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'Write a report to keep into FILE.html, .json, .csv or .txt')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--quick', '--quick', [CompletionResultType]::ParameterName, 'Check the structure only, not the contents of messages')
            [CompletionResult]::new('--metadata', '--metadata', [CompletionResultType]::ParameterName, 'With --against: also compare flags, dates and status fields')
            [CompletionResult]::new('--repair', '--repair', [CompletionResultType]::ParameterName, 'Fix what can be fixed without touching a message')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Write nothing; with --repair, report what would be done')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Write nothing; with --repair, report what would be done')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Follow symbolic links inside a tree, never out of it')
            [CompletionResult]::new('--no-sandbox', '--no-sandbox', [CompletionResultType]::ParameterName, 'Run without the sandbox, to see whether it causes an error')
            [CompletionResult]::new('--redact', '--redact', [CompletionResultType]::ParameterName, 'Leave names, addresses and subjects out of that report')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 1 if there are warnings')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;deliver' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Envelope sender, may be empty; written as Return-Path [default: $SENDER]')
            [CompletionResult]::new('--sender', '--sender', [CompletionResultType]::ParameterName, 'Envelope sender, may be empty; written as Return-Path [default: $SENDER]')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Envelope recipient; written as Delivered-To [default: $RECIPIENT]')
            [CompletionResult]::new('--recipient', '--recipient', [CompletionResultType]::ParameterName, 'Envelope recipient; written as Delivered-To [default: $RECIPIENT]')
            [CompletionResult]::new('--folder', '--folder', [CompletionResultType]::ParameterName, 'Folder of the Maildir, such as Lists.qmail')
            [CompletionResult]::new('--quota', '--quota', [CompletionResultType]::ParameterName, 'Quota of the Maildir, such as 1000000S,500C [default: in maildirsize]')
            [CompletionResult]::new('--flags', '--flags', [CompletionResultType]::ParameterName, 'Flags of the message (DFPRST); a message with flags goes to cur/')
            [CompletionResult]::new('--max-size', '--max-size', [CompletionResultType]::ParameterName, 'Refuse a message with more bytes')
            [CompletionResult]::new('--umask', '--umask', [CompletionResultType]::ParameterName, 'File mode creation mask')
            [CompletionResult]::new('--lock', '--lock', [CompletionResultType]::ParameterName, 'Locks to take on an mbox, in this order: dotlock, fcntl, flock; or none')
            [CompletionResult]::new('--lock-timeout', '--lock-timeout', [CompletionResultType]::ParameterName, 'Time limit for locks, in seconds')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory for messages of more than 8 MiB [default: $TMPDIR or /tmp]')
            [CompletionResult]::new('--exit-codes', '--exit-codes', [CompletionResultType]::ParameterName, 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111')
            [CompletionResult]::new('--home', '--home', [CompletionResultType]::ParameterName, 'Home directory; root acts as --user, or as its owner')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'Owner of the home; the rest of the local part is the extension')
            [CompletionResult]::new('--delimiter', '--delimiter', [CompletionResultType]::ParameterName, 'Delimiter besides `-`, such as `+`; in file names it is `-`')
            [CompletionResult]::new('--program-timeout', '--program-timeout', [CompletionResultType]::ParameterName, 'Time limit for a program or next hop [default: 900; with --protocol 300]')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Next hop of forwarded mail; repeat it for fallbacks')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates of authorities (PEM) that replace the system''s')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'File whose first line is the password; only its owner has access')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Shell command whose first line of output is the password')
            [CompletionResult]::new('--protocol', '--protocol', [CompletionResultType]::ParameterName, 'Speak this protocol with a mail system on standard input and output')
            [CompletionResult]::new('--mailbox', '--mailbox', [CompletionResultType]::ParameterName, 'Mailbox of a recipient, with %u (local part), %d (domain), %e (extension)')
            [CompletionResult]::new('--recipient-map', '--recipient-map', [CompletionResultType]::ParameterName, 'File with lines of ADDRESS MAILBOX; @DOMAIN is the rest of a domain')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--quota-temp', '--quota-temp', [CompletionResultType]::ParameterName, 'Report a message over quota as a temporary failure (75)')
            [CompletionResult]::new('--create', '--create', [CompletionResultType]::ParameterName, 'Create a missing mailbox or folder')
            [CompletionResult]::new('--once', '--once', [CompletionResultType]::ParameterName, 'Skip a mailbox that already has this message')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Deliver nothing; report what would be done')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Deliver nothing; report what would be done')
            [CompletionResult]::new('--from-mta', '--from-mta', [CompletionResultType]::ParameterName, 'The message comes directly from an MTA that writes trace fields')
            [CompletionResult]::new('--dot-qmail', '--dot-qmail', [CompletionResultType]::ParameterName, 'Deliver by the .qmail files in --home, see dot-qmail(5)')
            [CompletionResult]::new('--no-sandbox', '--no-sandbox', [CompletionResultType]::ParameterName, 'Run without the sandbox, to see whether it causes an error')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 1 if there are warnings')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;inject' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Envelope sender, may be empty [default: Return-Path, or the author]')
            [CompletionResult]::new('--sender', '--sender', [CompletionResultType]::ParameterName, 'Envelope sender, may be empty [default: Return-Path, or the author]')
            [CompletionResult]::new('--via', '--via', [CompletionResultType]::ParameterName, 'Next hop; repeat it for fallbacks')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates of authorities (PEM) that replace the system''s')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'File whose first line is the password; only its owner has access')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Shell command whose first line of output is the password')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Time limit for a next hop')
            [CompletionResult]::new('--message-id', '--message-id', [CompletionResultType]::ParameterName, 'Content of a new Message-ID')
            [CompletionResult]::new('--spool-dir', '--spool-dir', [CompletionResultType]::ParameterName, 'Directory for large messages and those for programs [default: $TMPDIR or /tmp]')
            [CompletionResult]::new('--exit-codes', '--exit-codes', [CompletionResultType]::ParameterName, 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour the report')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show progress on standard error')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Recipients are the arguments only')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Recipients are those in the header only')
            [CompletionResult]::new('-H', '-H ', [CompletionResultType]::ParameterName, 'Recipients are the arguments and those in the header')
            [CompletionResult]::new('-A', '-A ', [CompletionResultType]::ParameterName, 'Recipients are the arguments, or without any those in the header (default)')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Print the message with its Return-Path on top; send nothing')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Print the message with its Return-Path on top; send nothing')
            [CompletionResult]::new('-N', '-N ', [CompletionResultType]::ParameterName, 'Send it (default)')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 1 if there are warnings')
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
            [CompletionResult]::new('--no-sandbox', '--no-sandbox', [CompletionResultType]::ParameterName, 'Run without the sandbox, to see whether it causes an error')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: findings, then one summary')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'List every finding, including infos')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Exit with 1 if there are warnings')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;report' {
            [CompletionResult]::new('--accounts', '--accounts', [CompletionResultType]::ParameterName, 'List of all accounts, as for convert')
            [CompletionResult]::new('--html', '--html', [CompletionResultType]::ParameterName, 'Also write the report into FILE.html')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'Number of worker threads [default: all cores]')
            [CompletionResult]::new('--redact', '--redact', [CompletionResultType]::ParameterName, 'Leave out the names of users and hosts, and the errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Report in JSON Lines: accounts that are not done, then one summary')
            [CompletionResult]::new('--csv', '--csv', [CompletionResultType]::ParameterName, 'Print a row for each account, as CSV')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print only the accounts that are not done')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print only the accounts that are not done')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'On a terminal, list all accounts that are not done')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'On a terminal, list all accounts that are not done')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mailferry;bounce' {
            [CompletionResult]::new('--max-size', '--max-size', [CompletionResultType]::ParameterName, 'Refuse a message with more bytes')
            [CompletionResult]::new('--exit-codes', '--exit-codes', [CompletionResultType]::ParameterName, 'Exit codes: those of sysexits(3), or qmail''s 0, 100 and 111')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Write a bounce for the message on standard input')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Recipient who did not get the message; repeat it for several')
            [CompletionResult]::new('--recipient', '--recipient', [CompletionResultType]::ParameterName, 'Recipient who did not get the message; repeat it for several')
            [CompletionResult]::new('--status', '--status', [CompletionResultType]::ParameterName, 'Status code of the failure, such as 5.1.1 (RFC 3463)')
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'Reason: a sentence, or the reply of an SMTP server')
            [CompletionResult]::new('--remote-mta', '--remote-mta', [CompletionResultType]::ParameterName, 'Host that refused the message')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Sender of the message, who gets the bounce [default: $SENDER, Return-Path]')
            [CompletionResult]::new('--sender', '--sender', [CompletionResultType]::ParameterName, 'Sender of the message, who gets the bounce [default: $SENDER, Return-Path]')
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
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check mailboxes for damage, and that converted mail is complete')
            [CompletionResult]::new('deliver', 'deliver', [CompletionResultType]::ParameterValue, 'Deliver the message on standard input into a Maildir or mbox, safely')
            [CompletionResult]::new('inject', 'inject', [CompletionResultType]::ParameterValue, 'Complete the message on standard input and send it')
            [CompletionResult]::new('inspect', 'inspect', [CompletionResultType]::ParameterValue, 'Show what is in a mailbox, and why each message begins where it does')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Add up the results of many accounts')
            [CompletionResult]::new('bounce', 'bounce', [CompletionResultType]::ParameterValue, 'Read the bounce on standard input: who did not get the message, and why; or write one')
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
        'mailferry;help;report' {
            break
        }
        'mailferry;help;bounce' {
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
