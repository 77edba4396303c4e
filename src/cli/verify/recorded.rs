//! What a report in a file has of the mailboxes that were verified.

use crate::cli::run_report::{add_boundaries, add_messages, manifest_row};
use crate::convert::SourceDetails;
use crate::mailbox::maildir::MaildirReader;
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::{Context, Result, display_path};
use crate::report::{FolderRow, RunReport, SourceRow};
use crate::verify::VerifyReport;
use crate::verify::report::FolderSummary;

/// What is known of the mailboxes so far.
#[derive(Default)]
pub(super) struct Recorded {
    report: RunReport,
    /// The messages of Maildirs, and the decisions about mboxes.
    details: SourceDetails,
}

impl Recorded {
    /// Adds a mailbox that was verified; a Maildir may have a manifest.
    pub(super) fn add(
        &mut self,
        format: String,
        verified: &VerifyReport,
        maildir_manifest: Option<ManifestLocation<'_>>,
        context: &Context<'_>,
    ) {
        let sum = |count: fn(&FolderSummary) -> u64| verified.folders.iter().map(count).sum();
        self.add_source(SourceRow {
            path: display_path(&verified.path),
            format,
            bytes: sum(|folder| folder.bytes),
            messages: sum(|folder| folder.messages),
            blake3: None,
        });
        self.details.boundaries += verified.boundaries.clone();
        for folder in &verified.folders {
            // They are all in place: a folder has what was found, and nothing was written.
            self.report.folders.push(FolderRow {
                folder: display_path(&folder.path),
                found: folder.messages,
                already_present: folder.messages,
                ..FolderRow::default()
            });
            if let Some(manifest) = maildir_manifest {
                let path = manifest.path(&folder.path);
                self.report.manifests.extend(path.and_then(|path| manifest_row(&path)));
                // What cannot be read is among the findings.
                if let Ok(details) = details_of(folder, context) {
                    self.details.add(details);
                }
            }
        }
    }

    /// Adds a mailbox of which nothing but this is known.
    pub(super) fn add_source(&mut self, source: SourceRow) {
        self.report.sources.push(source);
    }

    /// Returns the report without the verdict.
    pub(super) fn into_report(self) -> RunReport {
        let Recorded { mut report, details } = self;
        report.command = "verify".to_owned();
        add_messages(&mut report, details.messages);
        add_boundaries(&mut report, details.boundaries);
        report
    }
}

fn details_of(folder: &FolderSummary, context: &Context<'_>) -> Result<SourceDetails> {
    let reader = MaildirReader::open_readable(&folder.path, context.now)?;
    SourceDetails::of_maildir(&reader, &reader.list()?.messages, context)
}
