//! QMQP (cr.yp.to/proto/qmqp.html): one message to a connection, one answer for all its recipients. Whoever may
//! connect may send: it is for a server that trusts its clients by their address.

use super::net::{Broken, Connection};
use super::netstring::{self, Decoder};
use super::outcome::{Fate, Outcome};
use super::{Envelope, Message};

/// More than any server has to say.
const LONGEST_ANSWER: usize = 10_000;

/// Sends a message. All recipients have the same outcome.
///
/// The bytes go as they are; what a line is, the server knows. It must have LF at the end of each.
pub fn send(connection: &mut Connection<'_>, message: &Message<'_>, envelope: &Envelope) -> Vec<Outcome> {
    let outcome = match hand_over(connection, message, envelope) {
        Ok(()) => match answer(connection) {
            Ok(content) => judged(&content),
            Err(broken) => Outcome::broken(&broken, true),
        },
        // It may have said why: Postfix refuses before the end.
        Err(broken @ (Broken::Closed | Broken::Failed(_) | Broken::Early)) => {
            match answer(connection).map(|c| judged(&c)) {
                Ok(outcome) if matches!(outcome.fate, Fate::Temporary | Fate::Permanent) => outcome,
                _ => Outcome::broken(&broken, false),
            }
        }
        Err(broken) => Outcome::broken(&broken, false),
    };
    vec![outcome; envelope.recipients.len()]
}

fn hand_over(
    connection: &mut Connection<'_>,
    message: &Message<'_>,
    envelope: &Envelope,
) -> Result<(), Broken> {
    let mut addresses = netstring::encoded(&envelope.sender);
    for recipient in &envelope.recipients {
        addresses.append(&mut netstring::encoded(recipient));
    }
    let length = netstring::length_of(message.length()) + addresses.len() as u64;
    connection.put(netstring::head(length).as_bytes())?;
    connection.put(netstring::head(message.length()).as_bytes())?;
    message.each_chunk(&mut |bytes| connection.put(bytes))?;
    connection.put(b",")?;
    connection.put(&addresses)?;
    connection.finish(b",")
}

/// The content of the next netstring.
pub(crate) fn answer(connection: &mut Connection<'_>) -> Result<Vec<u8>, Broken> {
    let mut decoder = Decoder::new(LONGEST_ANSWER);
    connection.read(connection.patience().verdict, |bytes| {
        let taken = decoder.take(bytes)?;
        Ok((taken, decoder.is_at_end()))
    })?;
    decoder.finish().ok_or(Broken::Closed)
}

/// What an answer to a whole message means: `K` accepted, `Z` not now, `D` not ever. QMTP has the same.
pub fn judged(answer: &[u8]) -> Outcome {
    match answer.split_first() {
        Some((b'K', text)) => Outcome::said(Fate::Accepted, text),
        Some((b'Z', text)) => Outcome::said(Fate::Temporary, text),
        Some((b'D', text)) => Outcome::said(Fate::Permanent, text),
        _ => {
            let text = format!("an answer that is none: {}", super::outcome::told(answer));
            Outcome::broken(&Broken::Garbled(text), true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::net::Patience;
    use crate::transport::peer::{HASTY, PATIENT, Peer, Talk, envelope, fates, letter};

    const MESSAGE: &[u8] = b"Subject: x\n\nbody\n";
    const SENT: &[u8] = b"66:17:Subject: x\n\nbody\n,11:s@x.example,11:a@b.example,11:c@d.example,,";

    fn sent(patience: Patience<'_>, part: impl FnOnce(&mut Talk) + Send + 'static) -> (Outcome, Vec<u8>) {
        let peer = Peer::plays(part);
        let letter = letter(MESSAGE);
        let envelope = envelope("s@x.example", &["a@b.example", "c@d.example"]);
        let mut connection = peer.connect(patience);
        let mut outcomes = send(&mut connection, &Message::whole(&letter), &envelope);
        drop(connection);
        assert_eq!(outcomes.len(), 2);
        let outcome = outcomes.remove(0);
        assert_eq!(outcomes, std::slice::from_ref(&outcome));
        (outcome, peer.heard())
    }

    #[test]
    fn what_qmqpc_sends_is_sent_and_the_answer_holds_for_all() {
        for (answer, fate, text, status) in [
            ("18:Kok 981173106 qp 1,", Fate::Accepted, "ok 981173106 qp 1", None),
            ("26:KOk: queued as 7F609994997,", Fate::Accepted, "Ok: queued as 7F609994997", None),
            ("12:Dno (#5.3.0),", Fate::Permanent, "no (#5.3.0)", Some("5.3.0")),
            ("15:Zlater (#4.3.0),", Fate::Temporary, "later (#4.3.0)", Some("4.3.0")),
            ("1:K,", Fate::Accepted, "", None),
        ] {
            let (outcome, heard) = sent(PATIENT, move |talk| {
                talk.hear(SENT.len());
                talk.say(answer);
            });
            assert_eq!(
                (outcome.fate, outcome.text.as_str(), outcome.status.as_deref()),
                (fate, text, status)
            );
            assert_eq!(heard, SENT);
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
            let (outcome, heard) = sent(PATIENT, move |talk| {
                talk.hear(SENT.len());
                talk.say(answer);
            });
            assert_eq!(outcome.fate, Fate::Unsure, "{answer:?}: {outcome}");
            assert_eq!(heard, SENT);
        }
    }

    #[test]
    fn a_peer_that_hangs_or_dribbles_has_accepted_nothing_that_we_know_of() {
        let (outcome, _) = sent(HASTY, |talk| talk.rest());
        assert_eq!(outcome.fate, Fate::Unsure, "{outcome}");
        let (outcome, _) = sent(HASTY, |talk| {
            talk.hear(SENT.len());
            for byte in b"9:Kok okok,".chunks(1) {
                std::thread::sleep(HASTY.verdict / 3);
                talk.say(byte);
            }
        });
        assert_eq!(outcome.fate, Fate::Unsure, "{outcome}");
    }

    #[test]
    fn what_comes_before_the_last_byte_is_no_acceptance() {
        for (answer, fate) in [("2:Ko,", Fate::Temporary), ("2:Do,", Fate::Permanent), ("x", Fate::Temporary)]
        {
            let peer = Peer::plays(move |talk| {
                talk.say(answer);
                talk.rest();
            });
            let letter = letter(MESSAGE);
            let mut connection = peer.connect(PATIENT);
            // It has come before we say anything.
            connection.read(PATIENT.wait, |bytes| Ok((0, !bytes.is_empty()))).unwrap();
            let outcomes = send(&mut connection, &Message::whole(&letter), &envelope("", &["a@b"]));
            assert_eq!(fates(&outcomes), [fate], "{answer}");
            drop(connection);
            assert!(!peer.heard().ends_with(b",,"));
        }
    }
}
