//! Verification against the manifest: every converted message is unchanged, moved, re-flagged, changed, renamed or
//! gone. The source is not needed; if it is at hand, it is compared too.
//!
//! Everyday changes (flags, new/ to cur/, another folder) are infos. Everything that makes the manifest's claim untrue
//! is an error: changed bytes, a message that is gone, and also another base name. A new base name is another message
//! to every IMAP client and to `convert --exact`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::file::MessageFile;
use super::options::SourceOpener;
use super::report::error_text;
use super::{Depth, SourceStatus, VerifyOptions};
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::maildir::{KeywordSet, KeywordTable, Subdir, list};
use crate::mailbox::manifest::{
    self, Digest, Gap, ManifestFile, ManifestLocation, MessageRecord, Outline, Section, SectionFooter,
    SectionHeader,
};
use crate::mailbox::source::{Contents, mapped};
use crate::mailbox::text::shell_quote;
use crate::mailbox::tree::folder::maildirpp_directory;
use crate::mailbox::{Code, Context, Error, Finding, Result, display_path, escape};

/// A valid manifest.
#[derive(Debug)]
pub(crate) struct LoadedManifest {
    path: PathBuf,
    /// Index of its folder.
    folder: usize,
    sections: Vec<Section>,
    /// True if a section is the newest one of its source; parallel to `sections`.
    newest: Vec<bool>,
}

impl LoadedManifest {
    fn newest_sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().zip(&self.newest).filter_map(|(section, newest)| newest.then_some(section))
    }
}

/// The contents of a Maildir.
pub(crate) struct Maildir<'a> {
    /// The Maildir itself first.
    pub folders: &'a [PathBuf],
    pub messages: &'a mut [MessageFile],
    /// Base names of messages that were removed during the run.
    pub removed: &'a HashSet<Vec<u8>>,
}

/// Returns the names in the manifests that no file has.
pub(crate) fn missing_names(manifests: &[LoadedManifest], messages: &[MessageFile]) -> HashSet<Vec<u8>> {
    let sections = manifests.iter().flat_map(|manifest| &manifest.sections);
    let mut missing: HashSet<&[u8]> =
        sections.flat_map(|section| &section.messages).map(|record| &record.name.0[..]).collect();
    messages.iter().for_each(|message| {
        missing.remove(message.parsed().base);
    });
    missing.into_iter().map(<[u8]>::to_vec).collect()
}

/// Reads the manifests of all folders. A damaged one is reported and not used.
pub(crate) fn load(
    folders: &[PathBuf],
    options: &VerifyOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<LoadedManifest>> {
    let mut manifests = Vec::new();
    for (folder, directory) in folders.iter().enumerate() {
        let manifest = match ManifestLocation::named(options.manifest.filter(|_| folder == 0)) {
            location @ ManifestLocation::File(_) => Some(location.read_existing(directory)?),
            location => location.read(directory)?,
        };
        let Some(ManifestFile { path, text }) = manifest else { continue };
        match parse(&text, &path) {
            Ok((sections, newest)) => manifests.push(LoadedManifest { path, folder, sections, newest }),
            Err(Error::Manifest { line, reason, .. }) => {
                let text = format!("line {line} {reason}");
                let finding = Finding::new(Code::ManifestDamaged, text).in_file(&path);
                findings.push(
                    finding.with_hint("restore it from a backup; without it nothing says what was converted"),
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(manifests)
}

fn parse(text: &[u8], path: &Path) -> Result<(Vec<Section>, Vec<bool>)> {
    let outlines = manifest::outline(text, path)?;
    if outlines.is_empty() {
        return Err(Error::Manifest { path: path.to_owned(), line: 1, reason: "begins no section".into() });
    }
    if outlines.iter().any(|o| o.footer.is_none()) {
        check_lines(text, path)?;
    }
    let newest = (0..outlines.len()).map(|n| is_newest(&outlines, n)).collect();
    let sections = outlines.iter().map(Outline::read).collect::<Result<_>>()?;
    Ok((sections, newest))
}

/// Checks the lines of a manifest with an open section, which has no hash. A kill truncates only the last line, so
/// every other one must parse, and the last one must be the beginning of a line.
fn check_lines(text: &[u8], path: &Path) -> Result<()> {
    for (n, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let parsed = match () {
            () if line.starts_with(b"{\"section\":") => serde_json::from_slice::<SectionHeader>(line).err(),
            () if line.starts_with(b"{\"closes\":") => serde_json::from_slice::<SectionFooter>(line).err(),
            () if line.starts_with(b"{\"gap\":") => serde_json::from_slice::<Gap>(line).err(),
            () => serde_json::from_slice::<MessageRecord>(line).err(),
        };
        let is_truncated = !line.ends_with(b"\n");
        if let Some(error) = parsed.filter(|error| !(is_truncated && error.is_eof())) {
            let reason = format!("is none of ours: {error}");
            return Err(Error::Manifest { path: path.to_owned(), line: n as u64 + 1, reason });
        }
    }
    Ok(())
}

/// Reports whether no later closed section describes the same source.
fn is_newest(outlines: &[Outline<'_>], n: usize) -> bool {
    let later = n + 1..outlines.len();
    !later.into_iter().any(|later| outlines[later].footer.is_some() && manifest::follows(outlines, later, n))
}

/// Compares the manifests with the messages that were found, and marks those that match.
pub(crate) fn check(
    manifests: &[LoadedManifest],
    maildir: Maildir<'_>,
    options: &VerifyOptions<'_>,
    context: &Context<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SourceStatus>> {
    let needed = maildir.folders.iter().filter(|_| !manifests.is_empty());
    let keywords = needed.map(|folder| KeywordTable::read(folder)).collect::<Result<Vec<_>>>()?;
    let files = FileIndex::new(manifests, &maildir, keywords);
    let mut checks: Vec<ManifestCheck<'_>> =
        manifests.iter().map(|manifest| ManifestCheck::new(manifest, &files, options)).collect();
    let mut taken = HashSet::new();
    for check in &mut checks {
        context.cancel.check()?;
        check.check_named(&mut taken);
    }
    let (mut sources, mut matches) = (Vec::new(), Vec::new());
    for mut check in checks {
        context.cancel.check()?;
        check.check_unnamed(&taken);
        sources.extend(check.source_statuses());
        if let (Depth::Contents, Some(open)) = (options.depth, options.open_source) {
            check.compare_sources(open, context)?;
        }
        findings.append(&mut check.findings);
        matches.append(&mut check.matches);
    }
    matches.into_iter().for_each(|n| maildir.messages[n].matches = true);
    Ok(sources)
}

/// The files of all folders, by name and by digest.
struct FileIndex<'a> {
    folders: &'a [PathBuf],
    messages: &'a [MessageFile],
    removed: &'a HashSet<Vec<u8>>,
    /// Keyword letters of each folder.
    keywords: Vec<KeywordTable>,
    by_path: HashMap<&'a Path, usize>,
    by_name: HashMap<&'a [u8], Vec<usize>>,
    /// Files whose name is in no manifest.
    unnamed: HashMap<Digest, Vec<usize>>,
    /// The same files, by folder.
    unnamed_in: Vec<Vec<usize>>,
}

impl<'a> FileIndex<'a> {
    fn new(
        manifests: &[LoadedManifest],
        maildir: &'a Maildir<'_>,
        keywords: Vec<KeywordTable>,
    ) -> FileIndex<'a> {
        let Maildir { folders, messages, removed } = maildir;
        let records = manifests.iter().flat_map(|m| &m.sections).flat_map(|s| &s.messages);
        let names: HashSet<&[u8]> = records.map(|m| &m.name.0[..]).collect();
        let (mut by_name, mut unnamed) = (HashMap::<_, Vec<usize>>::new(), HashMap::<_, Vec<usize>>::new());
        let mut unnamed_in = vec![Vec::new(); folders.len()];
        for (n, message) in messages.iter().enumerate() {
            let base = message.parsed().base;
            if names.contains(base) {
                by_name.entry(base).or_default().push(n);
            } else if let Some(digest) = message.digest {
                unnamed.entry(digest).or_default().push(n);
                unnamed_in[message.folder].push(n);
            }
        }
        let by_path = folders.iter().enumerate().map(|(n, folder)| (&**folder, n)).collect();
        FileIndex { folders, messages, removed, keywords, by_path, by_name, unnamed, unnamed_in }
    }
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

/// A message of the manifest.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a [u8],
    record: &'a MessageRecord,
    section: &'a Section,
    /// False for a message of an open section, which may never have been written.
    required: bool,
}

/// A folder into which a message was converted.
struct Home {
    path: PathBuf,
    /// The index, if it is there.
    folder: Option<usize>,
}

/// A changed message, and the finding about it.
struct ChangedMessage<'a> {
    finding: usize,
    named: Named<'a>,
    path: PathBuf,
}

/// Comparison of one manifest with the files.
struct ManifestCheck<'a> {
    manifest: &'a LoadedManifest,
    files: &'a FileIndex<'a>,
    options: &'a VerifyOptions<'a>,
    /// The messages of the manifest, in order.
    names: Vec<Named<'a>>,
    by_digest: HashMap<Digest, &'a [u8]>,
    states: HashMap<&'a [u8], State>,
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
        let mut names = Vec::new();
        let mut seen = HashSet::new();
        let mut by_digest = HashMap::new();
        for (section, &newest) in manifest.sections.iter().zip(&manifest.newest) {
            // A later section of a file names all messages of an earlier one; that of a Maildir does not.
            let required = section.footer.is_some() || !newest && !section.header.is_maildir();
            for record in &section.messages {
                let name = &record.name.0[..];
                // A message that was removed during the run is reported as such.
                if !files.removed.contains(name) && seen.insert(name) {
                    names.push(Named { name, record, section, required });
                    by_digest.entry(record.file_digest()).or_insert(name);
                }
            }
        }
        ManifestCheck {
            manifest,
            files,
            options,
            names,
            by_digest,
            states: HashMap::new(),
            findings: Vec::new(),
            changed: Vec::new(),
            matches: Vec::new(),
        }
    }

    fn home(&self) -> &'a Path {
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
    fn homes(&self, record: &MessageRecord) -> Vec<Home> {
        let home = |levels: &[String]| {
            let path = self.home();
            let path =
                if levels.is_empty() { path.to_owned() } else { path.join(maildirpp_directory(levels)) };
            Home { folder: self.files.by_path.get(&*path).copied(), path }
        };
        match &record.folders[..] {
            [] => vec![home(&[])],
            folders => folders.iter().map(|levels| home(levels)).collect(),
        }
    }

    /// Checks every message of the manifest.
    fn check_named(&mut self, taken: &mut HashSet<usize>) {
        for named in std::mem::take(&mut self.names) {
            let homes = self.homes(named.record);
            let state = match &homes[..] {
                [home] => self.check_in_one(named, home, taken),
                homes => self.check_in_each(named, homes, taken),
            };
            self.states.insert(named.name, state);
        }
    }

    fn check_in_one(&mut self, named: Named<'a>, home: &Home, taken: &mut HashSet<usize>) -> State {
        match self.find_best(named, home.folder) {
            Some(n) => self.compare(named, home, n),
            None => self.find_elsewhere(named, home, taken),
        }
    }

    /// Checks a message that was converted into several folders. It is intact as long as one of them has it: removing a
    /// label removes it from a folder.
    fn check_in_each(&mut self, named: Named<'a>, homes: &[Home], taken: &mut HashSet<usize>) -> State {
        let (mut state, mut lost) = (State::default(), Vec::new());
        let mut found = None;
        for home in homes {
            let Some(n) = home.folder.and_then(|folder| self.find_in(named, folder)) else {
                lost.push(home);
                continue;
            };
            found = Some(n);
            let here = self.compare(named, home, n);
            state = State {
                intact: state.intact || here.intact,
                moved: state.moved || here.moved,
                reflagged: state.reflagged || here.reflagged,
                renamed: false,
                changed: state.changed || here.changed,
            };
        }
        let Some(found) = found else { return self.check_in_one(named, &homes[0], taken) };
        if named.required {
            for home in lost {
                let path = self.path(found);
                let text =
                    format!("was converted into {} too, and is there no more", display_path(&home.path));
                self.note(Code::MessageMoved, path, text);
                state.moved = true;
            }
        }
        // Every message is counted once.
        state.intact &= !state.changed;
        state
    }

    /// Finds the file of this name, preferably with the right bytes, then in the right folder.
    fn find_best(&self, named: Named<'a>, home: Option<usize>) -> Option<usize> {
        let files = self.files.by_name.get(named.name)?;
        files
            .iter()
            .copied()
            .min_by_key(|&n| (!self.has_bytes_of(n, named), Some(self.file(n).folder) != home))
    }

    /// Finds the file of this name in a folder.
    fn find_in(&self, named: Named<'a>, folder: usize) -> Option<usize> {
        let files = self.files.by_name.get(named.name)?.iter().copied();
        let here = files.filter(|&n| self.file(n).folder == folder);
        here.min_by_key(|&n| !self.has_bytes_of(n, named))
    }

    fn has_bytes_of(&self, n: usize, named: Named<'a>) -> bool {
        self.file(n).digest == Some(named.record.file_digest())
    }

    /// Compares a message with the file of its name.
    fn compare(&mut self, named: Named<'a>, home: &Home, n: usize) -> State {
        if self.options.depth == Depth::Contents && !self.has_bytes_of(n, named) {
            return self.note_changed(named, n);
        }
        let (record, file, path) = (named.record, self.file(n), self.path(n));
        let mut state = State { intact: true, ..State::default() };
        self.matches.push(n);
        if Some(file.folder) != home.folder {
            let folder = display_path(&self.files.folders[file.folder]);
            let text = format!("was converted into {}, and lies in {folder} now", display_path(&home.path));
            self.note(Code::MessageMoved, path.clone(), text);
            state.moved = true;
        } else if file.entry.subdir == Subdir::New && !(record.flags.is_empty() && record.keywords.is_empty())
        {
            let text = "was converted into cur/, and lies in new/ now".into();
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
    fn note_changed(&mut self, named: Named<'a>, n: usize) -> State {
        let Named { name, record, .. } = named;
        let (file, path) = (self.file(n), self.path(n));
        let state = State { changed: true, ..State::default() };
        // An unreadable file has a finding already.
        let Some(digest) = file.digest else { return state };
        let other = self.by_digest.get(&digest).copied().filter(|other| *other != name);
        let is_swapped = |other: &[u8]| {
            let files = self.files.by_name.get(other);
            files.is_some_and(|f| f.iter().any(|&n| self.has_bytes_of(n, named)))
        };
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
        if other.is_none() {
            let finding = self.findings.len();
            self.changed.push(ChangedMessage { finding, named, path: path.clone() });
        }
        self.findings.push(finding.in_file(path));
        state
    }

    /// Finds the first byte in which changed files differ from the source.
    fn locate_changes(&mut self, section: &Section, raw: &[u8]) {
        for ChangedMessage { finding, named, path } in &self.changed {
            if !std::ptr::eq(named.section, section) {
                continue;
            }
            let mut file = Contents::default();
            let Some(expected) = SourceParts::new(named.record, section, raw) else { continue };
            if load_file(path, &mut file).is_err() {
                continue;
            }
            let at = expected.first_difference(&file);
            let (before, now) = (expected.len(), file.len());
            let finding = &mut self.findings[*finding];
            finding.offset = Some(at as u64);
            finding.line = Some(mapped::count_byte(b'\n', &file[..at]) as u64 + 1);
            finding.message = match before == now {
                true => format!("is not what was converted: other bytes from {at} on"),
                false => format!(
                    "is not what was converted: other from byte {at} on, {now} bytes and had {before}"
                ),
            }
            .into();
        }
    }

    /// Finds a message without a file of its name by its bytes, among files that no manifest names.
    fn find_elsewhere(&mut self, named: Named<'a>, home: &Home, taken: &mut HashSet<usize>) -> State {
        let Named { name, record, section, required } = named;
        let is_home = |n: usize| Some(self.file(n).folder) == home.folder;
        let is_free = |n: &usize| !taken.contains(n);
        let files = self.files.unnamed.get(&record.file_digest()).into_iter().flatten().copied();
        let found = files.filter(is_free).min_by_key(|&n| !is_home(n));
        let shown_name = escape(name);
        let Some(n) = found else {
            if required {
                let how = match self.options.depth {
                    Depth::Contents => "is gone",
                    Depth::Structure => "is gone, or has another name now, which its contents would tell",
                };
                let (at, source) = (record.at, section.header.source.escaped());
                let path = home.path.join(OsStr::from_bytes(name));
                let from = match section.header.is_maildir() {
                    true => format!("it came from {source}"),
                    false => format!("it was at byte {at} of {source}"),
                };
                self.note(Code::MessageGone, path, format!("{how}; {from}"));
            }
            return State::default();
        };
        let is_home = is_home(n);
        taken.insert(n);
        self.matches.push(n);
        let (file, path) = (self.file(n), self.path(n));
        if !is_home {
            self.note(
                Code::MessageMoved,
                path,
                format!("was converted into {} as {shown_name}", display_path(&home.path)),
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
        let files = self.files;
        for &n in files.unnamed_in[self.manifest.folder].iter().filter(|n| !taken.contains(n)) {
            let path = self.path(n);
            match self.file(n).digest.and_then(|digest| self.by_digest.get(&digest)) {
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
        if let Some(first) = first {
            self.note(
                Code::MessageAdded,
                first,
                format!("{added} messages are in no manifest, the first here"),
            );
        }
    }

    /// Returns the status of each source, and reports each section that was never closed.
    fn source_statuses(&mut self) -> Vec<SourceStatus> {
        let mut sources: Vec<SourceStatus> = Vec::new();
        for section in self.manifest.newest_sections() {
            let mut status = SourceStatus::new(section.source(), self.home(), self.options.depth);
            for record in section.messages.iter().filter(|r| !self.files.removed.contains(&r.name.0)) {
                status.messages += 1;
                let state = self.states.get(&record.name.0[..]).copied().unwrap_or_default();
                status.intact += u64::from(state.intact);
                status.moved += u64::from(state.moved);
                status.reflagged += u64::from(state.reflagged);
                status.renamed += u64::from(state.renamed);
                status.changed += u64::from(state.changed);
                status.gone += u64::from(!state.intact && !state.changed);
            }
            if section.footer.is_none() {
                let text = format!(
                    "the conversion of {} was cut off, or is running: {} of its messages are known here, and {} of them are there",
                    section.header.source.escaped(),
                    status.messages,
                    status.intact
                );
                let finding = Finding::new(Code::ConversionUnfinished, text).in_file(&self.manifest.path);
                self.findings.push(finding.with_hint("the same convert command again completes it"));
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

    /// Compares the sources with what was converted.
    fn compare_sources(&mut self, open: SourceOpener<'_>, context: &Context<'_>) -> Result<()> {
        let mut maildirs = HashSet::new();
        for section in self.manifest.newest_sections() {
            if section.header.is_maildir() {
                if maildirs.insert(&section.header.source.0) {
                    let finding = compare_maildir(self.manifest, section, self.options.source, context.now);
                    self.findings.push(finding);
                }
                continue;
            }
            let named = section.source();
            let path = match self.options.source {
                Some(path) => path,
                None if named.as_os_str() == "-" => continue,
                None => &named,
            };
            let text = match self.compare_source(section, path, open, context) {
                Ok(text) => text,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => format!("could not be compared: {}", error_text(&error, path)),
            };
            self.findings.push(Finding::new(Code::SourceCompared, text).in_file(path));
        }
        Ok(())
    }

    /// Compares the source with its state at the conversion, and returns a phrase about it.
    fn compare_source(
        &mut self,
        section: &Section,
        path: &Path,
        open: SourceOpener<'_>,
        context: &Context<'_>,
    ) -> Result<String> {
        if is_missing(path) {
            return Ok("is gone; what was converted is known by the manifest alone".to_owned());
        }
        let source = open(path)?;
        let (raw, before) = (source.raw(), section.header.size as usize);
        if raw.len() < before {
            return Ok(format!("is another or shorter now: {} bytes, and had {before}", raw.len()));
        }
        const WINDOW: usize = 8 << 20;
        let mut hasher = blake3::Hasher::new();
        for (n, window) in raw[..before].chunks(WINDOW).enumerate() {
            context.cancel.check()?;
            hasher.update_rayon(window);
            source.release(n * WINDOW..n * WINDOW + window.len());
        }
        source.check_unchanged()?;
        if Digest::from(hasher.finalize()) != section.header.blake3 {
            return Ok("is another than when it was converted".into());
        }
        self.locate_changes(section, raw);
        Ok(match raw.len() - before {
            0 => "is the same as when it was converted".into(),
            more => format!("has grown by {more} bytes since it was converted; its beginning is the same"),
        })
    }
}

fn is_missing(path: &Path) -> bool {
    files::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Flags and keywords of a message.
struct Flagging {
    flags: Vec<u8>,
    keywords: Vec<String>,
}

impl Flagging {
    /// Parses an info. A keyword without a name is its letter in brackets.
    fn parse(info: &[u8], names: &KeywordTable) -> Flagging {
        let flags = info.iter().copied().filter(|b| !b.is_ascii_lowercase()).collect();
        let keywords = KeywordSet::parse(info).numbers().map(|number| match names.name(number) {
            Some(name) => name.to_owned(),
            None => format!("({})", KeywordSet::default().with(number)),
        });
        Flagging { flags, keywords: keywords.collect() }
    }

    fn is_same(&self, other: &Flagging) -> bool {
        let lower = |names: &[String]| names.iter().map(|n| n.to_ascii_lowercase()).collect::<HashSet<_>>();
        self.flags == other.flags && lower(&self.keywords) == lower(&other.keywords)
    }
}

impl fmt::Display for Flagging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.flags.is_empty() { "none".to_owned() } else { escape(&self.flags) };
        f.write_str(&flags)?;
        match &self.keywords[..] {
            [] => Ok(()),
            keywords => write!(f, " (keywords {})", escape(keywords.join(" ").as_bytes())),
        }
    }
}

/// Describes a changed file without its old bytes.
fn describe_change(record: &MessageRecord, file: &MessageFile) -> String {
    let before = file.parsed().field(b'S');
    match before {
        Some(before) if file.size < before => {
            format!("is not what was converted: cut off after {} of {before} bytes, or rewritten", file.size)
        }
        Some(before) if file.size > before => {
            format!("is not what was converted: {} bytes, and had {before}", file.size)
        }
        _ => {
            let expected = blake3::Hash::from_bytes(record.file_digest().0).to_hex();
            format!(
                "is not what was converted: as many bytes, but not the same (BLAKE3 was {}…)",
                &expected[..16]
            )
        }
    }
}

/// Compares the names in a Maildir with those that were copied.
fn compare_maildir(manifest: &LoadedManifest, section: &Section, source: Option<&Path>, now: i64) -> Finding {
    let named = section.source();
    let path = source.unwrap_or(&named);
    let text = match list::list_messages(path, now) {
        Ok(entries) => {
            let now: HashSet<&[u8]> = entries.iter().map(|entry| entry.parsed().base).collect();
            let sections = manifest.sections.iter().filter(|s| s.header.source == section.header.source);
            let copied: HashSet<&[u8]> = sections
                .filter(|s| s.header.is_maildir())
                .flat_map(|s| &s.messages)
                .map(|message| &message.original.as_ref().unwrap_or(&message.name).0[..])
                .collect();
            format!(
                "has {} of the {} messages that were copied, by their names, and {} others",
                copied.intersection(&now).count(),
                copied.len(),
                now.difference(&copied).count()
            )
        }
        Err(error) if error.is(io::ErrorKind::NotFound) => {
            "is gone; what was copied is known by the manifest alone".to_owned()
        }
        Err(error) => format!("could not be compared: {}", error_text(&error, path)),
    };
    Finding::new(Code::SourceCompared, text).in_file(path)
}

/// Loads a message again.
fn load_file(path: &Path, contents: &mut Contents) -> Result<()> {
    let file = Dir::open(parent_of(path))?.open_file(path.file_name().unwrap_or_default())?;
    let meta = file.metadata().map_err(Error::io("look at", path))?;
    let size = if meta.is_file() { meta.len() } else { 0 };
    contents.load(&file, size, path)
}

/// The parts of a message in its source that its file has.
struct SourceParts<'r> {
    parts: Vec<&'r [u8]>,
    /// The lines end in CR in the source, and in LF in the file.
    cr_only: bool,
}

impl<'r> SourceParts<'r> {
    /// Returns None if the line ends were changed, or if this is another source.
    fn new(record: &MessageRecord, section: &Section, raw: &'r [u8]) -> Option<SourceParts<'r>> {
        let at = usize::try_from(record.at).ok()?;
        let message = raw.get(at..at.checked_add(record.len.try_into().ok()?)?)?;
        let fields = record.stripped.iter().map(|(at, field)| (*at, field.0.len()));
        let quotes = record.quotes.iter().scan(0, |at, distance| {
            *at = u64::saturating_add(*at, *distance);
            Some((*at, 1))
        });
        let (mut parts, mut from) = (Vec::new(), 0);
        for (at, length) in fields.chain(quotes) {
            let at = usize::try_from(at).ok()?;
            parts.push(message.get(from..at)?);
            from = at.checked_add(length)?;
        }
        parts.push(message.get(from..)?);
        let source = SourceParts { parts, cr_only: section.header.cr_only };
        let mut hasher = blake3::Hasher::new();
        source.windows().for_each(|window| {
            hasher.update(&window);
        });
        (Digest::from(hasher.finalize()) == record.file_digest()).then_some(source)
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Returns the bytes of the file, in order.
    fn windows(&self) -> impl Iterator<Item = Cow<'r, [u8]>> {
        let cr_only = self.cr_only;
        self.parts.iter().flat_map(|part| mapped::windows(part)).map(move |window| match cr_only {
            true => window.iter().map(|&b| if b == b'\r' { b'\n' } else { b }).collect(),
            false => Cow::Borrowed(window),
        })
    }

    /// Returns the offset of the first byte that differs in a file.
    fn first_difference(&self, file: &[u8]) -> usize {
        let mut at = 0;
        for window in self.windows() {
            let here = &file[at..file.len().min(at + window.len())];
            if *here != *window {
                return at + here.iter().zip(&*window).take_while(|(a, b)| a == b).count();
            }
            at += window.len();
        }
        at
    }
}
