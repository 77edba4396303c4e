//! The recipes for QMTP and QMQP: tcpserver, and Postfix's spawn(8).

use std::process::Stdio;

use super::postfix::Postfix;
use super::recipes;
use super::sandbox::{Sandbox, VMAIL};
use crate::support::*;

const TCPSERVER: &str = "QMTP, by tcpserver";

const MESSAGE: &str = "Date: 30 Nov 2026 20:00:00 -0000\nMessage-ID: <1@example.com>\nFrom: ada@example.com\nTo: joe@example.org\n\nbody\n";

/// Sends the message with mailferry itself.
fn send(sandbox: &Sandbox, hop: &str, recipients: &[&str]) -> Run {
    let mut command = sandbox.command(["env", "QMAILHOST=example.com", "mailferry", "inject", "-a"]);
    command.args(["-f", "ada@example.com", "--via", hop]).args(recipients);
    run_with_stdin(command, MESSAGE)
}

#[test]
fn tcpserver_accepts_mail_by_qmtp() {
    if !have("/bin/sh", &["-c", "command -v tcpserver"]) {
        skip!("tcpserver is not here");
    }
    let Some(sandbox) = Sandbox::new() else { return };
    let maildir = sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    for (path, text) in recipes::files(TCPSERVER) {
        sandbox.write(path, text);
    }
    let script = &recipes::blocks(TCPSERVER)[1];
    let mut server = sandbox.command(["/bin/sh", "-e", "-c", script]).stderr(Stdio::null()).spawn().unwrap();
    let listens = "exec 3<>/dev/tcp/127.0.0.1/209 2>/dev/null";
    sandbox.until("a server", || {
        sandbox
            .command(["bash", "-c", listens])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
            .then_some(())
    });
    send(&sandbox, "qmtp://127.0.0.1", &["joe@example.org"]).exits(0);
    let run = send(&sandbox, "qmtp://127.0.0.1", &["joe@example.org", "nobody@example.org"]).exits(69);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(run.stderr.contains("nobody@example.org") && !run.stderr.contains("joe@"), "{}", run.stderr);
    let all = messages(&maildir);
    assert_eq!(all.len(), 2);
    let want = format!("Return-Path: <ada@example.com>\nDelivered-To: joe@example.org\n{MESSAGE}");
    assert!(all.iter().all(|message| message.bytes == want.as_bytes()), "{all:?}");
}

#[test]
fn postfix_spawns_a_server_for_qmqp() {
    let Some(postfix) = Postfix::with("QMQP, by Postfix") else { return };
    let sandbox = &postfix.sandbox;
    let [joe, ann] =
        ["joe", "ann"].map(|user| sandbox.maildir(format!("/var/vmail/example.org/{user}"), VMAIL));
    postfix.listens(628);
    send(sandbox, "qmqp://127.0.0.1", &["joe@example.org", "ann@example.org"]).exits(0);
    send(sandbox, "qmqp://127.0.0.1", &["joe@example.org", "nobody@example.org"]).exits(69);
    for maildir in [joe, ann] {
        let all = messages(&maildir);
        assert!(all.len() == 1 && all[0].bytes.ends_with(MESSAGE.as_bytes()), "{all:?}");
    }
}
