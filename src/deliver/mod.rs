//! Delivery of one message: safe on disk in every target, or in none of them and the reason why.
//!
//! First the message is written and flushed in all targets where nobody sees it, then it is made visible in
//! all. What fails before the last directory is flushed takes everything back.

mod dedupe;
pub mod dot_qmail;
pub mod lmtp;
pub mod prepared_message;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::deliver::prepared_message::PreparedMessage;

use crate::mailbox::context::Cancel;
use crate::mailbox::context::LockOptions;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Finding;
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::lock::DirLock;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::create;
use crate::mailbox::maildir::deliver::{Delivery, MessageMeta, Stamp};
use crate::mailbox::maildir::detect;
use crate::mailbox::maildir::quota::{Limits, OverQuota, Quota};
use crate::mailbox::mbox::append::MboxAppender;
use crate::mailbox::mbox::status::Status;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::text::{display_path, shell_quote};
use crate::transport::failure::{Failure, FailureReason};

/// Where a message is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryTarget {
    /// A Maildir, or a folder of one.
    Maildir(PathBuf),
    /// A folder `.A.B` of the Maildir that it lies in; that one is made, too, where it is missing.
    Folder(PathBuf),
    /// An mbox, and the variant to write, if one was named.
    Mbox(PathBuf, Option<Variant>),
}

/// How to deliver.
#[derive(Debug, Clone, Copy)]
pub struct DeliverOptions<'a> {
    /// Make what is missing.
    pub create: bool,
    /// The flags of the message.
    pub flags: Flags,
    /// What a Maildir may hold; None: as much as its own maildirsize says.
    pub quota: Option<Limits>,
    /// Whether to try again later where it holds that already.
    pub quota_is_temporary: bool,
    /// Leave a target alone that has this message already.
    pub dedupe: bool,
    /// The locks of an mbox, and how long to wait for any lock.
    pub locks: &'a LockOptions,
    /// Now, since 1970.
    pub now: Duration,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

/// A target that has the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveredMessage {
    /// The file it is in.
    pub path: PathBuf,
    /// Whether it was there before.
    pub already_present: bool,
    /// Locks that could not be had.
    pub findings: Vec<Finding>,
}

impl DeliveryTarget {
    /// The path that was named.
    pub fn path(&self) -> &Path {
        match self {
            DeliveryTarget::Maildir(path) | DeliveryTarget::Folder(path) | DeliveryTarget::Mbox(path, _) => {
                path
            }
        }
    }

    /// What lies at a path that was named without a format. A path that ends in `/` is a Maildir, and so
    /// is a directory; a file is an mbox. Nothing is guessed of what is not there.
    pub fn detect(path: PathBuf) -> Result<DeliveryTarget, Failure> {
        let is_slashed = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() || is_slashed => Ok(DeliveryTarget::Maildir(path)),
            Ok(_) => Ok(DeliveryTarget::Mbox(path, None)),
            Err(_) if is_slashed => Ok(DeliveryTarget::Maildir(path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let text = format!(
                    "{}: there is no such mailbox; to have one made say --create, and maildir:{} or mbox:{}",
                    display_path(&path),
                    shell_quote(&path),
                    shell_quote(&path)
                );
                Err(Failure::new(FailureReason::Configuration, text))
            }
            Err(e) => Err(Error::io("look at", &path)(e).into()),
        }
    }
}

/// Delivers a message into all targets.
///
/// # Errors
/// [`Failure`]: then no target has it, but for one whose taking back failed, too.
pub fn deliver(
    draft: &PreparedMessage<'_>,
    targets: &[DeliveryTarget],
    rules: &DeliverOptions<'_>,
) -> Result<Vec<DeliveredMessage>, Failure> {
    // In one order, so that two deliverers of the same mailboxes do not wait for each other.
    let identities: Vec<_> = targets.iter().map(|target| identity(target.path())).collect();
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&n| &identities[n]);
    if let Some(twice) = order.windows(2).find(|pair| identities[pair[0]] == identities[pair[1]]) {
        let path = display_path(targets[twice[1]].path());
        let text = format!("{path}: named twice; the message would be there twice");
        return Err(Failure::new(FailureReason::Configuration, text));
    }
    let mut pending = Vec::new();
    for &n in &order {
        pending.push((n, Pending::prepare(draft, &targets[n], rules)?));
    }
    if rules.cancel.is_requested() {
        return Err(Error::Interrupted.into());
    }
    for (_, one) in &mut pending {
        one.publish(rules)?;
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

/// Which mailbox a path is, by whatever name it goes: device and inode; of one that is missing those of its
/// directory, and its name.
fn identity(path: &Path) -> (Option<(u64, u64)>, PathBuf) {
    let of = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let name = || path.file_name().map(PathBuf::from).unwrap_or_default();
    match (of(path), of(parent_of(path))) {
        (Some(itself), _) => (Some(itself), PathBuf::new()),
        (None, Some(parent)) => (Some(parent), name()),
        (None, None) => (None, std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
    }
}

/// What [`deliver`] would do, as far as it can be known without writing anything.
///
/// # Errors
/// Those of them that would stop it: what is missing, or over quota.
pub fn dry_run(
    draft: &PreparedMessage<'_>,
    targets: &[DeliveryTarget],
    rules: &DeliverOptions<'_>,
) -> Result<Vec<DeliveredMessage>, Failure> {
    let look = |target: &DeliveryTarget| {
        let path = target.path();
        let is_there = std::fs::metadata(path).is_ok();
        match target {
            DeliveryTarget::Maildir(path) if !is_there && rules.create => {
                Dir::open(parent_of(path))?.check_writable()?
            }
            DeliveryTarget::Mbox(path, _) if !is_there && rules.create => {
                Dir::open(parent_of(path))?.check_writable()?
            }
            DeliveryTarget::Folder(path) if !is_there && rules.create => {
                let maildir = parent_of(path);
                let above = if maildir.exists() { maildir } else { parent_of(maildir) };
                Dir::open(above)?.check_writable()?;
            }
            DeliveryTarget::Maildir(_) | DeliveryTarget::Folder(_) => {
                let maildir = open_maildir(path)?;
                for place in ["tmp", if rules.flags.is_empty() { "new" } else { "cur" }] {
                    maildir.open_child(place.as_ref())?;
                }
                if let Some(quota) = quota_of(&maildir, rules)?
                    && let now = rules.now.as_secs() as i64
                    && let Some(over) = quota.check(draft.size(), now, rules.cancel)?
                {
                    return Err(over_quota(&quota, over, rules));
                }
            }
            // Nobody is locked out for the sake of a look.
            DeliveryTarget::Mbox(_, variant) => {
                let unlocked = LockOptions { methods: Vec::new(), ..rules.locks.clone() };
                drop(MboxAppender::open_for_delivery(path, *variant, false, &unlocked, rules.cancel)?);
            }
        }
        Ok(DeliveredMessage { path: path.to_owned(), already_present: false, findings: Vec::new() })
    };
    targets.iter().map(look).collect()
}

/// The quota to keep. A message that is as good as deleted does not count.
fn quota_of(maildir: &Dir, rules: &DeliverOptions<'_>) -> Result<Option<Quota>> {
    if rules.flags.has(Flags::TRASHED) { Ok(None) } else { Quota::find(maildir, rules.quota) }
}

fn over_quota(quota: &Quota, over: OverQuota, rules: &DeliverOptions<'_>) -> Failure {
    let reason =
        if rules.quota_is_temporary { FailureReason::OverQuotaForNow } else { FailureReason::OverQuota };
    Failure::new(reason, format_args!("{}: {over}", display_path(quota.maildir())))
}

/// A message on its way into one target. Dropped, it takes back what it did.
enum Pending {
    Already(PathBuf),
    Maildir(IntoMaildir),
    Mbox { path: PathBuf, extending: MboxAppender },
}

impl Pending {
    fn prepare(
        draft: &PreparedMessage<'_>,
        target: &DeliveryTarget,
        rules: &DeliverOptions<'_>,
    ) -> Result<Pending, Failure> {
        match target {
            DeliveryTarget::Maildir(path) => Pending::into_maildir(draft, path, rules),
            DeliveryTarget::Folder(path) => {
                if rules.create {
                    create::open_or_create(parent_of(path))?;
                }
                Pending::into_maildir(draft, path, rules)
            }
            DeliveryTarget::Mbox(path, variant) => Pending::into_mbox(draft, path, *variant, rules),
        }
    }

    fn into_maildir(
        draft: &PreparedMessage<'_>,
        path: &Path,
        rules: &DeliverOptions<'_>,
    ) -> Result<Pending, Failure> {
        let maildir = if rules.create { create::open_or_create(path)? } else { open_maildir(path)? };
        let quota = quota_of(&maildir, rules)?;
        let (lock, already) = match rules.dedupe {
            true => dedupe::find_in_maildir(&maildir, draft, rules)?,
            false => (None, None),
        };
        if let Some(path) = already {
            return Ok(Pending::Already(path));
        }
        if let Some(quota) = &quota
            && let Some(over) = quota.check_unlocked(draft.size(), rules.now.as_secs() as i64)?
        {
            return Err(over_quota(quota, over, rules));
        }
        let stamp = Stamp { now: rules.now, pid: rules.locks.pid, host: &rules.locks.host };
        let content = MessageMeta { size: draft.size(), wire_size: draft.wire_size(), flags: rules.flags };
        let delivery = Delivery::write(&maildir, stamp, content, |pieces| {
            draft.for_each_chunk(&mut |bytes| match rules.cancel.is_requested() {
                true => Err(Error::Interrupted),
                false => pieces(bytes),
            })
        })?;
        let (size, wait) = (content.size, rules.locks.timeout);
        Ok(Pending::Maildir(IntoMaildir { delivery, quota, size, wait, is_counted: false, _lock: lock }))
    }

    fn into_mbox(
        draft: &PreparedMessage<'_>,
        path: &Path,
        variant: Option<Variant>,
        rules: &DeliverOptions<'_>,
    ) -> Result<Pending, Failure> {
        let mut extending =
            MboxAppender::open_for_delivery(path, variant, rules.create, rules.locks, rules.cancel)?;
        let head = draft.head();
        let status = (!rules.flags.is_empty()).then_some(Status { flags: rules.flags, old: true });
        let (head, first) = draft.mbox_head(&head, status, rules.now.as_secs() as i64);
        if rules.dedupe && dedupe::is_in_mbox(path, &extending, &head, first, draft, rules.cancel)? {
            return Ok(Pending::Already(path.to_owned()));
        }
        extending.append(&head, rules.cancel, |chunk| {
            chunk(first)?;
            draft.for_each_chunk_after_head(chunk)
        })?;
        // Now, while it can be taken back: whoever keeps to the lock sees nothing of it yet.
        extending.sync()?;
        Ok(Pending::Mbox { path: path.to_owned(), extending })
    }

    fn publish(&mut self, rules: &DeliverOptions<'_>) -> Result<(), Failure> {
        match self {
            Pending::Already(_) | Pending::Mbox { .. } => Ok(()),
            Pending::Maildir(one) => one.publish(rules),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Pending::Already(_) | Pending::Mbox { .. } => Ok(()),
            Pending::Maildir(one) => Ok(one.delivery.flush()?),
        }
    }

    fn keep(self) -> DeliveredMessage {
        match self {
            Pending::Already(path) => DeliveredMessage { path, already_present: true, findings: Vec::new() },
            Pending::Maildir(mut one) => {
                one.is_counted = false;
                DeliveredMessage { path: one.delivery.commit(), already_present: false, findings: Vec::new() }
            }
            Pending::Mbox { path, mut extending } => {
                let findings = std::mem::take(&mut extending.findings);
                extending.commit();
                DeliveredMessage { path, already_present: false, findings }
            }
        }
    }
}

/// A message that waits in a Maildir's tmp/, or is in its place and not yet kept.
struct IntoMaildir {
    delivery: Delivery,
    quota: Option<Quota>,
    size: u64,
    wait: Duration,
    /// Whether the quota has it, and would have to be told.
    is_counted: bool,
    /// Of those who look whether the message is there already.
    _lock: Option<DirLock>,
}

impl IntoMaildir {
    fn publish(&mut self, rules: &DeliverOptions<'_>) -> Result<(), Failure> {
        let Some(quota) = &self.quota else { return Ok(self.delivery.publish()?) };
        let now = rules.now.as_secs() as i64;
        let entered = quota.reserve(self.size, now, self.wait, rules.cancel)?;
        let entered = entered.map_err(|over| over_quota(quota, over, rules))?;
        self.delivery.publish()?;
        entered.confirm();
        self.is_counted = true;
        Ok(())
    }
}

impl Drop for IntoMaildir {
    fn drop(&mut self) {
        if let Some(quota) = self.quota.as_ref().filter(|_| self.is_counted) {
            // What led here is what is told.
            let _ = quota.rollback(self.size, self.wait, || self.delivery.rollback());
        }
    }
}

fn open_maildir(path: &Path) -> Result<Dir, Failure> {
    let opened = Dir::open(path).and_then(|dir| detect::require_maildir(path).map(|()| dir));
    opened.map_err(|error| match &error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("{}: there is no such Maildir; deliver --create makes it", display_path(path));
            Failure::new(FailureReason::Configuration, text)
        }
        _ => error.into(),
    })
}
