//! Delivery of one message: safe on disk in every target, or in none of them and the reason why.
//!
//! First the message is written and flushed in all targets where nobody sees it, then it is made visible in
//! all. What fails before the last directory is flushed takes everything back.

pub mod draft;
pub mod envelope;
pub mod failure;
pub mod letter;
mod once;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use draft::Draft;
use failure::{Failure, Reason};

use crate::mailbox::durable::Dir;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::lock::{DirLock, Wanted};
use crate::mailbox::maildir::delivery::{Content, Delivery, Stamp};
use crate::mailbox::maildir::flags::Flags;
use crate::mailbox::{quoted, shown};

/// Where a message is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A Maildir, or a folder of one.
    Maildir(PathBuf),
    /// An mbox, of a variant if one was named.
    Mbox(PathBuf),
}

/// How to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Make what is missing.
    pub create: bool,
    /// The flags of the message.
    pub flags: Flags,
    /// Leave a target alone that has this message already.
    pub once: bool,
    /// The locks of an mbox, and how long to wait for any lock.
    pub locks: &'a Wanted,
    /// Now, since 1970.
    pub now: Duration,
    /// Set by a signal.
    pub interrupted: &'a AtomicBool,
}

/// A target that has the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The file it is in.
    pub path: PathBuf,
    /// Whether it was there before.
    pub already: bool,
}

impl Target {
    /// The path that was named.
    pub fn path(&self) -> &Path {
        match self {
            Target::Maildir(path) | Target::Mbox(path) => path,
        }
    }

    /// What lies at a path that was named without a format. A path that ends in `/` is a Maildir, and so
    /// is a directory; a file is an mbox. Nothing is guessed of what is not there.
    pub fn at(path: PathBuf) -> Result<Target, Failure> {
        let is_slashed = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() || is_slashed => Ok(Target::Maildir(path)),
            Ok(_) => Ok(Target::Mbox(path)),
            Err(_) if is_slashed => Ok(Target::Maildir(path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let text = format!(
                    "{}: there is no such mailbox; to have one made say --create, and maildir:{} or mbox:{}",
                    shown(&path),
                    quoted(&path),
                    quoted(&path)
                );
                Err(Failure::new(Reason::Configuration, text))
            }
            Err(e) => Err(Error::io("look at", &path)(e).into()),
        }
    }
}

/// Delivers a message into all targets.
///
/// # Errors
/// [`Failure`]: then no target has it, but for one whose taking back failed, too.
pub fn deliver(draft: &Draft<'_>, targets: &[Target], rules: &Rules<'_>) -> Result<Vec<Delivered>, Failure> {
    // In one order, so that two deliverers of the same mailboxes do not wait for each other.
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&n| targets[n].path());
    if let Some(twice) = order.windows(2).find(|pair| targets[pair[0]].path() == targets[pair[1]].path()) {
        let text =
            format!("{}: named twice; the message would be there twice", shown(targets[twice[0]].path()));
        return Err(Failure::new(Reason::Configuration, text));
    }
    let mut pending = Vec::new();
    for &n in &order {
        pending.push((n, Pending::prepare(draft, &targets[n], rules)?));
    }
    if rules.interrupted.load(Ordering::Relaxed) {
        return Err(Error::Interrupted.into());
    }
    for (_, one) in &mut pending {
        one.publish()?;
    }
    let mut flushed = Vec::new();
    for (_, one) in &mut pending {
        one.flush()?;
    }
    for (n, one) in pending {
        flushed.push((n, one.keep()));
    }
    flushed.sort_by_key(|(n, _)| *n);
    Ok(flushed.into_iter().map(|(_, delivered)| delivered).collect())
}

/// A message on its way into one target. Dropped, it takes back what it did.
enum Pending {
    Already(PathBuf),
    Maildir { delivery: Delivery, _lock: Option<DirLock> },
}

impl Pending {
    fn prepare(draft: &Draft<'_>, target: &Target, rules: &Rules<'_>) -> Result<Pending, Failure> {
        match target {
            Target::Maildir(path) => Pending::into_maildir(draft, path, rules),
            Target::Mbox(path) => {
                Err(Failure::new(Reason::Configuration, format!("{}: is an mbox", shown(path))))
            }
        }
    }

    fn into_maildir(draft: &Draft<'_>, path: &Path, rules: &Rules<'_>) -> Result<Pending, Failure> {
        let maildir = Dir::open(path)?;
        let (lock, already) = match rules.once {
            true => once::look(&maildir, draft, rules)?,
            false => (None, None),
        };
        if let Some(path) = already {
            return Ok(Pending::Already(path));
        }
        let stamp = Stamp { now: rules.now, pid: rules.locks.pid, host: &rules.locks.host };
        let content = Content { size: draft.size(), wire_size: draft.wire_size(), flags: rules.flags };
        let delivery = Delivery::write(&maildir, stamp, content, |pieces| {
            draft.each_chunk(&mut |bytes| match rules.interrupted.load(Ordering::Relaxed) {
                true => Err(Error::Interrupted),
                false => pieces(bytes),
            })
        })?;
        Ok(Pending::Maildir { delivery, _lock: lock })
    }

    fn publish(&mut self) -> Result<(), Failure> {
        match self {
            Pending::Already(_) => Ok(()),
            Pending::Maildir { delivery, .. } => Ok(delivery.publish()?),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Pending::Already(_) => Ok(()),
            Pending::Maildir { delivery, .. } => Ok(delivery.flush()?),
        }
    }

    fn keep(self) -> Delivered {
        match self {
            Pending::Already(path) => Delivered { path, already: true },
            Pending::Maildir { delivery, .. } => Delivered { path: delivery.keep(), already: false },
        }
    }
}
