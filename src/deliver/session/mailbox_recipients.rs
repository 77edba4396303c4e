//! Recipients with a mailbox of their own, found by templates.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::EnvelopeAddress;
use super::map::RecipientMap;
use super::template::{AddressParts, Template};
use super::{
    AcceptedRecipient, AddressedMessage, Outcome, Recipients, SendReply, SessionEnd, with_delivered,
};
use crate::deliver::transaction::MailboxCopy;
use crate::deliver::{
    DeliverOptions, DeliveredMessage, DeliveryTarget, PreparedMessage, TargetFormat, transaction,
};
use crate::mailbox::fs::actor::require_root_only;
use crate::mailbox::fs::files;
use crate::mailbox::fs::parent_of;
use crate::mailbox::maildir::create::create_parents;
use crate::mailbox::{Context, Error, display_path};
use crate::transport::{DeliveryEnvelope, Failure, FailureReason, SpooledMessage};

/// The mailbox of `--mailbox`, or of a line of `--map`.
pub(crate) struct MailboxTemplate {
    pub format: TargetFormat,
    pub path: Template,
}

pub(crate) enum MailboxTemplates {
    /// One for all recipients.
    Single(MailboxTemplate),
    Map(RecipientMap<MailboxTemplate>),
}

impl MailboxTemplates {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MailboxTemplate> {
        let (single, map) = match self {
            MailboxTemplates::Single(template) => (Some(template), None),
            MailboxTemplates::Map(map) => (None, Some(map)),
        };
        single.into_iter().chain(map.into_iter().flat_map(RecipientMap::mailboxes))
    }

    /// Returns the directories in which the mailboxes of the templates are.
    pub(crate) fn fixed_directories(&self) -> Vec<PathBuf> {
        self.iter().map(|template| template.path.fixed_directory()).collect()
    }
}

pub(crate) struct MailboxRecipients<'a> {
    pub templates: MailboxTemplates,
    /// Delimiter of user and extension; `-` by default, and only for templates with an extension.
    pub delimiter: Option<u8>,
    /// The peer writes trace fields. A Delivered-To above them is of this delivery.
    pub from_mta: bool,
    /// Folder of the Maildirs to deliver into.
    pub folder: Option<&'a OsStr>,
    /// The time in it is replaced by that of each message.
    pub options: DeliverOptions,
    /// The current time, since 1970.
    pub clock: fn() -> Duration,
    /// Called for each mailbox that has a message.
    pub report: fn(&DeliveredMessage),
    pub ctx: &'a Context<'a>,
}

/// Copies that are written together, each of which has a few files open.
const MAX_TOGETHER: usize = 100;

/// The mailbox of a recipient.
pub(crate) struct RecipientMailbox {
    target: DeliveryTarget,
    /// An existing directory, below which the mailbox and its parents are created.
    create_below: Option<PathBuf>,
}

/// A recipient's message and mailbox.
struct RecipientCopy<'a> {
    message: &'a PreparedMessage<'a>,
    mailbox: &'a RecipientMailbox,
}

impl RecipientMailbox {
    fn create_parents(&self) -> Result<(), Failure> {
        let Some(below) = &self.create_below else { return Ok(()) };
        let is_folder = matches!(self.target, DeliveryTarget::Folder(_));
        let path = self.target.path();
        create_parents(if is_folder { parent_of(path) } else { path }, below)?;
        Ok(())
    }
}

impl<'a> RecipientCopy<'a> {
    fn to_mailbox(&self) -> MailboxCopy<'a> {
        MailboxCopy { message: self.message, target: &self.mailbox.target }
    }
}

impl MailboxRecipients<'_> {
    fn prepare<'m>(
        &self,
        message: &'m SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
    ) -> Result<PreparedMessage<'m>, Failure> {
        let envelope = DeliveryEnvelope {
            sender: Some(sender.map(EnvelopeAddress::to_bytes).unwrap_or_default()),
            recipient: Some(recipient.to_bytes()),
        };
        PreparedMessage::new(message, &envelope, self.from_mta)
    }

    /// Delivers to all of these mailboxes, or to none of them. Returns the paths.
    fn transact(&self, copies: &[RecipientCopy<'_>]) -> Outcome {
        copies.iter().try_for_each(|copy| copy.mailbox.create_parents())?;
        let copies: Vec<_> = copies.iter().map(RecipientCopy::to_mailbox).collect();
        let delivered = transaction::deliver_copies(&copies, &self.options_now(), self.ctx)?;
        delivered.iter().for_each(self.report);
        Ok(delivered.iter().map(|one| display_path(&one.path)).collect::<Vec<_>>().join(", "))
    }

    /// Delivers copies that share a flush, each with its own outcome. Returns none for a mailbox that takes one copy at a
    /// time: an mbox, or any mailbox with dedupe.
    fn deliver_each(
        &self,
        copies: &[(&AddressedMessage<'_, RecipientMailbox>, &AcceptedRecipient<RecipientMailbox>)],
    ) -> Vec<Option<Outcome>> {
        let mut outcomes: Vec<Option<Outcome>> = copies.iter().map(|_| None).collect();
        let mut messages = Vec::new();
        for (n, (package, to)) in
            copies.iter().enumerate().filter(|(_, (_, to))| self.is_shareable(&to.mailbox))
        {
            let message = self.prepare(package.message, package.sender, &to.address);
            match to.mailbox.create_parents().and(message) {
                Ok(message) => messages.push((n, message)),
                Err(failure) => outcomes[n] = Some(Err(failure)),
            }
        }
        let prepared =
            messages.iter().map(|(n, message)| MailboxCopy { message, target: &copies[*n].1.mailbox.target });
        let delivered =
            transaction::deliver_each(&prepared.collect::<Vec<_>>(), &self.options_now(), self.ctx);
        for ((n, _), one) in messages.iter().zip(delivered) {
            outcomes[*n] = Some(one.map(|one| {
                (self.report)(&one);
                display_path(&one.path)
            }));
        }
        outcomes
    }

    fn is_shareable(&self, mailbox: &RecipientMailbox) -> bool {
        !self.options.dedupe && !matches!(mailbox.target, DeliveryTarget::Mbox(..))
    }

    fn options_now(&self) -> DeliverOptions {
        DeliverOptions { time: (self.clock)(), ..self.options }
    }

    fn template(&self, recipient: &EnvelopeAddress) -> Option<(&MailboxTemplate, AddressParts)> {
        let delimiter = [self.delimiter.unwrap_or(b'-')];
        let is_split = |template: &MailboxTemplate| self.delimiter.is_some() || template.path.has_extension();
        let template = match &self.templates {
            MailboxTemplates::Single(template) => template,
            MailboxTemplates::Map(map) => map.find(recipient, &delimiter, is_split)?,
        };
        let delimiters = if is_split(template) { &delimiter[..] } else { b"" };
        Some((template, AddressParts::split(recipient, delimiters)))
    }

    fn target(&self, format: TargetFormat, path: PathBuf) -> Result<DeliveryTarget, Failure> {
        let target = DeliveryTarget::new(format, path)?;
        match self.folder {
            Some(folder) => target.folder(folder),
            None => Ok(target),
        }
    }
}

impl Recipients for MailboxRecipients<'_> {
    type Mailbox = RecipientMailbox;

    fn look_up(&mut self, recipient: &EnvelopeAddress) -> Result<RecipientMailbox, Failure> {
        let Some((template, parts)) = self.template(recipient) else {
            let text = format_args!("{}: no mailbox by that name", recipient.shown());
            return Err(Failure::new(FailureReason::NoSuchMailbox, text));
        };
        let path = template.path.expand(&parts)?;
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            refuse_others(&path)?;
        }
        let create_below = match files::metadata(&path) {
            Ok(_) => None,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                let fixed = template.path.fixed_directory();
                if !self.options.create || !files::is_dir(&fixed) {
                    return Err(template.path.missing_error(&path));
                }
                Some(fixed)
            }
            Err(e) => return Err(Error::io("look up", &path)(e).into()),
        };
        let is_folder = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        let target = match self.target(template.format, path)? {
            // The Maildir is created with its folder.
            DeliveryTarget::Maildir(path) if is_folder && create_below.is_some() => {
                DeliveryTarget::Folder(path)
            }
            target => target,
        };
        // A sender could hold the lock of another user's mailbox by writing to this address.
        if matches!(target, DeliveryTarget::Mbox(..))
            && !template.path.is_fixed()
            && target.path().as_os_str().as_bytes().ends_with(b".lock")
        {
            let text =
                format_args!("{}: a name that ends in .lock is that of a lock", display_path(target.path()));
            return Err(Failure::new(FailureReason::BadAddress, text));
        }
        if is_root && !matches!(target, DeliveryTarget::Mbox(..)) {
            ["tmp", "new", "cur"].iter().try_for_each(|name| refuse_others(&target.path().join(name)))?;
        }
        Ok(RecipientMailbox { target, create_below })
    }

    fn deliver(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
        mailbox: &RecipientMailbox,
    ) -> Outcome {
        let message = self.prepare(message, sender, recipient)?;
        self.transact(&[RecipientCopy { message: &message, mailbox }])
    }

    /// Delivers a number of copies with one flush. No reply is sent before that.
    fn deliver_messages(
        &mut self,
        messages: &[AddressedMessage<'_, RecipientMailbox>],
        reply: &mut SendReply<'_>,
    ) -> Result<(), SessionEnd> {
        let copies =
            messages.iter().flat_map(|package| package.recipients.iter().map(move |to| (package, to)));
        for copies in copies.collect::<Vec<_>>().chunks(MAX_TOGETHER) {
            for (outcome, (package, to)) in self.deliver_each(copies).into_iter().zip(copies) {
                let alone = || self.deliver(package.message, package.sender, &to.address, &to.mailbox);
                reply(outcome.unwrap_or_else(alone))?;
            }
        }
        Ok(())
    }

    /// Delivers to all recipients or to none. There are two exceptions. An mbox of several recipients gets each further
    /// copy in another transaction, as does any mailbox with dedupe, and as do more than [`MAX_TOGETHER`] recipients.
    fn deliver_together(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipients: &[AcceptedRecipient<RecipientMailbox>],
    ) -> Outcome {
        let messages = recipients.iter().map(|to| self.prepare(message, sender, &to.address));
        let messages = messages.collect::<Result<Vec<_>, Failure>>()?;
        let mut copies_of = BTreeMap::new();
        let mut rounds: Vec<Vec<RecipientCopy<'_>>> = vec![Vec::new()];
        for (message, AcceptedRecipient { mailbox, .. }) in messages.iter().zip(recipients) {
            let mut round = 0;
            if !self.is_shareable(mailbox) {
                let copies = copies_of.entry(transaction::identity(mailbox.target.path())).or_insert(0);
                round = *copies;
                *copies += 1;
            }
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(RecipientCopy { message, mailbox });
        }
        let (mut paths, mut delivered) = (Vec::new(), 0);
        for round in rounds.iter().flat_map(|round| round.chunks(MAX_TOGETHER)) {
            paths.push(self.transact(round).map_err(|failure| with_delivered(failure, delivered))?);
            delivered += round.len();
        }
        Ok(paths.join(", "))
    }
}

/// Refuses a path in which a user could place links for root to follow.
fn refuse_others(path: &Path) -> Result<(), Failure> {
    require_root_only(path).map_err(|error| {
        let text = format_args!("{error}; run as the user of the mail, or with --dot-qmail");
        Failure::new(FailureReason::Configuration, text)
    })
}
