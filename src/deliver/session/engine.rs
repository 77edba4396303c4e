//! The steps that every protocol takes with a message: to receive it, to deliver it, to reply.

use std::time::Duration;

use super::address::EnvelopeAddress;
use super::tolerance::Tolerance;
use super::wire::{BodyDecoder, Peer, Wire};
use super::{AcceptedRecipient, Outcome, Recipients, SessionEnd, SessionOptions};
use crate::mailbox::Cancel;
use crate::transport::{Failure, MessageSpool, SpooledMessage};

/// Bytes of a message that give the peer one more second. A limit on each read alone would let a peer send a byte now
/// and then, and keep the connection for days.
const BYTES_PER_SECOND: u64 = 1 << 16;

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

    /// Delivers the message, and sends the reply of each recipient as soon as it is known, in their order: the next
    /// recipient, or the next message, must not cost the peer this outcome.
    pub(super) fn deliver(
        &mut self,
        message: &Result<SpooledMessage, Failure>,
        sender: Option<&EnvelopeAddress>,
        recipients: &[AcceptedRecipient<R::Mailbox>],
        write_reply: fn(&Outcome, &mut Vec<u8>),
    ) -> Result<(), SessionEnd> {
        let wire = &mut self.wire;
        let mut reply = |outcome: Outcome| {
            let mut bytes = Vec::new();
            write_reply(&outcome, &mut bytes);
            wire.reply(&bytes);
            wire.flush()
        };
        match message {
            Ok(message) => self.recipients.deliver_all(message, sender, recipients, &mut reply),
            Err(failure) => recipients.iter().try_for_each(|_| reply(Err(failure.clone()))),
        }
    }
}
