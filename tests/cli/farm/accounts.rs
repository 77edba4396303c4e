//! Many users with a home and an mbox in `/var/mail`. Some have a fault.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde_json::Value;

use super::MOVE;
use crate::mta::recipes;
use crate::mta::sandbox::Sandbox;
use crate::support::*;

const FIRST_UID: u32 = 20_000;
/// One of so many accounts has a fault.
const FAULT_INTERVAL: usize = 20;

/// Why an account cannot be converted, or not without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another process has a lock on the mbox.
    Locked,
    /// The user may not read the mbox.
    Unreadable,
    /// The mbox is a link to another user's.
    LinkedSource,
    /// The Maildir is a link into another user's home.
    LinkedDestination,
    /// The file system of the home has no more files.
    NoInodes,
    /// The file system of the home has no more space. Only one account has this.
    FullDisk,
}

const FAULTS: [Fault; 5] =
    [Fault::Locked, Fault::Unreadable, Fault::LinkedSource, Fault::LinkedDestination, Fault::NoInodes];

#[derive(Debug)]
pub(super) struct Account {
    pub name: String,
    uid: u32,
    messages: usize,
    pub fault: Option<Fault>,
}

impl Account {
    /// Returns account `n` of `count`. The sizes follow Zipf's law: the second largest has half of the largest.
    fn new(n: usize, count: usize, largest: usize) -> Account {
        // Spreads the ranks over the list.
        let rank = n * 7 % count + 1;
        let fault = (n % FAULT_INTERVAL == FAULT_INTERVAL / 2).then(|| match n / FAULT_INTERVAL {
            0 => Fault::FullDisk,
            nth => FAULTS[(nth - 1) % FAULTS.len()],
        });
        let least = if matches!(fault, Some(Fault::FullDisk | Fault::NoInodes)) { 100 } else { 1 };
        let messages = (largest / rank).max(least);
        Account { name: format!("u{n:04}"), uid: FIRST_UID + n as u32, messages, fault }
    }

    /// Tells whether all its mail is converted.
    pub(super) fn is_converted(&self) -> bool {
        self.fault.is_none()
    }

    fn mail(&self) -> Vec<String> {
        let mut dice = Dice(u64::from(self.uid));
        let message = |n| {
            let text = "word ".repeat(dice.roll(300));
            format!(
                "From: Ada <ada@example.org>\nMessage-ID: <{}.{n}@example.org>\nSubject: number {n}\n\n{text}\n",
                self.name
            )
        };
        (0..self.messages).map(message).collect()
    }

    fn mbox(&self) -> String {
        let from = "From ada@example.org Mon Mar  2 08:15:00 1998\n";
        self.mail().iter().map(|message| format!("{from}{message}\n")).collect()
    }
}

pub(super) struct Accounts<'a> {
    sandbox: &'a Sandbox,
    pub all: Vec<Account>,
    locks: Vec<File>,
}

impl<'a> Accounts<'a> {
    /// Creates the accounts, and their list by the recipe.
    pub(super) fn new(sandbox: &'a Sandbox, count: usize, largest: usize) -> Accounts<'a> {
        let all: Vec<Account> = (0..count).map(|n| Account::new(n, count, largest)).collect();
        for (file, line) in [("passwd", user_line as fn(&Account) -> String), ("group", group_line)] {
            let path = sandbox.path("/etc").join(file);
            let lines: String = all.iter().map(line).collect();
            fs::write(&path, fs::read_to_string(&path).unwrap() + &lines).unwrap();
        }
        sandbox.sh(&format!("chgrp mail /var/mail; chmod 2775 /var/mail; mkdir -m 700 {MOVE}"));
        let mut accounts = Accounts { sandbox, all, locks: Vec::new() };
        let locks = (0..count).filter_map(|n| accounts.furnish(n)).collect();
        accounts.locks = locks;
        sandbox.sh(&recipes::blocks("The list of accounts")[0]);
        accounts
    }

    fn home(&self, account: &Account) -> PathBuf {
        self.sandbox.path("/home").join(&account.name)
    }

    /// Creates home and mail of an account. Returns the lock on its mbox, if it has one.
    fn furnish(&self, n: usize) -> Option<File> {
        let (account, next) = (&self.all[n], &self.all[(n + 1) % self.all.len()]);
        let (home, mail) = (self.home(account), self.sandbox.path("/var/mail"));
        let mbox = mail.join(&account.name);
        fs::create_dir(&home).unwrap();
        match account.fault {
            Some(Fault::LinkedSource) => {
                symlink(&next.name, &mbox).unwrap();
                lchown(&mbox, Some(account.uid), Some(account.uid)).unwrap();
            }
            _ => {
                fs::write(&mbox, account.mbox()).unwrap();
                chown(&mbox, Some(account.uid), Some(account.uid)).unwrap();
                let mode = if account.fault == Some(Fault::Unreadable) { 0 } else { 0o600 };
                fs::set_permissions(&mbox, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let limit = match account.fault {
            Some(Fault::FullDisk) => Some("size=16k"),
            Some(Fault::NoInodes) => Some("nr_inodes=30"),
            _ => None,
        };
        if let Some(limit) = limit {
            self.sandbox.sh(&format!("mount -t tmpfs -o {limit} tmpfs /home/{}", account.name));
        }
        chown(&home, Some(account.uid), Some(account.uid)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        if account.fault == Some(Fault::LinkedDestination) {
            let link = home.join("Maildir");
            symlink(Path::new("/home").join(&next.name).join("Maildir"), &link).unwrap();
            lchown(&link, Some(account.uid), Some(account.uid)).unwrap();
        }
        (account.fault == Some(Fault::Locked)).then(|| {
            let file = File::options().read(true).write(true).open(&mbox).unwrap();
            rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            file
        })
    }

    /// Removes the locks of the test.
    pub(super) fn unlock(&mut self) {
        self.locks.clear();
        for account in &mut self.all {
            account.fault = account.fault.filter(|fault| *fault != Fault::Locked);
        }
    }

    /// Returns the names of the accounts for which this holds.
    pub(super) fn names(&self, holds: impl Fn(&Account) -> bool) -> Vec<String> {
        self.all.iter().filter(|account| holds(account)).map(|account| account.name.clone()).collect()
    }

    /// Returns the report: the accounts that are not done, and the summary.
    #[track_caller]
    pub(super) fn report(&self) -> (Vec<Value>, Value) {
        let (results, list) = (format!("{MOVE}/results"), format!("{MOVE}/accounts"));
        let run = run(self.sandbox.command(["mailferry", "report", "--json", &results, "--accounts", &list]));
        let is_done = self.all.iter().all(|account| account.fault.is_none());
        let mut rows = run.exits(i32::from(!is_done)).json();
        let summary = rows.pop().expect("a summary");
        (rows, summary)
    }

    /// Asserts that all mail is there once and unchanged, that it belongs to its users, and that nothing else is.
    #[track_caller]
    pub(super) fn check(&self) {
        for account in &self.all {
            let home = self.home(account);
            let kept = if account.is_converted() || account.fault == Some(Fault::LinkedDestination) {
                vec!["Maildir"]
            } else {
                Vec::new()
            };
            let result = self.sandbox.path(MOVE).join("results").join(format!("{}.json", account.name));
            assert_eq!(names(&home), kept, "{account:?}: {:?}", fs::read_to_string(result));
            if account.is_converted() {
                let maildir = home.join("Maildir");
                let mut got: Vec<_> = messages(&maildir).into_iter().map(|message| message.bytes).collect();
                let mut expected: Vec<_> = account.mail().into_iter().map(String::into_bytes).collect();
                got.sort();
                expected.sort();
                assert!(got == expected, "{} of {account:?}", got.len());
                assert_eq!(names(&maildir.join("tmp")), [""; 0], "{account:?}");
            }
        }
        let others = "for home in /home/u*; do
            user=${home##*/}
            find $home ! \\( -user $user -group $user \\)
        done";
        assert_eq!(self.sandbox.sh(others), "");
        let expected: Vec<String> = self.all.iter().map(|account| format!("{}.json", account.name)).collect();
        assert_eq!(names(&self.sandbox.path(MOVE).join("results")), expected);
    }

    /// Returns how many bytes of messages were found in accounts that failed, of which none is written.
    #[track_caller]
    pub(super) fn failed_bytes(&self) -> u64 {
        let bytes = |account: &Account| {
            let path = self.sandbox.path(MOVE).join("results").join(format!("{}.json", account.name));
            let result: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let summary = &result["summary"];
            assert!(summary["written"].as_u64().is_none_or(|written| written == 0), "{result}");
            summary["bytes_messages"].as_u64().unwrap_or(0)
        };
        self.all.iter().filter(|account| !account.is_converted()).map(bytes).sum()
    }

    /// Returns how many messages and bytes `verify` finds in all Maildirs together.
    #[track_caller]
    pub(super) fn verified(&self) -> [u64; 2] {
        let users = self.names(Account::is_converted).join(" ");
        let script = format!(
            "for user in {users}; do mailferry verify --json /home/$user/Maildir >/srv/out; tail -n 1 /srv/out; done"
        );
        let summaries = self.sandbox.sh(&script);
        let mut sums = [0, 0];
        for line in summaries.lines() {
            let summary: Value = serde_json::from_str(line).unwrap();
            assert_eq!(count(&summary, "kept"), count(&summary, "converted"), "{summary}");
            sums[0] += count(&summary, "messages_found");
            sums[1] += count(&summary, "bytes_source");
        }
        assert_eq!(summaries.lines().count(), self.names(Account::is_converted).len());
        sums
    }
}

fn user_line(account: &Account) -> String {
    let Account { name, uid, .. } = account;
    format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n")
}

fn group_line(account: &Account) -> String {
    format!("{}:x:{}:\n", account.name, account.uid)
}
