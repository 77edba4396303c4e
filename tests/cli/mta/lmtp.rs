//! LMTP on standard input and output: Postfix's spawn(8) and Exim's lmtp transport, with a status per
//! recipient.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::exim::Exim;
use super::mail;
use super::postfix::Postfix;
use super::sandbox::{Sandbox, VMAIL};
use crate::support::*;

const POSTFIX: &str = "Postfix, by LMTP";
const POSTFIX_DOT_QMAIL: &str = "Postfix, by LMTP with .qmail files";
const EXIM: &str = "Exim, by LMTP";

const ANN: &str = "ann@example.com";
const JOE: &str = "joe@example.org";
const ADA: &str = "ada@example.org";

fn maildir(sandbox: &Sandbox, user: &str) -> std::path::PathBuf {
    sandbox.maildir(format!("/var/vmail/example.org/{user}"), VMAIL)
}

#[test]
fn postfix_delivers_by_lmtp_byte_for_byte() {
    let Some(postfix) = Postfix::with(POSTFIX) else { return };
    let joe = maildir(&postfix.sandbox, "joe");
    postfix.outcome(ANN, JOE, mail::ODD).is("sent", "2.0.0");
    mail::is_exactly(&joe, ANN, JOE, mail::ODD);
    let ada = maildir(&postfix.sandbox, "ada");
    postfix.outcome("", ADA, mail::ODD).is("sent", "2.0.0");
    mail::is_exactly(&ada, "", ADA, mail::ODD);
    postfix.queue_is(&[]);
}

#[test]
fn each_recipient_has_a_status_of_its_own_in_postfix() {
    let Some(postfix) = Postfix::with(POSTFIX) else { return };
    let joe = maildir(&postfix.sandbox, "joe");
    let shut = maildir(&postfix.sandbox, "shut");
    fs::set_permissions(shut.join("tmp"), fs::Permissions::from_mode(0o000)).unwrap();
    let all = [JOE, "nobody@example.org", "shut@example.org", "..@example.org", "a/b@example.org"];
    postfix.submit(ANN, &all, mail::PLAIN);
    postfix.next(JOE, 0).is("sent", "2.0.0");
    postfix.next("nobody@example.org", 0).is("bounced", "5.1.1");
    postfix.next("shut@example.org", 0).is("deferred", "4.3.5");
    postfix.next("\"..\"@example.org", 0).is("bounced", "5.1.3");
    postfix.next("a/b@example.org", 0).is("bounced", "5.1.3");
    mail::is_exactly(&joe, ANN, JOE, mail::PLAIN);
    postfix.queue_is(&["shut@example.org"]);
    fs::set_permissions(shut.join("tmp"), fs::Permissions::from_mode(0o700)).unwrap();
    postfix.retry("shut@example.org").is("sent", "2.0.0");
    mail::is_exactly(&shut, ANN, "shut@example.org", mail::PLAIN);
    mail::is_exactly(&joe, ANN, JOE, mail::PLAIN);
}

#[test]
fn postfix_gives_each_recipient_of_programs_a_session() {
    let Some(postfix) = Postfix::with(POSTFIX_DOT_QMAIL) else { return };
    let ada = maildir(&postfix.sandbox, "ada/Maildir");
    maildir(&postfix.sandbox, "joe/Maildir");
    // The program and the session have the same user: it can end the session, but no other recipient is in it.
    let program = "|read -r _ _ _ session _ < /proc/$PPID/stat; kill -KILL $session $PPID; sleep 60\n";
    postfix.sandbox.write("/var/vmail/example.org/joe/.qmail", program);
    postfix.sandbox.sh("chown -R vmail: /var/vmail/example.org");
    postfix.submit(ANN, &[JOE, ADA], mail::ODD);
    postfix.next(ADA, 0).is("sent", "2.0.0");
    assert_eq!(postfix.next(JOE, 0).status, "deferred");
    mail::is_exactly(&ada, ANN, ADA, mail::ODD);
    postfix.queue_is(&[JOE]);
}

#[test]
fn postfix_queues_mail_while_one_recipients_disk_is_full() {
    let Some(postfix) = Postfix::with(POSTFIX) else { return };
    let (joe, ada) = (maildir(&postfix.sandbox, "joe"), maildir(&postfix.sandbox, "ada"));
    postfix.sandbox.sh("mount -t tmpfs -o size=64k,mode=755 full /var/vmail/example.org/ada");
    maildir(&postfix.sandbox, "ada");
    let large = [mail::PLAIN, &b"0123456789abcdef\n".repeat(5_000)].concat();
    postfix.submit(ANN, &[JOE, ADA], large.clone());
    postfix.next(JOE, 0).is("sent", "2.0.0");
    postfix.next(ADA, 0).is("deferred", "4.3.1");
    postfix.sandbox.sh("mount -o remount,size=1m /var/vmail/example.org/ada");
    postfix.retry(ADA).is("sent", "2.0.0");
    mail::is_exactly(&joe, ANN, JOE, &large);
    mail::is_exactly(&ada, ANN, ADA, &large);
}

#[test]
fn a_full_quota_bounces_for_the_one_recipient_only() {
    let Some(postfix) = Postfix::with(POSTFIX) else { return };
    let (joe, ada) = (maildir(&postfix.sandbox, "joe"), maildir(&postfix.sandbox, "ada"));
    postfix.sandbox.write("/var/vmail/example.org/ada/maildirsize", "100S\n0 0\n");
    postfix.sandbox.sh("chown vmail /var/vmail/example.org/ada/maildirsize");
    postfix.submit(ANN, &[JOE, ADA], mail::ODD);
    postfix.next(JOE, 0).is("sent", "2.0.0");
    postfix.next(ADA, 0).is("bounced", "5.2.2").says("quota");
    mail::is_exactly(&joe, ANN, JOE, mail::ODD);
    assert!(messages(&ada).is_empty());
}

#[test]
fn exim_gets_a_status_per_recipient_by_lmtp() {
    let Some(exim) = Exim::with(EXIM) else { return };
    let joe = maildir(&exim.sandbox, "joe");
    let shut = maildir(&exim.sandbox, "shut");
    fs::set_permissions(shut.join("tmp"), fs::Permissions::from_mode(0o000)).unwrap();
    exim.submit(ANN, &[JOE, "nobody@example.org", "shut@example.org"], mail::ODD);
    assert_eq!(exim.next(JOE, 0).0, "=>");
    assert_eq!(exim.next("nobody@example.org", 0).0, "**");
    assert_eq!(exim.next("shut@example.org", 0).0, "==");
    mail::is_exactly(&joe, ANN, JOE, mail::ODD);
    assert!(exim.queued().contains(&"shut@example.org".to_owned()));
    fs::set_permissions(shut.join("tmp"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(exim.retry("shut@example.org").0, "=>");
    mail::is_exactly(&shut, ANN, "shut@example.org", mail::ODD);
    let ada = maildir(&exim.sandbox, "ada");
    assert_eq!(exim.outcome("<>", ADA, mail::PLAIN).0, "=>");
    mail::is_exactly(&ada, "", ADA, mail::PLAIN);
}

/// A wrapper that sometimes kills mailferry, as a crash of the machine would, until a file tells it to stop.
/// The MTA then retries.
const FLAKY: &str = r#"#!/bin/bash
[ -e /var/tmp/calm ] && exec /usr/local/bin/mailferry "$@"
printf -v seconds 0.%04d $((RANDOM % 60 + 5))
timeout -s KILL $seconds /usr/local/bin/mailferry "$@"
code=$?
[ $code -le 128 ] && exit $code
echo killed >>/var/tmp/killed
exit 75
"#;

fn flaky(sandbox: &Sandbox) {
    sandbox.write("/usr/local/bin/flaky", FLAKY);
    sandbox.sh("chmod 755 /usr/local/bin/flaky; : >/var/tmp/killed; chmod 666 /var/tmp/killed");
}

/// Sends messages to three users while their Maildirs disappear and return, and deliveries are killed at
/// random moments. `submit` submits a message, `push` makes the MTA retry, `queued` tells whether messages
/// wait. With `once` no message may be doubled.
fn campaign(
    (sandbox, name, once): (&Sandbox, &str, bool),
    submit: impl Fn(&[&str], String),
    push: impl Fn(),
    queued: impl Fn() -> bool,
) {
    flaky(sandbox);
    let users = ["joe", "ada", "eve"];
    let maildirs = users.map(|user| maildir(sandbox, user));
    let recipients = users.map(|user| format!("{user}@example.org"));
    let all: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let numbered =
        |n: &str| String::from_utf8_lossy(mail::PLAIN).replace("Subject: plain", &format!("Subject: {n}"));
    let count = samples(25, 25, 400);
    let mut dice = Dice(count);
    for n in 0..count {
        submit(&all, numbered(&format!("number {n}")));
        let new = maildirs[dice.roll(users.len())].join("new");
        let away = new.with_file_name("away");
        match dice.roll(4) {
            0 if new.exists() => fs::rename(new, away).unwrap(),
            1 if away.exists() => fs::rename(away, new).unwrap(),
            2 => push(),
            _ => {}
        }
    }
    for maildir in maildirs.iter().filter(|maildir| maildir.join("away").exists()) {
        fs::rename(maildir.join("away"), maildir.join("new")).unwrap();
    }
    let killed = || fs::read_to_string(sandbox.path("/var/tmp/killed")).unwrap().lines().count();
    // After a failure Postfix does not try the destination for some time. So `push` is needed for more kills.
    sandbox.until("some to be killed", || {
        push();
        (killed() >= 15 || !queued()).then_some(())
    });
    sandbox.write("/var/tmp/calm", "");
    sandbox.until("the end of the queue", || {
        push();
        (!queued()).then_some(())
    });
    let kills = killed();
    assert!(kills > 0, "{name}: no delivery was killed");
    let mut doubled = 0;
    for (maildir, recipient) in maildirs.iter().zip(&recipients) {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for message in messages(maildir) {
            mail::has(&message, ANN, recipient, numbered(&message.subject()).as_bytes());
            *times.entry(message.subject()).or_default() += 1;
        }
        assert_eq!(times.len() as u64, count, "{name}: {recipient}, {kills} killed: {times:?}");
        doubled += times.values().map(|times| times - 1).sum::<usize>();
    }
    // A delivery that is killed between link and exit has delivered but cannot report it.
    assert!(
        doubled <= if once { 0 } else { kills * users.len() },
        "{name}: {doubled} doubled, {kills} killed"
    );
    note!("{name}: {count} messages to 3 each, {kills} deliveries killed, {doubled} doubled, none lost");
}

fn with_flaky(text: String, option: &str) -> String {
    text.replace("/usr/local/bin/mailferry deliver", &format!("/usr/local/bin/flaky deliver {option}"))
}

#[test]
fn postfix_loses_nothing_while_deliveries_fail_and_are_killed() {
    for (recipe, option) in [("Postfix, by a pipe", "--once"), (POSTFIX, "")] {
        let Some(postfix) = Postfix::with_changes(recipe, |text| with_flaky(text, option)) else { return };
        campaign(
            (&postfix.sandbox, recipe, !option.is_empty()),
            |recipients, text| postfix.submit(ANN, recipients, text),
            || drop(postfix.sandbox.sh("postqueue -f")),
            || !postfix.queued().is_empty(),
        );
    }
}

#[test]
fn exim_loses_nothing_while_deliveries_fail_and_are_killed() {
    let Some(exim) = Exim::with_changes(EXIM, |text| with_flaky(text, "")) else { return };
    campaign(
        (&exim.sandbox, EXIM, false),
        |recipients, text| exim.submit(ANN, recipients, text),
        || drop(exim.sandbox.sh("exim4 -qff")),
        || !exim.queued().is_empty(),
    );
}
