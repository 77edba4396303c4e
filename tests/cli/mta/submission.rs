//! Sending through a provider: with TLS, a certificate and a password, by the real services.

use super::provider::{PASSWORD, Port, Provider, SMTPS, STARTTLS, SUBMISSION, WRAPPED};
use super::sandbox::JOE;
use crate::certificates::{Authority, Fault};
use crate::recorder::Recorder;
use crate::support::*;
use crate::wire::outcomes;

const MESSAGE: &str = "Date: 3 Feb 2001 04:05:06 -0000\nMessage-ID: <x@y>\nFrom: joe@example.org\n\
                       To: joe@example.org\nSubject: unmistakable\n\nbody\n.\n..\nend\n";

/// A command that prints the password of joe, and leaves a trace that it ran.
const ASK: &str = "touch /home/joe/asked; cat /home/joe/password";

fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://joe@example.org@mail.example.org:{port}")
}

/// Sends the message as joe to joe, with these options.
fn send(provider: &Provider, options: &[&str]) -> Run {
    let mut command = provider.sandbox().command_as(JOE, ["mailferry", "inject", "--json"]);
    command.args(["--timeout", "60", "-f", "joe@example.org"]).args(options).arg("joe@example.org");
    run_with_stdin(command, MESSAGE)
}

/// Waits for the message, which is then removed.
#[track_caller]
fn arrives(provider: &Provider) {
    let message = provider.sandbox().until("the message", || messages(&provider.maildir).pop());
    assert_eq!(message.field("Return-Path").as_deref(), Some("<joe@example.org>"));
    assert_eq!(message.subject(), "unmistakable");
    assert_eq!(message.body(), b"body\n.\n..\nend\n");
    std::fs::remove_file(&message.path).unwrap();
}

/// Asserts that there was one connection, with nothing but TLS in it after the commands of this scheme.
#[track_caller]
fn is_private(recorder: &Recorder, scheme: &str) {
    let all = recorder.conversations();
    let [conversation] = &all[..] else { panic!("{} connections", all.len()) };
    let clear = if scheme == "smtps" { "" } else { "EHLO mx.example.org\r\nSTARTTLS\r\n" };
    assert_eq!(conversation.before_tls(), clear);
    let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let plain = base64(&format!("\0joe@example.org\0{PASSWORD}"));
    for secret in [PASSWORD, &base64(PASSWORD), &plain, "unmistakable"] {
        for bytes in [&conversation.client, &conversation.server] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    }
}

#[test]
fn no_byte_of_password_or_message_is_outside_tls() {
    for mechanisms in ["plain login", "login"] {
        let Some(provider) = Provider::with(&[], mechanisms) else { return };
        for (scheme, port) in [("smtps", SMTPS), ("smtp+starttls", SUBMISSION)] {
            for password in [["--password-file", "/home/joe/password"], ["--password-command", ASK]] {
                let recorder = provider.recorder(port);
                let run = send(&provider, &[&["--via", &url(scheme, recorder.port)][..], &password].concat());
                assert_eq!(outcomes(&run), ["accepted 2.0.0"], "{run:?}");
                run.exits(0);
                arrives(&provider);
                is_private(&recorder, scheme);
            }
        }
    }
}

#[test]
fn a_wrong_password_is_77_and_a_server_that_cannot_check_it_75() {
    let Some(provider) = Provider::new() else { return };
    let sandbox = provider.sandbox();
    sandbox.write("/home/joe/wrong", "not this one\n");
    sandbox.sh("chown joe /home/joe/wrong; chmod 600 /home/joe/wrong; mkdir -p /home/joe/unsent/new
        mkdir /home/joe/unsent/cur /home/joe/unsent/tmp; chown -R joe /home/joe/unsent");
    let submission = url("smtp+starttls", SUBMISSION);
    let wrong = ["--via", &submission, "--password-file", "/home/joe/wrong"];
    let run = send(&provider, &wrong);
    assert_eq!(outcomes(&run), ["permanent 5.7.8"], "{run:?}");
    run.exits(77).complains(&["joe@example.org", "refused"]);
    // The login was refused, not the message: the next hop gets it.
    let run = send(&provider, &[&wrong[..], &["--via", "maildir:/home/joe/unsent"]].concat());
    assert_eq!(outcomes(&run), ["accepted 2.0.0"], "{run:?}");
    run.exits(0);
    assert_eq!(messages(&sandbox.path("/home/joe/unsent")).len(), 1);
    sandbox.sh("kill $(cat /run/dovecot/master.pid)");
    let runs = |program| !sandbox.processes(program).is_empty();
    sandbox.until("the end of Dovecot", || (!runs("dovecot") && !runs("auth")).then_some(()));
    let run = send(&provider, &["--via", &submission, "--password-file", "/home/joe/password"]);
    assert!(outcomes(&run)[0].starts_with("temporary 4."), "{run:?}");
    run.exits(75);
    assert!(messages(&provider.maildir).is_empty());
}

/// Settings of a server that has nothing newer than TLS 1.0.
const OLD: &str = "smtpd_tls_mandatory_protocols=TLSv1";
const OLD_CIPHERS: &str = "tls_medium_cipherlist=ALL:@SECLEVEL=0";

#[test]
fn a_server_that_does_not_prove_its_name_gets_nothing() {
    let port = |number, host, fault, settings| Port { number, certificate: (host, fault), settings };
    const HOST: &str = "mail.example.org";
    let bad = [
        (port(1465, HOST, Fault::Expired, WRAPPED), "has expired"),
        (port(1587, HOST, Fault::Expired, STARTTLS), "has expired"),
        (port(2465, HOST, Fault::SelfSigned, WRAPPED), "not accepted"),
        (port(2587, HOST, Fault::SelfSigned, STARTTLS), "not accepted"),
        (port(3465, "other.example.org", Fault::None, WRAPPED), "another name"),
        (port(3587, "other.example.org", Fault::None, STARTTLS), "another name"),
        (
            port(
                4465,
                HOST,
                Fault::None,
                &["smtpd_tls_wrappermode=yes", "smtpd_tls_security_level=encrypt", OLD, OLD_CIPHERS],
            ),
            "TLS",
        ),
        (port(4587, HOST, Fault::None, &["smtpd_tls_security_level=encrypt", OLD, OLD_CIPHERS]), "TLS"),
    ];
    let (ports, errors): (Vec<Port>, Vec<&str>) = bad.into_iter().unzip();
    let Some(provider) = Provider::with(&ports, "plain login") else { return };
    let sandbox = provider.sandbox();
    // The server does have TLS 1.0.
    sandbox
        .sh("openssl s_client -tls1 -cipher ALL:@SECLEVEL=0 -connect 127.0.0.1:4465 </dev/null >/dev/null");
    let asked = sandbox.path("/home/joe/asked");
    let good = url("smtps", SMTPS);
    let rest = ["--via", &good, "--password-file", "/home/joe/password"];
    for (port, error) in ports.iter().zip(errors) {
        let scheme = if port.settings[0].contains("wrapper") { "smtps" } else { "smtp+starttls" };
        let recorder = provider.recorder(port.number);
        let first = url(scheme, recorder.port);
        let first = ["--via", &first, "--password-command", ASK];
        let run = send(&provider, &first);
        assert_eq!(outcomes(&run), ["temporary 4.7.5"], "{} {run:?}", port.number);
        run.exits(75).complains(&["mail.example.org", error]);
        is_private(&recorder, scheme);
        send(&provider, &[&first[..], &rest].concat()).exits(0);
        arrives(&provider);
        assert!(!asked.exists(), "port {}: the password was fetched", port.number);
    }
    // Its root is not one of those that are trusted.
    let other = Authority::new().unwrap();
    sandbox.write("/etc/ssl/other.pem", std::fs::read(other.root()).unwrap());
    let ask = ["--via", &good, "--password-command", ASK];
    let unknown = |run: Run| {
        assert_eq!(outcomes(&run), ["temporary 4.7.5"], "{run:?}");
        run.exits(75).complains(&["mail.example.org", "issuer is unknown"]);
    };
    unknown(send(&provider, &[&ask[..], &["--ca", "/etc/ssl/other.pem"]].concat()));
    // The system no longer trusts it.
    sandbox.sh("mv /etc/ssl/certs/ca-certificates.crt /etc/ssl/ca.pem; cp /etc/ssl/other.pem /etc/ssl/certs/ca-certificates.crt");
    unknown(send(&provider, &ask));
    assert!(!asked.exists());
    send(&provider, &[&ask[..], &["--ca", "/etc/ssl/ca.pem"]].concat()).exits(0);
    arrives(&provider);
}
