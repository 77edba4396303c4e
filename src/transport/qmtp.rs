//! QMTP (cr.yp.to/proto/qmtp.txt): a message, its sender and its recipients in three netstrings, sent without
//! waiting for anything, and then an answer for each recipient, in order.

use super::net::{Broken, Connection};
use super::netstring;
use super::outcome::Outcome;
use super::{Envelope, Message, qmqp};

/// Sends a message. An answer that does not come, or is none, is that of all recipients from there on.
///
/// The first byte tells how lines end. A message in which each ends in CRLF goes as such a one, and the server
/// writes the ends that its machine has; all others go byte for byte, their LF being the ends.
pub fn send(connection: &mut Connection<'_>, message: &Message<'_>, envelope: &Envelope) -> Vec<Outcome> {
    let count = envelope.recipients.len();
    if let Err(broken) = hand_over(connection, message, envelope) {
        // The server forgets a package that has no end.
        return vec![Outcome::broken(&broken, false); count];
    }
    let mut outcomes = Vec::with_capacity(count);
    while outcomes.len() < count {
        match qmqp::answer(connection) {
            Ok(content) => outcomes.push(qmqp::judged(&content)),
            Err(broken) => outcomes.resize(count, Outcome::broken(&broken, true)),
        }
    }
    outcomes
}

fn hand_over(
    connection: &mut Connection<'_>,
    message: &Message<'_>,
    envelope: &Envelope,
) -> Result<(), Broken> {
    let lines = if ends_in_crlf(message)? { b"\r" } else { b"\n" };
    let recipients: Vec<u8> = envelope.recipients.iter().flat_map(|r| netstring::encoded(r)).collect();
    connection.put(netstring::head(message.length() + 1).as_bytes())?;
    connection.put(lines)?;
    message.each_chunk(&mut |bytes| connection.put(bytes))?;
    connection.put(b",")?;
    connection.put(&netstring::encoded(&envelope.sender))?;
    connection.put(netstring::head(recipients.len() as u64).as_bytes())?;
    connection.put(&recipients)?;
    connection.finish(b",")
}

/// Whether it has lines, and all of them end in CRLF.
fn ends_in_crlf(message: &Message<'_>) -> Result<bool, Broken> {
    let (mut last, mut lines, mut bare) = (0, 0u64, 0u64);
    message.each_chunk(&mut |bytes| {
        for lf in memchr::memchr_iter(b'\n', bytes) {
            let before = if lf == 0 { last } else { bytes[lf - 1] };
            lines += 1;
            bare += u64::from(before != b'\r');
        }
        last = bytes.last().copied().unwrap_or(last);
        Ok(())
    })?;
    Ok(lines > 0 && bare == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Fate::{self, *};
    use crate::transport::peer::{HASTY, PATIENT, Peer, envelope, fates, letter};

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
            let peer = Peer::plays(move |talk| {
                talk.hear(length);
                talk.say("2:Ko,");
            });
            let letter = letter(message);
            let message = Message { top, letter: &letter, from: 0 };
            let envelope = envelope("s@x.example", &["a@local.example"]);
            let outcomes = send(&mut peer.connect(PATIENT), &message, &envelope);
            assert_eq!(fates(&outcomes), [Accepted]);
            assert_eq!(peer.heard(), want);
        }
    }

    #[test]
    fn each_recipient_has_an_answer_in_its_order_and_a_missing_one_is_temporary() {
        let answers: [(&[u8], [Fate; 3]); 10] = [
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
            let letter = letter(MESSAGE);
            let peer = Peer::plays(move |talk| {
                talk.hear(59);
                talk.say(answer);
            });
            let envelope = envelope("s@x.example", &["a@b", "a@b", "c@d"]);
            let outcomes = send(&mut peer.connect(PATIENT), &Message::whole(&letter), &envelope);
            assert_eq!(fates(&outcomes), want, "{answer:?}");
            assert_eq!(peer.heard(), b"18:\nSubject: x\n\nbody\n,11:s@x.example,18:3:a@b,3:a@b,3:c@d,,");
        }
    }

    #[test]
    fn a_peer_that_goes_before_the_end_has_nothing() {
        let peer = Peer::plays(|talk| talk.hear(10));
        let letter = letter(&b"x\n".repeat(10_000_000));
        let outcomes =
            send(&mut peer.connect(PATIENT), &Message::whole(&letter), &envelope("", &["a@b", "c@d"]));
        assert_eq!(fates(&outcomes), [Temporary; 2]);
        let peer = Peer::plays(|talk| talk.rest());
        let short = Message { top: MESSAGE, letter: &letter, from: letter.length() };
        let outcomes = send(&mut peer.connect(HASTY), &short, &envelope("", &["a@b", "c@d"]));
        assert_eq!(fates(&outcomes), [Unsure; 2]);
    }
}
