//! Real clients, and the programs that listen for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::Command;
use std::sync::Barrier;

use rustix::process::{Pid, Signal, kill_process};

use super::servers::Server;
use super::*;
use crate::wire::{inject_message, outcomes};

const HEADER: &str = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: s@x.example\n\
                      To: undisclosed: ;\nSubject: x\n\n";
const TEMPLATE: &str = "%d/%u/Maildir/";

/// The recipients of one message, and the outcome for each.
type Case = &'static [(&'static str, &'static str)];

const BAD: Case = &[
    ("ann", "accepted 2.0.0"),
    ("nobody", "permanent 5.1.1"),
    ("full", "permanent 5.2.2"),
    ("odd", "temporary 4.3.5"),
    ("joe", "accepted 2.0.0"),
];

#[test]
fn the_own_client_gets_the_outcome_of_each_recipient() {
    const GOOD: Case = &[("ann", "accepted 2.0.0"), ("joe", "accepted 2.0.0")];
    const NOBODY: Case = &[("nobody", "permanent 5.1.1")];
    const FULL: Case = &[("full", "permanent 5.2.2")];
    const ODD: Case = &[("odd", "temporary 4.3.5")];
    let body = "8-bit \u{e4} NUL \0\n.\n..\n";
    let odd_body = "8-bit \u{e4} NUL \0\r\nCR \r and \r\r\n\n.\n..\n";
    for (protocol, cases, body) in [
        ("lmtp", &[BAD][..], body),
        ("qmtp", &[BAD, GOOD], odd_body),
        // One outcome is for all.
        ("qmqp", &[GOOD, NOBODY, FULL, ODD], odd_body),
    ] {
        let domain = domain();
        let scratch = scratch();
        let arguments = domain.arguments(protocol, TEMPLATE, &[]);
        for (name, server) in Server::each(scratch.path(), &arguments, 5) {
            for (nth, case) in cases.iter().enumerate() {
                let via = [format!("{protocol}://127.0.0.1:{}", server.port)];
                let text = HEADER.replace("Subject: x", &format!("Subject: {nth} by {name}")) + body;
                let to: Vec<String> = case.iter().map(|(user, _)| format!("{user}@h.example")).collect();
                let to: Vec<&str> = to.iter().map(String::as_str).collect();
                let run = inject_message(&via, &to, &*text);
                let expected: Vec<&str> = case.iter().map(|(_, outcome)| *outcome).collect();
                assert_eq!(outcomes(&run), expected, "{protocol} {name}: {}", server.log());
                let all = delivered(&domain);
                for (to, (_, outcome)) in to.into_iter().zip(*case) {
                    let copies = all.get(&(to.to_owned(), text.clone().into()));
                    let is_accepted = outcome.starts_with("accepted");
                    assert_eq!(
                        copies.is_some_and(|n| *n == 1),
                        is_accepted,
                        "{protocol} {name} {to}: {all:?}"
                    );
                }
            }
            assert_eq!(server.exit_codes(cases.len()), vec![0; cases.len()], "{}", server.log());
        }
    }
}

/// Sends the bytes over one connection, and returns what comes back until the server closes.
fn converse(port: u16, bytes: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut received).unwrap();
    });
    received
}

#[test]
fn a_connection_carries_many_packages() {
    let domain = domain();
    let scratch = scratch();
    for (name, server) in Server::each(scratch.path(), &domain.arguments("qmtp", TEMPLATE, &[]), 5) {
        let package = |n: usize| {
            let to: Vec<&str> = BAD.iter().map(|(user, _)| *user).take(1 + n % 5).collect();
            let mut package = Package::new("qmtp", &format!("Subject: {n} by {name}\r\n\r\nCR \r\n"), &to);
            package.message[0] = b"\n\r"[n % 2];
            package
        };
        let packages: Vec<Package> = (0..100).map(package).collect();
        let sent: Vec<u8> = packages.iter().flat_map(|package| package.wire("qmtp")).collect();
        let replies = replies(&converse(server.port, &sent));
        let letters: Vec<&str> = replies.iter().map(|reply| &reply[..1]).collect();
        let expected: Vec<&str> =
            (0..100).flat_map(|n| ["K", "D", "D", "Z", "K"].into_iter().take(1 + n % 5)).collect();
        assert_eq!(letters, expected, "{name}: {replies:?}");
        let all = delivered(&domain);
        for (n, package) in packages.iter().enumerate() {
            let copies = |user: &str| all.get(&(format!("{user}@h.example"), package.stored("qmtp").into()));
            assert_eq!((copies("ann"), copies("joe").is_some()), (Some(&1), n % 5 == 4), "{name} {n}");
        }
        assert_eq!(server.exit_codes(1), [0]);
    }
    assert_eq!((mail(&domain.path("ann/Maildir")).len(), mail(&domain.path("joe/Maildir")).len()), (200, 40));
}

#[test]
fn postfixs_qmqp_source_hands_over_all_it_has() {
    let domain = domain();
    let scratch = scratch();
    // qmqp-source names its recipients 1joe, 2joe and so on.
    let arguments = domain.arguments("qmqp", "%d/joe/Maildir/", &[]);
    let new = domain.path("joe/Maildir/new");
    for (name, server) in Server::each(scratch.path(), &arguments, 50) {
        fs::remove_dir_all(&new).unwrap();
        fs::create_dir(&new).unwrap();
        let count = samples(200, 400, 5000);
        let source = |count: usize, length: &str| {
            let (count, server) = (count.to_string(), format!("127.0.0.1:{}", server.port));
            let options = ["-s", "50", "-C", "100", "-r", "3", "-m", &count, "-l", length];
            let envelope = ["-f", "s@x.example", "-t", "joe@h.example", &server];
            let mut command = Command::new("/usr/sbin/qmqp-source");
            command.args(options).args(envelope);
            command.output().ok()
        };
        let Some(output) = source(count, "4000") else { skip!("qmqp-source of Postfix is not here") };
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        let output = source(3, "3000000").unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        let all = mail(&domain.path("joe/Maildir"));
        // It sends one message again and again.
        let mut copies: BTreeMap<_, usize> = BTreeMap::new();
        all.iter().for_each(|message| *copies.entry(message).or_default() += 1);
        let mut counts: Vec<usize> = copies.into_values().collect();
        counts.sort();
        assert_eq!(counts, [3, 3, 3, count, count, count], "{name}");
        // Its lines end in LF, and it says how long they are in all.
        assert!(all.iter().all(|(_, text)| [4000, 3_000_000].contains(&text.len())), "{name}");
        assert_eq!(server.exit_codes(count + 3), vec![0; count + 3], "{}", server.log());
    }
}

/// Sends packages without end until the server stops reading. Returns the letters of all replies.
fn send_without_end(port: u16, client: usize, has_replies: &Barrier) -> Vec<u8> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                let package = Package::new("qmtp", &numbered(client, n), &["ann", "joe"]);
                if (&stream).write_all(&package.wire("qmtp")).is_err() {
                    return;
                }
            }
        });
        let mut buffer = [0; 4096];
        let mut has_begun = false;
        // A reset is an end, too.
        while let Ok(count @ 1..) = (&stream).read(&mut buffer) {
            received.extend_from_slice(&buffer[..count]);
            if !has_begun && netstrings(&received).0.len() >= 3 {
                has_begun = true;
                has_replies.wait();
            }
        }
        if !has_begun {
            has_replies.wait();
        }
    });
    netstrings(&received).0.iter().map(|reply| reply[0]).collect()
}

fn numbered(client: usize, package: usize) -> String {
    format!("Subject: {package} of client {client}\n\nbody\n")
}

#[test]
fn sessions_that_are_terminated_lose_nothing_that_they_acknowledged() {
    const CLIENTS: usize = 12;
    let domain = domain();
    let scratch = scratch();
    let Some(server) = Server::tcpserver(scratch.path(), &domain.arguments("qmtp", TEMPLATE, &[]), CLIENTS)
    else {
        return;
    };
    let has_replies = Barrier::new(CLIENTS + 1);
    let acknowledged: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                scope.spawn({
                    let (port, all) = (server.port, &has_replies);
                    move || send_without_end(port, n, all)
                })
            })
            .collect();
        has_replies.wait();
        for session in server.sessions() {
            kill_process(Pid::from_raw(session).unwrap(), Signal::TERM).unwrap();
        }
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(server.exit_codes(CLIENTS), [75; CLIENTS], "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let mut on_disk = delivered(&domain);
    let mut unacknowledged = 0;
    for (client, letters) in acknowledged.iter().enumerate() {
        // A package that arrived and was not delivered waits.
        let is_in_order = letters.is_sorted() && letters.iter().all(|letter| b"KZ".contains(letter));
        assert!(letters.len() >= 3 && is_in_order, "{letters:?}");
        let users = ["ann@h.example", "joe@h.example"];
        let mut of_client =
            (0..).flat_map(|n| users.map(|to| (to.to_owned(), BString::from(numbered(client, n)))));
        for (message, letter) in of_client.by_ref().zip(letters) {
            let copies = (*letter == b'K').then_some(1);
            assert_eq!(
                on_disk.remove(&message),
                copies,
                "client {client} {}: {message:?}",
                letter.escape_ascii()
            );
        }
        // The last replies are lost if the connection is reset, because the server left some packages unread.
        unacknowledged += of_client.map_while(|message| on_disk.remove(&message)).sum::<usize>();
    }
    assert!(on_disk.is_empty(), "not sent in this order: {on_disk:?}");
    let replies: usize = acknowledged.iter().map(Vec::len).sum();
    note!("{CLIENTS} sessions terminated: {replies} replies, {unacknowledged} more on disk");
    for user in ["ann", "joe"] {
        assert!(names(&domain.path(user).join("Maildir/tmp")).is_empty());
    }
}
