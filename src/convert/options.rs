//! The options of an import, and of a copy, which has only those of its destination.

use std::path::Path;
use std::sync::Arc;

use jiff::fmt::temporal::DateTimePrinter;

use super::{Dedupe, PlanOptions, PreviousMessages, RenderOptions, SplitOptions, UidOptions};
use crate::mailbox::Context;
use crate::mailbox::fs::Modes;
use crate::mailbox::fs::sync_group::SyncGroup;
use crate::mailbox::maildir::Fsync;
use crate::mailbox::maildir::write::WriterOptions;
use crate::mailbox::manifest::{ManifestLocation, SectionHeader};
use crate::mailbox::message::{DateRules, Origin, Selection};

/// The last part of names, unless the user gives another.
pub(crate) const USUAL_HOST: &str = "mailferry";

/// The Maildir that is written, and how.
#[derive(Debug, Clone)]
pub(crate) struct DestinationOptions<'a> {
    pub(crate) path: &'a Path,
    pub(crate) manifest: ManifestLocation<'a>,
    pub(crate) fsync: Fsync,
    /// The separator between base name and info: `:`, `;` or `!`.
    pub(crate) info_separator: u8,
    /// Writes nothing.
    pub(crate) dry_run: bool,
    pub(crate) modes: Modes,
    /// Flush group shared by Maildirs that are written concurrently.
    pub(crate) sync_group: Option<&'a Arc<SyncGroup>>,
    /// The path below the root of a tree, for a folder that the root's manifest lists.
    pub(crate) folder: Option<&'a Path>,
    pub(crate) uids: UidOptions,
}

/// Options of an import of mboxes into a Maildir.
#[derive(Debug, Clone)]
pub(crate) struct ImportOptions<'a> {
    pub(crate) destination: DestinationOptions<'a>,
    pub(crate) render: RenderOptions,
    pub(crate) dedupe: Dedupe,
    pub(crate) selection: Selection,
    /// Puts each message into the folder of its year.
    pub(crate) split: Option<SplitOptions>,
    /// The zone of From_ lines that name none.
    pub(crate) from_zone: Option<jiff::tz::TimeZone>,
    /// The date that is tried first.
    pub(crate) date: Option<Origin>,
    /// Takes a source for another mailbox than its path held before, even if they share messages.
    pub(crate) new_source: bool,
    /// Names of other sources of the same command that go into the same Maildir.
    pub(crate) siblings: &'a [&'a Path],
}

impl ImportOptions<'_> {
    /// Reports whether messages go into folders of the Maildir.
    pub(crate) fn makes_folders(&self) -> bool {
        self.render.labels.are_folders() || self.split.is_some()
    }

    /// Returns the rules for the dates of a source with this modification time.
    pub(crate) fn date_rules(&self, now: i64, mtime: Option<i64>) -> DateRules {
        DateRules { now, mtime, from_zone: self.from_zone.clone(), first: self.date }
    }

    /// Returns the options of a plan that is for the dates and the selection of messages, and not for writing them.
    pub(super) fn date_options(&self, now: i64, mtime: Option<i64>) -> PlanOptions {
        PlanOptions {
            render: self.render,
            dates: self.date_rules(now, mtime),
            dedupe: Dedupe::No,
            selection: self.selection,
            split: None,
            reports_assumptions: false,
            previous: PreviousMessages::default(),
        }
    }

    /// Returns the header of a section, with the options that change what is written. `host` ends new names.
    pub(crate) fn section_header(&self, host: &str) -> SectionHeader {
        let (render, usual) = (self.render, RenderOptions::default());
        let zone = |zone| DateTimePrinter::new().time_zone_to_string(zone).unwrap_or_default();
        SectionHeader {
            eol: render.eol.name().into(),
            labels: (render.labels != usual.labels).then(|| render.labels.name().into()),
            deleted: (render.deleted != usual.deleted).then(|| render.deleted.name().into()),
            headers: (render.headers != usual.headers).then(|| render.headers.name().into()),
            date: self.date.map(|origin| origin.name().into()),
            from_zone: self.from_zone.as_ref().map(zone),
            host: (host != USUAL_HOST).then(|| host.to_owned()),
            dedupe: self.dedupe.name().map(str::to_owned),
            split: self.split.is_some().then(|| "year".into()),
            selection: self.selection,
            ..SectionHeader::default()
        }
    }
}

impl<'a> DestinationOptions<'a> {
    pub(crate) fn writer_options(&self, context: &Context<'a>) -> WriterOptions<'a> {
        WriterOptions {
            path: self.path,
            fsync: self.fsync,
            lock_timeout: context.locks.timeout,
            // Without the manifest in the Maildir nothing is known of its messages.
            resume: self.manifest == ManifestLocation::InMaildir,
            sync_group: self.sync_group,
            modes: self.modes,
            cancel: context.cancel,
        }
    }
}
