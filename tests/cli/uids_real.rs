//! Migrations as clients see them. Before, mbsync copies an account from Dovecot, and POP3 lists it. Afterwards
//! the same client transfers nothing, and POP3 lists the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::account::{Account, Home, Listed, Numbers, pop3_list};
use crate::mbsync::{Client, Sync, have_mbsync};
use crate::peers::{Dovecot, have_dovecot, have_pop3};
use crate::strace::{ANYWHERE, Call, Fault, Point, Stopped, points};
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
        assert_eq!((before.messages(), before.pop3.len()), (18, 6), "{}", self.what);
        assert!(first.fetched[1] >= before.messages(), "{}: {first:?}", self.what);
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

/// Removes all lists, as if the conversion had written none.
fn remove_lists(root: &Path) {
    for path in tree(root).into_keys().filter(|path| path.ends_with("dovecot-uidlist")) {
        fs::remove_file(root.join(path)).unwrap();
    }
}

#[test]
fn clients_do_not_notice_a_migration() {
    if !have_all() {
        return;
    }
    for migration in &MIGRATIONS {
        let home = migration.account();
        let migrated = migration.run(&home, &["--uids=require"]);
        is_not_noticed(migration, &home, &migrated);
    }
}

/// The checks of this file can fail.
#[test]
fn clients_notice_a_migration_with_new_uids() {
    if !have_all() {
        return;
    }
    for migration in &MIGRATIONS {
        let home = migration.account();
        let migrated = migration.run(&home, &["--uids=new"]);
        is_noticed(migration, &home, &migrated);
    }
}

/// Without the lists clients notice the conversion: they are what keeps the UIDs, and not the names of the files.
#[test]
fn clients_notice_a_migration_without_the_uid_lists() {
    if !have_all() {
        return;
    }
    let home = MIGRATIONS[0].account();
    let migrated = MIGRATIONS[0].run(&home, &[]);
    remove_lists(&home.path("Maildirs"));
    is_noticed(&MIGRATIONS[0], &home, &migrated);
}

/// Returns the migrations in which a source that grows is converted into the same destination again.
fn into_maildirs() -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter().filter(|migration| migration.after.starts_with("maildir"))
}

impl Migration {
    /// Appends messages to a folder of the source, as clients do.
    #[track_caller]
    fn grow(&self, home: &Home, folder: &str, numbers: std::ops::Range<u32>) {
        let append = |(n, message): (usize, String)| {
            format!(
                "{n} APPEND \"{folder}\" (\\Seen) \"01-Apr-1998 08:15:{n:02} +0000\" {{{}+}}\r\n{message}\r\n",
                message.len()
            )
        };
        let n = numbers.len();
        let appends: String = (1..).zip(numbers.map(message)).map(append).collect();
        // Dovecot writes the UIDs into an mbox when it closes the folder.
        self.server(home).answers(&format!(
            "{appends}{} SELECT \"{folder}\"\r\n{} CLOSE\r\n{} LOGOUT\r\n",
            n + 1,
            n + 2,
            n + 3
        ));
    }

    /// Returns the list of the INBOX in the destination.
    fn list(&self, home: &Home) -> Vec<u8> {
        let inbox = if self.after.contains("LAYOUT=fs") { "INBOX/" } else { "" };
        fs::read(home.path("Maildirs").join(inbox).join("dovecot-uidlist")).unwrap()
    }
}

/// Asserts that no message is there twice, and that the known ones have the UIDs they had.
#[track_caller]
fn extends(after: &Numbers, before: &Numbers, new: &[String]) {
    let known = |(uid, _): &(&u32, &String)| before.messages.contains_key(uid);
    let (known, added): (Vec<_>, Vec<_>) = after.messages.iter().partition(known);
    assert_eq!((after.validity, known), (before.validity, before.messages.iter().collect()));
    assert!(added.iter().all(|(uid, _)| (before.next..after.next).contains(uid)), "{added:?}");
    let mut added: Vec<&String> = added.into_iter().map(|(_, id)| id).collect();
    added.sort();
    assert_eq!(added, new.iter().collect::<Vec<_>>());
}

fn ids(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("<{n}@example.org>")).collect()
}

#[test]
fn a_source_that_grows_gives_its_new_messages_their_uids() {
    if !have_all() {
        return;
    }
    for migration in into_maildirs() {
        let what = migration.what;
        let home = migration.account();
        let migrated = migration.run(&home, &[]);
        // A client that only reads does not change a list.
        let list = migration.list(&home);
        let server = migration.server_after(&home);
        assert_eq!(migrated.client.syncs(&server), Sync::nothing(FOLDERS.len()), "{what}");
        assert_eq!(migration.list(&home), list, "{what}");

        migration.grow(&home, "INBOX", 100..104);
        migration.grow(&home, "Lists/qmail", 104..105);
        let run =
            home.converts(&[migration.options, &["--uids=require"]].concat(), migration.from, migration.to);
        assert_eq!(count(&run.summary(), "written"), 5, "{what}");
        let expected = Account::of(&migration.server(&home));
        let server = migration.server_after(&home);
        let sync = migrated.client.syncs(&server);
        assert_eq!((sync.code, sync.pulled, sync.pushed), (Some(0), [5, 0, 0], [0; 3]), "{what}: {sync:?}");
        let after = Account::of(&server);
        assert_eq!(after.numbers, expected.numbers, "{what}");
        after.is(&expected, what);
        note!("{what}: of a source that grew by 5 messages mbsync transferred {:?}", sync.pulled);
    }
}

/// Returns a message in an mbox, with its UID.
fn numbered_mail(uid: u32, id: u32, year: u32) -> String {
    let base = if matches!(uid, 2 | 5) { "X-IMAPbase: 1300000000 0000000009\n" } else { "" };
    format!(
        "From ada@example.org Mon Mar  2 08:00:00 {year}\n{base}X-UID: {uid}\nMessage-ID: <{id}@example.org>\n\n\
         text {id}\n\n"
    )
}

/// A UID below the UIDNEXT that clients have seen belongs to a message that is gone: Dovecot hides another message that
/// appears with it, and clients do not ask for it.
#[test]
fn clients_get_the_messages_of_a_second_mailbox_or_selection() {
    if !have_all() {
        return;
    }
    for format in ["dovecot", "both"] {
        for options in [&[][..], &["--since=2005-01-01"]] {
            let what = format!("{format} {options:?}");
            let home = Home::new();
            // UW-IMAP gives two mailboxes the same validity if it makes them in one second.
            let first = numbered_mail(2, 20, 2008) + &numbered_mail(4, 40, 2008);
            let second = numbered_mail(5, 30, 1998) + &numbered_mail(7, 70, 1998);
            home.put("inbox", &first);
            let format = format!("--uid-format={format}");
            if !options.is_empty() {
                home.put("inbox", first + &second);
            }
            home.converts(&[&[&*format], options].concat(), "Mail/inbox", "Maildirs");
            let client = Client::new(&home);
            let server = home.serves("maildir:~/Maildirs");
            assert_eq!(client.syncs(&server).pulled, [2, 0, 0], "{what}");
            let source = if options.is_empty() { "second" } else { "inbox" };
            if options.is_empty() {
                home.put(source, second);
            }
            let run = home.converts(&[&format], &format!("Mail/{source}"), "Maildirs");
            assert!(run.complaints().contains(&"uids-not-kept".to_owned()), "{what}: {:?}", run.findings());
            let sync = client.syncs(&server);
            assert_eq!(
                (sync.code, sync.pulled, sync.pushed),
                (Some(0), [2, 0, 0], [0; 3]),
                "{what}: {sync:?}"
            );
            let ids =
                [(2, 20), (4, 40), (10, 30), (11, 70)].map(|(uid, id)| (uid, format!("<{id}@example.org>")));
            let expected = Numbers { validity: 1_300_000_000, next: 12, messages: ids.into() };
            assert_eq!(Numbers::of(&server, "INBOX"), expected, "{what}");
        }
    }
}

#[test]
fn no_uid_is_used_twice_when_dovecot_delivers_between_runs() {
    if !have_all() {
        return;
    }
    for migration in into_maildirs() {
        let what = migration.what;
        let home = migration.account();
        let migrated = migration.run(&home, &[]);
        let server = migration.server_after(&home);
        server.delivers("INBOX", &message(900));
        let before = Numbers::of(&server, "INBOX");
        let list = migration.list(&home);
        migration.grow(&home, "INBOX", 100..103);
        let run = home.converts(migration.options, migration.from, migration.to);
        assert_eq!(count(&run.summary(), "written"), 3, "{what}");
        assert_eq!(run.complaints(), ["uids-not-kept"], "{what}");
        assert_eq!(migration.list(&home), list, "{what}");
        let server = migration.server_after(&home);
        let after = Numbers::of(&server, "INBOX");
        extends(&after, &before, &ids(100..103));
        let sync = migrated.client.syncs(&server);
        assert_eq!((sync.code, sync.pulled, sync.pushed), (Some(0), [4, 0, 0], [0; 3]), "{what}: {sync:?}");

        // Nothing may be written where UIDs must be kept.
        migration.grow(&home, "INBOX", 103..104);
        let states = tree(&home.path("Maildirs"));
        let options = [migration.options, &["--uids=require"]].concat();
        home.try_convert(&options, migration.from, migration.to).exits(1);
        assert!(tree(&home.path("Maildirs")) == states, "{what}");
        note!("{what}: of 3 messages after a delivery mbsync transferred {:?}", sync.pulled);
    }
}

/// A home whose account was converted and has grown.
fn grown(migration: &Migration) -> Home {
    let home = migration.account();
    home.converts(migration.options, migration.from, migration.to);
    migration.grow(&home, "INBOX", 100..103);
    home
}

/// Returns the system calls at the destination of a conversion of what has grown.
fn calls_of_growth(migration: &Migration) -> Vec<Point> {
    let home = grown(migration);
    let log = home.path("log");
    let strace = ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap(), BINARY];
    let command = wrapped("exec \"$@\"", strace, migration.arguments(&home));
    run(command).exits(0);
    let log = fs::read_to_string(log).unwrap();
    let destination = home.path("Maildirs").canonicalize().unwrap();
    let calls = log.lines().filter_map(|line| Call::parse(line, &destination));
    points(&calls.filter(|call| call.is_at_destination() && !call.is_check).collect::<Vec<_>>())
}

impl Migration {
    fn arguments(&self, home: &Home) -> Vec<String> {
        let (prefix, to) = self.to.split_once(':').unwrap_or(("", self.to));
        let (from, to) = (home.path(self.from), home.path(to));
        let to =
            if prefix.is_empty() { to.display().to_string() } else { format!("{prefix}:{}", to.display()) };
        let options = ["convert", "--json", "-j1"].into_iter().chain(self.options.iter().copied());
        options.map(str::to_owned).chain([from.display().to_string(), to]).collect()
    }
}

/// Asserts that each of the messages of a grown INBOX and the delivered one is there once, and that the UIDs are those
/// of the source, or that the run has reported others. Returns whether they are those of the source.
#[track_caller]
fn has_each_once(migration: &Migration, home: &Home, server: &Dovecot, run: &Run, what: &str) -> bool {
    let after = Numbers::of(server, "INBOX");
    let distinct: BTreeSet<&String> = after.messages.values().collect();
    assert_eq!((distinct.len(), after.messages.len()), (6 + 3 + 1, 6 + 3 + 1), "{what}: {after:?}");
    assert_eq!(after.validity, FOLDERS[0].1, "{what}");
    let source = Numbers::of(&migration.server(home), "INBOX");
    let same = source.messages.iter().filter(|(uid, id)| after.messages.get(uid) == Some(*id)).count();
    let is_reported = run.complaints().contains(&"uids-not-kept".to_owned());
    assert!(same == 6 + 3 || (same >= 6 && is_reported), "{what}: {same} of 9 keep their UIDs, {after:?}");
    same == 6 + 3
}

#[test]
fn no_uid_is_used_twice_when_dovecot_delivers_during_a_run() {
    if !have_all() || !have_strace() {
        return;
    }
    let migration = &MIGRATIONS[0];
    let points = calls_of_growth(migration);
    let step = samples(points.len() / 6, points.len() / 40, 1).max(1);
    let (mut kept, mut tried) = (0, 0);
    for Point { call, operand, nth, .. } in points.iter().step_by(step) {
        let what = format!("a delivery after {call} {nth} of {operand}");
        let home = grown(migration);
        let server = migration.server_after(&home);
        let maildir = home.path("Maildirs").canonicalize().unwrap();
        let path = operand.replace(ANYWHERE, maildir.to_str().unwrap());
        let fault = format!("{call}:when={nth}");
        let stopped = Stopped::after(&fault, Some(Path::new(&path)), migration.arguments(&home), b"");
        let delivery = server.delivery("INBOX");
        // Dovecot waits while the run has the list locked.
        let run = std::thread::scope(|scope| {
            let delivery = scope.spawn(|| run_with_stdin(delivery, message(900)).exits(0));
            let lock = maildir.join("dovecot-uidlist.lock");
            wait_for("the delivery", || delivery.is_finished() || lock.exists());
            stopped.resume()
        });
        let run = run.exits(0);
        assert_eq!(count(&run.summary(), "written"), 3, "{what}");
        kept += usize::from(has_each_once(migration, &home, &server, &run, &what));
        tried += 1;
    }
    assert!(tried > 2 && kept > 0, "{kept} of {tried}");
    note!(
        "{tried} deliveries during a run: {kept} times all UIDs were kept, and otherwise this was reported"
    );
}

#[test]
fn no_uid_is_used_twice_when_dovecot_opens_what_a_kill_left() {
    if !have_all() || !have_strace() {
        return;
    }
    let migration = &MIGRATIONS[0];
    let points = calls_of_growth(migration);
    let step = samples(points.len() / 6, points.len() / 40, 1).max(1);
    let (mut kept, mut tried) = (0, 0);
    for Point { call, operand, nth, .. } in points.iter().skip(step / 2).step_by(step) {
        let what = format!("a kill at {call} {nth} of {operand}");
        let home = grown(migration);
        let maildir = home.path("Maildirs").canonicalize().unwrap();
        let path = operand.replace(ANYWHERE, maildir.to_str().unwrap());
        let inject = Fault::Kill.injected(call, *nth);
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject, "-P", &path, BINARY];
        let killed = run(wrapped("exec \"$@\"", strace, migration.arguments(&home)));
        assert_eq!(killed.code, None, "{what}");
        // Dovecot takes the lock over after two minutes.
        let _ = fs::remove_file(maildir.join("dovecot-uidlist.lock"));
        // The account has one configuration at a time: that of the source or of the destination.
        let server_after = || migration.server_after(&home).after_a_kill();
        server_after().delivers("INBOX", &message(900));
        let before = Numbers::of(&server_after(), "INBOX");
        let run = home.converts(migration.options, migration.from, migration.to);
        kept += usize::from(has_each_once(migration, &home, &server_after(), &run, &what));
        let after = Numbers::of(&server_after(), "INBOX");
        let is_lost = |(uid, id): &(&u32, &String)| after.messages.get(uid) != Some(*id);
        assert_eq!(before.messages.iter().find(is_lost), None, "{what}: {after:?}");
        tried += 1;
    }
    assert!(tried > 2);
    note!(
        "{tried} kills before a delivery: {kept} times all UIDs were kept, and otherwise this was reported"
    );
}

/// A store whose server reported UIDs, and how it is converted.
struct Store {
    name: &'static str,
    /// The converted path of the store; that of a file becomes the INBOX.
    from: &'static str,
    to: &'static str,
    location: &'static str,
    settings: &'static str,
}

const fn to_maildirs(name: &'static str, from: &'static str, settings: &'static str) -> Store {
    Store { name, from, to: "maildir:To", location: "maildir:~/To", settings }
}

const fn to_mboxes(name: &'static str) -> Store {
    Store { name, from: "", to: "mbox:To/", location: "mbox:~/To:INBOX=~/To/INBOX:UTF-8", settings: "" }
}

const COMPRESSED: &str = "mail_plugins = listescape zlib\n";
const UW_UIDLS: &str = "pop3_uidl_format = %08Xv%08Xu\n";

/// The stores in ../shared/stores. An mbox cannot hold the UIDLs that are not made of UIDs.
const STORES: [Store; 19] = [
    to_maildirs("courier-maildir", "", ""),
    to_maildirs("dovecot-from-courier", "", ""),
    to_maildirs("dovecot-maildir", "", ""),
    to_maildirs("dovecot-maildir-bz2", "", COMPRESSED),
    to_maildirs("dovecot-maildir-fs", "", ""),
    to_maildirs("dovecot-maildir-gz", "", COMPRESSED),
    to_maildirs("dovecot-maildir-mixed", "", COMPRESSED),
    to_maildirs("dovecot-maildir-popuidl", "", ""),
    to_maildirs("dovecot-maildir-zstd", "", COMPRESSED),
    to_maildirs("dovecot-mbox", "", ""),
    to_maildirs("dovecot-uidlist-behind", "", ""),
    to_maildirs("dovecot-uidlist-fields", "", ""),
    to_maildirs("uw-mbox", "inbox2", UW_UIDLS),
    to_maildirs("uw-mbox", "lists", UW_UIDLS),
    to_maildirs("uw-mmdf", "inbox2", UW_UIDLS),
    to_maildirs("uw-mmdf", "lists", UW_UIDLS),
    to_mboxes("dovecot-maildir"),
    to_mboxes("dovecot-maildir-fs"),
    to_mboxes("dovecot-maildir-gz"),
];

impl Store {
    /// Returns the folders and the POP3 list that the server reported.
    fn expected(&self, store: &Path) -> (BTreeMap<String, Numbers>, Vec<Listed>) {
        let report: Value = serde_json::from_slice(&fs::read(store.join("expected.json")).unwrap()).unwrap();
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let number = |value: &Value, key: &str| u32::try_from(count(value, key)).unwrap();
        let of_folder =
            |folder: &&Value| folder["uidvalidity"].is_u64() && text(folder, "name").contains(self.from);
        let (mut folders, mut pop3) = (BTreeMap::new(), Vec::new());
        for folder in report["folders"].as_array().unwrap().iter().filter(of_folder) {
            let name = text(folder, "imap_name");
            // Courier's names begin with the INBOX, and its separator is a dot.
            let name = name.strip_prefix("INBOX.").map(|name| name.replace('.', "/")).unwrap_or(name);
            let name = if self.from.is_empty() { name } else { "INBOX".to_owned() };
            let messages = folder["messages"].as_array().unwrap();
            // The UIDVALIDITY of an empty mbox is only in the index files.
            if messages.is_empty() && (self.name == "dovecot-mbox" || self.location.starts_with("mbox")) {
                continue;
            }
            for message in messages.iter().filter(|message| message["uidl_uw_ipop3d"].is_string()) {
                let uidl = text(message, "uidl_uw_ipop3d");
                pop3.push(Listed { uidl, message_id: text(message, "message_id") });
            }
            let messages =
                messages.iter().map(|message| (number(message, "uid"), text(message, "message_id")));
            let numbers = Numbers {
                validity: number(folder, "uidvalidity"),
                next: number(folder, "uidnext"),
                messages: messages.collect(),
            };
            folders.insert(name, numbers);
        }
        let listed = report["pop3_inbox"].as_array().into_iter().flatten();
        pop3.extend(listed.map(|m| Listed { uidl: text(m, "uidl"), message_id: text(m, "message_id") }));
        (folders, pop3)
    }
}

/// Other servers list messages for POP3 in another order than Dovecot.
fn by_message(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.sort_by(|a, b| a.message_id.cmp(&b.message_id));
    listed
}

#[test]
fn dovecot_shows_the_uids_that_the_server_of_a_store_reported() {
    let Some(stores) = shared("stores") else { return };
    if !have_dovecot() || !have_pop3() {
        return;
    }
    let (mut messages, mut uidls) = (0, 0);
    for store in &STORES {
        let what = format!("{} {} to {}", store.name, store.from, store.to);
        let home = Home::new();
        let Ok(archive) = fs::File::open(stores.join(store.name).join("store.tar.zst")) else {
            skip!("../shared/stores/{} is not here", store.name);
        };
        tar::Archive::new(zstd::Decoder::new(archive).unwrap()).unpack(home.root()).unwrap();
        let from = Path::new("store").join(store.from);
        let run = home.converts(&[], from.to_str().unwrap(), store.to);
        assert!(!run.complaints().contains(&"uids-not-kept".to_owned()), "{what}: {:?}", run.findings());
        let server = home.serves(store.location);
        let server = match store.location.starts_with("mbox") {
            true => server.with_slashes(),
            false => server.with_listescape(),
        };
        let server = server.with(store.settings);
        let (folders, pop3) = store.expected(&stores.join(store.name));
        let listed = pop3_list(&server);
        let account = Account::of(&server);
        assert!(!folders.is_empty(), "{what}");
        for (name, expected) in &folders {
            let levels: Vec<String> = name.split('/').map(str::to_owned).collect();
            assert_eq!(account.numbers.get(&levels), Some(expected), "{what}: {name}");
            messages += expected.messages.len();
        }
        uidls += pop3.len();
        assert_eq!(by_message(listed), by_message(pop3), "{what}");
    }
    note!("{} stores, {messages} messages and {uidls} UIDLs as their servers reported", STORES.len());
}
