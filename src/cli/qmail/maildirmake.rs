//! `maildirmake DIR`: creates a Maildir.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::ending::{Ending, PERMANENT, TEMPORARY};
use super::system_error::system_error_text;
use crate::cli::identity::{self, Paths};
use crate::mailbox::fs::{Dir, parent_of};
use crate::mailbox::{Error, Result};

const NAME: &str = "maildirmake";
const MODE: u32 = 0o700;

/// Creates the Maildir for the owner of its parent directory.
pub(super) fn run(mut args: impl Iterator<Item = OsString>) -> Ending {
    let Some(path) = args.next() else {
        return Ending::saying(PERMANENT, "maildirmake: usage: maildirmake name");
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match create(Path::new(&path)) {
        Ok(()) => Ending::silent(0),
        Err(Error::Io { source, .. }) => {
            let why = system_error_text(&source);
            let text = [b"unable to mkdir ", path.as_bytes(), b": ", why.as_bytes()].concat();
            Ending::fatal(NAME, TEMPORARY, text)
        }
        Err(error) => Ending::fatal(NAME, TEMPORARY, error.to_string()),
    }
}

fn create(path: &Path) -> Result<()> {
    identity::take(&Paths { written: vec![path], ..Paths::default() })?;
    // Without a last component, as in `..`, the directory exists.
    let exists = || Error::io("create", path)(std::io::ErrorKind::AlreadyExists.into());
    let name = path.file_name().ok_or_else(exists)?;
    let maildir = Dir::open(parent_of(path))?.create_dir(name, MODE)?;
    for name in ["tmp", "new", "cur"] {
        maildir.create_dir(OsStr::new(name), MODE)?;
    }
    Ok(())
}
