//! What can be mended without touching a message: missing directories, modes, the end of an mbox, what
//! lies in tmp/ for days. Nothing is deleted, and no message is renamed: to an IMAP client a new base name
//! is a new message. Each step leaves the mailbox whole, so stopping between two of them harms nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::mailbox::context::Cancel;
use crate::mailbox::context::LockOptions;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::lock;
use crate::mailbox::maildir::write::parent_of;
use crate::mailbox::text::display_path;

/// Where stale files of tmp/ go, in the Maildir: they may be mail.
pub const LOST_DIR: &str = "mailferry-lost";

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairStep {
    /// Make a directory.
    MakeDirectory {
        /// Its path.
        path: PathBuf,
    },
    /// Change the mode of a file or directory.
    SetMode {
        /// Its path.
        path: PathBuf,
        /// The mode it had.
        from: u32,
        /// The mode it gets.
        to: u32,
    },
    /// Append the missing line end, the missing blank line or both.
    EndMbox {
        /// The mbox.
        path: PathBuf,
    },
    /// Move a file from tmp/ to [`LOST`].
    MoveStale {
        /// The Maildir.
        maildir: PathBuf,
        /// The file's name.
        name: OsString,
    },
}

impl RepairStep {
    /// The file or directory it is about.
    pub fn path(&self) -> PathBuf {
        match self {
            RepairStep::MakeDirectory { path }
            | RepairStep::SetMode { path, .. }
            | RepairStep::EndMbox { path } => path.clone(),
            RepairStep::MoveStale { maildir, name } => maildir.join("tmp").join(name),
        }
    }

    /// What it does, a verb phrase.
    pub fn describe(&self) -> String {
        match self {
            RepairStep::MakeDirectory { .. } => "make the directory".into(),
            RepairStep::SetMode { from, to, .. } => format!("change the mode from {from:04o} to {to:04o}"),
            RepairStep::EndMbox { .. } => "append the missing line end or blank line".into(),
            RepairStep::MoveStale { maildir, .. } => {
                format!("move it to {}/", display_path(&maildir.join(LOST_DIR)))
            }
        }
    }

    /// Does it, and brings it to stable storage.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Locked`]; the mailbox is as it was before then.
    pub fn apply(&self, lock: &LockOptions, cancel: &Cancel) -> Result<()> {
        match self {
            RepairStep::MakeDirectory { path } => {
                let (parent, name) = in_parent(path)?;
                // A directory that is not there may have come meanwhile.
                if !parent.exists(&name)? {
                    parent.create_dir(&name, 0o700)?;
                    parent.sync()?;
                }
                Ok(())
            }
            RepairStep::SetMode { path, to, .. } => {
                let (parent, name) = in_parent(path)?;
                parent.set_mode(&name, *to)?;
                parent.sync()
            }
            RepairStep::EndMbox { path } => end_mbox(path, lock, cancel),
            RepairStep::MoveStale { maildir, name } => move_stale(maildir, name),
        }
    }
}

/// The directory that a path lies in, and the last name of the path.
fn in_parent(path: &Path) -> Result<(Dir, OsString)> {
    // `.` and `mail/..` have no name of their own to be found by.
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().map_err(Error::io("look up", path))?,
    };
    let name = whole.file_name().unwrap_or(OsStr::new("."));
    Ok((Dir::open(parent_of(&whole))?, name.to_owned()))
}

/// What has to be appended so that the file ends in a blank line. `text` has LF line ends, or CRLF.
pub fn missing_line_ends(text: &[u8]) -> &'static [u8] {
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

fn end_mbox(path: &Path, wanted: &LockOptions, cancel: &Cancel) -> Result<()> {
    // Locks are taken where the file is, not where a link to it is.
    let path = &path.canonicalize().map_err(Error::io("look up", path))?;
    let (parent, name) = in_parent(path)?;
    let file = parent.open_append(&name, 0o600)?;
    let (_guard, _) = lock::acquire(path, &file, lock::Mode::Write, wanted, cancel)?;
    let before = file.metadata().map_err(Error::io("look at", path))?.len();
    // Only now: somebody may have appended while we waited for the lock.
    let missing = missing_in_file(&file, before).map_err(Error::io("read", path))?;
    let written = durable::write_all(&file, missing).and_then(|()| durable::sync_file(&file));
    written.map_err(|error| {
        // The error that brought us here is the one to tell.
        let _ = durable::truncate(&file, before);
        Error::io("write", path)(error)
    })
}

/// [`missing_at_end`] of a file, by its first line and its last few bytes.
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

fn move_stale(maildir: &Path, name: &OsStr) -> Result<()> {
    let root = Dir::open(maildir)?;
    let tmp = root.open_child(OsStr::new("tmp"))?;
    let lost = OsStr::new(LOST_DIR);
    let lost = if root.exists(lost)? { root.open_child(lost)? } else { root.create_dir(lost, 0o700)? };
    // Under its own name, or the next one that is free.
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
    fn what_is_missing_is_what_makes_a_blank_line_the_last() {
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
            let mended = [text, want].concat();
            assert_eq!(missing_line_ends(&mended), b"");
        }
    }
}
