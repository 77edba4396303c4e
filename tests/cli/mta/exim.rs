//! Exim in a world with the recipes. It needs no daemon: it delivers while it is called.

use super::recipes;
use super::world::{self, World};
use crate::support::*;

/// As Debian's split configuration is put together: this, and the files of `conf.d/` in their places.
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

pub struct Exim {
    pub world: World,
}

impl Exim {
    /// With the recipe under this heading. None where there is no Exim, and then that has been said.
    pub fn with(heading: &str) -> Option<Exim> {
        Exim::with_changes(heading, |text| text)
    }

    /// The same, with its files changed on the way.
    pub fn with_changes(heading: &str, change: impl Fn(String) -> String) -> Option<Exim> {
        if world::exim().is_none() {
            skip!("Exim is not here");
        }
        let world = World::new()?;
        let part = |directory: &str| -> String {
            let inside = format!("/etc/exim4/conf.d/{directory}/");
            let files = recipes::files(heading).into_iter();
            files.filter(|(path, _)| path.starts_with(&inside)).map(|(_, text)| change(text)).collect()
        };
        let (router, transport) = (part("router"), part("transport"));
        // Whatever the recipe leaves over is nobody's.
        let config = format!(
            "{MAIN}begin routers\n{router}\nbegin transports\n{transport}\nbegin retry\n* * F,1d,1h\n"
        );
        world.write("/etc/exim4/exim4.conf", config);
        world.sh("exim4 -bV");
        Some(Exim { world })
    }

    /// Hands a message in, and is back when it has been tried.
    #[track_caller]
    pub fn submit(&self, sender: &str, recipients: &[&str], message: impl Into<Vec<u8>>) {
        let mut command = self.world.command(["exim4", "-odi", "-i", "-f", sender, "--"]);
        command.args(recipients);
        run_with_stdin(command, message).exits(0);
    }

    /// What the log says of each try for this recipient: `=>` and `->` delivered, `==` deferred, `**` bounced,
    /// with the line.
    pub fn tries(&self, recipient: &str) -> Vec<(String, String)> {
        let log = self.log();
        let mut tries = Vec::new();
        for line in log.lines() {
            // Date, time, message, sign, address; a local one with its local part first.
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

    pub fn log(&self) -> String {
        let log = std::fs::read(self.world.path("/var/log/exim4/mainlog")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Submits and gives what became of the one recipient: sign and line.
    #[track_caller]
    pub fn outcome(&self, sender: &str, recipient: &str, message: impl Into<Vec<u8>>) -> (String, String) {
        let before = self.tries(recipient).len();
        self.submit(sender, &[recipient], message);
        self.next(recipient, before)
    }

    /// Tries all again that wait.
    #[track_caller]
    pub fn retry(&self, recipient: &str) -> (String, String) {
        let before = self.tries(recipient).len();
        self.world.sh("exim4 -qff");
        self.next(recipient, before)
    }

    #[track_caller]
    pub fn next(&self, recipient: &str, before: usize) -> (String, String) {
        self.tries(recipient)
            .get(before)
            .cloned()
            .unwrap_or_else(|| panic!("{recipient} was not tried:\n{}", self.log()))
    }

    /// The recipients of messages that wait, frozen ones too.
    pub fn queued(&self) -> Vec<String> {
        let list = self.world.sh("exim4 -bp");
        let mut all: Vec<String> = list
            .lines()
            .filter(|line| line.starts_with("          ") && !line.contains(" D "))
            .map(|line| line.trim().to_owned())
            .collect();
        all.sort();
        all
    }
}
