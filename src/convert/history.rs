//! What the destination and its manifest tell of earlier runs.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::convert::identity;
use crate::convert::identity::{Fingerprint, Identity};
use crate::convert::labels;
use crate::convert::labels::LabelFolders;
use crate::convert::plan::{Dedupe, NameTable, PreviousMessages, content_digest};
use crate::convert::{Input, Options};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::maildir::keywords::KeywordSet;
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::list::Entry;
use crate::mailbox::maildir::write::DestinationState;
use crate::mailbox::manifest::{self, Digest, ManifestFile, ManifestLocation, Outline, Section};

/// Reads the manifest; `None` where there is none.
pub fn read_manifest(options: &Options<'_>, standing: &DestinationState) -> Result<Option<ManifestFile>> {
    if options.manifest == ManifestLocation::InMaildir && *standing != DestinationState::Maildir {
        return Ok(None);
    }
    let manifest = options.manifest.read(options.destination)?;
    // The manifest in a Maildir is mailferry's, whatever a power cut did to it. A file that the user names may
    // be anything.
    if let (Some(file), ManifestLocation::File(_)) = (&manifest, options.manifest)
        && !manifest::looks_like_manifest(&file.text)
    {
        let reason = "is no line of a manifest".into();
        return Err(Error::Manifest { path: file.path.clone(), line: 1, reason });
    }
    Ok(manifest)
}

/// The sections of a manifest.
#[derive(Debug, Default)]
pub struct History<'a> {
    /// Their heads and tails.
    pub outlines: Vec<Outline<'a>>,
    /// Its whole lines.
    text: &'a [u8],
    file: Option<&'a ManifestFile>,
    /// Where sources of the same command lie that are converted before or after these.
    beside: HashSet<&'a Path>,
}

impl<'a> History<'a> {
    /// Of a manifest's bytes.
    pub fn parse(manifest: &'a ManifestFile) -> Result<History<'a>> {
        let whole = memchr::memrchr(b'\n', &manifest.text).map_or(0, |lf| lf + 1);
        let (outlines, text) = (manifest.outline()?, &manifest.text[..whole]);
        Ok(History { outlines, text, file: Some(manifest), beside: HashSet::new() })
    }

    /// The same where the command has other sources for this Maildir.
    pub fn with_siblings(self, others: &[&'a Path]) -> History<'a> {
        History { beside: others.iter().copied().collect(), ..self }
    }

    /// A manifest that is kept elsewhere does not say which Maildir it tells of: where there is none, it
    /// must not be taken for what it says of another one.
    pub fn check_destination(&self, options: &Options<'_>, standing: &DestinationState) -> Result<()> {
        let (Some(file), ManifestLocation::File(_)) = (self.file, options.manifest) else { return Ok(()) };
        let is_there = *standing == DestinationState::Maildir;
        if is_there || self.outlines.iter().all(|outline| outline.tail.is_none()) {
            return Ok(());
        }
        let maildir = crate::mailbox::text::display_path(options.destination);
        let reason = format!(
            "tells of mail that was converted, and {maildir} is no Maildir; name a manifest of its own for a new one"
        );
        Err(Error::Destination { path: file.path.clone(), reason })
    }

    /// Brings it to stable storage.
    pub fn sync(&self) -> Result<()> {
        self.file.map_or(Ok(()), ManifestFile::sync)
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
