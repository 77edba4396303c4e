use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use std::ffi::OsStr;
use std::io::{self, IoSlice};

use rustix::fs::StatVfs;

use super::bytes::SLICES_A_CALL;
use super::dir::*;
use super::filesystem::*;
use super::temporary::unlinked_file;
use super::*;
use crate::mailbox::error::Error;

fn dir() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

fn os(name: &str) -> &OsStr {
    OsStr::new(name)
}

#[test]
fn a_name_that_is_taken_is_never_overwritten() {
    let (temp, dir) = dir();
    fs::write(temp.path().join("a"), "new").unwrap();
    fs::write(temp.path().join("b"), "old").unwrap();
    for publish in [Dir::rename_noreplace, Dir::publish_without_noreplace] {
        assert!(!publish(&dir, os("a"), &dir, os("b")).unwrap());
        assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"new");
        assert_eq!(fs::read(temp.path().join("b")).unwrap(), b"old");
    }
}

#[test]
fn files_and_directories_are_published_either_way() {
    let (temp, dir) = dir();
    for (n, publish) in [Dir::rename_noreplace, Dir::publish_without_noreplace].into_iter().enumerate() {
        let (file, folder) = (format!("file{n}"), format!("folder{n}"));
        fs::write(temp.path().join("f"), "mail").unwrap();
        fs::create_dir_all(temp.path().join("d/cur")).unwrap();
        assert!(publish(&dir, os("f"), &dir, os(&file)).unwrap());
        assert!(publish(&dir, os("d"), &dir, os(&folder)).unwrap());
        assert!(!dir.exists(os("f")).unwrap() && !dir.exists(os("d")).unwrap());
        assert!(dir.open_child(os(&folder)).unwrap().exists(os("cur")).unwrap());
        // Not even an empty directory is replaced.
        fs::create_dir(temp.path().join("d")).unwrap();
        fs::create_dir_all(temp.path().join("empty")).unwrap();
        assert!(!publish(&dir, os("d"), &dir, os("empty")).unwrap());
        fs::remove_dir(temp.path().join("d")).unwrap();
    }
}

#[test]
fn an_error_names_the_whole_path() {
    let (temp, dir) = dir();
    let error = dir.unlink(os("absent")).unwrap_err().to_string();
    assert!(error.starts_with(&temp.path().join("absent").display().to_string()), "{error}");
    dir.create_dir(os("twice"), 0o700).unwrap();
    assert!(dir.create_dir(os("twice"), 0o700).is_err());
    dir.create_file(os("once"), 0o600).unwrap();
    let Err(Error::Io { source, .. }) = dir.create_file(os("once"), 0o600) else { panic!() };
    assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_tree_is_removed_and_what_it_links_to_is_not() {
    let (temp, dir) = dir();
    let (tree, kept) = (temp.path().join("tree"), temp.path().join("kept"));
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/file"), "").unwrap();
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("mail"), "").unwrap();
    symlink(&kept, tree.join("a/link")).unwrap();
    symlink(&kept, temp.path().join("link")).unwrap();
    dir.remove_tree(os("tree")).unwrap();
    dir.remove_tree(os("link")).unwrap();
    dir.remove_tree(os("absent")).unwrap();
    assert_eq!(dir.names().unwrap(), [os("kept")]);
    assert!(kept.join("mail").exists());
}

#[test]
fn more_slices_than_one_call_takes_are_written_in_order() {
    let data: Vec<u8> = (0..5000u32).flat_map(|n| n.to_le_bytes()).collect();
    let mut slices = vec![IoSlice::new(b""); 3];
    slices.extend(data.chunks(3).map(IoSlice::new));
    slices.push(IoSlice::new(b""));
    assert!(slices.len() > SLICES_A_CALL);
    let (temp, _) = dir();
    let mut file = anonymous_file(temp.path()).unwrap();
    write_vectored_all(&file, &mut slices).unwrap();
    write_vectored_all(&file, &mut [IoSlice::new(b"")]).unwrap();
    write_all(&file, b"end").unwrap();
    let mut read = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut read).unwrap();
    assert_eq!(read, [&data[..], b"end"].concat());
}

#[test]
fn a_pipe_takes_its_bytes_in_parts() {
    let (mut reader, writer) = io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        read
    });
    let data = vec![b'x'; 300_000];
    let mut slices: Vec<_> = data.chunks(7).map(IoSlice::new).collect();
    write_vectored_all(&writer, &mut slices).unwrap();
    write_all(&writer, &data).unwrap();
    drop(writer);
    assert_eq!(reading.join().unwrap().len(), 600_000);
}

#[test]
fn an_anonymous_file_leaves_nothing() {
    let (temp, dir) = dir();
    for file in [anonymous_file(temp.path()).unwrap(), unlinked_file(&dir).unwrap()] {
        write_all(&file, b"x").unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0);
        assert_eq!(dir.names().unwrap(), [""; 0]);
    }
    assert!(anonymous_file(&temp.path().join("absent")).is_err());
}

#[test]
fn a_file_has_all_its_bytes_with_its_name_either_way() {
    let (temp, dir) = dir();
    for (name, create) in
        [("a", Dir::create_with as fn(&Dir, &OsStr, u32, &[u8]) -> _), ("b", Dir::create_linked)]
    {
        drop(create(&dir, os(name), 0o640, b"bytes").unwrap());
        assert_eq!(fs::read(temp.path().join(name)).unwrap(), b"bytes");
        let Err(Error::Io { source, path, .. }) = create(&dir, os(name), 0o640, b"other") else { panic!() };
        assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(path, temp.path().join(name));
        assert_eq!(fs::read(temp.path().join(name)).unwrap(), b"bytes");
    }
    let mut names = dir.names().unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"], "no hidden name is left");
}

#[test]
fn a_file_in_memory_is_read_back() {
    let mut file = memory_file("test").unwrap();
    write_all(&file, b"x").unwrap();
    file.rewind().unwrap();
    assert_eq!(io::read_to_string(&file).unwrap(), "x");
}

#[test]
fn mtime_is_set_and_atime_is_not() {
    let (temp, dir) = dir();
    let file = dir.create_file(os("f"), 0o600).unwrap();
    set_mtime(&file, 1).unwrap();
    sync_file(&file).unwrap();
    dir.sync().unwrap();
    dir.sync_fs().unwrap();
    let meta = fs::metadata(temp.path().join("f")).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (1, 0));
    assert!(meta.atime() > 1_000_000_000);
    set_mtime(&file, -86_400).unwrap();
    assert_eq!(fs::metadata(temp.path().join("f")).unwrap().mtime(), -86_400);
}

#[test]
fn reserved_blocks_are_free_for_root_only() {
    let (_temp, dir) = dir();
    let room = dir.free_space().unwrap();
    assert!(room.bytes > 0 && room.block.is_power_of_two());
    let stat = rustix::fs::fstatvfs(&dir).unwrap();
    let (root, user) = (FreeSpace::of(&stat, true), FreeSpace::of(&stat, false));
    assert!(root.bytes >= user.bytes);
    let stat = StatVfs { f_files: 0, ..stat };
    assert_eq!(FreeSpace::of(&stat, false).inodes, None);
}
