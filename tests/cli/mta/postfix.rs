//! Postfix, in namespaces of its own with the recipes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::recipes;
use super::sandbox::Sandbox;
use crate::support::*;

/// The services that a queue needs. None listens on a port.
const MASTER: &str = "\
tlsmgr    unix - - n 1000 1 tlsmgr
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
local     unix - n n - - local
lmtp      unix - - n - - lmtp
postlog   unix-dgram n - n - 1 postlogd
";

const MAIN: &str = "\
compatibility_level = 3.6
maillog_file = /var/log/mail.log
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mx.example.org
mydestination = mx.example.org
local_recipient_maps =
alias_maps =
default_transport = error:nothing leaves this machine
maximal_backoff_time = 1h
minimal_backoff_time = 1h
";

pub(crate) struct Postfix {
    pub sandbox: Sandbox,
}

/// The outcome for a recipient at the last attempt, as Postfix logs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub dsn: String,
    pub status: String,
    /// The text in parentheses, with mailferry's words.
    pub text: String,
}

impl Postfix {
    /// Starts with the recipe under this heading. Skips the test if Postfix is absent.
    pub(crate) fn with(heading: &str) -> Option<Postfix> {
        Postfix::with_changes(heading, |text| text)
    }

    /// Starts with the files of the recipe changed.
    pub(crate) fn with_changes(heading: &str, change: impl Fn(String) -> String) -> Option<Postfix> {
        Postfix::start(recipes::files(heading).into_iter().map(|(path, text)| (path, change(text))))
    }

    /// Starts without a recipe. Submitted mail goes to the Maildirs of its users, also by SMTP and QMQP.
    pub(crate) fn listening() -> Option<Postfix> {
        Postfix::listening_with("home_mailbox = Maildir/\n")
    }

    /// Starts without a recipe, with these settings. It takes mail by SMTP and QMQP, too.
    pub(crate) fn listening_with(settings: &str) -> Option<Postfix> {
        const MASTER: &str = "127.0.0.1:25 inet n - n - - smtpd\n127.0.0.1:628 inet n - n - - qmqpd\n";
        const MAIN: &str = "qmqpd_authorized_clients = 127.0.0.1\nmynetworks = 127.0.0.0/8\n\
                            smtpd_relay_restrictions = permit_mynetworks, reject\n";
        let files =
            [("/etc/postfix/master.cf", MASTER), ("/etc/postfix/main.cf", &format!("{MAIN}{settings}"))];
        Postfix::start(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())))
    }

    /// Waits until a port is open.
    pub(crate) fn listens(&self, port: u16) {
        self.sandbox.until("a server", || {
            let probe = format!("exec 3<>/dev/tcp/127.0.0.1/{port} 2>/dev/null");
            self.sandbox.command(["bash", "-c", &probe]).status().ok()?.success().then_some(())
        });
    }

    /// Starts with these additions to the two files of Postfix, and other files.
    pub(super) fn start(more: impl Iterator<Item = (String, String)>) -> Option<Postfix> {
        if !Path::new("/usr/sbin/postfix").exists() {
            skip!("Postfix is not here");
        }
        let sandbox = Sandbox::new()?;
        let mut files = BTreeMap::from([
            ("/etc/postfix/main.cf".to_owned(), MAIN.to_owned()),
            ("/etc/postfix/master.cf".to_owned(), MASTER.to_owned()),
        ]);
        for (path, text) in more {
            files.entry(path).or_default().push_str(&text);
        }
        for (path, text) in files {
            sandbox.write(path, text);
        }
        fs::create_dir_all(sandbox.path("/var/spool/postfix/pid")).unwrap();
        sandbox.sh("chown postfix /var/lib/postfix; postfix start >/var/log/start 2>&1 || { cat /var/log/start /var/log/mail.log >&2; exit 1; }");
        Some(Postfix { sandbox })
    }

    /// Submits a message as sendmail(1) does.
    #[track_caller]
    pub(crate) fn submit(&self, sender: &str, recipients: &[&str], message: impl Into<Vec<u8>>) {
        let mut command = self.sandbox.command(["sendmail", "-i", "-f", sender, "--"]);
        command.args(recipients);
        run_with_stdin(command, message).exits(0);
    }

    /// Returns each attempt for a recipient from the log, in order.
    pub(crate) fn tries(&self, recipient: &str) -> Vec<Outcome> {
        let log = fs::read(self.sandbox.path("/var/log/mail.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let to = format!(" to=<{recipient}>,");
        log.lines().filter(|line| line.contains(&to)).filter_map(Outcome::of).collect()
    }

    /// Submits a message, and waits for the outcome of its one recipient.
    #[track_caller]
    pub(crate) fn outcome(&self, sender: &str, recipient: &str, message: impl Into<Vec<u8>>) -> Outcome {
        let before = self.tries(recipient).len();
        self.submit(sender, &[recipient], message);
        self.next(recipient, before)
    }

    /// Waits for the outcome of a recipient after this many attempts.
    #[track_caller]
    pub(crate) fn next(&self, recipient: &str, before: usize) -> Outcome {
        self.sandbox.until(recipient, || self.tries(recipient).get(before).cloned())
    }

    /// Retries deferred messages now, and waits for this recipient.
    #[track_caller]
    pub(crate) fn retry(&self, recipient: &str) -> Outcome {
        let before = self.tries(recipient).len();
        self.sandbox.sh("postqueue -f");
        self.next(recipient, before)
    }

    /// Waits until these recipients, and no others, are in the queue. A message is removed after the log names its
    /// outcome, and a bounce is queued and delivered meanwhile.
    pub(crate) fn queue_is(&self, expected: &[&str]) {
        let what = format!("a queue with {expected:?}");
        self.sandbox.until(&what, || (self.queued() == expected).then_some(()));
    }

    /// Returns the recipients that are in the queue.
    pub(crate) fn queued(&self) -> Vec<String> {
        let list = self.sandbox.sh("postqueue -j");
        let lines = list.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let address = |recipient: &serde_json::Value| recipient["address"].as_str().unwrap().to_owned();
        let mut all: Vec<String> = lines
            .flat_map(|m| m["recipients"].as_array().unwrap().iter().map(address).collect::<Vec<_>>())
            .collect();
        all.sort();
        all
    }
}

impl Outcome {
    fn of(line: &str) -> Option<Outcome> {
        let (dsn, rest) = line.split_once(" dsn=")?.1.split_once(", status=")?;
        let (status, text) = rest.split_once(" (")?;
        Some(Outcome {
            dsn: dsn.to_owned(),
            status: status.to_owned(),
            text: text.strip_suffix(')').unwrap_or(text).to_owned(),
        })
    }

    /// Asserts status and enhanced status code.
    #[track_caller]
    pub(crate) fn is(&self, status: &str, dsn: &str) -> &Outcome {
        assert_eq!((&*self.status, &*self.dsn), (status, dsn), "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Outcome {
        assert!(self.text.contains(words), "{words:?} is not in {:?}", self.text);
        self
    }
}
