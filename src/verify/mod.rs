//! verify: is a mailbox sound, is it the mail that was converted, is it the same mail as another one?
//! Looking changes nothing; [`repair`] alone does, and only what loses nothing.

pub mod compare;
mod file;
pub mod maildir;
pub mod manifest;
pub mod mbox;
mod message;
pub mod repair;

use std::path::{Path, PathBuf};

use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::source::Source;
use crate::mailbox::text::display_path;
use crate::mailbox::tree::renames;
use manifest::SourceStatus;
use repair::RepairStep;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Framing, names, sizes, modes; the names that the manifest holds.
    Structure,
    /// All bytes.
    Contents,
}

/// Opens a source that a manifest names; None where nothing is there.
pub type SourceOpener<'a> = &'a (dyn Fn(&Path) -> Result<Option<Source>> + Sync);

/// How to verify.
pub struct VerifyOptions<'a> {
    /// How much to look at.
    pub depth: Depth,
    /// Now, in seconds since 1970: what is stale goes by it.
    pub now: i64,
    /// The manifest, where it is not in the Maildir.
    pub manifest: Option<&'a Path>,
    /// Where the source is now, if not where the manifest says.
    pub source: Option<&'a Path>,
    /// How sources are opened.
    pub open_source: SourceOpener<'a>,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

/// What was found in one mailbox.
#[derive(Debug)]
pub struct VerifyReport {
    /// The mailbox.
    pub path: PathBuf,
    /// Its folders, the mailbox itself first; an mbox has no other.
    pub folders: Vec<FolderSummary>,
    /// What is to be said, in the order of the mailbox.
    pub findings: Vec<Finding>,
    /// What [`repair`] can do about it.
    pub steps: Vec<RepairStep>,
    /// What became of each source that a manifest tells of.
    pub sources: Vec<SourceStatus>,
}

impl VerifyReport {
    /// Of the files of a directory that are a message each: one report of all of theirs.
    pub fn merge_messages(directory: &Path, each: Vec<VerifyReport>) -> VerifyReport {
        let path = directory.to_owned();
        let mut folder = FolderSummary { path: path.clone(), messages: 0, bytes: 0, variant: None };
        let (mut findings, mut steps) = (Vec::new(), Vec::new());
        for report in each {
            folder.messages += report.folders.iter().map(|f| f.messages).sum::<u64>();
            folder.bytes += report.folders.iter().map(|f| f.bytes).sum::<u64>();
            // Nobody asks which kind of mbox a message is.
            let told = report.findings.into_iter().filter(|finding| finding.code != Code::MboxVariant);
            findings.extend(told.map(|finding| finding.in_file(&report.path)));
            steps.extend(report.steps);
        }
        VerifyReport { path, folders: vec![folder], findings, steps, sources: Vec::new() }
    }
}

/// One folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderSummary {
    /// Where it is.
    pub path: PathBuf,
    /// Messages; UW-IMAP's pseudo message is none.
    pub messages: u64,
    /// Bytes: of an mbox all, of a Maildir those of its messages.
    pub bytes: u64,
    /// Which kind of mbox and why; None for a Maildir.
    pub variant: Option<(Variant, String)>,
}

/// What a verification may say, in the order of the manual. (Errors of the system are said too, as every
/// command does.) Each has a fixture in tests/cli/verify.rs.
pub const CODES: &[Code] = &[
    Code::NotAMailbox,
    Code::MboxVariant,
    Code::MboxVotesSplit,
    Code::MboxJunk,
    Code::MboxBom,
    Code::MboxBlankLead,
    Code::MboxNoBlankLine,
    Code::MboxNoHeader,
    Code::MboxDoubledFrom,
    Code::MboxUndated,
    Code::MboxFromInBody,
    Code::MboxUnquotedFrom,
    Code::MboxAttachedFrom,
    Code::MboxCoveredFrom,
    Code::MboxContentLength,
    Code::MboxLengthNoBlank,
    Code::MmdfUnclosed,
    Code::MboxPseudo,
    Code::MboxCrOnly,
    Code::MboxLoneCr,
    Code::MboxNul,
    Code::MboxHeaderCut,
    Code::MboxNoFinalNewline,
    Code::MboxNoFinalBlank,
    Code::MaildirNoDirectory,
    Code::MaildirMode,
    Code::MaildirOpen,
    Code::MaildirLooseMode,
    Code::MaildirOwner,
    Code::MaildirBadInfo,
    Code::MaildirDuplicate,
    Code::MaildirUntrueSize,
    Code::MaildirStaleTmp,
    Code::MaildirFlagsInNew,
    Code::MaildirMtime,
    Code::MaildirsizeDrift,
    Code::MaildirFolderName,
    Code::MaildirNoMarker,
    Code::MaildirForeignFile,
    Code::MaildirNotAFile,
    Code::MaildirUnfinished,
    Code::MessageEmpty,
    Code::MessageNoHeader,
    Code::MessageHeaderLine,
    Code::MessageHeaderCut,
    Code::MessageNul,
    Code::MessageFromLine,
    Code::MessageFromInside,
    Code::MessageLongLine,
    Code::MessageCompressed,
    Code::MessageGone,
    Code::MessageChanged,
    Code::MessageSwapped,
    Code::MessageRenamed,
    Code::MessageCopied,
    Code::MessageMoved,
    Code::MessageReflagged,
    Code::MessageAdded,
    Code::ConversionUnfinished,
    Code::ManifestDamaged,
    Code::ManifestMissing,
    Code::SourceCompared,
    Code::MessageMissing,
    Code::MessageExtra,
    Code::MessageDiffers,
    Code::MessageQuoting,
    Code::MessageLineEnds,
    Code::MessageFinalNewline,
    Code::FlagsDiffer,
    Code::DateDiffers,
    Code::FieldsDiffer,
    Code::FolderMissing,
    Code::FolderExtra,
    Code::FolderEmpty,
    Code::FolderDiffers,
    Code::FolderGone,
    Code::TreeSkipped,
    Code::TreeMailSkipped,
    Code::TreeMessage,
    Code::RepairPlanned,
    Code::RepairDone,
];

/// What is wrong with the list of what folders were called.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub fn check_folder_names(root: &Path) -> Result<Vec<Finding>> {
    let list = root.join(renames::FILE_NAME);
    let renames = match renames::read(root) {
        Ok(renames) => renames,
        Err(error @ Error::Manifest { .. }) => {
            let text = said(&error, &list);
            return Ok(vec![Finding::new(Code::ManifestDamaged, text).in_file(list)]);
        }
        Err(error) => return Err(error),
    };
    let gone = renames.into_iter().filter(|(directory, _)| root.join(directory).symlink_metadata().is_err());
    let finding = |(directory, folder): (PathBuf, crate::mailbox::tree::folder::Folder)| {
        let message = format!("{} is not there; it was called {folder}", display_path(&directory));
        Finding::new(Code::FolderGone, message).in_file(&list)
    };
    Ok(gone.map(finding).collect())
}

/// Before the name of the mailbox: what mends a finding that has a [`Step`].
const REPAIR_COMMAND: &str = "mailferry verify --repair";

/// What an error says of a path that is named beside it.
fn said(error: &Error, path: &Path) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", display_path(path))).map_or_else(|| text.clone(), str::to_owned)
}
