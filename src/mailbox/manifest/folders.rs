//! The folders of a tree, which the manifest of the root lists, and their manifests.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Digest, FILE_NAME, FolderRecord, SectionHeader};
use crate::mailbox::fs::{entries, files, read_regular};
use crate::mailbox::{Error, Result};

/// The folders that a root lists: the last line about each, by the path that convert gives it.
#[derive(Debug, Default)]
pub(crate) struct FolderList {
    by_path: BTreeMap<PathBuf, FolderRecord>,
    by_id: HashMap<Digest, PathBuf>,
}

impl FolderList {
    /// Collects the lines of a manifest, oldest first.
    pub(crate) fn new(records: impl IntoIterator<Item = FolderRecord>) -> FolderList {
        let mut list = FolderList::default();
        records.into_iter().for_each(|record| list.insert(record));
        list
    }

    pub(crate) fn insert(&mut self, record: FolderRecord) {
        let path = record.folder.to_path().to_owned();
        // A mailbox may get another path, if others are next to it.
        if let Some(former) = self.by_id.insert(record.id, path.clone()).filter(|former| *former != path) {
            self.by_path.remove(&former);
        }
        let former = self.by_path.insert(path, record.clone());
        if let Some(former) = former.filter(|former| former.id != record.id) {
            self.by_id.remove(&former.id);
        }
    }

    pub(crate) fn get(&self, folder: &Path) -> Option<&FolderRecord> {
        self.by_path.get(folder)
    }

    pub(crate) fn has_id(&self, id: Digest) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &FolderRecord> {
        self.by_path.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }
}

/// The state of a folder's manifest: its first line and its last hash, of which a few blocks are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderState {
    /// The hash of the first line.
    pub id: Digest,
    /// The path below the root of its tree, when it was created.
    pub created_as: Option<PathBuf>,
    /// The last hash, if it is in the last line: the last section is closed.
    pub state: Option<Digest>,
    /// The modification time, in seconds since 1970.
    pub mtime: i64,
}

impl FolderState {
    /// Reads the state of the manifest in a Maildir; `None` if there is none.
    pub(crate) fn read(maildir: &Path) -> Result<Option<FolderState>> {
        let path = maildir.join(FILE_NAME);
        let file = match files::open(&path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(Error::io("open the manifest", &path)(error)),
        };
        let read = FolderState::read_ends(&file).map_err(Error::io("read the manifest", &path))?;
        let Some(Ends { first, last, mtime }) = read else { return Ok(None) };
        let header: Option<SectionHeader> = serde_json::from_slice(&first).ok();
        let folder = header.and_then(|header| header.folder);
        Ok(Some(FolderState {
            id: Digest::of(&first),
            created_as: folder.map(|folder| folder.to_path().to_owned()),
            state: hash_of(&last),
            mtime,
        }))
    }

    fn read_ends(file: &File) -> io::Result<Option<Ends>> {
        const BLOCK: usize = 4096;
        /// No path and no evidence makes a longer line.
        const MOST: u64 = 1 << 20;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let mut first = Vec::new();
        loop {
            let mut block = [0; BLOCK];
            let count = file.read_at(&mut block, first.len() as u64)?;
            let line_end = memchr::memchr(b'\n', &block[..count]);
            first.extend_from_slice(&block[..line_end.unwrap_or(count)]);
            if line_end.is_some() {
                break;
            }
            if count == 0 || first.len() as u64 > MOST {
                return Ok(None);
            }
        }
        let from = meta.len().saturating_sub(BLOCK as u64);
        let mut block = vec![0; (meta.len() - from) as usize];
        file.read_exact_at(&mut block, from)?;
        let end = memchr::memrchr(b'\n', &block).unwrap_or(0);
        let start = memchr::memrchr(b'\n', &block[..end]).map_or(0, |lf| lf + 1);
        Ok(Some(Ends { first, last: block[start..end].to_vec(), mtime: meta.mtime() }))
    }
}

/// The first and the last complete line of a manifest, without line ends, and its modification time.
struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
    mtime: i64,
}

/// Returns the hash at the end of a footer, or of a folder's line.
fn hash_of(line: &[u8]) -> Option<Digest> {
    #[derive(Deserialize)]
    struct End {
        end: Digest,
    }
    serde_json::from_slice::<End>(line).ok().map(|line| line.end)
}

/// Reports whether the manifest in a Maildir has this hash, at the end of any section.
pub(crate) fn has_hash(maildir: &Path, hash: Digest) -> Result<bool> {
    let path = maildir.join(FILE_NAME);
    let text = read_regular(&path).map_err(Error::io("read the manifest", &path))?;
    Ok(text.split(|&b| b == b'\n').filter_map(hash_of).any(|end| end == hash))
}

/// Reports whether a path does not exist.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Finds the manifests in the folders of a tree, by the paths of the folders below the root. What cannot be read is
/// left out.
pub(crate) fn find_folders(root: &Path) -> Vec<(PathBuf, FolderState)> {
    let mut found = Vec::new();
    let mut entries = entries::below(root, false);
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { continue };
        let name = entry.name();
        if entry.is_dir() {
            let has_no_folders = [b"cur", b"new", b"tmp"].iter().any(|part| name.as_bytes() == *part);
            if has_no_folders || name.as_bytes().ends_with(b".mailferry-partial") {
                entries.skip_current_dir();
            }
        } else if entry.depth > 1 && name == OsStr::new(FILE_NAME) {
            let folder = entry.path.parent().unwrap_or(root);
            if let (Ok(below), Ok(Some(state))) = (folder.strip_prefix(root), FolderState::read(folder)) {
                found.push((below.to_owned(), state));
            }
        }
    }
    found
}
