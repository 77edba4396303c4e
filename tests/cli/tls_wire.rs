//! Servers that violate the protocol, where TLS is required: whoever is on the way can play one until TLS begins.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::{Authority, Fault};
use crate::support::*;
use crate::wire::outcomes;

const MESSAGE: &str = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: s@x.example\n\
                       To: a@y.example\nSubject: x\n\nbody\n";

/// A step of a server. It closes the connection after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Say(&'static str),
    /// Reads a line that begins so.
    Hear(&'static str),
    /// Reads the message.
    Message,
    Tls,
    /// Begins a handshake, and closes in the middle of it.
    HalfTls,
    /// Sends updates of keys until the client closes.
    UpdateKeys,
    /// Sends pieces of a message of the handshake until the client closes.
    EndlessHandshake,
    /// Waits until the client closes.
    Silence,
}
use Step::{EndlessHandshake, HalfTls, Hear, Message, Say, Silence, Tls, UpdateKeys};

/// Submission from the first byte to the last.
const SUBMISSION: [Step; 19] = [
    Say("220 mail ESMTP\r\n"),
    Hear("EHLO "),
    Say("250-mail\r\n250 STARTTLS\r\n"),
    Hear("STARTTLS"),
    Say("220 go ahead\r\n"),
    Tls,
    Hear("EHLO "),
    Say("250-mail\r\n250 AUTH PLAIN\r\n"),
    Hear("AUTH PLAIN "),
    Say("235 2.7.0 welcome\r\n"),
    Hear("MAIL FROM:<"),
    Say("250 ok\r\n"),
    Hear("RCPT TO:<"),
    Say("250 ok\r\n"),
    Hear("DATA"),
    Say(GO),
    Message,
    Say(QUEUED),
    Hear("QUIT"),
];
const GO: &str = "354 go\r\n";
const QUEUED: &str = "250 2.0.0 queued\r\n";
/// The steps before TLS.
const CLEAR: usize = 5;

/// The lines that a server got, before TLS and in it.
#[derive(Debug, Default)]
struct Transcript {
    clear: Vec<String>,
    protected: Vec<String>,
}

struct Server {
    stream: Option<TcpStream>,
    tls: Option<StreamOwned<ServerConnection, TcpStream>>,
    config: Arc<ServerConfig>,
    heard: Transcript,
}

/// Starts a server for one connection with these steps. Returns its port, and what it heard.
fn server(authority: &Authority, steps: &[Step]) -> (u16, JoinHandle<Transcript>) {
    let pem = authority.issue("localhost", Fault::None);
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, steps) = (listener.local_addr().unwrap().port(), steps.to_vec());
    let play = move || {
        let stream = Some(listener.accept().unwrap().0);
        let mut server = Server { stream, tls: None, config, heard: Transcript::default() };
        for step in steps {
            if server.take(step).is_none() {
                break;
            }
        }
        if let Some(tls) = &mut server.tls {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        server.heard
    };
    (port, thread::spawn(play))
}

impl Server {
    /// Takes a step. None if the connection has ended.
    fn take(&mut self, step: Step) -> Option<()> {
        match step {
            Say(text) => match (&mut self.stream, &mut self.tls) {
                (Some(stream), _) => stream.write_all(text.as_bytes()).ok(),
                (None, tls) => {
                    let tls = tls.as_mut().unwrap();
                    tls.write_all(text.as_bytes()).and_then(|()| tls.flush()).ok()
                }
            },
            Hear(start) => {
                let line = self.line()?;
                assert!(line.starts_with(start), "{line:?} is not {start:?}");
                Some(())
            }
            Message => {
                while self.line()? != ".\r\n" {}
                Some(())
            }
            Tls => {
                let connection = ServerConnection::new(self.config.clone()).unwrap();
                let mut tls = StreamOwned::new(connection, self.stream.take().unwrap());
                // Completes the handshake.
                tls.conn.complete_io(&mut tls.sock).ok()?;
                self.tls = Some(tls);
                Some(())
            }
            HalfTls => {
                let mut connection = ServerConnection::new(self.config.clone()).unwrap();
                let mut stream = self.stream.take().unwrap();
                while !connection.wants_write() {
                    connection.read_tls(&mut stream).ok()?;
                    connection.process_new_packets().ok()?;
                }
                let mut answer = Vec::new();
                connection.write_tls(&mut answer).unwrap();
                stream.write_all(&answer[..answer.len() / 2]).ok()?;
                stream.shutdown(Shutdown::Write).ok()?;
                // Without this, what the client sends now would cause a reset.
                std::io::copy(&mut stream, &mut std::io::sink()).ok().map(|_| ())
            }
            UpdateKeys => loop {
                let tls = self.tls.as_mut().unwrap();
                tls.conn.refresh_traffic_keys().unwrap();
                while tls.conn.wants_write() {
                    tls.conn.write_tls(&mut tls.sock).ok()?;
                }
            },
            EndlessHandshake => {
                let stream = self.stream.as_mut().unwrap();
                // A ServerHello of the greatest length, and each byte of it in a record of its own.
                stream.write_all(b"\x16\x03\x03\0\x04\x02\xff\xff\xff").ok()?;
                loop {
                    stream.write_all(b"\x16\x03\x03\0\x01x").ok()?;
                }
            }
            Silence => {
                while self.line().is_some() {}
                None
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            let read = match (&mut self.stream, &mut self.tls) {
                (Some(stream), _) => stream.read(&mut byte),
                (None, tls) => tls.as_mut()?.read(&mut byte),
            };
            match read {
                Ok(1) => line.push(byte[0]),
                _ => return None,
            }
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let heard = if self.tls.is_some() { &mut self.heard.protected } else { &mut self.heard.clear };
        heard.push(line.clone());
        Some(line)
    }
}

/// A client with its password, and a mailbox as the last next hop.
struct Client {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Client {
    fn new() -> Option<Client> {
        let client = Client { authority: Authority::new()?, directory: scratch() };
        for name in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(client.directory.path().join("unsent").join(name)).unwrap();
        }
        Some(client)
    }

    /// Sends to these next hops. Each has the user ann, and a password that is its number.
    fn send(&self, hops: &[String], options: &[&str]) -> Run {
        let mut command = mailferry(["inject", "--json", "-f", "s@x.example", "a@y.example", "--ca"]);
        command.arg(self.authority.root()).args(options);
        for (number, hop) in hops.iter().enumerate() {
            command.args(["--via", hop]);
            if hop.contains('@') {
                command.args(["--password-command", &format!("echo password-{number}")]);
            }
        }
        run_with_stdin(command, MESSAGE)
    }

    fn unsent(&self) -> String {
        format!("maildir:{}", self.directory.path().join("unsent").display())
    }

    /// Takes what is in the mailbox.
    fn take_unsent(&self) -> usize {
        let all = messages(&self.directory.path().join("unsent"));
        all.iter().for_each(|message| std::fs::remove_file(&message.path).unwrap());
        all.len()
    }
}

fn starttls(port: u16) -> String {
    format!("smtp+starttls://ann@localhost:{port}")
}

/// Asserts that the client said nothing before TLS but what starts it.
#[track_caller]
fn only_starts_tls(heard: &Transcript) {
    let start = heard.clear.iter().position(|line| line == "STARTTLS\r\n");
    let (commands, rest) = heard.clear.split_at(start.map_or(heard.clear.len(), |start| start + 1));
    let allowed = ["EHLO ", "STARTTLS\r\n", "QUIT\r\n"];
    assert!(commands.iter().all(|line| allowed.iter().any(|start| line.starts_with(start))), "{heard:?}");
    // The first record of the handshake.
    assert!(rest.first().is_none_or(|line| line.starts_with("\u{16}\u{3}")), "{heard:?}");
}

#[test]
fn a_connection_that_closes_at_any_stage_has_its_true_outcome() {
    let Some(client) = Client::new() else { return };
    let smtps: Vec<Step> = [&[Tls, SUBMISSION[0]], &SUBMISSION[CLEAR + 1..]].concat();
    for (scheme, steps) in [("smtp+starttls", &SUBMISSION[..]), ("smtps", &smtps)] {
        for count in 0..=steps.len() {
            let (port, heard) = server(&client.authority, &steps[..count]);
            let hops = [format!("{scheme}://ann@localhost:{port}"), client.unsent()];
            let run = client.send(&hops, &["--timeout", "60"]);
            let took = |step| steps[..count].contains(&step);
            let (asked, sent, accepted) = (took(Say(GO)), took(Message), took(Say(QUEUED)));
            let outcome = outcomes(&run).remove(0);
            let unsure = outcome == "temporary unsure 4.4.2";
            assert!(unsure || outcome == "accepted 2.0.0", "{scheme} {count}: {run:?}");
            // A client that has sent the message cannot tell whether the server has read it.
            assert!(asked || !unsure, "{scheme} {count}: {run:?}");
            assert_eq!(unsure && sent, sent && !accepted, "{scheme} {count}: {run:?}");
            // It is in one place, and never in two.
            assert_eq!(client.take_unsent(), usize::from(!unsure && !accepted), "{scheme} {count}: {run:?}");
            run.exits(if unsure { 75 } else { 0 });
            only_starts_tls(&heard.join().unwrap());
        }
    }
}

#[test]
fn without_tls_nothing_is_sent() {
    let Some(client) = Client::new() else { return };
    let begin = &SUBMISSION[..2];
    let asked = &SUBMISSION[..4];
    let table: [(&str, Vec<Step>, &str); 7] = [
        ("no STARTTLS", [begin, &[Say("250-mail\r\n250 AUTH PLAIN\r\n"), Silence]].concat(), "STARTTLS"),
        ("no EHLO", [begin, &[Say("502 no\r\n"), Silence]].concat(), "STARTTLS"),
        ("refused", [asked, &[Say("454 4.7.0 no\r\n"), Silence]].concat(), "STARTTLS"),
        ("refused for ever", [asked, &[Say("554 5.7.0 no\r\n"), Silence]].concat(), "STARTTLS"),
        (
            "injected",
            [asked, &[Say("220 go ahead\r\n250-evil\r\n250 AUTH PLAIN\r\n235 ok\r\n"), Tls, Silence]]
                .concat(),
            "TLS",
        ),
        ("half", [&SUBMISSION[..CLEAR], &[HalfTls]].concat(), "TLS"),
        ("no TLS", [&SUBMISSION[..CLEAR], &[Say("250 ok\r\n250 ok\r\n250 ok\r\n"), Silence]].concat(), "TLS"),
    ];
    for (name, steps, word) in table {
        let (port, heard) = server(&client.authority, &steps);
        let run = client.send(&[starttls(port)], &["--timeout", "60"]);
        let outcome = outcomes(&run);
        assert!(outcome[0].starts_with("temporary 4."), "{name}: {run:?}");
        run.exits(75).complains(&[word]);
        let heard = heard.join().unwrap();
        only_starts_tls(&heard);
        assert!(heard.protected.is_empty(), "{name}: {heard:?}");
    }
}

#[test]
fn a_handshake_without_end_ends_with_the_time_limit() {
    let Some(client) = Client::new() else { return };
    let hello = &SUBMISSION[..CLEAR + 1];
    for (name, steps) in [
        ("silence", [&SUBMISSION[..CLEAR], &[Silence]].concat()),
        ("endless handshake", [&SUBMISSION[..CLEAR], &[EndlessHandshake]].concat()),
        ("updates of keys", [hello, &[Hear("EHLO "), UpdateKeys]].concat()),
    ] {
        let (port, heard) = server(&client.authority, &steps);
        let began = Instant::now();
        let run = client.send(&[starttls(port), client.unsent()], &["--timeout", "3"]);
        assert!(began.elapsed() < Duration::from_secs(60), "{name}");
        assert_eq!(outcomes(&run), ["accepted 2.0.0"], "{name}: {run:?}");
        run.exits(0);
        assert_eq!(client.take_unsent(), 1, "{name}");
        only_starts_tls(&heard.join().unwrap());
    }
}

#[test]
fn a_password_goes_to_the_host_that_was_named_with_it() {
    let Some(client) = Client::new() else { return };
    let refused = [&SUBMISSION[..9], &[Say("535 5.7.8 no\r\n"), Silence]].concat();
    let (first, one) = server(&client.authority, &refused);
    let (second, two) = server(&client.authority, &SUBMISSION);
    let run = client.send(&[starttls(first), starttls(second)], &["--timeout", "60"]);
    assert_eq!(outcomes(&run), ["accepted 2.0.0"], "{run:?}");
    run.exits(0);
    for (number, heard) in [one, two].into_iter().enumerate() {
        let heard = heard.join().unwrap();
        let login = format!("\0ann\0password-{number}");
        let login = format!("AUTH PLAIN {}\r\n", data_encoding::BASE64.encode(login.as_bytes()));
        let logins: Vec<_> = heard.protected.iter().filter(|line| line.starts_with("AUTH")).collect();
        assert_eq!(logins, [&login]);
    }
}
