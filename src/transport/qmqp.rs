//! QMQP (cr.yp.to/proto/qmqp.html): one message per connection, and one reply for all its recipients.
//!
//! A QMQP server accepts mail from every client that may connect. It is for servers that restrict clients by address.

use super::netstring::{self, Decoder};
use super::{Connection, Outcome, OutcomeKind, OutgoingMessage, TransportError, outcome};

/// Longer than any real reply.
const MAX_REPLY: usize = 10_000;

/// Sends a message. All recipients have the same outcome.
///
/// The bytes are sent unchanged. Lines must end in LF, which the server converts.
pub(crate) fn send(connection: &mut Connection<'_>, message: &OutgoingMessage<'_>) -> Vec<Outcome> {
    let outcome = exchange(connection, message).unwrap_or_else(|outcome| outcome);
    vec![outcome; message.envelope.recipients.len()]
}

/// Sends a message, which may have no recipients, and returns the reply.
///
/// # Errors
/// The outcome of a message without a reply.
pub(crate) fn exchange(
    connection: &mut Connection<'_>,
    message: &OutgoingMessage<'_>,
) -> Result<Outcome, Outcome> {
    match send_request(connection, message) {
        Ok(()) => match read_reply(connection) {
            Ok(content) => Ok(parse_reply(&content)),
            Err(error) => Err(Outcome::unconfirmed(&error)),
        },
        // Postfix sends its reason before it closes the connection.
        Err(error @ (TransportError::Closed | TransportError::Failed(_) | TransportError::EarlyReply)) => {
            match read_reply(connection).map(|c| parse_reply(&c)) {
                Ok(outcome) if matches!(outcome.kind, OutcomeKind::Temporary | OutcomeKind::Permanent) => {
                    Ok(outcome)
                }
                _ => Err(Outcome::not_sent(&error)),
            }
        }
        Err(error) => Err(Outcome::not_sent(&error)),
    }
}

fn send_request(
    connection: &mut Connection<'_>,
    message: &OutgoingMessage<'_>,
) -> Result<(), TransportError> {
    let envelope = message.envelope;
    let mut addresses = netstring::encode(&envelope.sender);
    for recipient in &envelope.recipients {
        addresses.append(&mut netstring::encode(recipient));
    }
    let length = netstring::encoded_length(message.length()) + addresses.len() as u64;
    connection.write(netstring::length_prefix(length).as_bytes())?;
    connection.write(netstring::length_prefix(message.length()).as_bytes())?;
    message.for_each_chunk(&mut |bytes| connection.write(bytes))?;
    connection.write(b",")?;
    connection.write(&addresses)?;
    connection.finish(b",")
}

/// Reads a netstring and returns its content.
pub(super) fn read_reply(connection: &mut Connection<'_>) -> Result<Vec<u8>, TransportError> {
    let mut decoder = Decoder::new(MAX_REPLY);
    connection.read(connection.timeouts().final_reply, |bytes| {
        let consumed = decoder.take(bytes)?;
        Ok((consumed, decoder.is_complete()))
    })?;
    decoder.finish().ok_or(TransportError::Closed)
}

/// Parses the reply to a complete message, which QMTP shares: `K` is accepted, `Z` temporary, `D` permanent.
pub(crate) fn parse_reply(reply: &[u8]) -> Outcome {
    match reply.split_first() {
        Some((b'K', text)) => Outcome::from_qmail_reply(OutcomeKind::Accepted, text),
        Some((b'Z', text)) => Outcome::from_qmail_reply(OutcomeKind::Temporary, text),
        Some((b'D', text)) => Outcome::from_qmail_reply(OutcomeKind::Permanent, text),
        _ => {
            let text = format!("an invalid answer: {}", outcome::escape_reply(reply));
            Outcome::unconfirmed(&TransportError::Garbled(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::net::Timeouts;
    use crate::transport::peer::{HASTY, PATIENT, Peer, Talk, envelope, kinds, spooled};

    const MESSAGE: &[u8] = b"Subject: x\n\nbody\n";
    const SENT: &[u8] = b"66:17:Subject: x\n\nbody\n,11:s@x.example,11:a@b.example,11:c@d.example,,";

    fn sent(timeouts: Timeouts, part: impl FnOnce(&mut Talk) + Send + 'static) -> (Outcome, Vec<u8>) {
        let peer = Peer::spawn(part);
        let message = spooled(MESSAGE);
        let envelope = envelope("s@x.example", &["a@b.example", "c@d.example"]);
        let mut connection = peer.connect(timeouts);
        let mut outcomes = send(&mut connection, &OutgoingMessage::unmodified(&message, &envelope));
        drop(connection);
        assert_eq!(outcomes.len(), 2);
        let outcome = outcomes.remove(0);
        assert_eq!(outcomes, std::slice::from_ref(&outcome));
        (outcome, peer.received())
    }

    #[test]
    fn what_qmqpc_sends_is_sent_and_the_answer_holds_for_all() {
        for (answer, kind, text, status) in [
            ("18:Kok 981173106 qp 1,", OutcomeKind::Accepted, "ok 981173106 qp 1", None),
            ("26:KOk: queued as 7F609994997,", OutcomeKind::Accepted, "Ok: queued as 7F609994997", None),
            ("12:Dno (#5.3.0),", OutcomeKind::Permanent, "no (#5.3.0)", Some("5.3.0")),
            ("15:Zlater (#4.3.0),", OutcomeKind::Temporary, "later (#4.3.0)", Some("4.3.0")),
            ("1:K,", OutcomeKind::Accepted, "", None),
        ] {
            let (outcome, received) = sent(PATIENT, move |talk| {
                talk.receive(SENT.len());
                talk.send(answer);
            });
            assert_eq!(
                (outcome.kind, outcome.text.as_str(), outcome.status.as_deref()),
                (kind, text, status)
            );
            assert_eq!(received, SENT);
        }
    }

    #[test]
    fn what_is_no_answer_to_the_whole_message_is_never_taken_for_one() {
        let garbage: [&[u8]; 11] = [
            b"",
            b"K",
            b"18:Kok",
            b"hello K",
            b"5:Kokay",
            b"01:K,",
            b"0:,",
            b"2:xK,",
            b"K,",
            b"1000000000:K",
            b"99999999999999999999:K",
        ];
        for answer in garbage {
            let (outcome, received) = sent(PATIENT, move |talk| {
                talk.receive(SENT.len());
                talk.send(answer);
            });
            assert_eq!(outcome.kind, OutcomeKind::Unsure, "{answer:?}: {outcome}");
            assert_eq!(received, SENT);
        }
    }

    #[test]
    fn a_peer_that_hangs_or_dribbles_has_accepted_nothing_that_we_know_of() {
        let (outcome, _) = sent(HASTY, |talk| talk.rest());
        assert_eq!(outcome.kind, OutcomeKind::Unsure, "{outcome}");
        let (outcome, _) = sent(HASTY, |talk| {
            talk.receive(SENT.len());
            for byte in b"9:Kok okok,".chunks(1) {
                std::thread::sleep(HASTY.final_reply / 3);
                talk.send(byte);
            }
        });
        assert_eq!(outcome.kind, OutcomeKind::Unsure, "{outcome}");
    }

    #[test]
    fn what_comes_before_the_last_byte_is_no_acceptance() {
        for (answer, kind) in [
            ("2:Ko,", OutcomeKind::Temporary),
            ("2:Do,", OutcomeKind::Permanent),
            ("x", OutcomeKind::Temporary),
        ] {
            let peer = Peer::spawn(move |talk| {
                talk.send(answer);
                talk.rest();
            });
            let message = spooled(MESSAGE);
            let mut connection = peer.connect(PATIENT);
            // It has come before we say anything.
            connection.read(PATIENT.reply, |bytes| Ok((0, !bytes.is_empty()))).unwrap();
            let outcomes =
                send(&mut connection, &OutgoingMessage::unmodified(&message, &envelope("", &["a@b"])));
            assert_eq!(kinds(&outcomes), [kind], "{answer}");
            drop(connection);
            assert!(!peer.received().ends_with(b",,"));
        }
    }
}
