//! Delivers one message to a Maildir as djb's maildir(5) describes. The message is durable before success is
//! reported. It is written to tmp/ and flushed. Then it is linked into new/, or into cur/ if it has flags.
//! That directory is flushed before the name in tmp/ is removed.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use super::KeywordSet;
use crate::mailbox::fs::{Dir, durable};
use crate::mailbox::maildir::name;
use crate::mailbox::message::Flags;
use crate::mailbox::{Error, Result};

/// Mode of a delivered message, subject to the umask.
const MODE: u32 = 0o666;

/// Origin and time of a delivery, which make its name unique.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    /// Time since 1970.
    pub now: Duration,
    pub pid: u32,
    pub host: &'a str,
}

/// Sizes and flags of a message to deliver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageMeta {
    /// Size in bytes.
    pub size: u64,
    /// Size in bytes with every line end counted as CRLF.
    pub wire_size: u64,
    /// Flags; a message with any flag goes to cur/.
    pub flags: Flags,
}

/// A complete message in tmp/, on stable storage. Dropping it removes the message unless [`Delivery::commit`]
/// was called.
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

/// Callback that takes the bytes of a message piece by piece.
pub(crate) type Pieces<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

impl Delivery {
    /// Writes a message into tmp/ and flushes it. `each` passes the bytes to its argument.
    ///
    /// # Errors
    /// [`Error::Io`]; any error from `each`.
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
        // NFS and other file systems report some write errors only on close.
        durable::close(file).map_err(failed("close"))?;
        Ok(delivery)
    }

    /// Links the message into new/ or cur/, where readers see it. It is not durable before
    /// [`Delivery::flush`].
    pub(crate) fn publish(&mut self) -> Result<()> {
        if !self.tmp.link(&self.waiting, &self.place, &self.name)? {
            let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(Error::io("link", self.path())(taken));
        }
        self.state = State::Linked;
        Ok(())
    }

    /// Removes the link that [`Delivery::publish`] added.
    pub(crate) fn rollback(&mut self) -> Result<()> {
        if self.state == State::Linked {
            self.place.unlink_if_exists(&self.name)?;
            self.state = State::Waiting;
        }
        Ok(())
    }

    /// Flushes the directory of the published name to stable storage.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.place.sync()
    }

    /// Keeps the message when the delivery is dropped. Returns its path.
    pub(crate) fn commit(&mut self) -> PathBuf {
        self.state = State::Kept;
        self.path()
    }

    /// Returns the path of the message after publishing.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join(&self.name)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // The caller already has the error that led here. After a commit, a second name in tmp/ does no harm.
        let _ = self.rollback();
        let _ = self.tmp.unlink_if_exists(&self.waiting);
    }
}

/// Returns a name up to the info: time, microsecond, process, 64 random bits, host, sizes. The random bits
/// separate equal process IDs in containers that share a Maildir. The format differs from the converter's
/// names, because the converter treats such files in tmp/ as its own.
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
