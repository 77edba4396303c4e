//! Flags, keywords and encoded words as mail programs write them: KMail, Thunderbird, Gmail and others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::*;

/// Returns an mbox of messages with these fields, `number 0` and so on.
fn mbox(fields: &[&str]) -> String {
    (0..).zip(fields).map(|(n, fields)| mail_with(n, fields) + "\n").collect()
}

/// Returns flags and keywords of every message of a Maildir, by subject: `FS $Junk`.
fn flags(maildir: &Path) -> BTreeMap<String, String> {
    let list = fs::read_to_string(maildir.join("dovecot-keywords")).unwrap_or_default();
    let names: BTreeMap<char, &str> = list
        .lines()
        .map(|line| {
            let (number, name) = line.split_once(' ').unwrap();
            (char::from(b'a' + number.parse::<u8>().unwrap()), name)
        })
        .collect();
    let mut all = BTreeMap::new();
    for subdir in ["new", "cur"] {
        for entry in fs::read_dir(maildir.join(subdir)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let letters = name.split_once(":2,").map_or("", |(_, letters)| letters);
            let (flags, keywords): (String, String) = letters.chars().partition(char::is_ascii_uppercase);
            let mut keywords: Vec<&str> = keywords.chars().map(|letter| names[&letter]).collect();
            keywords.sort();
            let words = [subdir, &flags].into_iter().chain(keywords).filter(|word| !word.is_empty());
            all.insert(subject.to_owned(), words.collect::<Vec<_>>().join(" "));
        }
    }
    all
}

/// Asserts the flags of the messages `number 0` and so on.
#[track_caller]
fn has_flags(maildir: &Path, expected: &[&str]) {
    let expected = expected.iter().enumerate().map(|(n, flags)| (format!("number {n}"), (*flags).to_owned()));
    assert_eq!(flags(maildir), expected.collect());
}

#[track_caller]
fn warnings(run: &Run, code: &str) -> usize {
    run.findings().iter().filter(|f| f["code"] == code && f["severity"] == "warning").count()
}

#[track_caller]
fn is_same_mail(a: &Path, b: &Path) {
    let mut command = mailferry(["verify", "--json", "--lock=none", "--metadata", "--against"]);
    command.args([a, b]);
    let run = run(command).exits(0);
    assert!(run.complaints().iter().all(|code| code == "fields-differ"), "{}", run.text());
}

#[test]
fn kmails_letters_survive_the_way_there_and_back() {
    const KMAIL: &str = "X-KMail-EncryptionState: \nX-KMail-SignatureState: N\n";
    let setup = Setup::new();
    let with = |status: &str| format!("{status}{KMAIL}");
    let fields = [
        with("Status: RO\nX-Status: RT\n"),
        with("Status: RO\nX-Status: RAFGP\n"),
        with("Status: R\nX-Status: N\n"),
        with("Status: RO\nX-Status: UT\n"),
        with("X-Status: F\n"),
        "Status: RO\nX-Status: RTH\n".into(),
        "Status: RO\nX-Status: ROKD\n".into(),
        // Not KMail's.
        "Status: RO\nX-Status: AFT\n".into(),
        with("Status: RO\n"),
    ];
    let source = setup.file("kmail", mbox(&fields.each_ref().map(String::as_str)));
    let run = setup.try_convert(&[], &[&source]).exits(0);
    assert_eq!(warnings(&run, "flags-invalid"), 0, "{}", run.text());
    let expected = ["cur S", "cur FPRS $Junk", "new", "cur", "cur P", "cur S", "cur ST", "cur DFRS", "cur S"];
    has_flags(&setup.maildir(), &expected);
    is_same_mail(&source, &setup.maildir());

    // A draft has no letter of KMail.
    let draft = setup.messages().into_iter().find(|m| m.subject() == "number 0").unwrap();
    fs::rename(&draft.path, draft.path.to_str().unwrap().replace(":2,S", ":2,DS")).unwrap();
    let back = setup.path("back.mbox");
    convert([&setup.maildir(), &back]);
    is_same_mail(&setup.maildir(), &back);
    let again = setup.path("again");
    convert([&back, &again]);
    has_flags(&again, &[&["cur DS"], &expected[1..]].concat());
}

/// Creates a Maildir as Thunderbird writes it, without new/.
fn thunderbird(setup: &Setup, fields: &[&str]) -> std::path::PathBuf {
    let store = setup.path("Thunderbird");
    fs::create_dir_all(store.join("cur")).unwrap();
    fs::create_dir_all(store.join("tmp")).unwrap();
    for (n, fields) in fields.iter().enumerate() {
        let message = mail_with(n as u32, fields);
        let (_, message) = message.split_once('\n').unwrap();
        fs::write(store.join(format!("cur/133922203300{n}.eml")), message).unwrap();
    }
    store
}

#[test]
fn the_flags_of_thunderbirds_own_store_are_in_the_headers() {
    let setup = Setup::new();
    let store = thunderbird(
        &setup,
        &[
            "X-Mozilla-Status: 0005\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1 work   \n",
            "X-Mozilla-Status: 0009\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys:        \n",
            "X-Mozilla-Status: 1003\nX-Mozilla-Status2: 00200000\n",
            "X-Mozilla-Status: 0000\nX-Mozilla-Keys: \"Project A\", b\n",
            "Subject: x\n",
            // The sender's.
            "Status: RO\n",
        ],
    );
    let expected = ["cur FS $label1 work", "cur ST", "cur PRST", "cur Project_A b", "cur", "cur"];

    let mut list = mailferry(["inspect", "--json"]);
    list.arg(&store);
    let rows = run(list).exits(0).json();
    let listed: Vec<_> =
        rows.iter().filter(|row| row["type"] == "message").map(|row| &row["flags"]).collect();
    assert_eq!(listed, ["FS", "ST", "PRST", "", "", ""]);

    // To a Maildir, new and existing.
    let maildir = |name: &str| format!("maildir:{}", setup.path(name).display());
    convert([store.to_str().unwrap(), &maildir("copy")]);
    let copied = fs::read_dir(setup.path("copy/cur")).unwrap().count();
    assert_eq!(copied, 6);
    let subject = |n: usize| if n == 4 { "x".to_owned() } else { format!("number {n}") };
    let expected: BTreeMap<_, _> =
        expected.iter().enumerate().map(|(n, flags)| (subject(n), (*flags).to_owned())).collect();
    assert_eq!(flags(&setup.path("copy")), expected);
    is_same_mail(&store, &setup.path("copy"));
    let before = lasting(&setup.path("copy"));
    let again = convert([store.to_str().unwrap(), &maildir("copy")]).summary();
    assert_eq!((count(&again, "written"), count(&again, "already_present")), (0, 6));
    assert_eq!(lasting(&setup.path("copy")), before);

    let other = setup.path("other");
    for dir in ["cur", "new", "tmp"] {
        fs::create_dir_all(other.join(dir)).unwrap();
    }
    fs::write(other.join("dovecot-keywords"), "0 WORK\n1 own\n").unwrap();
    convert([store.to_str().unwrap(), &maildir("other")]);
    assert_eq!(flags(&other)["number 0"], "cur FS $label1 WORK");

    // To an mbox, where all programs find them.
    let mbox = setup.path("out.mbox");
    convert([&store, &mbox]);
    let text = fs::read_to_string(&mbox).unwrap();
    for line in [
        "X-Mozilla-Status: 0005",
        "X-Mozilla-Status: 0009",
        "X-Keywords: $label1 work\n",
        "X-Mozilla-Keys: $label1 work\n",
        "X-Keywords: Project_A b\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    is_same_mail(&store, &mbox);
    convert([mbox.to_str().unwrap(), &maildir("back")]);
    assert_eq!(flags(&setup.path("back")), expected);
}

#[test]
fn a_message_in_new_does_not_get_flags_from_its_sender() {
    let setup = Setup::new();
    let store = thunderbird(&setup, &[]);
    fs::create_dir(store.join("new")).unwrap();
    for name in ["new/1.a.b", "cur/2.a.b:2,"] {
        fs::write(store.join(name), format!("X-Mozilla-Status: 0009\nSubject: {name}\n\nx\n")).unwrap();
    }
    let copy = setup.path("copy");
    convert([store.to_str().unwrap(), &format!("maildir:{}", copy.display())]);
    let flags = flags(&copy);
    assert_eq!((&flags["new/1.a.b"][..], &flags["cur/2.a.b:2,"][..]), ("new", "cur"));
}

#[test]
fn lists_of_keywords_have_blanks_or_commas() {
    let setup = Setup::new();
    let long: String = (0..20_000).map(|n| format!("k{n},")).collect();
    let source = setup.file(
        "inbox",
        mbox(&[
            "X-Keywords: Work,My label,Home\n",
            "X-Keywords: \"Project A\", \"b\"\n",
            "X-Keywords: alpha beta $Forwarded     \n",
            "X-Mozilla-Keys: $label1,two words\n",
            "X-Keywords: =?UTF-8?Q?B=C3=BCro,zu_Hause?=\n",
            "X-Keywords: \"a, b\"\n",
        ]),
    );
    setup.convert(&[], &[&source]);
    let expected = [
        "cur Home My_label Work",
        "cur Project_A b",
        "cur $Forwarded alpha beta",
        "cur $label1 two_words",
        "cur B&APw-ro zu_Hause",
        "cur a,_b",
    ];
    has_flags(&setup.maildir(), &expected);
    is_same_mail(&source, &setup.maildir());
    // A keyword with a comma is still one in an mbox.
    let back = setup.path("back.mbox");
    convert([&setup.maildir(), &back]);
    is_same_mail(&setup.maildir(), &back);
    let again = setup.path("again");
    convert([&back, &again]);
    has_flags(&again, &expected);

    let many = setup.file("many", mbox(&[&format!("X-Keywords: {long}\n")]));
    let summary = setup.try_convert(&[], &[&many]).exits(0).summary();
    assert_eq!(count(&summary, "written"), 1);
}

#[test]
fn unread_mail_of_gmail_is_never_marked_as_read() {
    let takeout = |labels: &[&str]| {
        let fields: Vec<String> = labels.iter().map(|labels| format!("X-Gmail-Labels: {labels}\n")).collect();
        mbox(&fields.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (labels, expected, unknown) in [
        // Languages that are known.
        (&["=?UTF-8?Q?Innboks,Ulest?=", "=?UTF-8?Q?Innboks,=C3=85pnet?="][..], &["cur", "cur S"][..], 0),
        (
            &["Bandeja de entrada,=?UTF-8?Q?No_le=C3=ADdos?=", "Recibidos,Familia"],
            &["cur", "cur Familia S"],
            0,
        ),
        (&["Inbox,Unread,Starred", "Work", "Inbox,Opened,Work"], &["cur F", "cur S Work", "cur S Work"], 0),
        // A language that is not known. It has no flags.
        (
            &["=?UTF-8?Q?Kikasha,Haijasomwa?=", "=?UTF-8?Q?Takataka?=", "Spam,Haijasomwa"],
            &["cur Haijasomwa Kikasha", "cur Takataka", "cur $Junk Haijasomwa"],
            1,
        ),
        // One known message is not evidence for the others.
        (&["Inbox", "Kikasha,Haijasomwa", "Kikasha"], &["cur S", "cur Haijasomwa Kikasha", "cur Kikasha"], 1),
        // The state of a topic in an archive of Groups.
        (&["El tema se ha fijado"], &["cur El_tema_se_ha_fijado"], 1),
    ] {
        let setup = Setup::new();
        let source = setup.file("takeout.mbox", takeout(labels));
        let converted = setup.try_convert(&[], &[&source]).exits(0);
        assert_eq!(warnings(&converted, "labels-unknown"), unknown, "{labels:?}: {}", converted.text());
        let sorted = |flags: &str| {
            let mut words: Vec<&str> = flags.split(' ').collect();
            words.sort();
            words.join(" ")
        };
        let got: Vec<String> = flags(&setup.maildir()).values().map(|flags| sorted(flags)).collect();
        let expected: Vec<String> = expected.iter().map(|flags| sorted(flags)).collect();
        assert_eq!(got, expected, "{labels:?}");
        is_same_mail(&source, &setup.maildir());
        let mut list = mailferry(["inspect", "--json"]);
        list.arg(&source);
        let list = run(list).exits(0);
        assert_eq!(warnings(&list, "labels-unknown"), unknown, "{labels:?}");
    }
}

#[test]
fn flags_with_invalid_values_are_reported_and_not_guessed() {
    let setup = Setup::new();
    let source = setup.file(
        "inbox",
        mbox(&[
            "Status: RO\n",
            "Status: 1\nX-Status: AZ\n",
            "Status: R?\n",
            "X-Mozilla-Status: 0x0009\n",
            "X-Mozilla-Status: 123456789\n",
            "X-Mozilla-Status2: zz\n",
            "X-Evolution: 00000001\n",
        ]),
    );
    let converted = setup.try_convert(&[], &[&source]).exits(0);
    has_flags(&setup.maildir(), &["cur S", "cur R", "cur S", "new", "new", "new", "new"]);
    let found = converted.findings();
    let found: Vec<&str> = found
        .iter()
        .filter(|f| f["code"] == "flags-invalid")
        .map(|f| f["message"].as_str().unwrap().split(',').next().unwrap())
        .collect();
    assert_eq!(
        found,
        [
            "invalid Status in 2 messages",
            "invalid X-Status in 1 message",
            "invalid X-Mozilla-Status in 2 messages",
            "invalid X-Mozilla-Status2 in 1 message",
            "invalid X-Evolution in 1 message",
        ]
    );
    is_same_mail(&source, &setup.maildir());

    let store = thunderbird(&setup, &["X-Mozilla-Status: 0001\n", "X-Mozilla-Status: 1x\n"]);
    for to in ["maildir:", "mbox:"] {
        let to = format!("{to}{}", setup.path(to.trim_end_matches(':')).display());
        let copied = convert([store.to_str().unwrap(), &to]);
        assert_eq!(warnings(&copied, "flags-invalid"), 1, "{}", copied.text());
    }
    let mut list = mailferry(["inspect", "--json"]);
    list.arg(&store);
    assert_eq!(warnings(&run(list).exits(0), "flags-invalid"), 1);
}

#[test]
fn encoded_words_are_decoded_however_they_are_cut() {
    let setup = Setup::new();
    let mail = |subject: &str, from: &str| {
        format!("From a@example.org Mon Jan  3 10:00:00 2005\nSubject: {subject}\nFrom: {from}\n\nx\n\n")
    };
    let source = setup.file(
        "inbox",
        [
            mail(
                "=?UTF-8?B?5pel5pys6A==?=\n =?UTF-8?B?qp4=?=",
                "=?utf-8?Q?J=C3?=\n =?utf-8?Q?=BCrgen?= <j@x.example>",
            ),
            mail("=?big5?B?p0Gm?= =?big5?B?bg==?=", "=?GB18030?B?xOO6ww?= <n@x.example>"),
            mail("=?unicode-1-1-utf-7?Q?J+APw-rgen?=", "n@x.example"),
            mail("=?iso-2022-jp?B?GyRCRnwbKEI=?=\n =?iso-2022-jp?B?GyRCS1wbKEI=?=", "n@x.example"),
        ]
        .concat(),
    );
    let mut list = mailferry(["inspect", "--json"]);
    list.arg(&source);
    let rows = run(list).exits(0).json();
    let rows = rows.iter().filter(|row| row["type"] == "message");
    let got: Vec<_> =
        rows.map(|row| [row["subject"].as_str().unwrap(), row["from"].as_str().unwrap()]).collect();
    assert_eq!(
        got,
        [
            ["日本語", "Jürgen <j@x.example>"],
            ["你好", "你好 <n@x.example>"],
            ["Jürgen", "n@x.example"],
            ["日本", "n@x.example"]
        ]
    );
}
