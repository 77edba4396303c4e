//! Bounces of Postfix and Exim read by mailferry, and bounces of mailferry taken by Postfix, Exim and Dovecot.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::exim::Exim;
use super::mail;
use super::postfix::Postfix;
use super::recipes;
use super::sandbox::{JOE as UID, Sandbox};
use crate::support::*;
use crate::wire;

const JOE: &str = "joe@mx.example.org";

/// Writes a bounce of a message of joe, and sends it.
fn send_bounce(sandbox: &Sandbox, format: &str, via: &str) {
    let script = format!(
        "set -o pipefail
         mailferry bounce --write {format} -f {JOE} -r 'a b@nowhere.example' -r ann@nowhere.example \
             --status 5.1.1 --reason '550 5.1.1 no such user' --remote-mta mx.nowhere.example |
         mailferry inject -h --timeout 30 --via {via}"
    );
    run_with_stdin(sandbox.command(["bash", "-c", &script]), mail::ODD).exits(0);
}

/// Waits for the next message of a Maildir, removes it and returns it.
#[track_caller]
fn next(sandbox: &Sandbox, maildir: &Path) -> Message {
    let message = sandbox.until("a message", || messages(maildir).pop());
    fs::remove_file(&message.path).unwrap();
    message
}

#[track_caller]
fn read(message: &Message) -> Vec<Value> {
    run_with_stdin(mailferry(["bounce"]), message.bytes.clone()).exits(0).json()
}

/// Asserts that a bounce of [`send_bounce`] came through unchanged.
#[track_caller]
fn is_whole(message: &Message, format: &str) {
    assert_eq!(message.field("Return-Path").as_deref(), Some("<>"), "{message:?}");
    let original = [format!("Return-Path: <{JOE}>\n").as_bytes(), mail::ODD].concat();
    assert!(message.bytes.windows(original.len()).any(|window| window == original), "{message:?}");
    let lines = read(message);
    let quoted = if format == "dsn" { "\"a b\"@nowhere.example" } else { "a b@nowhere.example" };
    for (line, recipient) in lines.iter().zip([quoted, "ann@nowhere.example"]) {
        for (key, value) in [
            ("kind", format),
            ("recipient", recipient),
            ("action", "failed"),
            ("status", "5.1.1"),
            ("original_message_id", "<2@example.com>"),
        ] {
            assert_eq!(line[key], value, "{key}");
        }
    }
    assert_eq!(lines.len(), 2);
}

/// Starts Postfix, which delivers into a Maildir of joe.
fn postfix(settings: &str) -> Option<(Postfix, PathBuf)> {
    const DELIVER: &str =
        "mailbox_command_maps = inline:{ { joe = /usr/local/bin/mailferry deliver /home/joe/Maildir/ } }\n";
    let postfix = Postfix::listening_with(&[DELIVER, settings].concat())?;
    let maildir = postfix.sandbox.maildir("/home/joe/Maildir", UID);
    [25, 628].into_iter().for_each(|port| postfix.listens(port));
    Some((postfix, maildir))
}

#[test]
fn postfix_takes_written_bounces_by_smtp_and_by_qmqp() {
    let Some((postfix, maildir)) = postfix("") else { return };
    for format in ["qsbmf", "dsn"] {
        for via in ["smtp://127.0.0.1", "qmqp://127.0.0.1"] {
            send_bounce(&postfix.sandbox, format, via);
            is_whole(&next(&postfix.sandbox, &maildir), format);
        }
    }
    // To nobody: the null sender gets no bounce.
    postfix.queue_is(&[]);
}

#[test]
fn exim_takes_written_bounces() {
    let Some(exim) = Exim::with("Exim, by a pipe") else { return };
    let maildir = exim.sandbox.maildir("/home/joe/Maildir", UID);
    for format in ["qsbmf", "dsn"] {
        send_bounce(&exim.sandbox, format, "sendmail:/usr/local/bin/exim4");
        is_whole(&next(&exim.sandbox, &maildir), format);
    }
}

#[test]
fn dovecot_takes_written_bounces_by_lmtp() {
    let home = scratch();
    let Some((_sink, socket)) = wire::dovecot_lmtp(home.path()) else { return };
    for format in ["qsbmf", "dsn"] {
        let options = ["-f", "joe@h.example", "-r", "a@x.example", "--status", "5.2.2", "--reason", "full"];
        let mut command = mailferry(["bounce", "--write", format]);
        command.args(options);
        let bounce = run_with_stdin(command, mail::ODD).exits(0).stdout;
        let via = format!("lmtp+unix:{}", socket.display());
        run_with_stdin(mailferry(["inject", "-h", "--via", &via]), bounce).exits(0);
        let all = messages(&home.path().join("mail/joe"));
        let text = String::from_utf8_lossy(&all.last().unwrap().bytes).into_owned();
        assert!(text.starts_with("Return-Path: <>\n"), "{text}");
        let line = &read(all.last().unwrap())[0];
        assert_eq!((&line["kind"], &line["status"]), (&format.into(), &"5.2.2".into()), "{text}");
        fs::remove_file(&all[0].path).unwrap();
    }
}

#[test]
fn bounces_and_delays_of_postfix_are_read() {
    let settings = "delay_warning_time = 1s\nmailbox_command = exit 69\n\
                    transport_maps = inline:{ { down.example = lmtp:inet:127.0.0.1:9 } }\n";
    let Some((postfix, maildir)) = postfix(settings) else { return };
    let sandbox = &postfix.sandbox;
    let check = |recipient: &str, action: &str, status: &str| {
        let line = &read(&next(sandbox, &maildir))[0];
        for (key, value) in [
            ("kind", "dsn"),
            ("recipient", recipient),
            ("action", action),
            ("reporting_mta", "mx.example.org"),
            ("original_message_id", "<1@example.com>"),
        ] {
            assert_eq!(line[key], value, "{key}: {line}");
        }
        assert!(line["status"].as_str().unwrap().starts_with(status), "{line}");
        assert_eq!(line["heuristic"], false);
    };
    // A user that does not exist, one whose program refuses, a domain that does not exist.
    for (recipient, status) in
        [("nosuch@mx.example.org", "5.1.1"), ("vmail@mx.example.org", "5."), ("a@nowhere.example", "5.0.0")]
    {
        postfix.submit(JOE, &[recipient], mail::PLAIN);
        check(recipient, "failed", status);
    }
    postfix.submit(JOE, &["a@down.example"], mail::PLAIN);
    // The warning comes with a later attempt.
    sandbox.until("a warning", || {
        sandbox.sh("postqueue -f");
        (!messages(&maildir).is_empty()).then_some(())
    });
    check("a@down.example", "delayed", "4.4.1");
}

#[test]
fn bounces_of_exim_are_read() {
    let Some(exim) = Exim::with("Exim, by a pipe") else { return };
    let maildir = exim.sandbox.maildir("/home/joe/Maildir", UID);
    exim.submit(JOE, &["nosuch@mx.example.org", "a@nowhere.example"], mail::PLAIN);
    let lines = read(&next(&exim.sandbox, &maildir));
    let mut recipients: Vec<_> = lines.iter().map(|line| line["recipient"].as_str().unwrap()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["a@nowhere.example", "nosuch@mx.example.org"]);
    for line in &lines {
        assert_eq!(line["action"], "failed", "{line}");
        assert!(line["status"].as_str().unwrap().starts_with("5."), "{line}");
        assert_eq!(line["original_message_id"], "<1@example.com>", "{line}");
    }
}

/// The recipes of docs/send.md, with a server that takes what they send.
#[test]
fn the_recipes_return_a_message_and_take_an_address_off_a_list() {
    let settings = "recipient_delimiter = -\nmailbox_command = /usr/local/bin/mailferry deliver --dot-qmail \
                    --home \"$HOME\" --user \"$USER\"\n";
    let Some(postfix) = Postfix::listening_with(settings) else { return };
    let sandbox = &postfix.sandbox;
    postfix.listens(628);
    sandbox.write("/var/qmail/control/qmqpservers", "127.0.0.1\n");
    sandbox.write("/var/qmail/control/me", "mx.example.org\n");
    let maildir = sandbox.maildir("/home/joe/Maildir", UID);
    let joe = |script: &str| run(sandbox.command_as(UID, ["/bin/sh", "-c", script])).exits(0);
    let message = [format!("Return-Path: <{JOE}>\n").as_bytes(), mail::PLAIN].concat();
    sandbox.write("/home/joe/message", message);
    joe(&recipes::blocks("Return a message to its sender")[0]);
    let returned = next(sandbox, &maildir);
    assert_eq!(returned.field("Return-Path").as_deref(), Some("<>"), "{returned:?}");
    assert_eq!(read(&returned)[0]["recipient"], "joe@example.org");

    const LIST: &str = "Take failing addresses off a list";
    recipes::files(LIST).iter().for_each(|(path, text)| sandbox.write(path, text));
    sandbox.write("/home/joe/subscribers", format!("NoSuch@mx.example.org\n{JOE}\n"));
    sandbox.sh("chown -R joe:joe /home/joe");
    joe(&recipes::blocks(LIST)[0]);
    assert_eq!(next(sandbox, &maildir).subject(), "plain");
    sandbox.until("the list without an address", || {
        let list = fs::read_to_string(sandbox.path("/home/joe/subscribers")).ok()?;
        (list == format!("{JOE}\n")).then_some(())
    });
    // Other mail to this address is for joe.
    postfix.submit("ann@example.com", &["joe-list-return-joe=mx.example.org@mx.example.org"], mail::PLAIN);
    assert_eq!(next(sandbox, &maildir).subject(), "plain");
    assert_eq!(messages(&maildir).len(), 0);
}
