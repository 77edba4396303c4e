use super::Protocol::{Lmtp, Smtp};
use super::*;
use crate::transport::Envelope;
use crate::transport::net::Timeouts;
use crate::transport::outcome::OutcomeKind::*;
use crate::transport::peer::{HASTY, PATIENT, Peer, Script, envelope, kinds, spooled};

const MESSAGE: &[u8] = b"Subject: x\n\n.body\n";

fn peer(script: Script) -> Peer {
    Peer::spawn(move |talk| talk.follow(script))
}

fn send_to(
    script: Script,
    protocol: Protocol,
    timeouts: Timeouts,
    message: &[u8],
    envelope: &Envelope,
) -> (Vec<Outcome>, String) {
    let peer = peer(script);
    let message = spooled(message);
    let message = OutgoingMessage::unmodified(&message, envelope);
    let mut connection = peer.connect(timeouts);
    let outcomes = send(&mut connection, protocol, "me.example", &message);
    drop(connection);
    let received = String::from_utf8_lossy(&peer.received()).into_owned();
    #[cfg(feature = "tls")]
    if protocol == Smtp {
        let (over_tls, received_over_tls) =
            crate::transport::tls::tests::submit_to(script, timeouts, &message);
        // How a connection was lost has another text.
        let decisions = |all: &[Outcome]| -> Vec<_> {
            all.iter().map(|outcome| (outcome.kind, outcome.status.clone())).collect()
        };
        assert_eq!(decisions(&over_tls), decisions(&outcomes), "{script:?}");
        assert_eq!(received_over_tls, received, "{script:?}");
    }
    (outcomes, received)
}

fn kinds_of(script: Script, protocol: Protocol) -> Vec<OutcomeKind> {
    let envelope = envelope("s@x", &["a@y", "b@y", "c@y"]);
    kinds(&send_to(script, protocol, PATIENT, MESSAGE, &envelope).0)
}

#[test]
fn a_message_is_sent_as_the_server_wants_it() {
    let (outcomes, received) =
        send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x.example", &["a b@y.example", "\"@y"]));
    assert_eq!(
        received,
        "EHLO me.example\r\nMAIL FROM:<s@x.example> SIZE=21\r\nRCPT TO:<\"a b\"@y.example>\r\nRCPT TO:<\"\\\"\"@y>\r\nDATA\r\n\
         Subject: x\r\n\r\n..body\r\n.\r\nQUIT\r\n"
    );
    assert_eq!(outcomes[0].status.as_deref(), Some("2.0.0"));
    let (_, received) = send_to(&[], Smtp, PATIENT, b"\xe9\n", &envelope("", &["a@y"]));
    assert!(received.contains("MAIL FROM:<> SIZE=3 BODY=8BITMIME\r\n"), "{received}");
    // To an old server.
    let old: Script = &[("EHLO", "502 what?\r\n")];
    let (outcomes, received) = send_to(old, Smtp, PATIENT, b"\xe9", &envelope("s@x", &["a@y"]));
    assert_eq!(kinds(&outcomes), [Accepted]);
    assert!(received.starts_with("EHLO me.example\r\nHELO me.example\r\nMAIL FROM:<s@x>\r\n"), "{received}");
}

#[test]
fn each_recipient_hears_what_is_for_him() {
    let table: [(Script, [OutcomeKind; 3]); 12] = [
        (&[], [Accepted; 3]),
        (&[("RCPT TO:<b@", "550 5.1.1 no\r\n")], [Accepted, Permanent, Accepted]),
        (&[("RCPT TO:<b@", "450-4.2.1 not\r\n450 4.2.1 now\r\n")], [Accepted, Temporary, Accepted]),
        (&[("RCPT", "550 no\r\n")], [Permanent; 3]),
        (&[("MAIL", "550 no\r\n"), ("RCPT", "503 what?\r\n")], [Permanent; 3]),
        (&[("MAIL", "451 later\r\n"), ("RCPT", "503 what?\r\n")], [Temporary; 3]),
        (&[("DATA", "554 no\r\n"), ("RCPT TO:<b@", "450 not now\r\n")], [Permanent, Temporary, Permanent]),
        (&[(".", "554 spam\r\n"), ("RCPT TO:<a@", "451 not now\r\n")], [Temporary, Permanent, Permanent]),
        (&[(".", "452 full\r\n")], [Temporary; 3]),
        (&[("^", "554 no\r\n")], [Temporary; 3]),
        (&[("EHLO", "554 no\r\n"), ("HELO", "554 no\r\n")], [Temporary; 3]),
        (&[("EHLO", "421 no\r\n")], [Temporary; 3]),
    ];
    for (script, want) in table {
        assert_eq!(kinds_of(script, Smtp), want, "{script:?}");
    }
}

#[test]
fn in_lmtp_each_recipient_has_an_answer_to_the_message() {
    let table: [(Script, [OutcomeKind; 3]); 5] = [
        (&[(".", "250 a\r\n452 4.2.2 b\r\n550 c\r\n")], [Accepted, Temporary, Permanent]),
        (&[("RCPT TO:<b@", "550 no\r\n"), (".", "250 a\r\n451 c\r\n")], [Accepted, Permanent, Temporary]),
        (&[(".", "250 a\r\n250 b\r\n250 c\r\n250 d\r\n")], [Accepted; 3]),
        (&[(".", "250 a\r\nxyz\r\n250 c\r\n")], [Accepted, Unsure, Unsure]),
        (&[("LHLO", "502 what?\r\n")], [Temporary; 3]),
    ];
    for (script, want) in table {
        assert_eq!(kinds_of(script, Lmtp), want, "{script:?}");
    }
    // One answer too few, and no more to come.
    let envelope = envelope("s@x", &["a@y", "b@y"]);
    let (outcomes, _) = send_to(&[(".", "250 a\r\n")], Lmtp, HASTY, MESSAGE, &envelope);
    assert_eq!(kinds(&outcomes), [Accepted, Unsure]);
}

#[test]
fn a_connection_that_is_lost_is_temporary_and_after_the_dot_unsure() {
    let lost = |at, answer, want| {
        let script: Script = Vec::leak(vec![(at, answer)]);
        let (outcomes, _) = send_to(script, Smtp, HASTY, MESSAGE, &envelope("s@x", &["a@y", "b@y"]));
        assert_eq!(kinds(&outcomes), [want; 2], "{script:?}: {outcomes:?}");
    };
    // At once, since most of them are waiting.
    std::thread::scope(|scope| {
        for (at, want) in [
            ("^", Temporary),
            ("EHLO", Temporary),
            ("MAIL", Temporary),
            ("RCPT", Temporary),
            ("DATA", Temporary),
            (".", Unsure),
        ] {
            for answer in
                ["", "2", "250 half", "250-more\r\n", "xyz\r\n", "250-a\r\n550 b\r\n", "999 a\r\n", "..."]
            {
                scope.spawn(move || lost(at, answer, want));
            }
        }
    });
    let endless: &str = String::leak("250-and so on\r\n".repeat(10_000));
    let script: Script = Vec::leak(vec![(".", endless)]);
    assert_eq!(kinds_of(script, Smtp), [Unsure; 3]);
}

#[test]
fn answers_out_of_step_are_not_taken_for_each_other() {
    // Of two answers to MAIL the second is none to the recipient; all of it is given up.
    assert_eq!(kinds_of(&[("RCPT TO:<c@", "250 ok\r\n250 ok\r\n")], Smtp), [Temporary; 3]);
    // A message is not sent to a server that has answered it beforehand.
    let (outcomes, received) = send_to(
        &[("DATA", "354 go\r\n250 ok\r\n"), (".", "...")],
        Smtp,
        HASTY,
        MESSAGE,
        &envelope("s@x", &["a@y"]),
    );
    assert_eq!(kinds(&outcomes), [Temporary]);
    assert!(!received.contains("\r\n.\r\n"), "{received}");
    assert_eq!(kinds_of(&[("DATA", "250 ok\r\n")], Smtp), [Temporary; 3]);
}

#[test]
fn a_server_that_refuses_in_the_middle_of_a_message_is_heard() {
    let peer = Peer::spawn(|talk| {
        for answer in ["220 me\r\n", "250 me\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            talk.send(answer);
            talk.line();
        }
        talk.receive(100_000);
        talk.send("552 5.3.4 too much\r\n");
        talk.rest();
    });
    let message = spooled(&b"x\n".repeat(20_000_000));
    let mut connection = peer.connect(PATIENT);
    let outcomes =
        send(&mut connection, Smtp, "me", &OutgoingMessage::unmodified(&message, &envelope("", &["a@y"])));
    assert_eq!((kinds(&outcomes), outcomes[0].status.as_deref()), (vec![Permanent], Some("5.3.4")));
}

#[test]
fn what_cannot_be_said_is_not_said() {
    for address in ["a\r\nDATA@y", "a@y> SIZE=1", "a@y\nRSET", "a\0@y", "a@y z", "\x7f@y", "<a@y>x"] {
        let (outcomes, received) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x", &[address, "ok@y"]));
        assert_eq!(kinds(&outcomes), [Permanent, Accepted], "{address:?}");
        assert_eq!(outcomes[0].status.as_deref(), Some("5.1.3"));
        assert_eq!(received.matches("RCPT").count(), 1, "{received}");
        let (outcomes, received) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope(address, &["ok@y"]));
        assert_eq!(kinds(&outcomes), [Permanent], "{address:?}");
        assert!(!received.contains("MAIL"), "{received}");
    }
    for hello in ["", "a b", "a\r\nb", "ä"] {
        let peer = peer(&[]);
        let message = spooled(MESSAGE);
        let mut connection = peer.connect(PATIENT);
        let outcomes = send(
            &mut connection,
            Smtp,
            hello,
            &OutgoingMessage::unmodified(&message, &envelope("", &["a@y"])),
        );
        assert_eq!(kinds(&outcomes), [Temporary]);
    }
}

#[test]
fn addresses_in_utf8_go_to_servers_that_know_them() {
    const UTF8: Script = &[("EHLO", "250-me\r\n250 SMTPUTF8\r\n")];
    let envelope = envelope("s@x", &["a@y", "ä@y"]);
    let (outcomes, received) = send_to(UTF8, Smtp, PATIENT, MESSAGE, &envelope);
    assert_eq!(kinds(&outcomes), [Accepted; 2]);
    assert!(received.contains("MAIL FROM:<s@x> SMTPUTF8\r\n"), "{received}");
    let (outcomes, received) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope);
    assert_eq!(kinds(&outcomes), [Accepted, Permanent]);
    assert!(!received.contains("SMTPUTF8"), "{received}");
}

#[test]
fn a_message_that_is_too_large_is_not_sent() {
    const SMALL: Script = &[("EHLO", "250-me\r\n250 SIZE 20\r\n")];
    let (outcomes, received) = send_to(SMALL, Smtp, PATIENT, MESSAGE, &envelope("s@x", &["a@y"]));
    assert_eq!((kinds(&outcomes), outcomes[0].status.as_deref()), (vec![Permanent], Some("5.3.4")));
    assert_eq!(received, "EHLO me.example\r\nQUIT\r\n");
}

/// A server that takes three recipients at once.
fn three_at_once(pipelining: bool) -> Peer {
    Peer::spawn(move |talk| {
        talk.send("220 me\r\n");
        let mut taken = 0;
        loop {
            match &talk.line()[..] {
                b"" | b"QUIT\r\n" => return,
                b"DATA\r\n" => {
                    talk.send("354 go\r\n");
                    talk.until(b"\r\n.\r\n");
                    talk.send("250 ok\r\n");
                }
                line if line.starts_with(b"EHLO") && pipelining => talk.send("250-me\r\n250 PIPELINING\r\n"),
                line if line.starts_with(b"RCPT") && taken == 3 => talk.send("452 4.5.3 too many\r\n"),
                line => {
                    taken = if line.starts_with(b"RCPT") { taken + 1 } else { 0 };
                    talk.send("250 ok\r\n");
                }
            }
        }
    })
}

#[test]
fn whom_a_server_does_not_take_with_the_others_gets_a_message_of_his_own() {
    for pipelining in [false, true] {
        let peer = three_at_once(pipelining);
        let message = spooled(MESSAGE);
        let many: Vec<String> = (0..200).map(|n| format!("r{n}@y")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut connection = peer.connect(PATIENT);
        let outcomes =
            send(&mut connection, Smtp, "me", &OutgoingMessage::unmodified(&message, &envelope("", &many)));
        assert_eq!(kinds(&outcomes), [Accepted; 200]);
        drop(connection);
        let received = String::from_utf8(peer.received()).unwrap();
        assert_eq!(received.matches("DATA").count(), 67);
    }
    // One that is full for one recipient is full.
    assert_eq!(kinds_of(&[("RCPT TO:<b@", "452 4.2.2 full\r\n")], Smtp), [Accepted, Temporary, Accepted]);
    assert_eq!(kinds_of(&[("RCPT", "452 4.3.1 full\r\n")], Smtp), [Temporary; 3]);
}

#[test]
fn ten_thousand_recipients_do_not_make_both_sides_wait() {
    let many: Vec<String> = (0..10_000).map(|n| format!("recipient{n}@a.long.host.name.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (outcomes, received) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x", &many));
    assert!(outcomes.iter().all(|outcome| outcome.kind == Accepted));
    assert_eq!(received.matches("RCPT TO:<").count(), 10_000);
}

#[test]
fn a_sender_for_each_recipient_is_spelled_out() {
    let (outcomes, received) =
        send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("list-@h.example-@[]", &["joe@y", "ann@z"]));
    assert_eq!(kinds(&outcomes), [Accepted; 2]);
    for line in [
        "MAIL FROM:<list-joe=y@h.example> SIZE=21\r\nRCPT TO:<joe@y>\r\n",
        "RSET\r\nMAIL FROM:<list-ann=z@h.example>",
    ] {
        assert!(received.contains(line), "{received}");
    }
}
