//! Sending over TLS, with a login, through the real binary. The servers are rustls' side of the same protocol;
//! `src/transport/tls/tests.rs` has what a server may do wrong.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::golden_inject::QmailHome;
use crate::support::*;

const PASSWORD: &str = "correct horse";
/// `ann`, and the password.
const LOGIN: &str = "AUTH PLAIN AGFubgBjb3JyZWN0IGhvcnNl\r\n";
const MESSAGE: &str = "To: joe@y.example\nSubject: x\n\nbody\n";

/// An authority, a server's certificate for 127.0.0.1, and the password of ann.
pub(crate) struct Tls {
    files: TempDir,
    config: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new() -> Tls {
        let files = scratch();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(files.path().join("ca"), authority.pem()).unwrap();
        fs::write(files.path().join("password"), PASSWORD).unwrap();
        fs::set_permissions(files.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Tls { files, config: Arc::new(config) }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.files.path().join("ca")
    }

    fn password(&self) -> PathBuf {
        self.files.path().join("password")
    }

    fn accept(
        listener: &TcpListener,
        config: &Arc<ServerConfig>,
    ) -> StreamOwned<ServerConnection, TcpStream> {
        let mut stream = listener.accept().unwrap().0;
        let mut session = ServerConnection::new(config.clone()).unwrap();
        while session.is_handshaking() && session.complete_io(&mut stream).is_ok() {}
        StreamOwned::new(session, stream)
    }

    /// Starts a server over TLS that passes all bytes to and from a server without. Returns its port.
    pub(crate) fn in_front_of(&self, port: u16) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let front = listener.local_addr().unwrap().port();
        let config = self.config.clone();
        // For one client.
        thread::spawn(move || {
            let mut client = Tls::accept(&listener, &config);
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            for stream in [&client.sock, &server] {
                stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            }
            while pass(&mut client, &mut server) && pass(&mut server, &mut client) {}
        });
        front
    }

    /// Starts a submission server for one client, which answers AUTH with `reply`. It returns what it received.
    fn server(&self, reply: &'static str) -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = self.config.clone();
        let server = thread::spawn(move || {
            let mut client = BufReader::new(Tls::accept(&listener, &config));
            let mut received = String::new();
            let mut answer = "220 me\r\n";
            while client.get_mut().write_all(answer.as_bytes()).is_ok() {
                let start = received.len();
                if client.read_line(&mut received).unwrap_or(0) == 0 {
                    break;
                }
                answer = match &received[start..] {
                    "QUIT\r\n" => break,
                    "DATA\r\n" => {
                        client.get_mut().write_all(b"354 go\r\n").unwrap();
                        while !received.ends_with("\r\n.\r\n") && client.read_line(&mut received).unwrap() > 0
                        {
                        }
                        "250 ok\r\n"
                    }
                    line if line.starts_with("EHLO") => "250-me\r\n250 AUTH PLAIN\r\n",
                    line if line.starts_with("AUTH") => reply,
                    _ => "250 ok\r\n",
                };
            }
            received
        });
        (port, server)
    }
}

/// Passes what is there. Returns false at the end of either side.
fn pass(from: &mut impl Read, to: &mut impl Write) -> bool {
    let mut buffer = [0; 1 << 14];
    match from.read(&mut buffer) {
        Ok(0) => false,
        Ok(n) => to.write_all(&buffer[..n]).and_then(|()| to.flush()).is_ok(),
        Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
    }
}

fn inject(tls: &Tls, args: &[&str]) -> Run {
    let home = QmailHome::new();
    home.control("me", "me.example.org");
    let ca = tls.ca();
    let args = [&["-f", "s@x.example", "--timeout", "60", "--ca", ca.to_str().unwrap()], args].concat();
    run_with_stdin(home.command("inject", &args), MESSAGE)
}

fn via(port: u16) -> String {
    format!("smtps://ann@127.0.0.1:{port}")
}

#[test]
fn a_message_is_sent_with_a_login() {
    let tls = Tls::new();
    let password = tls.password();
    for option in [
        ["--password-file".to_owned(), password.display().to_string()],
        ["--password-command".to_owned(), format!("cat '{}'", password.display())],
    ] {
        let (port, server) = tls.server("235 ok\r\n");
        inject(&tls, &["--via", &via(port), &option[0], &option[1]]).exits(0);
        let received = server.join().unwrap();
        assert!(
            received.starts_with(&format!("EHLO me.example.org\r\n{LOGIN}MAIL FROM:<s@x.example>")),
            "{received}"
        );
        assert!(received.contains("RCPT TO:<joe@y.example>\r\n"), "{received}");
    }
}

#[test]
fn a_refused_login_is_77_unless_another_next_hop_takes_the_message() {
    let tls = Tls::new();
    let password = tls.password();
    let password = password.to_str().unwrap();
    for (reply, code, status) in [("535 5.7.8 no\r\n", 77, "5.7.8"), ("454 4.7.0 later\r\n", 75, "4.3.0")] {
        let (port, server) = tls.server(reply);
        let run = inject(&tls, &["--via", &via(port), "--password-file", password]).exits(code);
        let run = run.complains(&[status, &via(port), "login as ann refused: "]);
        assert!(!run.text().contains(PASSWORD), "{run:?}");
        assert!(!server.join().unwrap().contains("MAIL"));
        // Each next hop gets its own password, and no other.
        let ((first, one), (second, two)) = (tls.server(reply), tls.server("235 ok\r\n"));
        let hops = ["--via", &via(first), "--via", &via(second)];
        let passwords = ["--password-command", "echo other", "--password-file", password];
        inject(&tls, &[hops, passwords].concat()).exits(0);
        assert!(one.join().unwrap().ends_with("AUTH PLAIN AGFubgBvdGhlcg==\r\n"));
        assert!(two.join().unwrap().contains(LOGIN));
    }
}

#[test]
fn passwords_and_next_hops_that_do_not_match_are_usage_errors() {
    let tls = Tls::new();
    for (args, words) in [
        ("--via smtps://ann@h", &["--via smtps://ann@h:465", "the password is missing"][..]),
        ("--via smtps://ann:geheim@h", &["--via", "smtps://ann:...@h", "--password-file"]),
        ("--via smtp://ann@h", &["--via", "a user needs TLS"]),
        ("--via smtps://h --password-command x", &["--password-command", "no next hop has a user"]),
        (
            "--via smtps://a@h --via smtps://b@h --password-command x",
            &["--password-command", "1 password for 2 next hops with a user"],
        ),
    ] {
        let run = inject(&tls, &args.split(' ').collect::<Vec<_>>()).exits(64).complains(words);
        assert!(!run.text().contains("geheim"), "{run:?}");
    }
    inject(&tls, &["--via", "smtp://h"]).exits(64).complains(&["--ca", "no next hop uses TLS"]);
}

#[test]
fn a_forward_of_a_qmail_file_is_sent_with_a_login() {
    let tls = Tls::new();
    let (home, password) = (scratch(), tls.password());
    fs::write(home.path().join(".qmail"), "&joe@y.example\n").unwrap();
    let deliver = |reply| {
        let (port, server) = tls.server(reply);
        let mut command = mailferry(["deliver", "--dot-qmail", "-r", "ann@x.example", "-f", "s@x.example"]);
        command.arg("--home").arg(home.path()).args(["--user", "ann", "--via", &via(port)]);
        command.arg("--ca").arg(tls.ca()).arg("--password-file").arg(&password);
        (run_with_stdin(command, MESSAGE), server)
    };
    let (run, server) = deliver("235 ok\r\n");
    run.exits(0);
    assert!(server.join().unwrap().contains(LOGIN));
    // The mail waits until the login is right.
    let (run, server) = deliver("535 5.7.8 no\r\n");
    run.exits(75).complains(&["4.3.5", "login as ann refused: 535"]);
    server.join().unwrap();
    let run = run_with_stdin(mailferry(["deliver", "--ca", "x", "Maildir/"]), MESSAGE);
    run.exits(75).complains(&["--ca", "--dot-qmail"]);
}
