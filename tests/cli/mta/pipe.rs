//! Postfix's pipe(8): one recipient per process. The exit code and the first word of the output give the
//! outcome.

use std::fs;

use super::mail;
use super::postfix::Postfix;
use super::sandbox::VMAIL;
use crate::support::*;

const RECIPE: &str = "Postfix, by a pipe";

const ADA: &str = "ada@example.com";
const JOE: &str = "joe@example.org";

/// Starts with another option for deliver.
fn with_option(option: &str) -> Option<Postfix> {
    Postfix::with_changes(RECIPE, |text| text.replace(" -f ${sender}", &format!(" {option} -f ${{sender}}")))
}

#[test]
fn postfix_delivers_by_pipe_with_any_flags() {
    // The fields that Postfix can add, and its own name for the null sender.
    let changes = [
        ("flags=hu", "flags=hu"),
        ("flags=hu", "flags=DRXhu"),
        ("flags=hu", "flags=DRFOhu"),
        ("flags=hu", "flags=Fhu"),
        (" null_sender=", ""),
    ];
    for (recipe, changed) in changes.into_iter().step_by(samples(2, 1, 1)) {
        let Some(postfix) = Postfix::with_changes(RECIPE, |text| text.replace(recipe, changed)) else {
            return;
        };
        let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
        postfix.outcome(ADA, JOE, mail::ODD).is("sent", "2.0.0");
        mail::is_exactly(&maildir, ADA, JOE, mail::ODD);
        for file in fs::read_dir(maildir.join("new")).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        postfix.outcome("", JOE, mail::ODD).is("sent", "2.0.0");
        mail::is_exactly(&maildir, "", JOE, mail::ODD);
        postfix.queue_is(&[]);
    }
}

#[test]
fn mail_waits_in_postfix_until_the_maildir_is_there() {
    let Some(postfix) = Postfix::with(RECIPE) else { return };
    postfix.outcome(ADA, JOE, mail::PLAIN).is("deferred", "4.3.5").says("/var/vmail/example.org/joe");
    let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    fs::remove_dir(maildir.join("new")).unwrap();
    postfix.retry(JOE).is("deferred", "4.3.5");
    postfix.queue_is(&[JOE]);
    postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    postfix.retry(JOE).is("sent", "2.0.0");
    mail::is_exactly(&maildir, ADA, JOE, mail::PLAIN);
}

#[test]
fn mail_waits_in_postfix_while_the_disk_is_full() {
    let Some(postfix) = Postfix::with(RECIPE) else { return };
    postfix.sandbox.sh(
        "mkdir -p /var/vmail/example.org; mount -t tmpfs -o size=64k,mode=755 full /var/vmail/example.org",
    );
    let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    let large = [mail::PLAIN, &b"0123456789abcdef\n".repeat(5_000)].concat();
    postfix.outcome(ADA, JOE, large.clone()).is("deferred", "4.3.1").says("/var/vmail/example.org/joe");
    assert!(names(&maildir.join("tmp")).is_empty() && names(&maildir.join("new")).is_empty());
    postfix.sandbox.sh("mount -o remount,size=1m /var/vmail/example.org");
    postfix.retry(JOE).is("sent", "2.0.0");
    mail::is_exactly(&maildir, ADA, JOE, &large);
}

#[test]
fn a_typing_error_in_the_recipe_costs_no_mail() {
    let Some(postfix) = with_option("--no-such-option") else { return };
    let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    assert_eq!(postfix.outcome(ADA, JOE, mail::PLAIN).status, "deferred");
    let master = postfix.sandbox.path("/etc/postfix/master.cf");
    fs::write(&master, fs::read_to_string(&master).unwrap().replace("--no-such-option", "")).unwrap();
    postfix.sandbox.sh("postfix reload 2>/dev/null");
    postfix.retry(JOE).is("sent", "2.0.0");
    mail::is_exactly(&maildir, ADA, JOE, mail::PLAIN);
}

#[test]
fn a_permanent_failure_is_bounced_with_its_reason() {
    let Some(postfix) = with_option("--max-size 5000") else { return };
    let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    let large = [mail::PLAIN, &b"0123456789abcdef\n".repeat(500)].concat();
    postfix.outcome(ADA, JOE, large).is("bounced", "5.3.4").says("5000");
    let looping = [b"Delivered-To: joe@example.org\n", mail::PLAIN].concat();
    postfix.outcome(ADA, JOE, looping.clone()).is("bounced", "5.4.6");
    assert!(messages(&maildir).is_empty());
    // The sender gets the reason.
    postfix.submit(JOE, &[JOE], looping);
    let notice = postfix.sandbox.until("the notice", || messages(&maildir).pop());
    assert_eq!(notice.field("Return-Path").as_deref(), Some("<>"));
    assert!(String::from_utf8_lossy(notice.body()).contains("Status: 5.4.6"));
}

#[test]
fn a_full_quota_bounces_or_waits_as_it_is_asked() {
    let Some(postfix) = with_option("--quota 100S") else { return };
    postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    postfix.outcome(ADA, JOE, mail::PLAIN).is("bounced", "5.2.2").says("quota");
    drop(postfix);
    let Some(postfix) = with_option("--quota 1000S --quota-temp") else { return };
    let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    let half = [mail::PLAIN, &b"0123456789abcdef\n".repeat(20)].concat();
    postfix.outcome(ADA, JOE, half.clone()).is("sent", "2.0.0");
    postfix.outcome(ADA, JOE, half.clone()).is("deferred", "4.2.2").says("quota");
    mail::is_exactly(&maildir, ADA, JOE, &half);
    // Free some space, as a mail reader does that updates the sum.
    fs::remove_file(&messages(&maildir)[0].path).unwrap();
    fs::remove_file(maildir.join("maildirsize")).unwrap();
    postfix.retry(JOE).is("sent", "2.0.0");
    mail::is_exactly(&maildir, ADA, JOE, &half);
}

#[test]
fn mail_waits_in_postfix_while_an_mbox_is_locked() {
    let Some(postfix) = Postfix::with_changes(RECIPE, |text| {
        text.replace("/var/vmail/${domain}/${user}/", "--lock-timeout 0 /var/vmail/${user}")
    }) else {
        return;
    };
    let mbox = postfix.sandbox.path("/var/vmail/joe");
    postfix.sandbox.sh("install -o vmail -g vmail -m 600 /dev/null /var/vmail/joe; : >/var/vmail/joe.lock");
    postfix.outcome(ADA, JOE, mail::PLAIN).is("deferred", "4.2.0").says("/var/vmail/joe");
    assert!(fs::read(&mbox).unwrap().is_empty());
    fs::remove_file(postfix.sandbox.path("/var/vmail/joe.lock")).unwrap();
    postfix.retry(JOE).is("sent", "2.0.0");
    let content = fs::read(&mbox).unwrap();
    let text = String::from_utf8_lossy(&content);
    assert!(
        text.starts_with("From ada@example.com ") && text.ends_with("\nSubject: plain\n\nbody\n\n"),
        "{text}"
    );
    assert!(!postfix.sandbox.path("/var/vmail/joe.lock").exists());
}

#[test]
fn a_delivery_that_crashes_leaves_the_mail_in_postfix() {
    let Some(postfix) = Postfix::with_changes(RECIPE, |text| text.replace("/bin/mailferry", "/bin/other"))
    else {
        return;
    };
    let maildir = postfix.sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    assert_eq!(postfix.outcome(ADA, JOE, mail::PLAIN).status, "deferred");
    postfix.sandbox.write("/usr/local/bin/other", "#!/bin/sh\nkill -KILL $$\n");
    postfix.sandbox.sh("chmod 755 /usr/local/bin/other");
    assert_eq!(postfix.retry(JOE).status, "deferred");
    postfix.sandbox.sh("ln -sf mailferry /usr/local/bin/other");
    postfix.retry(JOE).is("sent", "2.0.0");
    mail::is_exactly(&maildir, ADA, JOE, mail::PLAIN);
}
