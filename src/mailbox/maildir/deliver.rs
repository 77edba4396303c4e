//! One message into a Maildir, as djb's maildir(5) has it, and safe when it is said to be: a file in tmp/,
//! flushed; a link to it in new/, or cur/ where it has flags; that directory flushed; the name in tmp/
//! removed.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable;
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::maildir::keywords::KeywordSet;
use crate::mailbox::maildir::name;
use crate::mailbox::message::flags::Flags;

/// The mode of a delivered message, subject to the umask.
const MODE: u32 = 0o666;

/// Who delivers, and when: what makes a name that no other delivery has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    /// Since 1970.
    pub now: Duration,
    /// Our process.
    pub pid: u32,
    /// Our machine.
    pub host: &'a str,
}

/// What lies in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageMeta {
    /// In bytes.
    pub size: u64,
    /// With every line end counted as CRLF.
    pub wire_size: u64,
    /// Its flags: with any it goes to cur/.
    pub flags: Flags,
}

/// A message that lies in tmp/, whole and on stable storage. Dropped before [`Delivery::publish`] it goes
/// away; so does one that was published and not kept.
#[derive(Debug)]
pub(crate) struct Delivery {
    tmp: Dir,
    place: Dir,
    waiting: OsString,
    name: OsString,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Linked,
    Kept,
}

/// Takes the bytes of a message, piece by piece.
pub(crate) type Pieces<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

impl Delivery {
    /// Writes a message into tmp/ and flushes it. `each` gives its bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; what `each` says.
    pub(crate) fn write(
        maildir: &Dir,
        stamp: Stamp<'_>,
        content: MessageMeta,
        each: impl FnOnce(&mut Pieces<'_>) -> Result<()>,
    ) -> Result<Delivery> {
        let tmp = maildir.open_child("tmp".as_ref())?;
        let place = maildir.open_child(if content.flags.is_empty() { "new" } else { "cur" }.as_ref())?;
        let (file, waiting) = loop {
            let name = name::bare(&base(stamp, content));
            match tmp.create_file(&name, MODE) {
                Ok(file) => break (file, name),
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let name = match content.flags.is_empty() {
            true => waiting.clone(),
            false => name::with_info(waiting.as_encoded_bytes(), b':', content.flags, KeywordSet::default()),
        };
        let delivery = Delivery { tmp, place, waiting, name, state: State::Waiting };
        let failed = |action| Error::io(action, delivery.tmp.path().join(&delivery.waiting));
        each(&mut |bytes| durable::write_all(&file, bytes).map_err(failed("write")))?;
        durable::sync_file(&file).map_err(failed("flush"))?;
        // NFS and others say only now what could not be written.
        durable::close(file).map_err(failed("close"))?;
        Ok(delivery)
    }

    /// Makes it visible. It is not safe before [`Delivery::flush`].
    pub(crate) fn publish(&mut self) -> Result<()> {
        if !self.tmp.link(&self.waiting, &self.place, &self.name)? {
            let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(Error::io("link", self.path())(taken));
        }
        self.state = State::Linked;
        Ok(())
    }

    /// Makes it invisible again.
    pub(crate) fn rollback(&mut self) -> Result<()> {
        if self.state == State::Linked {
            self.place.unlink_if_exists(&self.name)?;
            self.state = State::Waiting;
        }
        Ok(())
    }

    /// Brings its name to stable storage.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.place.sync()
    }

    /// From here on it stays. Returns its path.
    pub(crate) fn commit(&mut self) -> PathBuf {
        self.state = State::Kept;
        self.path()
    }

    /// Its final path.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join(&self.name)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // What led here has been told, and of a message that is safe a second name in tmp/ is no harm.
        let _ = self.rollback();
        let _ = self.tmp.unlink_if_exists(&self.waiting);
    }
}

/// A name up to the info: time, microsecond, process, 64 random bits, host, sizes. The random ones are for
/// processes of the same number in several containers over one Maildir. (The converter's names look
/// otherwise: what lies under one of those in tmp/ it takes for its own.)
fn base(stamp: Stamp<'_>, content: MessageMeta) -> Vec<u8> {
    let Stamp { now, pid, host } = stamp;
    // The keys of a RandomState are the standard library's only public randomness.
    let random = RandomState::new().build_hasher().finish();
    let mut name = format!("{}.M{:06}P{pid}R{random:016x}.", now.as_secs(), now.subsec_micros()).into_bytes();
    name::push_host(host, &mut name);
    name::push_sizes(content.size, content.wire_size, &mut name);
    name
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::mailbox::maildir::deliver::*;

    fn maildir() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        ["tmp", "new", "cur"].iter().for_each(|name| fs::create_dir(temp.path().join(name)).unwrap());
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    fn write(dir: &Dir, flags: Flags) -> Delivery {
        let stamp = Stamp { now: Duration::from_micros(981_173_106_000_042), pid: 7, host: "a/b" };
        let content = MessageMeta { size: 3, wire_size: 4, flags };
        Delivery::write(dir, stamp, content, |pieces| pieces(b"ab").and_then(|()| pieces(b"\n"))).unwrap()
    }

    fn files(dir: &Dir, place: &str) -> usize {
        dir.open_child(place.as_ref()).unwrap().names().unwrap().len()
    }

    #[test]
    fn a_message_is_seen_whole_or_not_at_all() {
        let (_temp, dir) = maildir();
        let mut delivery = write(&dir, Flags::default());
        assert_eq!((files(&dir, "tmp"), files(&dir, "new")), (1, 0));
        delivery.publish().unwrap();
        delivery.flush().unwrap();
        let path = delivery.commit();
        drop(delivery);
        assert_eq!((files(&dir, "tmp"), files(&dir, "new")), (0, 1));
        assert_eq!(fs::read(&path).unwrap(), b"ab\n");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("981173106.M000042P7R") && name.ends_with(".a\\057b,S=3,W=4"), "{name}");
        assert!(
            name::parse(name.as_bytes()).unique().is_none(),
            "the converter must not take it for its own"
        );
    }

    #[test]
    fn what_is_not_kept_leaves_nothing() {
        let (_temp, dir) = maildir();
        drop(write(&dir, Flags::default()));
        let mut linked = write(&dir, Flags::default());
        linked.publish().unwrap();
        drop(linked);
        assert_eq!((files(&dir, "tmp"), files(&dir, "new")), (0, 0));
    }

    #[test]
    fn a_message_with_flags_goes_to_cur_with_its_info() {
        let (_temp, dir) = maildir();
        let mut delivery = write(&dir, Flags::SEEN | Flags::FLAGGED);
        delivery.publish().unwrap();
        delivery.flush().unwrap();
        let path = delivery.commit();
        assert!(path.to_str().unwrap().ends_with(",S=3,W=4:2,FS"));
        assert_eq!((files(&dir, "new"), files(&dir, "cur")), (0, 1));
    }
}
