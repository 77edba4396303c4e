//! The plan of an import: each message's name, date, flags and folders. It decides; it writes nothing.

use std::sync::Mutex;

use rayon::prelude::*;

use super::assumptions::{Assumptions, FlagFields, FlagStats};
use super::dedupe::{MessageDigests, content_digest};
use super::planned::{Disposition, FolderPlacement};
use super::render::render;
use super::{
    Dedupe, FolderIndex, LabelFolders, MailStats, NameTable, PlannedMessage, PreviousMessages, RenderOptions,
    Rendered, SourceUids, SplitOptions, YearSplit,
};
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::maildir::{Unique, keywords};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::{Extent, Mbox};
use crate::mailbox::message::{
    DateFields, DateRules, DeletedPolicy, Eol, FromLineDates, FromLineStats, Origin, OriginCheck,
    PackedStamp, Selection, StatusFields, header, received,
    uids::{self, UidOrigin, UidSequence},
};
use crate::mailbox::source::Source;
use crate::mailbox::{Code, Finding, Result};

/// All messages of one source.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In file order.
    pub(crate) messages: Vec<PlannedMessage>,
    pub(crate) findings: Vec<Finding>,
    /// The assumptions about them.
    pub(crate) assumed: MailStats,
    /// The UIDs of the source. Then each message has one.
    pub(crate) uids: Option<SourceUids>,
}

impl Plan {
    /// Returns how many messages are not selected.
    pub(crate) fn not_selected(&self) -> u64 {
        self.messages.iter().filter(|message| message.disposition == Disposition::NotSelected).count() as u64
    }

    /// Reports whether a message is written.
    fn writes_any(&self) -> bool {
        self.messages.iter().any(|message| message.disposition == Disposition::Write)
    }

    /// Reports whether the source needs no other section than one that was closed with so many unselected messages.
    pub(crate) fn adds_nothing(&self, not_selected: u64) -> bool {
        !self.writes_any() && self.not_selected() == not_selected
    }
}

impl Plan {
    /// Returns the number of the first message that is written.
    pub(crate) fn first_written(&self) -> Option<usize> {
        self.messages.iter().position(|message| message.disposition == Disposition::Write)
    }
}

/// Messages that a worker takes at once: few enough to spread evenly, and so many that releasing their pages
/// costs nothing.
pub(crate) const CHUNK: usize = 64;

/// How the messages of one source are planned.
#[derive(Debug)]
pub(crate) struct PlanOptions {
    pub(crate) render: RenderOptions,
    pub(crate) dates: DateRules,
    pub(crate) dedupe: Dedupe,
    pub(crate) selection: Selection,
    /// Puts each message into the folder of its year.
    pub(crate) split: Option<SplitOptions>,
    /// Report what is assumed about flags and dates.
    pub(crate) reports_assumptions: bool,
    /// The messages of this source that earlier runs wrote.
    pub(crate) previous: PreviousMessages,
}

/// Plans every message of a source. `on_progress` gets the number of bytes done, and may stop it.
pub(crate) fn plan(
    source: &Source,
    mbox: &Mbox<'_>,
    options: PlanOptions,
    names: &mut NameTable,
    on_progress: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<Plan> {
    let PlanOptions { render, dates: rules, dedupe, selection, split, reports_assumptions, mut previous } =
        options;
    let analysis = Analysis {
        source,
        mbox,
        render,
        rules: &rules,
        has_names: names.gives_names(),
        has_labels: names.folders.labels.are_folders(),
        from_lines: Mutex::default(),
        flags: Mutex::default(),
        pseudo: mbox.pseudo_message(),
        dedupe: (!previous.is_empty() || dedupe != Dedupe::No).then_some(dedupe),
        previous: &previous,
    };
    let (mut messages, stamps, unusual) = analysis.run(on_progress)?;
    let (stats, flags) =
        (ignore_poison(analysis.from_lines.into_inner()), ignore_poison(analysis.flags.into_inner()));
    let from_dates = FromLineDates::new(&stats, &rules);
    let mut findings: Vec<Finding> = from_dates.finding().into_iter().collect();
    let mut assumptions = Assumptions::default();
    for (planned, stamp) in messages.iter_mut().zip(&stamps) {
        if let Some(epoch) = from_dates.preferred(*stamp, planned.origin, &rules) {
            (planned.epoch, planned.origin) = (epoch, Origin::FromLine);
        }
    }
    let dated =
        |unusual: &'_ UnusualMessage| Some((unusual.digests?.content, messages[unusual.number].epoch));
    previous.prefer(unusual.iter().filter_map(dated), |name| names.is_on_disk(name));
    names.begin_source(source.path(), &messages);
    let mut origins = OriginCheck::default();
    let mut unusual = unusual.into_iter().peekable();
    let pseudo_message = mbox.pseudo_message();
    let mut years = split.map(YearFolders::new);
    for (n, ((extent, planned), stamp)) in mbox.messages().iter().zip(&mut messages).zip(stamps).enumerate() {
        let pseudo = pseudo_message == Some(extent);
        if pseudo {
            let text = "UW-IMAP's pseudo message: no mail, skipped";
            findings.push(Finding::at(Code::MboxPseudo, extent.at, text));
        }
        findings.extend(origins.add(extent.at, planned.origin, &rules));
        let unusual = unusual.next_if(|unusual| unusual.number == n).unwrap_or_default();
        if let Some(labels) = unusual.labels {
            planned.set_placement(FolderPlacement::new(names.folders.for_labels(&labels)));
        }
        if let Some(years) = years.as_mut().filter(|_| !pseudo) {
            let folder = years.folder(planned, &rules, &mut names.folders);
            planned.set_placement(FolderPlacement::new(vec![folder]));
        }
        let is_selected = selection.contains(planned.epoch);
        if pseudo {
            planned.disposition = Disposition::Pseudo;
        } else if is_selected && unusual.deleted && render.deleted == DeletedPolicy::Skip {
            planned.disposition = Disposition::Deleted;
        } else {
            if !is_selected {
                planned.disposition = Disposition::NotSelected;
            }
            let twin = names.place(n + 1, planned, &mut previous, unusual.digests.as_ref());
            findings.extend(twin.map(|twin| twin.finding(extent.at, dedupe)));
            if !unusual.keywords.is_empty() && planned.disposition != Disposition::NotSelected {
                let keywords = names.keywords.intern(&unusual.keywords, &mut |keyword, atom| {
                    findings.push(keywords::renamed_finding(extent.at, keyword, atom));
                });
                if planned.disposition == Disposition::Write {
                    names.keywords.require(&keywords, planned.missing_folders());
                }
                planned.set_keywords(keywords);
            }
        }
        // An earlier run has reported what it assumed about the others.
        if matches!(planned.disposition, Disposition::Write | Disposition::Deleted) {
            assumptions.deleted += u64::from(unusual.deleted);
        }
        if planned.disposition == Disposition::Write {
            assumptions.add_date(planned.origin, stamp);
        }
    }
    findings.extend(origins.finding());
    if reports_assumptions {
        findings.extend(flags.findings());
        findings.extend(assumptions.findings(render.deleted, &rules, &from_dates));
    }
    findings.extend(names.folders.take_findings());
    let assumed = assumptions.stats(render.deleted, &rules, &from_dates);
    let uids = number_messages(mbox, &mut messages);
    Ok(Plan { messages, findings, assumed, uids })
}

/// Gives each message its UID, as a server would, if the first message has the UIDs of the mailbox.
fn number_messages(mbox: &Mbox<'_>, messages: &mut [PlannedMessage]) -> Option<SourceUids> {
    let base = mbox.uid_base()?;
    let is_uw = mbox.pseudo_message().is_some();
    let mut sequence = UidSequence::new(1, base.last);
    for n in 0..messages.len() {
        let message = &mut messages[n];
        if message.disposition == Disposition::Pseudo {
            continue;
        }
        let wanted = Some(message.uid).filter(|&uid| uid > 0);
        let Some(uid) = sequence.take(wanted) else {
            lose_uids(messages, n);
            return None;
        };
        message.uid = uid;
        message.uid_origin = match wanted {
            None => UidOrigin::New,
            Some(uid) if uid == message.uid => UidOrigin::Kept,
            Some(_) => UidOrigin::Renumbered,
        };
    }
    Some(SourceUids { validity: base.validity, next: sequence.next(), fields: Vec::new(), is_uw })
}

/// Records that no message keeps its UID, since none is left for message `n`: a server would begin anew.
fn lose_uids(messages: &mut [PlannedMessage], n: usize) {
    for (at, message) in messages.iter_mut().enumerate() {
        let had_uid = if at < n { message.uid_origin != UidOrigin::New } else { message.uid > 0 };
        message.uid_origin = if had_uid { UidOrigin::Renumbered } else { UidOrigin::New };
    }
}

/// The folders of the years of a source.
struct YearFolders {
    split: SplitOptions,
    years: YearSplit,
    /// By the number of the year.
    folders: Vec<FolderIndex>,
}

impl YearFolders {
    fn new(split: SplitOptions) -> YearFolders {
        YearFolders { years: YearSplit::new(split.zone.clone()), split, folders: Vec::new() }
    }

    /// Returns the folder of a message.
    fn folder(
        &mut self,
        planned: &PlannedMessage,
        rules: &DateRules,
        folders: &mut LabelFolders,
    ) -> FolderIndex {
        let counts_mtime = rules.first == Some(Origin::Mtime);
        let number = self.years.number(planned.epoch, planned.origin, counts_mtime);
        if number == self.folders.len() {
            self.folders.push(folders.intern(self.split.levels(self.years.name(number))));
        }
        self.folders[number]
    }
}

/// The part of planning that looks at each message by itself, on several threads.
struct Analysis<'a> {
    source: &'a Source,
    mbox: &'a Mbox<'a>,
    render: RenderOptions,
    rules: &'a DateRules,
    /// Messages need names.
    has_names: bool,
    /// Gmail's labels become folders.
    has_labels: bool,
    from_lines: Mutex<FromLineStats>,
    flags: Mutex<FlagStats>,
    pseudo: Option<&'a Extent>,
    /// Messages are digested, with this key, if there is something to compare them with.
    dedupe: Option<Dedupe>,
    previous: &'a PreviousMessages,
}

/// Messages that a worker takes at once, with space for its results.
struct Part<'p> {
    /// The number of the first message.
    first: usize,
    extents: &'p [Extent],
    messages: &'p mut [PlannedMessage],
    stamps: &'p mut [PackedStamp],
}

/// The traits that [`PlannedMessage`] has no space for: either few messages of a source have them, or all
/// messages of a run that has few.
#[derive(Default)]
struct UnusualMessage {
    number: usize,
    deleted: bool,
    /// As the header spells them.
    keywords: Vec<String>,
    digests: Option<MessageDigests>,
    /// The first X-Gmail-Labels, if labels become folders. Takeout puts its own before all others.
    labels: Option<Box<[u8]>>,
}

/// The fields with flags of a message.
struct AnalyzedFields {
    flags: FlagFields,
    status: StatusFields,
}

impl Analysis<'_> {
    /// Analyzes all messages. The dates it plans are those without their From_ lines, whose stamps it returns.
    fn run(
        &self,
        on_progress: &(dyn Fn(u64) -> Result<()> + Sync),
    ) -> Result<(Vec<PlannedMessage>, Vec<PackedStamp>, Vec<UnusualMessage>)> {
        let extents = self.mbox.messages();
        let mut messages = vec![PlannedMessage::default(); extents.len()];
        let mut stamps = vec![PackedStamp::NONE; extents.len()];
        let analyze = |part: Part<'_>| {
            let range = Extent::span(part.extents);
            let unusual = self.analyze_part(part);
            self.source.release(range.clone());
            on_progress(range.len() as u64)?;
            Ok(unusual)
        };
        let unusual: Vec<Vec<UnusualMessage>> = match extents.len() {
            // Waking another thread takes longer.
            ..=CHUNK => {
                vec![analyze(Part { first: 0, extents, messages: &mut messages, stamps: &mut stamps })?]
            }
            _ => {
                let parts = extents.par_chunks(CHUNK).zip(messages.par_chunks_mut(CHUNK));
                let parts = parts.zip(stamps.par_chunks_mut(CHUNK)).enumerate();
                let parts = parts.map(|(n, ((extents, messages), stamps))| Part {
                    first: n * CHUNK,
                    extents,
                    messages,
                    stamps,
                });
                parts.map(analyze).collect::<Result<_>>()?
            }
        };
        Ok((messages, stamps, unusual.into_iter().flatten().collect()))
    }

    fn analyze_part(&self, part: Part<'_>) -> Vec<UnusualMessage> {
        let (mut found, mut stats, mut flags) = (Vec::new(), FromLineStats::default(), FlagStats::default());
        let messages = part.extents.iter().zip(part.messages).zip(part.stamps);
        for (n, ((extent, planned), stamp)) in messages.enumerate() {
            let (dates, fields, unusual) = self.analyze(extent, planned);
            if self.pseudo != Some(extent) {
                flags.add(fields.flags, planned.status.flags);
                flags.add_problems(extent.at, &fields.status);
            }
            *stamp = PackedStamp::pack(dates.from);
            stats.add(&dates);
            let is_unusual = unusual.deleted
                || !unusual.keywords.is_empty()
                || unusual.digests.is_some()
                || unusual.labels.is_some();
            if is_unusual {
                found.push(UnusualMessage { number: part.first + n, ..unusual });
            }
        }
        ignore_poison(self.from_lines.lock()).merge(stats);
        ignore_poison(self.flags.lock()).merge(flags);
        found
    }

    fn analyze(
        &self,
        extent: &Extent,
        planned: &mut PlannedMessage,
    ) -> (DateFields, AnalyzedFields, UnusualMessage) {
        let Analysis { mbox, render: options, .. } = *self;
        let text = mbox.text();
        let message = extent.message(text);
        let (mut status, mut labels) = (StatusFields::default(), None);
        let mut flag_fields = FlagFields::default();
        let mut dates = DateFields { from: mbox.first_stamp(extent), ..DateFields::default() };
        let mut fields = header::fields(message);
        for field in &mut fields {
            if self.has_labels && labels.is_none() && field.is("X-Gmail-Labels") && !status.is_topic() {
                labels = Some(field.value.into());
            }
            status.add(&field, options.labels);
            flag_fields.add(&field);
            dates.read_field(&field);
            if header::is_volatile(&field) {
                planned.has_volatile_fields = true;
                if planned.uid == 0 && field.is("X-UID") {
                    planned.uid = uids::parse_uid(field.value).unwrap_or(0);
                }
            }
        }
        let rendered = render(message, &fields.split(), mbox.quoting(extent), options);
        if self.has_names {
            (planned.size, planned.wire_size) = rendered.sizes(mbox.has_cr || options.eol == Eol::Crlf);
        } else {
            planned.size = rendered.size();
        }
        (planned.quotes, planned.eols) = (rendered.quotes, rendered.eols);
        (planned.epoch, planned.origin) = received::fallback_date(&dates, self.rules);
        mbox.complete_status(&mut status);
        planned.status = status.status(options.deleted);
        let raw = self.source.raw();
        if self.has_names || self.dedupe.is_some() {
            planned.source = Digest::of(extent.message(raw));
        }
        let unique = || Unique::of(planned.source, extent.separator_lines(raw));
        planned.unique = self.has_names.then(unique);
        let digests = self.dedupe.map(|dedupe| MessageDigests {
            content: self.content(extent, planned),
            // Of the file, since it is compared with files.
            file: self.file_digest(planned, &rendered),
            key: dedupe.rendered_key(&rendered),
        });
        let (deleted, keywords) = (status.is_deleted(), status.keywords().into_owned());
        let fields = AnalyzedFields { flags: flag_fields, status };
        (dates, fields, UnusualMessage { number: 0, deleted, keywords, digests, labels })
    }

    /// Returns the content by which earlier runs know a message, or its own.
    fn content(&self, extent: &Extent, planned: &PlannedMessage) -> Digest {
        let message = extent.message(self.source.raw());
        let content = content_digest(message).unwrap_or(planned.source);
        self.previous.find_content(message, content, self.mbox.is_last(extent)).unwrap_or(content)
    }

    /// Returns the BLAKE3 of the file.
    fn file_digest(&self, planned: &PlannedMessage, rendered: &Rendered<'_>) -> Digest {
        if rendered.is_unchanged() && !self.source.is_cr_only() { planned.source } else { rendered.digest() }
    }
}
