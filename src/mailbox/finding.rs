//! Findings: what is odd about mail. A finding never stops an operation, and is always reported.

mod advice;

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::mailbox::display_path;
pub use advice::Advice;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Normal in mail.
    Info,
    /// Something is odd, and mailferry made a decision that the user should check.
    Warning,
    /// Mail was skipped or is damaged.
    Error,
}

impl Severity {
    /// Returns the word in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($group:ident { $($variant:ident $name:literal $severity:ident $doc:literal,)* })*) => {
        /// The stable codes. A code is never renamed and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $doc] $variant,)*)* }

        impl Code {
            /// All codes.
            pub const ALL: &[Code] = &[$($(Code::$variant,)*)*];
            /// Returns the stable name in JSON and the manual.
            pub fn name(self) -> &'static str { match self { $($(Code::$variant => $name,)*)* } }
            /// Returns the severity.
            pub fn severity(self) -> Severity { match self { $($(Code::$variant => Severity::$severity,)*)* } }
            /// Returns the line in the manual.
            pub fn meaning(self) -> &'static str { match self { $($(Code::$variant => $doc,)*)* } }
            /// Reports whether `verify` can find it. Each of these has a fixture in tests/cli/verify.rs.
            pub fn is_of_verify(self) -> bool {
                match self { $($(Code::$variant => stringify!($group) == "verify",)*)* }
            }
        }
    };
}

// Every command has the errors of the system: they are in `other`.
codes! {
    verify {
        NotAMailbox "not-a-mailbox" Error "The input is not a mailbox of a known format. Nothing was written.",
        MboxVariant "mbox-variant" Info "The variant of an mbox, and the evidence for it.",
        MboxVotesSplit "mbox-votes-split" Warning "Quoted lines disagree about the variant. The majority decided.",
        MboxJunk "mbox-junk" Warning "Bytes before the first separator, or between frames, that belong to no message. An error in convert and verify.",
        MboxBom "mbox-bom" Warning "A byte order mark at the start of the file.",
        MboxBlankLead "mbox-blank-lead" Info "Blank lines before the first separator.",
        MboxNoBlankLine "mbox-no-blank-line" Warning "A From_ line without a blank line before it begins a message.",
        MboxNoHeader "mbox-no-header" Warning "A From_ line with a blank line after it begins a message, which has no header or is empty.",
        MboxDoubledFrom "mbox-doubled-from" Warning "A second From_ line directly after the first one. It does not begin a message.",
        MboxUndated "mbox-undated" Warning "A From_ line without a date begins a message.",
        MboxFromInBody "mbox-from-in-body" Warning "A line that could begin a message was left in the body.",
        MboxGluedFrom "mbox-glued-from" Warning "A From_ line in the middle of a line, with a header after it. A message may be glued to the one before. An error in verify.",
        MboxUnquotedFrom "mbox-unquoted-from" Warning "A line of a body begins with \"From \" and is not quoted. Other programs may begin a message there.",
        MboxAttachedFrom "mbox-attached-from" Warning "A From_ line at the start of an attached message was left in the body.",
        MboxCoveredFrom "mbox-covered-from" Warning "A From_ line inside a frame, or covered by a correct Content-Length, was left in the body.",
        MboxContentLength "mbox-content-length" Warning "A Content-Length that does not end at a separator. It was ignored. An error in verify if the last message is cut off.",
        MboxLengthNoBlank "mbox-length-no-blank" Warning "A Content-Length ends at a From_ line without a blank line before it.",
        MmdfUnclosed "mmdf-unclosed" Warning "An MMDF frame is not closed. It was read to the end of the file. An error in verify.",
        MboxPseudo "mbox-pseudo" Info "The pseudo message of UW-IMAP, which is not mail. It was skipped.",
        MboxCrOnly "mbox-cr-only" Warning "Every line ends in CR. The messages were written with LF.",
        MboxLoneCr "mbox-lone-cr" Warning "CRs without LF in a file of LF lines. They were kept.",
        MboxNul "mbox-nul" Warning "NUL bytes. They were kept. An error in verify if there are 64 in a row.",
        MboxHeaderCut "mbox-header-cut" Warning "The file ends inside the header of its last message. An error in verify if it ends inside a line.",
        MboxNoFinalNewline "mbox-no-final-newline" Warning "The mbox does not end with a newline. A careless program would append to its last line.",
        MboxNoFinalBlank "mbox-no-final-blank" Info "The mbox does not end with a blank line.",
        EmlxLength "emlx-length" Warning "The first line of an .emlx counts other bytes than there are. The property list, or the end of the file, ended the message. An error in verify.",
        EmlxPlist "emlx-plist" Warning "The property list of an .emlx is missing or damaged. The flags and the received date in it are not known.",
        EmlxPartMissing "emlx-part-missing" Error "A part of a .partial.emlx is not in the message, and no file has it. The message was written without it.",
        EmlxPartEncoded "emlx-part-encoded" Warning "A part of a .partial.emlx was put back from its file, and may be encoded otherwise than when it was received.",
        MaildirNoDirectory "maildir-no-directory" Error "One of tmp, new and cur is missing.",
        MaildirMode "maildir-mode" Warning "Directories or messages that their owner cannot use.",
        MaildirOpen "maildir-open" Warning "Directories with mail that every user of the machine can enter or list.",
        MaildirLooseMode "maildir-loose-mode" Info "Messages whose modes allow access by others. Their directories do not.",
        MaildirOwner "maildir-owner" Warning "Files or directories of another user than the owner of the Maildir.",
        MaildirBadInfo "maildir-bad-info" Warning "A file name whose info is not :2, and flags in ASCII order, each once.",
        MaildirDuplicate "maildir-duplicate" Error "Two files with one base name. To a mail program they are one message.",
        MaildirUntrueSize "maildir-untrue-size" Error "The size of a file is not the S= or W= in its name.",
        MaildirStaleTmp "maildir-stale-tmp" Warning "A file in tmp that was not accessed for 36 hours.",
        MaildirFlagsInNew "maildir-flags-in-new" Info "Messages with flags in new.",
        MaildirMtime "maildir-mtime" Info "Messages whose modification time is not the date in their name.",
        UidListDamaged "uidlist-damaged" Warning "A line in a list of UIDs that its server did not write. The server ignores it, or drops the whole list.",
        MaildirsizeDrift "maildirsize-drift" Warning "The sums in maildirsize differ from the contents of the Maildir.",
        MaildirFolderName "maildir-folder-name" Warning "The name of a folder is not modified UTF-7. IMAP clients cannot use it.",
        MaildirNoMarker "maildir-no-marker" Warning "A folder without the file maildirfolder. Deliveries to it are not counted in the quota.",
        MaildirForeignFile "maildir-foreign-file" Warning "A file that does not belong to a Maildir.",
        MaildirNotAFile "maildir-not-a-file" Error "A link, directory or device in new or cur. It was not read.",
        MaildirUnfinished "maildir-unfinished" Warning "An unfinished conversion next to the Maildir.",
        FileSparse "file-sparse" Error "A sparse file in which more than 1 GiB is not on the disk. It was not read.",
        MessageEmpty "message-empty" Error "An empty message file. Its name gives another size.",
        MessageNoHeader "message-no-header" Warning "A message that does not begin with a header, or is empty.",
        MessageHeaderLine "message-header-line" Warning "A line in a header is not a field. Some readers end the header there.",
        MessageHeaderCut "message-header-cut" Warning "A message file that ends inside a header line. An error in verify.",
        MessageNul "message-nul" Warning "NUL bytes in a message file. An error in verify if there are 64 in a row.",
        MessageFromLine "message-from-line" Warning "A message file begins with a From_ line.",
        MessageFromInside "message-from-inside" Warning "A From_ line and a header inside a message file. There may be two messages in it.",
        MessageLongLine "message-long-line" Info "Lines of more than 998 bytes, the limit of RFC 5322.",
        MessageCompressed "message-compressed" Error "A message file that a server encrypted, or compressed in a way that is not read. It was skipped.",
        MessageGone "message-gone" Error "A message in the manifest is not in the Maildir.",
        MessageChanged "message-changed" Error "A message has other bytes than the manifest says.",
        MessageSwapped "message-swapped" Error "Two messages have each other's bytes.",
        MessageRenamed "message-renamed" Error "A message is there under another base name.",
        MessageCopied "message-copied" Error "A second file has the bytes of a converted message.",
        MessageMoved "message-moved" Info "A message is in another folder, or back in new.",
        MessageReflagged "message-reflagged" Info "A message has other flags than at its conversion.",
        MessageAdded "message-added" Info "Messages that were added after the conversion.",
        MessageExpunged "message-expunged" Info "A message that was removed from its folder during the run.",
        ConversionUnfinished "conversion-unfinished" Error "The manifest has a section that is not complete.",
        ManifestDamaged "manifest-damaged" Error "The manifest was changed, or is of another version.",
        MessageUnrecorded "message-unrecorded" Warning "Messages have names that convert gives, but no section of the manifest names them.",
        FolderDeleted "folder-deleted" Error "A folder that convert created is gone, with its mail.",
        FolderMoved "folder-moved" Info "A folder that convert created is at another place in its tree.",
        FolderUnlisted "folder-unlisted" Warning "A folder that convert created is not in the manifest of its tree's root.",
        FolderListBehind "folder-list-behind" Info "A folder was converted since the manifest of its tree's root was written.",
        ManifestGone "manifest-gone" Error "The manifest of a folder that convert created is gone.",
        ManifestMissing "manifest-missing" Warning "Messages have names that convert gives, but there is no manifest.",
        SourceCompared "source-compared" Info "How the source differs from what was converted: not at all, grown, different, or gone.",
        MessageMissing "message-missing" Error "A message is not in the other mailbox.",
        MessageExtra "message-extra" Error "A message is only in the other mailbox.",
        MessageDiffers "message-differs" Error "A message has different bytes in the other mailbox. Fields that readers rewrite are ignored.",
        MessageQuoting "message-quoting" Error "A message differs only in the > before From.",
        MessageLineEnds "message-line-ends" Warning "A message differs only in its line ends.",
        MessageFinalNewline "message-final-newline" Warning "A message differs only in its final newline, which an mbox always has.",
        FlagsDiffer "flags-differ" Error "The flags of a message differ.",
        DateDiffers "date-differs" Error "The received dates of a message differ.",
        FieldsDiffer "fields-differ" Warning "Fields that readers rewrite differ: Status, X-UID, Content-Length and similar.",
        FolderMissing "folder-missing" Error "A folder with mail is only on this side.",
        FolderExtra "folder-extra" Error "A folder with mail is only on the other side.",
        FolderEmpty "folder-empty" Warning "A folder without mail is only on one side.",
        FolderDiffers "folder-differs" Error "A message is in another folder on the other side.",
        FolderGone "folder-gone" Info "The list mailferry.folders has a directory that does not exist.",
        TreeSkipped "tree-skipped" Info "A file or link in a tree that is not mail.",
        TreeMailSkipped "tree-mail-skipped" Error "A file, link or directory in a tree was skipped, and may contain mail.",
        TreeMessage "tree-message" Warning "A file was read as one message, although lines in it look like separators.",
        RepairPlanned "repair-planned" Info "A change that --repair would make.",
        RepairDone "repair-done" Info "A change that --repair made.",
    }
    other {
        MboxUserBoundary "mbox-user-boundary" Info "A boundary was set by --boundaries.",
        DateMissing "date-missing" Warning "Messages without a real date, and a source without a modification time. They are dated 1970-01-01.",
        DateFromMtime "date-from-mtime" Info "Messages without a real date. They have the modification time of the source.",
        DateFromFields "date-from-fields" Info "Messages without a real date in their From_ line. Received or Date fields give it.",
        DateZoneAssumed "date-zone-assumed" Info "From_ lines without a time zone. They were read as UTC.",
        FlagsRead "flags-read" Info "Flags that were read from header fields, with their number and the fields.",
        FlagsInvalid "flags-invalid" Warning "A Status, X-Status, X-Mozilla-Status or X-Evolution field has an invalid value. No flag was read from what is invalid.",
        LabelsUnknown "labels-unknown" Warning "Gmail's labels are in an unknown language, so it is not known which messages are read. They were not marked as read.",
        DeletedFlagged "deleted-flagged" Info "Messages that a mail program has marked as deleted were converted.",
        DuplicateSkipped "duplicate-skipped" Info "A message that --dedupe left out, and the message that it repeats.",
        DuplicateDiffers "duplicate-differs" Warning "A message that --dedupe left out for its Message-ID, and that has other content than its twin.",
        NotSelected "not-selected" Info "Messages that --since or --before left out. An error in convert --exact, which cannot restore them.",
        DeletedSkipped "deleted-skipped" Info "Messages that a mail program has marked as deleted were left out.",
        KeywordRenamed "keyword-renamed" Info "A keyword or label is not valid in IMAP. The new name is reported.",
        KeywordsOverflow "keywords-overflow" Warning "There are more keywords than the 26 letters of a Maildir. Messages were written without the others.",
        DateZone "date-zone" Info "From_ lines without a time zone. The Received fields show it.",
        LockUnwritable "lock-unwritable" Warning "The dot-lock could not be created. The source was read without it.",
        LockUnsupported "lock-unsupported" Warning "The file system does not support a lock. The source was read without it.",
        StageRemoved "stage-removed" Info "An unfinished conversion of an earlier run was removed.",
        IoError "io-error" Error "The system refused a read or write. No half-written mailbox is visible.",
        Locked "locked" Error "Another program holds a lock.",
        SourceChanged "source-changed" Error "The source grew, shrank or was rewritten while it was read.",
        DestinationRefused "destination-refused" Error "The destination exists and cannot be used, or has the wrong format.",
        DamagedCompression "damaged-compression" Error "Compressed data ends early or cannot be decompressed.",
        ArchiveUnreadable "archive-unreadable" Error "An archive is cut off or damaged, or unpacks to more than a limit. None of it was read.",
        ArchiveRepeated "archive-repeated" Info "Members that are twice in the archives of a command, byte for byte. They were read once.",
        ArchiveNewer "archive-newer" Warning "A member of an archive shares messages with the member of its name in another archive. They are written again.",
        InsufficientSpace "no-room" Error "There are too few free bytes or inodes. Nothing was written.",
        FinalNewline "final-newline" Info "Messages without a final newline got one, because an mbox needs it.",
        HeaderQuoted "header-quoted" Warning "A header line that begins with \"From \" was quoted permanently. Readers do not unquote headers.",
        QuotingAmbiguous "quoting-ambiguous" Warning "Body lines begin with >From. mboxo and mboxcl cannot distinguish them from quoted lines.",
        ReadBackDiffers "read-back-differs" Warning "A message of a written mbox reads back with other bytes unless a prefix names the variant.",
        FromDoubled "from-doubled" Warning "A message begins with a continuation line. Its From_ line was written twice.",
        FlagsUnsaid "flags-unsaid" Warning "Keyword letters without a name in dovecot-keywords. They cannot be written to an mbox.",
        FlagsLeftOut "flags-left-out" Warning "Messages with flags or keywords that .eml files do not have. The files have the bytes of messages only.",
        FoldersLeft "folders-left" Warning "Folders of a Maildir were not converted with it.",
        FolderRenamed "folder-renamed" Info "A folder could not keep its name.",
        SubscriptionLost "subscription-lost" Info "A subscribed folder does not exist.",
        FolderMailSkipped "folder-mail-skipped" Error "New mail was skipped, because its folder was deleted since it was converted.",
        FolderNotRestored "folder-not-restored" Warning "A folder was deleted since it was converted. Its source was not converted again.",
        UidsNotKept "uids-not-kept" Warning "Messages get other UIDs than they had. IMAP and POP3 clients download them again.",
        AclsLeft "acls-left" Info "Files with the rights of other users to a folder were not copied.",
        IndexesLeft "indexes-left" Info "Lists and indexes of an IMAP server were not copied.",
        NameTaken "name-taken" Warning "The name of a message is taken in the destination. It was copied under another name.",
        BoundariesFile "boundaries-file" Error "The file of --boundaries is invalid.",
        SourceKnown "source-known" Info "This source was converted before. Nothing was left to do.",
        SourcePartial "source-partial" Info "The source was converted before, and not all of it was selected. What this selection adds was written.",
        SourceGrowing "source-growing" Info "The source grew while it was read with --live.",
        SourceGrown "source-grown" Info "The source has grown since it was converted. Only new messages were written.",
        SourceRewritten "source-rewritten" Info "The source was rewritten since it was converted. Its messages were matched by content.",
        SourceReplaced "source-replaced" Warning "The source has none of the messages that were converted from its path before. It was converted as a new one.",
        OptionsChanged "options-changed" Warning "Options differ from those of an earlier run. What was converted then is unchanged.",
        SourceResumed "source-resumed" Info "A conversion that was killed was completed.",
        Unsupported "unsupported" Error "This version does not support what was asked for.",
        NotDelivered "not-delivered" Error "A message was not delivered.",
        Interrupted "interrupted" Error "SIGINT, SIGTERM or SIGHUP.",
    }
}

/// Something odd, its position, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub code: Code,
    /// The severity: that of the kind, or of damage in a verification.
    pub severity: Severity,
    /// The mail is damaged. Where it is converted as it is, this is a warning; where it is verified, an error.
    pub is_damage: bool,
    /// The file, if it is not the mailbox of the report.
    pub path: Option<PathBuf>,
    /// The byte offset in the uncompressed source, counted from 0.
    pub offset: Option<u64>,
    /// The line in the source, counted from 1. Set once all findings of a source are known.
    pub line: Option<u64>,
    /// A sentence.
    pub message: Cow<'static, str>,
    /// The remedy, if there is one.
    pub hint: Option<Cow<'static, str>>,
    /// For an error: the same command may succeed later.
    pub retry: bool,
}

impl Finding {
    /// Returns a finding about a whole file.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Finding {
        let message = message.into();
        let severity = code.severity();
        Finding {
            code,
            severity,
            is_damage: false,
            path: None,
            offset: None,
            line: None,
            message,
            hint: None,
            retry: false,
        }
    }

    /// Returns a finding at a byte of the source.
    pub fn at(code: Code, offset: u64, message: impl Into<Cow<'static, str>>) -> Finding {
        Finding { offset: Some(offset), ..Finding::new(code, message) }
    }

    /// Sets the file.
    pub fn in_file(mut self, path: impl Into<PathBuf>) -> Finding {
        self.path = Some(path.into());
        self
    }

    /// Marks the mail as damaged.
    pub fn as_damage(self) -> Finding {
        Finding { is_damage: true, ..self }
    }

    /// Sets the remedy.
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Finding {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the JSON object in reports. `path` is that of the mailbox. `mend` is the old name of `hint`.
    pub fn to_json(&self, path: Option<&Path>) -> Value {
        let severity = self.severity;
        let mut object = json!({
            "type": "finding",
            "code": self.code.name(),
            "severity": severity.name(),
            "path": self.path.as_deref().or(path).map(display_path),
            "message": self.message,
        });
        let optional = [
            ("offset", self.offset.map(Value::from)),
            ("line", self.line.map(Value::from)),
            ("hint", self.hint.as_deref().map(Value::from)),
            ("mend", self.hint.as_deref().map(Value::from)),
            ("retry", (severity == Severity::Error).then(|| self.retry.into())),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                object[key] = value;
            }
        }
        object
    }
}

/// Sorts findings by offset, and sets the line of those that have one. `text` is the source with LF line ends.
/// `release` is called with the ranges that were read.
pub(crate) fn number_lines(findings: &mut [Finding], text: &[u8], release: &(dyn Fn(Range<usize>) + Sync)) {
    findings.sort_by_key(|f| f.offset);
    const WINDOW: usize = 4 << 20;
    let count = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
    let end_of = |finding: &Finding| Some((finding.offset? as usize).min(text.len()));
    let last = findings.iter().filter_map(end_of).next_back().unwrap_or(0);
    let counted = |n: usize| {
        let window = n * WINDOW..(n + 1) * WINDOW;
        let lines = count(&text[window.clone()]);
        release(window);
        lines
    };
    let in_windows: Vec<u64> = match last / WINDOW {
        // Waking another thread takes longer.
        0 => Vec::new(),
        windows => (0..windows).into_par_iter().map(counted).collect(),
    };
    let (mut line, mut at) = (1, 0);
    for finding in findings {
        let Some(offset) = end_of(finding) else { continue };
        while at / WINDOW < offset / WINDOW {
            let (n, next) = (at / WINDOW, (at / WINDOW + 1) * WINDOW);
            if at % WINDOW == 0 {
                line += in_windows[n];
            } else {
                line += count(&text[at..next]);
                release(n * WINDOW..next);
            }
            at = next;
        }
        line += count(&text[at..offset]);
        at = offset;
        finding.line = Some(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_spelled_alike() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn lines_are_counted_alike_wherever_the_findings_stand() {
        let text: Vec<u8> =
            (0..13 << 20).map(|n: u32| if n.is_multiple_of(61) { b'\n' } else { b'a' }).collect();
        let offsets = [0, 1, 62, (4 << 20) - 1, 4 << 20, (4 << 20) + 9, 12 << 20, 13 << 20, 99 << 20];
        let mut findings: Vec<_> = offsets.map(|at| Finding::at(Code::MboxNul, at, "")).into();
        number_lines(&mut findings, &text, &|_| ());
        for finding in findings {
            let offset = (finding.offset.unwrap() as usize).min(text.len());
            let lines = text[..offset].iter().filter(|&&b| b == b'\n').count() as u64;
            assert_eq!(finding.line, Some(lines + 1), "{offset}");
        }
    }

    #[test]
    fn lines_count_from_one_and_findings_come_in_file_order() {
        let text = b"a\nb\nc\n";
        let mut findings = vec![
            Finding::at(Code::MboxNul, 4, "third line"),
            Finding::at(Code::MboxNul, 0, "first line"),
            Finding::new(Code::MboxVariant, "the file"),
        ];
        number_lines(&mut findings, text, &|_| ());
        let lines: Vec<_> = findings.iter().map(|f| f.line).collect();
        assert_eq!(lines, [None, Some(1), Some(3)]);
    }
}
