//! An account as Dovecot shows it over IMAP and POP3: folders, subscriptions, messages, and their UIDs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::peers::{Dovecot, Shown};
use crate::support::*;

/// A home directory in which `Mail/` is an account.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        let home = Home(scratch());
        fs::create_dir(home.path("Mail")).unwrap();
        home
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Home {
        let path = self.path("Mail").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Copies `Mail/` to a directory that Dovecot may write to.
    pub(crate) fn copy(&self, to: &str) {
        fs::create_dir(self.path(to)).unwrap();
        for path in tree(&self.path("Mail")).into_keys() {
            let (from, to) = (self.path("Mail").join(&path), self.path(to).join(&path));
            match from.is_dir() {
                true => fs::create_dir_all(to).unwrap(),
                false => drop(fs::copy(from, to).unwrap()),
            }
        }
    }

    /// Runs `convert OPTIONS… FROM TO` with paths in this directory, whatever the result.
    pub(crate) fn try_convert(&self, options: &[&str], from: &str, to: &str) -> Run {
        let (prefix, name) = to.split_once(':').map_or(("", to), |(prefix, name)| (prefix, name));
        let colon = if prefix.is_empty() { "" } else { ":" };
        let to = format!("{prefix}{colon}{}", self.path(name).display());
        let from = self.path(from);
        let mut args = options.to_vec();
        args.extend([from.to_str().unwrap(), &to]);
        run(convert_command(args))
    }

    #[track_caller]
    pub(crate) fn converts(&self, options: &[&str], from: &str, to: &str) -> Run {
        self.try_convert(options, from, to).exits(0)
    }

    pub(crate) fn serves(&self, location: &str) -> Dovecot {
        Dovecot::over(location, self.root())
    }

    #[track_caller]
    pub(crate) fn shows(&self, location: &str) -> Account {
        Account::of(&self.serves(location))
    }

    #[track_caller]
    pub(crate) fn shows_unescaped(&self, location: &str) -> Account {
        Account::of(&self.serves(location).with_listescape())
    }
}

/// An account as Dovecot shows it, with folders by their levels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub folders: BTreeMap<Vec<String>, Vec<Mail>>,
    pub subscribed: BTreeSet<Vec<String>>,
    pub numbers: BTreeMap<Vec<String>, Numbers>,
}

/// A message; the order is that of their texts, which all differ.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mail {
    text: String,
    date: String,
    pub flags: BTreeSet<String>,
}

/// The numbers by which IMAP clients find the messages of a folder again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub validity: u32,
    pub next: u32,
    /// The Message-ID by UID.
    pub messages: BTreeMap<u32, String>,
}

impl Account {
    #[track_caller]
    pub(crate) fn of(dovecot: &Dovecot) -> Account {
        let replies = dovecot.answers("1 LIST \"\" *\r\n2 LSUB \"\" *\r\n3 LOGOUT\r\n");
        let listed = |command: &str| -> Vec<(String, Vec<String>)> {
            let begin = format!("* {command} (");
            let lines = replies.iter().filter_map(|reply| reply.text.strip_prefix(&begin));
            lines.filter(|line| !line.starts_with("\\Noselect")).map(name_and_levels).collect()
        };
        let (mut folders, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        for (name, levels) in listed("LIST") {
            numbers.insert(levels.clone(), Numbers::of(dovecot, &name));
            let mut mail: Vec<Mail> = dovecot.shows_in(&name).iter().map(Mail::of).collect();
            mail.sort();
            folders.insert(levels, mail);
        }
        let subscribed = listed("LSUB").into_iter().map(|(_, levels)| levels).collect();
        Account { folders, subscribed, numbers }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.folders.keys().map(|levels| levels.join("|")).collect()
    }

    /// Asserts that two accounts have the same mail, whatever its UIDs, and prints only what differs.
    #[track_caller]
    pub(crate) fn is(&self, other: &Account, what: &str) {
        assert_eq!(self.names(), other.names(), "{what}");
        assert_eq!(self.subscribed, other.subscribed, "{what}");
        for (folder, mail) in &self.folders {
            for (one, other) in mail.iter().zip(&other.folders[folder]) {
                assert_eq!(one, other, "{what}: {folder:?}");
            }
            assert_eq!(mail.len(), other.folders[folder].len(), "{what}: {folder:?}");
        }
    }
}

impl Numbers {
    #[track_caller]
    pub(crate) fn of(dovecot: &Dovecot, folder: &str) -> Numbers {
        // Before the folder is opened: these are what a client sees first.
        let [validity, next] = dovecot.status(folder);
        let shown = dovecot.shows_in(folder);
        let messages = shown.iter().map(|shown| (shown.uid, message_id(&shown.body))).collect();
        Numbers { validity, next, messages }
    }
}

/// Parses `\HasNoChildren) "/" "a b"`.
fn name_and_levels(listed: &str) -> (String, Vec<String>) {
    let (_, rest) = listed.split_once(") \"").unwrap();
    let (separator, name) = rest.split_once("\" ").unwrap();
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    let levels = name.split(separator).map(str::to_owned).collect();
    (name, levels)
}

/// Returns the Message-ID of a message, or its Subject if it has none.
fn message_id(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    field("Message-ID: ").or_else(|| field("Subject: ")).unwrap_or_default()
}

impl Mail {
    /// Takes a message as Dovecot shows it. In an mbox Dovecot hides the fields that hold flags, UIDs and
    /// lengths. In a Maildir it shows them, as the file has them.
    fn of(shown: &Shown) -> Mail {
        const ITS_OWN: [&str; 6] =
            ["Status:", "X-Status:", "X-Keywords:", "X-UID:", "X-IMAPbase:", "Content-Length:"];
        let text = String::from_utf8_lossy(&shown.body).replace("\r\n", "\n");
        let lines =
            text.split_inclusive('\n').filter(|line| !ITS_OWN.iter().any(|own| line.starts_with(own)));
        Mail { text: lines.collect(), date: shown.internal_date.clone(), flags: shown.flags.clone() }
    }
}

/// A message of the INBOX in the order of POP3's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub uidl: String,
    pub message_id: String,
}

/// Returns the INBOX as POP3 lists it.
#[track_caller]
pub(crate) fn pop3_list(dovecot: &Dovecot) -> Vec<Listed> {
    let uidls: Vec<String> = dovecot.pop3(&["UIDL"]).remove(0).lines().map(second_word).collect();
    if uidls.is_empty() {
        return Vec::new();
    }
    let tops: Vec<String> = (1..=uidls.len()).map(|n| format!("TOP {n} 0")).collect();
    let tops: Vec<&str> = tops.iter().map(String::as_str).collect();
    let headers = dovecot.pop3(&tops);
    let listed =
        |(uidl, header): (String, &String)| Listed { uidl, message_id: message_id(header.as_bytes()) };
    uidls.into_iter().zip(&headers).map(listed).collect()
}

fn second_word(line: &str) -> String {
    line.split_once(' ').expect("a number and a UIDL").1.to_owned()
}
