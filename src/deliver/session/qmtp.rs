//! QMTP (cr.yp.to/proto/qmtp.txt): packages of a message, its sender and its recipients, with a reply for each recipient.

use super::address::EnvelopeAddress;
use super::engine::{ReceivedMessage, RecipientList, Session};
use super::netstrings::{CountedBody, LineEnds, Netstring, have_arrived};
use super::qmail_reply::{bad_recipient, bad_sender, write_outcome};
use super::tolerance::{MAX_RECIPIENTS, Tolerance};
use super::{Recipients, SessionEnd};
use crate::transport::{Failure, FailureReason};

/// The longest sender or list of recipients that is read. It bounds the replies to a list of very short addresses.
const MAX_ADDRESSES: u64 = 1 << 20;
/// Equal replies that are sent at once.
const REPLIES: usize = 1000;

/// Receives packages until the peer closes the connection between two of them. Packages that have arrived together are
/// delivered together.
pub(super) fn converse<R: Recipients>(session: &mut Session<'_, R>) -> Result<(), SessionEnd> {
    while session.begins_message()? {
        let mut batch = vec![receive(session)?];
        let mut next = Ok(());
        while may_wait(session, &batch) && have_arrived(session.wire.unread(), PARTS) {
            match receive(session) {
                Ok(package) => batch.push(package),
                Err(end) => {
                    next = Err(end);
                    break;
                }
            }
        }
        answer(session, batch)?;
        next?;
        if session.tolerance.is_exhausted() {
            return Err(SessionEnd::TooManyErrors);
        }
    }
    Ok(())
}

/// Reports whether the replies to these packages can wait for those to the next. They cannot if a reply is known already, or
/// if failures of all would exhaust the tolerance.
fn may_wait<R: Recipients>(session: &Session<'_, R>, batch: &[Package<R::Mailbox>]) -> bool {
    let count: usize = batch.iter().map(|package| package.received.recipients.len()).sum();
    let is_open = batch.last().is_some_and(|Package { received, surplus }| {
        received.message.is_ok() && *surplus == 0 && received.recipients.are_all_accepted()
    });
    is_open && session.tolerance.refused_recipients + count < MAX_RECIPIENTS
}

/// Netstrings of a package: the message, the sender and the recipients.
const PARTS: usize = 3;

/// A complete package.
struct Package<M> {
    received: ReceivedMessage<M>,
    /// The number of recipients after those that have been looked up.
    surplus: usize,
}

fn receive<R: Recipients>(session: &mut Session<'_, R>) -> Result<Package<R::Mailbox>, SessionEnd> {
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
    let mut list = RecipientList::new();
    for recipient in recipients {
        match (recipient, &message) {
            (None, _) => list.refuse(bad_recipient()),
            (Some(_), Err(failure)) => list.refuse(failure.clone()),
            (Some(address), Ok(_)) => session.add_recipient(&mut list, address),
        }
    }
    Ok(Package { received: ReceivedMessage { message, sender, recipients: list }, surplus })
}

/// Delivers packages. A package without recipients has no reply, and is dropped. Only the last can have surplus recipients.
fn answer<R: Recipients>(
    session: &mut Session<'_, R>,
    packages: Vec<Package<R::Mailbox>>,
) -> Result<(), SessionEnd> {
    let surplus = packages.last().map_or(0, |package| package.surplus);
    let received: Vec<_> = packages.into_iter().map(|package| package.received).collect();
    let delivered = session.deliver(&received, write_outcome)?;
    refuse_surplus(session, surplus)?;
    for (delivered, ReceivedMessage { recipients, .. }) in delivered.into_iter().zip(&received) {
        match (delivered, recipients.len()) {
            (0, 0) => session.tolerance.idle += 1,
            (0, refused) => session.tolerance.refused_recipients += refused,
            _ => session.tolerance = Tolerance::default(),
        }
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::deliver::session::Protocol;
    use crate::mailbox::Cancel;
    use crate::promises::{self, Script, Transcript};
    use crate::transport::netstring::{encode, encoded_length};
    use crate::transport::peer::{PATIENT, Peer, spooled};
    use crate::transport::{Connection, Envelope, Outcome as ClientOutcome, OutgoingMessage, qmtp as client};

    fn play(wire: &[u8], max_size: Option<u64>) -> Transcript {
        promises::play_session(Protocol::Qmtp, Script::of(wire, &[]), max_size)
    }

    fn check(wire: &str, max_size: Option<u64>, want: Expect) {
        want.assert_eq(&play(wire.as_bytes(), max_size).to_string());
    }

    /// A package for recipients with these local parts.
    fn package(body: &str, recipients: &[&str]) -> Vec<u8> {
        let list: Vec<u8> =
            recipients.iter().flat_map(|local| encode(format!("{local}@h").as_bytes())).collect();
        [encode(body.as_bytes()), encode(b"s@x"), encode(&list)].concat()
    }

    #[test]
    fn each_recipient_of_each_package_has_a_reply_in_order() {
        let first = package("\nA: 1\r\n\nx", &["nobody", "joe", "full", "joe", "busy", "nobody"]);
        let second = package("\rA\r\n\r\r\n\n\r", &["ann"]);
        check(
            &String::from_utf8([first, second].concat()).unwrap(),
            None,
            expect![[r#"
                Dthere is no nobody (#5.1.1)
                Kok: joe@h has it (#2.0.0)
                Dfull is over quota (#5.2.2)
                Kok: joe@h has it (#2.0.0)
                Zbusy is locked (#4.2.0)
                Dthere is no nobody (#5.1.1)
                Kok: ann@h has it (#2.0.0)
                <s@x> to joe@h: "A: 1\r\n\nx"
                <s@x> to joe@h: "A: 1\r\n\nx"
                <s@x> to ann@h: "A\n\r\n\n\r"
                Orderly
            "#]],
        );
    }

    #[test]
    fn a_malformed_package_costs_no_earlier_reply_and_delivers_nothing() {
        let good = package("\nx", &["joe"]);
        for bad in [
            "5:xxxxx,",
            "0:,",
            "1:\n;",
            "01:\n,",
            ":,",
            "x",
            "2:\nx,3:s@x,06:5:joe@h,,",
            "2:\nx,3:s@x,8:50:joe@h,,",
            "2:\nx,3:s@x,7:4:joe@h,,",
            "2:\nx,3:s@x,9:5:joe@h,,",
            "2:\nx,3:s@x,8:5:joe@h,;",
            "99999999999999999999999999:",
            "2:\nx,3:s@x,1048577:",
        ] {
            let spoken = play(&[&good[..], bad.as_bytes(), b"8:5:joe@h,,,"].concat(), None);
            assert_eq!(spoken.replies, ["Kok: joe@h has it (#2.0.0)"], "{bad}");
            assert_eq!(spoken.delivered.len(), 1, "{bad}");
            assert!(matches!(spoken.ending, SessionEnd::ProtocolError(_)), "{bad}: {:?}", spoken.ending);
        }
    }

    #[test]
    fn a_package_without_its_end_is_dropped() {
        let two = package("\nx", &["joe"]).repeat(2);
        for until in two.len() / 2..=two.len() {
            let spoken = play(&two[..until], None);
            let (count, ending) = match until {
                _ if until == two.len() / 2 => (1, "Orderly"),
                _ if until == two.len() => (2, "Orderly"),
                _ => (1, "Disconnected"),
            };
            assert_eq!((spoken.delivered.len(), format!("{:?}", spoken.ending)), (count, ending.into()));
        }
    }

    #[test]
    fn a_bad_address_is_refused_and_the_others_are_not() {
        let long = "r".repeat(1000);
        let wire = [
            encode(b"\nx"),
            encode(b"s@x"),
            encode(&[encode(long.as_bytes()), encode(b"a\0@h"), encode(&long.as_bytes()[1..])].concat()),
        ];
        let spoken = play(&wire.concat(), None);
        let classes: Vec<&str> = spoken.replies.iter().map(|reply| &reply[..1]).collect();
        assert_eq!((classes, spoken.delivered.len()), (vec!["D", "D", "K"], 1));
        for sender in [long.as_bytes(), b"s\0@x"] {
            let wire = [encode(b"\nx"), encode(sender), encode(&encode(b"joe@h").repeat(2))];
            let spoken = play(&wire.concat(), None);
            assert!(spoken.replies.iter().all(|reply| reply.ends_with("(#5.1.7)")), "{:?}", spoken.replies);
            assert_eq!((spoken.replies.len(), spoken.delivered.len()), (2, 0));
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_refused_for_each_recipient() {
        let wire = [
            package("\n0123456789", &["joe"]),
            package("\n0123456789a", &["joe", "ann"]),
            package("\r01234567\r\n\r\n", &["joe"]),
        ];
        check(
            &String::from_utf8(wire.concat()).unwrap(),
            Some(10),
            expect![[r#"
                Kok: joe@h has it (#2.0.0)
                Dthe message has 11 bytes, 10 are allowed (#5.3.4)
                Dthe message has 11 bytes, 10 are allowed (#5.3.4)
                Kok: joe@h has it (#2.0.0)
                <s@x> to joe@h: "0123456789"
                <s@x> to joe@h: "01234567\n\n"
                Orderly
            "#]],
        );
        // It is too large by far, and not read at all.
        let spoken = play(b"1073741826:\nx", Some(10));
        assert!(spoken.replies.is_empty() && matches!(spoken.ending, SessionEnd::ProtocolError(_)));
    }

    #[test]
    fn recipients_and_packages_without_effect_are_limited() {
        let spoken = play(&package("\nx", &["joe"; MAX_RECIPIENTS + 1500]), None);
        let count = |end: &str| spoken.replies.iter().filter(|reply| reply.ends_with(end)).count();
        assert_eq!((count("(#2.0.0)"), count("(#4.5.3)"), spoken.delivered.len()), (1000, 1500, 1000));
        let spoken = play(&package("\nx", &["nobody"; 100]).repeat(20), None);
        assert_eq!((spoken.replies.len(), format!("{:?}", spoken.ending)), (1000, "TooManyErrors".into()));
        let spoken = play(&package("\nx", &[]).repeat(200), None);
        assert_eq!((spoken.replies.len(), format!("{:?}", spoken.ending)), (0, "TooManyErrors".into()));
        let mixed = [package("\nx", &[]), package("\nx", &["joe"])].concat();
        assert_eq!(play(&mixed.repeat(200), None).delivered.len(), 200);
    }

    #[test]
    fn each_reply_is_sent_at_once() {
        assert_eq!(play(&package("\nx", &["joe", "ann", "full"]).repeat(2), None).writes, 6);
    }

    #[test]
    fn silence_and_signals_end_a_session_without_a_reply() {
        let package = package("\nx", &["joe"]);
        let mut script = Script::of(&package[..package.len() - 1], &[]);
        script.end = Some(std::io::ErrorKind::TimedOut);
        let spoken = promises::play_session(Protocol::Qmtp, script, None);
        assert!(spoken.replies.is_empty() && matches!(spoken.ending, SessionEnd::TimedOut));
        let script = Script::of(&package, &[]);
        let spoken = promises::play_session_until(Protocol::Qmtp, script, None, Cancel::requested());
        assert!(spoken.delivered.is_empty() && matches!(spoken.ending, SessionEnd::Interrupted));
    }

    /// Returns what mailferry's own client sends for a request of this length.
    fn sent_by_client(
        send: fn(&mut Connection<'_>, &OutgoingMessage<'_>) -> Vec<ClientOutcome>,
        message: &OutgoingMessage<'_>,
        length: u64,
    ) -> Vec<u8> {
        let count = message.envelope.recipients.len();
        let server = Peer::spawn(move |talk| {
            talk.receive(length as usize);
            talk.send("2:Ko,".repeat(count));
        });
        send(&mut server.connect(PATIENT), message);
        server.received()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_mailferrys_own_client_sends_is_received(
            text in prop_oneof!["[a\r\n\0]{0,60}", "([a\0]{0,5}\r\n){0,6}"],
            recipients in proptest::collection::vec("(joe|ann)@h", 1..6),
        ) {
            let envelope = Envelope {
                sender: b"s@x".to_vec(),
                recipients: recipients.iter().map(|recipient| recipient.as_bytes().to_vec()).collect(),
            };
            let message = spooled(text.as_bytes());
            let message = OutgoingMessage::unmodified(&message, &envelope);
            let addresses: Vec<u8> = envelope.recipients.iter().flat_map(|recipient| encode(recipient)).collect();
            let with_envelope = |length: u64| encoded_length(length) + encoded_length(3);

            let length = with_envelope(message.length() + 1) + encoded_length(addresses.len() as u64);
            let spoken = play(&sent_by_client(client::send, &message, length), None);
            // Lines that all end in CRLF are sent as such, and the server writes its own.
            let is_crlf = text.matches('\n').count() == text.matches("\r\n").count();
            let want = if is_crlf { text.replace("\r\n", "\n") } else { text.clone() };
            prop_assert_eq!(spoken.replies.len(), recipients.len());
            prop_assert!(spoken.delivered.iter().all(|(_, _, got)| got == want.as_bytes()), "{}", spoken);
            let to: Vec<&str> = spoken.delivered.iter().map(|(_, to, _)| &to[..]).collect();
            prop_assert_eq!(to, recipients.iter().map(String::as_str).collect::<Vec<_>>());

            let length = encoded_length(with_envelope(message.length()) + addresses.len() as u64);
            let wire = sent_by_client(crate::transport::qmqp::send, &message, length);
            let spoken = promises::play_session(Protocol::Qmqp, Script::of(&wire, &[]), None);
            prop_assert_eq!((spoken.replies.len(), spoken.delivered.len()), (1, recipients.len()));
            prop_assert!(spoken.delivered.iter().all(|(_, _, got)| got == text.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn chunks_change_nothing_and_a_cut_delivers_nothing_partial(
            parts in proptest::collection::vec(prop_oneof![
                Just("2:\nx,"), Just("4:\rx\r\n,"), Just("3:s@x,"), Just("0:,"), Just("8:5:joe@h,,"),
                Just("18:6:full@h,6:busy@h,,"), Just("1:"), Just("x"), Just(","), Just("007:"),
            ], 0..12),
            cuts in proptest::collection::vec(1usize..20, 0..30),
            until in any::<proptest::sample::Index>(),
        ) {
            let wire = format!("2:\nx,3:s@x,8:5:joe@h,,{}", parts.concat());
            promises::qmail_sessions(wire.as_bytes(), &cuts, until.index(wire.len()));
        }

        #[test]
        fn any_message_arrives_as_it_was_sent(
            message in "[a\r\n\0]{0,110}",
            sender in prop_oneof![Just(String::new()), "[a-z@ \0\"]{1,9}", "[a-z@]{998,1001}"],
            recipients in proptest::collection::vec("(joe|nobody|full|busy|[a-z \0\"]{0,9})@?[h@]{0,2}", 0..6),
            cuts in proptest::collection::vec(1usize..20, 0..30),
        ) {
            let recipients: Vec<&[u8]> = recipients.iter().map(|recipient| recipient.as_bytes()).collect();
            promises::qmail_message(message.as_bytes(), sender.as_bytes(), &recipients, &cuts);
        }
    }
}
