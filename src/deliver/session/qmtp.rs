//! QMTP (cr.yp.to/proto/qmtp.txt): packages of a message, its sender and its recipients, with a reply for each recipient.

use super::address::EnvelopeAddress;
use super::engine::{RecipientList, Session};
use super::netstrings::{CountedBody, LineEnds, Netstring};
use super::qmail_reply::{bad_recipient, bad_sender, write_outcome};
use super::tolerance::{MAX_RECIPIENTS, Tolerance};
use super::{Recipients, SessionEnd};
use crate::transport::{Failure, FailureReason, SpooledMessage};

/// The longest sender or list of recipients that is read. It bounds the replies to a list of very short addresses.
const MAX_ADDRESSES: u64 = 1 << 20;
/// Equal replies that are sent at once.
const REPLIES: usize = 1000;

/// Receives packages until the peer closes the connection between two of them.
pub(super) fn converse<R: Recipients>(session: &mut Session<'_, R>) -> Result<(), SessionEnd> {
    while session.begins_message()? {
        let package = receive(session)?;
        answer(session, package)?;
        if session.tolerance.is_exhausted() {
            return Err(SessionEnd::TooManyErrors);
        }
    }
    Ok(())
}

/// A complete package.
struct Package {
    message: Result<SpooledMessage, Failure>,
    sender: Option<EnvelopeAddress>,
    /// In order; `None` for one that is too long or contains a NUL.
    recipients: Vec<Option<EnvelopeAddress>>,
    /// The number of recipients after these.
    surplus: usize,
}

fn receive<R: Recipients>(session: &mut Session<'_, R>) -> Result<Package, SessionEnd> {
    let mut connection = Netstring::connection();
    let max_length = session.max_announced();
    let mut body = connection.open(&mut session.wire, max_length)?;
    let line_ends = match body.byte(&mut session.wire)? {
        b'\n' => LineEnds::Lf,
        b'\r' => LineEnds::Crlf,
        _ => return Err(SessionEnd::ProtocolError("the peer sent a message without a line convention")),
    };
    let message = session.receive(&mut CountedBody::new(&mut body, line_ends))?;
    let wire = &mut session.wire;
    body.close(wire)?;
    let sender = connection.open(wire, MAX_ADDRESSES)?.into_address(wire)?;
    let mut list = connection.open(wire, MAX_ADDRESSES)?;
    let (mut recipients, mut surplus) = (Vec::new(), 0);
    while list.left() > 0 {
        let recipient = list.open(wire, MAX_ADDRESSES)?.into_address(wire)?;
        match recipients.len() {
            MAX_RECIPIENTS => surplus += 1,
            _ => recipients.push(recipient.map(|address| EnvelopeAddress::from_raw(&address))),
        }
    }
    list.close(wire)?;
    let (message, sender) = match sender {
        Some(sender) => (message, EnvelopeAddress::from_raw_sender(&sender)),
        None => (message.and_then(|_| Err(bad_sender())), None),
    };
    Ok(Package { message, sender, recipients, surplus })
}

/// Delivers a package. A package without recipients has no reply, and is dropped.
fn answer<R: Recipients>(session: &mut Session<'_, R>, package: Package) -> Result<(), SessionEnd> {
    let Package { message, sender, recipients, surplus } = package;
    let mut list = RecipientList::new();
    for recipient in recipients {
        match (recipient, &message) {
            (None, _) => list.refuse(bad_recipient()),
            (Some(_), Err(failure)) => list.refuse(failure.clone()),
            (Some(address), Ok(_)) => session.add_recipient(&mut list, address),
        }
    }
    let delivered = session.deliver(&message, sender.as_ref(), &list, write_outcome)?;
    refuse_surplus(session, surplus)?;
    match (delivered, list.len()) {
        (0, 0) => session.tolerance.idle += 1,
        (0, refused) => session.tolerance.refused_recipients += refused,
        _ => session.tolerance = Tolerance::default(),
    }
    Ok(())
}

fn refuse_surplus<R: Recipients>(session: &mut Session<'_, R>, count: usize) -> Result<(), SessionEnd> {
    let text = format!("a message can have at most {MAX_RECIPIENTS} recipients; send it to this one again");
    let mut reply = Vec::new();
    write_outcome(&Err(Failure::new(FailureReason::TooManyRecipients, text)), &mut reply);
    for n in 1..=count {
        session.wire.reply(&reply);
        if n % REPLIES == 0 || n == count {
            session.wire.flush()?;
        }
    }
    Ok(())
}
