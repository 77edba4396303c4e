//! Delivery for users with an account: Postfix's mailbox_command, Exim's pipe transport.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::exim::Exim;
use super::mail;
use super::postfix::Postfix;
use super::sandbox::{JOE as UID, Sandbox};
use crate::support::*;

const POSTFIX: &str = "Postfix, mailbox_command";
const EXIM: &str = "Exim, by a pipe";

const ANN: &str = "ann@example.com";
const JOE: &str = "joe@mx.example.org";

fn maildir(sandbox: &Sandbox) -> PathBuf {
    sandbox.maildir("/home/joe/Maildir", UID)
}

/// Writes `.qmail` files of joe.
fn dot_qmail(sandbox: &Sandbox, files: &[(&str, &str)]) {
    for (name, text) in files {
        sandbox.write(format!("/home/joe/{name}"), text);
    }
    sandbox.sh("chown -R joe:joe /home/joe");
}

#[test]
fn postfix_delivers_by_mailbox_command_as_the_person() {
    let Some(postfix) = Postfix::with(POSTFIX) else { return };
    let joe = maildir(&postfix.sandbox);
    postfix.outcome(ANN, JOE, mail::ODD).is("sent", "2.0.0");
    mail::is_exactly(&joe, ANN, JOE, mail::ODD);
    assert_eq!(messages(&joe)[0].meta.uid(), UID);
    std::fs::remove_file(&messages(&joe)[0].path).unwrap();
    postfix.outcome("", JOE, mail::ODD).is("sent", "2.0.0");
    mail::is_exactly(&joe, "", JOE, mail::ODD);
}

#[test]
fn postfix_understands_the_exit_codes_of_dot_qmail() {
    let Some(postfix) = Postfix::with(POSTFIX) else { return };
    let joe = maildir(&postfix.sandbox);
    let lists = postfix.sandbox.maildir("/home/joe/lists", UID);
    dot_qmail(
        &postfix.sandbox,
        &[(".qmail-lists", "./lists/\n"), (".qmail-no", "|exit 100\n"), (".qmail-later", "|exit 111\n")],
    );
    postfix.outcome(ANN, "joe-lists@mx.example.org", mail::PLAIN).is("sent", "2.0.0");
    mail::is_exactly(&lists, ANN, "joe-lists@mx.example.org", mail::PLAIN);
    postfix.outcome(ANN, "joe-none@mx.example.org", mail::PLAIN).is("bounced", "5.1.1");
    assert_eq!(postfix.outcome(ANN, "joe-no@mx.example.org", mail::PLAIN).status, "bounced");
    assert_eq!(postfix.outcome(ANN, "joe-later@mx.example.org", mail::PLAIN).status, "deferred");
    assert!(messages(&joe).is_empty());
    dot_qmail(&postfix.sandbox, &[(".qmail-later", "./Maildir/\n")]);
    postfix.retry("joe-later@mx.example.org").is("sent", "2.0.0");
    mail::is_exactly(&joe, ANN, "joe-later@mx.example.org", mail::PLAIN);
}

#[test]
fn exim_delivers_by_a_pipe_as_the_person() {
    let Some(exim) = Exim::with(EXIM) else { return };
    assert_eq!(exim.outcome(ANN, JOE, mail::PLAIN).0, "==");
    assert!(exim.log().contains("4.3.5 /home/joe/Maildir"), "{}", exim.log());
    let joe = maildir(&exim.sandbox);
    assert_eq!(exim.retry(JOE).0, "=>");
    mail::is_exactly(&joe, ANN, JOE, mail::PLAIN);
    assert_eq!(messages(&joe)[0].meta.uid(), UID);
    std::fs::remove_file(&messages(&joe)[0].path).unwrap();
    assert_eq!(exim.outcome("<>", JOE, mail::ODD).0, "=>");
    mail::is_exactly(&joe, "", JOE, mail::ODD);
    let looping = [b"Delivered-To: joe@mx.example.org\n", mail::PLAIN].concat();
    assert_eq!(exim.outcome(ANN, JOE, looping).0, "**");
    assert!(exim.log().contains("5.4.6 "), "{}", exim.log());
}

#[test]
fn exim_understands_the_exit_codes_of_dot_qmail() {
    let Some(exim) = Exim::with(EXIM) else { return };
    let joe = maildir(&exim.sandbox);
    dot_qmail(
        &exim.sandbox,
        &[(".qmail-no", "|exit 100\n"), (".qmail-later", "|exit 111\n"), (".qmail-a", "./Maildir/\n")],
    );
    for (recipient, sign) in [
        ("joe-a@mx.example.org", "=>"),
        ("joe-none@mx.example.org", "**"),
        ("joe-no@mx.example.org", "**"),
        ("joe-later@mx.example.org", "=="),
    ] {
        assert_eq!(exim.outcome(ANN, recipient, mail::PLAIN).0, sign, "{recipient}:\n{}", exim.log());
    }
    assert!(exim.log().contains("5.1.1 "), "{}", exim.log());
    mail::is_exactly(&joe, ANN, "joe-a@mx.example.org", mail::PLAIN);
    assert!(exim.queued().contains(&"joe-later@mx.example.org".to_owned()));
}

/// Exim bounces a message if the program is absent, unless the recipe prevents it.
#[test]
fn exim_keeps_mail_when_the_program_is_gone() {
    let Some(exim) = Exim::with(EXIM) else { return };
    let joe = maildir(&exim.sandbox);
    exim.sandbox.sh("umount /usr/local/bin/mailferry; mv /usr/local/bin/mailferry /usr/local/bin/gone");
    exim.submit(ANN, &[JOE], mail::PLAIN);
    assert_eq!(exim.queued(), [JOE]);
    // The program is back.
    exim.sandbox.sh("mv /usr/local/bin/gone /usr/local/bin/mailferry");
    exim.sandbox.mount_binary();
    assert_eq!(exim.retry(JOE).0, "=>");
    mail::is_exactly(&joe, ANN, JOE, mail::PLAIN);
}
