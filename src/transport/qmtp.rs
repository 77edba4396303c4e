//! QMTP (cr.yp.to/proto/qmtp.txt): message, sender and recipients in three netstrings, then one reply per recipient.
//!
//! All three are sent without waiting.

use super::spool::LineCounts;
use super::{Connection, Outcome, OutgoingMessage, TransportError, netstring, qmqp};

/// Sends a message. Where a reply is missing or invalid, the same holds for all later recipients.
///
/// The first byte declares the line ends. A message in which every line ends in CRLF is sent as such, and the server
/// writes its native line ends. Any other message is sent with LF as its line end, byte for byte.
pub(crate) fn send(connection: &mut Connection<'_>, message: &OutgoingMessage<'_>) -> Vec<Outcome> {
    let count = message.envelope.recipients.len();
    if let Err(error) = send_request(connection, message) {
        // A server discards an incomplete request.
        return vec![Outcome::not_sent(&error); count];
    }
    let mut outcomes = Vec::with_capacity(count);
    while outcomes.len() < count {
        match qmqp::read_reply(connection) {
            Ok(content) => outcomes.push(qmqp::parse_reply(&content)),
            Err(error) => outcomes.resize(count, Outcome::unconfirmed(&error)),
        }
    }
    outcomes
}

fn send_request(
    connection: &mut Connection<'_>,
    message: &OutgoingMessage<'_>,
) -> Result<(), TransportError> {
    let envelope = message.envelope;
    let mut lines = LineCounts::default();
    message.for_each_chunk(&mut |bytes| {
        lines.push(bytes);
        Ok(())
    })?;
    let line_end = if lines.lines > 0 && lines.bare_lfs == 0 { b"\r" } else { b"\n" };
    let recipients: Vec<u8> = envelope.recipients.iter().flat_map(|r| netstring::encode(r)).collect();
    connection.write(netstring::length_prefix(message.length() + 1).as_bytes())?;
    connection.write(line_end)?;
    message.for_each_chunk(&mut |bytes| connection.write(bytes))?;
    connection.write(b",")?;
    connection.write(&netstring::encode(&envelope.sender))?;
    connection.write(netstring::length_prefix(recipients.len() as u64).as_bytes())?;
    connection.write(&recipients)?;
    connection.finish(b",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::outcome::OutcomeKind::{self, *};
    use crate::transport::peer::{HASTY, PATIENT, Peer, envelope, kinds, spooled};

    const MESSAGE: &[u8] = b"Subject: x\n\nbody\n";

    #[test]
    fn lines_are_those_of_the_message() {
        for (top, message, wire) in [
            (&b""[..], MESSAGE, &b"18:\nSubject: x\n\nbody\n,"[..]),
            (b"", b"Subject: x\r\n\r\nbody\r\n", b"21:\rSubject: x\r\n\r\nbody\r\n,"),
            (b"", b"A\r\nB\n", b"6:\nA\r\nB\n,"),
            (b"", b"\nA", b"3:\n\nA,"),
            (b"", b"", b"1:\n,"),
            (b"", b"no end", b"7:\nno end,"),
            (b"D: a\n", b"A\n", b"8:\nD: a\nA\n,"),
            (b"D: a\r\n", b"A\r\n", b"10:\rD: a\r\nA\r\n,"),
            (b"D: a\n", b"A\r\n", b"9:\nD: a\nA\r\n,"),
        ] {
            let want = [wire, b"11:s@x.example,19:15:a@local.example,,"].concat();
            let length = want.len();
            let peer = Peer::spawn(move |talk| {
                talk.receive(length);
                talk.send("2:Ko,");
            });
            let message = spooled(message);
            let envelope = envelope("s@x.example", &["a@local.example"]);
            let message = OutgoingMessage { prefix: top, ..OutgoingMessage::unmodified(&message, &envelope) };
            let outcomes = send(&mut peer.connect(PATIENT), &message);
            assert_eq!(kinds(&outcomes), [Accepted]);
            assert_eq!(peer.received(), want);
        }
    }

    #[test]
    fn each_recipient_has_an_answer_in_its_order_and_a_missing_one_is_temporary() {
        let answers: [(&[u8], [OutcomeKind; 3]); 10] = [
            (b"2:Ka,2:Zb,2:Dc,", [Accepted, Temporary, Permanent]),
            (b"2:Ka,2:Ka,2:Ka,2:Ka,", [Accepted; 3]),
            (b"2:Ka,", [Accepted, Unsure, Unsure]),
            (b"", [Unsure; 3]),
            (b"2:Da,2:Kb", [Permanent, Unsure, Unsure]),
            (b"2:Ka,2:xb,2:Kc,", [Accepted, Unsure, Accepted]),
            (b"2:Ka,0:,2:Kc,", [Accepted, Unsure, Accepted]),
            (b"2:Ka,02:Kb,2:Kc,", [Accepted, Unsure, Unsure]),
            (b"2:Ka,1000000000:Kb", [Accepted, Unsure, Unsure]),
            (b"KKK", [Unsure; 3]),
        ];
        for (answer, want) in answers {
            let message = spooled(MESSAGE);
            let peer = Peer::spawn(move |talk| {
                talk.receive(59);
                talk.send(answer);
            });
            let envelope = envelope("s@x.example", &["a@b", "a@b", "c@d"]);
            let outcomes =
                send(&mut peer.connect(PATIENT), &OutgoingMessage::unmodified(&message, &envelope));
            assert_eq!(kinds(&outcomes), want, "{answer:?}");
            assert_eq!(peer.received(), b"18:\nSubject: x\n\nbody\n,11:s@x.example,18:3:a@b,3:a@b,3:c@d,,");
        }
    }

    #[test]
    fn a_peer_that_goes_before_the_end_has_nothing() {
        let peer = Peer::spawn(|talk| talk.receive(10));
        let message = spooled(&b"x\n".repeat(10_000_000));
        let envelope = envelope("", &["a@b", "c@d"]);
        let outgoing = OutgoingMessage::unmodified(&message, &envelope);
        let outcomes = send(&mut peer.connect(PATIENT), &outgoing);
        assert_eq!(kinds(&outcomes), [Temporary; 2]);
        let peer = Peer::spawn(|talk| talk.rest());
        let short = OutgoingMessage { prefix: MESSAGE, offset: message.length(), ..outgoing };
        let outcomes = send(&mut peer.connect(HASTY), &short);
        assert_eq!(kinds(&outcomes), [Unsure; 2]);
    }
}
