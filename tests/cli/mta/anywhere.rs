//! The recipes of docs/send.md for a machine that sends through a provider: a shell, cron, PHP, git.

use std::path::Path;

use super::provider::{PASSWORD, Provider};
use super::recipes;
use super::sandbox::{JOE, Sandbox};
use super::sending::{Cron, without_sendmail};
use crate::support::*;

const PROVIDER: &str = "A machine that sends through a provider";
const MAIL: &str = "To: joe@example.org\nSubject: x\n\nbody\n";

/// A machine as the recipe sets it up. The provider is on the same machine.
struct Machine {
    provider: Provider,
}

impl Machine {
    fn new() -> Option<Machine> {
        let machine = Machine { provider: Provider::new()? };
        let sandbox = machine.sandbox();
        without_sendmail(sandbox);
        let blocks = recipes::blocks(PROVIDER);
        let store = sandbox.command_as(JOE, ["/bin/sh", "-e", "-c", &blocks[0]]);
        run_with_stdin(store, format!("{PASSWORD}\n")).exits(0);
        for (path, text) in recipes::files(PROVIDER) {
            sandbox.write(&path, text);
        }
        sandbox.sh("chown joe /home/joe/.config/mailferry/relays");
        sandbox.sh(&blocks[2]);
        Some(machine)
    }

    fn sandbox(&self) -> &Sandbox {
        &self.provider.server.sandbox
    }

    fn run(&self, user: u32, command: &[&str]) -> Run {
        run_with_stdin(self.sandbox().command_as(user, command), MAIL)
    }

    /// Takes the one message that arrived.
    #[track_caller]
    fn arrived(&self) -> Message {
        let message = self.sandbox().until("the message", || messages(&self.provider.maildir).pop());
        assert!(messages(&self.provider.maildir).len() == 1);
        std::fs::remove_file(&message.path).unwrap();
        message
    }
}

#[test]
fn a_user_sends_through_the_provider_in_the_file_relays() {
    let Some(machine) = Machine::new() else { return };
    let sandbox = machine.sandbox();
    for command in [&["mailferry", "inject"][..], &["sendmail", "-t"]] {
        machine.run(JOE, command).exits(0);
        let message = machine.arrived();
        assert_eq!(message.field("Return-Path").as_deref(), Some("<joe@example.org>"));
        assert_eq!(message.field("From").as_deref(), Some("joe@example.org"));
    }
    // The second line replaces a port that is blocked.
    let relays = "/home/joe/.config/mailferry/relays";
    sandbox.sh(&format!("sed -i '/^smtps:/s|mail.example.org |mail.example.org:9 |' {relays}"));
    machine.run(JOE, &["sendmail", "-t"]).exits(0);
    machine.arrived();
    // Whoever can write the file could read the mail.
    sandbox.sh(&format!("chmod 664 {relays}"));
    machine.run(JOE, &["sendmail", "-t"]).exits(111).complains(&[relays, "chmod go-w"]);
    machine.run(JOE, &["mailferry", "inject"]).exits(75).complains(&["4.3.5 ", relays, "chmod go-w"]);
    sandbox.sh(&format!("chmod 644 {relays}"));
    sandbox.sh(&format!("chown vmail {relays}"));
    machine.run(JOE, &["sendmail", "-t"]).exits(111).complains(&[relays, "another user"]);
    sandbox.sh(&format!("chown joe {relays}"));
    // Root does not do what joe's file says.
    machine.run(0, &["env", "HOME=/home/joe", "mailferry", "inject"]).exits(75).complains(&["no next hop"]);
    // An invalid line is an error, and not left out.
    sandbox.sh(&format!("echo 'smtps://joe:hunter2@h' >> {relays}"));
    let run = machine.run(JOE, &["mailferry", "inject"]).exits(75).complains(&[relays, "line 4: "]);
    assert!(!run.stderr.contains("hunter2"), "{run:?}");
    // What qmail is configured to do comes first.
    sandbox.sh("echo 127.0.0.1:9 > /var/qmail/control/qmqpservers");
    machine.run(JOE, &["mailferry", "inject"]).exits(75).complains(&["qmqp://127.0.0.1:9"]);
    assert!(messages(&machine.provider.maildir).is_empty());
}

#[test]
fn cron_sends_the_output_of_a_job_through_the_provider() {
    let Some(machine) = Machine::new() else { return };
    let Some(()) = Cron::install(machine.sandbox()) else { return };
    let _cron = Cron::start(machine.sandbox());
    let message = machine.arrived();
    assert_eq!(message.field("Return-Path").as_deref(), Some("<joe@example.org>"));
    assert_eq!(message.body(), b"From here: 100%\ncomplaint\n");
}

#[test]
fn php_sends_through_the_provider_of_the_machine() {
    // php is a link through /etc, which is different in the namespace.
    let Ok(php) = std::fs::canonicalize("/usr/bin/php") else { skip!("php is not here") };
    let Some(machine) = Machine::new() else { return };
    let sandbox = machine.sandbox();
    sandbox.write("/etc/php.ini", &recipes::blocks("PHP")[0]);
    for (path, text) in recipes::files("PHP") {
        sandbox.write(&path, text);
    }
    sandbox.write("/etc/mailferry/password", format!("{PASSWORD}\n"));
    sandbox
        .sh("rm -r /home/joe/.config; chown joe /etc/mailferry/password; chmod 600 /etc/mailferry/password");
    const MAIL: &str = r#"exit(mail("joe@example.org", "a subject", "body") ? 0 : 7);"#;
    let mail = || machine.run(JOE, &[php.to_str().unwrap(), "-c", "/etc/php.ini", "-r", MAIL]);
    mail().exits(0);
    let message = machine.arrived();
    assert_eq!(message.field("Return-Path").as_deref(), Some("<www@example.org>"));
    assert_eq!(message.subject(), "a subject");
    sandbox.sh("postfix stop >/var/log/stop 2>&1");
    mail().exits(7);
}

#[test]
fn git_sends_a_patch_through_the_provider() {
    if !Path::new("/usr/lib/git-core/git-send-email").exists() {
        skip!("git send-email is not here");
    }
    let Some(machine) = Machine::new() else { return };
    let sandbox = machine.sandbox();
    let script = |script: &str| run(sandbox.command_as(JOE, ["/bin/sh", "-e", "-c", script]));
    script(&recipes::blocks("git send-email")[0]).exits(0);
    script(
        "git config --global user.name Joe; git config --global user.email joe@example.org
         git init -q project; cd project; echo text > file; git add file; git commit -qm 'file: add it'",
    )
    .exits(0);
    let mail = || script("cd project; git send-email --quiet --confirm=never --to joe@example.org --root -1");
    mail().exits(0);
    let message = machine.arrived();
    assert_eq!(message.subject(), "[PATCH] file: add it");
    assert_eq!(message.field("From").as_deref(), Some("Joe <joe@example.org>"));
    sandbox.sh("postfix stop >/var/log/stop 2>&1");
    let failed = mail();
    assert!(failed.code.is_some_and(|code| code != 0), "{failed:?}");
    assert!(failed.stderr.contains("mail.example.org"), "{failed:?}");
}
