//! The steps that every protocol takes with a message: to receive it, to deliver it, to reply.

use std::time::Duration;

use super::address::EnvelopeAddress;
use super::tolerance::Tolerance;
use super::wire::{BodyDecoder, Peer, Wire};
use super::{AcceptedRecipient, AddressedMessage, Outcome, Recipients, SessionEnd, SessionOptions};
use crate::mailbox::Cancel;
use crate::transport::{Failure, MessageSpool, SpooledMessage};

/// Bytes of a message that give the peer one more second. A limit on each read alone would let a peer send a byte now
/// and then, and keep the connection for days.
const BYTES_PER_SECOND: u64 = 1 << 16;
/// The longest announced message that is read only to be refused.
const DROPPED_AT_MOST: u64 = 1 << 30;

/// A session with one peer.
pub(super) struct Session<'a, R> {
    pub(super) wire: Wire<'a>,
    pub(super) recipients: &'a mut R,
    pub(super) options: SessionOptions<'a>,
    pub(super) tolerance: Tolerance,
}

impl<'a, R: Recipients> Session<'a, R> {
    pub(super) fn new(
        peer: &'a mut dyn Peer,
        recipients: &'a mut R,
        options: &SessionOptions<'a>,
        cancel: &'a Cancel,
    ) -> Session<'a, R> {
        let wire = Wire::new(peer, cancel);
        Session { wire, recipients, options: *options, tolerance: Tolerance::default() }
    }

    /// Receives the message to its end even if it cannot be stored: only then does the peer read a reply.
    pub(super) fn receive(
        &mut self,
        decoder: &mut dyn BodyDecoder,
    ) -> Result<Result<SpooledMessage, Failure>, SessionEnd> {
        let mut spool = Ok(MessageSpool::new(self.options.spool_dir, self.options.max_size));
        let mut text = Vec::new();
        while !decoder.is_at_end() {
            if self.wire.is_empty() {
                let received = self.wire.fill()? as u64;
                if received == 0 {
                    return Err(SessionEnd::Disconnected);
                }
                // What is dropped gives no time: a message without end would come to no end.
                if spool.as_ref().is_ok_and(|message| !message.is_too_large()) {
                    self.wire
                        .peer
                        .extend_deadline(Duration::from_micros(received * 1_000_000 / BYTES_PER_SECOND));
                }
            }
            let taken = decoder.decode(self.wire.unread(), &mut text);
            self.wire.consume(taken);
            if let Ok(message) = &mut spool
                && let Err(error) = message.push(&text)
            {
                spool = Err(Failure::from(error));
            }
            text.clear();
        }
        Ok(spool.and_then(MessageSpool::finish))
    }

    /// Waits for the next message. Returns nothing to wait for once the peer has closed.
    pub(super) fn begins_message(&mut self) -> Result<bool, SessionEnd> {
        self.wire.peer.reset_deadline();
        if self.wire.is_empty() && self.wire.fill()? == 0 {
            return Ok(false);
        }
        self.wire.peer.reset_deadline();
        Ok(true)
    }

    /// The longest announced message that is read. One that is too large is read too, and dropped: only then does the
    /// peer read the refusal. A line end may have two bytes.
    pub(super) fn max_announced(&self) -> u64 {
        self.options
            .max_size
            .map_or(u64::MAX, |max| max.saturating_mul(2).saturating_add(1).max(DROPPED_AT_MOST))
    }

    /// Finds the mailbox of a recipient.
    pub(super) fn add_recipient(&mut self, list: &mut RecipientList<R::Mailbox>, address: EnvelopeAddress) {
        match self.recipients.look_up(&address) {
            Ok(mailbox) => list.accept(AcceptedRecipient { address, mailbox }),
            Err(failure) => list.refuse(failure),
        }
    }

    /// Delivers messages, and sends the reply of each recipient as soon as it is known, in their order: the next
    /// recipient, or the next message, must not cost the peer this outcome. Returns for each message how many have it.
    pub(super) fn deliver(
        &mut self,
        messages: &[ReceivedMessage<R::Mailbox>],
        write_reply: fn(&Outcome, &mut Vec<u8>),
    ) -> Result<Vec<usize>, SessionEnd> {
        let wire = &mut self.wire;
        let mut delivered = vec![0; messages.len()];
        let mut send = |n: usize, outcome: &Outcome| {
            delivered[n] += usize::from(outcome.is_ok());
            let mut bytes = Vec::new();
            write_reply(outcome, &mut bytes);
            wire.reply(&bytes);
            wire.flush()
        };
        let slots = |(n, received): (usize, &ReceivedMessage<R::Mailbox>)| {
            let lost = received.message.as_ref().err().cloned();
            let refusals = received.recipients.refusals.iter();
            refusals.map(move |refusal| (n, refusal.clone().or_else(|| lost.clone()))).collect::<Vec<_>>()
        };
        // For each recipient why it does not get the message.
        let mut rest = messages.iter().enumerate().flat_map(slots);
        // The replies of refused recipients go before the next one of an accepted recipient.
        let mut reply = |outcome: Option<Outcome>| {
            for (n, refusal) in rest.by_ref() {
                match (refusal, outcome.as_ref()) {
                    (Some(refusal), _) => send(n, &Err(refusal))?,
                    (None, Some(outcome)) => return send(n, outcome),
                    (None, None) => unreachable!("every accepted recipient has an outcome"),
                }
            }
            Ok(())
        };
        let addressed: Vec<_> = messages.iter().filter_map(ReceivedMessage::addressed).collect();
        self.recipients.deliver_messages(&addressed, &mut |outcome| reply(Some(outcome)))?;
        reply(None)?;
        Ok(delivered)
    }
}

/// A message with its envelope.
pub(super) struct ReceivedMessage<M> {
    /// Or why it could not be stored.
    pub(super) message: Result<SpooledMessage, Failure>,
    pub(super) sender: Option<EnvelopeAddress>,
    pub(super) recipients: RecipientList<M>,
}

impl<M> ReceivedMessage<M> {
    fn addressed(&self) -> Option<AddressedMessage<'_, M>> {
        let message = self.message.as_ref().ok()?;
        let (sender, recipients) = (self.sender.as_ref(), self.recipients.accepted());
        (!recipients.is_empty()).then_some(AddressedMessage { message, sender, recipients })
    }
}

/// The recipients of a message in their order, accepted or refused.
pub(super) struct RecipientList<M> {
    accepted: Vec<AcceptedRecipient<M>>,
    /// For each recipient why it is refused; none for the next accepted one.
    refusals: Vec<Option<Failure>>,
}

impl<M> RecipientList<M> {
    pub(super) fn new() -> RecipientList<M> {
        RecipientList { accepted: Vec::new(), refusals: Vec::new() }
    }

    pub(super) fn accept(&mut self, recipient: AcceptedRecipient<M>) {
        self.accepted.push(recipient);
        self.refusals.push(None);
    }

    pub(super) fn refuse(&mut self, failure: Failure) {
        self.refusals.push(Some(failure));
    }

    pub(super) fn len(&self) -> usize {
        self.refusals.len()
    }

    /// Reports whether there are recipients, and none of them is refused.
    pub(super) fn are_all_accepted(&self) -> bool {
        !self.accepted.is_empty() && self.accepted.len() == self.refusals.len()
    }

    pub(super) fn accepted(&self) -> &[AcceptedRecipient<M>] {
        &self.accepted
    }

    pub(super) fn refusals(&self) -> impl Iterator<Item = &Failure> {
        self.refusals.iter().flatten()
    }
}
