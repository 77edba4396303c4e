//! The choice of the job, by the options and by what the arguments are. Nothing is locked, read through or
//! written before it is made.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::ConvertArgs;
use super::applies::{COPY, EXPORT_MAILDIR, EXPORT_MBOX, IMPORT, RESTORE, STREAM, TREE};
use super::args::Mailboxes;
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::convert::export::find_nested_folders;
use crate::convert::restore::RestoreOptions;
use crate::convert::{DestinationOptions, ExportOptions, ImportOptions};
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::files;
use crate::mailbox::maildir::detect::{is_maildir, is_maildirpp_folder};
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::mbox::Variant;
use crate::mailbox::message::Selection;
use crate::mailbox::{Error, Result, display_path};

/// One of the operations, with its options.
pub(super) enum Job<'a> {
    /// mboxes into a Maildir.
    Import(ImportOptions<'a>),
    /// A Maildir into another one.
    Copy(&'a Path, Selection, DestinationOptions<'a>),
    /// Maildirs, and mboxes of other variants, into one mbox.
    Export(ExportOptions<'a>),
    /// `--exact`.
    Restore(RestoreOptions<'a>),
    /// Folder by folder; what the tree holds decides which of the two it is.
    Tree(ImportOptions<'a>, ExportOptions<'a>),
}

impl<'a> Job<'a> {
    /// Chooses the job, and refuses options and arguments that do not go with it.
    ///
    /// # Errors
    /// [`Error::Usage`], and [`Error::NotAMailbox`] for a `maildir:` that is not one.
    pub(super) fn choose(
        args: &'a ConvertArgs,
        mailboxes: &'a Mailboxes,
        stdout: &'a Mutex<std::io::Stdout>,
    ) -> Result<Job<'a>> {
        let Mailboxes { sources, destination, .. } = mailboxes;
        let import = || args.import_options(&destination.path);
        let export = || args.export_options(destination, stdout);
        if args.exact {
            args.given.check(RESTORE)?;
            let [maildir] = &sources[..] else {
                return Err(Error::usage("--exact", "takes one Maildir and one file to write"));
            };
            refuse_without_manifest(maildir)?;
            return Ok(Job::Restore(args.restore_options(&maildir.path, destination, stdout)));
        }
        if let (Some(since), Some(before)) = (args.since, args.before)
            && since >= before
        {
            let reason = "is not before --before, so no message is selected; name an earlier date";
            return Err(Error::usage("--since", reason));
        }
        refuse_twice(sources)?;
        let are_maildirs = sources.iter().map(MailboxArg::is_maildir).collect::<Result<Vec<bool>>>()?;
        let maildirs = are_maildirs.iter().filter(|is_maildir| **is_maildir).count();
        let choice = Choice { args, sources, destination, maildirs };
        if choice.is_tree(&are_maildirs)? {
            choice.check_tree()?;
            return Ok(Job::Tree(import(), export()));
        }
        if args.live && (maildirs > 0 || sources.iter().any(MailboxArg::is_standard_stream)) {
            let reason = "is for mboxes: nothing else is locked";
            return Err(Error::usage("--live", reason));
        }
        if args.boundaries.is_some() && sources.len() > 1 {
            return Err(Error::usage("--boundaries", "is for one source; convert the sources one by one"));
        }
        if !choice.is_for_maildir()? {
            choice.check_files_destination()?;
            choice.check_mbox_destination()?;
            return Ok(Job::Export(export()));
        }
        choice.check_maildir_destination()?;
        Ok(match maildirs {
            0 => Job::Import(import()),
            _ => Job::Copy(&sources[0].path, args.selection(), args.maildir_options(&destination.path)),
        })
    }
}

/// The properties that the choice depends on.
struct Choice<'a> {
    args: &'a ConvertArgs,
    sources: &'a [MailboxArg],
    destination: &'a MailboxArg,
    /// How many of the sources are Maildirs.
    maildirs: usize,
}

impl Choice<'_> {
    /// Reports whether the job is about folders, and not about one mailbox: a tree, or a Maildir with folders that goes
    /// into another one or into a directory.
    fn is_tree(&self, are_maildirs: &[bool]) -> Result<bool> {
        let Choice { args, sources, destination, .. } = self;
        let is_directory = |source: &MailboxArg| {
            let is_directory =
                !source.is_standard_stream() && source.format.is_none() && files::is_dir(&source.path);
            // With labels as folders, the mboxes of an archive are the sources of one import.
            Ok::<_, Error>(is_directory || !args.labels.are_folders() && source.is_archive()?)
        };
        let has_folders =
            |source: &MailboxArg| find_nested_folders(&source.path).is_ok_and(|found| found.is_some());
        let to_maildir = matches!(destination.format, Some(Format::Maildir | Format::Eml));
        let to_directory = !to_maildir && destination.is_directory() && !is_maildir(&destination.path)?;
        // Several mboxes, or directories of files.
        let to_files = destination.format == Some(Format::Eml);
        let is_split = args.split.is_some() && (to_files || to_directory && self.is_for_mbox());
        let mut is_tree = is_split || args.tree.is_used();
        for (source, is_maildir) in sources.iter().zip(are_maildirs) {
            is_tree |= match is_maildir {
                true => to_directory || to_maildir && has_folders(source),
                false => is_directory(source)?,
            };
        }
        Ok(is_tree)
    }

    /// Refuses what does not go with a directory of files with one message each.
    fn check_files_destination(&self) -> Result<()> {
        let Choice { args, destination, .. } = self;
        if destination.format != Some(Format::Eml) {
            return Ok(());
        }
        if destination.is_standard_stream() {
            return refuse(destination, "eml: writes several files; name a directory");
        }
        for option in ["append", "force"] {
            if args.given.has(option) {
                let reason = "is for an mbox; a directory of .eml files is only added to";
                return Err(Error::usage(format!("--{option}"), reason));
            }
        }
        Ok(())
    }

    /// Reports whether the destination is for mboxes.
    fn is_for_mbox(&self) -> bool {
        match self.destination.format {
            Some(Format::Mbox | Format::Variant(_)) => true,
            Some(Format::Maildir | Format::Eml) => false,
            None => self.maildirs == self.sources.len(),
        }
    }

    fn check_tree(&self) -> Result<()> {
        let Choice { args, sources, destination, .. } = self;
        self.check_files_destination()?;
        args.given.check(TREE)?;
        if args.labels.are_folders() {
            let reason = "makes folders in one Maildir, and a folder of a tree cannot have any; convert that mbox by itself";
            return Err(Error::usage("--labels", reason));
        }
        if destination.is_standard_stream() {
            return refuse(destination, "folders cannot be written to standard output");
        }
        if let Some(stdin) = sources.iter().find(|source| source.is_standard_stream()) {
            return refuse(stdin, "standard input becomes one mailbox; name the Maildir of the folder");
        }
        refuse_within(sources)?;
        sources.iter().try_for_each(|source| refuse_inside(source, destination))
    }

    /// Reports whether the destination is a Maildir. Its format is the other one, unless a prefix names it.
    fn is_for_maildir(&self) -> Result<bool> {
        let Choice { sources, destination, maildirs, .. } = self;
        match destination.format {
            Some(Format::Maildir) => Ok(true),
            Some(Format::Variant(Variant::Rfc822)) => {
                refuse(destination, "an rfc822 file holds one message; name an mbox")
            }
            Some(Format::Mbox | Format::Variant(_) | Format::Eml) => Ok(false),
            None if *maildirs == 0 => Ok(true),
            None if *maildirs == sources.len() => Ok(false),
            None => {
                refuse(destination, "would come from mboxes and Maildirs; write mbox: or maildir: before it")
            }
        }
    }

    fn check_maildir_destination(&self) -> Result<()> {
        let Choice { args, sources, destination, maildirs } = *self;
        if destination.is_standard_stream() {
            let reason = "a Maildir cannot be written to standard output; write mbox:- for an mbox";
            return refuse(destination, reason);
        }
        if maildirs > 0 && sources.len() > 1 {
            let reason = "a Maildir is copied by itself; copy each with its own command";
            return refuse(destination, reason);
        }
        args.given.check(if maildirs > 0 { COPY } else { IMPORT })?;
        if maildirs > 0 && file_id(&sources[0]).is_some() && file_id(&sources[0]) == file_id(destination) {
            return refuse(destination, "is the source itself; a Maildir cannot be copied into itself");
        }
        let Some(option) = args.folders_option() else { return Ok(()) };
        if args.labels.are_folders() && args.split.is_some() {
            return Err(Error::usage(
                "--split",
                "makes folders by year, and --labels makes others; use one of them",
            ));
        }
        if is_maildirpp_folder(&destination.path) {
            let path = display_path(&destination.path);
            let reason = format!("makes folders, and {path} is a folder of a Maildir; name the Maildir");
            return Err(Error::usage(option, reason));
        }
        let reason = "is not for folders of one mbox; run the command as that user";
        match () {
            () if args.mode != 0o600 => Err(Error::usage("--mode", reason)),
            () => Ok(()),
        }
    }

    fn check_mbox_destination(&self) -> Result<()> {
        let Choice { args, sources, destination, maildirs } = *self;
        if is_maildir(&destination.path)? {
            let reason = match destination.format {
                Some(Format::Eml) => "is a Maildir; name another directory for the files",
                _ => "is a Maildir, and an mbox is a file; write maildir: before it to copy into it",
            };
            return refuse(destination, reason);
        }
        let of_maildirs = if maildirs > 0 { EXPORT_MAILDIR } else { 0 };
        let of_mboxes = if maildirs < sources.len() { EXPORT_MBOX } else { 0 };
        args.given.check(of_maildirs | of_mboxes)?;
        if destination.is_standard_stream() {
            args.given.check(STREAM)?;
        }
        let file = |mailbox: &MailboxArg| files::canonicalize(&mailbox.path).ok();
        let is_source =
            sources.iter().any(|source| file(source).is_some() && file(source) == file(destination));
        match is_source {
            true if args.append => {
                refuse(destination, "is a source too; an mbox cannot be appended to itself")
            }
            true if args.force => {
                refuse(destination, "is a source too, and a source is never changed; name another file")
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a source of `--exact` that no conversion has written.
fn refuse_without_manifest(maildir: &MailboxArg) -> Result<()> {
    let path = &maildir.path;
    let may_have_manifest = !maildir.is_standard_stream()
        && (is_maildir(path)? || !files::exists(path) || ManifestLocation::InMaildir.exists(path));
    match may_have_manifest {
        true => Ok(()),
        false => {
            let reason = format!(
                "{} is not a Maildir; name the Maildir that convert has written, and a file to write",
                display_path(path)
            );
            Err(Error::usage("--exact", reason))
        }
    }
}

/// A usage error about a mailbox that was named.
fn refuse<T>(mailbox: &MailboxArg, reason: &str) -> Result<T> {
    Err(Error::usage(display_path(&mailbox.path), reason))
}

fn refuse_twice(sources: &[MailboxArg]) -> Result<()> {
    for (n, source) in sources.iter().enumerate() {
        let is_same = |other: &MailboxArg| {
            other.path == source.path || file_id(other).is_some() && file_id(other) == file_id(source)
        };
        if sources[..n].iter().any(is_same) {
            return refuse(source, "is named twice as a source; its mail would be converted twice");
        }
    }
    Ok(())
}

/// Returns the device and inode of a file or directory, the same under all its names.
fn file_id(mailbox: &MailboxArg) -> Option<FileId> {
    let meta = files::metadata(&mailbox.path).ok().filter(|_| !mailbox.is_standard_stream())?;
    Some(FileId::of_metadata(&meta))
}

/// Refuses a source inside another one, whose mail would be converted twice.
fn refuse_within(sources: &[MailboxArg]) -> Result<()> {
    let real: Vec<_> = sources.iter().map(|source| files::canonicalize(&source.path).ok()).collect();
    for (n, path) in real.iter().enumerate() {
        let is_around = |(m, other): &(usize, &Option<PathBuf>)| {
            *m != n && path.as_ref().zip(other.as_ref()).is_some_and(|(path, other)| path.starts_with(other))
        };
        if let Some((around, _)) = real.iter().enumerate().find(is_around) {
            let around = display_path(&sources[around].path);
            let reason =
                format!("is inside {around}, which is also a source; its mail would be converted twice");
            return refuse(&sources[n], &reason);
        }
    }
    Ok(())
}

/// Refuses a destination inside the tree: it would be a part of it the next time.
fn refuse_inside(source: &MailboxArg, destination: &MailboxArg) -> Result<()> {
    let existing = destination.path.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        files::canonicalize(path).ok()
    });
    let tree = files::canonicalize(&source.path).ok().filter(|tree| files::is_dir(tree));
    match (existing, tree) {
        (Some(existing), Some(tree)) if existing.starts_with(&tree) => {
            let tree = display_path(&tree);
            let reason = format!("is inside {tree}, the source; name a destination outside it");
            refuse(destination, &reason)
        }
        _ => Ok(()),
    }
}
