//! Comparison of the manifests with the files: every message is intact, moved, re-flagged, changed, renamed or gone.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::flagging::Flagging;
use super::load::{LoadedManifest, damage_finding};
use super::source::{ChangedMessage, SourceComparison};
use crate::mailbox::maildir::{KeywordTable, Subdir};
use crate::mailbox::manifest::{Digest, FILE_NAME, MessageRecord, Section};
use crate::mailbox::text::{is_or_are, plural, shell_quote};
use crate::mailbox::tree::folder::maildirpp_directory;
use crate::mailbox::{Code, Context, Finding, Result, display_path, escape};
use crate::verify::file::MessageFile;
use crate::verify::{Depth, SourceStatus, VerifyOptions};

/// The folders that are verified together, and the messages in them.
pub(crate) struct MessageFiles<'a> {
    pub folders: &'a [PathBuf],
    pub messages: &'a mut [MessageFile],
    /// Keyword letters of each folder.
    pub keywords: Vec<KeywordTable>,
    /// Base names of messages that were removed during the run.
    pub removed: &'a HashSet<Vec<u8>>,
}

/// The manifests of a Maildir and of its folders.
pub(crate) struct MaildirManifests<'a> {
    pub root: &'a Path,
    /// The positions of its folders among all folders.
    pub folders: Range<usize>,
    pub manifests: &'a [LoadedManifest],
    /// A manifest is damaged or gone, which was reported.
    pub is_lost: bool,
}

/// The outcome for a Maildir.
#[derive(Default)]
pub(crate) struct CheckedManifests {
    pub findings: Vec<Finding>,
    pub sources: Vec<SourceStatus>,
}

/// Returns the names in the manifests that no file has.
pub(crate) fn missing_names<'a>(
    manifests: impl Iterator<Item = &'a LoadedManifest>,
    messages: &[MessageFile],
) -> HashSet<Vec<u8>> {
    let mut sections = manifests.flat_map(|manifest| &manifest.sections).peekable();
    if sections.peek().is_none() {
        return HashSet::new();
    }
    let found: HashSet<&[u8]> = messages.iter().map(|message| message.parsed().base).collect();
    let names = sections.flat_map(|section| &section.messages).map(|record| &record.name.0);
    names.filter(|name| !found.contains(&name[..])).cloned().collect()
}

/// Compares the manifests with the messages that were found, and marks those that match. Returns the outcome for each
/// Maildir.
pub(crate) fn check(
    maildirs: &[MaildirManifests<'_>],
    files: MessageFiles<'_>,
    options: &VerifyOptions<'_>,
    context: &Context<'_>,
) -> Result<Vec<CheckedManifests>> {
    let index = FileIndex::new(maildirs, &files);
    let mut checks: Vec<Vec<ManifestCheck<'_>>> = Vec::with_capacity(maildirs.len());
    let mut taken = HashSet::new();
    for maildir in maildirs {
        context.cancel.check()?;
        let check = |manifest| ManifestCheck::new(manifest, &index, options);
        let mut own: Vec<ManifestCheck<'_>> = maildir.manifests.iter().map(check).collect();
        own.iter_mut().for_each(|check| check.check_named(&mut taken));
        checks.push(own);
    }
    let (mut outcomes, mut matches) = (Vec::with_capacity(maildirs.len()), Vec::new());
    for (maildir, checks) in maildirs.iter().zip(checks) {
        let mut outcome = CheckedManifests::default();
        index.check_without_manifest(maildir, &taken, &mut outcome.findings);
        for mut check in checks {
            context.cancel.check()?;
            check.check_unnamed(&taken);
            outcome.sources.extend(check.source_statuses());
            if let (Depth::Contents, Some(open)) = (options.depth, options.open_source) {
                let sources = SourceComparison { manifest: check.manifest, options, open, context };
                let found = sources.compare(&mut check.changed)?;
                check.findings.extend(found);
            }
            outcome.findings.extend(check.changed.into_iter().map(|changed| changed.finding));
            outcome.findings.append(&mut check.findings);
            matches.append(&mut check.matches);
        }
        outcomes.push(outcome);
    }
    matches.into_iter().for_each(|n| files.messages[n].matches = true);
    Ok(outcomes)
}

/// The files of all folders, by name and by digest.
struct FileIndex<'a> {
    folders: &'a [PathBuf],
    messages: &'a [MessageFile],
    removed: &'a HashSet<Vec<u8>>,
    keywords: &'a [KeywordTable],
    by_path: HashMap<&'a Path, usize>,
    /// The first file of each name of a manifest, if there is one.
    by_name: HashMap<&'a [u8], Option<usize>>,
    /// The next file of the same name, for the few names that several files have.
    next_of_name: HashMap<usize, usize>,
    /// Files whose name is in no manifest and is not one that convert gives. A source may have a message several times,
    /// each with its own name: one of these is not another one renamed.
    unnamed: HashMap<Digest, Vec<usize>>,
    /// Files whose name is in no manifest, by folder.
    unnamed_in: Vec<Vec<usize>>,
}

impl<'a> FileIndex<'a> {
    fn new(maildirs: &[MaildirManifests<'a>], files: &'a MessageFiles<'_>) -> FileIndex<'a> {
        let MessageFiles { folders, messages, keywords, removed } = files;
        let manifests = maildirs.iter().flat_map(|maildir| maildir.manifests);
        let records = manifests.flat_map(|m| &m.sections).flat_map(|s| &s.messages);
        let mut by_name: HashMap<&[u8], Option<usize>> = records.map(|m| (&m.name.0[..], None)).collect();
        let (mut next_of_name, mut unnamed) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        let mut unnamed_in = vec![Vec::new(); folders.len()];
        // From the last, so that the first file of a name is found first.
        for (n, message) in messages.iter().enumerate().rev() {
            match by_name.get_mut(message.parsed().base) {
                Some(first) => next_of_name.extend(first.replace(n).map(|next| (n, next))),
                None => {
                    unnamed_in[message.folder].push(n);
                    for digest in message.digests().filter(|_| !has_converted_name(message)) {
                        unnamed.entry(digest).or_default().push(n);
                    }
                }
            }
        }
        unnamed_in.iter_mut().chain(unnamed.values_mut()).for_each(|files| files.reverse());
        let by_path = folders.iter().enumerate().map(|(n, folder)| (&**folder, n)).collect();
        FileIndex {
            folders,
            messages,
            removed,
            keywords,
            by_path,
            by_name,
            next_of_name,
            unnamed,
            unnamed_in,
        }
    }
}

impl FileIndex<'_> {
    /// Returns the files with a name of a manifest.
    fn with_name(&self, name: &[u8]) -> impl Iterator<Item = usize> {
        let first = self.by_name.get(name).copied().flatten();
        std::iter::successors(first, |n| self.next_of_name.get(n).copied())
    }

    /// Reports messages with mailferry's names in folders that have no manifest, as with `--labels folders`. Where no
    /// folder has one, it is missing. Where one is damaged, this is reported.
    fn check_without_manifest(
        &self,
        maildir: &MaildirManifests<'_>,
        taken: &HashSet<usize>,
        findings: &mut Vec<Finding>,
    ) {
        if maildir.is_lost {
            return;
        }
        let with_manifest: HashSet<usize> =
            maildir.manifests.iter().map(|manifest| manifest.folder).collect();
        for folder in maildir.folders.clone().filter(|folder| !with_manifest.contains(folder)) {
            let files = self.unnamed_in[folder].iter().filter(|n| !taken.contains(n));
            let unrecorded = files.map(|&n| &self.messages[n]).filter(|m| has_converted_name(m));
            let mut paths = unrecorded.map(|m| m.path(self.folders)).peekable();
            if maildir.manifests.is_empty() && paths.peek().is_some() {
                let message = "missing, so mail may be missing unnoticed";
                let path = maildir.root.join(FILE_NAME);
                return findings.push(Finding::new(Code::ManifestMissing, message).in_file(path));
            }
            findings.extend(unrecorded_finding(paths));
        }
    }
}

/// Reports whether convert gave a message its name.
fn has_converted_name(message: &MessageFile) -> bool {
    let parsed = message.parsed();
    parsed.unique().is_some() && parsed.field(b'S').is_some() && parsed.field(b'W').is_some()
}

fn unrecorded_finding(paths: impl Iterator<Item = PathBuf>) -> Option<Finding> {
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort_unstable();
    let first = paths.first()?;
    let message = match paths.len() as u64 {
        1 => "has a name that convert gives, and is in no section of the manifest".to_owned(),
        count => format!(
            "is the first of {} with names that convert gives and that no section of the manifest has",
            plural(count, "message")
        ),
    };
    Some(Finding::new(Code::MessageUnrecorded, message).in_file(first))
}

/// State of a message.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    intact: bool,
    moved: bool,
    reflagged: bool,
    renamed: bool,
    changed: bool,
}

/// The position of a message that was removed during the run.
const REMOVED: u32 = u32::MAX;

/// A message of the manifest.
#[derive(Clone, Copy)]
struct NamedMessage<'a> {
    name: &'a [u8],
    record: &'a MessageRecord,
    section: &'a Section,
    /// False for a message that only open sections name, which may never have been written.
    required: bool,
}

/// A folder into which a message was converted.
struct TargetFolder {
    path: PathBuf,
    /// The index, if it is there.
    folder: Option<usize>,
}

/// Comparison of one manifest with the files.
struct ManifestCheck<'a> {
    manifest: &'a LoadedManifest,
    files: &'a FileIndex<'a>,
    options: &'a VerifyOptions<'a>,
    /// The messages of the manifest, in order.
    names: Vec<NamedMessage<'a>>,
    /// The first name of each digest, where files have digests.
    by_digest: HashMap<Digest, &'a [u8]>,
    /// Those of `names`, once they are checked.
    states: Vec<State>,
    /// The position in `names` of each message in each section, or [`REMOVED`].
    positions: Vec<u32>,
    findings: Vec<Finding>,
    changed: Vec<ChangedMessage<'a>>,
    matches: Vec<usize>,
}

impl<'a> ManifestCheck<'a> {
    fn new(
        manifest: &'a LoadedManifest,
        files: &'a FileIndex<'a>,
        options: &'a VerifyOptions<'a>,
    ) -> ManifestCheck<'a> {
        let count = manifest.sections.iter().map(|section| section.messages.len()).sum();
        let (mut names, mut positions) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut seen = HashMap::with_capacity(count);
        let mut is_contradicted = false;
        let mut by_digest = HashMap::new();
        for section in &manifest.sections {
            let required = section.footer.is_some();
            for record in &section.messages {
                let name = &record.name.0[..];
                let digest = record.file_digest();
                match seen.entry(name) {
                    Entry::Vacant(entry) => {
                        // A message that was removed during the run is reported as such.
                        let is_removed = files.removed.contains(name);
                        let position = if is_removed { REMOVED } else { names.len() as u32 };
                        entry.insert((digest, position));
                        positions.push(position);
                        if is_removed {
                            continue;
                        }
                        names.push(NamedMessage { name, record, section, required });
                        if options.depth == Depth::Contents {
                            by_digest.entry(digest).or_insert(name);
                        }
                    }
                    // The bytes of a file never change, so all sections have the same hash.
                    Entry::Occupied(entry) => {
                        let (before, position) = *entry.get();
                        is_contradicted |= before != digest && required;
                        positions.push(position);
                        let named: Option<&mut NamedMessage<'_>> = names.get_mut(position as usize);
                        named.into_iter().for_each(|named| named.required |= required);
                    }
                }
            }
        }
        let contradiction = || damage_finding(&manifest.path, "has two hashes of one file".to_owned());
        ManifestCheck {
            manifest,
            files,
            options,
            names,
            by_digest,
            states: Vec::new(),
            positions,
            findings: is_contradicted.then(contradiction).into_iter().collect(),
            changed: Vec::new(),
            matches: Vec::new(),
        }
    }

    fn maildir(&self) -> &'a Path {
        &self.files.folders[self.manifest.folder]
    }

    fn file(&self, n: usize) -> &'a MessageFile {
        &self.files.messages[n]
    }

    fn path(&self, n: usize) -> PathBuf {
        self.file(n).path(self.files.folders)
    }

    fn note(&mut self, code: Code, path: PathBuf, message: String) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    /// Returns the folders into which a message was converted, at least one.
    fn targets(&self, record: &MessageRecord) -> Vec<TargetFolder> {
        let target = |levels: &[String]| {
            let path = self.maildir();
            let path =
                if levels.is_empty() { path.to_owned() } else { path.join(maildirpp_directory(levels)) };
            TargetFolder { folder: self.files.by_path.get(&*path).copied(), path }
        };
        match &record.folders[..] {
            [] => vec![target(&[])],
            folders => folders.iter().map(|levels| target(levels)).collect(),
        }
    }

    /// Checks every message of the manifest.
    fn check_named(&mut self, taken: &mut HashSet<usize>) {
        for named in std::mem::take(&mut self.names) {
            let targets = self.targets(named.record);
            let state = match &targets[..] {
                [target] => self.check_in_one(named, target, taken),
                targets => self.check_in_each(named, targets, taken),
            };
            self.states.push(state);
        }
    }

    fn check_in_one(
        &mut self,
        named: NamedMessage<'a>,
        target: &TargetFolder,
        taken: &mut HashSet<usize>,
    ) -> State {
        match self.find_best(named, target.folder) {
            Some(n) => self.compare(named, target, n),
            None => self.find_elsewhere(named, target, taken),
        }
    }

    /// Checks a message that was converted into several folders. It is intact as long as one of them has it: removing a
    /// label removes it from a folder.
    fn check_in_each(
        &mut self,
        named: NamedMessage<'a>,
        targets: &[TargetFolder],
        taken: &mut HashSet<usize>,
    ) -> State {
        let (mut state, mut lost) = (State::default(), Vec::new());
        let mut found = None;
        for target in targets {
            let Some(n) = target.folder.and_then(|folder| self.find_in(named, folder)) else {
                lost.push(target);
                continue;
            };
            found = Some(n);
            let here = self.compare(named, target, n);
            state = State {
                intact: state.intact || here.intact,
                moved: state.moved || here.moved,
                reflagged: state.reflagged || here.reflagged,
                renamed: false,
                changed: state.changed || here.changed,
            };
        }
        let Some(found) = found else { return self.check_in_one(named, &targets[0], taken) };
        if named.required {
            for target in lost {
                let path = self.path(found);
                let text =
                    format!("was converted into {} too, and is no longer there", display_path(&target.path));
                self.note(Code::MessageMoved, path, text);
                state.moved = true;
            }
        }
        // Every message is counted once.
        state.intact &= !state.changed;
        state
    }

    /// Finds the file of this name, preferably with the right bytes, then in the right folder.
    fn find_best(&self, named: NamedMessage<'a>, target: Option<usize>) -> Option<usize> {
        let files = self.files.with_name(named.name);
        files.min_by_key(|&n| (!self.has_bytes_of(n, named), Some(self.file(n).folder) != target))
    }

    /// Finds the file of this name in a folder.
    fn find_in(&self, named: NamedMessage<'a>, folder: usize) -> Option<usize> {
        let here = self.files.with_name(named.name).filter(|&n| self.file(n).folder == folder);
        here.min_by_key(|&n| !self.has_bytes_of(n, named))
    }

    fn has_bytes_of(&self, n: usize, named: NamedMessage<'a>) -> bool {
        self.file(n).digests().any(|digest| digest == named.record.file_digest())
    }

    /// Compares a message with the file of its name.
    fn compare(&mut self, named: NamedMessage<'a>, target: &TargetFolder, n: usize) -> State {
        if self.options.depth == Depth::Contents && !self.has_bytes_of(n, named) {
            return self.note_changed(named, n);
        }
        let (record, file, path) = (named.record, self.file(n), self.path(n));
        let mut state = State { intact: true, ..State::default() };
        self.matches.push(n);
        if Some(file.folder) != target.folder {
            let folder = display_path(&self.files.folders[file.folder]);
            let text = format!("moved from {} to {folder}", display_path(&target.path));
            self.note(Code::MessageMoved, path.clone(), text);
            state.moved = true;
        } else if file.entry.subdir == Subdir::New && !(record.flags.is_empty() && record.keywords.is_empty())
        {
            let text = "moved from cur/ to new/".into();
            self.note(Code::MessageMoved, path.clone(), text);
            state.moved = true;
        }
        let letters = file.parsed().info.unwrap_or_default();
        let now = Flagging::parse(letters, &self.files.keywords[file.folder]);
        let before = Flagging { flags: record.flags.as_bytes().to_vec(), keywords: record.keywords.clone() };
        if !now.is_same(&before) {
            self.note(Code::MessageReflagged, path, format!("has the flags {now}, and had {before}"));
            state.reflagged = true;
        }
        state
    }

    /// Reports a file of the right name with other bytes.
    fn note_changed(&mut self, named: NamedMessage<'a>, n: usize) -> State {
        let NamedMessage { name, record, section, .. } = named;
        let (file, path) = (self.file(n), self.path(n));
        let state = State { changed: true, ..State::default() };
        // An unreadable file has a finding already.
        if file.digest.is_none() {
            return state;
        }
        let other = file.digests().find_map(|digest| self.by_digest.get(&digest).copied());
        let other = other.filter(|other| *other != name);
        let is_swapped = |other: &[u8]| self.files.with_name(other).any(|n| self.has_bytes_of(n, named));
        let finding = match other {
            Some(other) if is_swapped(other) => Finding::new(
                Code::MessageSwapped,
                format!("has the bytes of {}, which has those of this one", escape(other)),
            ),
            Some(other) => Finding::new(
                Code::MessageChanged,
                format!("has the bytes of {} and not its own", escape(other)),
            ),
            None => Finding::new(Code::MessageChanged, describe_change(record, file)),
        };
        let finding = finding.in_file(&path);
        match other {
            Some(_) => self.findings.push(finding),
            None => self.changed.push(ChangedMessage { finding, record, section, path }),
        }
        state
    }

    /// Finds a message without a file of its name by its bytes, among files that no manifest names.
    fn find_elsewhere(
        &mut self,
        named: NamedMessage<'a>,
        target: &TargetFolder,
        taken: &mut HashSet<usize>,
    ) -> State {
        let NamedMessage { name, record, section, required } = named;
        let is_in_target = |n: usize| Some(self.file(n).folder) == target.folder;
        let is_free = |n: &usize| !taken.contains(n);
        let files = self.files.unnamed.get(&record.file_digest()).into_iter().flatten().copied();
        let found = files.filter(is_free).min_by_key(|&n| !is_in_target(n));
        let shown_name = escape(name);
        let Some(n) = found else {
            if required {
                let how = match self.options.depth {
                    Depth::Contents => "is gone",
                    Depth::Structure => "is gone or renamed; a check without --quick shows which",
                };
                let (at, source) = (record.at, section.header.source.escaped());
                let path = target.path.join(OsStr::from_bytes(name));
                let from = match section.header.is_maildir() {
                    true => format!("it came from {source}"),
                    false => format!("it was at byte {at} of {source}"),
                };
                self.note(Code::MessageGone, path, format!("{how}; {from}"));
            }
            return State::default();
        };
        let is_in_target = is_in_target(n);
        taken.insert(n);
        self.matches.push(n);
        let (file, path) = (self.file(n), self.path(n));
        if !is_in_target {
            self.note(
                Code::MessageMoved,
                path,
                format!("was converted into {} as {shown_name}", display_path(&target.path)),
            );
            return State { intact: true, moved: true, ..State::default() };
        }
        // The flags stay: only the base name identifies a message.
        let info = &file.entry.name.as_bytes()[file.parsed().base.len()..];
        let back = path.with_file_name(OsStr::from_bytes(&[name, info].concat()));
        let finding =
            Finding::new(Code::MessageRenamed, format!("was converted as {shown_name}")).in_file(&path);
        self.findings.push(finding.with_hint(format!("mv {} {}", shell_quote(&path), shell_quote(&back))));
        State { intact: true, renamed: true, ..State::default() }
    }

    /// Reports files that no manifest names: copies, and new messages.
    fn check_unnamed(&mut self, taken: &HashSet<usize>) {
        let (mut added, mut first) = (0u64, None::<PathBuf>);
        let mut unrecorded = Vec::new();
        let files = self.files;
        for &n in files.unnamed_in[self.manifest.folder].iter().filter(|n| !taken.contains(n)) {
            let path = self.path(n);
            match self.file(n).digests().find_map(|digest| self.by_digest.get(&digest)) {
                _ if has_converted_name(self.file(n)) => unrecorded.push(path),
                Some(name) => {
                    let text = format!("is a second copy of {}", escape(name));
                    self.findings.push(Finding::new(Code::MessageCopied, text).in_file(path));
                }
                None => {
                    added += 1;
                    first = Some(first.map_or(path.clone(), |first| first.min(path)));
                }
            }
        }
        self.findings.extend(unrecorded_finding(unrecorded.into_iter()));
        if let Some(first) = first {
            self.note(
                Code::MessageAdded,
                first,
                format!("{} in no manifest, the first here", plural(added, "message")),
            );
        }
    }

    /// Returns the status of each source, and reports each section that was never closed.
    fn source_statuses(&mut self) -> Vec<SourceStatus> {
        let mut sources: Vec<SourceStatus> = Vec::new();
        let mut positions = &self.positions[..];
        for (section, newest) in self.manifest.sections_with_age() {
            let (own, rest) = positions.split_at(section.messages.len());
            positions = rest;
            if !newest {
                continue;
            }
            let mut status = SourceStatus::new(section.source(), self.maildir(), self.options.depth);
            for state in own.iter().filter_map(|&position| self.states.get(position as usize)) {
                status.messages += 1;
                status.intact += u64::from(state.intact);
                status.moved += u64::from(state.moved);
                status.reflagged += u64::from(state.reflagged);
                status.renamed += u64::from(state.renamed);
                status.changed += u64::from(state.changed);
                status.gone += u64::from(section.footer.is_some() && !state.intact && !state.changed);
            }
            status.not_selected = section.unselected.iter().map(|range| range.unselected).sum();
            if section.footer.is_none() {
                let text = format!(
                    "the conversion of {} was killed or is running: the manifest has {}, of which {} {} there",
                    section.header.source.escaped(),
                    plural(status.messages, "message"),
                    status.intact,
                    is_or_are(status.intact, status.messages)
                );
                let finding = Finding::new(Code::ConversionUnfinished, text).in_file(&self.manifest.path);
                self.findings.push(finding.with_hint("run the same convert command again to complete it"));
            }
            // Each run that copied a Maildir has a section about the messages that are new since the run before.
            let same = sources.iter_mut().find(|s| section.header.is_maildir() && s.source == status.source);
            match same {
                Some(before) => before.add(&status),
                None => sources.push(status),
            }
        }
        sources
    }
}

/// Describes a changed file without its old bytes.
fn describe_change(record: &MessageRecord, file: &MessageFile) -> String {
    let before = file.parsed().field(b'S');
    match before {
        Some(before) if file.size < before => {
            format!("changed since conversion: cut off after {} of {before} bytes, or rewritten", file.size)
        }
        Some(before) if file.size > before => {
            format!("changed since conversion: {}, was {before}", plural(file.size, "byte"))
        }
        _ => {
            let expected = blake3::Hash::from_bytes(record.file_digest().0).to_hex();
            format!("changed since conversion: the same size, other bytes (BLAKE3 was {}…)", &expected[..16])
        }
    }
}
