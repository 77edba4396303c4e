//! One file per message, with its bytes as they are: the destination `eml:DIR`.
//!
//! The files are staged in a directory within the destination, flushed together, and renamed without replacing
//! another. A message that the destination has already, under its name and with its bytes, is not written again.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::ExportOptions;
use super::file_name::{GivenNames, numbered, stem};
use super::output::Work;
use super::ready_source::ReadySource;
use super::render::with_line_ends;
use super::tally::Tally;
use crate::convert::Rendered;
use crate::convert::planned::Disposition;
use crate::mailbox::fs::atomic_file::MISSING_PARENT;
use crate::mailbox::fs::foreign::{refuse_foreign_links, refuse_foreign_maildir};
use crate::mailbox::fs::lock::{self, DirLock};
use crate::mailbox::fs::{Dir, durable, files, ignore_poison, parent_of, sync_parent};
use crate::mailbox::maildir::{Entry, Fsync, KeywordSet};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::Quoting;
use crate::mailbox::message::status::parse_fields;
use crate::mailbox::message::{DeletedPolicy, Eol, Flags, LabelPolicy, header};
use crate::mailbox::source::Contents;
use crate::mailbox::tree::sniff::reads_as_one_message;
use crate::mailbox::{Code, Context, Error, Finding, Result};

/// The directory in the destination in which files are staged. Readers of trees skip it.
const STAGE: &str = ".mailferry-partial";

/// Writes the messages of all sources, and returns the counts of each.
pub(super) fn write(work: &Work<'_>) -> Result<Vec<Tally>> {
    let mut directory = Directory::open(work.options, work.context)?;
    let mut tallies: Vec<Tally> = work.sources.iter().map(|_| Tally::default()).collect();
    let mut given = GivenNames::default();
    let done = work.chunks.iter().try_for_each(|chunk| {
        let ready = &work.sources[chunk.source];
        let tally = &mut tallies[chunk.source];
        let messages = chunk.part.messages.clone();
        let examine = |n: usize| {
            work.context.cancel.check()?;
            directory.examine(ready, n)
        };
        let examined: Vec<Examined<'_>> =
            messages.clone().into_par_iter().map(examine).collect::<Result<_>>()?;
        let mut named = Vec::with_capacity(examined.len());
        for examined in examined {
            named.extend(directory.name(examined, &mut given, tally)?);
        }
        named.par_iter().try_for_each(|(name, message)| {
            work.context.cancel.check()?;
            directory.stage(name, message, work.options.modes.file_mode())
        })?;
        ready.release(messages);
        work.context.events.advance(chunk.part.size, chunk.part.messages.len() as u64);
        Ok(())
    });
    directory.is_interrupted = matches!(done, Err(Error::Interrupted));
    done?;
    directory.publish(work)?;
    Ok(tallies)
}

/// Refuses a path that cannot become a directory of files.
fn check(path: &Path) -> Result<()> {
    if files::is_dir(path) {
        return Ok(());
    }
    if files::symlink_metadata(path).is_ok() {
        let reason = "exists and is not a directory; name a directory for the files";
        return Err(Error::destination(path, reason.to_owned()));
    }
    let parent = parent_of(path);
    match Dir::open(parent) {
        Err(error) if error.is(io::ErrorKind::NotFound) => {
            Err(Error::destination(parent, MISSING_PARENT.to_owned()))
        }
        opened => opened?.check_writable(),
    }
}

/// The destination while files are written. Dropped before it is published it leaves nothing over, unless the run is
/// interrupted: to remove many files takes longer than a user waits.
struct Directory {
    /// None in a dry run, if the directory is missing.
    root: Option<Dir>,
    /// None in a dry run.
    stage: Option<Dir>,
    /// The names that it had.
    names: HashSet<OsString>,
    /// This run created the directory.
    is_new: bool,
    is_interrupted: bool,
    /// Each file is flushed when it is written.
    flushes_each: bool,
    eol: Eol,
    path: PathBuf,
    /// Two threads that create files in one directory would wait for each other inside the kernel.
    creating: Mutex<()>,
    _lock: Option<DirLock>,
}

/// A message that was read.
struct Message<'a> {
    bytes: Bytes<'a>,
    quoting: Quoting,
    path: PathBuf,
    epoch: i64,
}

/// The bytes of a message in its source.
enum Bytes<'a> {
    File(Contents),
    Slice(&'a [u8]),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::File(contents) => contents,
            Bytes::Slice(slice) => slice,
        }
    }
}

/// A message, or what was found instead of it.
enum Examined<'a> {
    Message(Box<NewFile<'a>>),
    NotAMessage(Finding),
    Skipped,
}

/// A message and what decides its name.
struct NewFile<'a> {
    message: Message<'a>,
    /// The number in the source.
    number: usize,
    stem: String,
    /// The destination has it under its first name.
    is_present: bool,
    counts: Tally,
}

/// Reports whether a message has flags or keywords that are not in its header.
fn has_flags_outside(entry: &Entry, header: &[u8]) -> bool {
    let (flags, letters) = (entry.parsed().flags(), entry.parsed().keywords());
    if flags == Flags::default() && letters == KeywordSet::default() {
        return false;
    }
    let fields = parse_fields(header, LabelPolicy::Ignore);
    fields.status(DeletedPolicy::Flag).flags != flags
        || letters != KeywordSet::default() && fields.keywords().is_empty()
}

impl Directory {
    fn open(options: &ExportOptions<'_>, context: &Context<'_>) -> Result<Directory> {
        let path = options.destination;
        refuse_foreign_links(path)?;
        check(path)?;
        let mut directory = Directory {
            root: None,
            stage: None,
            names: HashSet::new(),
            is_new: false,
            is_interrupted: false,
            flushes_each: false,
            eol: options.eol,
            path: path.to_owned(),
            creating: Mutex::new(()),
            _lock: None,
        };
        if options.dry_run && !files::is_dir(path) {
            return Ok(directory);
        }
        let root = match files::is_dir(path) {
            true => Dir::open(path)?,
            false => {
                let name = path.file_name().ok_or_else(|| {
                    Error::destination(path, "has no last part that could be the name of a directory")
                })?;
                let (root, is_new) =
                    Dir::open(parent_of(path))?.open_or_create_dir(name, options.modes.dir_mode())?;
                directory.is_new = is_new;
                root
            }
        };
        refuse_foreign_maildir(path, &root)?;
        root.check_writable()?;
        if !options.dry_run {
            directory._lock = Some(lock::lock_dir(&root, context.locks.timeout, context.cancel)?);
            if root.exists(OsStr::new(STAGE))? {
                root.remove_tree(OsStr::new(STAGE))?;
            }
            directory.stage = Some(root.create_dir(OsStr::new(STAGE), options.modes.dir_mode())?);
            directory.flushes_each = match options.fsync {
                Fsync::Each => true,
                Fsync::Batch => !root.syncfs_reports_errors(),
                Fsync::None => false,
            };
        }
        directory.names = root.names()?.into_iter().collect();
        directory.root = Some(root);
        Ok(directory)
    }

    /// Reads a message, and finds out whether the destination has it under its first name.
    fn examine<'a>(&self, ready: &'a ReadySource<'_>, number: usize) -> Result<Examined<'a>> {
        let (message, hash, mut tally) = match ready {
            ReadySource::Mbox { input, mbox, plan, .. } => {
                let (extent, planned) = (&mbox.messages()[number], &plan.messages[number]);
                if planned.disposition != Disposition::Write {
                    return Ok(Examined::Skipped);
                }
                let bytes = Bytes::Slice(extent.message(mbox.text()));
                let mut tally = Tally::default();
                tally.mail.add_message(planned.status.flags, Some(planned.epoch));
                tally.flags_left_out = u64::from(mbox.outer.has_flags());
                let hash = Digest::of(extent.message(input.source.raw()));
                let quoting = mbox.variant.quoting();
                let path = input.source.path().to_owned();
                (Message { bytes, quoting, path, epoch: planned.epoch }, hash, tally)
            }
            ReadySource::Maildir(maildir) => {
                let mut contents = Contents::default();
                let entry = &maildir.messages[number].entry;
                let found = match maildir.read(entry, &mut contents)? {
                    Ok(found) => found,
                    Err(finding) => return Ok(Examined::NotAMessage(finding)),
                };
                let header = header::split(&contents).header;
                let status = found.entry.status(header);
                let epoch = maildir.files.received_date(&found, header).0;
                let path = maildir.files.path(&found.entry);
                let mut tally = Tally::default();
                tally.mail.add_message(status.flags, Some(epoch));
                tally.flags_left_out = u64::from(has_flags_outside(&found.entry, header));
                let hash = Digest::of(&contents);
                (Message { bytes: Bytes::File(contents), quoting: Quoting::None, path, epoch }, hash, tally)
            }
        };
        let stem = stem(message.epoch, &message.bytes, hash);
        let rendered = self.render(&message);
        tally.line_ends = u64::from(rendered.eols);
        tally.bytes = message.bytes.len() as u64;
        let first = numbered(&stem, 0);
        if !rendered.whole().is_none_or(|text| reads_as_one_message(&text)) {
            let text = "is read back differently by a reader of .eml files: it does not begin with a header";
            let path = self.path.join(&first);
            tally.findings.push(Finding::new(Code::ReadBackDiffers, text).in_file(path));
        }
        let is_present = self.has(&first, &rendered)?;
        if let Bytes::File(contents) = &message.bytes {
            contents.check_complete(&message.path)?;
        }
        Ok(Examined::Message(Box::new(NewFile { message, number, stem, is_present, counts: tally })))
    }

    /// Reports whether the destination had a file of this name with these bytes.
    fn has(&self, name: &OsStr, rendered: &Rendered<'_>) -> Result<bool> {
        let Some(root) = self.root.as_ref().filter(|_| self.names.contains(name)) else { return Ok(false) };
        let (size, _) = rendered.sizes(false);
        if root.file_size(name)? != Some(size) {
            return Ok(false);
        }
        let (file, path, mut there) = (root.open_file(name)?, root.path().join(name), Contents::default());
        there.load(&file, size, &path)?;
        let mut rest = &there[..];
        let same = rendered.for_each(&mut |bytes| {
            rest = rest.strip_prefix(bytes).ok_or(())?;
            Ok::<_, ()>(())
        });
        let is_same = same == Ok(()) && rest.is_empty();
        there.check_complete(&path)?;
        Ok(is_same)
    }

    /// Gives a message its name. Returns None if the destination has it, or if it is not a message.
    fn name<'a>(
        &self,
        examined: Examined<'a>,
        given: &mut GivenNames,
        tally: &mut Tally,
    ) -> Result<Option<(OsString, Message<'a>)>> {
        let new = match examined {
            Examined::Message(new) => *new,
            Examined::NotAMessage(finding) => {
                tally.add_unreadable(finding);
                return Ok(None);
            }
            Examined::Skipped => return Ok(None),
        };
        let NewFile { message, number, stem, mut is_present, counts } = new;
        let copy = given.next(&stem);
        loop {
            let name = numbered(&stem, *copy);
            *copy += 1;
            if *copy > 1 {
                is_present = self.has(&name, &self.render(&message))?;
            }
            if is_present {
                tally.add_present(number, counts);
                return Ok(None);
            }
            if !self.names.contains(&name) {
                *tally += counts.of_one_message();
                return Ok(Some((name, message)));
            }
        }
    }

    /// Returns the message without its quoting, with the line ends of `--eol`.
    fn render<'m>(&self, message: &'m Message<'_>) -> Rendered<'m> {
        with_line_ends(&message.bytes, message.quoting, self.eol)
    }

    fn stage(&self, name: &OsStr, message: &Message<'_>, mode: u32) -> Result<()> {
        let Some(stage) = &self.stage else { return Ok(()) };
        let failed = |action| Error::io(action, stage.path().join(name));
        let file = {
            let _one_at_a_time = ignore_poison(self.creating.lock());
            stage.create_file(name, mode)?
        };
        let rendered = self.render(message);
        rendered.for_each(&mut |bytes| durable::write_all(&file, bytes).map_err(failed("write")))?;
        if let Bytes::File(contents) = &message.bytes {
            contents.check_complete(&message.path)?;
        }
        durable::set_mtime(&file, message.epoch).map_err(failed("set its time"))?;
        match self.flushes_each {
            true => durable::sync_before_directory(&file).map_err(failed("flush")),
            false => Ok(()),
        }
    }

    /// Flushes the files and renames them into the destination.
    fn publish(&mut self, work: &Work<'_>) -> Result<()> {
        let (Some(root), Some(stage)) = (&self.root, &self.stage) else { return Ok(()) };
        let fsync = work.options.fsync;
        for ready in work.sources {
            ready.check_unchanged()?;
        }
        match fsync {
            Fsync::None => {}
            _ if self.flushes_each => stage.sync()?,
            _ => match work.options.sync_group {
                Some(group) => group.flush(stage)?,
                None => stage.sync_fs()?,
            },
        }
        let mut names = stage.names()?;
        names.sort_unstable();
        for name in names {
            if let Err(error) = work.context.cancel.check() {
                self.is_interrupted = true;
                return Err(error);
            }
            if !stage.rename_noreplace(&name, root, &name)? {
                let reason = "was created by another program during the run; run the same command again";
                return Err(Error::destination(&root.path().join(&name), reason));
            }
        }
        root.remove_empty(OsStr::new(STAGE))?;
        if fsync != Fsync::None {
            root.sync()?;
            if self.is_new {
                sync_parent(root.path())?;
            }
        }
        self.stage = None;
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let (Some(root), Some(_)) = (&self.root, &self.stage) else { return };
        if self.is_interrupted {
            return;
        }
        // The error of the run is reported, and the next run removes the stage.
        let _ = root.remove_tree(OsStr::new(STAGE));
        if self.is_new
            && let Some(name) = root.path().file_name()
        {
            let _ = Dir::open(parent_of(root.path())).and_then(|parent| parent.remove_empty(name));
        }
    }
}
