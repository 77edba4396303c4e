//! Findings: what is odd about mail. A finding never stops an operation, and is always reported.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::mailbox::display_path;

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
        NotAMailbox "not-a-mailbox" Error "The input holds no mailbox of a known format; nothing was written.",
        MboxVariant "mbox-variant" Info "Which mbox variant the file is, and by what evidence.",
        MboxVotesSplit "mbox-votes-split" Warning "The quoted lines disagree about the variant; the majority was followed.",
        MboxJunk "mbox-junk" Warning "Bytes before the first separator (or between frames) that belong to no message: an error in convert and verify.",
        MboxBom "mbox-bom" Warning "A byte order mark at the start of the file.",
        MboxBlankLead "mbox-blank-lead" Info "Blank lines before the first separator.",
        MboxNoBlankLine "mbox-no-blank-line" Warning "A separator without a blank line before it.",
        MboxNoHeader "mbox-no-header" Warning "A separator followed by a blank line: a message without header, or empty.",
        MboxDoubledFrom "mbox-doubled-from" Warning "A From_ line directly after a From_ line: taken as a second envelope, not as a message.",
        MboxUndated "mbox-undated" Warning "A From_ line without a date, taken as a separator.",
        MboxFromInBody "mbox-from-in-body" Warning "A line that could have been a separator was left in the body.",
        MboxUnquotedFrom "mbox-unquoted-from" Warning "A line of a body that begins with \"From \" unquoted; other readers may begin a message there.",
        MboxAttachedFrom "mbox-attached-from" Warning "A From_ line at the head of an attached message, left in the body.",
        MboxCoveredFrom "mbox-covered-from" Warning "A From_ line inside a frame or under a validated Content-Length, left in the body.",
        MboxContentLength "mbox-content-length" Warning "A Content-Length that does not end at a separator; it was ignored. If the last message is cut off, an error in verify.",
        MboxLengthNoBlank "mbox-length-no-blank" Warning "A Content-Length that ends at a From_ line without a blank line between.",
        MmdfUnclosed "mmdf-unclosed" Warning "An MMDF frame that is never closed; it was read up to the end of the file. An error in verify.",
        MboxPseudo "mbox-pseudo" Info "UW-IMAP's pseudo message: not mail, skipped.",
        MboxCrOnly "mbox-cr-only" Warning "Every line ends in CR; the messages were turned to LF.",
        MboxLoneCr "mbox-lone-cr" Warning "Lone CRs in a file of LF lines; they were kept.",
        MboxNul "mbox-nul" Warning "NUL bytes; they were kept. 64 in a row are an error in verify.",
        MboxHeaderCut "mbox-header-cut" Warning "The file ends inside the header of its last message: inside a line, an error in verify.",
        MboxNoFinalNewline "mbox-no-final-newline" Warning "The mbox does not end with a line end: what is appended carelessly sticks to its last line.",
        MboxNoFinalBlank "mbox-no-final-blank" Info "The mbox does not end with a blank line.",
        MaildirNoDirectory "maildir-no-directory" Error "One of tmp/, new/ and cur/ is missing.",
        MaildirMode "maildir-mode" Warning "Directories or messages that their own owner may not use.",
        MaildirOpen "maildir-open" Warning "Directories with mail that every user of the machine may enter or list.",
        MaildirLooseMode "maildir-loose-mode" Info "Messages whose modes allow more than their owner; their directories keep others out.",
        MaildirOwner "maildir-owner" Warning "Files or directories that belong to another user than the Maildir.",
        MaildirBadInfo "maildir-bad-info" Warning "A file name whose info is not :2, and flags in ASCII order, each once.",
        MaildirDuplicate "maildir-duplicate" Error "Two files with one base name: to a reader they are the same message.",
        MaildirUntrueSize "maildir-untrue-size" Error "A file whose size is not the S= or W= in its name.",
        MaildirStaleTmp "maildir-stale-tmp" Warning "A file in tmp/ that nobody has touched for 36 hours: a delivery that was cut off.",
        MaildirFlagsInNew "maildir-flags-in-new" Info "Messages with flags in new/.",
        MaildirMtime "maildir-mtime" Info "Messages whose modification time is not the date in their name; IMAP's APPEND makes such.",
        MaildirsizeDrift "maildirsize-drift" Warning "The file maildirsize does not add up to what is there.",
        MaildirFolderName "maildir-folder-name" Warning "A folder whose name is not the modified UTF-7 of IMAP.",
        MaildirNoMarker "maildir-no-marker" Warning "A folder without its file maildirfolder.",
        MaildirForeignFile "maildir-foreign-file" Warning "A file that belongs to no Maildir that we know of.",
        MaildirNotAFile "maildir-not-a-file" Error "A link, a directory or a device where messages lie; nothing in it was looked at.",
        MaildirUnfinished "maildir-unfinished" Warning "What an unfinished conversion left beside the Maildir.",
        FileSparse "file-sparse" Error "A file of which more than 1 GiB is not on the disk, a sparse file: it was not read.",
        MessageEmpty "message-empty" Error "A message file without a byte in it, by a name that does not say so.",
        MessageNoHeader "message-no-header" Warning "A message that does not begin with a header, or is empty as its name says.",
        MessageHeaderLine "message-header-line" Warning "A line in a header that is no field: readers end the header there, or pass over it.",
        MessageHeaderCut "message-header-cut" Warning "A message file that ends in the middle of a header line: an error in verify.",
        MessageNul "message-nul" Warning "NUL bytes in a message file, as a crash leaves them. 64 in a row are an error in verify.",
        MessageFromLine "message-from-line" Warning "A message file that begins with a From_ line: an mbox remains in it.",
        MessageFromInside "message-from-inside" Warning "A From_ line with a header behind it inside a message file: two messages may be in it.",
        MessageLongLine "message-long-line" Info "Lines of more than 998 bytes (RFC 5322).",
        MessageCompressed "message-compressed" Warning "A message file that a server has compressed; its contents were not looked at.",
        MessageGone "message-gone" Error "A message that the manifest names is not in the Maildir.",
        MessageChanged "message-changed" Error "A message is not the bytes that the manifest names.",
        MessageSwapped "message-swapped" Error "Two messages that the manifest names have each other's bytes.",
        MessageRenamed "message-renamed" Error "A message that the manifest names is there, under another base name.",
        MessageCopied "message-copied" Error "A second file has the bytes of a message that the manifest names.",
        MessageMoved "message-moved" Info "A message lies in another folder, or back in new/, since it was converted.",
        MessageReflagged "message-reflagged" Info "A message has other flags than when it was converted.",
        MessageAdded "message-added" Info "Messages that came after the conversion.",
        MessageExpunged "message-expunged" Info "A message that was removed from its folder during the run.",
        ConversionUnfinished "conversion-unfinished" Error "The manifest has a section that was never closed: the conversion was killed.",
        ManifestDamaged "manifest-damaged" Error "The manifest of the destination was changed or is of another version.",
        ManifestMissing "manifest-missing" Warning "Messages bear names that convert gave, and there is no manifest.",
        SourceCompared "source-compared" Info "The source as it is now beside what was converted: the same, grown, another, or gone.",
        MessageMissing "message-missing" Error "A message that the other mailbox does not have.",
        MessageExtra "message-extra" Error "A message that only the other mailbox has.",
        MessageDiffers "message-differs" Error "A message that is other bytes in the other mailbox, less the fields that readers rewrite.",
        MessageQuoting "message-quoting" Error "A message that differs only in the > before From: its text or its copy was quoted once too often.",
        MessageLineEnds "message-line-ends" Warning "A message that differs only in its line ends, CRLF or LF.",
        MessageFinalNewline "message-final-newline" Warning "A message without a final newline, to which an mbox had to add one.",
        FlagsDiffer "flags-differ" Error "The flags of a message differ, or only one side has seen that it is there.",
        DateDiffers "date-differs" Error "The received dates of a message differ.",
        FieldsDiffer "fields-differ" Warning "The fields of a message differ that readers rewrite: Status, X-UID, Content-Length and the like.",
        FolderMissing "folder-missing" Error "A folder with mail that only this side has.",
        FolderExtra "folder-extra" Error "A folder with mail that only the other side has.",
        FolderEmpty "folder-empty" Warning "A folder without mail that only one side has.",
        FolderDiffers "folder-differs" Error "A message that lies in another folder on the other side.",
        FolderGone "folder-gone" Info "The list mailferry.folders says what a directory was called that is not there.",
        TreeSkipped "tree-skipped" Info "A file or link of a tree that holds no mail of its own.",
        TreeMailSkipped "tree-mail-skipped" Error "A file, link or directory of a tree that was passed over and in which mail may be.",
        TreeMessage "tree-message" Warning "A file that begins with a header was taken as one message, though lines in it look like separators.",
        RepairPlanned "repair-planned" Info "What --repair would do.",
        RepairDone "repair-done" Info "What --repair did.",
    }
    other {
        MboxUserBoundary "mbox-user-boundary" Info "A boundary was decided by --boundaries.",
        DateMissing "date-missing" Warning "A message has no date that is real, and its source has no modification time; it is dated 0.",
        DateFromMtime "date-from-mtime" Info "Messages without a date that is real; they are dated as the source file.",
        DateFromFields "date-from-fields" Info "Messages without a real date in their From_ line; they are dated by Received or Date fields.",
        DateZoneAssumed "date-zone-assumed" Info "From_ lines without a zone; they were taken as UTC.",
        FlagsRead "flags-read" Info "Flags that were read from header fields, how many, and from which fields.",
        DeletedFlagged "deleted-flagged" Info "Messages that a mail program has marked as deleted were converted, with the flag T or without.",
        DeletedSkipped "deleted-skipped" Info "Messages that a mailer has marked as deleted were left out, as --deleted skip has it.",
        KeywordRenamed "keyword-renamed" Info "A keyword or label that is no word to IMAP; what it is called instead.",
        KeywordsOverflow "keywords-overflow" Warning "More keywords than the 26 that a Maildir has letters for; messages came without the others.",
        DateZone "date-zone" Info "From_ lines without a zone; theirs was found by the Received fields.",
        LockUnwritable "lock-unwritable" Warning "The dot-lock could not be written; the source was read without it.",
        LockUnsupported "lock-unsupported" Warning "The file system has no lock of that kind; the source was read without it.",
        StageRemoved "stage-removed" Info "An unfinished conversion of an earlier run was removed.",
        IoError "io-error" Error "The system refused a read or a write; nothing was half-published.",
        Locked "locked" Error "Somebody else holds a lock.",
        SourceChanged "source-changed" Error "The source grew, shrank or was rewritten while it was read.",
        DestinationRefused "destination-refused" Error "The destination cannot be what it would have to be.",
        DamagedCompression "damaged-compression" Error "Compressed data that ends early or does not decode.",
        InsufficientSpace "no-room" Error "Too few free bytes or inodes; found before anything was written.",
        FinalNewline "final-newline" Info "Messages without a final newline; an mbox cannot say that, and each got one.",
        HeaderQuoted "header-quoted" Warning "A line of a header that begins with From got a > for good: readers take none off a header.",
        QuotingAmbiguous "quoting-ambiguous" Warning "Lines of a body begin with >From already; mboxo and mboxcl cannot tell them from quoted ones.",
        ReadBackDiffers "read-back-differs" Warning "A message of a written mbox that reads back with other bytes unless a prefix names the variant.",
        FromDoubled "from-doubled" Warning "A message begins with a continuation line; its From_ line was written twice, so that it is known for one.",
        FlagsUnsaid "flags-unsaid" Warning "Letters of keywords that no dovecot-keywords names; an mbox cannot say them.",
        FoldersLeft "folders-left" Warning "Folders of a Maildir that were not converted with it.",
        FolderRenamed "folder-renamed" Info "A folder that could not keep its name where it went.",
        SubscriptionLost "subscription-lost" Info "A folder that its user has subscribed to and that is not there.",
        IndexesLeft "indexes-left" Info "Lists and indexes of an IMAP server in a Maildir that was copied; they were not.",
        NameTaken "name-taken" Warning "A message whose name another one has in the destination; it was copied under a name of its own.",
        BoundariesFile "boundaries-file" Error "The file given with --boundaries says something impossible.",
        SourceKnown "source-known" Info "A source of these bytes was converted before; nothing was left to do.",
        SourceGrowing "source-growing" Info "A source that grew while it was read with --live: what came meanwhile is left for the next run.",
        SourceGrown "source-grown" Info "A source that has grown since it was converted: only what is new was written.",
        SourceRewritten "source-rewritten" Info "A source that was rewritten since it was converted: its messages were matched by content.",
        SourceReplaced "source-replaced" Warning "A source without any of the messages that were converted from its path before; it was taken as a new one.",
        OptionsChanged "options-changed" Warning "Options differ from those of an earlier run of this source; what was converted then stays unchanged.",
        SourceResumed "source-resumed" Info "A conversion that was killed was completed.",
        Unsupported "unsupported" Error "Asked for by name, and not done by this version.",
        NotDelivered "not-delivered" Error "A message was not delivered; its enhanced status code says why, and whether trying again can help.",
        Interrupted "interrupted" Error "SIGINT, SIGTERM or SIGHUP; the same command continues.",
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
