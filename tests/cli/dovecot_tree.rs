//! A whole account as Dovecot shows it: as mboxes, as the Maildirs they become, and as mboxes again. Folders,
//! subscriptions, flags, keywords, received dates and messages are the same each time.

use std::fs;

use crate::account::{Account, Home};
use crate::peers::have_dovecot;

/// Returns a message with this number, date and fields. DATE gets a different second in each message, as in
/// real mail.
fn message(n: usize, date: &str, fields: &str) -> String {
    let date = if date == DATE { &DATE.replace(":00 ", &format!(":{:02} ", n % 60)) } else { date };
    format!(
        "From ada@example.org {date}\nFrom: ada@example.org\nSubject: number {n:03}\n{fields}\ntext {n}\n\n"
    )
}

const DATE: &str = "Mon Mar  2 08:15:00 1998";

/// Returns all combinations of Status and X-Status.
fn all_flags() -> String {
    let subsets = (0..16).map(|set: usize| {
        "AFTD"
            .chars()
            .enumerate()
            .filter(|(bit, _)| set & (1 << bit) != 0)
            .map(|(_, c)| c)
            .collect::<String>()
    });
    let both = subsets.flat_map(|x_status| ["", "O", "R", "RO"].map(|status| (status, x_status.clone())));
    let field = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!("{name}: {value}\n"),
    };
    let fields = both.map(|(status, x_status)| field("Status", status) + &field("X-Status", &x_status));
    fields.enumerate().map(|(n, fields)| message(n, DATE, &fields)).collect()
}

/// Returns From_ lines with the dates that Dovecot can read. It ignores a zone that is only a name or comes
/// before the year, and of one like +0530 it takes the 30 for seconds.
fn dates() -> String {
    let dates = [
        "Mon Mar  2 08:15:00 1998",
        "Mon Mar  2 08:15:00 1998 +0100",
        "Mon Mar  2 08:15:00 1998 -0500",
        "Sun Feb 29 23:59:59 2004 -0800",
        "Thu Feb 29 12:00 1996",
        "Thu Dec 31 23:59:59 1998",
    ];
    dates.iter().enumerate().map(|(n, date)| message(n, date, "Status: RO\n")).collect()
}

/// Returns keywords as Dovecot stores them in an mbox: those of the folder are in its first message.
fn keywords() -> String {
    let all = "X-IMAPbase: 1300000000 0000000004 $Label1 Work NonJunk $Forwarded\nX-UID: 1\nX-Keywords: $Label1 Work\n";
    let more = [
        "X-UID: 2\nStatus: RO\nX-Keywords: NonJunk\n",
        "X-UID: 3\nStatus: O\nX-Status: F\nX-Keywords: $Forwarded $Label1 Work NonJunk\n",
        "X-UID: 4\nStatus: RO\n",
    ];
    [all].iter().chain(&more).enumerate().map(|(n, fields)| message(n, DATE, fields)).collect()
}

/// Creates an account as Dovecot stores it in mboxes, with everything that one can have.
fn account() -> Home {
    let home = Home::new();
    home.put("INBOX", all_flags())
        .put("Entw&APw-rfe", dates())
        .put("Lists/qmail", message(1, DATE, "") + &message(2, DATE, "Status: RO\n"))
        .put("Lists/&ZeVnLIqe-/deep", message(3, DATE, ""))
        .put("R&-D", message(4, DATE, ""))
        .put("Keywords", keywords())
        .put("50% of it", message(5, DATE, ""))
        .put("empty", "")
        .put(".subscriptions", "INBOX\nEntw&APw-rfe\nLists/qmail\nLists/&ZeVnLIqe-/deep\n50% of it\n");
    home
}

/// Mail locations for Dovecot. In the layout fs INBOX is a folder like the others, but by default Dovecot
/// takes the root for INBOX.
const MBOXES: &str = "mbox:~/Copy:INBOX=~/Copy/INBOX";
const MAILDIRS: [(&str, &str); 2] =
    [("maildir++", "maildir:~/Maildirs"), ("fs", "maildir:~/Maildirs:LAYOUT=fs:INBOX=~/Maildirs/INBOX")];
/// mailferry writes folder names of mboxes as UTF-8, as mutt and other programs that read files expect.
const BACK: &str = "mbox:~/Back:INBOX=~/Back/INBOX:UTF-8";

#[test]
fn dovecot_shows_the_same_account_in_mboxes_and_maildirs() {
    if !have_dovecot() {
        return;
    }
    for (layout, location) in MAILDIRS {
        // Unchanged, and after Dovecot has added its fields and UIDs to all messages.
        for source in ["Mail", "Copy"] {
            let what = format!("{source} in {layout}");
            let home = account();
            home.copy("Copy");
            let was = home.shows(MBOXES);
            let keywords = was.folders[&vec!["Keywords".to_owned()]].iter().map(|mail| mail.flags.len());
            assert_eq!(keywords.collect::<Vec<_>>(), [2, 2, 5, 1]);
            assert_eq!(
                was.folders.values().map(Vec::len).collect::<Vec<_>>(),
                [1, 6, 64, 4, 1, 2, 1, 0],
                "{was:#?}"
            );
            home.converts(&["--layout", layout], source, "Maildirs");
            home.shows(location).is(&was, &what);
            home.converts(&[], "Maildirs", "mbox:Back/");
            home.shows(BACK).is(&was, &format!("{what} and back"));
        }
    }
}

/// Without its plugin listescape Dovecot shows the names on the disk, and with it the original names.
#[test]
fn names_are_escaped_as_dovecot_escapes_them() {
    if !have_dovecot() {
        return;
    }
    let home = Home::new();
    let names = ["INBOX", "v1.2", "Lists/v2.0", "a\\b", "~peter", ".hidden", "tab\there"];
    for (n, name) in names.iter().enumerate() {
        home.put(name, message(n, DATE, ""));
    }
    home.put(".subscriptions", "v1.2\nLists/v2.0\n~peter\n");
    let escaped = |layout: &str| match layout {
        "fs" => ["INBOX", "Lists|v2.0", r"\2ehidden", r"\7epeter", r"a\5cb", r"tab\09here", "v1.2"],
        _ => ["INBOX", r"Lists|v2\2e0", r"\2ehidden", r"\7epeter", r"a\5cb", r"tab\09here", r"v1\2e2"],
    };
    for (layout, location) in MAILDIRS {
        home.converts(&["--layout", layout], "Mail", "Maildirs");
        let shown = home.shows(location);
        assert_eq!(shown.names(), escaped(layout));
        assert!(shown.folders.values().all(|mail| mail.len() == 1), "{shown:#?}");
        let subscribed: Vec<String> = shown.subscribed.iter().map(|levels| levels.join("|")).collect();
        assert!(
            subscribed.len() == 3 && subscribed.iter().all(|name| shown.names().contains(name)),
            "{subscribed:?}"
        );

        // Dovecot lists names with control characters correctly but cannot open them. In the layout fs the
        // same holds for names that begin with a dot.
        let hidden = match layout {
            "fs" => ["tab\\09here", "\\2ehidden"].as_slice(),
            _ => &[".tab\\09here"],
        };
        for directory in hidden {
            fs::remove_dir_all(home.path("Maildirs").join(directory)).unwrap();
        }
        let unescaped = home.shows_unescaped(location);
        let expected = [".hidden", "INBOX", "Lists|v2.0", r"a\b", "v1.2", "~peter"];
        assert_eq!(unescaped.names(), expected[usize::from(layout == "fs")..], "{layout}");
        assert!(unescaped.folders.values().all(|mail| mail.len() == 1), "{unescaped:#?}");
        let subscribed: Vec<String> = unescaped.subscribed.iter().map(|levels| levels.join("|")).collect();
        assert_eq!(subscribed, ["Lists|v2.0", "v1.2", "~peter"], "{layout}");
        fs::remove_dir_all(home.path("Maildirs")).unwrap();
    }
}

/// By default Dovecot takes the root for INBOX in its layout fs, and ignores the folder of that name.
#[test]
fn in_the_layout_fs_dovecot_needs_the_path_of_inbox() {
    if !have_dovecot() {
        return;
    }
    let home = Home::new();
    home.put("INBOX", message(1, DATE, "")).put("other", message(2, DATE, ""));
    home.converts(&["--layout", "fs"], "Mail", "Maildirs");
    let mail =
        |account: Account| account.folders.iter().map(|(f, m)| (f.join("|"), m.len())).collect::<Vec<_>>();
    let location = "maildir:~/Maildirs:LAYOUT=fs:INBOX=~/Maildirs/INBOX";
    assert_eq!(mail(home.shows(location)), [("INBOX".to_owned(), 1), ("other".to_owned(), 1)]);
    assert_eq!(
        mail(home.shows("maildir:~/Maildirs:LAYOUT=fs")),
        [("INBOX".to_owned(), 0), ("other".to_owned(), 1)]
    );
    // Dovecot has then created a Maildir in the root. No converted mail is lost.
    assert_eq!(mail(home.shows(location)), [("INBOX".to_owned(), 1), ("other".to_owned(), 1)]);
}
