//! The files of results.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::record::AccountRecord;
use crate::accounts::result::AccountResult;
use crate::mailbox::error::cause;
use crate::mailbox::fs::files::Metadata;
use crate::mailbox::fs::{Dir, files};
use crate::mailbox::{Cancel, Error, Result, display_path};

/// A larger file is not a result: one has some kilobytes.
const MAX_SIZE: u64 = 16 << 20;
/// Files that are read at once.
const CHUNK: usize = 4096;

/// Reads results: each of the files, and those in each of the directories.
///
/// # Errors
/// [`Error::Io`] for a path that cannot be read, and [`Error::Interrupted`]. A file of a directory that cannot be read, or
/// that is not a result, has a record that says so.
pub(crate) fn read_all(paths: &[PathBuf], cancel: &Cancel) -> Result<Vec<AccountRecord>> {
    let mut found = Found::default();
    for path in paths {
        cancel.check()?;
        if files::metadata(path).map_err(Error::io("open", path))?.is_dir() {
            found.read_directory(path, cancel)?;
        } else {
            let read = read(path).map_err(Error::io("read", path))?;
            found.add(read.unwrap_or_else(|why| unreadable(path, &why)));
        }
    }
    Ok(found.records)
}

/// The results that were read.
#[derive(Default)]
struct Found {
    records: Vec<AccountRecord>,
    /// Each host once: memory is for the accounts.
    hosts: HashSet<Arc<str>>,
}

impl Found {
    fn add(&mut self, mut record: AccountRecord) {
        match self.hosts.get(&record.host) {
            Some(host) => record.host = Arc::clone(host),
            None => drop(self.hosts.insert(Arc::clone(&record.host))),
        }
        self.records.push(record);
    }

    /// Reads a directory while it is listed, so that the names of all files are never in memory.
    fn read_directory(&mut self, path: &Path, cancel: &Cancel) -> Result<()> {
        let mut names: Vec<OsString> = Vec::with_capacity(CHUNK);
        Dir::open(path)?.visit(|found| {
            if is_result(found.name) {
                names.push(found.name.to_owned());
            }
            if names.len() == CHUNK {
                self.read_files(path, &names);
                names.clear();
            }
            if cancel.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.read_files(path, &names);
        cancel.check()
    }

    fn read_files(&mut self, directory: &Path, names: &[OsString]) {
        let read = |name: &OsString| {
            let path = directory.join(name);
            match read(&path) {
                Ok(Ok(record)) => Some(record),
                Ok(Err(why)) => Some(unreadable(&path, &why)),
                // It was removed since the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => Some(unreadable(&path, &format!("cannot read: {}", cause(&error)))),
            }
        };
        let records: Vec<AccountRecord> = names.par_iter().filter_map(read).collect();
        records.into_iter().for_each(|record| self.add(record));
    }
}

/// Reports whether a file in a directory of results is one. A hidden file is not complete, and others are not results.
fn is_result(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".json") && !name.starts_with(b".")
}

/// Reads a file. What is wrong with its contents is a phrase.
fn read(path: &Path) -> io::Result<Result<AccountRecord, String>> {
    let file = files::open(path)?;
    let metadata = Metadata::of(&file)?;
    if !metadata.is_file() {
        return Ok(Err("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(MAX_SIZE) as usize + 1);
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(parse(&bytes))
}

/// Parses a result.
///
/// # Errors
/// What is wrong, as a phrase.
pub(crate) fn parse(bytes: &[u8]) -> Result<AccountRecord, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("it is no result of an account: it has more than {} MiB", MAX_SIZE >> 20));
    }
    AccountResult::parse(bytes).map(|result| AccountRecord::of(&result))
}

fn unreadable(path: &Path, why: &str) -> AccountRecord {
    AccountRecord::unreadable(&user_of(path), &format!("{}: {why}", display_path(path)))
}

/// Returns the user in the name of a result: `%XX` is a byte.
fn user_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().as_bytes();
    let mut user = Vec::with_capacity(stem.len());
    let mut rest = stem;
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        user.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    crate::mailbox::escape(&user)
}
