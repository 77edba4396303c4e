//! The files that the manifests name, found in parallel.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use rayon::prelude::*;

use super::load::{LoadedManifest, MessageLine};
use crate::mailbox::maildir::{BaseIndex, KeywordTable, Subdir};
use crate::mailbox::manifest::{Digest, FILE_NAME};
use crate::mailbox::text::plural;
use crate::mailbox::{Code, Finding};
use crate::verify::Depth;
use crate::verify::file::MessageFile;

/// Lines per task, and between two releases of their memory.
const LINES: usize = 512;
const BATCH: usize = LINES * 64;

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

/// The files of all folders by name, and what the manifests say of each.
pub(super) struct FileNames {
    by_name: BaseIndex,
    /// Bits of each file.
    seen: Vec<AtomicU8>,
}

impl FileNames {
    /// A manifest has its name.
    const NAMED: u8 = 1;
    /// A manifest has its name, and something differs.
    const DIFFERENT: u8 = 2;

    fn new(messages: &[MessageFile], has_manifests: bool) -> FileNames {
        let seen = std::iter::repeat_with(AtomicU8::default).take(messages.len()).collect();
        // Without a manifest no name is looked up.
        let by_name = BaseIndex::of(if has_manifests { messages } else { &[] });
        FileNames { by_name, seen }
    }

    fn see(&self, file: usize, bits: u8) {
        self.seen[file].fetch_or(bits, Ordering::Relaxed);
    }

    fn has(&self, file: usize, bits: u8) -> bool {
        self.seen[file].load(Ordering::Relaxed) & bits == bits
    }

    fn find(
        &self,
        line: &MessageLine,
        manifest: &LoadedManifest,
        messages: &[MessageFile],
        depth: Depth,
    ) -> FoundFile {
        let mut all = self.by_name.find(messages, manifest.name(line));
        let Some(first) = all.next() else { return FoundFile { first: NONE, is_intact: false } };
        let others = all.inspect(|&other| self.see(other, FileNames::NAMED | FileNames::DIFFERENT)).count();
        let is_intact = others == 0 && is_intact(line, &messages[first], manifest.folder, depth);
        self.see(first, FileNames::NAMED | if is_intact { 0 } else { FileNames::DIFFERENT });
        FoundFile { first: first as u32, is_intact }
    }
}

/// No file, or no line.
pub(super) const NONE: u32 = u32::MAX;

/// The file of a message of a manifest.
#[derive(Clone, Copy)]
pub(super) struct FoundFile {
    /// The first file with its name, or [`NONE`].
    pub(super) first: u32,
    /// It is the only one, and in every respect as it was converted.
    pub(super) is_intact: bool,
}

/// The files of the messages of all manifests. They are found in parallel, and nearly all are intact.
pub(crate) struct FoundFiles {
    pub(super) names: FileNames,
    /// The files of each manifest, in the order of its lines.
    pub(super) by_manifest: Vec<Vec<FoundFile>>,
}

impl FoundFiles {
    pub(crate) fn find<'a>(
        manifests: impl Iterator<Item = &'a LoadedManifest>,
        messages: &[MessageFile],
        depth: Depth,
    ) -> FoundFiles {
        let mut manifests = manifests.peekable();
        let names = FileNames::new(messages, manifests.peek().is_some());
        let find_in = |manifest: &LoadedManifest| {
            let find = |line: &MessageLine| names.find(line, manifest, messages, depth);
            let mut found = Vec::with_capacity(manifest.message_count());
            for lines in manifest.sections.iter().flat_map(|section| section.messages.chunks(BATCH)) {
                found.par_extend(lines.par_iter().with_min_len(LINES).map(find));
                manifest.release(lines);
            }
            found
        };
        let by_manifest = manifests.map(find_in).collect();
        FoundFiles { names, by_manifest }
    }

    /// Returns the names in the manifests that no file has.
    pub(crate) fn missing_names<'a>(
        &self,
        manifests: impl Iterator<Item = &'a LoadedManifest>,
    ) -> HashSet<Vec<u8>> {
        let lines = manifests.flat_map(|manifest| manifest.messages().map(move |(_, line)| (manifest, line)));
        let missing = lines.zip(self.by_manifest.iter().flatten()).filter(|(_, found)| found.first == NONE);
        missing.map(|((manifest, line), _)| manifest.name(line).to_vec()).collect()
    }
}

/// Reports whether the only file of a name is in every respect as it was converted into one folder.
fn is_intact(line: &MessageLine, file: &MessageFile, folder: usize, depth: Depth) -> bool {
    let (now, before) = (file.parsed().info.unwrap_or_default(), line.flags());
    !line.has_more
        && file.folder() == folder
        && (depth == Depth::Structure || file.digests().any(|digest| digest == line.digest))
        && now == before
        && !now.iter().any(u8::is_ascii_lowercase)
        && (file.entry.subdir == Subdir::Cur || before.is_empty())
}

/// The files of all folders, by name and by digest.
pub(super) struct FileIndex<'a> {
    pub(super) folders: &'a [PathBuf],
    pub(super) messages: &'a [MessageFile],
    pub(super) removed: &'a HashSet<Vec<u8>>,
    pub(super) keywords: &'a [KeywordTable],
    pub(super) by_path: HashMap<&'a Path, usize>,
    by_name: BaseIndex,
    /// The digests of files that are not where and what a manifest says.
    pub(super) different: HashSet<Digest>,
    /// Files whose name is in no manifest and is not one that convert gives. A source may have a message several times,
    /// each with its own name: one of these is not another one renamed.
    pub(super) unnamed: HashMap<Digest, Vec<usize>>,
    /// Files whose name is in no manifest, by folder.
    pub(super) unnamed_in: Vec<Vec<usize>>,
}

impl<'a> FileIndex<'a> {
    pub(super) fn new(files: &'a MessageFiles<'_>, names: FileNames) -> FileIndex<'a> {
        let MessageFiles { folders, messages, keywords, removed } = files;
        let (mut different, mut unnamed) = (HashSet::new(), HashMap::<_, Vec<usize>>::new());
        let mut unnamed_in = vec![Vec::new(); folders.len()];
        for (n, message) in messages.iter().enumerate() {
            let is_named = names.has(n, FileNames::NAMED);
            if !is_named {
                unnamed_in[message.folder()].push(n);
                for digest in message.digests().filter(|_| !has_converted_name(message)) {
                    unnamed.entry(digest).or_default().push(n);
                }
            }
            if !is_named || names.has(n, FileNames::DIFFERENT) {
                different.extend(message.digests());
            }
        }
        let by_path = folders.iter().enumerate().map(|(n, folder)| (&**folder, n)).collect();
        FileIndex {
            folders,
            messages,
            removed,
            keywords,
            by_path,
            by_name: names.by_name,
            different,
            unnamed,
            unnamed_in,
        }
    }
}

impl FileIndex<'_> {
    /// Returns the files with a name of a manifest.
    pub(super) fn with_name<'n>(&'n self, name: &'n [u8]) -> impl Iterator<Item = usize> {
        self.by_name.find(self.messages, name)
    }

    /// Reports messages with mailferry's names in folders that have no manifest, as with `--labels folders`. Where no
    /// folder has one, it is missing. Where one is damaged, this is reported.
    pub(super) fn check_without_manifest(
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
pub(super) fn has_converted_name(message: &MessageFile) -> bool {
    let parsed = message.parsed();
    parsed.unique().is_some() && parsed.field(b'S').is_some() && parsed.field(b'W').is_some()
}

pub(super) fn unrecorded_finding(paths: impl Iterator<Item = PathBuf>) -> Option<Finding> {
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
