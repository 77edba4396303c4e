//! Archives: tar, compressed or not, and zip. They are read once, and their members are then found as files below the
//! archive: see [`archived`].

mod limits;
mod members;
mod pax;
mod pipeline;
mod tar;
mod zip;
mod zip_entry;

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::Compression;
use super::format::{self, FORMAT_HEAD};
use super::head::Head;
use super::spool::SpoolOptions;
use crate::mailbox::fs::{archived, files};
use crate::mailbox::member_path;
use crate::mailbox::{Error, Result};
use limits::Limits;
use members::MemberSpool;
pub(crate) use members::UnreadMember;

/// The format of an archive that is read as a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveFormat {
    Tar(Option<Compression>),
    Zip,
}

/// An archive whose members can be read.
#[derive(Debug)]
pub(crate) struct OpenArchive {
    /// The directory that it is read as.
    pub root: PathBuf,
    pub unread: Vec<UnreadMember>,
    /// Members that were read before, under their names and byte for byte.
    pub repeated: Vec<PathBuf>,
}

/// Recognizes an archive by its first bytes, and not by its name.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn recognize(path: &Path) -> Result<Option<ArchiveFormat>> {
    let is_file =
        files::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    if !is_file || archived::is_member(path) {
        return Ok(None);
    }
    let file = files::open(path).map_err(Error::io("open", path))?;
    recognize_file(&file, path)
}

fn recognize_file(file: &File, path: &Path) -> Result<Option<ArchiveFormat>> {
    // Damaged compressed data is reported by those who read it.
    let Ok(head) = Head::read(file, FORMAT_HEAD).map_err(Error::io("read", path))? else { return Ok(None) };
    Ok(match head.compression {
        compression if format::is_tar(&head.bytes) => Some(ArchiveFormat::Tar(compression)),
        None if format::is_zip(&head.bytes) => Some(ArchiveFormat::Zip),
        _ => None,
    })
}

/// Reads an archive. Its members are kept in files without a name in the spool directory, except for those that one of
/// the archives `earlier` has under the same name.
///
/// # Errors
/// [`Error::Archive`] for one that is damaged, cut off or larger than a limit, [`Error::Compressed`],
/// [`Error::Changed`], [`Error::InsufficientSpace`], [`Error::Interrupted`], [`Error::Io`].
pub(crate) fn read(path: &Path, earlier: &[PathBuf], spooling: &SpoolOptions<'_>) -> Result<OpenArchive> {
    let real = files::canonicalize(path).map_err(Error::io("open", path))?;
    let file = files::open(path).map_err(Error::io("open", path))?;
    let state = || rustix::fs::fstat(&file).map_err(|e| Error::io("look up", path)(e.into()));
    let before = state()?;
    let format =
        recognize_file(&file, path)?.ok_or_else(|| Error::not_a_mailbox(path, "it is not an archive"))?;
    let limits = Limits::new(path, spooling);
    let mut members = MemberSpool::new(path, earlier, spooling, &limits)?;
    read_members(&file, before.st_size.cast_unsigned(), format, &mut members, &limits)?;
    let after = state()?;
    if (before.st_size, before.st_mtime, before.st_mtime_nsec)
        != (after.st_size, after.st_mtime, after.st_mtime_nsec)
    {
        return Err(Error::Changed { path: path.to_owned(), how: "it was written to".to_owned() });
    }
    let (table, files, unread, repeated) = members.finish()?;
    archived::register(path, real, table, files).map_err(Error::io("read", path))?;
    Ok(OpenArchive { root: member_path::root_of(path), unread, repeated })
}

fn read_members(
    file: &File,
    size: u64,
    format: ArchiveFormat,
    members: &mut MemberSpool<'_>,
    limits: &Limits,
) -> Result<()> {
    match format {
        ArchiveFormat::Tar(compression) => tar::read(file, compression, members, limits),
        ArchiveFormat::Zip => zip::read(file, size, members, limits),
    }
}

/// Reads bytes as an archive of this path, and returns the directory that it is read as.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_bytes(
    bytes: &[u8],
    format: ArchiveFormat,
    path: &Path,
    spooling: &SpoolOptions<'_>,
) -> Result<PathBuf> {
    use crate::mailbox::fs::durable;
    let failed = |e| Error::io("write", path)(e);
    let file = durable::memory_file("archive").map_err(failed)?;
    durable::write_all(&file, bytes).map_err(failed)?;
    let limits = Limits::new(path, spooling);
    let mut members = MemberSpool::new(path, &[], spooling, &limits)?;
    read_members(&file, bytes.len() as u64, format, &mut members, &limits)?;
    let (table, files, ..) = members.finish()?;
    archived::register(path, path.to_owned(), table, files).map_err(failed)?;
    Ok(member_path::root_of(path))
}
