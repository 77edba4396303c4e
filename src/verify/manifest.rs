//! Is it the mail that was converted? Each message that a manifest names, years later: unchanged, moved,
//! re-flagged, changed, under another name, or gone. The source is not needed; where it is at hand, it is
//! compared too.
//!
//! What a user or a server does every day (flags, new/ to cur/, another folder) is an info. Whatever leaves
//! the manifest's claim untrue is an error: bytes that changed, a message that is gone, and also one that
//! got another base name, since that is another message to every IMAP client and to `convert --exact`.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::file;
use super::{Depth, VerifyOptions, said};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::read_regular;
use crate::mailbox::maildir::keywords::{KeywordSet, KeywordTable};
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::write::Subdir;
use crate::mailbox::manifest::{
    self, Digest, Gap, ManifestFile, ManifestLocation, Outline, Section, SectionFooter, SectionHeader,
};
use crate::mailbox::source::Source;
use crate::mailbox::text::display_path;
use crate::mailbox::tree::folder::maildirpp_directory;

/// What became of the messages of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// The source, as the manifest names it.
    pub source: PathBuf,
    /// The Maildir it was converted into.
    pub maildir: PathBuf,
    /// Whether bytes were compared, or names only.
    pub depth: Depth,
    /// Its messages.
    pub messages: u64,
    /// Those that are there, byte for byte; under another name too.
    pub intact: u64,
    /// Of these: in another folder, or back in new/.
    pub moved: u64,
    /// Of these: with other flags.
    pub reflagged: u64,
    /// Of these: under another base name.
    pub renamed: u64,
    /// Those whose file has other bytes now.
    pub changed: u64,
    /// Those that are not there.
    pub gone: u64,
}

impl SourceStatus {
    fn add(&mut self, more: &SourceStatus) {
        self.messages += more.messages;
        self.intact += more.intact;
        self.moved += more.moved;
        self.reflagged += more.reflagged;
        self.renamed += more.renamed;
        self.changed += more.changed;
        self.gone += more.gone;
    }
}

/// A manifest that was found and holds.
#[derive(Debug)]
pub(crate) struct LoadedManifest {
    path: PathBuf,
    /// The folder it lies in, by its number.
    folder: usize,
    sections: Vec<Section>,
    /// Which of them tell of a source as it was last.
    newest: Vec<bool>,
}

/// Reads the manifests of all folders. What is damaged is a finding, and nothing is judged by it.
pub(crate) fn load(
    folders: &[file::MaildirFolder],
    options: &VerifyOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<LoadedManifest>> {
    let mut manifests = Vec::new();
    for (folder, found) in folders.iter().enumerate() {
        let manifest = match ManifestLocation::named(options.manifest.filter(|_| folder == 0)) {
            location @ ManifestLocation::File(_) => Some(location.read_existing(&found.path)?),
            location => location.read(&found.path)?,
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
    if outlines.iter().any(|o| o.tail.is_none()) {
        check_lines(text, path)?;
    }
    let newest = (0..outlines.len()).map(|n| is_newest(&outlines, n)).collect();
    let sections = outlines.iter().map(Outline::read).collect::<Result<_>>()?;
    Ok((sections, newest))
}

/// An open section has no hash to hold its lines to. A kill tears the last line and no other, so that each
/// whole one still is one of ours, and the last one the beginning of one.
fn check_lines(text: &[u8], path: &Path) -> Result<()> {
    for (n, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let parsed = match () {
            () if line.starts_with(b"{\"section\":") => serde_json::from_slice::<SectionHeader>(line).err(),
            () if line.starts_with(b"{\"closes\":") => serde_json::from_slice::<SectionFooter>(line).err(),
            () if line.starts_with(b"{\"gap\":") => serde_json::from_slice::<Gap>(line).err(),
            () => serde_json::from_slice::<manifest::MessageRecord>(line).err(),
        };
        let is_torn = !line.ends_with(b"\n");
        if let Some(error) = parsed.filter(|error| !(is_torn && error.is_eof())) {
            let reason = format!("is none of ours: {error}");
            return Err(Error::Manifest { path: path.to_owned(), line: n as u64 + 1, reason });
        }
    }
    Ok(())
}

/// Whether no closed section tells of the same source as it was later.
fn is_newest(outlines: &[Outline<'_>], n: usize) -> bool {
    let later = n + 1..outlines.len();
    !later.into_iter().any(|later| outlines[later].tail.is_some() && manifest::follows(outlines, later, n))
}

/// Holds the manifests against what was found.
pub(crate) fn check(
    manifests: &[LoadedManifest],
    folders: &[file::MaildirFolder],
    messages: &mut [file::MessageFile],
    options: &VerifyOptions<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SourceStatus>> {
    let mut proofs = Vec::new();
    let mut vouched = Vec::new();
    let files = Files::of(manifests, messages);
    let needed = folders.iter().filter(|_| !manifests.is_empty());
    let keywords =
        needed.map(|folder| KeywordTable::read(&folder.path)).collect::<Result<Vec<KeywordTable>>>()?;
    let of = |manifest| ManifestCheck::of(manifest, (folders, &keywords), messages, &files, options);
    let mut judges: Vec<ManifestCheck<'_>> = manifests.iter().map(of).collect();
    let mut taken = HashSet::new();
    for judge in &mut judges {
        options.cancel.check()?;
        judge.named(&mut taken);
    }
    for (mut judge, manifest) in judges.into_iter().zip(manifests) {
        options.cancel.check()?;
        judge.unnamed(&taken);
        proofs.extend(judge.proofs());
        if options.depth == Depth::Contents {
            sources(manifest, &mut judge, options)?;
        }
        findings.append(&mut judge.findings);
        vouched.append(&mut judge.vouched);
    }
    vouched.into_iter().for_each(|n| messages[n].matches = true);
    Ok(proofs)
}

/// The files of all folders, by what they are known by.
struct Files {
    by_name: HashMap<Vec<u8>, Vec<usize>>,
    /// Those whose name is in no manifest.
    unnamed: HashMap<Digest, Vec<usize>>,
}

impl Files {
    fn of(manifests: &[LoadedManifest], messages: &[file::MessageFile]) -> Files {
        let names: HashSet<&[u8]> = manifests
            .iter()
            .flat_map(|m| &m.sections)
            .flat_map(|s| &s.messages)
            .map(|m| &m.name.0[..])
            .collect();
        let mut files = Files { by_name: HashMap::new(), unnamed: HashMap::new() };
        for (n, message) in messages.iter().enumerate() {
            let base = message.parsed().base;
            if names.contains(base) {
                files.by_name.entry(base.to_owned()).or_default().push(n);
            } else if let Some(digest) = message.digest {
                files.unnamed.entry(digest).or_default().push(n);
            }
        }
        files
    }
}

/// What became of a name.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    kept: bool,
    moved: bool,
    reflagged: bool,
    renamed: bool,
    changed: bool,
}

/// A name of the manifest, and what the section that gave it says.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a [u8],
    message: &'a manifest::MessageRecord,
    section: &'a Section,
    /// What an open section names may never have been written.
    promised: bool,
}

/// A folder that a message was put into.
struct Home {
    path: PathBuf,
    /// Its number, if it is there.
    folder: Option<usize>,
}

struct ManifestCheck<'a> {
    manifest: &'a LoadedManifest,
    folders: &'a [file::MaildirFolder],
    /// Of their letters.
    keywords: &'a [KeywordTable],
    by_path: HashMap<&'a Path, usize>,
    messages: &'a [file::MessageFile],
    files: &'a Files,
    options: &'a VerifyOptions<'a>,
    /// Each name of the manifest with what its file should be, in order.
    names: Vec<Named<'a>>,
    /// Which name has these bytes.
    by_digest: HashMap<Digest, &'a [u8]>,
    fates: HashMap<&'a [u8], Fate>,
    findings: Vec<Finding>,
    /// Messages that changed, and which finding says so.
    changed: Vec<(usize, Named<'a>, PathBuf)>,
    vouched: Vec<usize>,
}

impl<'a> ManifestCheck<'a> {
    fn of(
        manifest: &'a LoadedManifest,
        (folders, keywords): (&'a [file::MaildirFolder], &'a [KeywordTable]),
        messages: &'a [file::MessageFile],
        files: &'a Files,
        options: &'a VerifyOptions<'a>,
    ) -> ManifestCheck<'a> {
        let mut names = Vec::new();
        let mut seen = HashSet::new();
        let mut by_digest = HashMap::new();
        for (section, &newest) in manifest.sections.iter().zip(&manifest.newest) {
            // A later section of a file tells of all that this one tells of, one of a Maildir does not.
            let promised = section.tail.is_some() || !newest && !section.head.is_maildir();
            for message in &section.messages {
                let name = &message.name.0[..];
                if seen.insert(name) {
                    names.push(Named { name, message, section, promised });
                    by_digest.entry(message.file_digest()).or_insert(name);
                }
            }
        }
        ManifestCheck {
            manifest,
            folders,
            keywords,
            by_path: folders.iter().enumerate().map(|(n, folder)| (&*folder.path, n)).collect(),
            messages,
            files,
            options,
            names,
            by_digest,
            fates: HashMap::new(),
            findings: Vec::new(),
            changed: Vec::new(),
            vouched: Vec::new(),
        }
    }

    fn home(&self) -> &'a Path {
        &self.folders[self.manifest.folder].path
    }

    fn note(&mut self, code: Code, path: PathBuf, message: String) {
        self.findings.push(Finding::new(code, message).in_file(path));
    }

    /// Where a message was put; at least one folder.
    fn homes(&self, message: &manifest::MessageRecord) -> Vec<Home> {
        let home = |levels: &[String]| {
            let path = self.home();
            let path =
                if levels.is_empty() { path.to_owned() } else { path.join(maildirpp_directory(levels)) };
            Home { folder: self.by_path.get(&*path).copied(), path }
        };
        match &message.folders[..] {
            [] => vec![home(&[])],
            folders => folders.iter().map(|levels| home(levels)).collect(),
        }
    }

    /// Every name of the manifest.
    fn named(&mut self, taken: &mut HashSet<usize>) {
        for named in std::mem::take(&mut self.names) {
            let homes = self.homes(named.message);
            let fate = match &homes[..] {
                [home] => self.in_one(named, home, taken),
                homes => self.in_each(named, homes, taken),
            };
            self.fates.insert(named.name, fate);
        }
    }

    fn in_one(&mut self, named: Named<'a>, home: &Home, taken: &mut HashSet<usize>) -> Fate {
        match self.file_named(named, home.folder) {
            Some(n) => self.compare(named, home, n),
            None => self.look_elsewhere(named, home, taken),
        }
    }

    /// A message that was put into several folders. That it is in one of them no more is what taking a label
    /// off is; as long as it is in another, it is there.
    fn in_each(&mut self, named: Named<'a>, homes: &[Home], taken: &mut HashSet<usize>) -> Fate {
        let (mut fate, mut left) = (Fate::default(), Vec::new());
        let mut found = None;
        for home in homes {
            let Some(n) = home.folder.and_then(|_| self.file_in(named, home.folder)) else {
                left.push(home);
                continue;
            };
            found = Some(n);
            let here = self.compare(named, home, n);
            fate = Fate {
                kept: fate.kept || here.kept,
                moved: fate.moved || here.moved,
                reflagged: fate.reflagged || here.reflagged,
                renamed: false,
                changed: fate.changed || here.changed,
            };
        }
        let Some(found) = found else { return self.in_one(named, &homes[0], taken) };
        if named.promised {
            for home in left {
                let path = self.messages[found].path(self.folders);
                let text =
                    format!("was converted into {} too, and is there no more", display_path(&home.path));
                self.note(Code::MessageMoved, path, text);
                fate.moved = true;
            }
        }
        // It is counted once.
        fate.kept &= !fate.changed;
        fate
    }

    /// The file of this name: in its folder before others, with its bytes before others.
    fn file_named(&self, named: Named<'a>, home: Option<usize>) -> Option<usize> {
        let files = self.files.by_name.get(named.name)?;
        let differs = |n: usize| {
            let file = &self.messages[n];
            (file.digest != Some(named.message.file_digest()), Some(file.folder) != home)
        };
        files.iter().copied().min_by_key(|&n| differs(n))
    }

    /// The same in this folder and no other.
    fn file_in(&self, named: Named<'a>, home: Option<usize>) -> Option<usize> {
        let files = self.files.by_name.get(named.name)?.iter().copied();
        let here = files.filter(|&n| Some(self.messages[n].folder) == home);
        here.min_by_key(|&n| self.messages[n].digest != Some(named.message.file_digest()))
    }

    fn compare(&mut self, named: Named<'a>, home: &Home, n: usize) -> Fate {
        let message = named.message;
        let file = &self.messages[n];
        let path = file.path(self.folders);
        if self.options.depth == Depth::Contents && file.digest != Some(message.file_digest()) {
            return self.differs(named, n);
        }
        let mut fate = Fate { kept: true, ..Fate::default() };
        self.vouched.push(n);
        if Some(file.folder) != home.folder {
            let folder = display_path(&self.folders[file.folder].path);
            self.note(
                Code::MessageMoved,
                path.clone(),
                format!("was converted into {}, and lies in {folder} now", display_path(&home.path)),
            );
            fate.moved = true;
        } else if file.place == Subdir::New && !(message.flags.is_empty() && message.keywords.is_empty()) {
            self.note(
                Code::MessageMoved,
                path.clone(),
                "was converted into cur/, and lies in new/ now".into(),
            );
            fate.moved = true;
        }
        let letters = file.parsed().info.unwrap_or_default();
        let (flags, keywords) = apart(letters, &self.keywords[file.folder]);
        let lower =
            |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<HashSet<_>>();
        if flags != message.flags.as_bytes() || lower(&keywords) != lower(&message.keywords) {
            let (now, before) =
                (flagged(&flags, &keywords), flagged(message.flags.as_bytes(), &message.keywords));
            self.note(Code::MessageReflagged, path, format!("has the flags {now}, and had {before}"));
            fate.reflagged = true;
        }
        fate
    }

    /// A file by the right name with other bytes.
    fn differs(&mut self, named: Named<'a>, n: usize) -> Fate {
        let Named { name, message, .. } = named;
        let file = &self.messages[n];
        let path = file.path(self.folders);
        let Some(digest) = file.digest else {
            // It could not be read, which has been said.
            return Fate { changed: true, ..Fate::default() };
        };
        let other = self.by_digest.get(&digest).copied().filter(|other| *other != name);
        let holds_ours = |other: &[u8]| {
            let files = self.files.by_name.get(other);
            files.is_some_and(|f| f.iter().any(|&n| self.messages[n].digest == Some(message.file_digest())))
        };
        let finding = match other {
            Some(other) if holds_ours(other) => Finding::new(
                Code::MessageSwapped,
                format!(
                    "has the bytes of {}, which has those of this one",
                    crate::mailbox::text::escape(other)
                ),
            ),
            Some(other) => Finding::new(
                Code::MessageChanged,
                format!("has the bytes of {} and not its own", crate::mailbox::text::escape(other)),
            ),
            None => Finding::new(Code::MessageChanged, how_changed(message, file)),
        };
        if other.is_none() {
            self.changed.push((self.findings.len(), named, path.clone()));
        }
        self.findings.push(finding.in_file(path));
        Fate { changed: true, ..Fate::default() }
    }

    /// With the source at hand: the first byte in which a changed file differs.
    fn locate(&mut self, section: &Section, raw: &[u8]) {
        for (finding, named, path) in self.changed.iter().filter(|(_, n, _)| std::ptr::eq(n.section, section))
        {
            let expected = as_written(named.message, section, raw);
            let (Some(expected), Ok(file)) = (expected, read_regular(path)) else { continue };
            let differs = |(a, b)| a != b;
            let common = expected.len().min(file.len());
            let at = expected.iter().zip(&file).position(differs).unwrap_or(common);
            let (before, now) = (expected.len(), file.len());
            let finding = &mut self.findings[*finding];
            finding.offset = Some(at as u64);
            finding.line = Some(memchr::memchr_iter(b'\n', &file[..at]).count() as u64 + 1);
            finding.message = match before == now {
                true => format!("is not what was converted: other bytes from {at} on"),
                false => format!(
                    "is not what was converted: other from byte {at} on, {now} bytes and had {before}"
                ),
            }
            .into();
        }
    }

    /// A message without a file of its name: by its bytes, among files that no manifest names.
    fn look_elsewhere(&mut self, named: Named<'a>, home: &Home, taken: &mut HashSet<usize>) -> Fate {
        let Named { name, message, section, promised } = named;
        let is_home = |n: usize| Some(self.messages[n].folder) == home.folder;
        let free = |n: &usize| !taken.contains(n);
        let files = self.files.unnamed.get(&message.file_digest()).into_iter().flatten().copied();
        let found = files.filter(free).min_by_key(|&n| !is_home(n));
        let shown_name = crate::mailbox::text::escape(name);
        let Some(n) = found else {
            if promised {
                let how = match self.options.depth {
                    Depth::Contents => "is gone",
                    Depth::Structure => "is gone, or has another name now, which its contents would tell",
                };
                let (at, source) = (message.at, section.head.source.escaped());
                let path = home.path.join(OsStr::from_bytes(name));
                let from = match section.head.is_maildir() {
                    true => format!("it came from {source}"),
                    false => format!("it was at byte {at} of {source}"),
                };
                self.note(Code::MessageGone, path, format!("{how}; {from}"));
            }
            return Fate::default();
        };
        let is_home = is_home(n);
        taken.insert(n);
        self.vouched.push(n);
        let file = &self.messages[n];
        let path = file.path(self.folders);
        if !is_home {
            self.note(
                Code::MessageMoved,
                path,
                format!("was converted into {} as {shown_name}", display_path(&home.path)),
            );
            return Fate { kept: true, moved: true, ..Fate::default() };
        }
        // Flags are in the way of nothing: only what is before them makes it another message.
        let info = &file.name.as_bytes()[file.parsed().base.len()..];
        let back = path.with_file_name(OsStr::from_bytes(&[name, info].concat()));
        let finding =
            Finding::new(Code::MessageRenamed, format!("was converted as {shown_name}")).in_file(&path);
        self.findings.push(finding.with_hint(format!(
            "mv '{}' '{}'",
            display_path(&path),
            display_path(&back)
        )));
        Fate { kept: true, renamed: true, ..Fate::default() }
    }

    /// Files that no manifest names: copies, and what came since.
    fn unnamed(&mut self, taken: &HashSet<usize>) {
        let (mut added, mut first) = (0u64, None::<PathBuf>);
        let files =
            self.files.unnamed.iter().flat_map(|(digest, files)| files.iter().map(move |&n| (digest, n)));
        for (digest, n) in files {
            let file = &self.messages[n];
            if file.folder != self.manifest.folder || taken.contains(&n) {
                continue;
            }
            let path = file.path(self.folders);
            match self.by_digest.get(digest) {
                Some(name) => {
                    let text = format!("is a second copy of {}", crate::mailbox::text::escape(name));
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

    /// A proof a source, and a finding for each section that was never closed.
    fn proofs(&mut self) -> Vec<SourceStatus> {
        let mut proofs = Vec::new();
        for (section, _) in
            self.manifest.sections.iter().zip(&self.manifest.newest).filter(|(_, newest)| **newest)
        {
            let mut proof = SourceStatus {
                source: section.source(),
                maildir: self.home().to_owned(),
                depth: self.options.depth,
                messages: section.messages.len() as u64,
                intact: 0,
                moved: 0,
                reflagged: 0,
                renamed: 0,
                changed: 0,
                gone: 0,
            };
            for message in &section.messages {
                let fate = self.fates.get(&message.name.0[..]).copied().unwrap_or_default();
                proof.intact += u64::from(fate.kept);
                proof.moved += u64::from(fate.moved);
                proof.reflagged += u64::from(fate.reflagged);
                proof.renamed += u64::from(fate.renamed);
                proof.changed += u64::from(fate.changed);
                proof.gone += u64::from(!fate.kept && !fate.changed);
            }
            if section.tail.is_none() {
                let text = format!(
                    "the conversion of {} was cut off, or is running: {} of its messages are known here, and {} of them are there",
                    section.head.source.escaped(),
                    proof.messages,
                    proof.intact
                );
                let finding = Finding::new(Code::ConversionUnfinished, text).in_file(&self.manifest.path);
                self.findings.push(finding.with_hint("the same convert command again completes it"));
            }
            // Each run that copied a Maildir tells of what came since the one before it.
            let copied =
                |proof: &&mut SourceStatus| section.head.is_maildir() && proof.source == section.source();
            match proofs.iter_mut().find(copied) {
                Some(before) => before.add(&proof),
                None => proofs.push(proof),
            }
        }
        proofs
    }
}

/// The letters of an info: those of flags, and the keywords that the others are. A letter without a name is one
/// in brackets.
fn apart(info: &[u8], names: &KeywordTable) -> (Vec<u8>, Vec<String>) {
    let flags = info.iter().copied().filter(|b| !b.is_ascii_lowercase()).collect();
    let keywords = KeywordSet::parse(info).numbers().map(|number| match names.name(number) {
        Some(name) => name.to_owned(),
        None => format!("({})", KeywordSet::default().with(number)),
    });
    (flags, keywords.collect())
}

/// For people.
fn flagged(flags: &[u8], keywords: &[String]) -> String {
    let flags = if flags.is_empty() { "none".to_owned() } else { crate::mailbox::text::escape(flags) };
    match keywords {
        [] => flags,
        _ => format!("{flags} (keywords {})", crate::mailbox::text::escape(keywords.join(" ").as_bytes())),
    }
}

/// The first thing that a changed file shows, without its old bytes.
fn how_changed(message: &manifest::MessageRecord, file: &file::MessageFile) -> String {
    let before = file.parsed().field(b'S');
    match before {
        Some(before) if file.size < before => {
            format!("is not what was converted: cut off after {} of {before} bytes, or rewritten", file.size)
        }
        Some(before) if file.size > before => {
            format!("is not what was converted: {} bytes, and had {before}", file.size)
        }
        _ => {
            let expected = blake3::Hash::from_bytes(message.file_digest().0).to_hex();
            format!(
                "is not what was converted: as many bytes, but not the same (BLAKE3 was {}…)",
                &expected[..16]
            )
        }
    }
}

/// The sources as they are now beside what was converted.
fn sources<'a>(
    manifest: &'a LoadedManifest,
    judge: &mut ManifestCheck<'a>,
    options: &VerifyOptions<'_>,
) -> Result<()> {
    let mut maildirs = HashSet::new();
    for (section, _) in manifest.sections.iter().zip(&manifest.newest).filter(|(_, newest)| **newest) {
        if section.head.is_maildir() {
            if maildirs.insert(&section.head.source.0) {
                judge.findings.push(compare_maildir(manifest, section, options));
            }
            continue;
        }
        let named = section.source();
        let path = match options.source {
            Some(path) => path,
            None if named.as_os_str() == "-" => continue,
            None => &named,
        };
        let text = match (options.open_source)(path) {
            Ok(Some(source)) => match compare_source(section, &source, options) {
                Ok((same, text)) => {
                    if same {
                        judge.locate(section, source.raw());
                    }
                    text
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => format!("could not be compared: {}", said(&error, path)),
            },
            Ok(None) => "is gone; what was converted is known by the manifest alone".to_owned(),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => format!("could not be compared: {}", said(&error, path)),
        };
        judge.findings.push(Finding::new(Code::SourceCompared, text).in_file(path));
    }
    Ok(())
}

/// A Maildir that was copied, as it is now, by the names in it.
fn compare_maildir(manifest: &LoadedManifest, section: &Section, options: &VerifyOptions<'_>) -> Finding {
    let named = section.source();
    let path = options.source.unwrap_or(&named);
    let text = match list::list_messages(path) {
        Ok(entries) => {
            let now: HashSet<&[u8]> = entries.iter().map(|entry| entry.parsed().base).collect();
            let sections = manifest.sections.iter().filter(|s| s.head.source == section.head.source);
            let copied: HashSet<&[u8]> = sections
                .filter(|s| s.head.is_maildir())
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
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            "is gone; what was copied is known by the manifest alone".to_owned()
        }
        Err(error) => format!("could not be compared: {}", said(&error, path)),
    };
    Finding::new(Code::SourceCompared, text).in_file(path)
}

/// The bytes of a message's file as they were written, made from the source; None where its line ends
/// were changed, or the source is not the one that the section tells of.
fn as_written(message: &manifest::MessageRecord, section: &Section, raw: &[u8]) -> Option<Vec<u8>> {
    let at = message.at as usize;
    let mut bytes = raw.get(at..at.checked_add(message.len as usize)?)?.to_vec();
    let mut quotes: Vec<usize> = Vec::new();
    for distance in &message.quotes {
        quotes.push(quotes.last().unwrap_or(&0) + *distance as usize);
    }
    let mut quotes = quotes.into_iter().peekable();
    let fields = message.stripped.iter().map(|(at, field)| *at as usize..*at as usize + field.0.len());
    let mut fields = fields.peekable();
    let mut n = 0;
    bytes.retain(|_| {
        n += 1;
        while fields.next_if(|field| field.end < n).is_some() {}
        let is_stripped = fields.peek().is_some_and(|field| field.contains(&(n - 1)));
        quotes.next_if_eq(&(n - 1)).is_none() && !is_stripped
    });
    if section.head.cr_only {
        bytes.iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b'\n');
    }
    (Digest::of(&bytes) == message.file_digest()).then_some(bytes)
}

/// Whether the source still begins as the one that was converted, and a phrase about it.
fn compare_source(section: &Section, source: &Source, options: &VerifyOptions<'_>) -> Result<(bool, String)> {
    let (raw, before) = (source.raw(), section.head.size as usize);
    if raw.len() < before {
        return Ok((false, format!("is another or shorter now: {} bytes, and had {before}", raw.len())));
    }
    const WINDOW: usize = 8 << 20;
    let mut hasher = blake3::Hasher::new();
    for (n, window) in raw[..before].chunks(WINDOW).enumerate() {
        options.cancel.check()?;
        hasher.update_rayon(window);
        source.release(n * WINDOW..n * WINDOW + window.len());
    }
    source.check_unchanged()?;
    let same = Digest::from(hasher.finalize()) == section.head.blake3;
    let text = match (same, raw.len() - before) {
        (true, 0) => "is the same as when it was converted".into(),
        (true, more) => {
            format!("has grown by {more} bytes since it was converted; its beginning is the same")
        }
        (false, _) => "is another than when it was converted".into(),
    };
    Ok((same, text))
}
