//! Hostile clients. Each sends the same bytes in every run, drawn by its number. Whatever a client does, and even if the
//! session is killed: a recipient that was acknowledged has the message on disk, and no part of a message is visible.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bstr::{BStr, BString, ByteSlice};

use super::*;

/// Address space of a session, in KiB. Nothing that a client announces is allocated.
const MEMORY: u32 = 256 << 10;
/// A longer list of recipients, and more recipients, are refused. After so many the session may end.
const MAX_LIST: usize = 1 << 20;
const MAX_RECIPIENTS: usize = 1000;

struct Client {
    protocol: &'static str,
    what: String,
    sent: Vec<u8>,
    manner: Manner,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Manner {
    /// Sends everything, and reads all replies.
    Reads,
    /// The same, a byte at a time.
    Dribbles,
    /// Sends everything, and disconnects without reading.
    Leaves,
    /// As `Reads`, and the session gets a signal at a system call.
    Signals { signal: &'static str, at: String },
}

/// A part of what is sent.
#[derive(Debug, Clone)]
struct Piece {
    bytes: Vec<u8>,
    /// The length of a netstring, with its colon.
    is_length: bool,
}

impl Piece {
    fn content(bytes: &[u8]) -> Piece {
        Piece { bytes: bytes.to_vec(), is_length: false }
    }

    fn netstring(content: impl IntoIterator<Item = Piece>) -> Vec<Piece> {
        let content: Vec<Piece> = content.into_iter().collect();
        let length: usize = content.iter().map(|piece| piece.bytes.len()).sum();
        let length = Piece { bytes: format!("{length}:").into(), is_length: true };
        [length].into_iter().chain(content).chain([Piece::content(b",")]).collect()
    }
}

/// Returns the parts of a package on the wire.
fn pieces(package: &Package, protocol: &str) -> Vec<Piece> {
    let one = |content: &[u8]| Piece::netstring([Piece::content(content)]);
    let recipients = package.recipients.iter().flat_map(|to| one(to));
    let start = [one(&package.message), one(&package.sender)].concat().into_iter();
    match protocol {
        "qmtp" => start.chain(Piece::netstring(recipients)).collect(),
        _ => Piece::netstring(start.chain(recipients)),
    }
}

/// Returns the packages that a server must find in these bytes, and whether there is nothing else.
fn expected(protocol: &str, mut bytes: &[u8]) -> (Vec<Package>, bool) {
    let mut packages = Vec::new();
    while let Some((package, rest)) = first_package(protocol, bytes) {
        packages.push(package);
        // A QMQP session has one message, and ignores what follows.
        bytes = if protocol == "qmqp" { b"" } else { rest };
    }
    (packages, bytes.is_empty())
}

fn first_package<'a>(protocol: &str, bytes: &'a [u8]) -> Option<(Package, &'a [u8])> {
    let all = |bytes| Some(netstrings(bytes)).filter(|(_, junk)| junk.is_empty()).map(|(all, _)| all);
    let (first, rest) = one_netstring(bytes)?;
    let (message, sender, recipients, rest) = if protocol == "qmtp" {
        let (sender, rest) = one_netstring(rest)?;
        let (recipients, rest) = one_netstring(rest)?;
        if !first.starts_with(b"\n") && !first.starts_with(b"\r") || recipients.len() > MAX_LIST {
            return None;
        }
        (first, sender, all(recipients)?, rest)
    } else {
        match all(first)?[..] {
            [message, sender, ref recipients @ ..] => (message, sender, recipients.to_vec(), rest),
            _ => return None,
        }
    };
    let recipients = recipients.into_iter().map(<[u8]>::to_vec).collect();
    Some((Package { message: message.to_vec(), sender: sender.to_vec(), recipients }, rest))
}

/// Returns a package with a text that no other package has.
fn drawn_package(dice: &mut Dice, protocol: &str, name: &str) -> Package {
    const BYTES: &[u8] = b"\r\n\n\n\0.:,0123456789From abcdefghijklmnop \t\xe4\xff";
    let length = [0, 100, 5_000, 300_000][dice.roll(4)];
    let body: Vec<u8> = (0..dice.roll(length + 1)).map(|_| BYTES[dice.roll(BYTES.len())]).collect();
    let mut package = Package::new(protocol, &format!("Subject: {name}\n\n"), &[]);
    package.message.extend_from_slice(&body);
    if protocol == "qmtp" {
        package.message[0] = b"\n\r"[dice.roll(2)];
    }
    let users = [&USERS[..], &["nobody", "ann", "joe"]].concat();
    package.recipients = (0..1 + dice.roll(4))
        .map(|_| format!("{}@h.example", users[dice.roll(users.len())]).into())
        .collect();
    package
}

const LENGTHS: [&str; 8] = [
    "10000000000",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551621",
    "4294967301",
    "2147483648",
    "9999999999999999999999999999999999999999",
    "1000000",
];

fn addresses() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        "@",
        "ann",
        "ann@",
        "@h.example",
        "a\0b@h.example",
        "ann@h.example\0",
        "ann@h.example\n",
        "../joe@h.example",
        "joe@..",
        "\"ann\"@h.example",
        "ann@h.example@h.example",
        "<ann@h.example>",
        "ann@h.example,joe@h.example",
        "\u{e4}@h.example",
        "Ann@H.Example",
        "ann@[]",
        "#@[]",
        "ann-x@h.example",
        "joe/Maildir@h.example",
    ]
    .iter()
    .map(|address| (*address).into())
    .collect();
    all.extend(
        [100, 999, 1000, 1001, 100_000].map(|count| [&b"a".repeat(count)[..], b"@h.example"].concat()),
    );
    all.push(b"\xff\xfe@h.example".to_vec());
    all
}

/// Returns the client with this number.
fn client(n: usize) -> Client {
    let mut dice = Dice(n as u64);
    let protocol = ["qmtp", "qmqp"][dice.roll(2)];
    let count = if protocol == "qmtp" { 1 + dice.roll(5) } else { 1 };
    let mut packages: Vec<Package> =
        (0..count).map(|k| drawn_package(&mut dice, protocol, &format!("client {n} package {k}"))).collect();
    let mut manner = Manner::Reads;
    let what;
    let parts = |packages: &[Package]| packages.iter().flat_map(|p| pieces(p, protocol)).collect::<Vec<_>>();
    let joined = |pieces: &[Piece]| pieces.iter().flat_map(|p| p.bytes.clone()).collect::<Vec<_>>();
    let mut sent = joined(&parts(&packages));
    let lengths = |pieces: &[Piece]| (0..pieces.len()).filter(|&n| pieces[n].is_length).collect::<Vec<_>>();
    match n % 11 {
        0 => {
            let cut = dice.roll(sent.len() + 1);
            what = format!("cut at {cut} of {}", sent.len());
            sent.truncate(cut);
        }
        1 => {
            let mut pieces = parts(&packages);
            let all = lengths(&pieces);
            let at = all[dice.roll(all.len())];
            let length = LENGTHS[dice.roll(LENGTHS.len())];
            pieces[at].bytes = format!("{length}:").into();
            what = format!("announces {length} bytes");
            sent = joined(&pieces);
        }
        2 => {
            let mut pieces = parts(&packages);
            let all = lengths(&pieces);
            let at = all[dice.roll(all.len())];
            let length = String::from_utf8(pieces[at].bytes.clone()).unwrap();
            let length: usize = length.trim_end_matches(':').parse().unwrap();
            let instead = [
                format!("0{length}:"),
                format!("+{length}:"),
                format!(" {length}:"),
                format!("{length} :"),
                format!("-{length}:"),
                format!("{length}x:"),
                ":".into(),
                format!("{length}"),
                format!("{length};"),
                format!("{length:x}:"),
                format!("{}:", length + 1),
                format!("{}:", length.saturating_sub(1)),
                format!("{}:", length + 1000),
                "x:".into(),
                "00:".into(),
                format!("{length}::"),
            ];
            pieces[at].bytes = instead[dice.roll(instead.len())].clone().into();
            what = format!("announces {:?}, has {length}", pieces[at].bytes.as_bstr());
            sent = joined(&pieces);
        }
        3 => {
            manner = Manner::Dribbles;
            sent.truncate(dice.roll(sent.len().min(20_000) + 1));
            what = format!("sends {} bytes one by one", sent.len());
        }
        4 => {
            // The last package is damaged. Those before it have their replies.
            let last =
                pieces(packages.last().unwrap(), protocol).iter().map(|p| p.bytes.len()).sum::<usize>();
            let at = sent.len() - 1 - dice.roll(last.min(60));
            sent[at] = b"0:,x\n\0"[dice.roll(6)];
            what = format!("has a wrong byte in the last package, at {at} of {}", sent.len());
        }
        5 => {
            manner = Manner::Leaves;
            what = "leaves without reading".into();
        }
        6 => {
            let addresses = addresses();
            for package in &mut packages {
                let address = addresses[dice.roll(addresses.len())].clone();
                match dice.roll(package.recipients.len() + 1) {
                    0 => package.sender = address,
                    nth => package.recipients[nth - 1] = address,
                }
            }
            what = "has odd addresses".into();
            sent = joined(&parts(&packages));
        }
        7 => {
            let count = 1 + dice.roll(4);
            for _ in 0..count {
                let at = dice.roll(sent.len());
                match dice.roll(3) {
                    0 => sent[at] = dice.roll(256) as u8,
                    1 => sent.insert(at, dice.roll(256) as u8),
                    _ => drop(sent.remove(at)),
                }
            }
            what = format!("has {count} wrong bytes");
        }
        kind @ (8 | 9) => {
            // The first reads and writes are those of the start.
            let calls = [("read", 8), ("write", 5), ("fsync", 6), ("linkat", 3), ("unlinkat", 3)];
            let (call, most) = calls[dice.roll(calls.len())];
            let at = format!("{call}:when={}", 1 + dice.roll(most));
            manner = Manner::Signals { signal: if kind == 8 { "TERM" } else { "KILL" }, at };
            what = "sees the session end".into();
        }
        _ => {
            let count = if dice.roll(4) == 0 { 100_000 } else { 995 + dice.roll(20) };
            let few = packages[0].recipients.clone();
            packages[0].recipients = (0..count)
                .map(|k| if k % 300 == 0 { few[0].clone() } else { b"nobody@h.example".to_vec() })
                .collect();
            what = format!("has {count} recipients");
            sent = joined(&parts(&packages));
        }
    }
    Client { protocol, what, sent, manner }
}

/// A session on a socket.
struct Session {
    child: Child,
    stream: UnixStream,
}

impl Session {
    fn start(domain: &Domain, client: &Client, log: &Path) -> Session {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        let arguments = domain.arguments(client.protocol, "%d/%u/Maildir/", &[]);
        let script = format!("ulimit -v {MEMORY}; exec \"$@\"");
        let strace = match &client.manner {
            Manner::Signals { signal, at } => {
                let inject = format!("inject={at}:signal={signal}");
                ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &inject]
                    .map(str::to_owned)
                    .to_vec()
            }
            _ => Vec::new(),
        };
        let mut command = wrapped(&script, strace.into_iter().chain([BINARY.to_owned()]), arguments);
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs).stderr(Stdio::piped());
        Session { child: command.spawn().unwrap(), stream: ours }
    }

    /// Plays the client to the end. Returns what it received.
    fn play(&self, client: &Client) -> Vec<u8> {
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // A session that refuses ends before it has read everything.
                let mut pieces =
                    client.sent.chunks(if client.manner == Manner::Dribbles { 1 } else { 1 << 16 });
                let _ = pieces.try_for_each(|piece| (&self.stream).write_all(piece));
                let how = if client.manner == Manner::Leaves { Shutdown::Both } else { Shutdown::Write };
                let _ = self.stream.shutdown(how);
            });
            if client.manner != Manner::Leaves {
                // If bytes that the session did not read are left, the kernel reports a reset after its last reply.
                let _ = (&self.stream).read_to_end(&mut received);
            }
        });
        received
    }
}

#[derive(Debug, Default)]
struct Tally {
    clients: usize,
    accepted: usize,
    refused: usize,
    killed: usize,
    cut: usize,
}

#[test]
fn no_client_gets_an_acknowledgement_without_the_mail_on_disk() {
    let count = samples(220, 440, 22_000);
    let has_strace = have_strace();
    let (next, tally, failed) = (AtomicUsize::new(0), Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return;
            }
            let client = client(n);
            if !has_strace && matches!(client.manner, Manner::Signals { .. }) {
                continue;
            }
            let judged = std::panic::catch_unwind(|| judge(&client, &tally));
            if let Err(panic) = judged {
                let formatted = panic.downcast_ref::<String>().map(String::as_str);
                let why = formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                let Client { protocol, what, manner, .. } = &client;
                failed
                    .lock()
                    .unwrap()
                    .push(format!("client {n}, {protocol}, {what}, {manner:?}: {why:.1000}"));
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let (tally, failed) = (tally.into_inner().unwrap(), failed.into_inner().unwrap());
    note!("hostile clients of QMTP and QMQP: {tally:?}");
    assert!(failed.is_empty(), "{} of {count} fail:\n{}", failed.len(), failed.join("\n"));
    assert!(tally.accepted > 100 && (tally.killed > 10 || !has_strace), "{tally:?}");
}

fn total(messages: &BTreeMap<(String, BString), usize>) -> usize {
    messages.values().sum()
}

fn judge(client: &Client, tally: &Mutex<Tally>) {
    let domain = domain();
    let aside = scratch();
    let session = Session::start(&domain, client, &aside.path().join("log"));
    let received = session.play(client);
    let output = session.child.wait_with_output().unwrap();
    let stderr = output.stderr.as_bstr();
    assert!(!stderr.contains_str("panicked") && stderr.lines().count() <= 1, "{stderr}");
    let signal = output.status.signal();
    let was_killed = signal.is_some();
    if was_killed {
        assert!(matches!(&client.manner, Manner::Signals { .. }), "{:?}: {stderr}", output.status);
    } else {
        assert!(matches!(output.status.code(), Some(0 | 75)), "{:?}: {stderr}", output.status);
    }
    let (packages, is_all) = expected(client.protocol, &client.sent);
    // The outcomes that the client has for each recipient in turn.
    let (replies, half) = netstrings(&received);
    assert!(half.is_empty() || was_killed, "half a reply: {}", received.escape_ascii());
    let replies: Vec<&BStr> = replies.into_iter().map(BStr::new).collect();
    assert!(replies.iter().all(|reply| b"KZD".contains(&reply[0])), "{replies:?}");
    let mut outcomes = replies.iter();
    let mut promised: BTreeMap<(String, BString), usize> = BTreeMap::new();
    let mut possible = promised.clone();
    let (mut accepted, mut asked) = (0, 0);
    for package in &packages {
        let one = if client.protocol == "qmqp" { outcomes.next() } else { None };
        for recipient in &package.recipients {
            asked += 1;
            let message =
                (String::from_utf8_lossy(recipient).into_owned(), package.stored(client.protocol).into());
            let outcome = if client.protocol == "qmqp" { one } else { outcomes.next() };
            if outcome.is_some_and(|reply| reply[0] == b'K') {
                accepted += 1;
                *promised.entry(message.clone()).or_default() += 1;
            }
            *possible.entry(message).or_default() += 1;
        }
    }
    // An incomplete or invalid package is refused at most once, and never accepted.
    let rest: Vec<_> = outcomes.collect();
    assert!(
        rest.len() <= usize::from(!is_all) && rest.iter().all(|reply| reply[0] != b'K'),
        "{rest:?} {packages:?}"
    );
    let on_disk = delivered(&domain);
    let is_within = |one: &BTreeMap<_, _>, other: &BTreeMap<_, usize>| {
        one.iter().all(|(message, count)| other.get(message).is_some_and(|most| count <= most))
    };
    assert!(is_within(&promised, &on_disk), "acknowledged, and not on disk: {promised:?}, {on_disk:?}");
    assert!(is_within(&on_disk, &possible), "not sent: {on_disk:?}, {possible:?}");
    let has_many = packages.iter().any(|package| package.recipients.len() >= MAX_RECIPIENTS);
    if matches!(client.manner, Manner::Reads | Manner::Dribbles) {
        let expected = if client.protocol == "qmqp" { packages.len() } else { asked };
        let count = replies.len() - rest.len();
        let may_end = has_many && output.status.code() == Some(75);
        assert!(count == expected || may_end, "{count} replies, not {expected}; {stderr}");
        let code = if is_all { 0 } else { 75 };
        assert!(output.status.code() == Some(code) || may_end, "{:?} {stderr}", output.status);
    }
    if !was_killed && client.manner != Manner::Leaves {
        let on_disk_only = total(&on_disk) - total(&promised);
        // In QMQP one reply is for all. It says so where some have the message, which only a mailbox that gets
        // several copies can cause.
        let words = format!("; delivered to {on_disk_only} other recipient");
        let is_reported = client.protocol == "qmqp"
            && possible.values().any(|copies| *copies > 1)
            && replies.iter().any(|reply| reply.contains_str(&words));
        assert!(on_disk_only == 0 || is_reported, "{on_disk_only} more on disk; {replies:?}");
    }
    for user in USERS {
        let tmp = names(&domain.path(user).join("Maildir/tmp"));
        assert!(tmp.is_empty() || signal == Some(9), "{user}: {tmp:?}");
    }
    let mut tally = tally.lock().unwrap();
    tally.clients += 1;
    tally.accepted += accepted;
    tally.refused += asked - accepted;
    tally.killed += usize::from(was_killed);
    tally.cut += usize::from(!is_all);
}

#[test]
fn ten_announced_gigabytes_take_little_memory() {
    let domain = domain();
    for protocol in ["qmtp", "qmqp"] {
        let spool = domain.path("").display().to_string();
        let mut command = mailferry(domain.arguments(protocol, "%d/%u/Maildir/", &["--spool-dir", &spool]));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut to = child.stdin.take().unwrap();
        let start: &[u8] = if protocol == "qmtp" { b"10000000000:\n" } else { b"10000000100:10000000000:" };
        to.write_all(start).unwrap();
        let chunk = b"x: y\n".repeat(1 << 17);
        for _ in 0..100 {
            to.write_all(&chunk).unwrap();
        }
        // Only what fits into a pipe is unread now.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        note!("peak memory of a {protocol} session with 65 MB of 10 GB: {kib} KiB");
        assert!(kib < 64 << 10, "{kib} KiB");
        drop(to);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(75), &b""[..]), "{output:?}");
    }
    assert!(delivered(&domain).is_empty());
}
