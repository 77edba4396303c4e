//! Report of a verification.

use std::path::{Path, PathBuf};

use super::options::Depth;
use super::repair::RepairStep;
use crate::mailbox::finding::Severity;
use crate::mailbox::mbox::Variant;
use crate::mailbox::mbox::boundary_summary::BoundarySummary;
use crate::mailbox::{Code, Error, Finding};

/// Everything found in one mailbox.
#[derive(Debug)]
pub(crate) struct VerifyReport {
    pub path: PathBuf,
    /// The mailbox itself, then the folders of a Maildir.
    pub folders: Vec<FolderSummary>,
    /// In the order of the mailbox.
    pub findings: Vec<Finding>,
    /// Remedies that touch no message.
    pub steps: Vec<RepairStep>,
    /// One entry per source that a manifest names.
    pub sources: Vec<SourceStatus>,
    /// The decisions about the lines of an mbox, if details are collected.
    pub boundaries: BoundarySummary,
}

impl VerifyReport {
    /// Merges the reports of files that are one message each into one report about their directory.
    pub(crate) fn merge_messages(directory: &Path, reports: Vec<VerifyReport>) -> VerifyReport {
        let path = directory.to_owned();
        let mut folder = FolderSummary { path: path.clone(), messages: 0, bytes: 0, variant: None };
        let (mut findings, mut steps) = (Vec::new(), Vec::new());
        for report in reports {
            folder.messages += report.folders.iter().map(|f| f.messages).sum::<u64>();
            folder.bytes += report.folders.iter().map(|f| f.bytes).sum::<u64>();
            // The mbox variant of a single message is noise.
            let kept = report.findings.into_iter().filter(|finding| finding.code != Code::MboxVariant);
            findings.extend(kept.map(|finding| finding.in_file(&report.path)));
            steps.extend(report.steps);
        }
        VerifyReport {
            path,
            folders: vec![folder],
            findings,
            steps,
            sources: Vec::new(),
            boundaries: BoundarySummary::default(),
        }
    }
}

/// Makes damage an error. A conversion brings damaged mail over as it is, but a verification must not call it sound.
pub(crate) fn raise_damage(findings: &mut [Finding]) {
    findings.iter_mut().filter(|finding| finding.is_damage).for_each(|f| f.severity = Severity::Error);
}

/// Counts of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderSummary {
    pub path: PathBuf,
    /// Messages, without UW-IMAP's pseudo message.
    pub messages: u64,
    /// The size of an mbox; for a Maildir, the size of its messages.
    pub bytes: u64,
    /// The variant of an mbox; None for a Maildir.
    pub variant: Option<Variant>,
}

/// State of the messages of one converted source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceStatus {
    /// The source, as the manifest names it.
    pub source: PathBuf,
    /// The Maildir it was converted into.
    pub maildir: PathBuf,
    /// True if bytes were compared, or only names.
    pub depth: Depth,
    /// Messages in the manifest.
    pub messages: u64,
    /// Messages that are there byte for byte, under any name.
    pub intact: u64,
    /// Intact messages in another folder, or back in new/.
    pub moved: u64,
    /// Intact messages with other flags.
    pub reflagged: u64,
    /// Intact messages with another base name.
    pub renamed: u64,
    /// Messages whose file has other bytes now.
    pub changed: u64,
    /// Messages that are not there.
    pub gone: u64,
    /// Messages of the source that were not selected, and so are not in the manifest by name.
    pub not_selected: u64,
}

impl SourceStatus {
    pub(crate) fn new(source: PathBuf, maildir: &Path, depth: Depth) -> SourceStatus {
        SourceStatus {
            source,
            maildir: maildir.to_owned(),
            depth,
            messages: 0,
            intact: 0,
            moved: 0,
            reflagged: 0,
            renamed: 0,
            changed: 0,
            gone: 0,
            not_selected: 0,
        }
    }

    /// Reports whether every message is where it was written.
    pub(crate) fn is_intact(&self) -> bool {
        let differing = self.moved + self.reflagged + self.renamed + self.changed + self.gone;
        self.intact == self.messages && differing == 0
    }

    pub(crate) fn add(&mut self, other: &SourceStatus) {
        self.messages += other.messages;
        self.intact += other.intact;
        self.moved += other.moved;
        self.reflagged += other.reflagged;
        self.renamed += other.renamed;
        self.changed += other.changed;
        self.gone += other.gone;
        self.not_selected += other.not_selected;
    }
}

/// Returns the text of an error that is shown next to `path`, without naming the path twice.
pub(crate) fn error_text(error: &Error, path: &Path) -> String {
    if error.path() == Some(path) { error.without_path() } else { error.to_string() }
}
