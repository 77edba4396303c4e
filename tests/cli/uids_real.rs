//! Migrations as clients see them. Before, mbsync copies an account from Dovecot, and POP3 lists it. Afterwards
//! the same client transfers nothing, and POP3 lists the same.

use std::fs;
use std::path::{Path, PathBuf};

use crate::account::{Account, Home, Listed, pop3_list};
use crate::mbsync::{Client, Sync, have_mbsync};
use crate::peers::{Dovecot, have_dovecot, have_pop3};
use crate::support::*;

/// A conversion, and the location of the mail for Dovecot before and after it.
struct Migration {
    what: &'static str,
    before: &'static str,
    /// The converted path, its destination, and more options.
    from: &'static str,
    to: &'static str,
    options: &'static [&'static str],
    after: &'static str,
}

const MBOXES: &str = "mbox:~/Mail:INBOX=~/Mail/INBOX";

const MIGRATIONS: [Migration; 4] = [
    Migration {
        what: "mbox to Maildir",
        before: MBOXES,
        from: "Mail",
        to: "Maildirs",
        options: &[],
        after: "maildir:~/Maildirs",
    },
    Migration {
        what: "mbox to Maildir with the layout fs",
        before: MBOXES,
        from: "Mail",
        to: "Maildirs",
        options: &["--layout=fs"],
        after: "maildir:~/Maildirs:LAYOUT=fs:INBOX=~/Maildirs/INBOX",
    },
    Migration {
        what: "Maildir to Maildir",
        before: "maildir:~/Mail",
        from: "Mail",
        to: "maildir:Maildirs",
        options: &[],
        after: "maildir:~/Maildirs",
    },
    Migration {
        what: "Maildir to mbox",
        before: "maildir:~/Mail",
        from: "Mail",
        to: "mbox:Mboxes/",
        options: &[],
        after: "mbox:~/Mboxes:INBOX=~/Mboxes/INBOX:UTF-8",
    },
];

/// Folders as IMAP names them, with their UIDVALIDITY: servers give each another.
const FOLDERS: [(&str, u32); 3] =
    [("INBOX", 1_300_000_000), ("Lists/qmail", 1_300_000_007), ("Entw&APw-rfe", 1_100_000_000)];

/// The UIDs that were assigned in each folder, long ago, before there was mail that is still there.
const USED: u32 = 9;

impl Migration {
    /// Creates the account. Dovecot appends, flags and expunges the mail, the last of each folder as well:
    /// UIDs have gaps, and UIDNEXT is not the last UID + 1.
    fn account(&self) -> Home {
        let home = Home::new();
        for (folder, validity) in FOLDERS {
            match self.before.starts_with("mbox") {
                true => {
                    home.put(folder, seed_mbox(validity));
                }
                false => seed_maildir(&home, folder, validity),
            }
        }
        let dovecot = self.server(&home);
        for (n, (folder, _)) in FOLDERS.iter().enumerate() {
            dovecot.answers(&session(folder, 10 * n as u32));
        }
        home
    }

    fn server(&self, home: &Home) -> Dovecot {
        home.serves(self.before).with_slashes()
    }

    fn server_after(&self, home: &Home) -> Dovecot {
        home.serves(self.after).with_slashes()
    }
}

/// Returns a folder whose first message has a UID, as Dovecot and UW-IMAP write it.
fn seed_mbox(validity: u32) -> String {
    format!(
        "From ada@example.org Mon Mar  2 08:00:00 1998\nMessage-ID: <first-{validity}@example.org>\n\
         X-IMAPbase: {validity} {USED:010}\nX-UID: 4\nStatus: RO\n\nfirst\n\n"
    )
}

/// Creates a folder with an empty list of UIDs.
fn seed_maildir(home: &Home, folder: &str, validity: u32) {
    let maildir = match folder {
        "INBOX" => String::new(),
        _ => format!(".{}/", folder.replace('/', ".")),
    };
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(home.path("Mail").join(&maildir).join(directory)).unwrap();
    }
    home.put(&format!("{maildir}maildirfolder"), "");
    let name = format!("888826{:04}.M1P1.example", validity % 1000);
    home.put(
        &format!("{maildir}cur/{name}:2,S"),
        format!("Message-ID: <first-{validity}@example.org>\n\nfirst\n"),
    );
    let guid = format!("{validity:032x}");
    home.put(
        &format!("{maildir}dovecot-uidlist"),
        format!("3 V{validity} N{} G{guid}\n4 :{name}\n", USED + 1),
    );
}

/// Returns a session that appends mail with flags, keywords and dates, and expunges some of it.
fn session(folder: &str, first: u32) -> String {
    const FLAGS: [&str; 7] = [
        "",
        "\\Seen",
        "\\Seen \\Answered Work",
        "\\Flagged $Label1 Work",
        "\\Draft",
        "\\Seen \\Flagged $Forwarded",
        "\\Seen",
    ];
    let append = |(n, flags): (u32, &&str)| {
        let message = message(first + n);
        format!(
            "{n} APPEND \"{folder}\" ({flags}) \"{n:02}-Mar-1998 08:15:{n:02} +0100\" {{{}+}}\r\n{message}\r\n",
            message.len()
        )
    };
    let appends: String = (1..).zip(&FLAGS).map(append).collect();
    // After the seed these are the second and the last.
    let deleted = [2, FLAGS.len() + 1].map(|n| n.to_string()).join(",");
    format!(
        "{appends}8 SELECT \"{folder}\"\r\n9 STORE {deleted} +FLAGS.SILENT (\\Deleted)\r\n10 EXPUNGE\r\n\
         11 STORE 1 +FLAGS.SILENT ($MDNSent)\r\n12 SUBSCRIBE \"{folder}\"\r\n13 CLOSE\r\n14 LOGOUT\r\n"
    )
}

fn message(n: u32) -> String {
    format!(
        "From: ada@example.org\r\nMessage-ID: <{n}@example.org>\r\nSubject: number {n}\r\n\r\ntext {n}\r\n"
    )
}

/// What clients see of an account.
#[derive(Debug)]
struct View {
    account: Account,
    pop3: Vec<Listed>,
}

impl View {
    #[track_caller]
    fn of(dovecot: &Dovecot) -> View {
        let pop3 = pop3_list(dovecot);
        View { account: Account::of(dovecot), pop3 }
    }

    fn messages(&self) -> usize {
        self.account.folders.values().map(Vec::len).sum()
    }
}

fn have_all() -> bool {
    have_dovecot() && have_pop3() && have_mbsync()
}

/// A migration with a client that has synchronized before it.
struct Migrated<'a> {
    client: Client<'a>,
    before: View,
    store: Vec<(PathBuf, u64, i64)>,
}

impl Migration {
    /// Lets the client synchronize, and converts.
    #[track_caller]
    fn run<'a>(&self, home: &'a Home, options: &[&str]) -> Migrated<'a> {
        let client = Client::new(home);
        let server = self.server(home);
        let first = client.syncs(&server);
        let before = View::of(&server);
        let expected = Sync {
            pulled: [before.messages(), 0, 0],
            fetched: first.fetched,
            ..Sync::nothing(FOLDERS.len())
        };
        assert_eq!(Sync { notices: Vec::new(), ..first }, expected, "{}", self.what);
        assert_eq!(client.syncs(&server), Sync::nothing(FOLDERS.len()), "{}", self.what);
        let store = client.store();
        assert_eq!(store.len(), before.messages(), "{}", self.what);
        home.converts(&[self.options, options].concat(), self.from, self.to);
        Migrated { client, before, store }
    }
}

/// What a migration must not change for clients.
#[track_caller]
fn is_not_noticed(migration: &Migration, home: &Home, migrated: &Migrated<'_>) {
    let what = migration.what;
    let server = migration.server_after(home);
    let sync = migrated.client.syncs(&server);
    assert_eq!(sync, Sync::nothing(FOLDERS.len()), "{what}");
    assert_eq!(migrated.client.store(), migrated.store, "{what}");
    let after = View::of(&server);
    assert_eq!(after.account.numbers, migrated.before.account.numbers, "{what}");
    assert_eq!(after.pop3, migrated.before.pop3, "{what}");
    after.account.is(&migrated.before.account, what);
    note!(
        "{what}: {} messages in {} folders, {} UIDLs: mbsync transferred {:?} and {:?}",
        after.messages(),
        sync.folders,
        after.pop3.len(),
        sync.pushed,
        sync.pulled
    );
}

/// Asserts that all UIDs are new, for IMAP and POP3, and that mbsync refuses to go on.
#[track_caller]
fn is_noticed(migration: &Migration, home: &Home, migrated: &Migrated<'_>) {
    let what = migration.what;
    let server = migration.server_after(home);
    let after = View::of(&server);
    for (folder, before) in &migrated.before.account.numbers {
        let after = &after.account.numbers[folder];
        assert!(after.validity != before.validity && after.next != before.next, "{what}: {folder:?}");
        assert_eq!(after.messages.len(), before.messages.len(), "{what}: {folder:?}");
    }
    let known = |listed: &&Listed| migrated.before.pop3.iter().any(|before| before.uidl == listed.uidl);
    assert_eq!(after.pop3.iter().filter(known).count(), 0, "{what}");
    assert_eq!(after.pop3.len(), migrated.before.pop3.len(), "{what}");
    let sync = migrated.client.syncs(&server);
    let notices = sync.notices.join("\n");
    assert!(sync.code == Some(1) && notices.contains("UIDVALIDITY genuinely changed"), "{what}: {sync:?}");
}

/// Writes a list by hand into each folder of a Maildir.
fn write_lists(maildir: &Path, account: &Account) {
    for (levels, numbers) in &account.numbers {
        let folder = match levels.join(".").as_str() {
            "INBOX" => maildir.to_owned(),
            name => maildir.join(format!(".{name}")),
        };
        let files = messages(&folder);
        let mut list =
            format!("3 V{} N{} G0123456789abcdef0123456789abcdef\n", numbers.validity, numbers.next);
        for (uid, id) in &numbers.messages {
            let file =
                files.iter().find(|file| file.field("Message-ID").as_ref() == Some(id)).expect("its file");
            list += &format!("{uid} :{}\n", file.base());
        }
        fs::write(folder.join("dovecot-uidlist"), list).unwrap();
    }
}

/// Removes all lists, as if the conversion had written none.
fn remove_lists(root: &Path) {
    for path in tree(root).into_keys().filter(|path| path.ends_with("dovecot-uidlist")) {
        fs::remove_file(root.join(path)).unwrap();
    }
}

/// Without the lists clients notice the conversion, and with lists written by hand they do not: the checks of
/// this file can fail, and can pass.
#[test]
fn clients_notice_a_migration_only_without_the_uid_lists() {
    if !have_all() {
        return;
    }
    let (home, without) = (MIGRATIONS[0].account(), MIGRATIONS[0].account());
    let migrated = MIGRATIONS[0].run(&home, &[]);
    write_lists(&home.path("Maildirs"), &migrated.before.account);
    is_not_noticed(&MIGRATIONS[0], &home, &migrated);
    let migrated = MIGRATIONS[0].run(&without, &[]);
    remove_lists(&without.path("Maildirs"));
    is_noticed(&MIGRATIONS[0], &without, &migrated);
}
