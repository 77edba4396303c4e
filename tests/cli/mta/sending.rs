//! The recipes for sending: a null client and its server, used by cron, PHP and a shell.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::postfix::Postfix;
use super::recipes;
use super::sandbox::{JOE, Sandbox};
use crate::support::*;

const NULL_CLIENT: &str = "A machine without a mail server";

/// The mail server, which accepts mail for the users of example.org.
const SERVER: &str = "
inet_interfaces = all
virtual_alias_domains = example.org
virtual_alias_maps = inline:{ { joe@example.org = joe@mx.example.org } }
mailbox_command = /usr/local/bin/mailferry deliver \"$HOME/Maildir/\"
";

/// A null client and its server, both in the same namespaces, as the recipe sets them up.
struct NullClient {
    server: Postfix,
    /// The Maildir of joe at the server.
    maildir: PathBuf,
}

impl NullClient {
    fn new() -> Option<NullClient> {
        let server =
            Postfix::with_changes(NULL_CLIENT, |text| match text.contains("qmqpd_authorized_clients") {
                true => text + SERVER,
                false => text,
            })?;
        let maildir = server.sandbox.maildir("/home/joe/Maildir", JOE);
        without_sendmail(&server.sandbox);
        server.sandbox.sh("ip address add 192.0.2.1/32 dev lo");
        server.sandbox.sh(&recipes::blocks(NULL_CLIENT)[0]);
        Some(NullClient { server, maildir })
    }

    fn sandbox(&self) -> &Sandbox {
        &self.server.sandbox
    }

    fn up(&self) {
        self.sandbox().sh("postfix start >/var/log/start 2>&1");
    }

    fn down(&self) {
        self.sandbox().sh("postfix stop >/var/log/stop 2>&1");
    }

    /// Runs a program as joe, with this on its standard input.
    fn run(&self, command: &[&str], message: &str) -> Run {
        let mut command = self.sandbox().command_as(JOE, command);
        command.env("LOGNAME", "joe");
        run_with_stdin(command, message)
    }

    /// Returns the one message that arrived.
    #[track_caller]
    fn arrived(&self) -> Message {
        self.sandbox().until("the message", || (!messages(&self.maildir).is_empty()).then_some(()));
        let mut all = messages(&self.maildir);
        assert_eq!(all.len(), 1, "{all:?}");
        let message = all.remove(0);
        std::fs::remove_file(&message.path).unwrap();
        message
    }

    /// Asserts that nothing was queued: the next message is the only one that arrives.
    #[track_caller]
    fn nothing_is_queued(&self) {
        self.run(&["sendmail", "joe@example.org"], "Subject: probe\n\n").exits(0);
        assert_eq!(self.arrived().subject(), "probe");
    }
}

#[test]
fn a_null_client_sends_to_its_servers_or_reports_failure() {
    let Some(client) = NullClient::new() else { return };
    const MAIL: &str = "To: joe@example.org\nSubject: x\n\nbody\n";
    for command in [&["/usr/sbin/sendmail", "-t"][..], &["mailferry", "inject"]] {
        client.run(command, MAIL).exits(0);
        let message = client.arrived();
        assert_eq!(message.field("Return-Path").as_deref(), Some("<joe@client.example.org>"));
        assert_eq!(message.field("From").as_deref(), Some("joe@client.example.org"));
        assert_eq!(message.body(), b"body\n");
    }
    // A server that does not exist comes first.
    client.sandbox().sh("printf '192.0.2.2\\n192.0.2.1\\n' > /var/qmail/control/qmqpservers");
    client.run(&["sendmail", "-t"], MAIL).exits(0);
    client.arrived();
    client.down();
    client.run(&["sendmail", "-t"], MAIL).exits(111).complains(&["192.0.2.1:628", "refused"]);
    client.run(&["mailferry", "inject"], MAIL).exits(75).complains(&["4.", "192.0.2.1:628", "refused"]);
    client.up();
    client.nothing_is_queued();
}

/// Mounts a writable /usr/sbin for a recipe, without a mail server's sendmail.
pub(super) fn without_sendmail(sandbox: &Sandbox) {
    sandbox.sh("mkdir /var/sbin; mount --bind /usr/sbin /var/sbin; mount -t tmpfs tmpfs /usr/sbin
         ln -s /var/sbin/* /usr/sbin/; rm -f /usr/sbin/sendmail");
}

/// cron itself, which runs `@reboot` jobs when it starts.
pub(super) struct Cron<'a> {
    sandbox: &'a Sandbox,
    child: Child,
}

impl Cron<'_> {
    /// Installs the recipe's crontab of joe, whose job runs when cron starts. Skips the test if cron is absent.
    pub(super) fn install(sandbox: &Sandbox) -> Option<()> {
        if !["/usr/bin/crontab", "/usr/sbin/cron"].iter().all(|program| Path::new(program).exists()) {
            skip!("cron is not here");
        }
        sandbox.write(
            "/etc/pam.d/cron",
            "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
        );
        sandbox.write(
            "/home/joe/bin/nightly-job",
            "#!/bin/sh\necho 'From here: 100%'\necho complaint >&2\n: >> ~/done\n",
        );
        sandbox.sh("chmod 755 /home/joe/bin/nightly-job; ln -s /run /var/run
             mkdir -p /var/spool/cron/crontabs; chgrp crontab /var/spool/cron/crontabs
             chmod 1730 /var/spool/cron/crontabs");
        // At five past four, which is now.
        let recipe = &recipes::blocks("cron on a machine without a mail server")[0];
        let crontab = recipe.replace("5 4 * * *", "@reboot");
        assert_ne!(&crontab, recipe);
        run_with_stdin(sandbox.command(["crontab", "-u", "joe", "-"]), crontab).exits(0);
        Some(())
    }

    pub(super) fn start(sandbox: &Sandbox) -> Cron<'_> {
        sandbox.sh("rm -f /run/crond.reboot");
        Cron { sandbox, child: sandbox.command(["cron", "-f"]).stderr(Stdio::null()).spawn().unwrap() }
    }
}

impl Drop for Cron<'_> {
    fn drop(&mut self) {
        self.sandbox.sh("kill $(cat /run/crond.pid)");
        let _ = self.child.wait();
    }
}

#[test]
fn the_output_of_a_cron_job_is_sent() {
    let Some(client) = NullClient::new() else { return };
    let sandbox = client.sandbox();
    let Some(()) = Cron::install(sandbox) else { return };
    let done = sandbox.path("/home/joe/done");
    {
        let _cron = Cron::start(sandbox);
        let message = client.arrived();
        assert_eq!(message.field("To").as_deref(), Some("joe@example.org"));
        assert_eq!(message.field("Return-Path").as_deref(), Some("<joe@client.example.org>"));
        assert!(message.field("From").unwrap().contains("(Cron Daemon)"), "{message:?}");
        assert!(message.subject().contains("nightly-job"), "{message:?}");
        assert_eq!(message.body(), b"From here: 100%\ncomplaint\n");
    }
    client.down();
    std::fs::remove_file(&done).unwrap();
    {
        let _cron = Cron::start(sandbox);
        sandbox.until("the job", || done.exists().then_some(()));
    }
    client.up();
    client.nothing_is_queued();
}

#[test]
fn php_sends_by_the_link_and_gets_its_errors() {
    // php is a link through /etc, which is different in the namespace.
    let Ok(php) = std::fs::canonicalize("/usr/bin/php") else { skip!("php is not here") };
    let Some(client) = NullClient::new() else { return };
    client.sandbox().write("/etc/php.ini", &recipes::blocks("PHP")[0]);
    const MAIL: &str = r#"exit(mail("joe@example.org", "caf=", "a\r\nb\n.\n..\nend",
        "From: Shop <shop@example.org>\r\nBcc: joe@example.org\r\nX-A: 1") ? 0 : 7);"#;
    let mail = || client.run(&[php.to_str().unwrap(), "-c", "/etc/php.ini", "-r", MAIL], "");
    mail().exits(0);
    // To and Bcc are both joe, who gets it once.
    let message = client.arrived();
    assert_eq!(message.field("Return-Path").as_deref(), Some("<www@example.org>"));
    assert_eq!(message.field("From").as_deref(), Some("Shop <shop@example.org>"));
    assert_eq!(message.subject(), "caf=");
    assert_eq!(message.body(), b"a\nb\n.\n..\nend\n");
    assert!(message.field("Bcc").is_none() && !message.bytes.contains(&b'\r'), "{message:?}");
    client.down();
    mail().exits(7).complains(&["192.0.2.1:628"]);
    client.up();
    client.nothing_is_queued();
}

#[test]
fn a_loop_over_a_maildir_removes_only_what_the_server_has() {
    let Some(postfix) = Postfix::listening() else { return };
    let sandbox = &postfix.sandbox;
    let arrived = sandbox.maildir("/home/joe/Maildir", JOE);
    let source = sandbox.maildir("/home/joe/old/Maildir", JOE);
    let left = || names(&source.join("new")).len() + names(&source.join("cur")).len();
    for (name, body) in [("new/1.1.h", "one"), ("cur/2.2.h:2,S", "two"), ("new/3.3.h", &"x".repeat(20_000))] {
        let mail =
            format!("Return-Path: <s@x.example>\nTo: bob@x.example\nSubject: {}\n\nbody\n", &name[4..5]);
        sandbox.write(Path::new("/home/joe/old/Maildir").join(name), mail + body + "\n");
    }
    sandbox.write("/home/joe/old/Maildir/new/4.4.h", "");
    sandbox.sh("chown -R joe:joe /home/joe
         postconf -e 'home_mailbox =' 'mailbox_command = /usr/local/bin/mailferry deliver \"$HOME/Maildir/\"'
         postconf -e 'virtual_alias_domains = example.org' 'message_size_limit = 10000' \
             'virtual_alias_maps = inline:{ { ada@example.org = joe@mx.example.org } }'
         postfix stop >/var/log/stop 2>&1");
    let script = recipes::blocks("Send the messages of a Maildir again").remove(0);
    let go = || run(sandbox.command_as(JOE, ["/bin/sh", "-c", &format!("cd old; {script}")])).exits(0);
    // The empty file is not a message for any server.
    let first = go();
    assert_eq!(first.text().matches(": later").count(), 3, "{first:?}");
    assert_eq!(left(), 3);
    assert_eq!(names(&sandbox.path("/home/joe/old/refused")), ["4.4.h"]);
    sandbox.sh("postfix start >/var/log/start 2>&1");
    let second = go();
    assert_eq!(second.text(), "", "{second:?}");
    assert_eq!(left(), 0);
    assert_eq!(names(&sandbox.path("/home/joe/old/refused")), ["3.3.h", "4.4.h"]);
    sandbox.until("two messages", || (messages(&arrived).len() == 2).then_some(()));
    for message in messages(&arrived) {
        assert_eq!(message.field("Return-Path").as_deref(), Some("<s@x.example>"));
        assert_eq!(message.field("To").as_deref(), Some("bob@x.example"));
        assert!(
            message.body().ends_with(["one\n", "two\n"][usize::from(message.subject() == "2")].as_bytes())
        );
    }
    go();
    assert_eq!(messages(&arrived).len(), 2);
}
