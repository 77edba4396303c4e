use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::spool::CHUNK;
use super::*;
use rustix::fs::FileType;

use crate::mailbox::context::{Cancel, LockMethod};
use crate::mailbox::finding::Code;
use crate::mailbox::fs::durable;

const MAIL: &[u8] = b"From a@b Thu Jan  1 00:00:01 2004\nSubject: x\n\nbody\n";

fn spooling(dir: &Path) -> SpoolOptions<'_> {
    SpoolOptions { dir, limit: None, cancel: Cancel::never(), progress: &|_| () }
}

fn no_lock() -> LockOptions {
    LockOptions { methods: vec![], timeout: Duration::ZERO, pid: 1, host: "here".into() }
}

fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("inbox");
    fs::write(&path, content).unwrap();
    (temp, path)
}

fn open(path: &Path) -> Result<Source> {
    Source::open(path, &no_lock(), &spooling(path.parent().unwrap()))
}

fn compress(format: Compression, data: &[u8]) -> Vec<u8> {
    match format {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            // As the zstd program does; the library's frames have none unless asked.
            encoder.include_checksum(true).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

const FORMATS: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz];

/// Several chunks of mail that do not compress to nothing.
fn much_mail() -> Vec<u8> {
    let mut mail = Vec::new();
    for n in 0..60_000u32 {
        mail.extend_from_slice(MAIL);
        mail.extend_from_slice(n.wrapping_mul(2_654_435_761).to_string().as_bytes());
        mail.push(b'\n');
    }
    mail
}

#[test]
fn a_plain_file_is_mapped_as_it_is() {
    let (_temp, path) = file(MAIL);
    let mut source = open(&path).unwrap();
    assert_eq!(source.raw(), MAIL);
    assert_eq!(source.text().as_ptr(), source.raw().as_ptr());
    assert_eq!((source.compression(), source.is_cr_only()), (None, false));
    assert!(source.mtime().unwrap() > 1_000_000_000);
    assert_eq!(source.take_findings(), []);
    assert_eq!(source.path(), path);
    source.release(0..usize::MAX);
    source.release(10..20);
    assert_eq!(source.raw(), MAIL);
    source.check_unchanged().unwrap();
}

#[test]
fn an_empty_file_is_an_empty_mailbox() {
    let (_temp, path) = file(b"");
    let source = open(&path).unwrap();
    assert!(source.raw().is_empty() && source.text().is_empty() && !source.is_cr_only());
    source.release(0..1);
    source.check_unchanged().unwrap();
}

#[test]
fn all_members_of_compressed_files_are_decompressed() {
    let mail = much_mail();
    let (one, two) = mail.split_at(1_500_000);
    for format in FORMATS {
        let packed = [compress(format, one), compress(format, two)].concat();
        let (_temp, path) = file(&packed);
        let source = open(&path).unwrap();
        assert!(source.raw() == mail, "{format:?}");
        assert_eq!(source.compression(), Some(format));
        source.check_unchanged().unwrap();
        let (_temp, path) = file(&compress(format, b""));
        assert_eq!(open(&path).unwrap().raw(), b"", "{format:?}");
    }
}

#[test]
fn what_is_no_mailbox_inside_a_compressed_file_is_refused_before_all_is_unpacked() {
    let archive = [&b"PK\x03\x04"[..], &vec![b'x'; 4 << 20]].concat();
    for (content, want) in
        [(compress(Compression::Gzip, MAIL), "it is compressed twice"), (archive, "it is a zip archive")]
    {
        let (temp, path) = file(&compress(Compression::Xz, &content));
        let written = AtomicU64::new(0);
        let progress = |bytes| written.store(bytes, Ordering::Relaxed);
        let spooling =
            SpoolOptions { dir: temp.path(), limit: None, cancel: Cancel::never(), progress: &progress };
        let error = Source::open(&path, &LockOptions::none(), &spooling).unwrap_err();
        assert!(matches!(&error, Error::NotAMailbox { reason, .. } if reason == want), "{error}");
        assert_eq!(written.into_inner(), 0);
    }
}

#[test]
fn damaged_data_is_an_error_and_names_the_format() {
    let mail = much_mail();
    for format in FORMATS {
        let packed = compress(format, &mail);
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 0x55;
        let trailing = [&packed[..], b"From here on it is no longer packed"].concat();
        for damaged in [&packed[..packed.len() / 2], &packed[..packed.len() - 1], &flipped, &trailing] {
            let (_temp, path) = file(damaged);
            match open(&path) {
                Err(Error::Compressed { format: name, .. }) => assert_eq!(name, format.name()),
                other => panic!("{format:?}, {} of {}: {other:?}", damaged.len(), packed.len()),
            }
        }
    }
}

#[test]
fn text_that_begins_like_a_magic_number_is_text() {
    let (_temp, path) = file(b"BZh9 is how bzip2 begins\n");
    assert_eq!(open(&path).unwrap().compression(), None);
}

#[test]
fn a_spool_keeps_to_its_limit() {
    let mail = much_mail();
    let (temp, path) = file(&compress(Compression::Gzip, &mail));
    let small = SpoolOptions { limit: Some(2_000_000), ..spooling(temp.path()) };
    match Source::open(&path, &no_lock(), &small) {
        Err(Error::InsufficientSpace { path, need, free: 2_000_000, hint, .. }) => {
            assert_eq!(hint, "raise --spool-limit");
            assert!(need > 2_000_000 && need < 2_000_000 + 2 * CHUNK as u64);
            assert_eq!(path, temp.path());
        }
        other => panic!("{other:?}"),
    }
    let spooled = AtomicU64::new(0);
    let progress = |bytes| spooled.store(bytes, Ordering::Relaxed);
    let enough = SpoolOptions { limit: Some(mail.len() as u64), progress: &progress, ..small };
    Source::open(&path, &no_lock(), &enough).unwrap();
    assert_eq!(spooled.into_inner(), mail.len() as u64);
    // The translation of what was spooled counts too.
    let packed = compress(Compression::Gzip, b"From a\r\r");
    let (temp, path) = file(&packed);
    for (limit, fits) in [(15, false), (16, true)] {
        let tight = SpoolOptions { limit: Some(limit), ..spooling(temp.path()) };
        assert_eq!(Source::open(&path, &no_lock(), &tight).is_ok(), fits);
    }
}

#[test]
fn only_a_regular_file_is_opened() {
    let temp = tempfile::tempdir().unwrap();
    let fifo = temp.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let socket = temp.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, what) in [
        (&*fifo, "FIFO"),
        (temp.path(), "directory"),
        (&*socket, "socket"),
        (Path::new("/dev/zero"), "character device"),
    ] {
        let error = Source::open(path, &no_lock(), &spooling(temp.path())).unwrap_err();
        assert!(matches!(error, Error::NotAMailbox { .. }));
        assert!(error.to_string().ends_with(&format!("it is a {what}")), "{error}");
        assert!(error.hint().is_some());
    }
    let absent = open(&temp.path().join("absent")).unwrap_err();
    assert!(matches!(absent, Error::Io { action: "open", .. }), "{absent}");
}

#[test]
fn cr_lines_become_lf_in_the_text_only() {
    // More than a window, so that there is more than one.
    let raw: Vec<u8> = MAIL.iter().map(|&b| if b == b'\n' { b'\r' } else { b }).collect();
    let raw = raw.repeat(WINDOW / MAIL.len() + 10);
    let (_temp, path) = file(&raw);
    let source = open(&path).unwrap();
    assert!(source.is_cr_only());
    assert!(source.raw() == raw);
    assert!(source.text() == MAIL.repeat(WINDOW / MAIL.len() + 10));
    source.release(0..raw.len());
    assert!(source.text() == MAIL.repeat(WINDOW / MAIL.len() + 10));
}

#[test]
fn one_lf_makes_it_a_file_of_lf_lines() {
    for content in [&b"a\rb\rc\n"[..], b"a\r\nb\r\n", b"no line end at all"] {
        let (_temp, path) = file(content);
        let source = open(&path).unwrap();
        assert!(!source.is_cr_only());
        assert_eq!(source.text(), content);
    }
}

#[test]
fn every_change_of_the_file_is_noticed() {
    fn how(change: impl FnOnce(&Path), content: &[u8]) -> String {
        let (_temp, path) = file(content);
        let source = open(&path).unwrap();
        change(&path);
        match source.check_unchanged() {
            Err(Error::Changed { how, .. }) => how,
            other => panic!("{other:?}"),
        }
    }
    let grow = |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap();
    let cut = |path: &Path| File::options().write(true).open(path).unwrap().set_len(1).unwrap();
    let touch = |path: &Path| {
        durable::set_mtime(File::options().write(true).open(path).unwrap(), 1).unwrap();
    };
    let replace = |path: &Path| {
        fs::copy(path, path.with_extension("new")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let size = MAIL.len();
    assert_eq!(how(grow, MAIL), format!("it grew from {size} to {} bytes", size + 1));
    assert_eq!(how(cut, MAIL), format!("it shrank from {size} to 1 bytes"));
    assert!(how(touch, MAIL).starts_with("it was written to"));
    assert_eq!(how(replace, MAIL), "another file was put in its place");
    assert_eq!(how(|path| fs::remove_file(path).unwrap(), MAIL), "it was removed or renamed");
    assert!(how(grow, &compress(Compression::Zstd, MAIL)).starts_with("it grew"));
}

#[test]
fn a_live_source_may_grow_and_nothing_else() {
    use std::os::unix::fs::FileExt;
    let live = |change: &dyn Fn(&Path)| {
        let (temp, path) = file(MAIL);
        let lock = LockOptions { methods: vec![LockMethod::Dotlock, LockMethod::Fcntl], ..no_lock() };
        let source = Source::open_live(&path, &lock, &spooling(temp.path())).unwrap();
        assert!(!temp.path().join("inbox.lock").exists(), "the lock is given back");
        change(&path);
        (source.check_unchanged().map_err(|e| e.to_string()), source.grown_by(), source.raw().len())
    };
    let append = |path: &Path| File::options().append(true).open(path).unwrap().write_all(b"xyz").unwrap();
    let write_at =
        |path: &Path, at| File::options().write(true).open(path).unwrap().write_all_at(b"!", at).unwrap();
    let (done, grown, seen) = live(&|path| (0..2).for_each(|_| append(path)));
    assert_eq!((done, grown.unwrap(), seen), (Ok(()), 6, MAIL.len()));
    let (done, grown, _) = live(&|path| durable::set_mtime(File::open(path).unwrap(), 1).unwrap());
    assert_eq!((done, grown.unwrap()), (Ok(()), 0));
    let rewrite = |path: &Path| {
        append(path);
        write_at(path, MAIL.len() as u64 - 1);
    };
    let replace = |path: &Path| {
        fs::copy(path, path.with_extension("new")).unwrap();
        append(&path.with_extension("new"));
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let cut = |path: &Path| File::options().write(true).open(path).unwrap().set_len(1).unwrap();
    let refused = |change: &dyn Fn(&Path), how: &str| {
        let error = live(change).0.unwrap_err();
        assert!(error.contains(how), "{error}, not {how}");
    };
    refused(&rewrite, "what was read of it is not what it says now");
    refused(&|path| write_at(path, 0), "what was read of it is not what it says now");
    refused(&replace, "another file was put in its place");
    refused(&|path| fs::remove_file(path).unwrap(), "it was removed or renamed");
    refused(&cut, "it shrank from");
}

#[test]
fn the_locks_are_held_as_long_as_the_source() {
    let (temp, path) = file(MAIL);
    let lock = LockOptions { methods: vec![LockMethod::Dotlock, LockMethod::Fcntl], ..no_lock() };
    let source = Source::open(&path, &lock, &spooling(temp.path())).unwrap();
    assert!(temp.path().join("inbox.lock").exists());
    let again = Source::open(&path, &lock, &spooling(temp.path()));
    assert!(matches!(again, Err(Error::Locked { .. })));
    source.check_unchanged().unwrap();
    drop(source);
    assert!(!temp.path().join("inbox.lock").exists());
    let unlockable = temp.path().join("n".repeat(255));
    fs::write(&unlockable, MAIL).unwrap();
    let mut source = Source::open(&unlockable, &lock, &spooling(temp.path())).unwrap();
    assert_eq!(source.take_findings()[0].code, Code::LockUnwritable);
    assert_eq!(source.take_findings(), []);
}

#[test]
fn standard_input_is_spooled_compressed_or_not() {
    let temp = tempfile::tempdir().unwrap();
    for (content, compression) in [
        (MAIL.to_vec(), None),
        (compress(Compression::Zstd, MAIL), Some(Compression::Zstd)),
        (compress(Compression::Bzip2, MAIL), Some(Compression::Bzip2)),
    ] {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let writing = std::thread::spawn(move || {
            for portion in content.chunks(3) {
                writer.write_all(portion).unwrap();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let source = Source::from_reader(Path::new("-"), &mut reader, &spooling(temp.path())).unwrap();
        writing.join().unwrap();
        assert_eq!((source.raw(), source.compression()), (MAIL, compression));
        assert_eq!(source.mtime(), None);
        source.check_unchanged().unwrap();
    }
    let mut redirected = File::open("/dev/null").unwrap();
    let source = Source::from_reader(Path::new("-"), &mut redirected, &spooling(temp.path())).unwrap();
    assert_eq!(source.raw(), b"");
}

#[test]
fn an_interruption_is_noticed_while_nothing_comes_in() {
    let temp = tempfile::tempdir().unwrap();
    for sent in [&b""[..], MAIL, &compress(Compression::Gzip, MAIL)[..12]] {
        let (mut reader, mut writer) = io::pipe().unwrap();
        writer.write_all(sent).unwrap();
        let cancel = Cancel::pending();
        let spooling = SpoolOptions { cancel: &cancel, ..spooling(temp.path()) };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                cancel.request();
            });
            let result = Source::from_reader(Path::new("-"), &mut reader, &spooling);
            assert!(matches!(result, Err(Error::Interrupted)));
        });
    }
}
