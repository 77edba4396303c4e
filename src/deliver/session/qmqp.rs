//! QMQP (cr.yp.to/proto/qmqp.html): one message, its sender and its recipients in one netstring, and one reply.
//!
//! All recipients are found before any of them gets the message: the reply is for all.

use super::address::EnvelopeAddress;
use super::engine::{RecipientList, Session};
use super::netstrings::{CountedBody, LineEnds, MAX_CONTENT, Netstring};
use super::qmail_reply::{Class, bad_recipient, bad_sender, write, write_outcome};
use super::tolerance::MAX_RECIPIENTS;
use super::{Outcome, Recipients, SessionEnd, combine};
use crate::transport::{Failure, SpooledMessage};

/// Receives one message. What the peer sends after it is ignored.
pub(super) fn converse<R: Recipients>(session: &mut Session<'_, R>) -> Result<(), SessionEnd> {
    if !session.begins_message()? {
        return Ok(());
    }
    let request = receive(session)?;
    let mut reply = Vec::new();
    answer(session, request, &mut reply);
    session.wire.reply(&reply);
    session.wire.flush()
}

/// A complete message with its envelope.
struct Request {
    message: Result<SpooledMessage, Failure>,
    sender: Option<EnvelopeAddress>,
    /// The first recipients; `None` for one that is too long or contains a NUL.
    recipients: Vec<Option<EnvelopeAddress>>,
    /// The number of recipients after these.
    surplus: usize,
}

fn receive<R: Recipients>(session: &mut Session<'_, R>) -> Result<Request, SessionEnd> {
    let mut outer = Netstring::connection().open(&mut session.wire, MAX_CONTENT)?;
    let max_length = session.max_announced();
    let mut body = outer.open(&mut session.wire, max_length)?;
    let message = session.receive(&mut CountedBody::new(&mut body, LineEnds::Lf))?;
    let wire = &mut session.wire;
    body.close(wire)?;
    let sender = outer.open(wire, MAX_CONTENT)?.into_address(wire)?;
    let (mut recipients, mut surplus) = (Vec::new(), 0);
    while outer.left() > 0 {
        let recipient = outer.open(wire, MAX_CONTENT)?.into_address(wire)?;
        match recipients.len() {
            MAX_RECIPIENTS => surplus += 1,
            _ => recipients.push(recipient.map(|address| EnvelopeAddress::from_raw(&address))),
        }
    }
    outer.close(wire)?;
    let (message, sender) = match sender {
        Some(sender) => (message, EnvelopeAddress::from_raw_sender(&sender)),
        None => (message.and_then(|_| Err(bad_sender())), None),
    };
    Ok(Request { message, sender, recipients, surplus })
}

fn answer<R: Recipients>(session: &mut Session<'_, R>, request: Request, reply: &mut Vec<u8>) {
    let Request { message, sender, recipients, surplus } = request;
    if surplus > 0 {
        let text = format!("a message can have at most {MAX_RECIPIENTS} recipients");
        return write(Class::Permanent, "5.5.3", &text, reply);
    }
    // qmail says K to this. But no one has the message then.
    if recipients.is_empty() {
        return write(Class::Permanent, "5.5.4", "the message has no recipients", reply);
    }
    write_outcome(&message.and_then(|message| deliver(session, &message, sender, recipients)), reply);
}

fn deliver<R: Recipients>(
    session: &mut Session<'_, R>,
    message: &SpooledMessage,
    sender: Option<EnvelopeAddress>,
    recipients: Vec<Option<EnvelopeAddress>>,
) -> Outcome {
    let mut list = RecipientList::new();
    let addresses: Option<Vec<EnvelopeAddress>> = recipients.into_iter().collect();
    for address in addresses.ok_or_else(bad_recipient)? {
        session.add_recipient(&mut list, address);
    }
    combine(list.refusals().map(|failure| Err(failure.clone())))?;
    session.recipients.deliver_together(message, sender.as_ref(), list.accepted())
}
