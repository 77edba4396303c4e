//! A message into several mailboxes: on stable storage in all of them, or in none. Or several messages, each with an
//! outcome of its own.
//!
//! The messages are first written and flushed everywhere under names that no reader sees, and then published
//! everywhere. A failure before the last directory is flushed rolls them back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{DeliveryTarget, PreparedMessage, dedupe};
use crate::mailbox::fs::durable::FileId;
use crate::mailbox::fs::foreign::{refuse_foreign_links, refuse_foreign_maildir};
use crate::mailbox::fs::lock::DirLock;
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::maildir::deliver::{Delivery, MessageMeta, Stamp, flush_messages, flush_names};
use crate::mailbox::maildir::quota::{Limits, OverQuota, Quota};
use crate::mailbox::maildir::{create, detect};
use crate::mailbox::mbox::{MboxAppender, Variant};
use crate::mailbox::message::Flags;
use crate::mailbox::message::Status;
use crate::mailbox::{Context, Finding, LockOptions, Result, display_path};
use crate::transport::{Failure, FailureReason};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DeliverOptions {
    /// Create missing mailboxes.
    pub create: bool,
    pub flags: Flags,
    /// Quota of a Maildir; by default that of its maildirsize.
    pub quota: Option<Limits>,
    /// Report a full mailbox as temporary.
    pub quota_is_temporary: bool,
    /// Skip a mailbox that has this message.
    pub dedupe: bool,
    /// Time of delivery, since 1970.
    pub time: Duration,
}

impl DeliverOptions {
    fn epoch(&self) -> i64 {
        self.time.as_secs() as i64
    }
}

/// A mailbox that has the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveredMessage {
    /// The message's file, or the mbox.
    pub path: PathBuf,
    pub already_present: bool,
    /// Locks that were not available.
    pub findings: Vec<Finding>,
}

impl DeliveredMessage {
    fn new(path: PathBuf) -> DeliveredMessage {
        DeliveredMessage { path, already_present: false, findings: Vec::new() }
    }
}

/// A message and the mailbox that gets it.
#[derive(Clone, Copy)]
pub(crate) struct MailboxCopy<'a> {
    pub message: &'a PreparedMessage<'a>,
    pub target: &'a DeliveryTarget,
}

/// Delivers a message to all targets.
///
/// # Errors
/// As [`deliver_copies`].
pub(crate) fn deliver(
    message: &PreparedMessage<'_>,
    targets: &[DeliveryTarget],
    options: &DeliverOptions,
    ctx: &Context<'_>,
) -> Result<Vec<DeliveredMessage>, Failure> {
    let mut identities: Vec<_> = several(targets).map(|target| (identity(target.path()), target)).collect();
    identities.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(twice) = identities.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let path = display_path(twice[1].1.path());
        let text = format!("{path}: named twice; the message would be there twice");
        return Err(Failure::new(FailureReason::Configuration, text));
    }
    let copies: Vec<_> = targets.iter().map(|target| MailboxCopy { message, target }).collect();
    deliver_copies(&copies, options, ctx)
}

/// Delivers copies of a message, such as those of several recipients, each to its mailbox. Only a Maildir can have several,
/// and only without [`DeliverOptions::dedupe`]: the first would hold the lock of the second.
///
/// # Errors
/// A [`Failure`] means that no target has the message, except one whose rollback failed, too.
pub(crate) fn deliver_copies(
    copies: &[MailboxCopy<'_>],
    options: &DeliverOptions,
    ctx: &Context<'_>,
) -> Result<Vec<DeliveredMessage>, Failure> {
    // In a fixed order, so that two deliveries to the same mailboxes do not deadlock.
    let identities: Vec<_> = several(copies).map(|copy| identity(copy.target.path())).collect();
    let mut order: Vec<usize> = (0..copies.len()).collect();
    order.sort_by_key(|&n| identities.get(n));
    let transaction = |n: usize| Transaction { message: copies[n].message, options, ctx };
    let mut pending = Vec::new();
    for &n in &order {
        pending.push((n, transaction(n).prepare(copies[n].target)?));
    }
    flush_messages(pending.iter_mut().filter_map(|(_, one)| one.delivery()))?;
    ctx.cancel.check()?;
    for (n, one) in &mut pending {
        one.publish(&transaction(*n))?;
    }
    flush_names(pending.iter_mut().filter_map(|(_, one)| one.delivery()))?;
    let mut delivered: Vec<_> = pending.into_iter().map(|(n, one)| (n, one.commit())).collect();
    delivered.sort_by_key(|(n, _)| *n);
    Ok(delivered.into_iter().map(|(_, delivered)| delivered).collect())
}

/// Delivers messages, each to its Maildir, with one flush for all of them. Each has its own outcome, but a flush that
/// fails does so for all. [`DeliverOptions::dedupe`] must be off: see [`deliver_copies`].
pub(crate) fn deliver_each(
    copies: &[MailboxCopy<'_>],
    options: &DeliverOptions,
    ctx: &Context<'_>,
) -> Vec<Result<DeliveredMessage, Failure>> {
    let transactions = || copies.iter().map(|copy| Transaction { message: copy.message, options, ctx });
    let prepare = |(transaction, copy): (Transaction<'_>, &MailboxCopy<'_>)| transaction.prepare(copy.target);
    let mut pending: Vec<_> = transactions().zip(copies).map(prepare).collect();
    let flushed = flush_messages(pending.iter_mut().flatten().filter_map(Pending::delivery));
    fail_all(&mut pending, flushed.and_then(|()| ctx.cancel.check()));
    for (one, transaction) in pending.iter_mut().zip(transactions()) {
        if let Ok(prepared) = one
            && let Err(failure) = prepared.publish(&transaction)
        {
            *one = Err(failure);
        }
    }
    let flushed = flush_names(pending.iter_mut().flatten().filter_map(Pending::delivery));
    fail_all(&mut pending, flushed);
    pending.into_iter().map(|one| one.map(Pending::commit)).collect()
}

/// Rolls back what was prepared, if a step for all of it failed.
fn fail_all(pending: &mut [Result<Pending, Failure>], step: Result<()>) {
    let Err(error) = step else { return };
    let failure = Failure::from(error);
    for one in pending.iter_mut().filter(|one| one.is_ok()) {
        *one = Err(failure.clone());
    }
}

/// Nothing if there is only one: it has nothing to be compared with, and each lookup by root walks the whole path.
fn several<T>(all: &[T]) -> std::slice::Iter<'_, T> {
    if all.len() > 1 { all.iter() } else { [].iter() }
}

/// Identifies a mailbox under any of its names: by device and inode. A missing mailbox has those of its directory,
/// and its name.
pub(crate) fn identity(path: &Path) -> (Option<FileId>, PathBuf) {
    let of = |path: &Path| files::metadata(path).ok().map(|meta| FileId::of_metadata(&meta));
    let name = || path.file_name().map(PathBuf::from).unwrap_or_default();
    if let Some(itself) = of(path) {
        return (Some(itself), PathBuf::new());
    }
    match of(parent_of(path)) {
        Some(parent) => (Some(parent), name()),
        None => (None, std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
    }
}

/// Checks what [`deliver`] would do, without writing anything.
///
/// # Errors
/// The failures that are known beforehand: a missing mailbox, or a full one.
pub(crate) fn dry_run(
    message: &PreparedMessage<'_>,
    targets: &[DeliveryTarget],
    options: &DeliverOptions,
    ctx: &Context<'_>,
) -> Result<Vec<DeliveredMessage>, Failure> {
    let delivery = Transaction { message, options, ctx };
    let check = |target: &DeliveryTarget| {
        delivery.check(target)?;
        Ok(DeliveredMessage::new(target.path().to_owned()))
    };
    targets.iter().map(check).collect()
}

struct Transaction<'a> {
    message: &'a PreparedMessage<'a>,
    options: &'a DeliverOptions,
    ctx: &'a Context<'a>,
}

impl Transaction<'_> {
    fn check(&self, target: &DeliveryTarget) -> Result<(), Failure> {
        let creates = self.options.create && files::metadata(target.path()).is_err();
        match target {
            DeliveryTarget::Maildir(path) | DeliveryTarget::Mbox(path, _) if creates => {
                Dir::open(parent_of(path))?.check_writable()?;
            }
            DeliveryTarget::Folder(path) if creates => {
                let maildir = parent_of(path);
                let above = if files::exists(maildir) { maildir } else { parent_of(maildir) };
                Dir::open(above)?.check_writable()?;
            }
            DeliveryTarget::Maildir(path) | DeliveryTarget::Folder(path) => {
                let maildir = open_maildir(path)?;
                for name in ["tmp", if self.options.flags.is_empty() { "new" } else { "cur" }] {
                    maildir.open_child(name.as_ref())?;
                }
                if let Some(quota) = self.quota(&maildir)?
                    && let Some(over) =
                        quota.check(self.message.size(), self.options.epoch(), self.ctx.cancel)?
                {
                    return Err(self.over_quota(&quota, over));
                }
            }
            // A dry run keeps no other program waiting.
            DeliveryTarget::Mbox(path, variant) => {
                let locks = LockOptions { methods: Vec::new(), ..self.ctx.locks.clone() };
                drop(MboxAppender::open_for_delivery(path, *variant, false, &locks, self.ctx.cancel)?);
            }
        }
        Ok(())
    }

    fn prepare(&self, target: &DeliveryTarget) -> Result<Pending, Failure> {
        match target {
            DeliveryTarget::Maildir(path) => self.write_to_maildir(path),
            DeliveryTarget::Folder(path) => {
                if self.options.create {
                    create::open_or_create(parent_of(path))?;
                }
                self.write_to_maildir(path)
            }
            DeliveryTarget::Mbox(path, variant) => self.append_to_mbox(path, *variant),
        }
    }

    fn write_to_maildir(&self, path: &Path) -> Result<Pending, Failure> {
        let Transaction { message, options, ctx } = self;
        let maildir = if options.create { create::open_or_create(path)? } else { open_maildir(path)? };
        let quota = self.quota(&maildir)?;
        let mut dedupe_lock = None;
        if options.dedupe {
            let (lock, present) = dedupe::find_in_maildir(&maildir, message, ctx)?;
            if let Some(path) = present {
                return Ok(Pending::AlreadyPresent(path));
            }
            dedupe_lock = Some(lock);
        }
        let size = message.size();
        if let Some(quota) = &quota
            && let Some(over) = quota.check_unlocked(size, options.epoch())?
        {
            return Err(self.over_quota(quota, over));
        }
        let stamp = Stamp { now: options.time, pid: ctx.locks.pid, host: &ctx.locks.host };
        let meta = MessageMeta { size, wire_size: message.wire_size(), flags: options.flags };
        let delivery = Delivery::write(&maildir, stamp, meta, |write| {
            message.for_each_chunk(&mut |bytes| {
                ctx.cancel.check()?;
                write(bytes)
            })
        })?;
        let lock_timeout = ctx.locks.timeout;
        Ok(Pending::Maildir(PendingFile {
            delivery,
            quota,
            size,
            lock_timeout,
            is_counted: false,
            _dedupe_lock: dedupe_lock,
        }))
    }

    fn append_to_mbox(&self, path: &Path, variant: Option<Variant>) -> Result<Pending, Failure> {
        let Transaction { message, options, ctx } = self;
        let mut mbox = MboxAppender::open_for_delivery(path, variant, options.create, ctx.locks, ctx.cancel)?;
        let head = message.in_memory();
        let status = (!options.flags.is_empty()).then_some(Status { flags: options.flags, old: true });
        let entry = message.mbox_entry(&head, status, options.epoch());
        if options.dedupe && dedupe::is_in_mbox(path, &mbox, &entry, ctx.cancel)? {
            return Ok(Pending::AlreadyPresent(path.to_owned()));
        }
        mbox.append(&entry.head, ctx.cancel, |chunk| {
            chunk(entry.first_chunk)?;
            entry.for_each_later_chunk(chunk)
        })?;
        // Now, while it can be rolled back: programs that honour the lock do not see it yet.
        mbox.sync()?;
        Ok(Pending::Mbox { path: path.to_owned(), mbox })
    }

    /// The quota to keep. A trashed message does not count.
    fn quota(&self, maildir: &Dir) -> Result<Option<Quota>> {
        let options = self.options;
        if options.flags.has(Flags::TRASHED) { Ok(None) } else { Quota::find(maildir, options.quota) }
    }

    fn over_quota(&self, quota: &Quota, over: OverQuota) -> Failure {
        let reason = match self.options.quota_is_temporary {
            true => FailureReason::OverQuotaForNow,
            false => FailureReason::OverQuota,
        };
        Failure::new(reason, format_args!("{}: {over}", display_path(quota.maildir())))
    }
}

/// A message in one target before the commit. Dropping it rolls it back.
enum Pending {
    AlreadyPresent(PathBuf),
    Maildir(PendingFile),
    Mbox { path: PathBuf, mbox: MboxAppender },
}

impl Pending {
    fn delivery(&mut self) -> Option<&mut Delivery> {
        match self {
            Pending::Maildir(one) => Some(&mut one.delivery),
            Pending::AlreadyPresent(_) | Pending::Mbox { .. } => None,
        }
    }

    /// Shows the message to readers. That of an mbox was seen by all that honour no lock.
    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        match self {
            Pending::Maildir(one) => one.publish(transaction),
            Pending::AlreadyPresent(_) | Pending::Mbox { .. } => Ok(()),
        }
    }

    fn commit(self) -> DeliveredMessage {
        match self {
            Pending::AlreadyPresent(path) => {
                DeliveredMessage { already_present: true, ..DeliveredMessage::new(path) }
            }
            Pending::Maildir(mut one) => {
                one.is_counted = false;
                DeliveredMessage::new(one.delivery.commit())
            }
            Pending::Mbox { path, mut mbox } => {
                let findings = std::mem::take(&mut mbox.findings);
                mbox.commit();
                DeliveredMessage { findings, ..DeliveredMessage::new(path) }
            }
        }
    }
}

/// A message in a Maildir: in tmp/, or published and not committed.
struct PendingFile {
    delivery: Delivery,
    quota: Option<Quota>,
    size: u64,
    lock_timeout: Duration,
    /// The quota contains the message, and has to be rolled back with it.
    is_counted: bool,
    _dedupe_lock: Option<DirLock>,
}

impl PendingFile {
    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let Some(quota) = &self.quota else { return Ok(self.delivery.publish()?) };
        let (now, cancel) = (transaction.options.epoch(), transaction.ctx.cancel);
        let reservation = quota.reserve(self.size, now, self.lock_timeout, cancel)?;
        let reservation = reservation.map_err(|over| transaction.over_quota(quota, over))?;
        self.delivery.publish()?;
        reservation.confirm();
        self.is_counted = true;
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let Some(quota) = self.quota.as_ref().filter(|_| self.is_counted) {
            // The failure that led here is the one that is reported.
            let _ = quota.rollback(self.size, self.lock_timeout, || self.delivery.rollback());
        }
    }
}

fn open_maildir(path: &Path) -> Result<Dir, Failure> {
    refuse_foreign_links(path)?;
    let opened = Dir::open(path).and_then(|dir| {
        detect::require_maildir(path)?;
        refuse_foreign_maildir(path, &dir)?;
        Ok(dir)
    });
    opened.map_err(|error| match error.is(std::io::ErrorKind::NotFound) {
        true => {
            let text = format!("{}: no such Maildir; use --create to create it", display_path(path));
            Failure::new(FailureReason::Configuration, text)
        }
        false => error.into(),
    })
}
