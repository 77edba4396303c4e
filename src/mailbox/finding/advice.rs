//! The usual cause of each finding, and what to do. `docs/findings.md` and mailferry-findings(7) are made from it.

use super::Code;

/// The usual cause of a finding, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// A sentence.
    pub cause: &'static str,
    /// An instruction; "Nothing." if there is nothing to do.
    pub remedy: &'static str,
}

impl Advice {
    /// Returns the remedy in the form of messages; None if there is nothing to do.
    pub(crate) fn hint(self) -> Option<String> {
        let sentences = self.remedy.trim_end_matches('.').split(". ");
        let lower = |sentence: &str| {
            let mut chars = sentence.chars();
            chars.next().map(|first| first.to_lowercase().collect::<String>() + chars.as_str())
        };
        let hint = sentences.filter_map(lower).collect::<Vec<_>>().join("; ");
        (hint != "nothing").then_some(hint)
    }
}

const fn advice(cause: &'static str, remedy: &'static str) -> Advice {
    Advice { cause, remedy }
}

impl Code {
    /// Returns the usual cause, and what to do.
    pub fn advice(self) -> Advice {
        match self {
            Code::NotAMailbox => advice(
                "The file is not mail, or mailferry does not read its format.",
                "Name the right file. For a file with one message, write rfc822:PATH.",
            ),
            Code::MboxVariant => advice(
                "Reported for every mbox.",
                "If the variant is wrong, name it with a prefix, such as mboxo:PATH.",
            ),
            Code::MboxVotesSplit => advice(
                "Programs with different quoting wrote to the file.",
                "Read some quoted lines. If the variant is wrong, name it with a prefix.",
            ),
            Code::MboxJunk => advice(
                "The start of the file was lost, or something else was written into it.",
                "Look at the line that is reported. The manifest keeps these bytes, and convert --exact restores them.",
            ),
            Code::MboxBom => advice("An editor wrote it.", "Nothing."),
            Code::MboxBlankLead => advice("An editor or a script left them.", "Nothing."),
            Code::MboxNoBlankLine => advice(
                "pipermail and some scripts leave out the blank line.",
                "Check the boundary with inspect --boundaries.",
            ),
            Code::MboxNoHeader => advice(
                "The header was lost, or the line is text.",
                "Check the boundary with inspect --boundaries, and change it with convert --boundaries.",
            ),
            Code::MboxDoubledFrom => {
                advice("A delivery program added a From_ line to a message that had one.", "Nothing.")
            }
            Code::MboxUndated => {
                advice("Some writers leave out the date.", "Check the boundary with inspect --boundaries.")
            }
            Code::MboxFromInBody => advice(
                "It is text that begins with From, or a damaged From_ line.",
                "If a message begins there, change body to separator in the list of inspect --boundaries, and convert with it.",
            ),
            Code::MboxGluedFrom => advice(
                "A program appended a message to a file without a final newline.",
                "If a message begins there, change body to separator in the list of inspect --boundaries, and convert with it.",
            ),
            Code::MboxUnquotedFrom => {
                advice("The writer does not quote.", "Convert the mbox to mboxrd:FILE, or to a Maildir.")
            }
            Code::MboxAttachedFrom => advice("A message was attached with its From_ line.", "Nothing."),
            Code::MboxCoveredFrom => advice("The message contains text of a mailbox.", "Nothing."),
            Code::MboxContentLength => advice(
                "The message was changed later, or a program counted wrongly.",
                "If the last message is cut off, look for the rest in a backup.",
            ),
            Code::MboxLengthNoBlank => advice("The writer relies on the length.", "Nothing."),
            Code::MmdfUnclosed => advice("The end of the file was lost.", "Look for the rest in a backup."),
            Code::MboxPseudo => advice("pine and UW-IMAP keep the state of the folder in it.", "Nothing."),
            Code::MboxCrOnly => {
                advice("The file is from an old Macintosh.", "Nothing. convert --exact restores the CRs.")
            }
            Code::MboxLoneCr => advice("A program or a transfer changed line ends.", "Nothing."),
            Code::MboxNul => {
                advice("A crash left a hole in the file.", "Look for the lost part in a backup.")
            }
            Code::MboxHeaderCut => advice("The end of the file was lost.", "Look for the rest in a backup."),
            Code::MboxNoFinalNewline => advice(
                "The end of the file was lost, or its writer leaves out the newline.",
                "Run mailferry verify --repair.",
            ),
            Code::MboxNoFinalBlank => advice(
                "Its writer puts the blank line before the next message.",
                "Nothing, or run mailferry verify --repair.",
            ),
            Code::EmlxLength => advice(
                "The file was cut off, or a program has edited it.",
                "Open the message in Apple Mail, which loads it again, or restore the file from a backup.",
            ),
            Code::EmlxPlist => {
                advice("The file was cut off or damaged.", "Nothing. The message was converted.")
            }
            Code::EmlxPartMissing => advice(
                "Apple Mail has not loaded the attachment, or its file was deleted.",
                "Open the message in Apple Mail, and run the command again.",
            ),
            Code::EmlxPartEncoded => advice(
                "Apple Mail keeps attachments decoded, and several encodings give the same bytes.",
                "Nothing. The content is the same; a signature of the sender may not verify.",
            ),
            Code::MaildirNoDirectory => advice(
                "git, archives and some copies leave out empty directories.",
                "Run mailferry verify --repair.",
            ),
            Code::MaildirMode => advice("A copy or a umask set the mode.", "Run mailferry verify --repair."),
            Code::MaildirOpen => advice("A copy or a umask set the mode.", "Run mailferry verify --repair."),
            Code::MaildirLooseMode => advice("Another program creates messages with this mode.", "Nothing."),
            Code::MaildirOwner => advice("Root copied or restored them.", "As root, run chown on them."),
            Code::MaildirBadInfo => advice(
                "A program with its own flags, or a file system without colons, wrote it.",
                "Nothing. Mail programs may ignore the flags.",
            ),
            Code::MaildirDuplicate => advice(
                "A copy or restore added the same files with other flags.",
                "Compare the two files. Move one of them away if they are equal.",
            ),
            Code::MaildirUntrueSize => advice(
                "The message was changed or cut off.",
                "Compare it with a backup. Do not rename it: the name is its identity.",
            ),
            Code::MaildirStaleTmp => advice(
                "A delivery was interrupted.",
                "Run mailferry verify --repair, which moves it to mailferry-lost. It may be mail.",
            ),
            Code::MaildirFlagsInNew => advice("mbsync and some other programs put them there.", "Nothing."),
            Code::MaildirMtime => advice("IMAP APPEND and copies set it.", "Nothing."),
            Code::MaildirsizeDrift => advice(
                "A program that does not update the file added or removed mail.",
                "The next delivery counts again. To force that, remove the file after noting its first line.",
            ),
            Code::MaildirFolderName => advice("A script created the folder.", "Rename the directory."),
            Code::MaildirNoMarker => {
                advice("A script created the folder.", "Create the empty file that is reported.")
            }
            Code::MaildirForeignFile => {
                advice("A program or user put it there.", "Look at it, and move it away if it is not needed.")
            }
            Code::MaildirNotAFile => advice(
                "A program or user put it there.",
                "Look at it. If it is mail, put a regular file in its place.",
            ),
            Code::MaildirUnfinished => {
                advice("convert was killed, or is running.", "Run the same convert command again.")
            }
            Code::FileSparse => advice(
                "A crash, or a program that set the size of the file.",
                "If the holes are meant, make a copy with cp --sparse=never.",
            ),
            Code::MessageEmpty => advice("A full disk or a crash.", "Look for the message in a backup."),
            Code::MessageNoHeader => advice(
                "The message was cut off, or something else was written into the file.",
                "Look at the message, and look for it in a backup.",
            ),
            Code::MessageHeaderLine => advice("A program wrote a damaged header.", "Nothing."),
            Code::MessageHeaderCut => advice("A full disk or a crash.", "Look for the message in a backup."),
            Code::MessageNul => {
                advice("A crash left a hole in the file.", "Look for the message in a backup.")
            }
            Code::MessageFromLine => advice(
                "Another program converted an mbox.",
                "Nothing. Mail programs may show the message without a header.",
            ),
            Code::MessageFromInside => advice(
                "Another program missed a boundary of an mbox.",
                "Convert the original mbox again, or split the file.",
            ),
            Code::MessageLongLine => advice("The sender wrote them.", "Nothing."),
            Code::MessageCompressed => advice(
                "Dovecot wrote it with lz4 or with its mail_crypt plugin, or it is compressed twice.",
                "Read it with that server, for example with doveadm.",
            ),
            Code::MessageGone => advice(
                "It was deleted after the conversion.",
                "Ignore this if the user deleted it. Otherwise restore it from a backup or the source.",
            ),
            Code::MessageChanged => {
                advice("A program or a disk error changed it.", "Compare it with a backup or the source.")
            }
            Code::MessageSwapped => advice("Files were renamed.", "Exchange the names of the two files."),
            Code::MessageRenamed => advice(
                "A program renamed it, which gives it a new identity.",
                "Run the mv command that is reported.",
            ),
            Code::MessageCopied => {
                advice("A program or user copied it.", "Remove the copy if it is not wanted.")
            }
            Code::MessageMoved => advice("A user or mail program moved it.", "Nothing."),
            Code::MessageReflagged => advice("A user or mail program changed them.", "Nothing."),
            Code::MessageAdded => advice("New mail.", "Nothing."),
            Code::MessageExpunged => {
                advice("A mail program removed it.", "Nothing. Run the command again for an exact count.")
            }
            Code::ConversionUnfinished => {
                advice("convert was killed.", "Run the same convert command again.")
            }
            Code::ManifestDamaged => {
                advice("A program, a user or a disk error changed it.", "Restore it from a backup.")
            }
            Code::MessageUnrecorded => advice(
                "A section was cut off the manifest, they are from another Maildir, or convert ran with --no-manifest.",
                "Restore the manifest from a backup, or run the same convert command again.",
            ),
            Code::FolderDeleted => advice(
                "A user or a mail program deleted it.",
                "Nothing, if that is expected. convert --new-source converts its source again.",
            ),
            Code::FolderMoved => advice("A user or a mail program renamed it.", "Nothing."),
            Code::FolderUnlisted => advice(
                "A conversion was killed, or the manifest of the root was deleted or cut off.",
                "Run the same convert command again.",
            ),
            Code::FolderListBehind => advice(
                "The folder was converted by itself, a conversion of the tree was killed, or the list was cut off.",
                "Nothing. The next conversion of the tree brings the list up to date.",
            ),
            Code::ManifestGone => advice(
                "It was deleted, or left out of a copy.",
                "Restore it from a backup, or compare with the source by verify --against.",
            ),
            Code::ManifestMissing => advice(
                "It was deleted, left out of a copy, or convert ran with --no-manifest.",
                "Restore it from a backup, or compare with the source by verify --against.",
            ),
            Code::SourceCompared => advice(
                "Reported for each source in a manifest.",
                "If it has grown, run the same convert command again.",
            ),
            Code::MessageMissing => advice(
                "It was not converted, or was deleted there.",
                "Run convert, which writes only what is missing.",
            ),
            Code::MessageExtra => {
                advice("It arrived later, or was deleted on this side.", "Nothing, if that is expected.")
            }
            Code::MessageDiffers => {
                advice("A program changed it.", "Compare the two messages at the location that is reported.")
            }
            Code::MessageQuoting => advice(
                "A program quoted it once too often, or did not unquote it.",
                "Name the variant of the mbox with a prefix, and compare again.",
            ),
            Code::MessageLineEnds => {
                advice("It was converted with --eol, or transferred as text.", "Nothing.")
            }
            Code::MessageFinalNewline => {
                advice("The message had none before it was written to an mbox.", "Nothing.")
            }
            Code::FlagsDiffer => {
                advice("A mail program changed them on one side.", "Nothing, if that is expected.")
            }
            Code::DateDiffers => advice(
                "A program or a copy changed the date, or time zones were assumed.",
                "Convert with --from-zone or --date.",
            ),
            Code::FieldsDiffer => advice("A mail program rewrote them.", "Nothing."),
            Code::FolderMissing => advice(
                "It was not converted, or was renamed there.",
                "If it was renamed, add --map FROM=TO. Otherwise convert it.",
            ),
            Code::FolderExtra => {
                advice("It was created or renamed there.", "If it was renamed, add --map FROM=TO.")
            }
            Code::FolderEmpty => advice("Not every program keeps empty folders.", "Nothing."),
            Code::FolderDiffers => advice("A user or filter moved it.", "Nothing, if that is expected."),
            Code::FolderGone => advice("A user removed the folder.", "Nothing."),
            Code::TreeSkipped => advice(
                "Mail programs keep indexes and settings next to mail.",
                "Nothing. convert -n -v lists these files.",
            ),
            Code::TreeMailSkipped => advice(
                "It cannot be read, or its format is not supported.",
                "Read the reason that is reported. Extract or export the mail, and convert it.",
            ),
            Code::TreeMessage => advice(
                "It begins with a header, so it is not an mbox.",
                "If it is an mbox, convert mbox:PATH.",
            ),
            Code::RepairPlanned => advice("Reported with --repair -n.", "Run the command without -n."),
            Code::RepairDone => advice("Reported with --repair.", "Nothing."),
            Code::MboxUserBoundary => advice("The list has another verdict than the table.", "Nothing."),
            Code::DateMissing => advice("No field has a date, as in some drafts.", "Nothing."),
            Code::DateFromMtime => advice("No field has a date, as in some drafts.", "Nothing."),
            Code::DateFromFields => advice("The writer of the mbox used a fixed or wrong date.", "Nothing."),
            Code::DateZoneAssumed => advice(
                "Most writers use local time and leave out the zone.",
                "Convert with --from-zone ZONE if the machine was in another zone.",
            ),
            Code::FlagsRead => advice("Reported when there are flags.", "Nothing."),
            Code::FlagsInvalid => advice(
                "A program wrote letters that have no meaning, or a number that is not hexadecimal.",
                "Check the flags of these messages in the source.",
            ),
            Code::LabelsUnknown => advice(
                "Takeout names labels in the language of the account. Read messages have no label.",
                "Mark the messages as read where needed, or set the account to English and export again.",
            ),
            Code::DeletedFlagged => advice(
                "They were deleted, but the folder was not compacted.",
                "To leave them out, convert with --deleted skip.",
            ),
            Code::DuplicateSkipped => advice("The same message was in two mailboxes.", "Nothing."),
            Code::DuplicateDiffers => advice(
                "A mailing list or a program changed one copy, or two messages got one Message-ID.",
                "Compare both messages with inspect. To keep both, use --dedupe content.",
            ),
            Code::NotSelected => advice(
                "The options --since and --before.",
                "To convert them too, convert the source again without these options.",
            ),
            Code::DeletedSkipped => advice("The option --deleted skip.", "Nothing."),
            Code::KeywordRenamed => advice("It contains blanks or other special characters.", "Nothing."),
            Code::KeywordsOverflow => advice(
                "The mail has many labels.",
                "Use --labels folders for Gmail labels. The manifest has all keywords.",
            ),
            Code::DateZone => advice("Most writers use local time and leave out the zone.", "Nothing."),
            Code::LockUnwritable => advice(
                "The directory is not writable.",
                "Stop deliveries during the run, or use --lock fcntl.",
            ),
            Code::LockUnsupported => {
                advice("Some network file systems have no locks.", "Stop deliveries during the run.")
            }
            Code::StageRemoved => {
                advice("convert was killed, and its rest did not match this run.", "Nothing.")
            }
            Code::IoError => advice(
                "Missing permission, a full disk or a hardware error.",
                "Fix the cause, and run the same command again.",
            ),
            Code::Locked => {
                advice("A delivery or another mailferry is running.", "Wait, or raise --lock-timeout.")
            }
            Code::SourceChanged => {
                advice("It is in use.", "Stop the program that writes to it, or use --live if it only grows.")
            }
            Code::DestinationRefused => advice(
                "A file, a directory or another mailbox has its name.",
                "Name another destination, or use --force or --append for an mbox.",
            ),
            Code::DamagedCompression => {
                advice("The file was cut off or damaged.", "Get the file again, or restore it from a backup.")
            }
            Code::ArchiveUnreadable => advice(
                "The download was interrupted, or the archive is made to fill the disk.",
                "Get the archive again. If it is right, unpack it yourself, or raise --spool-limit.",
            ),
            Code::ArchiveRepeated => advice(
                "The parts of a Takeout have files in common, or an archive was named twice.",
                "Nothing.",
            ),
            Code::ArchiveNewer => advice(
                "A newer Takeout or backup has another name.",
                "Convert with --dedupe content, which leaves out what is there.",
            ),
            Code::InsufficientSpace => {
                advice("The disk is too small.", "Free space, and run the same command again.")
            }
            Code::FinalNewline => advice("The sender left it out.", "Nothing."),
            Code::HeaderQuoted => advice("The header is damaged.", "Nothing."),
            Code::QuotingAmbiguous => advice("The text quotes another message.", "Write mboxrd instead."),
            Code::ReadBackDiffers => {
                advice("The file looks like another variant.", "Read it with the prefix that is reported.")
            }
            Code::FromDoubled => advice("The header is damaged.", "Nothing."),
            Code::FlagsUnsaid => advice("The list is missing or incomplete.", "Restore dovecot-keywords."),
            Code::FlagsLeftOut => {
                advice("The destination is eml:DIR.", "Nothing, or convert to an mbox or a Maildir, too.")
            }
            Code::FoldersLeft => {
                advice("The destination is a single mbox.", "Convert to mbox:DIR/, or convert each folder.")
            }
            Code::FolderRenamed => advice(
                "The layout cannot represent the name, or the name is taken.",
                "Nothing. mailferry.folders has the original name.",
            ),
            Code::SubscriptionLost => advice("It was deleted, or not converted.", "Nothing."),
            Code::FolderMailSkipped => advice(
                "What a user deletes does not come back, and new mail does not bring it back.",
                "Remove the source from the tree, give it another folder with --map, or use convert --new-source.",
            ),
            Code::FolderNotRestored => advice(
                "What a user deletes does not come back.",
                "Nothing, if that is expected. convert --new-source converts it again.",
            ),
            Code::UidListDamaged => advice(
                "The list was edited, or a write was cut off.",
                "Restore the list from a backup before a server opens the Maildir.",
            ),
            Code::UidsNotKept => advice(
                "Another program has numbered the messages of the destination, or several mailboxes went into one folder.",
                "Convert into a new Maildir to keep the UIDs, or let clients download the messages again.",
            ),
            Code::AclsLeft => advice(
                "Dovecot and Courier keep the rights of shared folders in such files.",
                "Share the folders again at the new server.",
            ),
            Code::IndexesLeft => advice("The server creates its own.", "Nothing."),
            Code::NameTaken => advice("Two messages have one base name.", "Nothing."),
            Code::BoundariesFile => advice(
                "It was edited wrongly, or is for another source.",
                "Correct the line that is reported, or create the list again.",
            ),
            Code::SourceKnown => advice("The same command was run again.", "Nothing."),
            Code::SourcePartial => advice("The command was run with --since or --before.", "Nothing."),
            Code::SourceGrowing => advice("New mail arrived.", "Run the same command again."),
            Code::SourceGrown => advice("New mail arrived.", "Nothing."),
            Code::SourceRewritten => advice("A mail program deleted messages or changed flags.", "Nothing."),
            Code::SourceReplaced => advice(
                "The mail was fetched and deleted, or the file was replaced.",
                "Nothing. With --new-source it is not reported.",
            ),
            Code::OptionsChanged => advice(
                "The command was changed.",
                "To apply them to all mail, convert into a new destination.",
            ),
            Code::SourceResumed => advice("The same command was run again.", "Nothing."),
            Code::Unsupported => advice(
                "The option or format is not built yet, or cannot be done safely.",
                "Follow the advice in the message.",
            ),
            Code::NotDelivered => advice(
                "The status code at the start of the line says why.",
                "Codes that begin with 4: try again. Codes that begin with 5: correct the cause.",
            ),
            Code::Interrupted => {
                advice("The user or the system stopped the command.", "Run the same command again.")
            }
        }
    }
}
