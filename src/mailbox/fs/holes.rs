//! Files that are mostly holes: they take no space on the disk, and hours to read.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::mailbox::{Error, Result};

/// The holes that are read as NULs. A crash leaves holes in mail, but never this many.
pub(crate) const MAX_HOLES: u64 = 1 << 30;

/// Refuses a file of `size` bytes with holes of more than a gibibyte. Anyone can create one of terabytes in a moment.
///
/// # Errors
/// [`Error::Sparse`].
pub(crate) fn check(file: &File, size: u64, path: &Path) -> Result<()> {
    match exceed(file, size, MAX_HOLES).map_err(Error::io("look at", path))? {
        true => Err(Error::Sparse { path: path.to_owned(), size }),
        false => Ok(()),
    }
}

/// Reports whether a file of `size` bytes has more than `limit` bytes of holes. A file system that knows none reports
/// data to the end.
pub(super) fn exceed(file: &File, size: u64, limit: u64) -> io::Result<bool> {
    use rustix::fs::{SeekFrom, seek};
    // Compression saves blocks, too, so fewer blocks alone show no holes.
    if size <= limit || size.saturating_sub(file.metadata()?.blocks().saturating_mul(512)) <= limit {
        return Ok(false);
    }
    let begin = seek(file, SeekFrom::Current(0))?;
    let (mut at, mut holes) = (0, 0);
    while at < size && holes <= limit {
        let Ok(hole) = seek(file, SeekFrom::Hole(at)) else { break };
        // There is no data after the last hole.
        let data = seek(file, SeekFrom::Data(hole)).unwrap_or(size).min(size);
        holes += data.saturating_sub(hole);
        at = data.max(at + 1);
    }
    seek(file, SeekFrom::Start(begin))?;
    Ok(holes > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_with_large_holes_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        let mut file = File::create(&path).unwrap();
        let is_sparse = |file: &File| check(file, file.metadata().unwrap().len(), &path).is_err();
        std::io::Write::write_all(&mut file, b"Subject: x\n\n").unwrap();
        assert!(!is_sparse(&file));
        file.set_len(MAX_HOLES).unwrap();
        assert!(!is_sparse(&file), "a crash may leave this");
        file.set_len(MAX_HOLES + (1 << 20)).unwrap();
        assert!(is_sparse(&file));
        // Data in between does not hide the holes.
        for at in 1..100 {
            std::os::unix::fs::FileExt::write_all_at(&file, b"data", at << 24).unwrap();
        }
        file.set_len(3 << 40).unwrap();
        assert!(is_sparse(&file));
        assert_eq!(rustix::fs::tell(&file).unwrap(), 12, "the offset is unchanged");
    }
}
