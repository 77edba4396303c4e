//! Messages are handed on over the wire: to servers that others have written, to what they were recorded to
//! answer, and to servers that do not keep to anything.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, thread};

use mailferry::letter::{Arriving, Letter};
use mailferry::transport::net::{Connection, Patience};
use mailferry::transport::{Envelope, Fate, Message as Sent, Outcome, qmqp, qmtp};
use serde_json::Value;

use crate::golden::records;
use crate::golden_inject::House;
use crate::mta::postfix::Postfix;
use crate::support::*;

const MESSAGE: &str = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: s@x.example\n\
                       To: undisclosed: ;\nSubject: x\n\nbody\n.\n..\nend\n";

/// Servers have a minute.
const LIMIT: Duration = Duration::from_secs(60);
static NEVER: AtomicBool = AtomicBool::new(false);

fn inject(places: &[String], recipients: &[&str]) -> Run {
    let house = House::new();
    house.control("me", "me.example.org");
    let via = places.iter().flat_map(|place| ["--via", place]);
    let args: Vec<&str> = via.chain(["--json", "--timeout", "60", "-f", "s@x.example"]).collect();
    let args = [&args[..], recipients].concat();
    run_with_stdin(house.command("inject", &args), MESSAGE)
}

/// What became of each recipient.
#[track_caller]
fn outcomes(run: &Run) -> Vec<String> {
    let all = run.json();
    let summary = all.last().unwrap();
    let one = |one: &Value| {
        let unsure = if one["unsure"] == true { " unsure" } else { "" };
        format!("{}{unsure} {}", one["outcome"].as_str().unwrap(), one["status"].as_str().unwrap())
    };
    summary["recipients"].as_array().unwrap().iter().map(one).collect()
}

/// A server that hears so many bytes, answers, and goes; and what it heard.
fn recorded(count: usize, answer: Vec<u8>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut heard = vec![0; count];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&answer).unwrap();
        heard
    });
    (port, server)
}

fn letter(bytes: &[u8]) -> Letter {
    let mut arriving = Arriving::new(&std::env::temp_dir(), None);
    arriving.push(bytes).unwrap();
    arriving.finish().unwrap()
}

fn connect(port: u16) -> Connection<'static> {
    let patience =
        Patience { connect: LIMIT, wait: LIMIT, verdict: LIMIT, total: LIMIT, interrupted: &NEVER };
    Connection::tcp("127.0.0.1", port, patience).unwrap()
}

/// The netstrings that these bytes are, if they are.
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

fn hex(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    Some((0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect())
}

/// By the first byte of each answer; who gets none cannot know.
fn meant(answer: &[u8], recipients: usize) -> Vec<Fate> {
    let mut fates: Vec<Fate> = netstrings(answer)
        .unwrap_or_default()
        .iter()
        .map(|one| match one[0] {
            b'K' => Fate::Accepted,
            b'Z' => Fate::Temporary,
            _ => Fate::Permanent,
        })
        .collect();
    fates.resize(recipients, Fate::Unsure);
    fates
}

fn fates(outcomes: &[Outcome]) -> Vec<Fate> {
    outcomes.iter().map(|outcome| outcome.fate).collect()
}

#[test]
fn what_qmail_and_postfix_answered_is_understood_and_what_they_were_sent_is_sent() {
    let (Some(mut cases), Some(postfix)) =
        (records("golden/wire.jsonl"), records("golden/postfix-qmqpd.jsonl"))
    else {
        return;
    };
    cases.extend(postfix);
    let (mut compared, mut never_sent) = (0, 0);
    for case in &cases {
        let is_qmtp = case["program"] == "qmail-qmtpd";
        let (sent, answer) = match case["program"].as_str() {
            Some("qmail-qmqpc") => {
                (hex(&case["sent_by_client_hex"]), hex(&case["reply_hex"]).unwrap_or_default())
            }
            _ => (hex(&case["sent_hex"]), case["received"].as_str().unwrap().as_bytes().to_vec()),
        };
        // A package that is one, and that a client of ours makes: of one message, all of whose lines end alike.
        let package = sent.as_ref().and_then(|sent| {
            let outer = netstrings(sent)?;
            match (is_qmtp, &outer[..]) {
                (true, [message, sender, recipients]) => {
                    let (mode, message) = message.split_first()?;
                    let crlf = message.windows(2).filter(|w| w == b"\r\n").count();
                    let lf = message.iter().filter(|&&b| b == b'\n').count();
                    let own = if lf > 0 && lf == crlf { b'\r' } else { b'\n' };
                    let envelope = Envelope { sender: sender.clone(), recipients: netstrings(recipients)? };
                    (*mode == own).then(|| (message.to_vec(), envelope))
                }
                (false, [one]) => {
                    let inner = netstrings(one)?;
                    let [message, sender, recipients @ ..] = &inner[..] else { return None };
                    let envelope = Envelope { sender: sender.clone(), recipients: recipients.to_vec() };
                    Some((message.clone(), envelope))
                }
                _ => None,
            }
        });
        let Some((message, envelope)) = package else {
            never_sent += 1;
            continue;
        };
        let sent = sent.unwrap();
        let mut want = meant(&answer, envelope.recipients.len());
        let (port, server) = recorded(sent.len(), answer);
        let letter = letter(&message);
        let message = Sent::whole(&letter);
        let got = match is_qmtp {
            true => qmtp::send(&mut connect(port), &message, &envelope),
            false => {
                // One answer for all.
                let one = want.first().copied();
                want.fill(one.unwrap_or(Fate::Unsure));
                qmqp::send(&mut connect(port), &message, &envelope)
            }
        };
        assert!(server.join().unwrap() == sent, "{case}");
        assert_eq!(fates(&got), want, "{case}: {got:?}");
        compared += 1;
    }
    said(&format!(
        "wire.jsonl, postfix-qmqpd.jsonl: {compared} of {} cases agree; {never_sent} send what ours never does",
        cases.len()
    ));
    assert!(compared > 40, "{compared}");
}

/// A message with its first byte, and its recipients.
type Package = (Vec<u8>, Vec<String>);

/// A QMTP server by the specification: one package to a connection, an answer for each recipient by its first
/// letter. What it heard is its recipients.
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
fn each_recipient_is_accepted_once_and_the_next_place_is_for_the_others() {
    let ((first, one), (second, two)) = (qmtp_server(), qmtp_server());
    let places = [format!("qmtp://127.0.0.1:{first}"), format!("qmtp://127.0.0.1:{second}")];
    let run = inject(&places, &["ka@y.example", "zb@y.example", "dc@y.example", "kd@y.example"]).exits(75);
    assert_eq!(outcomes(&run), ["accepted 2.0.0", "temporary 4.3.0", "permanent 5.3.0", "accepted 2.0.0"]);
    let (message, to) = one.join().unwrap();
    assert_eq!(to, ["ka@y.example", "zb@y.example", "dc@y.example", "kd@y.example"]);
    assert_eq!(String::from_utf8(message).unwrap(), format!("\n{MESSAGE}"));
    assert_eq!(two.join().unwrap().1, ["zb@y.example"]);
}

#[test]
fn a_place_that_is_not_there_is_passed_over_and_named_if_it_is_the_last() {
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
fn a_message_that_may_have_arrived_is_not_sent_to_the_next_place() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut heard = Vec::new();
        let mut byte = [0];
        while netstrings(&heard).is_none_or(|all| all.len() != 1) {
            stream.read_exact(&mut byte).unwrap();
            heard.push(byte[0]);
        }
        // It hangs up without a word.
    });
    let maildir = scratch();
    for place in ["cur", "new", "tmp"] {
        fs::create_dir(maildir.path().join(place)).unwrap();
    }
    let places = [format!("qmqp://127.0.0.1:{port}"), format!("maildir:{}", maildir.path().display())];
    let run = inject(&places, &["a@y.example"]).exits(75);
    assert_eq!(outcomes(&run), ["temporary unsure 4.4.2"]);
    run.complains(&["it may have arrived"]);
    server.join().unwrap();
    assert!(messages(maildir.path()).is_empty());
}

/// A program that listens, and ends with the test.
struct Sink {
    child: Child,
    port: u16,
}

impl Sink {
    /// One of Postfix's; None where it is not.
    fn of(program: &str, options: &[&str]) -> Option<Sink> {
        let path = Path::new("/usr/sbin").join(program);
        if !path.exists() {
            skipped(&format!("{program} of Postfix is not here"));
            return None;
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

#[test]
fn postfixs_smtp_sink_takes_it_and_each_of_its_failures_is_told_as_it_is() {
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
        let told = outcomes(&run);
        // The sink has enhanced codes of its own for some.
        let same = |told: &String| told.rsplit_once('.').map(|t| t.0[..t.0.len() - 2].to_owned());
        let want = Some(outcome.rsplit_once('.').unwrap().0).map(|o| o[..o.len() - 2].to_owned());
        assert!(
            told.len() == 2 && told.iter().all(|told| same(told) == want),
            "{options:?}: {told:?}\n{run:?}"
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
    let listens = |port: u16| {
        postfix.world.until("a server", || {
            let probe = format!("exec 3<>/dev/tcp/127.0.0.1/{port} 2>/dev/null");
            postfix.world.command(["bash", "-c", &probe]).status().ok()?.success().then_some(())
        });
    };
    for (scheme, port, subject) in [("smtp", 25, "one"), ("qmqp", 628, "two")] {
        listens(port);
        let via = format!("{scheme}://127.0.0.1");
        let mut command =
            postfix.world.command(["mailferry", "inject", "--json", "--timeout", "30", "--via", &via]);
        command.args(["-f", "s@x.example", "joe@mx.example.org", "nobody@nowhere.example"]);
        let message = MESSAGE.replace("Subject: x", &format!("Subject: {subject}"));
        let run = run_with_stdin(command, message);
        // By SMTP the second is refused at once; in QMQP there is one answer for all.
        let second = if scheme == "smtp" { "permanent 5.1.1" } else { "accepted 2.0.0" };
        assert_eq!(outcomes(&run), ["accepted 2.0.0", second]);
        run.exits(if scheme == "smtp" { 69 } else { 0 });
        let new = postfix.world.path("/home/joe/Maildir/new");
        let found = postfix.world.until(subject, || {
            let files = fs::read_dir(&new).ok()?;
            let mut all = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
            all.find(|message| message.contains(&format!("\nSubject: {subject}\n")))
        });
        assert!(found.starts_with("Return-Path: <s@x.example>\n"), "{found}");
        assert!(found.ends_with("\n\nbody\n.\n..\nend\n"), "{found}");
    }
}

/// Dovecot with an LMTP server on a port and a socket.
fn dovecot_lmtp(home: &Path) -> Option<(Sink, PathBuf)> {
    if !Path::new("/usr/lib/dovecot/lmtp").exists() {
        skipped("Dovecot's LMTP server is not here");
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("not root: no Dovecot of its own");
        return None;
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
    let places = [format!("lmtp://127.0.0.1:{}", sink.port), format!("lmtp+unix:{}", socket.display())];
    for (n, place) in places.into_iter().enumerate() {
        let run = inject(&[place], &["ann@h.example", "who@h.example", "joe@h.example"]).exits(69);
        let told = outcomes(&run);
        assert_eq!(told[0], "accepted 2.0.0", "{run:?}\n{:?}", fs::read_to_string(home.path().join("log")));
        assert_eq!(told[1], "permanent 5.1.1");
        assert_eq!(told[2], "accepted 2.0.0");
        for user in ["ann", "joe"] {
            let all = messages(&home.path().join("mail").join(user));
            assert_eq!(all.len(), n + 1);
            assert!(all.iter().all(|message| message.body() == b"body\n.\n..\nend\n"));
        }
    }
}

/// It answers each recipient of LMTP by his name, and prints what it was given.
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
        skipped("aiosmtpd is not here");
        return;
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
    let heard = fs::read_to_string(&log).unwrap();
    assert!(heard.starts_with("s@x.example "), "{heard}");
    assert!(heard.lines().next().unwrap().contains("SMTPUTF8"), "{heard}");
    assert!(
        heard.lines().next().unwrap().ends_with("ann@y.example \u{e4}@y.example full@y.example"),
        "{heard}"
    );
}

#[test]
fn forwards_of_a_qmail_file_go_over_the_wire() {
    let home = scratch();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join(".qmail-list"), "&ka@y.example\n&zb@y.example\n").unwrap();
    fs::set_permissions(home.path().join(".qmail-list"), fs::Permissions::from_mode(0o644)).unwrap();
    let deliver = |places: &[String]| {
        let mut command = mailferry(["deliver", "--dot-qmail", "--user", "joe", "-f", "s@x.example"]);
        command.args(["-r", "joe-list@h.example", "--home"]).arg(home.path());
        command.args(places.iter().flat_map(|place| ["--via", place]));
        run_with_stdin(command, MESSAGE)
    };
    let ((first, one), (second, two)) = (qmtp_server(), qmtp_server());
    let places = [format!("qmtp://127.0.0.1:{first}"), format!("qmtp://127.0.0.1:{second}")];
    let run = deliver(&places).exits(75);
    run.complains(&["4.3.0 forward to zb@y.example: qmtp://", "1 of 2 forwards were accepted"]);
    let (message, to) = one.join().unwrap();
    assert_eq!(to, ["ka@y.example", "zb@y.example"]);
    let message = String::from_utf8(message).unwrap();
    assert!(message.starts_with("\nDelivered-To: joe-list@h.example\nDate: "), "{message}");
    assert_eq!(two.join().unwrap().1, ["zb@y.example"]);
}
