//! Repairs that touch no message: missing directories, modes, the end of an mbox, stale files in tmp/.
//!
//! Nothing is deleted, and no message is renamed: a new base name is a new message to an IMAP client.
//! Every step leaves a valid mailbox, so an interruption between two steps is harmless.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::mailbox::context::Context;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::fs::archived;
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::{Dir, FileId};
use crate::mailbox::fs::files;
use crate::mailbox::fs::foreign::refuse_for_root;
use crate::mailbox::fs::lock::{self, LockMode};
use crate::mailbox::fs::parent_of;
use crate::mailbox::text::{display_path, shell_quote};

/// Command that fixes a finding with a [`RepairStep`], followed by the mailbox.
pub(crate) const REPAIR_COMMAND: &str = "mailferry verify --repair";

/// Directory in a Maildir that receives stale files from tmp/, since they may be mail.
pub(crate) const LOST_DIR: &str = "mailferry-lost";

/// Returns the remedy for a finding with a [`RepairStep`]. An archive is never changed.
pub(crate) fn repair_remedy(mailbox: &Path) -> String {
    match archived::is_member(mailbox) {
        true => "unpack the archive, and repair the mailbox there".to_owned(),
        false => format!("{REPAIR_COMMAND} {}", shell_quote(mailbox)),
    }
}

/// How to repair a mailbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepairOptions {
    /// Report the steps without applying them.
    pub dry_run: bool,
}

/// Applies the steps in order, and passes the finding about each to `report`.
///
/// # Errors
/// [`Error::Io`] and [`Error::Locked`]; later steps are not applied.
pub(crate) fn repair(
    steps: &[RepairStep],
    options: RepairOptions,
    context: &Context<'_>,
    report: &mut dyn FnMut(&RepairStep, Finding),
) -> Result<()> {
    steps.iter().try_for_each(|step| {
        if !options.dry_run {
            step.apply(context)?;
        }
        report(step, step.finding(options.dry_run));
        Ok(())
    })
}

/// One repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RepairStep {
    MakeDirectory {
        path: PathBuf,
        /// The Maildir, as it was examined.
        parent: FileId,
    },
    SetMode {
        path: PathBuf,
        /// The file or directory, as it was examined.
        examined: FileId,
        from: u32,
        to: u32,
    },
    /// Append the missing line end, the missing blank line or both.
    EndMbox { path: PathBuf },
    /// Move a file from tmp/ to [`LOST_DIR`].
    MoveStale {
        maildir: PathBuf,
        name: OsString,
        /// The file, as it was examined.
        examined: FileId,
    },
}

impl RepairStep {
    /// Returns the file or directory that changes.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            RepairStep::MakeDirectory { path, .. }
            | RepairStep::SetMode { path, .. }
            | RepairStep::EndMbox { path } => path.clone(),
            RepairStep::MoveStale { maildir, name, .. } => maildir.join("tmp").join(name),
        }
    }

    fn finding(&self, dry_run: bool) -> Finding {
        match dry_run {
            true => Finding::new(Code::RepairPlanned, format!("would {}", self.describe())),
            false => Finding::new(Code::RepairDone, format!("done: {}", self.describe())),
        }
    }

    /// Describes the step as a verb phrase.
    fn describe(&self) -> String {
        match self {
            RepairStep::MakeDirectory { .. } => "create the directory".into(),
            RepairStep::SetMode { from, to, .. } => format!("change the mode from {from:04o} to {to:04o}"),
            RepairStep::EndMbox { .. } => "append the missing line end or blank line".into(),
            RepairStep::MoveStale { maildir, .. } => {
                format!("move it to {}/", display_path(&maildir.join(LOST_DIR)))
            }
        }
    }

    /// Applies the step and syncs it. The mailbox is unchanged on error.
    fn apply(&self, context: &Context<'_>) -> Result<()> {
        match self {
            RepairStep::MakeDirectory { path, parent: examined } => {
                let (parent, name) = open_parent(path)?;
                parent.file_id()?.require(*examined, parent.path())?;
                // Another program may have created it since.
                if !parent.exists(&name)? {
                    parent.create_dir(&name, 0o700)?;
                    parent.sync()?;
                }
                Ok(())
            }
            RepairStep::SetMode { path, examined, to, .. } => {
                let (parent, name) = open_parent(path)?;
                parent.set_mode(&name, *examined, *to)?;
                parent.sync()
            }
            RepairStep::EndMbox { path } => end_mbox(path, context),
            RepairStep::MoveStale { maildir, name, examined } => move_stale(maildir, name, *examined),
        }
    }
}

/// Opens the parent of a path, and returns the last name of the path.
fn open_parent(path: &Path) -> Result<(Dir, OsString)> {
    // `.` and `mail/..` have no name of their own.
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        None => files::canonicalize(path).map_err(Error::io("look up", path))?,
    };
    let name = whole.file_name().unwrap_or(OsStr::new("."));
    let parent = Dir::open(parent_of(&whole))?;
    refuse_for_root(parent.path(), &parent)?;
    Ok((parent, name.to_owned()))
}

/// Returns the line ends to append so that `text` ends in a blank line. `text` has LF or CRLF line ends.
pub(crate) fn missing_line_ends(text: &[u8]) -> &'static [u8] {
    let Some(rest) = text.strip_suffix(b"\n") else {
        let crlf = memchr::memchr(b'\n', text).is_some_and(|lf| text[..lf].ends_with(b"\r"));
        return if crlf { b"\r\n\r\n" } else { b"\n\n" };
    };
    let (above, crlf) = match rest.strip_suffix(b"\r") {
        Some(above) => (above, true),
        None => (rest, false),
    };
    match above {
        [] | [.., b'\n'] => b"",
        _ if crlf => b"\r\n",
        _ => b"\n",
    }
}

fn end_mbox(path: &Path, context: &Context<'_>) -> Result<()> {
    // A dot-lock belongs next to the file itself, not next to a link to it.
    let path = &files::canonicalize(path).map_err(Error::io("look up", path))?;
    let (parent, name) = open_parent(path)?;
    let file = parent.open_append(&name, 0o600)?;
    let (_guard, _) = lock::acquire(path, &file, LockMode::Write, context.locks, context.cancel)?;
    let before = file.metadata().map_err(Error::io("look at", path))?.len();
    // Read under the lock: another program may have appended during the wait.
    let missing = missing_in_file(&file, before).map_err(Error::io("read", path))?;
    let written = durable::write_all(&file, missing).and_then(|()| durable::sync_file(&file));
    written.map_err(|error| {
        // The first error is the one to report.
        let _ = durable::truncate(&file, before);
        Error::io("write", path)(error)
    })
}

/// Returns the [`missing_line_ends`] of a file, from its beginning and its last bytes.
fn missing_in_file(file: &File, size: u64) -> std::io::Result<&'static [u8]> {
    const LAST: u64 = 4;
    const FIRST: u64 = 4096;
    let read = |at: u64, length: u64| {
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    if size <= FIRST {
        return if size == 0 { Ok(b"") } else { Ok(missing_line_ends(&read(0, size)?)) };
    }
    Ok(missing_line_ends(&[read(0, FIRST)?, read(size - LAST, LAST)?].concat()))
}

fn move_stale(maildir: &Path, name: &OsStr, examined: FileId) -> Result<()> {
    let root = Dir::open(maildir)?;
    refuse_for_root(maildir, &root)?;
    let tmp = root.open_child(OsStr::new("tmp"))?;
    if let Some(id) = tmp.child_id(name)? {
        id.require(examined, &tmp.path().join(name))?;
    }
    let lost = OsStr::new(LOST_DIR);
    let lost = if root.exists(lost)? { root.open_child(lost)? } else { root.create_dir(lost, 0o700)? };
    // The same name, or the next one that is free.
    let names = (0u32..).map(|n| match n {
        0 => name.to_owned(),
        n => OsString::from_vec([name.as_bytes(), format!(".{n}").as_bytes()].concat()),
    });
    for new_name in names {
        if tmp.rename_noreplace(name, &lost, &new_name)? {
            break;
        }
    }
    lost.sync()?;
    tmp.sync()?;
    root.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_line_ends_make_the_last_line_blank() {
        for (text, want) in [
            (&b"a\n"[..], &b"\n"[..]),
            (b"a\n\n", b""),
            (b"a", b"\n\n"),
            (b"a\r\nb\r\n", b"\r\n"),
            (b"a\r\n\r\n", b""),
            (b"a\r\nb", b"\r\n\r\n"),
            (b"\n", b""),
        ] {
            assert_eq!(missing_line_ends(text), want, "{:?}", String::from_utf8_lossy(text));
            let repaired = [text, want].concat();
            assert_eq!(missing_line_ends(&repaired), b"");
        }
    }
}
