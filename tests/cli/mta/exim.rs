//! Exim, in namespaces of its own with the recipes. It needs no daemon: it delivers in the foreground.

use super::recipes;
use super::sandbox::{self, Sandbox};
use crate::support::*;

/// Debian's split configuration: this file, with the files of `conf.d/` inserted.
const MAIN: &str = "\
exim_path = /usr/local/bin/exim4
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
primary_hostname = mx.example.org
qualify_domain = mx.example.org
domainlist local_domains = mx.example.org
keep_environment =
never_users = root
trusted_users = root
local_interfaces = 127.0.0.1
disable_ipv6
message_size_limit = 200M
";

pub(super) struct Exim {
    pub sandbox: Sandbox,
}

impl Exim {
    /// Starts with the recipe under this heading. Skips the test if Exim is absent.
    pub(super) fn with(heading: &str) -> Option<Exim> {
        Exim::with_changes(heading, |text| text)
    }

    /// Starts with the files of the recipe changed.
    pub(super) fn with_changes(heading: &str, change: impl Fn(String) -> String) -> Option<Exim> {
        if sandbox::exim().is_none() {
            skip!("Exim is not here");
        }
        let sandbox = Sandbox::new()?;
        let part = |directory: &str| -> String {
            let inside = format!("/etc/exim4/conf.d/{directory}/");
            let files = recipes::files(heading).into_iter();
            files.filter(|(path, _)| path.starts_with(&inside)).map(|(_, text)| change(text)).collect()
        };
        let (router, transport) = (part("router"), part("transport"));
        // Addresses that the recipe does not route do not exist.
        let config = format!(
            "{MAIN}begin routers\n{router}\nbegin transports\n{transport}\nbegin retry\n* * F,1d,1h\n"
        );
        sandbox.write("/etc/exim4/exim4.conf", config);
        sandbox.sh("exim4 -bV");
        Some(Exim { sandbox })
    }

    /// Submits a message, and returns after the delivery was tried.
    #[track_caller]
    pub(super) fn submit(&self, sender: &str, recipients: &[&str], message: impl Into<Vec<u8>>) {
        let mut command = self.sandbox.command(["exim4", "-odi", "-i", "-f", sender, "--"]);
        command.args(recipients);
        run_with_stdin(command, message).exits(0);
    }

    /// Returns each attempt for this recipient from the log: `=>` and `->` delivered, `==` deferred, `**`
    /// bounced, with the line.
    pub(super) fn tries(&self, recipient: &str) -> Vec<(String, String)> {
        let log = self.log();
        let mut tries = Vec::new();
        for line in log.lines() {
            // Date, time, message, sign, address; a local one begins with its local part.
            let words: Vec<&str> = line.split(' ').collect();
            let Some(sign) = words.get(3).filter(|sign| ["=>", "->", "==", "**"].contains(sign)) else {
                continue;
            };
            if words[4] == recipient || words.get(5) == Some(&format!("<{recipient}>").as_str()) {
                tries.push(((*sign).to_owned(), line.to_owned()));
            }
        }
        tries
    }

    pub(super) fn log(&self) -> String {
        let log = std::fs::read(self.sandbox.path("/var/log/exim4/mainlog")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Submits a message, and returns the outcome for its one recipient: sign and line.
    #[track_caller]
    pub(super) fn outcome(
        &self,
        sender: &str,
        recipient: &str,
        message: impl Into<Vec<u8>>,
    ) -> (String, String) {
        let before = self.tries(recipient).len();
        self.submit(sender, &[recipient], message);
        self.next(recipient, before)
    }

    /// Retries all deferred messages.
    #[track_caller]
    pub(super) fn retry(&self, recipient: &str) -> (String, String) {
        let before = self.tries(recipient).len();
        self.sandbox.sh("exim4 -qff");
        self.next(recipient, before)
    }

    #[track_caller]
    pub(super) fn next(&self, recipient: &str, before: usize) -> (String, String) {
        self.tries(recipient)
            .get(before)
            .cloned()
            .unwrap_or_else(|| panic!("{recipient} was not tried:\n{}", self.log()))
    }

    /// Returns the recipients of queued messages, also of frozen ones.
    pub(super) fn queued(&self) -> Vec<String> {
        let list = self.sandbox.sh("exim4 -bp");
        let mut all: Vec<String> = list
            .lines()
            .filter(|line| line.starts_with("          ") && !line.contains(" D "))
            .map(|line| line.trim().to_owned())
            .collect();
        all.sort();
        all
    }
}
