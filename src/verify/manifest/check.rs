//! Comparison of the manifests with the files: every message is intact, moved, re-flagged, changed, renamed or gone.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files::{
    FileIndex, FoundFile, FoundFiles, MaildirManifests, MessageFiles, NONE, has_converted_name,
    unrecorded_finding,
};
use super::flagging::Flagging;
use super::load::{LoadedManifest, MessageLine, damage_finding};
use super::source::{ChangedMessage, SourceComparison};
use crate::mailbox::maildir::Subdir;
use crate::mailbox::manifest::{Digest, Section};
use crate::mailbox::text::{is_or_are, plural, shell_quote};
use crate::mailbox::tree::folder::maildirpp_directory;
use crate::mailbox::{Code, Context, Finding, Result, display_path, escape};
use crate::verify::file::MessageFile;
use crate::verify::{Depth, SourceStatus, VerifyOptions};

/// The outcome for a Maildir.
#[derive(Default)]
pub(crate) struct CheckedManifests {
    pub findings: Vec<Finding>,
    pub sources: Vec<SourceStatus>,
}

/// Compares the manifests with the messages that were found, and marks those that match. Returns the outcome for each
/// Maildir.
pub(crate) fn check(
    maildirs: &[MaildirManifests<'_>],
    files: MessageFiles<'_>,
    found: FoundFiles,
    options: &VerifyOptions<'_>,
    context: &Context<'_>,
) -> Result<Vec<CheckedManifests>> {
    let FoundFiles { names, by_manifest } = found;
    let (index, mut by_manifest) = (FileIndex::new(&files, names), by_manifest.into_iter());
    let mut checks: Vec<Vec<ManifestCheck<'_>>> = Vec::with_capacity(maildirs.len());
    let (mut taken, mut first_lines) = (HashSet::new(), vec![NONE; files.messages.len()]);
    for maildir in maildirs {
        context.cancel.check()?;
        let found = maildir.manifests.iter().zip(&mut by_manifest);
        let check =
            |(manifest, found)| ManifestCheck::new(manifest, found, &index, options, &mut first_lines);
        let mut own: Vec<ManifestCheck<'_>> = found.map(check).collect();
        own.iter_mut().try_for_each(|check| check.check_named(&mut taken))?;
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
    line: &'a MessageLine,
    section: &'a Section<MessageLine>,
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
    /// The file of each line of a message.
    found: Vec<FoundFile>,
    /// The number of the first line with the same name, for each line, or [`REMOVED`].
    positions: Vec<u32>,
    /// True for a line that a closed section has, or another line with its name.
    required: Vec<bool>,
    /// The first line of each digest that a file has which is not as it was converted.
    by_digest: HashMap<Digest, &'a [u8]>,
    /// The states of the lines, once they are checked.
    states: Vec<State>,
    findings: Vec<Finding>,
    changed: Vec<ChangedMessage<'a>>,
    matches: Vec<usize>,
}

impl<'a> ManifestCheck<'a> {
    /// `first_lines` has [`NONE`] for each file, before and after.
    fn new(
        manifest: &'a LoadedManifest,
        found: Vec<FoundFile>,
        files: &'a FileIndex<'a>,
        options: &'a VerifyOptions<'a>,
        first_lines: &mut [u32],
    ) -> ManifestCheck<'a> {
        let (mut positions, mut required) =
            (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        let mut without_file: HashMap<&[u8], u32> = HashMap::new();
        let (mut by_digest, mut is_contradicted) = (HashMap::new(), false);
        for (section, line) in manifest.messages() {
            let (number, is_required) = (positions.len() as u32, section.footer.is_some());
            let first = match found[positions.len()].first {
                NONE => without_file.entry(manifest.name(line)).or_insert(number),
                file => {
                    let first = &mut first_lines[file as usize];
                    *first = (*first).min(number);
                    first
                }
            };
            // The bytes of a file never change, so all sections have the same hash.
            let contradicts = || manifest.line(*first as usize).digest != line.digest;
            is_contradicted |= *first != number && is_required && contradicts();
            required.push(is_required);
            required[*first as usize] |= is_required;
            positions.push(*first);
            if *first == number && files.different.contains(&line.digest) {
                by_digest.entry(line.digest).or_insert(manifest.name(line));
            }
        }
        found
            .iter()
            .filter(|found| found.first != NONE)
            .for_each(|found| first_lines[found.first as usize] = NONE);
        // A message that was removed during the run is reported as such.
        let removed = without_file.iter().filter(|(name, _)| files.removed.contains(**name));
        let removed: HashSet<u32> = removed.map(|(_, &first)| first).collect();
        if !removed.is_empty() {
            positions.iter_mut().filter(|first| removed.contains(first)).for_each(|first| *first = REMOVED);
        }
        let contradiction = || damage_finding(&manifest.path, "has two hashes of one file".to_owned());
        ManifestCheck {
            manifest,
            files,
            options,
            states: vec![State::default(); found.len()],
            found,
            positions,
            required,
            by_digest,
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
    fn targets(&self, folders: &[Vec<String>]) -> Vec<TargetFolder> {
        let target = |levels: &[String]| {
            let path = self.maildir();
            let path =
                if levels.is_empty() { path.to_owned() } else { path.join(maildirpp_directory(levels)) };
            TargetFolder { folder: self.files.by_path.get(&*path).copied(), path }
        };
        match folders {
            [] => vec![target(&[])],
            folders => folders.iter().map(|levels| target(levels)).collect(),
        }
    }

    /// Checks every message of the manifest.
    fn check_named(&mut self, taken: &mut HashSet<usize>) -> Result<()> {
        let manifest = self.manifest;
        for (n, (section, line)) in manifest.messages().enumerate() {
            if self.positions[n] as usize != n {
                continue;
            }
            let FoundFile { first, is_intact } = self.found[n];
            self.states[n] = if is_intact {
                self.matches.push(first as usize);
                State { intact: true, ..State::default() }
            } else {
                let name = manifest.name(line);
                self.check_message(NamedMessage { name, line, section, required: self.required[n] }, taken)?
            };
        }
        Ok(())
    }

    fn check_message(&mut self, named: NamedMessage<'a>, taken: &mut HashSet<usize>) -> Result<State> {
        let record = named.line.has_more.then(|| self.manifest.record(named.line)).transpose()?;
        let before = match &record {
            Some(record) => {
                Flagging { flags: record.flags.clone().into_bytes(), keywords: record.keywords.clone() }
            }
            None => Flagging { flags: named.line.flags().to_vec(), keywords: Vec::new() },
        };
        match &self.targets(record.as_ref().map_or(&[], |record| &record.folders))[..] {
            [target] => self.check_in_one(named, &before, target, taken),
            targets => self.check_in_each(named, &before, targets, taken),
        }
    }

    fn check_in_one(
        &mut self,
        named: NamedMessage<'a>,
        before: &Flagging,
        target: &TargetFolder,
        taken: &mut HashSet<usize>,
    ) -> Result<State> {
        match self.find_best(named, target.folder) {
            Some(n) => self.compare(named, before, target, n),
            None => self.find_elsewhere(named, target, taken),
        }
    }

    /// Checks a message that was converted into several folders. It is intact as long as one of them has it: removing a
    /// label removes it from a folder.
    fn check_in_each(
        &mut self,
        named: NamedMessage<'a>,
        before: &Flagging,
        targets: &[TargetFolder],
        taken: &mut HashSet<usize>,
    ) -> Result<State> {
        let (mut state, mut lost) = (State::default(), Vec::new());
        let mut found = None;
        for target in targets {
            let Some(n) = target.folder.and_then(|folder| self.find_in(named, folder)) else {
                lost.push(target);
                continue;
            };
            found = Some(n);
            let here = self.compare(named, before, target, n)?;
            state = State {
                intact: state.intact || here.intact,
                moved: state.moved || here.moved,
                reflagged: state.reflagged || here.reflagged,
                renamed: false,
                changed: state.changed || here.changed,
            };
        }
        let Some(found) = found else { return self.check_in_one(named, before, &targets[0], taken) };
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
        Ok(state)
    }

    /// Finds the file of this name, preferably with the right bytes, then in the right folder.
    fn find_best(&self, named: NamedMessage<'a>, target: Option<usize>) -> Option<usize> {
        let files = self.files.with_name(named.name);
        files.min_by_key(|&n| (!self.has_bytes_of(n, named), Some(self.file(n).folder()) != target))
    }

    /// Finds the file of this name in a folder.
    fn find_in(&self, named: NamedMessage<'a>, folder: usize) -> Option<usize> {
        let here = self.files.with_name(named.name).filter(|&n| self.file(n).folder() == folder);
        here.min_by_key(|&n| !self.has_bytes_of(n, named))
    }

    fn has_bytes_of(&self, n: usize, named: NamedMessage<'a>) -> bool {
        self.file(n).digests().any(|digest| digest == named.line.digest)
    }

    /// Compares a message with the file of its name.
    fn compare(
        &mut self,
        named: NamedMessage<'a>,
        before: &Flagging,
        target: &TargetFolder,
        n: usize,
    ) -> Result<State> {
        if self.options.depth == Depth::Contents && !self.has_bytes_of(n, named) {
            return self.note_changed(named, n);
        }
        let (file, path) = (self.file(n), self.path(n));
        let mut state = State { intact: true, ..State::default() };
        self.matches.push(n);
        if Some(file.folder()) != target.folder {
            let folder = display_path(&self.files.folders[file.folder()]);
            let text = format!("moved from {} to {folder}", display_path(&target.path));
            self.note(Code::MessageMoved, path.clone(), text);
            state.moved = true;
        } else if file.entry.subdir == Subdir::New && !before.is_empty() {
            let text = "moved from cur/ to new/".into();
            self.note(Code::MessageMoved, path.clone(), text);
            state.moved = true;
        }
        let letters = file.parsed().info.unwrap_or_default();
        let now = Flagging::parse(letters, &self.files.keywords[file.folder()]);
        if !now.is_same(before) {
            self.note(Code::MessageReflagged, path, format!("has the flags {now}, and had {before}"));
            state.reflagged = true;
        }
        Ok(state)
    }

    /// Reports a file of the right name with other bytes.
    fn note_changed(&mut self, named: NamedMessage<'a>, n: usize) -> Result<State> {
        let NamedMessage { name, line, section, .. } = named;
        let (file, path) = (self.file(n), self.path(n));
        let state = State { changed: true, ..State::default() };
        // An unreadable file has a finding already.
        if file.digest.is_none() {
            return Ok(state);
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
            None => Finding::new(Code::MessageChanged, describe_change(line, file)),
        };
        let finding = finding.in_file(&path);
        match other {
            Some(_) => self.findings.push(finding),
            None => {
                let record = self.manifest.record(line)?;
                self.changed.push(ChangedMessage { finding, record, section, path });
            }
        }
        Ok(state)
    }

    /// Finds a message without a file of its name by its bytes, among files that no manifest names.
    fn find_elsewhere(
        &mut self,
        named: NamedMessage<'a>,
        target: &TargetFolder,
        taken: &mut HashSet<usize>,
    ) -> Result<State> {
        let NamedMessage { name, line, section, required } = named;
        let is_in_target = |n: usize| Some(self.file(n).folder()) == target.folder;
        let is_free = |n: &usize| !taken.contains(n);
        let files = self.files.unnamed.get(&line.digest).into_iter().flatten().copied();
        let found = files.filter(is_free).min_by_key(|&n| !is_in_target(n));
        let shown_name = escape(name);
        let Some(n) = found else {
            if required {
                let how = match self.options.depth {
                    Depth::Contents => "is gone",
                    Depth::Structure => "is gone or renamed; a check without --quick shows which",
                };
                let (at, source) = (self.manifest.record(line)?.at, section.header.source.escaped());
                let path = target.path.join(OsStr::from_bytes(name));
                let from = match section.header.is_maildir() {
                    true => format!("it came from {source}"),
                    false => format!("it was at byte {at} of {source}"),
                };
                self.note(Code::MessageGone, path, format!("{how}; {from}"));
            }
            return Ok(State::default());
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
            return Ok(State { intact: true, moved: true, ..State::default() });
        }
        // The flags stay: only the base name identifies a message.
        let info = &file.entry.name.as_bytes()[file.parsed().base.len()..];
        let back = path.with_file_name(OsStr::from_bytes(&[name, info].concat()));
        let finding =
            Finding::new(Code::MessageRenamed, format!("was converted as {shown_name}")).in_file(&path);
        self.findings.push(finding.with_hint(format!("mv {} {}", shell_quote(&path), shell_quote(&back))));
        Ok(State { intact: true, renamed: true, ..State::default() })
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
fn describe_change(line: &MessageLine, file: &MessageFile) -> String {
    let before = file.parsed().field(b'S');
    match before {
        Some(before) if file.size < before => {
            format!("changed since conversion: cut off after {} of {before} bytes, or rewritten", file.size)
        }
        Some(before) if file.size > before => {
            format!("changed since conversion: {}, was {before}", plural(file.size, "byte"))
        }
        _ => {
            let expected = blake3::Hash::from_bytes(line.digest.0).to_hex();
            format!("changed since conversion: the same size, other bytes (BLAKE3 was {}…)", &expected[..16])
        }
    }
}
