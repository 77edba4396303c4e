//! Archives of any bytes.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::mailbox::Cancel;
use crate::mailbox::fs::{entries, files};
use crate::mailbox::source::SpoolOptions;
use crate::mailbox::source::archive::{ArchiveFormat, read_bytes};

/// Any bytes are an archive whose members can all be read, or an error. No name of a member leads out of it.
pub fn archive(bytes: &[u8]) {
    let spooling = SpoolOptions {
        dir: Path::new("/tmp"),
        limit: Some(16 << 20),
        cancel: Cancel::never(),
        progress: &|_| (),
    };
    // Archives are found by their paths in the whole process, and tests run in many threads.
    let path = PathBuf::from(format!("/archive-{:?}", std::thread::current().id()));
    let checked = with_checksums(bytes);
    let tar = ArchiveFormat::Tar(None);
    for (bytes, format) in [(bytes, tar), (&checked, tar), (bytes, ArchiveFormat::Zip)] {
        let Ok(root) = read_bytes(bytes, format, &path, &spooling) else { continue };
        for entry in entries::below(&root, false) {
            let entry = entry.expect("a directory can be listed");
            let name = entry.name().as_bytes();
            assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&0));
            assert!(entry.path.starts_with(&root));
            if entry.kind == FileType::RegularFile {
                let mut content = Vec::new();
                let mut file = files::open(&entry.path).expect("a member can be opened");
                file.by_ref().take(64 << 20).read_to_end(&mut content).expect("a member can be read");
                assert!(content.len() as u64 <= files::size(&entry.path));
            }
        }
    }
}

/// Returns the bytes with each block of tar as a header whose checksum is right: the fuzzer finds none by chance.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut checked = bytes.to_vec();
    for block in checked.chunks_exact_mut(512).filter(|block| block.iter().any(|&b| b != 0)) {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    checked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tar archive of a member with its name in an extended header of pax, and one in the header.
    fn tar() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(5);
        header.set_cksum();
        builder.append_pax_extensions([("path", &b"long/name"[..]), ("GNU.sparse.size", b"9")]).unwrap();
        builder.append_data(&mut header, "a/b", &b"From \n"[..5]).unwrap();
        let mut gnu = tar::Header::new_gnu();
        gnu.set_size(5);
        builder.append_data(&mut gnu, "c".repeat(150), &b"12345"[..]).unwrap();
        builder.append_link(&mut gnu, "link", "a/b").unwrap();
        builder.into_inner().unwrap()
    }

    /// A zip archive of a stored member.
    fn zip() -> Vec<u8> {
        let sizes = [&0x3610_a686u32.to_le_bytes()[..], &[5, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0]].concat();
        let version = [20, 0, 0, 0, 0, 0, 0, 0, 33, 0];
        let local = [&b"PK\x03\x04"[..], &version, &sizes, b"a", b"hello"].concat();
        let entry = [&b"PK\x01\x02\x14\x03"[..], &version, &sizes, &[0; 14], b"a"].concat();
        let counts = [0, 0, 0, 0, 1, 0, 1, 0, entry.len() as u8, 0, 0, 0, local.len() as u8, 0, 0, 0, 0, 0];
        [&local[..], &entry, b"PK\x05\x06", &counts].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_archive_is_read_or_refused(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in any::<prop::sample::Index>(), is_cut in any::<bool>()) {
            for mut bytes in [tar(), zip()] {
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                if is_cut {
                    bytes.truncate(cut.index(bytes.len()));
                }
                archive(&bytes);
            }
        }
    }

    #[test]
    fn the_archives_of_this_test_are_valid() {
        let spooling =
            SpoolOptions { dir: Path::new("/tmp"), limit: None, cancel: Cancel::never(), progress: &|_| () };
        let path = Path::new("/archive-of-a-test");
        for (bytes, format, member) in
            [(tar(), ArchiveFormat::Tar(None), "link"), (zip(), ArchiveFormat::Zip, "a")]
        {
            let root = read_bytes(&bytes, format, path, &spooling).unwrap();
            assert!(entries::below(&root, false).any(|entry| entry.unwrap().name() == member));
        }
    }
}
