//! Delivers messages to Maildirs as djb's maildir(5) describes. A message is durable before success is
//! reported. It is written to tmp/ and flushed. Then it is linked into new/, or into cur/ if it has flags.
//! That directory is flushed before the name in tmp/ is removed. Deliveries that are made together share their flushes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::OwnedFd;
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

/// A complete message in tmp/. Dropping it removes the message unless [`Delivery::commit`] was called.
#[derive(Debug)]
pub(crate) struct Delivery {
    tmp: Dir,
    place: Dir,
    /// The message's file, until it is flushed.
    file: Option<OwnedFd>,
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
    /// Writes a message into tmp/. `each` passes the bytes to its argument. The message is not durable before
    /// [`flush_messages`].
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
        let mut delivery = Delivery { tmp, place, file: None, waiting, name, state: State::Waiting };
        each(&mut |bytes| durable::write_all(&file, bytes).map_err(delivery.failed("write")))?;
        delivery.file = Some(file);
        Ok(delivery)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(action, self.tmp.path().join(&self.waiting))
    }

    fn flush_message(&mut self) -> Result<()> {
        if let Some(file) = &self.file {
            durable::sync_file(file).map_err(self.failed("flush"))?;
        }
        self.close_message()
    }

    /// NFS and other file systems report some write errors only on close.
    fn close_message(&mut self) -> Result<()> {
        self.file.take().map_or(Ok(()), durable::close).map_err(self.failed("close"))
    }

    /// Links the message into new/ or cur/, where readers see it. It must have been flushed, and is not durable before
    /// [`flush_names`].
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

/// Flushes messages to stable storage, in the order in which they were written. One flush is enough for several messages
/// on one file system.
///
/// # Errors
/// [`Error::Io`]; any of the messages may not be on stable storage.
pub(crate) fn flush_messages<'a>(deliveries: impl Iterator<Item = &'a mut Delivery>) -> Result<()> {
    for mut group in by_file_system(deliveries)? {
        match &mut group[..] {
            // Its directory was opened before any of the messages was written, so that it gets every write error.
            [first, _, ..] if first.tmp.syncfs_reports_errors() => {
                group.iter_mut().try_for_each(|one| one.close_message())?;
                group[0].tmp.sync_fs()?;
            }
            _ => group.iter_mut().try_for_each(|one| one.flush_message())?,
        }
    }
    Ok(())
}

/// Flushes the directories of published names to stable storage.
///
/// # Errors
/// As [`flush_messages`].
pub(crate) fn flush_names<'a>(deliveries: impl Iterator<Item = &'a mut Delivery>) -> Result<()> {
    for group in by_file_system(deliveries)? {
        let mut places = BTreeMap::new();
        for one in &group {
            let id = if group.len() == 1 { None } else { Some(one.place.file_id()?) };
            places.insert(id, &one.place);
        }
        match group[0].place.syncfs_reports_errors() {
            true if places.len() > 1 => group[0].place.sync_fs()?,
            _ => places.values().try_for_each(|place| place.sync())?,
        }
    }
    Ok(())
}

fn by_file_system<'a>(
    deliveries: impl Iterator<Item = &'a mut Delivery>,
) -> Result<Vec<Vec<&'a mut Delivery>>> {
    let all: Vec<_> = deliveries.collect();
    if all.len() < 2 {
        return Ok(if all.is_empty() { Vec::new() } else { vec![all] });
    }
    let mut groups = BTreeMap::new();
    for one in all {
        groups.entry(one.place.device()?).or_insert_with(Vec::new).push(one);
    }
    Ok(groups.into_values().collect())
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

    fn publish(deliveries: &mut [&mut Delivery]) {
        flush_messages(deliveries.iter_mut().map(|one| &mut **one)).unwrap();
        deliveries.iter_mut().for_each(|one| one.publish().unwrap());
        flush_names(deliveries.iter_mut().map(|one| &mut **one)).unwrap();
    }

    fn files(dir: &Dir, place: &str) -> usize {
        dir.open_child(place.as_ref()).unwrap().names().unwrap().len()
    }

    #[test]
    fn a_message_is_seen_whole_or_not_at_all() {
        let (_temp, dir) = maildir();
        let mut delivery = write(&dir, Flags::default());
        assert_eq!((files(&dir, "tmp"), files(&dir, "new")), (1, 0));
        publish(&mut [&mut delivery]);
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
    fn several_messages_are_published_together() {
        let ((_a, first), (_b, second)) = (maildir(), maildir());
        let mut all: Vec<Delivery> =
            [&first, &second, &first].map(|dir| write(dir, Flags::default())).into_iter().collect();
        publish(&mut all.iter_mut().collect::<Vec<_>>());
        all.iter_mut().for_each(|one| drop(one.commit()));
        drop(all);
        assert_eq!((files(&first, "new"), files(&second, "new")), (2, 1));
        assert_eq!((files(&first, "tmp"), files(&second, "tmp")), (0, 0));
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
        publish(&mut [&mut delivery]);
        let path = delivery.commit();
        assert!(path.to_str().unwrap().ends_with(",S=3,W=4:2,FS"));
        assert_eq!((files(&dir, "new"), files(&dir, "cur")), (0, 1));
    }
}
