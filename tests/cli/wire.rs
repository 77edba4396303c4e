//! Delivery over the network: to independent servers, to recorded answers, and to servers that violate the
//! protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, thread};

use serde_json::Value;

use crate::golden_inject::QmailHome;
use crate::mta::postfix::Postfix;
use crate::support::*;

const MESSAGE: &str = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: s@x.example\n\
                       To: undisclosed: ;\nSubject: x\n\nbody\n.\n..\nend\n";

/// Time limit for servers.
const LIMIT: Duration = Duration::from_secs(60);

fn inject(hops: &[String], recipients: &[&str]) -> Run {
    inject_message(hops, recipients, MESSAGE)
}

pub(crate) fn inject_message(hops: &[String], recipients: &[&str], message: impl Into<Vec<u8>>) -> Run {
    let home = QmailHome::new();
    home.control("me", "me.example.org");
    let via = hops.iter().flat_map(|hop| ["--via", hop]);
    let args: Vec<&str> = via.chain(["--json", "--timeout", "60", "-f", "s@x.example"]).collect();
    let args = [&args[..], recipients].concat();
    run_with_stdin(home.command("inject", &args), message)
}

/// Returns the outcome for each recipient.
#[track_caller]
pub(crate) fn outcomes(run: &Run) -> Vec<String> {
    let all = run.json();
    let summary = all.last().unwrap();
    let one = |one: &Value| {
        let unsure = if one["unsure"] == true { " unsure" } else { "" };
        format!("{}{unsure} {}", one["outcome"].as_str().unwrap(), one["status"].as_str().unwrap())
    };
    summary["recipients"].as_array().unwrap().iter().map(one).collect()
}

/// Parses netstrings. Returns None if the bytes are something else.
fn netstrings(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let colon = bytes.iter().position(|&b| b == b':')?;
        let length = std::str::from_utf8(&bytes[..colon]).ok()?;
        let count: usize = length.parse().ok().filter(|count: &usize| count.to_string() == length)?;
        let (content, rest) = bytes[colon + 1..].split_at_checked(count)?;
        all.push(content.to_vec());
        bytes = rest.strip_prefix(b",")?;
    }
    Some(all)
}

/// A message with its first byte, and its recipients.
type Package = (Vec<u8>, Vec<String>);

/// Starts a QMTP server that follows the specification: one package per connection, and an answer per
/// recipient by its first letter. It returns the package.
fn qmtp_server() -> (u16, JoinHandle<Package>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let (mut wire, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            if let Some([message, _, recipients]) = netstrings(&wire).as_deref() {
                let recipients = netstrings(recipients).unwrap();
                for recipient in &recipients {
                    let letter = recipient[0].to_ascii_uppercase() as char;
                    let _ = write!(stream, "3:{letter}ok,");
                }
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                return (message.clone(), recipients.into_iter().map(text).collect());
            }
            match stream.read(&mut buffer).unwrap() {
                0 => return Default::default(),
                n => wire.extend_from_slice(&buffer[..n]),
            }
        }
    });
    (port, server)
}

#[test]
fn each_recipient_is_accepted_once_over_all_next_hops() {
    let ((first, one), (second, two)) = (qmtp_server(), qmtp_server());
    let hops = [format!("qmtp://127.0.0.1:{first}"), format!("qmtp://127.0.0.1:{second}")];
    let run = inject(&hops, &["ka@y.example", "zb@y.example", "dc@y.example", "kd@y.example"]).exits(75);
    assert_eq!(outcomes(&run), ["accepted 2.0.0", "temporary 4.3.0", "permanent 5.3.0", "accepted 2.0.0"]);
    let (message, to) = one.join().unwrap();
    assert_eq!(to, ["ka@y.example", "zb@y.example", "dc@y.example", "kd@y.example"]);
    assert_eq!(String::from_utf8(message).unwrap(), format!("\n{MESSAGE}"));
    assert_eq!(two.join().unwrap().1, ["zb@y.example"]);
}

#[test]
fn an_absent_next_hop_is_skipped_and_named_if_it_is_last() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let nobody = format!("smtp://127.0.0.1:{nobody}");
    let (port, server) = qmtp_server();
    inject(&[nobody.clone(), format!("qmtp://127.0.0.1:{port}")], &["k@y.example"]).exits(0);
    server.join().unwrap();
    let run = inject(std::slice::from_ref(&nobody), &["k@y.example"]).exits(75);
    assert_eq!(outcomes(&run), ["temporary 4.4.1"]);
    run.complains(&["<k@y.example>", &nobody, "cannot connect"]);
}

#[test]
fn a_message_that_may_have_arrived_is_not_sent_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut received = Vec::new();
        let mut byte = [0];
        while netstrings(&received).is_none_or(|all| all.len() != 1) {
            stream.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        // It disconnects without an answer.
    });
    let maildir = scratch();
    for hop in ["cur", "new", "tmp"] {
        fs::create_dir(maildir.path().join(hop)).unwrap();
    }
    let hops = [format!("qmqp://127.0.0.1:{port}"), format!("maildir:{}", maildir.path().display())];
    let run = inject(&hops, &["a@y.example"]).exits(75);
    assert_eq!(outcomes(&run), ["temporary unsure 4.4.2"]);
    run.complains(&["it may have arrived"]);
    server.join().unwrap();
    assert!(messages(maildir.path()).is_empty());
}

/// A server program, killed when dropped.
pub(crate) struct Sink {
    child: Child,
    port: u16,
}

impl Sink {
    /// Starts one of Postfix's test servers. Skips the test if Postfix is absent.
    fn of(program: &str, options: &[&str]) -> Option<Sink> {
        let path = Path::new("/usr/sbin").join(program);
        if !path.exists() {
            skip!("{program} of Postfix is not here");
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new(path);
        if rustix::process::geteuid().is_root() && program == "smtp-sink" {
            command.args(["-u", "nobody"]);
        }
        command.args(options).arg(format!("127.0.0.1:{port}")).arg("10");
        let child = command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let sink = Sink { child, port };
        sink.answers();
        Some(sink)
    }

    #[track_caller]
    fn answers(&self) {
        let began = std::time::Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < LIMIT, "it does not listen");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the same through a server in front of this one.
#[cfg(feature = "tls")]
fn outcomes_over_tls(sink: &Sink) -> Vec<String> {
    let tls = crate::tls::Tls::new();
    let home = QmailHome::new();
    home.control("me", "me.example.org");
    let (via, ca) = (format!("smtps://127.0.0.1:{}", tls.in_front_of(sink.port)), tls.ca());
    let args =
        ["--via", &via, "--ca", ca.to_str().unwrap(), "--json", "--timeout", "60", "-f", "s@x.example"];
    let args = [&args[..], &["a@y.example", "b@y.example"]].concat();
    outcomes(&run_with_stdin(home.command("inject", &args), MESSAGE))
}

#[test]
fn each_failure_of_postfixs_smtp_sink_is_reported() {
    let table: [(&[&str], &str); 18] = [
        (&[], "accepted 2.0.0"),
        (&["-e"], "accepted 2.0.0"),
        (&["-p"], "accepted 2.0.0"),
        (&["-8"], "accepted 2.0.0"),
        (&["-f", "EHLO"], "accepted 2.0.0"),
        (&["-f", "CONNECT"], "temporary 4.5.0"),
        (&["-f", "MAIL"], "permanent 5.3.0"),
        (&["-f", "RCPT"], "permanent 5.3.0"),
        (&["-f", "DATA"], "permanent 5.3.0"),
        (&["-f", "."], "permanent 5.3.0"),
        (&["-r", "MAIL"], "temporary 4.3.0"),
        (&["-r", "RCPT"], "temporary 4.3.0"),
        (&["-r", "."], "temporary 4.3.0"),
        (&["-q", "CONNECT"], "temporary 4.4.2"),
        (&["-q", "EHLO"], "temporary 4.4.2"),
        (&["-q", "RCPT"], "temporary 4.4.2"),
        (&["-q", "DATA"], "temporary 4.4.2"),
        (&["-q", "."], "temporary unsure 4.4.2"),
    ];
    for (options, outcome) in table {
        let Some(sink) = Sink::of("smtp-sink", options) else { return };
        let run = inject(&[format!("smtp://127.0.0.1:{}", sink.port)], &["a@y.example", "b@y.example"]);
        let report = outcomes(&run);
        #[cfg(feature = "tls")]
        assert_eq!(outcomes_over_tls(&sink), report, "{options:?}");
        // smtp-sink has enhanced codes of its own in some cases.
        let same = |report: &String| report.rsplit_once('.').map(|t| t.0[..t.0.len() - 2].to_owned());
        let want = Some(outcome.rsplit_once('.').unwrap().0).map(|o| o[..o.len() - 2].to_owned());
        assert!(
            report.len() == 2 && report.iter().all(|report| same(report) == want),
            "{options:?}: {report:?}\n{run:?}"
        );
        run.exits(match &outcome[..1] {
            "a" => 0,
            "t" => 75,
            _ => 69,
        });
    }
    for options in [&["-L"][..], &["-L", "-f", "."], &["-L", "-q", "."]] {
        let sink = Sink::of("smtp-sink", options).unwrap();
        let run = inject(&[format!("lmtp://127.0.0.1:{}", sink.port)], &["a@y.example", "b@y.example"]);
        run.exits(match options.get(1) {
            None => 0,
            Some(&"-f") => 69,
            _ => 75,
        });
    }
}

#[test]
fn postfixs_qmqp_sink_takes_it() {
    let Some(sink) = Sink::of("qmqp-sink", &[]) else { return };
    let run = inject(&[format!("qmqp://127.0.0.1:{}", sink.port)], &["a@y.example", "b@y.example"]).exits(0);
    assert_eq!(outcomes(&run), ["accepted 2.0.0"; 2]);
}

#[test]
fn postfix_takes_it_by_smtp_and_by_qmqp() {
    let Some(postfix) = Postfix::listening() else { return };
    for (scheme, port, subject) in [("smtp", 25, "one"), ("qmqp", 628, "two")] {
        postfix.listens(port);
        let via = format!("{scheme}://127.0.0.1");
        let mut command =
            postfix.sandbox.command(["mailferry", "inject", "--json", "--timeout", "30", "--via", &via]);
        command.args(["-f", "s@x.example", "joe@mx.example.org", "nobody@nowhere.example"]);
        let message = MESSAGE.replace("Subject: x", &format!("Subject: {subject}"));
        let run = run_with_stdin(command, message);
        // By SMTP the second one is refused at once. In QMQP there is one answer for all.
        let second = if scheme == "smtp" { "permanent 5.1.1" } else { "accepted 2.0.0" };
        assert_eq!(outcomes(&run), ["accepted 2.0.0", second]);
        run.exits(if scheme == "smtp" { 69 } else { 0 });
        let new = postfix.sandbox.path("/home/joe/Maildir/new");
        let found = postfix.sandbox.until(subject, || {
            let files = fs::read_dir(&new).ok()?;
            let mut all = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
            all.find(|message| message.contains(&format!("\nSubject: {subject}\n")))
        });
        assert!(found.starts_with("Return-Path: <s@x.example>\n"), "{found}");
        assert!(found.ends_with("\n\nbody\n.\n..\nend\n"), "{found}");
    }
}

/// Starts Dovecot's LMTP server on a port and a socket.
pub(crate) fn dovecot_lmtp(home: &Path) -> Option<(Sink, PathBuf)> {
    if !Path::new("/usr/lib/dovecot/lmtp").exists() {
        skip!("Dovecot's LMTP server is not here");
    }
    if !rustix::process::geteuid().is_root() {
        skip!("not root: no Dovecot of its own");
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let at = home.display();
    let settings = format!(
        "base_dir = {at}/run
state_dir = {at}/run
instance_name = wire
protocols = lmtp
listen = 127.0.0.1
ssl = no
log_path = {at}/log
auth_username_format = %Ln
mail_location = maildir:{at}/mail/%n
first_valid_uid = 1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener wire {{
    mode = 0666
  }}
}}
passdb {{
  driver = static
  args = password=pw
}}
userdb {{
  driver = passwd-file
  args = {at}/users
}}
"
    );
    fs::create_dir(home.join("mail")).unwrap();
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(home.join("mail"), fs::Permissions::from_mode(0o777)).unwrap();
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> = nobody.lines().find(|l| l.starts_with("nobody:")).unwrap().split(':').collect();
    let user = |name: &str| format!("{name}::{}:{}::{at}/mail/{name}::\n", nobody[2], nobody[3]);
    fs::write(home.join("users"), user("ann") + &user("joe")).unwrap();
    let configuration = home.join("dovecot.conf");
    fs::write(&configuration, settings).unwrap();
    let mut command = Command::new("dovecot");
    command.arg("-F").arg("-c").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
    let sink = Sink { child: command.spawn().unwrap(), port };
    sink.answers();
    Some((sink, home.join("run/wire")))
}

#[test]
fn dovecot_takes_it_by_lmtp_over_tcp_and_a_unix_socket() {
    let home = scratch();
    let Some((sink, socket)) = dovecot_lmtp(home.path()) else { return };
    let hops = [format!("lmtp://127.0.0.1:{}", sink.port), format!("lmtp+unix:{}", socket.display())];
    for (n, hop) in hops.into_iter().enumerate() {
        let run = inject(&[hop], &["ann@h.example", "who@h.example", "joe@h.example"]).exits(69);
        let report = outcomes(&run);
        assert_eq!(report[0], "accepted 2.0.0", "{run:?}\n{:?}", fs::read_to_string(home.path().join("log")));
        assert_eq!(report[1], "permanent 5.1.1");
        assert_eq!(report[2], "accepted 2.0.0");
        for user in ["ann", "joe"] {
            let all = messages(&home.path().join("mail").join(user));
            assert_eq!(all.len(), n + 1);
            assert!(all.iter().all(|message| message.body() == b"body\n.\n..\nend\n"));
        }
    }
}

/// A server that answers each LMTP recipient by name, and prints what it received.
const AIOSMTPD: &str = r#"
import asyncio, sys
from aiosmtpd.smtp import SMTP
from aiosmtpd.lmtp import LMTP
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('no'): return '550 5.1.1 no such user'
        if address.startswith('later'): return '451 4.3.0 later'
        envelope.rcpt_tos.append(address)
        return '250 2.1.5 ok'
    async def handle_DATA(self, server, session, envelope):
        print(envelope.mail_from, *envelope.mail_options, *envelope.rcpt_tos, flush=True)
        if isinstance(server, LMTP):
            return '\r\n'.join('552 5.2.2 full' if a.startswith('full') else '250 2.0.0 stored' for a in envelope.rcpt_tos)
        return '250 2.0.0 queued'
async def main():
    loop = asyncio.get_running_loop()
    await loop.create_unix_server(lambda: LMTP(Handler()), sys.argv[2])
    await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=True), '127.0.0.1', int(sys.argv[1]))
    await asyncio.sleep(600)
asyncio.run(main())
"#;

#[test]
fn aiosmtpd_takes_it_by_smtp_and_by_lmtp() {
    if !have("/usr/bin/python3", &["-c", "import aiosmtpd"]) {
        skip!("aiosmtpd is not here");
    }
    let home = scratch();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let log = home.path().join("log");
    let socket = home.path().join("socket");
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", AIOSMTPD, &port.to_string()]).arg(&socket).stdout(fs::File::create(&log).unwrap());
    let sink = Sink { child: command.spawn().unwrap(), port };
    sink.answers();
    let to = ["ann@y.example", "no@y.example", "later@y.example", "\u{e4}@y.example", "full@y.example"];
    let run = inject(&[format!("smtp://127.0.0.1:{port}")], &to).exits(75);
    assert_eq!(
        outcomes(&run),
        ["accepted 2.0.0", "permanent 5.1.1", "temporary 4.3.0", "accepted 2.0.0", "accepted 2.0.0"]
    );
    let run = inject(&[format!("lmtp+unix:{}", socket.display())], &["ann@y.example", "full@y.example"]);
    assert_eq!(outcomes(&run), ["accepted 2.0.0", "permanent 5.2.2"]);
    run.exits(69);
    let received = fs::read_to_string(&log).unwrap();
    assert!(received.starts_with("s@x.example "), "{received}");
    assert!(received.lines().next().unwrap().contains("SMTPUTF8"), "{received}");
    assert!(
        received.lines().next().unwrap().ends_with("ann@y.example \u{e4}@y.example full@y.example"),
        "{received}"
    );
}

#[test]
fn forwards_of_a_qmail_file_go_over_the_wire() {
    let home = scratch();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join(".qmail-list"), "&ka@y.example\n&zb@y.example\n").unwrap();
    fs::set_permissions(home.path().join(".qmail-list"), fs::Permissions::from_mode(0o644)).unwrap();
    let deliver = |hops: &[String]| {
        let mut command = mailferry(["deliver", "--dot-qmail", "--user", "joe", "-f", "s@x.example"]);
        command.args(["-r", "joe-list@h.example", "--home"]).arg(home.path());
        command.args(hops.iter().flat_map(|hop| ["--via", hop]));
        run_with_stdin(command, MESSAGE)
    };
    let ((first, one), (second, two)) = (qmtp_server(), qmtp_server());
    let hops = [format!("qmtp://127.0.0.1:{first}"), format!("qmtp://127.0.0.1:{second}")];
    let run = deliver(&hops).exits(75);
    run.complains(&["4.3.0 forward to zb@y.example: qmtp://", "accepted: 1 of 2 forwards"]);
    let (message, to) = one.join().unwrap();
    assert_eq!(to, ["ka@y.example", "zb@y.example"]);
    let message = String::from_utf8(message).unwrap();
    assert!(message.starts_with("\nDelivered-To: joe-list@h.example\nDate: "), "{message}");
    assert_eq!(two.join().unwrap().1, ["zb@y.example"]);
}

/// Starts an SMTP or LMTP server that accepts one message for one recipient. It returns what came after DATA.
fn data_server() -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut answer = |answer: &str, end: &[u8]| {
            stream.write_all(answer.as_bytes()).unwrap();
            let (mut received, mut byte) = (Vec::new(), [0]);
            while !received.ends_with(end) {
                stream.read_exact(&mut byte).unwrap();
                received.extend(byte);
            }
            received
        };
        for reply in ["220 me\r\n", "250 me\r\n", "250 ok\r\n", "250 ok\r\n"] {
            answer(reply, b"\r\n");
        }
        let data = answer("354 go\r\n", b"\r\n.\r\n");
        answer("250 ok\r\n", b"QUIT\r\n");
        data
    });
    (port, server)
}

#[test]
fn a_bare_cr_or_lf_never_reaches_an_smtp_server() {
    let header = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: s@x.example\nTo: a@y.example\n\n";
    let long = "x".repeat(10_000);
    let smuggled = "MAIL FROM:<evil@x.example>";
    let message = format!("{header}a\rb\n\n.\r.\r\n{smuggled}\r\r\n\r.\r\n{long}\n.{long}\n.\nend\r");
    let wire = format!("{header}a b\n\n.. .\n{smuggled} \n .\n{long}\n..{long}\n..\nend\n.\n");
    for scheme in ["smtp", "lmtp"] {
        let (port, server) = data_server();
        let via = format!("{scheme}://127.0.0.1:{port}");
        let command = mailferry(["inject", "-a", "-f", "s@x.example", "--via", &via, "a@y.example"]);
        let run = run_with_stdin(command, &*message).exits(0);
        assert_eq!(run.stderr, "", "{scheme}");
        let data = String::from_utf8(server.join().unwrap()).unwrap();
        assert_eq!(data, wire.replace('\n', "\r\n"), "{scheme}");
    }
}

/// A step of a hostile server. After the last step it disconnects.
#[derive(Debug, Clone)]
enum Step {
    Writes(&'static [u8]),
    /// Writes the bytes repeatedly while the client is connected, up to 1 GB.
    Repeats(&'static [u8]),
    /// Reads up to and including these bytes.
    Reads(&'static [u8]),
    /// Reads slowly up to and including these bytes.
    ReadsSlowly(&'static [u8]),
    /// Reads this many netstrings.
    ReadsNetstrings(usize),
    /// Reads everything.
    ReadsAll,
    Pauses,
    /// Keeps the connection open, and neither reads nor writes.
    Hangs,
}
use Step::*;

impl Step {
    /// Takes the step. Returns true to keep the connection.
    fn with(&self, stream: &mut TcpStream) -> std::io::Result<bool> {
        let mut read = |most: usize| -> std::io::Result<Vec<u8>> {
            let mut buffer = vec![0; most];
            let count = stream.read(&mut buffer)?;
            buffer.truncate(count);
            match count {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(buffer),
            }
        };
        let mut all: Vec<u8> = Vec::new();
        match self {
            Writes(bytes) => stream.write_all(bytes)?,
            Repeats(bytes) => {
                let chunk = bytes.repeat((1 << 16) / bytes.len());
                (0..1 << 14).try_for_each(|_| stream.write_all(&chunk))?;
            }
            Reads(end) => {
                while !all.ends_with(end) {
                    all.append(&mut read(1)?);
                }
            }
            ReadsSlowly(end) => {
                while !all.ends_with(end) {
                    all.append(&mut read(1 << 16)?);
                    thread::sleep(Duration::from_micros(200));
                }
            }
            ReadsNetstrings(count) => {
                while netstrings(&all).is_none_or(|all| all.len() < *count) {
                    all.append(&mut read(1)?);
                }
            }
            ReadsAll => while read(1 << 16).is_ok() {},
            Pauses => thread::sleep(Duration::from_millis(300)),
            Hangs => return Ok(true),
        }
        Ok(false)
    }
}

/// Starts a server that takes these steps with one client, and then returns a connection that it keeps.
fn hostile(steps: Vec<Step>) -> (u16, JoinHandle<Option<TcpStream>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let kept = steps.iter().any(|step| step.with(&mut stream).unwrap_or(false));
        kept.then_some(stream)
    });
    (port, server)
}

/// Returns a correct SMTP or LMTP session in which other steps replace one answer: 0 is the greeting, 6 the
/// answer to the message.
fn talk(scheme: &str, at: usize, instead: &[Step], goes_on: bool) -> Vec<Step> {
    let end: &[u8] = if scheme == "lmtp" { b"250 a\r\n250 b\r\n" } else { b"250 ok\r\n" };
    let usual: [(&[u8], &[u8]); 7] = [
        (b"", b"220 me\r\n"),
        (b"\r\n", b"250 me\r\n"),
        (b"\r\n", b"250 ok\r\n"),
        (b"\r\n", b"250 ok\r\n"),
        (b"\r\n", b"250 ok\r\n"),
        (b"\r\n", b"354 go\r\n"),
        (b"\r\n.\r\n", end),
    ];
    let mut steps = Vec::new();
    for (n, (before, answer)) in usual.into_iter().enumerate() {
        let message = if instead.iter().any(|step| matches!(step, ReadsSlowly(_))) {
            ReadsSlowly(before)
        } else {
            Reads(before)
        };
        steps.push(if n == 6 { message } else { Reads(before) });
        match n == at {
            false => steps.push(Writes(answer)),
            true if goes_on => {
                steps.extend(instead.iter().filter(|step| !matches!(step, ReadsSlowly(_))).cloned())
            }
            true => {
                steps.extend_from_slice(instead);
                return steps;
            }
        }
    }
    steps
}

/// A server, and the outcomes for two recipients: Accepted, Permanent, Unsure, or Temporary, where the next
/// hop accepts them.
struct Hostile {
    scheme: &'static str,
    name: String,
    steps: Vec<Step>,
    want: &'static str,
    /// True if the message is larger than all buffers in between.
    is_large: bool,
}

fn hostile_peers() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |scheme, name: String, steps, want, is_large| {
        all.push(Hostile { scheme, name, steps, want, is_large });
    };
    for (scheme, stages) in [("smtp", &[0, 1, 2, 3, 4, 5, 6][..]), ("lmtp", &[1, 6])] {
        for &at in stages {
            let want = if at == 6 { "UU" } else { "TT" };
            for (name, step) in [
                ("closes", vec![]),
                ("garbage", vec![Writes(b"what?\r\n")]),
                ("half an answer", vec![Writes(b"250 half")]),
                ("a line and no more", vec![Writes(b"250-more\r\n")]),
                ("two codes", vec![Writes(b"250-more\r\n550 less\r\n")]),
                ("NUL", vec![Writes(b"2\x0050 ok\r\n")]),
                ("no code", vec![Writes(b"999 ok\r\n")]),
                ("not over", vec![Writes(b"150 ok\r\n")]),
                ("an endless line", vec![Repeats(b"2")]),
                ("an endless answer", vec![Repeats(b"250-more\r\n")]),
            ] {
                add(scheme, format!("{name} at {at}"), talk(scheme, at, &step, false), want, false);
            }
        }
        for at in [0, 3, 6] {
            let want = if at == 6 { "UU" } else { "TT" };
            add(scheme, format!("hangs at {at}"), talk(scheme, at, &[Hangs], false), want, false);
        }
        let half = [Writes(b"250 ha"), Hangs];
        add(scheme, "hangs in the last answer".into(), talk(scheme, 6, &half, false), "UU", false);
        add(
            scheme,
            "never reads".into(),
            talk(scheme, 5, &[Writes(b"354 go\r\n"), Hangs], false),
            "TT",
            true,
        );
        let goes = [Writes(b"354 go\r\n"), Reads(b"x")];
        add(scheme, "goes in the middle".into(), talk(scheme, 5, &goes, false), "TT", true);
        let slowly =
            [ReadsSlowly(b""), Writes(if scheme == "lmtp" { b"250 a\r\n250 b\r\n" } else { b"250 ok\r\n" })];
        add(scheme, "reads slowly".into(), talk(scheme, 6, &slowly, true), "AA", true);
        for (at, answer, want) in [
            (2, &b"354 go\r\n"[..], "TT"),
            (3, b"354 go\r\n", "TT"),
            (5, b"250 ok\r\n", "TT"),
            (6, b"354 go\r\n", "UU"),
            // More answers than commands.
            (1, b"250 me\r\n250 ok\r\n", "TT"),
            (3, b"250 ok\r\n250 ok\r\n", "TT"),
            (5, b"354 go\r\n250 ok\r\n", "TT"),
            (6, b"250 ok\r\n250 ok\r\n250 ok\r\n", "AA"),
            // The code counts, not the text.
            (3, b"550 5.1.1 no\r\n", "PA"),
            (4, b"450 2.0.0 ok\r\n", "AT"),
            (2, b"550 no\r\n", "PP"),
            (5, b"451 later\r\n", "TT"),
        ] {
            let name = format!("{} at {at}", answer.escape_ascii());
            add(scheme, name, talk(scheme, at, &[Writes(answer)], true), want, false);
        }
    }
    for (scheme, at, step, want) in [
        ("smtp", 6, vec![Pauses, Writes(b"250 ok\r\n")], "AA"),
        ("smtp", 6, vec![Writes(b"250 o\0k\r\n")], "AA"),
        ("smtp", 6, vec![Writes(b"450 2.0.0 ok\r\n")], "TT"),
        ("smtp", 6, vec![Writes(b"550 no\r\n")], "PP"),
        // It defers one recipient, then disconnects after the message to the other.
        (
            "smtp",
            3,
            vec![
                Writes(b"450 later\r\n"),
                Reads(b"\r\n"),
                Writes(b"250 ok\r\n"),
                Reads(b"\r\n"),
                Writes(b"354 go\r\n"),
                Reads(b"\r\n.\r\n"),
            ],
            "TU",
        ),
        ("smtp", 3, vec![Writes(b"421 bye\r\n")], "TT"),
        ("lmtp", 6, vec![Writes(b"250 a\r\n")], "AU"),
        ("lmtp", 6, vec![Writes(b"250 a\r\n250 half")], "AU"),
        ("lmtp", 6, vec![Writes(b"450 a\r\n")], "TU"),
        ("lmtp", 6, vec![Writes(b"550 a\r\n"), Pauses, Writes(b"450 b\r\n")], "PT"),
        ("lmtp", 6, vec![Writes(b"250 a\r\n"), Hangs], "AU"),
    ] {
        add(scheme, format!("{step:?}"), talk(scheme, at, &step, false), want, false);
    }
    for (scheme, netstrings) in [("qmqp", 1), ("qmtp", 3)] {
        for (answer, one, each) in [
            (&b""[..], "UU", "UU"),
            (b"hello K", "UU", "UU"),
            (b"3:Ko", "UU", "UU"),
            (b"3:Kok", "UU", "UU"),
            (b"03:Kok,", "UU", "UU"),
            (b"3:xok,3:xok,", "UU", "UU"),
            (b"0:,0:,", "UU", "UU"),
            (b"3:\0ok,", "UU", "UU"),
            (b"3\0:Kok,", "UU", "UU"),
            (b"1000000000:K", "UU", "UU"),
            (b"99999999999999999999:K", "UU", "UU"),
            (b"3:Kok,", "AA", "AU"),
            (b"3:Kok,3:Ko", "AA", "AU"),
            (b"3:Zno,", "TT", "TU"),
            (b"3:Dno,", "PP", "PU"),
            (b"3:Kok,3:Zno,", "AA", "AT"),
            (b"3:Dno,3:Kok,", "PP", "PA"),
            (b"3:Zno,3:Kok,3:Kok,", "TT", "TA"),
        ] {
            let want = if scheme == "qmqp" { one } else { each };
            let steps = vec![ReadsNetstrings(netstrings), Writes(answer)];
            add(scheme, answer.escape_ascii().to_string(), steps, want, false);
        }
        let all_read = || ReadsNetstrings(netstrings);
        add(scheme, "late".into(), vec![all_read(), Pauses, Writes(b"3:Kok,3:Kok,")], "AA", false);
        add(scheme, "hangs".into(), vec![all_read(), Hangs], "UU", false);
        add(scheme, "hangs in an answer".into(), vec![all_read(), Writes(b"3:K"), Hangs], "UU", false);
        add(scheme, "an endless length".into(), vec![all_read(), Repeats(b"9")], "UU", false);
        let long = vec![all_read(), Writes(b"9999:"), Repeats(b"K")];
        add(scheme, "an endless answer".into(), long, "UU", false);
        add(scheme, "never reads".into(), vec![Hangs], "TT", true);
        add(scheme, "goes in the middle".into(), vec![Reads(b"x")], "TT", true);
        let early = vec![Writes(b"3:Kok,3:Kok,"), ReadsAll];
        add(scheme, "accepts what it has not heard".into(), early, "TT", true);
    }
    // Postfix reports why it refuses.
    add("qmqp", "refuses in the middle".into(), vec![Writes(b"3:Dno,"), ReadsAll], "PP", true);
    all
}

/// Whatever a server does: a recipient is accepted only if the server accepted it. If the server may have the
/// message, the outcome is unsure and no other hop gets it. The next hop gets all other recipients.
#[test]
fn a_hostile_server_neither_loses_nor_doubles_a_recipient() {
    let large = format!("{MESSAGE}{}", "x\n".repeat(16 << 20));
    let peers = hostile_peers();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        while let Some(peer) = peers.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            withstands(peer, if peer.is_large { &large } else { MESSAGE });
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..12).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    note!("{} hostile servers", peers.len());
}

fn withstands(peer: &Hostile, message: &str) {
    let home = QmailHome::new();
    home.control("me", "me.example.org");
    let program = home.path("next");
    script(&program, "#!/bin/sh\ncat >/dev/null\nfor one; do echo \"$one\"; done > heard\n");
    let (port, server) = hostile(peer.steps.clone());
    let first = format!("{}://127.0.0.1:{port}", peer.scheme);
    let second = format!("sendmail:{}", program.display());
    let hangs = peer.steps.iter().any(|step| matches!(step, Hangs));
    let recipients = ["a@y.example", "b@y.example"];
    let time = if hangs { "4" } else { "60" };
    let args = ["--via", &first, "--via", &second, "--timeout", time, "--json", "-f", "s@x.example"];
    let run = run_with_stdin(home.command("inject", &[&args[..], &recipients].concat()), message);
    drop(server.join().unwrap());
    let case = format!("{} {}: {run:?}", peer.scheme, peer.name);
    let report = run.json().pop().unwrap()["recipients"].clone();
    let mut retried = Vec::new();
    for ((want, one), to) in peer.want.chars().zip(report.as_array().unwrap()).zip(recipients) {
        let (outcome, via) = match want {
            'A' => ("accepted", &first),
            'P' => ("permanent", &first),
            'U' => ("temporary", &first),
            _ => ("accepted", &second),
        };
        assert_eq!(
            (one["outcome"].as_str().unwrap(), one["via"].as_str().unwrap()),
            (outcome, &via[..]),
            "{case}"
        );
        assert_eq!(one["unsure"], want == 'U', "{case}");
        if want == 'T' {
            retried.push(to);
        }
    }
    let received = fs::read_to_string(home.path("heard")).unwrap_or_default();
    let received: Vec<&str> = received.lines().skip_while(|word| *word != "--").skip(1).collect();
    assert_eq!(received, retried, "{case}");
    let code = match peer.want {
        want if want.contains('U') => 75,
        want if want.contains('P') => 69,
        _ => 0,
    };
    assert_eq!(run.code, Some(code), "{case}");
}

#[test]
fn an_answer_without_end_takes_no_memory() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let scratch_dir = scratch();
    let input = scratch_dir.path().join("input");
    fs::write(&input, MESSAGE).unwrap();
    for peer in hostile_peers().into_iter().filter(|peer| peer.name.starts_with("an endless")) {
        let (port, server) = hostile(peer.steps);
        let via = format!("{}://127.0.0.1:{port}", peer.scheme);
        let (code, memory) =
            peak_memory(&["inject", "--via", &via, "-f", "s@x", "a@y.example", "b@y.example"], &input);
        server.join().unwrap();
        assert_eq!(code, 75, "{}", peer.name);
        assert!(memory < 64 << 10, "{} {}: {memory} KiB", peer.scheme, peer.name);
    }
}
