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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::session::Protocol;
    use crate::promises::{self, Script, Transcript};
    use crate::transport::netstring::encode;

    fn play(wire: &[u8], max_size: Option<u64>) -> Transcript {
        promises::play_session(Protocol::Qmqp, Script::of(wire, &[]), max_size)
    }

    fn request(message: &str, recipients: &[&str]) -> Vec<u8> {
        let addresses: Vec<u8> =
            recipients.iter().flat_map(|local| encode(format!("{local}@h").as_bytes())).collect();
        encode(&[encode(message.as_bytes()), encode(b"s@x"), addresses].concat())
    }

    #[test]
    fn one_reply_is_for_all_recipients() {
        for (recipients, reply, delivered) in [
            (&["joe"][..], "Kok: joe@h has it (#2.0.0)", 1),
            (&["joe", "ann", "joe"], "Kok: joe@h has it, ann@h has it, joe@h has it (#2.0.0)", 3),
            // No one has it if a recipient is known to have no mailbox.
            (&["joe", "nobody"], "Dthere is no nobody (#5.1.1)", 0),
            (&["joe", "busy"], "Zbusy is locked; delivered to 1 other recipient (#4.2.0)", 1),
            (&["full", "joe", "ann"], "Dfull is over quota; delivered to 2 other recipients (#5.2.2)", 2),
            (&["full", "busy"], "Zbusy is locked (#4.2.0)", 0),
            (&["busy", "full"], "Zbusy is locked (#4.2.0)", 0),
            (&[], "Dthe message has no recipients (#5.5.4)", 0),
            (&["joe"; 1001], "Da message can have at most 1000 recipients (#5.5.3)", 0),
        ] {
            let spoken = play(&request("x\0\r\n", recipients), None);
            assert_eq!((spoken.replies, spoken.delivered.len()), (vec![reply.to_owned()], delivered));
            assert!(spoken.delivered.iter().all(|(_, _, text)| text == b"x\0\r\n"));
        }
    }

    #[test]
    fn a_bad_address_is_refused_for_all() {
        for (sender, recipient, status) in [
            (&b"s@x"[..], &b"a\0@h"[..], "(#5.1.3)"),
            (b"s@x", &[b'r'; 1000], "(#5.1.3)"),
            (b"s\0@x", b"a@h", "(#5.1.7)"),
            (&[b's'; 1000], b"a@h", "(#5.1.7)"),
        ] {
            let wire = encode(&[encode(b"x"), encode(sender), encode(b"joe@h"), encode(recipient)].concat());
            let spoken = play(&wire, None);
            assert!(spoken.replies[0].starts_with('D') && spoken.replies[0].ends_with(status));
            assert_eq!((spoken.replies.len(), spoken.delivered.len()), (1, 0));
        }
    }

    #[test]
    fn only_the_first_message_of_a_connection_counts() {
        let spoken = play(&request("x", &["joe"]).repeat(2), None);
        assert_eq!((spoken.replies.len(), spoken.delivered.len()), (1, 1));
        assert!(matches!(spoken.ending, SessionEnd::Orderly));
    }

    #[test]
    fn a_message_that_is_too_large_is_refused() {
        let spoken = play(&request("0123456789a", &["joe"]), Some(10));
        assert_eq!(spoken.replies, ["Dthe message has 11 bytes, 10 are allowed (#5.3.4)"]);
        assert_eq!(play(&request("0123456789", &["joe"]), Some(10)).delivered.len(), 1);
    }

    #[test]
    fn an_incomplete_or_malformed_message_has_no_reply() {
        let good = String::from_utf8(request("x", &["joe"])).unwrap();
        for until in 0..good.len() {
            let spoken = play(&good.as_bytes()[..until], None);
            assert!(spoken.replies.is_empty() && spoken.delivered.is_empty());
            assert_eq!(matches!(spoken.ending, SessionEnd::Orderly), until == 0);
        }
        assert_eq!(good, "18:1:x,3:s@x,5:joe@h,,");
        for bad in [
            "17:1:x,3:s@x,5:joe@h,,",
            "19:1:x,3:s@x,5:joe@h,,,",
            "018:1:x,3:s@x,5:joe@h,,",
            "18:1:x,3:s@x,5:joe@h,;",
            "18:1:x;3:s@x,5:joe@h,,",
            "18:9:x,3:s@x,5:joe@h,,",
            "18:99:x,3:s@x,5:joe@h,,",
            "3:1:x,,",
            ":,",
            "0:,",
        ] {
            let spoken = play(bad.as_bytes(), None);
            assert!(spoken.replies.is_empty() && spoken.delivered.is_empty(), "{bad}");
            assert!(matches!(spoken.ending, SessionEnd::ProtocolError(_)), "{bad}: {:?}", spoken.ending);
        }
    }
}
