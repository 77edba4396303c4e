//! What the destination and its manifest tell of earlier runs.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::convert::identity;
use crate::convert::identity::{Fingerprint, Identity};
use crate::convert::labels;
use crate::convert::labels::LabelFolders;
use crate::convert::plan::{Dedupe, NameTable, PreviousMessages, content_digest};
use crate::convert::{Input, ManifestLocation, Options};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::{Dir, FileId as File};
use crate::mailbox::fs::lock;
use crate::mailbox::fs::lock::DirLock;
use crate::mailbox::fs::read_regular;
use crate::mailbox::maildir::keywords::KeywordSet;
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::list::Entry;
use crate::mailbox::maildir::write::{DestinationState, parent_of};
use crate::mailbox::manifest::{self, Digest, FILE_NAME, ManifestAppender, Outline, Section};

/// The bytes of the manifest and where they come from; None where there is none.
pub fn read_manifest(
    options: &Options<'_>,
    standing: &DestinationState,
) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let path = match options.manifest {
        ManifestLocation::None => return Ok(None),
        ManifestLocation::InMaildir if *standing != DestinationState::Maildir => return Ok(None),
        ManifestLocation::InMaildir => options.destination.join(FILE_NAME),
        ManifestLocation::At(path) => path.to_owned(),
    };
    match read_regular(&path) {
        // What lies in a Maildir under our name is ours, whatever a power cut made of it; a file that
        // somebody names may be anything.
        Ok(text)
            if options.manifest != ManifestLocation::InMaildir && !manifest::looks_like_manifest(&text) =>
        {
            Err(Error::Manifest { path, line: 1, reason: "is no line of a manifest".into() })
        }
        Ok(text) => Ok(Some((path, text))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &path)(e)),
    }
}

/// Holds a manifest that is kept outside of the Maildir.
#[derive(Debug)]
pub struct ManifestLock {
    dir: Dir,
    name: OsString,
    file: std::fs::File,
    _lock: DirLock,
}

/// Locks a manifest that is kept outside of the Maildir; makes it if there is none.
pub fn lock_manifest(path: &Path, options: &Options<'_>) -> Result<ManifestLock> {
    let name = path.file_name().ok_or_else(|| no_name(path))?;
    let dir = Dir::open(parent_of(path))?;
    loop {
        let file = dir.open_append(name, 0o600)?;
        let _lock = lock::lock_file(path, &file, options.lock_timeout, options.cancel)?;
        let held = ManifestLock { dir: dir.try_clone()?, name: name.to_owned(), file, _lock };
        // Whoever held it may have removed it, having written nothing.
        if held.is_named()? {
            return Ok(held);
        }
    }
}

fn no_name(path: &Path) -> Error {
    Error::Destination { path: path.to_owned(), reason: "is no name for a manifest".into() }
}

impl ManifestLock {
    fn is_named(&self) -> Result<bool> {
        let stat =
            rustix::fs::fstat(&self.file).map_err(|e| Error::io("look up", self.dir.path())(e.into()))?;
        Ok(self.dir.child_id(&self.name)? == Some(File::of(&stat)))
    }
}

impl Drop for ManifestLock {
    fn drop(&mut self) {
        // One that was made for the lock and never written goes again.
        let is_empty = self.file.metadata().is_ok_and(|meta| meta.len() == 0);
        if is_empty && self.is_named().unwrap_or(false) {
            let _ = self.dir.unlink(&self.name);
        }
    }
}

/// Opens a manifest that is kept outside of the Maildir.
pub fn open_manifest(path: &Path, end: u64) -> Result<ManifestAppender> {
    let name = path.file_name().ok_or_else(|| no_name(path))?;
    ManifestAppender::open(&Dir::open(parent_of(path))?, name, end)
}

/// The sections of a manifest.
#[derive(Debug, Default)]
pub struct History<'a> {
    /// Their heads and tails.
    pub outlines: Vec<Outline<'a>>,
    /// Its whole lines.
    text: &'a [u8],
    path: Option<&'a Path>,
    /// Where sources of the same command lie that are converted before or after these.
    beside: HashSet<&'a Path>,
}

impl<'a> History<'a> {
    /// Of a manifest's bytes.
    pub fn parse((path, text): &'a (PathBuf, Vec<u8>)) -> Result<History<'a>> {
        let whole = memchr::memrchr(b'\n', text).map_or(0, |lf| lf + 1);
        let outlines = manifest::outline(text, path)?;
        Ok(History { outlines, text: &text[..whole], path: Some(path), beside: HashSet::new() })
    }

    /// The same where the command has other sources for this Maildir.
    pub fn with_siblings(self, others: &[&'a Path]) -> History<'a> {
        History { beside: others.iter().copied().collect(), ..self }
    }

    /// A manifest that is kept elsewhere does not say which Maildir it tells of: where there is none, it
    /// must not be taken for what it says of another one.
    pub fn check_destination(&self, options: &Options<'_>, standing: &DestinationState) -> Result<()> {
        let (Some(path), ManifestLocation::At(_)) = (self.path, options.manifest) else { return Ok(()) };
        let is_there = *standing == DestinationState::Maildir;
        if is_there || self.outlines.iter().all(|outline| outline.tail.is_none()) {
            return Ok(());
        }
        let maildir = crate::mailbox::text::display_path(options.destination);
        let reason = format!(
            "tells of mail that was converted, and {maildir} is no Maildir; name a manifest of its own for a new one"
        );
        Err(Error::Destination { path: path.to_owned(), reason })
    }

    /// Brings it to stable storage.
    pub fn sync(&self) -> Result<()> {
        let Some(path) = self.path else { return Ok(()) };
        let file = std::fs::File::open(path).map_err(Error::io("open", path))?;
        durable::sync_file(&file).map_err(Error::io("flush", path))
    }

    /// Where a new section goes: the end of the last whole line.
    pub fn end(&self) -> u64 {
        self.text.len() as u64
    }

    /// If the last sections were left open by a run that converted just these sources, perhaps with
    /// others behind them: which is the first of them, and the lines from its head on.
    pub fn unfinished_run(&self, sources: &[Identity]) -> Option<(usize, &'a [u8])> {
        let open = self.outlines.iter().rev().take_while(|outline| outline.tail.is_none()).count();
        let first = self.outlines.len() - open;
        let sources = sources.get(..open)?;
        let mut each = sources.iter().enumerate();
        let outline = self.outlines.get(first)?;
        each.all(|(n, identity)| *identity == Identity::Unfinished(first + n))
            .then(|| (first, &self.text[outline.at..]))
    }

    /// What is known of a source. `whole` is its hash, if somebody has it already; `taken` is what the other
    /// sources of this run are.
    pub fn identify(
        &self,
        input: &Input,
        options: &Options<'_>,
        whole: Option<Digest>,
        taken: &[Identity],
    ) -> Result<(Identity, Fingerprint)> {
        let path = (input.name.as_os_str() != OsStr::new("-")).then_some(&*input.name);
        let History { outlines, beside, .. } = self;
        let asked =
            identity::IdentityQuery { path, whole, new_source: options.new_source, taken, siblings: beside };
        identity::identify(outlines, &input.source, asked)
    }

    /// The messages of a source as earlier runs left them: those of the section that tells of it, and of
    /// all that it follows.
    pub fn previous_messages(&self, identity: Identity) -> Result<PreviousMessages> {
        let Some(n) = identity.section() else { return Ok(PreviousMessages::default()) };
        let is_kin = |k: usize| k == n || manifest::follows(&self.outlines, n, k);
        let kin = (0..self.outlines.len()).filter(|&k| is_kin(k)).map(|k| self.outlines[k].read());
        Ok(PreviousMessages::from_sections(&kin.collect::<Result<Vec<Section>>>()?))
    }
}

/// What is remembered before the first source is planned.
pub fn load_names(
    options: &Options<'_>,
    standing: &DestinationState,
    past: &History<'_>,
) -> Result<NameTable> {
    let sections: Vec<Section> = past.outlines.iter().map(Outline::read).collect::<Result<_>>()?;
    let has_folders = labels::are_folders(options.render.labels)
        || sections.iter().flat_map(|s| &s.messages).any(|message| !message.folders.is_empty());
    let mut lying: Vec<(Vec<String>, PathBuf, Vec<Entry>)> = Vec::new();
    if *standing == DestinationState::Maildir {
        lying.push((Vec::new(), PathBuf::new(), list::list_messages(options.destination)?));
        let folders = if has_folders { list::list_folders(options.destination)? } else { Vec::new() };
        for folder in folders {
            // One that no label can name has nothing that is looked for.
            let Some(levels) = labels::parse_directory(folder.as_bytes()) else { continue };
            let entries = list::list_messages(&options.destination.join(&folder))?;
            lying.push((levels, folder.into(), entries));
        }
    }
    let names = lying.iter().flat_map(|(.., entries)| entries).map(|e| e.parsed().base.to_vec());
    let mut memory = NameTable::new(names, &sections, options.host);
    if options.dry_run && options.dedupe == Dedupe::No {
        memory = memory.for_dry_run();
    }
    let entries = lying.iter().flat_map(|(.., entries)| entries);
    memory.letters_in_use = entries.fold(KeywordSet::default(), |set, e| set | e.parsed().keywords());
    memory.folders = LabelFolders::new(options.render.labels);
    if has_folders {
        for (levels, folder, entries) in &lying {
            let number = memory.folders.intern(levels.clone());
            entries.iter().for_each(|e| memory.add_file(e.parsed().base, number, e.path(folder)));
        }
    }
    if options.dedupe != Dedupe::No {
        // What lies there counts, whoever put it there.
        for (_, folder, entries) in &lying {
            for (name, key, file) in contents(&options.destination.join(folder), options.dedupe, entries)? {
                memory.add_original(key, name, file);
            }
        }
    }
    Ok(memory)
}

type Content = (Vec<u8>, Digest, Digest);

fn contents(maildir: &Path, dedupe: Dedupe, entries: &[Entry]) -> Result<Vec<Content>> {
    let contents = entries.par_iter().map(|entry| {
        let (entry, bytes) = list::read_entry(maildir, entry)?;
        let file = Digest::of(&bytes);
        let content = content_digest(&bytes).unwrap_or(file);
        let key = dedupe.key(&bytes, content);
        Ok(key.map(|key| (entry.parsed().base.to_vec(), key, file)))
    });
    Ok(contents.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// What a person is told of it.
pub fn finding(identity: Identity) -> Option<Finding> {
    let (code, message) = match identity {
        Identity::New => return None,
        Identity::Same(_) => (Code::SourceKnown, "these very bytes were converted before: nothing to do"),
        Identity::Unfinished(_) => (Code::SourceResumed, "a run that was killed is being completed"),
        Identity::Grown(_) => {
            (Code::SourceGrown, "it has grown since it was converted: only what is new is written")
        }
        Identity::Rewritten(_) => {
            (Code::SourceRewritten, "it was rewritten since it was converted: matched by content")
        }
    };
    Some(Finding::new(code, message))
}
