use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

use super::*;
use crate::mailbox::Cancel;
use crate::transport::OutcomeKind::*;
use crate::transport::host::Host;
use crate::transport::peer::{HASTY, PATIENT, Peer, Script, Talk, envelope, spooled};
use crate::transport::secret::PasswordSource;
use crate::transport::smtp::{self, SubmissionOptions};
use crate::transport::submission_hop::{Login, SubmissionHop, TlsStart};
use crate::transport::{Outcome, OutcomeKind, OutgoingMessage, Timeouts};

/// In 2027.
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A machine without certificates of authorities.
pub(crate) const NO_ROOTS: TlsEnvironment = TlsEnvironment {
    now: || NOW,
    system_roots: || SystemRoots { certificates: Vec::new(), errors: Vec::new() },
};

const PASSWORD: &str = "p\u{e4}ss word";
/// `ann`, and the password, for AUTH PLAIN.
const PLAIN: &str = "AGFubgBww6RzcyB3b3Jk";
const AUTH: (&str, &str) = ("EHLO", "250-me\r\n250-PIPELINING\r\n250 AUTH LOGIN PLAIN CRAM-MD5\r\n");
const LOGIN_ONLY: (&str, &str) = ("EHLO", "250-me\r\n250 AUTH=LOGIN\r\n");

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Files with certificates in PEM, and one with the password.
    files: TempDir,
}

/// The authority that clients accept.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("the authority"));

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("ca"), issuer.pem()).unwrap();
        let password = files.path().join("password");
        fs::write(&password, format!("{PASSWORD}\r\nnot this\n")).unwrap();
        fs::set_permissions(password, fs::Permissions::from_mode(0o600)).unwrap();
        Authority { issuer, files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

/// Creates the parameters of a valid certificate for 127.0.0.1.
fn server_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.serial_number = Some(SerialNumber::from(7));
    params
}

fn config(
    certificate: &Certificate,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

fn signed(params: CertificateParams, authority: &Authority) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    config(&certificate, &key, rustls::ALL_VERSIONS)
}

/// The server that clients accept.
static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| signed(server_params(), &AUTHORITY));

fn hop(start: TlsStart, port: u16, user: Option<&str>) -> SubmissionHop {
    let password = PasswordSource::File(AUTHORITY.file("password"));
    let login = user.map(|user| Login { user: user.to_owned(), password: Some(password) });
    let host = Host { name: "127.0.0.1".to_owned(), port };
    SubmissionHop { start, host, login, ca: Some(AUTHORITY.file("ca")) }
}

fn submit(hop: &SubmissionHop, timeouts: Timeouts, message: &OutgoingMessage<'_>) -> Vec<Outcome> {
    let cancel = Cancel::never();
    let options = SubmissionOptions { timeouts, helo_name: "me.example", environment: NO_ROOTS, cancel };
    smtp::submit(hop, message, options)
}

/// Sends a message to a server that follows a script over TLS. Returns the outcomes, and what the server received.
pub(crate) fn submit_to(
    script: Script,
    timeouts: Timeouts,
    message: &OutgoingMessage<'_>,
) -> (Vec<Outcome>, String) {
    let peer = Peer::spawn(move |talk| {
        talk.start_tls(SERVER.clone());
        talk.follow(script);
    });
    let outcomes = submit(&hop(TlsStart::Immediate, peer.port, None), timeouts, message);
    (outcomes, String::from_utf8_lossy(&peer.received()).into_owned())
}

/// Sends a message as ann to a server with a part of its own.
fn send(
    start: TlsStart,
    change: impl FnOnce(&mut SubmissionHop),
    timeouts: Timeouts,
    part: impl FnOnce(&mut Talk) + Send + 'static,
) -> (Outcome, String) {
    let peer = Peer::spawn(part);
    let mut hop = hop(start, peer.port, Some("ann"));
    change(&mut hop);
    let (message, envelope) = (spooled(b"Subject: x\n\nbody\n"), envelope("s@x", &["a@y"]));
    let outcomes = submit(&hop, timeouts, &OutgoingMessage::unmodified(&message, &envelope));
    let received = String::from_utf8_lossy(&peer.received()).into_owned();
    (outcomes.into_iter().next().unwrap(), received)
}

fn log_in(script: Script) -> (Outcome, String) {
    send(
        TlsStart::Immediate,
        |_| (),
        HASTY,
        move |talk| {
            talk.start_tls(SERVER.clone());
            talk.follow(script);
        },
    )
}

/// Takes part until TLS begins.
fn offer_tls(talk: &mut Talk) {
    talk.send("220 me\r\n");
    talk.line();
    talk.send("250-me\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n");
    talk.line();
    talk.send("220 go\r\n");
}

#[test]
fn a_message_is_sent_after_a_login_over_tls() {
    let sent = "MAIL FROM:<s@x>\r\nRCPT TO:<a@y>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n";
    let plain: Script = &[AUTH, ("AUTH", "235 2.7.0 ok\r\n")];
    let (outcome, received) = log_in(plain);
    assert_eq!(
        (outcome.kind, received),
        (Accepted, format!("EHLO me.example\r\nAUTH PLAIN {PLAIN}\r\n{sent}"))
    );
    let steps: Script = &[
        LOGIN_ONLY,
        ("AUTH LOGIN", "334 VXNlcm5hbWU6\r\n"),
        ("YW5u", "334 UGFzc3dvcmQ6\r\n"),
        ("cMOkc3Mgd29yZA==", "235 ok\r\n"),
    ];
    let (outcome, received) = log_in(steps);
    let login = "EHLO me.example\r\nAUTH LOGIN\r\nYW5u\r\ncMOkc3Mgd29yZA==\r\n";
    assert_eq!((outcome.kind, received), (Accepted, format!("{login}{sent}")));
    // Of the two replies to EHLO only the one over TLS counts.
    for version in rustls::ALL_VERSIONS {
        let (outcome, received) = send(
            TlsStart::Command,
            |_| (),
            PATIENT,
            move |talk| {
                offer_tls(talk);
                let key = KeyPair::generate().unwrap();
                let certificate = server_params().signed_by(&key, &AUTHORITY.issuer).unwrap();
                talk.start_tls(config(&certificate, &key, &[version]));
                talk.follow_commands(steps);
            },
        );
        assert_eq!(outcome.kind, Accepted, "{outcome:?}");
        assert_eq!(received, format!("EHLO me.example\r\nSTARTTLS\r\n{login}{sent}"));
    }
}

/// Fails unless a server got nothing but EHLO and STARTTLS, and the outcome says why.
#[track_caller]
fn assert_nothing_sent((outcome, received): &(Outcome, String), why: &str) {
    assert_eq!((outcome.kind, outcome.status.as_deref()), (Temporary, Some("4.7.5")), "{outcome:?}");
    assert!(outcome.text.contains(why), "{why}: {outcome:?}");
    let lines: Vec<&str> = received.split_inclusive("\r\n").filter(|line| line.is_ascii()).collect();
    let allowed = ["EHLO me.example\r\n", "STARTTLS\r\n"];
    assert!(lines.iter().all(|line| allowed.contains(line)), "{received:?}");
}

#[test]
fn a_server_that_does_not_prove_its_name_gets_nothing() {
    let key = KeyPair::generate().unwrap();
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = server_params();
        change(&mut params);
        signed(params, &AUTHORITY)
    };
    let self_signed = server_params().self_signed(&key).unwrap();
    let servers: [(Arc<ServerConfig>, &str); 8] = [
        (changed(|params| params.not_after = date_time_ymd(2026, 1, 1)), "it has expired"),
        (changed(|params| params.not_before = date_time_ymd(2028, 1, 1)), "it is not valid yet"),
        (changed(|params| params.subject_alt_names = names("evil.example")), "it is for another name: "),
        (changed(|params| params.subject_alt_names = names("127.0.0.2")), "it is for another name: "),
        (changed(|params| params.subject_alt_names.clear()), "it has no name of a host"),
        (config(&self_signed, &key, rustls::ALL_VERSIONS), "its issuer is unknown here; use --ca"),
        (signed(server_params(), &Authority::new("the authority")), "it is not signed by its issuer"),
        (
            signed(server_params(), &Authority::new("another authority")),
            "its issuer is unknown here; use --ca",
        ),
    ];
    for (server, why) in servers {
        for start in [TlsStart::Immediate, TlsStart::Command] {
            let server = server.clone();
            let sent = send(
                start,
                |_| (),
                PATIENT,
                move |talk| {
                    if start == TlsStart::Command {
                        offer_tls(talk);
                    }
                    talk.start_tls(server);
                    talk.follow(&[AUTH]);
                },
            );
            assert_nothing_sent(&sent, why);
            assert!(sent.0.text.starts_with("the certificate of 127.0.0.1 is not accepted: "), "{sent:?}");
        }
    }
}

fn names(name: &str) -> Vec<rcgen::SanType> {
    CertificateParams::new(vec![name.to_owned()]).unwrap().subject_alt_names
}

#[test]
fn a_revoked_certificate_is_refused() {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2030, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(7),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca");
    fs::write(&ca, issuer.pem() + &list.signed_by(&issuer).unwrap().pem().unwrap()).unwrap();
    let authority = Authority { issuer, files };
    let server = signed(server_params(), &authority);
    let sent = send(
        TlsStart::Immediate,
        |hop| hop.ca = Some(ca),
        PATIENT,
        move |talk| {
            talk.start_tls(server);
            talk.follow(&[AUTH]);
        },
    );
    assert_nothing_sent(&sent, "it was revoked");
}

#[test]
fn without_authorities_nothing_is_connected() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for (ca, why) in [
        (None, "this system has no certificates of authorities; install ca-certificates, or use --ca"),
        (Some(AUTHORITY.file("password")), "it has no certificate in PEM"),
        (Some(AUTHORITY.file("missing")), "missing: cannot read it: No such file"),
    ] {
        let hop = SubmissionHop { ca, ..hop(TlsStart::Immediate, port, None) };
        let (message, envelope) = (spooled(b"x"), envelope("s@x", &["a@y"]));
        let outcome = submit(&hop, PATIENT, &OutgoingMessage::unmodified(&message, &envelope)).remove(0);
        assert_eq!((outcome.kind, outcome.status.as_deref()), (Temporary, Some("4.3.5")));
        assert!(outcome.text.contains(why), "{outcome:?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn a_server_without_starttls_gets_nothing() {
    let scripts: [(Script, &str); 6] = [
        (&[("EHLO", "250-me\r\n250 AUTH PLAIN\r\n")], "does not offer STARTTLS"),
        (&[("EHLO", "502 what?\r\n")], "does not offer STARTTLS"),
        (&[("EHLO", "250-me\r\n250 XSTARTTLS\r\n")], "does not offer STARTTLS"),
        (&[("EHLO", "250 STARTTLS\r\n")], "does not offer STARTTLS"),
        (
            &[("EHLO", "250-me\r\n250 STARTTLS\r\n"), ("STARTTLS", "454 later\r\n")],
            "refuses STARTTLS: 454 later",
        ),
        (&[("EHLO", "250-me\r\n250 STARTTLS\r\n"), ("STARTTLS", "250 ok\r\n")], "refuses STARTTLS: 250 ok"),
    ];
    for (script, why) in scripts {
        assert_nothing_sent(&send(TlsStart::Command, |_| (), PATIENT, move |talk| talk.follow(script)), why);
    }
}

#[test]
fn replies_injected_before_tls_end_the_connection() {
    for injected in ["250-me\r\n250 AUTH PLAIN\r\n", "x", "220 again\r\n"] {
        let sent = send(
            TlsStart::Command,
            |_| (),
            PATIENT,
            move |talk| {
                talk.send("220 me\r\n");
                talk.line();
                talk.send("250-me\r\n250 STARTTLS\r\n");
                talk.line();
                talk.send(format!("220 go\r\n{injected}"));
                talk.rest();
            },
        );
        assert_nothing_sent(&sent, "it may have been injected");
    }
}

#[test]
fn plain_text_and_silence_are_no_handshake() {
    for (start, reply) in
        [(TlsStart::Immediate, "220 me\r\n"), (TlsStart::Immediate, ""), (TlsStart::Command, "")]
    {
        let sent = send(
            start,
            |_| (),
            PATIENT,
            move |talk| {
                if start == TlsStart::Command {
                    offer_tls(talk);
                }
                // ClientHello.
                talk.receive(5);
                talk.send(reply);
            },
        );
        assert_eq!(sent.0.kind, Temporary);
        assert!(!sent.1.contains("MAIL"), "{sent:?}");
    }
    let (outcome, _) = send(TlsStart::Immediate, |_| (), HASTY, |talk| talk.rest());
    assert_eq!((outcome.kind, outcome.text.as_str()), (Temporary, "no end of the TLS handshake within 1 s"));
}

#[test]
fn each_reply_to_auth_has_its_outcome() {
    let table: [(&str, OutcomeKind, &str); 9] = [
        ("235 ok\r\n", Accepted, "2.0.0"),
        ("535 5.7.8 no\r\n", LoginRefused, "5.7.8"),
        ("534 5.7.9 too weak\r\n", LoginRefused, "5.7.8"),
        ("500 what?\r\n", LoginRefused, "5.7.8"),
        ("454 4.7.0 not now\r\n", Temporary, "4.7.0"),
        ("421 4.3.2 shutting down\r\n", Temporary, "4.3.2"),
        ("334 \r\n", Temporary, "4.5.0"),
        ("250 ok\r\n", Temporary, "4.5.0"),
        ("", Temporary, "4.4.2"),
    ];
    for (reply, kind, status) in table {
        let (outcome, received) = log_in(Vec::leak(vec![AUTH, ("AUTH", reply)]));
        assert_eq!((outcome.kind, outcome.status.as_deref()), (kind, Some(status)), "{outcome:?}");
        assert_eq!(received.contains("MAIL"), kind == Accepted, "{received}");
        assert_eq!(received.matches(PLAIN).count(), 1);
    }
    let (outcome, received) = log_in(&[("EHLO", "250-me\r\n250 AUTH CRAM-MD5 XOAUTH2\r\n")]);
    assert_eq!((outcome.kind, outcome.status.as_deref()), (Temporary, Some("4.3.5")));
    assert_eq!(outcome.text, "the server has neither AUTH PLAIN nor LOGIN, but CRAM-MD5 XOAUTH2");
    assert_eq!(received, "EHLO me.example\r\n");
    let (outcome, received) = log_in(&[]);
    assert!(outcome.text.starts_with("the server offers no AUTH; "), "{outcome:?}");
    assert!(!received.contains("MAIL"));
}

#[test]
fn a_password_that_a_server_repeats_is_not_reported() {
    for reply in ["535 not p\u{e4}ss word\r\n", "535-a\r\n535 AGFubgBww6RzcyB3b3Jk is wrong\r\n"] {
        let (outcome, _) = log_in(Vec::leak(vec![AUTH, ("AUTH", reply)]));
        assert_eq!(outcome.text, "login as ann refused: 535 (its text contains the password)");
    }
}

#[test]
fn a_password_is_read_only_for_a_server_that_has_proved_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let marker = scratch.path().join("read");
    let source = PasswordSource::Command(format!("echo x; touch {}", marker.display()).into());
    let set = |hop: &mut SubmissionHop| hop.login.as_mut().unwrap().password = Some(source.clone());
    let unknown = signed(server_params(), &Authority::new("another authority"));
    let (outcome, _) = send(TlsStart::Immediate, set, PATIENT, move |talk| {
        talk.start_tls(unknown);
        talk.follow(&[AUTH]);
    });
    assert_eq!((outcome.kind, marker.exists()), (Temporary, false));
    let (outcome, received) = send(TlsStart::Immediate, set, PATIENT, move |talk| {
        talk.start_tls(SERVER.clone());
        talk.follow(&[AUTH, ("AUTH", "235 ok\r\n")]);
    });
    assert_eq!((outcome.kind, marker.exists()), (Accepted, true), "{received}");
}

#[test]
fn updates_of_keys_without_end_have_an_end() {
    let start = std::time::Instant::now();
    let (outcome, _) = send(
        TlsStart::Immediate,
        |_| (),
        HASTY,
        |talk| {
            let key = KeyPair::generate().unwrap();
            let certificate = server_params().signed_by(&key, &AUTHORITY.issuer).unwrap();
            talk.flood(config(&certificate, &key, &[&rustls::version::TLS13]));
        },
    );
    assert_eq!(outcome.kind, Temporary, "{outcome:?}");
    assert!(start.elapsed() < PATIENT.total, "{outcome:?}");
}
