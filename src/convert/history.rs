//! The earlier runs into a destination, as its manifest records them.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rayon::prelude::*;

use super::dedupe::{MessageDigests, content_digest, content_digest_of};
use super::identity::{IdentityQuery, identify};
use super::{
    Dedupe, DestinationOptions, Fingerprint, Identity, ImportOptions, Input, LabelFolders, NameTable,
    PreviousMessages, RenderOptions, SourceHash, USUAL_HOST, labels,
};
use crate::mailbox::maildir::{
    DestinationState, Entry, FoundMessage, Fsync, KeywordSet, MaildirReader, list,
};
use crate::mailbox::manifest::{
    self, Digest, Manifest, ManifestFile, ManifestLocation, Outline, Section, SectionHeader,
};
use crate::mailbox::mbox::{Extent, Mbox};
use crate::mailbox::source::Contents;
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Context, Error, Finding, Result, display_path, fs, member_path};

/// Reads the manifest; None if there is none.
pub(crate) fn read_manifest(
    options: &DestinationOptions<'_>,
    state: &DestinationState,
) -> Result<Option<ManifestFile>> {
    if options.manifest == ManifestLocation::InMaildir && *state != DestinationState::Maildir {
        return Ok(None);
    }
    let manifest = options.manifest.read(options.path)?;
    // The manifest in a Maildir is mailferry's, even if a power cut has damaged it. A file that the user names
    // may be anything.
    if let (Some(file), ManifestLocation::File(_)) = (&manifest, options.manifest)
        && !manifest::looks_like_manifest(&file.text)
    {
        let reason = "is not a line of a manifest".into();
        return Err(Error::Manifest { path: file.path.clone(), line: 1, reason });
    }
    Ok(manifest)
}

/// The manifest of a destination.
#[derive(Debug, Default)]
pub(crate) struct History<'a> {
    pub(crate) manifest: Manifest<'a>,
    file: Option<&'a ManifestFile>,
    /// For each section, whether it is of another source of the same command.
    of_siblings: Vec<bool>,
    /// The sections by the ends of their paths.
    by_end: OnceLock<PathEnds>,
}

impl<'a> History<'a> {
    /// Returns an empty history if there is no manifest.
    pub(crate) fn parse(manifest: Option<&'a ManifestFile>) -> Result<History<'a>> {
        let Some(file) = manifest else { return Ok(History::default()) };
        let manifest = file.parse()?;
        Ok(History { manifest, file: Some(file), ..History::default() }.with_siblings(&[]))
    }

    /// Adds the paths of other sources that the command converts into the same Maildir.
    pub(crate) fn with_siblings(self, siblings: &[&'a Path]) -> History<'a> {
        let siblings: HashSet<&Path> = siblings.iter().copied().collect();
        let sections = self.manifest.sections.iter();
        let of_siblings =
            sections.map(|section| siblings.contains(section.header.source.to_path())).collect();
        History { of_siblings, ..self }
    }

    /// Refuses a manifest outside of the Maildir if there is no Maildir. It does not name the Maildir it is
    /// about, so it must not be taken for a record of another one.
    pub(crate) fn check_destination(
        &self,
        options: &DestinationOptions<'_>,
        state: &DestinationState,
    ) -> Result<()> {
        let (Some(file), ManifestLocation::File(_)) = (self.file, options.manifest) else { return Ok(()) };
        let exists = *state == DestinationState::Maildir;
        if exists || self.manifest.sections.iter().all(|outline| outline.footer.is_none()) {
            return Ok(());
        }
        let maildir = display_path(options.path);
        let reason = format!(
            "lists converted mail, and {maildir} is not a Maildir; use another --manifest for a new one"
        );
        Err(Error::destination(&file.path, reason))
    }

    /// Returns the hashes of a list of UIDs as the last run left it, and as a killed run may have left it.
    pub(crate) fn uid_list_digests(&self, name: &str) -> Vec<Digest> {
        let mut sections = self.manifest.sections.iter().rev();
        let mut digests = Vec::new();
        for section in &mut sections {
            digests.extend(section.header.uid_lists.get(name));
            if section.footer.is_some() && !digests.is_empty() {
                break;
            }
        }
        digests
    }

    /// Brings the manifest and the Maildir's name to stable storage: a killed run may have left this undone.
    pub(crate) fn sync(&self, options: &DestinationOptions<'_>) -> Result<()> {
        if options.fsync == Fsync::None || options.dry_run {
            return Ok(());
        }
        self.file.map_or(Ok(()), ManifestFile::sync)?;
        fs::sync_parent(options.path)
    }

    /// Returns where a new section goes: the end of the last complete line.
    pub(crate) fn end(&self) -> u64 {
        self.manifest.lines.len() as u64
    }

    /// If a run that converted these sources, perhaps followed by others, left the last sections open, returns
    /// the first of these sections and the lines from its header on.
    pub(crate) fn unfinished_run(&self, sources: &[Identity]) -> Option<(usize, &'a [u8])> {
        let outlines = &self.manifest.sections;
        let open = outlines.iter().rev().take_while(|outline| outline.footer.is_none()).count();
        let first = outlines.len() - open;
        let sources = sources.get(..open)?;
        let mut each = sources.iter().enumerate();
        let outline = outlines.get(first)?;
        each.all(|(n, identity)| *identity == Identity::Unfinished(first + n))
            .then(|| (first, &self.manifest.lines[outline.at..]))
    }

    /// Identifies a source by its bytes. `taken` are the identities of other sources of this run.
    pub(crate) fn identify(
        &self,
        input: &Input,
        hash: &SourceHash<'_>,
        taken: &[Identity],
    ) -> (Identity, Fingerprint) {
        let query = IdentityQuery { path: input.recorded_path(), taken, of_siblings: &self.of_siblings };
        identify(&self.manifest, hash, query)
    }

    /// Identifies a source whose bytes no section begins with: it was rewritten if a section of its path names
    /// one of its messages. Otherwise it is new, with a warning if the path has messages.
    pub(crate) fn find_rewritten(
        &self,
        input: &Input,
        mbox: &Mbox<'_>,
    ) -> Result<(Identity, Option<Finding>)> {
        let sections = self.sections_of(input.recorded_path());
        let Some(&newest) = sections.last() else { return Ok((Identity::New, None)) };
        let known = self.messages_of(&sections)?;
        Ok(match has_one_of(&known, input, mbox) {
            true => (Identity::Rewritten(newest), None),
            false if known.is_empty() => (Identity::New, None),
            false => (Identity::New, Some(replaced_finding(known.len() as u64))),
        })
    }

    /// Returns the warning about a member of an archive that shares a message with the member of its name in another
    /// one: a newer Takeout has another name.
    pub(crate) fn other_archive_finding(&self, input: &Input, mbox: &Mbox<'_>) -> Result<Option<Finding>> {
        let Some((_, inside)) = member_path::split(input.source.path()) else { return Ok(None) };
        let end = [b"!", inside.as_os_str().as_bytes()].concat();
        let own = input.recorded_path();
        let sections = &self.manifest.sections;
        let path = |n: usize| sections[n].header.source.to_path();
        let mut others = self.by_end.get_or_init(|| PathEnds::new((0..sections.len()).map(path))).find(&end);
        others.retain(|&n| own != Some(path(n)));
        let Some(&newest) = others.last() else { return Ok(None) };
        if !has_one_of(&self.messages_of(&others)?, input, mbox) {
            return Ok(None);
        }
        let other = display_path(path(newest));
        let message =
            format!("shares messages with {other}, which was converted before: they are written again");
        let finding = Finding::new(Code::ArchiveNewer, message);
        Ok(Some(finding.with_hint("--dedupe content leaves out what is there")))
    }

    /// Returns the messages of some sections.
    fn messages_of(&self, sections: &[usize]) -> Result<PreviousMessages> {
        let outlines = &self.manifest.sections;
        let read: Vec<Section> = sections.iter().map(|&n| outlines[n].read()).collect::<Result<_>>()?;
        Ok(PreviousMessages::from_sections(&read))
    }

    /// Returns the sections of the files at a path, oldest first.
    fn sections_of(&self, path: Option<&Path>) -> Vec<usize> {
        let is_own = |header: &SectionHeader| path.is_some_and(|path| header.source.is_path(path));
        let outlines = self.manifest.sections.iter().enumerate();
        let own = outlines.filter(|(_, outline)| is_own(&outline.header) && !outline.header.is_maildir());
        own.map(|(n, _)| n).collect()
    }

    /// Returns the messages of a source as earlier runs wrote them: those of its section, and of all sections
    /// that this one follows; for one that was rewritten, of all sections of its path.
    pub(crate) fn previous_messages(&self, input: &Input, identity: Identity) -> Result<PreviousMessages> {
        let Some(n) = identity.section() else { return Ok(PreviousMessages::default()) };
        let mut kin: BTreeSet<usize> = self.manifest.earlier_sections(n).chain([n]).collect();
        if let Identity::Rewritten(_) = identity {
            kin.extend(self.sections_of(input.recorded_path()));
        }
        if let Identity::Partial(_) = identity {
            // A run that was killed before the section was closed does not matter any more.
            kin.retain(|&k| self.manifest.sections[k].footer.is_some());
        }
        let sections = kin.into_iter().map(|k| self.manifest.sections[k].read());
        Ok(PreviousMessages::from_sections(&sections.collect::<Result<Vec<Section>>>()?))
    }

    /// Returns how many messages of a section were not selected.
    pub(crate) fn not_selected(&self, section: usize) -> u64 {
        self.manifest.sections[section].footer.as_ref().map_or(0, |footer| footer.not_selected)
    }

    /// Returns a warning if an earlier run wrote a source with other options: what it wrote stays. `now` has the options
    /// of this run.
    pub(crate) fn options_finding(&self, identity: Identity, now: &SectionHeader) -> Option<Finding> {
        let before = &self.manifest.sections[identity.section()?].header;
        let options = recorded_options(before).into_iter().zip(recorded_options(now));
        let changed = options.filter(|((_, before), (_, now))| before != now);
        let changed: Vec<String> = changed
            .map(|((option, before), (_, now))| format!("{option} was {before} and is {now}"))
            .collect();
        (!changed.is_empty()).then(|| {
            let message =
                format!("{}: messages that were converted before stay unchanged", changed.join(", "));
            Finding::new(Code::OptionsChanged, message)
        })
    }

    /// Collects the names that are in use before the first source is planned.
    pub(crate) fn names(
        &self,
        options: &ImportOptions<'_>,
        state: &DestinationState,
        context: &Context<'_>,
    ) -> Result<NameTable> {
        let ImportOptions { destination: DestinationOptions { path: maildir, dry_run, .. }, dedupe, .. } =
            *options;
        let labels = options.render.labels;
        let outlines = &self.manifest.sections;
        let sections: Vec<Section> = outlines.iter().map(Outline::read).collect::<Result<_>>()?;
        let has_folders = options.makes_folders()
            || sections.iter().flat_map(|s| &s.messages).any(|message| !message.folders.is_empty());
        let folders = match state {
            DestinationState::Maildir => list_folders(maildir, has_folders, context.now)?,
            _ => Vec::new(),
        };
        let entries = || folders.iter().flat_map(|folder| &folder.entries);
        let mut names = NameTable::new(entries().map(|e| e.parsed().base.to_vec()), &sections, context.host);
        if dry_run && dedupe == Dedupe::No {
            names = names.for_dry_run();
        }
        names.folders = LabelFolders::new(labels);
        for Folder { levels, directory, entries } in &folders {
            let number = names.folders.intern(levels.clone());
            let letters = entries.iter().fold(KeywordSet::default(), |set, e| set | e.parsed().keywords());
            names.letters_in_use.insert(number, letters);
            if has_folders {
                entries.iter().for_each(|e| names.add_file(e.parsed().base, number, e.path(directory)));
            }
        }
        if dedupe != Dedupe::No {
            // A message counts whatever program wrote it.
            for folder in &folders {
                for (name, digests) in folder.originals(maildir, dedupe, context.now)? {
                    names.add_original(name, &digests);
                }
            }
        }
        Ok(names)
    }
}

/// Numbered paths, each with its bytes from the last to the first, in the order of these: those with one end are
/// together. An archive has as many members as sections, and each looks for those of its name.
#[derive(Debug)]
struct PathEnds(Vec<(Vec<u8>, usize)>);

impl PathEnds {
    fn new<'p>(paths: impl Iterator<Item = &'p Path>) -> PathEnds {
        let mut ends: Vec<(Vec<u8>, usize)> =
            paths.enumerate().map(|(n, path)| (reversed(path.as_os_str().as_bytes()), n)).collect();
        ends.sort_unstable();
        PathEnds(ends)
    }

    /// Returns the numbers of the paths that end in these bytes, in ascending order.
    fn find(&self, end: &[u8]) -> Vec<usize> {
        let end = reversed(end);
        let first = self.0.partition_point(|(path, _)| *path < end);
        let found = self.0[first..].iter().take_while(|(path, _)| path.starts_with(&end));
        let mut found: Vec<usize> = found.map(|(_, n)| *n).collect();
        found.sort_unstable();
        found
    }
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

/// Reports whether an mbox has one of these messages.
fn has_one_of(known: &PreviousMessages, input: &Input, mbox: &Mbox<'_>) -> bool {
    let pseudo = mbox.pseudo_message();
    let is_known = |extent: &Extent| {
        let message = extent.message(input.source.raw());
        let find = || known.find_content(message, content_digest_of(message), mbox.is_last(extent));
        !message.is_empty() && find().is_some()
    };
    !known.is_empty() && mbox.messages().par_iter().any(|extent| pseudo != Some(extent) && is_known(extent))
}

/// A folder of the destination, or the Maildir itself.
struct Folder {
    levels: Vec<String>,
    /// Relative to the Maildir.
    directory: PathBuf,
    entries: Vec<Entry>,
}

fn list_folders(maildir: &Path, has_folders: bool, now: i64) -> Result<Vec<Folder>> {
    let entries = list::list_messages(maildir, now)?;
    let inbox = Folder { levels: Vec::new(), directory: PathBuf::new(), entries };
    let mut folders = vec![inbox];
    for directory in if has_folders { list::list_folders(maildir)? } else { Vec::new() } {
        // No message goes into a folder that no label can name.
        let Some(levels) = labels::parse_directory(directory.as_bytes()) else { continue };
        let entries = list::list_messages(&maildir.join(&directory), now)?;
        folders.push(Folder { levels, directory: directory.into(), entries });
    }
    Ok(folders)
}

impl Folder {
    /// Returns the base name and the digests of each message that can have duplicates.
    fn originals(&self, maildir: &Path, dedupe: Dedupe, now: i64) -> Result<Vec<(Vec<u8>, MessageDigests)>> {
        let reader = MaildirReader::open(&maildir.join(&self.directory), now)?;
        let originals = self.entries.par_iter().map(|entry| {
            let mut bytes = Contents::default();
            let entry = match reader.read(entry, &mut bytes)? {
                Ok(FoundMessage { entry, .. }) => entry,
                // A message that is no longer there has no duplicates.
                Err(_) => return Ok(None),
            };
            let file = Digest::of(&bytes);
            let content = content_digest(&bytes).unwrap_or(file);
            let digests = MessageDigests { content, file, key: dedupe.key(&bytes, content) };
            Ok(digests.key.map(|_| (entry.parsed().base.to_vec(), digests)))
        });
        Ok(originals.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// Returns the options of a section, with their values.
fn recorded_options(header: &SectionHeader) -> [(&'static str, &str); 9] {
    let usual = RenderOptions::default();
    fn value<'a>(value: &'a Option<String>, usual: &'static str) -> &'a str {
        value.as_deref().unwrap_or(usual)
    }
    [
        ("--eol", &*header.eol),
        ("--labels", value(&header.labels, usual.labels.name())),
        ("--split", value(&header.split, "none")),
        ("--deleted", value(&header.deleted, usual.deleted.name())),
        ("--headers", value(&header.headers, usual.headers.name())),
        ("--date", value(&header.date, "not given")),
        ("--from-zone", value(&header.from_zone, "not given")),
        ("--host", value(&header.host, USUAL_HOST)),
        ("--dedupe", value(&header.dedupe, "not given")),
    ]
}

/// Returns the finding about a source that the manifest has a section of.
pub(crate) fn identity_finding(identity: Identity) -> Option<Finding> {
    let (code, message) = match identity {
        Identity::New => return None,
        Identity::Same(_) => (Code::SourceKnown, "already converted; nothing to do"),
        Identity::Partial(_) => {
            (Code::SourcePartial, "converted before with another selection: only what is new is written")
        }
        Identity::Unfinished(_) => (Code::SourceResumed, "completing a run that was killed"),
        Identity::Grown(_) => {
            (Code::SourceGrown, "it has grown since it was converted: only what is new is written")
        }
        Identity::Rewritten(_) => {
            (Code::SourceRewritten, "it was rewritten since it was converted: matched by content")
        }
    };
    Some(Finding::new(code, message))
}

fn replaced_finding(known: u64) -> Finding {
    let message = format!(
        "has none of the {} that were converted from this path before: taken as a new mailbox",
        plural(known, "message")
    );
    Finding::new(Code::SourceReplaced, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_their_ends() {
        let paths = ["/b.tgz!Mail/in", "/a.tgz!Mail/in", "/a.tgz!Old/Mail/in", "/a!b.tgz!in", "in", ""];
        let ends = PathEnds::new(paths.iter().map(Path::new));
        for (end, found) in [("!Mail/in", &[0, 1][..]), ("!in", &[3]), ("in", &[0, 1, 2, 3, 4]), ("!", &[])] {
            assert_eq!(ends.find(end.as_bytes()), found, "{end}");
        }
    }

    #[test]
    fn many_members_of_an_archive_are_found_in_linear_time() {
        let paths: Vec<String> = (0..100_000).map(|n| format!("/home/a.tgz!Mail/{n}.eml")).collect();
        let ends = PathEnds::new(paths.iter().map(Path::new));
        for (n, path) in paths.iter().enumerate() {
            assert_eq!(ends.find(&path.as_bytes()["/home/a.tgz".len()..]), [n]);
        }
    }
}
