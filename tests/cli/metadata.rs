//! Metadata of messages: flags, keywords, labels, deletion. All of it arrives in the names of a Maildir and
//! the fields of an mbox, and none is invented.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde_json::Value;

use crate::peers::{Dovecot, have_dovecot};
use crate::support::*;

/// Returns an mbox of messages with these fields, `number 0` and so on.
fn mbox(fields: &[&str]) -> String {
    (0..).zip(fields).map(|(n, fields)| mail_with(n, fields) + "\n").collect()
}

/// Returns the keywords of `dovecot-keywords` by letter.
fn names(maildir: &Path) -> BTreeMap<char, String> {
    let text = fs::read_to_string(maildir.join("dovecot-keywords")).unwrap_or_default();
    let line = |line: &str| {
        let (number, name) = line.split_once(' ').expect("a number and a name");
        (char::from(b'a' + number.parse::<u8>().unwrap()), name.to_owned())
    };
    text.lines().map(line).collect()
}

/// Returns flags and keywords of every message, by its subject.
fn metadata_of(maildir: &Path) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let names = names(maildir);
    let message = |message: Message| {
        let letters = message.flags.clone().unwrap_or_default();
        let (flags, keywords): (String, String) = letters.chars().partition(char::is_ascii_uppercase);
        let sorted: BTreeSet<char> = letters.chars().collect();
        assert_eq!(letters, sorted.iter().collect::<String>(), "in ASCII order, each once");
        (message.subject(), (flags, keywords.chars().map(|letter| names[&letter].clone()).collect()))
    };
    messages(maildir).into_iter().map(message).collect()
}

#[track_caller]
fn has_metadata(maildir: &Path, n: u32, flags: &str, keywords: &[&str]) {
    let metadata_of = &metadata_of(maildir)[&format!("number {n}")];
    let keywords = keywords.iter().map(|&keyword| keyword.to_owned()).collect();
    assert_eq!(metadata_of, &(flags.to_owned(), keywords), "number {n}");
}

fn verify(args: &[&OsStr]) -> Run {
    let mut command = mailferry(["verify", "--json"]);
    command.args(args);
    run(command)
}

/// Asserts that verify finds no damage in the Maildir, no difference from its manifest, and none from the
/// source in flags, keywords and dates.
#[track_caller]
fn verifies(setup: &Setup, source: &Path) {
    let maildir = setup.maildir();
    let run = verify(&[maildir.as_os_str()]).exits(0);
    assert_eq!(run.complaints(), [""; 0], "{}", run.text());
    assert!(!run.findings().iter().any(|f| f["code"] == "message-reflagged"), "{}", run.text());
    let args = ["--against".as_ref(), source.as_os_str(), "--metadata".as_ref(), "--lock=none".as_ref()];
    let run = verify(&[&args[..], &[maildir.as_os_str()]].concat()).exits(0);
    assert!(run.complaints().iter().all(|code| code == "fields-differ"), "{}", run.text());
}

fn code<'a>(findings: &'a [Value], code: &str) -> Vec<&'a str> {
    let found = findings.iter().filter(|f| f["code"] == code);
    found.map(|f| f["message"].as_str().unwrap()).collect()
}

#[test]
fn keywords_of_every_mail_program_become_letters() {
    let setup = Setup::new();
    let source = setup.file(
        "inbox",
        mbox(&[
            "Status: RO\nX-Keywords: Work NonJunk                \n",
            "X-Mozilla-Status: 0001\nX-Mozilla-Keys: $label1 work      \n",
            "X-Evolution: 00000007-0491\n",
            "X-Gmail-Labels: =?UTF-8?Q?Inbox,Unread,\"Work,_urgent\",Caf=C3=A9?=\n",
            "X-Keywords:       \n",
            "X-IMAPbase: 1 2 Never\nStatus: O\n",
        ]),
    );
    let run = setup.try_convert(&[], &[&source]).exits(0);
    let maildir = setup.maildir();
    has_metadata(&maildir, 0, "S", &["Work", "NonJunk"]);
    has_metadata(&maildir, 1, "S", &["$label1", "Work"]);
    has_metadata(&maildir, 2, "PRS", &["$Junk"]);
    has_metadata(&maildir, 3, "", &["Work,_urgent", "Caf&AOk-"]);
    has_metadata(&maildir, 4, "", &[]);
    has_metadata(&maildir, 5, "", &[]);
    let expected = "0 Work\n1 NonJunk\n2 $label1\n3 $Junk\n4 Work,_urgent\n5 Caf&AOk-\n";
    assert_eq!(fs::read_to_string(maildir.join("dovecot-keywords")).unwrap(), expected);
    assert_eq!((setup.message(0).flags, setup.message(3).subdir), (Some("Sab".into()), "cur"));
    let renamed = run.findings();
    assert_eq!(code(&renamed, "keyword-renamed").len(), 2, "{renamed:?}");
    let manifest = fs::read_to_string(setup.manifest()).unwrap();
    assert!(manifest.contains(r#""flags":"S","keywords":["Work","NonJunk"]"#), "{manifest}");
    verifies(&setup, &source);
    setup.restores(&source);

    let before = lasting(&maildir);
    assert_eq!(setup.convert(&[], &[&source]), [0, 6, 0]);
    assert_eq!(lasting(&maildir), before);
    let dry = Setup::new();
    dry.try_convert(&["-n"], &[&source]).exits(0);
    assert_eq!(paths(dry.scratch.path()), [""; 0]);
}

#[test]
fn a_maildir_without_keywords_has_no_file_of_them() {
    let setup = Setup::new();
    let source = setup.file("inbox", mbox(&["Status: RO\n", "X-Keywords: \n"]));
    setup.convert(&[], &[&source]);
    assert!(!setup.maildir().join("dovecot-keywords").exists());
}

#[test]
fn letters_are_shared_and_extended_but_never_renamed() {
    let setup = Setup::new();
    let maildir = setup.maildir();
    for dir in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(dir)).unwrap();
    }
    let own = "0 Own\nnonsense\n2 work";
    fs::write(maildir.join("dovecot-keywords"), own).unwrap();
    let theirs = "cur/1.M1.example,S=5,W=6:2,ad";
    fs::write(maildir.join(theirs), "A: 1\n").unwrap();
    let one = setup.file("one", mbox(&["X-Keywords: Work New\n"]));
    let two = setup.file("two", mbox(&["", "X-Keywords: Newer NEW\n"]));
    setup.convert(&[], &[&one, &two]);
    // b is a gap that may belong to another program. d has a message and no name.
    let text = fs::read_to_string(maildir.join("dovecot-keywords")).unwrap();
    assert_eq!(text, format!("{own}\n4 New\n5 Newer\n"));
    assert_eq!(
        setup.try_convert(&[], &[&setup.file("three", mbox(&["", "", "X-Keywords: newer\n"]))]).code,
        Some(0)
    );
    assert_eq!(fs::read_to_string(maildir.join("dovecot-keywords")).unwrap(), text);
    let letters = |n: u32| {
        let name = |path: &String| path.contains(".mailferry,") && path.starts_with("cur/");
        let paths = paths(&maildir);
        let found = paths.iter().filter(|path| name(path)).find(|path| {
            fs::read_to_string(maildir.join(path)).unwrap().contains(&format!("Subject: number {n}\n"))
        });
        found.unwrap().split_once(":2,").unwrap().1.to_owned()
    };
    assert_eq!((letters(0), letters(1), letters(2)), ("ce".into(), "ef".into(), "f".into()));
    assert!(maildir.join(theirs).exists());
    // Dovecot's lock is waited for.
    fs::write(maildir.join("dovecot-keywords.lock"), "").unwrap();
    let four = setup.file("four", mbox(&["", "", "", "X-Keywords: Last\n"]));
    let run = setup.try_convert(&["--lock-timeout=0"], &[&four]).exits(3);
    assert!(code(&run.findings(), "locked")[0].contains("dovecot-keywords"), "{}", run.text());
    assert_eq!(fs::read_to_string(maildir.join("dovecot-keywords")).unwrap(), text);
}

#[test]
fn a_27th_keyword_is_named_and_its_mail_arrives() {
    let setup = Setup::new();
    let fields: Vec<String> = (0..15).map(|n| format!("X-Keywords: k{n} k{}\n", n + 15)).collect();
    let source = setup.file("inbox", mbox(&fields.iter().map(String::as_str).collect::<Vec<_>>()));
    let run = setup.try_convert(&[], &[&source]).exits(0);
    let overflow = run.findings();
    let overflow = code(&overflow, "keywords-overflow");
    assert_eq!(overflow.len(), 1, "{overflow:?}");
    assert!(
        overflow[0].starts_with("2 messages") && overflow[0].ends_with(": k13, k28, k14, k29"),
        "{overflow:?}"
    );
    assert_eq!((names(&setup.maildir()).len(), setup.messages().len()), (26, 15));
    has_metadata(&setup.maildir(), 12, "", &["k12", "k27"]);
    has_metadata(&setup.maildir(), 14, "", &[]);
    let manifest = fs::read_to_string(setup.manifest()).unwrap();
    assert!(manifest.contains(r#""unlettered":["k14","k29"]"#), "{manifest}");
    verifies(&setup, &source);
    // Nothing is missing after the export.
    let back = setup.path("back");
    run_back(&setup, &back);
    let text = fs::read_to_string(&back).unwrap();
    assert!(text.contains("X-Keywords: k14 k29\n") && text.contains("X-Keywords: k0 k15\n"), "{text}");
}

#[track_caller]
fn run_back(setup: &Setup, back: &Path) -> Run {
    convert(["--lock=none".as_ref(), setup.maildir().as_os_str(), back.as_os_str()])
}

#[test]
fn gmails_labels_are_flags_keywords_or_nothing() {
    let fields = [
        "X-Gmail-Labels: Inbox,Unread,Work,\"Work, urgent\"\n",
        "X-Gmail-Labels: =?UTF-8?Q?Posteingang,Markiert,Ge=C3=B6ffnet,Kategorie:_=22Soziale_Medien=22?=\n",
        "X-Gmail-Labels: =?UTF-8?B?44K044Of566xLOacquiqrQ==?=\n",
        "X-Gmail-Labels: Spam,Unread,Important\n",
        "X-Gmail-Labels: =?UTF-8?Q?Messages_archiv=C3=A9s,Cat=C3=A9gorie=C2=A0:_E-mails_?=\n \
         =?UTF-8?Q?personnels,Brouillons,\"Culture,_associations\"?=\n",
    ];
    for (labels, own) in [("keywords", true), ("ignore", false)] {
        let setup = Setup::new();
        let source = setup.file("All mail.mbox", mbox(&fields));
        setup.convert(&[&format!("--labels={labels}")], &[&source]);
        let maildir = setup.maildir();
        let if_own = |keywords: &'static [&'static str]| if own { keywords } else { &[] };
        has_metadata(&maildir, 0, "", if_own(&["Work", "Work,_urgent"]));
        has_metadata(&maildir, 1, "FS", &[]);
        has_metadata(&maildir, 2, "T", &[]);
        has_metadata(&maildir, 3, "", &["$Junk"]);
        has_metadata(&maildir, 4, "DS", if_own(&["Culture,_associations"]));
        assert!(setup.messages().iter().all(|m| m.subdir == "cur" && m.field("X-Gmail-Labels").is_some()));
        // The manifest tells verify what happened to the labels.
        verifies(&setup, &source);
    }
}

#[test]
fn deleted_messages_come_are_flagged_or_are_left_out() {
    let fields = [
        "Status: RO\n",
        "Status: RO\nX-Status: D\n",
        "X-Mozilla-Status: 0009\n",
        "X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00200000\n",
        "X-Evolution: 00000007-0012\n",
    ];
    for (deleted, letters) in [("keep", Some("S")), ("flag", Some("ST")), ("skip", None)] {
        let setup = Setup::new();
        let source = setup.file("inbox", mbox(&fields));
        let option = format!("--deleted={deleted}");
        let summary = setup.try_convert(&[&option], &[&source]).exits(0).summary();
        let skipped = if deleted == "skip" { 4 } else { 0 };
        assert_eq!(
            (count(&summary, "written"), count(&summary, "skipped")),
            (5 - skipped, skipped),
            "{deleted}"
        );
        has_metadata(&setup.maildir(), 0, "S", &[]);
        for n in 1..5 {
            let metadata_of = metadata_of(&setup.maildir());
            let flags = metadata_of.get(&format!("number {n}")).map(|(flags, _)| flags.as_str());
            assert_eq!(flags, letters, "{deleted} {n}");
        }
        verifies(&setup, &source);
        setup.restores(&source);
        assert_eq!(setup.convert(&[&option], &[&source])[0], 0);
        // Skipped mail is reported, and missing in a comparison that does not know of the option.
        if deleted == "skip" {
            let run = setup.try_convert(&["-n", &option, "--no-manifest"], &[&source]).exits(0);
            assert!(code(&run.findings(), "deleted-skipped")[0].starts_with("4 messages"), "{}", run.text());
            let maildir = setup.maildir();
            let args: [&OsStr; 3] = ["--against".as_ref(), maildir.as_os_str(), source.as_os_str()];
            let lock = "--lock=none".as_ref();
            let verdict = verify(&[&args[..], &[lock]].concat()).exits(0).json().pop().unwrap();
            assert_eq!((count(&verdict, "same"), count(&verdict, "deleted")), (1, 4), "{verdict}");
            assert!(
                verdict["verdict"].as_str().unwrap().contains("4 marked as deleted are left out"),
                "{verdict}"
            );
            let flag = "--deleted=flag".as_ref();
            let verdict = verify(&[&args[..], &[lock, flag]].concat()).exits(1).json().pop().unwrap();
            assert_eq!(count(&verdict, "missing"), 4, "{verdict}");
            // A source that grows is read again.
            let grown = fs::read_to_string(&source).unwrap() + &mail_with(9, "X-Status: D\n") + "\n";
            fs::write(&source, grown).unwrap();
            assert_eq!(setup.convert(&["--deleted=flag"], &[&source]), [5, 1, 0]);
            setup.restores(&source);
        }
    }
}

#[test]
fn fields_of_mailers_are_taken_out_and_come_back() {
    let fields = [
        "Status: RO\nX-Status: F\nX-UID: 7\nX-IMAPbase: 1 7 Work\n",
        "X-Keywords: Work\n\tmore                   \nX-Gmail-Labels: Inbox,Trip\nX-Label: stays\n",
        "X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys:      \nContent-Length: 7\nLines: 1\n",
        "X-Evolution: 00000007-0010\n",
        "Subject: no such field\n",
    ];
    let whole = mbox(&fields);
    let sources = [
        ("LF", whole.clone()),
        ("CRLF", whole.replace('\n', "\r\n")),
        ("CR", whole.replace('\n', "\r")),
        ("a field that begins it", whole.replacen("Received:", "Status: O\nReceived:", 3)),
        (
            "a header that the end cuts off",
            whole + "From a@b Mon Mar  2 09:00:00 1998\nSubject: cut\nX-UID: 1",
        ),
    ];
    for (what, text) in sources {
        for eol in ["keep", "lf", "crlf"] {
            let (kept, setup) = (Setup::new(), Setup::new());
            kept.convert(&["--eol", eol], &[&kept.file("inbox", &text)]);
            let source = setup.file("inbox", &text);
            setup.convert(&["--eol", eol, "--headers=strip"], &[&source]);
            let identity = |m: &Message| (m.epoch, m.unique.clone(), m.flags.clone(), m.body().to_vec());
            let identities = |setup: &Setup| setup.messages().iter().map(identity).collect::<BTreeSet<_>>();
            assert_eq!(identities(&setup), identities(&kept), "{what} {eol}");
            for message in setup.messages() {
                let gone = ["Status", "X-Status", "X-UID", "X-IMAPbase", "X-Keywords", "X-Mozilla-Status"];
                let also = ["X-Mozilla-Status2", "X-Mozilla-Keys", "X-Evolution", "Content-Length", "Lines"];
                let left: Vec<_> =
                    gone.iter().chain(&also).filter(|name| message.field(name).is_some()).collect();
                assert!(left.is_empty(), "{what} {eol}: {left:?}");
                assert_eq!(message.size, message.bytes.len() as u64);
            }
            let stays = setup.messages().iter().filter(|m| m.field("X-Gmail-Labels").is_some()).count();
            assert_eq!(stays, 1, "{what} {eol}");
            if eol == "keep" {
                verifies(&setup, &source);
            } else {
                verify(&[setup.maildir().as_os_str()]).exits(0);
            }
            setup.restores(&source);
            assert_eq!(setup.convert(&["--headers=strip"], &[&source])[0], 0);
            // A changed file is reported where it was changed, though the source has other bytes there.
            let message = setup.message(1);
            fs::write(&message.path, [&message.bytes[..message.bytes.len() - 2], b"!\n"].concat()).unwrap();
            let maildir = setup.maildir();
            let run = verify(&[maildir.as_os_str(), "--lock=none".as_ref()]).exits(1);
            let findings = run.findings();
            let changed = findings.iter().find(|f| f["code"] == "message-changed").unwrap();
            if eol == "keep" {
                assert_eq!(changed["offset"].as_u64(), Some(message.size - 2), "{what} {changed}");
            }
        }
    }
}

#[test]
fn there_and_back_again_flags_and_keywords_are_the_same() {
    let letters = ["", "R", "O", "RO"];
    let mut fields = Vec::new();
    for n in 0..64_usize {
        let x_status: String =
            "AFTD".chars().enumerate().filter(|(bit, _)| n >> bit & 1 != 0).map(|(_, c)| c).collect();
        fields.push(format!("Status: {}\nX-Status: {x_status}\n", letters[n % 4]));
        fields.push(format!("X-Mozilla-Status: {:04x}\nX-Mozilla-Keys: key{} Junk\n", n << 9 | n, n % 5));
        fields.push(format!(
            "X-Keywords: key{} other{}   \nX-Evolution: {n:08x}-{:04x}\n",
            n % 7,
            n % 11,
            n * 31
        ));
        fields.push(format!(
            "X-Gmail-Labels: {},Own {},Sent\n",
            ["Unread", "Starred", "Trash", "Inbox"][n % 4],
            n % 3
        ));
    }
    let there = Setup::new();
    let source = there.file("inbox", mbox(&fields.iter().map(String::as_str).collect::<Vec<_>>()));
    there.convert(&[], &[&source]);
    let again = Setup::new();
    let back = again.path("back");
    let run = run_back(&there, &back);
    assert_eq!(run.complaints(), [""; 0]);
    again.convert(&[], &[&back]);
    assert_eq!(metadata_of(&again.maildir()), metadata_of(&there.maildir()));
    let stripped = Setup::new();
    stripped.convert(&["--headers=strip"], &[&source]);
    let back = stripped.path("back");
    run_back(&stripped, &back);
    let again = Setup::new();
    // The labels stay in the header, and would be added twice.
    again.convert(&["--labels=ignore"], &[&back]);
    assert_eq!(metadata_of(&again.maildir()), metadata_of(&there.maildir()));
    let args = ["--against".as_ref(), back.as_os_str(), "--metadata".as_ref(), "--lock=none".as_ref()];
    verify(&[&args[..], &[stripped.maildir().as_os_str()]].concat()).exits(0);
}

#[test]
fn changes_by_the_user_are_in_the_mbox() {
    let setup = Setup::new();
    let fields =
        ["Status: RO\nX-Status: AF\nX-Mozilla-Status: 0007\nX-Keywords: Work Play\nX-Mozilla-Keys: Work\n"];
    let source = setup.file("inbox", mbox(&fields));
    setup.convert(&[], &[&source]);
    let message = setup.message(0);
    let now = message.path.to_str().unwrap().replace(":2,FRSab", ":2,PTb");
    assert_ne!(now, message.path.to_str().unwrap());
    fs::rename(&message.path, &now).unwrap();
    let maildir = setup.maildir();
    let reflagged = verify(&[maildir.as_os_str()]).exits(0).findings();
    let reflagged = code(&reflagged, "message-reflagged");
    assert_eq!(reflagged, ["has the flags PT (keywords Play), and had FRS (keywords Work Play)"]);
    let args = ["--against".as_ref(), source.as_os_str(), "--metadata".as_ref(), "--lock=none".as_ref()];
    let run = verify(&[&args[..], &[maildir.as_os_str()]].concat()).exits(1);
    assert!(code(&run.findings(), "flags-differ")[0].contains("PT (keywords play)"), "{}", run.text());
    let back = setup.path("back");
    run_back(&setup, &back);
    let text = fs::read_to_string(&back).unwrap();
    for line in
        ["Status: O", "X-Status: D", "X-Mozilla-Status: 1008", "X-Keywords: Play", "X-Mozilla-Keys: Play"]
    {
        assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
    }
    // A letter without a name cannot be exported.
    fs::write(maildir.join("dovecot-keywords"), "0 Work\n").unwrap();
    fs::remove_file(&back).unwrap();
    assert_eq!(run_back(&setup, &back).complaints(), ["flags-unsaid"]);
}

#[test]
fn dovecot_shows_keywords_by_name_with_shared_letters() {
    if !have_dovecot() {
        return;
    }
    let setup = Setup::new();
    let source = setup.file(
        "inbox",
        mbox(&["Status: RO\nX-Keywords: Work NonJunk\n", "X-Gmail-Labels: Inbox,Trip home,Spam\n"]),
    );
    setup.convert(&[], &[&source]);
    let dovecot = Dovecot::over("maildir:~/Maildir", setup.scratch.path());
    let shown = dovecot.shows();
    let flags = |n: u32| {
        let subject = format!("\r\nSubject: number {n}\r\n");
        let shown = shown.iter().find(|s| String::from_utf8_lossy(&s.body).contains(&subject)).unwrap();
        shown.flags.iter().map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(flags(0), ["NonJunk", "Work", "\\Seen"]);
    assert_eq!(flags(1), ["$Junk", "Trip_home", "\\Seen"]);
    // Dovecot adds a keyword to the same file, and the next conversion uses it.
    dovecot.answers("1 SELECT INBOX\r\n2 STORE 1 +FLAGS (Theirs)\r\n3 LOGOUT\r\n");
    let more = setup.file("more", mbox(&["", "", "X-Keywords: theirs ours\n"]));
    setup.convert(&[], &[&more]);
    let names: Vec<String> = names(&setup.maildir()).into_values().collect();
    assert_eq!(names, ["Work", "NonJunk", "Trip_home", "$Junk", "Theirs", "ours"]);
    let shown = dovecot.shows();
    let last = shown.iter().find(|s| s.flags.contains("ours")).expect("it is there");
    assert!(last.flags.contains("Theirs"), "{:?}", last.flags);
}

/// Returns the keywords of each message in the folders of a Maildir, by the list of its folder.
fn by_folder(maildir: &Path) -> Vec<(String, String, Vec<String>)> {
    let folders = crate::support::names(maildir).into_iter().filter(|name| name.starts_with('.'));
    let of_folder = |folder: String| {
        let all = metadata_of(&maildir.join(&folder)).into_iter();
        let all =
            all.map(|(subject, (_, keywords))| (folder.clone(), subject, keywords.into_iter().collect()));
        all.collect::<Vec<_>>()
    };
    [String::new()].into_iter().chain(folders).flat_map(of_folder).collect()
}

fn expected(all: &[(&str, u32, &[&str])]) -> Vec<(String, String, Vec<String>)> {
    let owned = |keywords: &[&str]| keywords.iter().map(|&keyword| keyword.to_owned()).collect();
    let all = all
        .iter()
        .map(|(folder, n, keywords)| ((*folder).to_owned(), format!("number {n}"), owned(keywords)));
    all.collect()
}

/// Asserts that each message has the keywords that the manifest has.
#[track_caller]
fn has_its_keywords(maildir: &Path) {
    let run = verify(&[maildir.as_os_str()]).exits(0);
    assert_eq!(run.complaints(), [""; 0], "{}", run.text());
    assert!(!run.findings().iter().any(|f| f["code"] == "message-reflagged"), "{}", run.text());
}

/// Creates a Maildir with a folder.
fn create_maildirs(maildir: &Path, folder: &str) {
    for dir in ["cur", "new", "tmp"] {
        let mut create = fs::DirBuilder::new();
        create.recursive(true).mode(0o700).create(maildir.join(dir)).unwrap();
        create.create(maildir.join(folder).join(dir)).unwrap();
    }
}

#[test]
fn each_folder_of_a_year_has_its_own_list_of_keywords() {
    let received = |n, year: u32, keywords: &str| {
        let mail = mail_with(n, &format!("Status: RO\nX-Keywords: {keywords}\n"));
        format!("From ada@example.org Fri Jan  2 12:00:00 {year}\n{}\n", mail.split_once('\n').unwrap().1)
    };
    let text = received(0, 2014, "Work") + &received(1, 2015, "Home") + &received(2, 2015, "Work Home");
    let all = [(".2014", 0, &["Work"][..]), (".2015", 1, &["Home"]), (".2015", 2, &["Home", "Work"])];
    for existing in [false, true] {
        let setup = Setup::new();
        let (source, maildir) = (setup.file("inbox", &text), setup.maildir());
        if existing {
            // Another program has given other letters.
            create_maildirs(&maildir, ".2015");
            fs::write(maildir.join("dovecot-keywords"), "0 Home\n").unwrap();
            fs::write(maildir.join(".2015/dovecot-keywords"), "0 Own\n2 Home\n").unwrap();
        }
        let years = ["--split=year"];
        setup.try_convert(&["-n", "--split=year"], &[&source]).exits(0);
        assert!(!maildir.join(".2014").exists());
        assert_eq!(setup.convert(&years, &[&source]), [3, 0, 0]);
        assert_eq!(by_folder(&maildir), expected(&all));
        let list = |folder: &str| fs::read_to_string(maildir.join(folder).join("dovecot-keywords")).ok();
        assert_eq!(list(".2014").unwrap(), "0 Work\n");
        let of_2015 = if existing { "0 Own\n2 Home\n3 Work\n" } else { "0 Work\n1 Home\n" };
        assert_eq!(list(".2015").unwrap(), of_2015);
        assert_eq!(list(""), existing.then(|| "0 Home\n".to_owned()), "it has no mail");
        has_its_keywords(&maildir);
        assert_eq!(setup.convert(&years, &[&source]), [0, 3, 0]);
        // New mail gets letters in its folder, which may be new.
        fs::write(&source, text.clone() + &received(3, 2014, "Home") + &received(4, 2016, "New")).unwrap();
        assert_eq!(setup.convert(&years, &[&source]), [2, 3, 0]);
        let more = [(".2014", 3, &["Home"][..]), (".2016", 4, &["New"])];
        let mut now = expected(&[&all[..], &more].concat());
        now.sort();
        assert_eq!(by_folder(&maildir), now);
        has_its_keywords(&maildir);
        setup.restores(&source);
    }
}

#[test]
fn each_folder_of_a_label_has_its_own_list_of_keywords() {
    for existing in [false, true] {
        let setup = Setup::new();
        let maildir = setup.maildir();
        if existing {
            create_maildirs(&maildir, ".Work");
            fs::write(maildir.join(".Work/dovecot-keywords"), "0 Own\n").unwrap();
        }
        let fields = [
            "X-Gmail-Labels: Spam,Opened\n",
            "X-Gmail-Labels: Inbox,Work,Home\nX-Keywords: Later\n",
            "X-Gmail-Labels: Sent\n",
        ];
        let source = setup.file("takeout.mbox", mbox(&fields));
        assert_eq!(setup.convert(&["--labels=folders"], &[&source]), [3, 0, 0]);
        let later = &["Later"][..];
        let all = [
            ("", 1, later),
            (".Home", 1, later),
            // The folder shows that it is spam.
            (".Junk", 0, &[]),
            (".Sent", 2, &[]),
            (".Work", 1, later),
        ];
        assert_eq!(by_folder(&maildir), expected(&all));
        assert!(!maildir.join(".Sent/dovecot-keywords").exists());
        has_its_keywords(&maildir);
        setup.restores(&source);
    }
}
