//! `--since`, `--before` and `--split`: some messages now, others later, none twice, each in one place.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::*;

/// Returns a message that was received at this time of UTC.
fn received(n: u32, date: &str) -> String {
    let mail = mail(n).split_once('\n').expect("a From_ line").1.to_owned();
    format!("From ada@example.org {date}\n{mail}\n")
}

/// Messages of each day and of the hours around its beginning.
const DATES: [&str; 6] = [
    "Wed Dec 31 18:29:59 2014",
    "Wed Dec 31 18:30:00 2014",
    "Wed Dec 31 23:59:59 2014",
    "Thu Jan  1 00:00:00 2015",
    "Thu Jan  1 04:59:59 2015",
    "Thu Jan  1 05:00:00 2015",
];

fn mbox(dates: &[&str]) -> String {
    (0..).zip(dates).map(|(n, date)| received(n, date)).collect()
}

/// Converts with a time zone.
fn convert_in(zone: &str, args: &[&str], paths: &[&Path]) -> Run {
    let mut command = convert_command([] as [&str; 0]);
    command.args(args).args(paths).env("TZ", zone);
    run(command)
}

/// Returns the counts of written, present and unselected messages.
fn counts(run: Run) -> [u64; 3] {
    let summary = run.exits(0).summary();
    ["written", "already_present", "not_selected"].map(|key| count(&summary, key))
}

/// Returns the numbers of the messages in a Maildir.
fn numbers(maildir: &Path) -> Vec<u32> {
    let number = |m: &Message| m.subject().strip_prefix("number ").unwrap().parse().unwrap();
    let mut numbers: Vec<u32> = messages(maildir).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_day_begins_at_midnight_where_the_user_is() {
    for (zone, first) in [("UTC", 3), ("America/New_York", 5), ("Asia/Kolkata", 1), ("EST5", 5)] {
        for date in ["2015", "2015-01", "2015-01-01"] {
            let setup = Setup::new();
            let source = setup.file("in", mbox(&DATES));
            let paths = [&*source, &setup.maildir()];
            assert_eq!(
                counts(convert_in(zone, &["--since", date], &paths)),
                [6 - u64::from(first), 0, first.into()]
            );
            assert_eq!(numbers(&setup.maildir()), (first..6).collect::<Vec<_>>(), "{zone} {date}");
            assert_eq!(
                counts(convert_in(zone, &["--before", date], &paths)),
                [first.into(), 6 - u64::from(first), 0]
            );
        }
    }
}

#[test]
fn a_day_without_midnight_begins_when_the_clock_says_one() {
    let setup = Setup::new();
    let dates = ["Sun Nov  4 02:59:59 2018", "Sun Nov  4 03:00:00 2018"];
    let source = setup.file("in", mbox(&dates));
    convert_in("America/Sao_Paulo", &["--since=2018-11-04"], &[&source, &setup.maildir()]).exits(0);
    assert_eq!(numbers(&setup.maildir()), [1]);
}

#[test]
fn wrong_dates_are_refused_in_one_line_with_the_forms() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    for date in ["yesterday", "2015-13", "2015-02-29", "15", "2015-1-1", "30.06.2015", ""] {
        for option in ["--since", "--before"] {
            let run =
                convert_in("UTC", &[&format!("{option}={date}")], &[&source, &setup.maildir()]).exits(2);
            let first = run.stderr.lines().next().unwrap();
            assert!(first.contains(option), "{first}");
            assert!(date.is_empty() || first.contains("YYYY, YYYY-MM or YYYY-MM-DD"), "{first}");
        }
    }
    for before in ["2015", "2014-12-31"] {
        let args = ["--since=2015-01-01", "--before", before];
        let run = convert_in("UTC", &args, &[&source, &setup.maildir()]).exits(2);
        assert!(run.stderr.contains("--since: is not before --before"), "{}", run.stderr);
    }
    let run = convert_in("Mars/Olympus", &["--since=2015"], &[&source, &setup.maildir()]).exits(2);
    assert!(run.stderr.contains("$TZ"), "{}", run.stderr);
    assert!(!setup.maildir().exists());
}

/// Returns the lines of the manifest that begin like this.
fn lines(setup: &Setup, start: &str) -> Vec<Value> {
    let text = fs::read_to_string(setup.manifest()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(start));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn selections_add_up_to_the_source() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    let paths = [&*source, &setup.maildir()];
    let steps: [(&[&str], [u64; 3], &str); 5] = [
        (&["--since=2015-01-01"], [3, 0, 3], ""),
        (&["--since=2015-01-01"], [0, 3, 3], "source-known"),
        (&["--since=2015-01-02"], [0, 3, 3], "source-known"),
        (&["--before=2015-01-01"], [3, 3, 0], "source-partial"),
        (&[], [0, 6, 0], "source-known"),
    ];
    for (args, expected, code) in steps {
        let before = tree(setup.scratch.path());
        let run = convert_in("UTC", args, &paths);
        let codes: Vec<String> =
            run.findings().iter().map(|found| found["code"].as_str().unwrap().to_owned()).collect();
        assert_eq!(counts(run), expected, "{args:?}");
        assert!(code.is_empty() || codes.iter().any(|found| found == code), "{codes:?}");
        assert!(!codes.iter().any(|code| code == "options-changed"));
        if expected[0] == 0 {
            assert!(tree(setup.scratch.path()) == before, "nothing is touched");
        }
        if expected[2] > 0 {
            let refused = setup.try_exact(&[]).exits(1);
            let message = refused.findings()[0]["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with("3 of 6 messages of "), "{message}");
            let end = mbox(&DATES[..3]).len() - 1;
            assert!(message.ends_with(&format!("bytes 0 to {end}")), "{message}");
            assert!(!setup.path("back").exists());
        }
        let verified = verify(&setup.maildir(), &[], 0);
        assert_eq!(count(&verified, "gone"), 0);
        assert_eq!(count(&verified, "not_selected"), expected[2]);
    }
    setup.restores(&source);
    assert_eq!(numbers(&setup.maildir()), [0, 1, 2, 3, 4, 5]);
}

/// Verifies a mailbox, and returns the summary.
fn verify(path: &Path, args: &[&str], code: i32) -> Value {
    let mut command = mailferry(["verify", "--json", "--lock=none"]);
    command.arg(path).args(args);
    run(command).exits(code).json().pop().unwrap()
}

#[test]
fn a_partial_section_has_ranges_and_no_bytes_of_unselected_mail() {
    let setup = Setup::new();
    let dates: Vec<String> = (0..1000).map(|n| format!("Thu Jan  1 00:00:00 {}", 2000 + n / 100)).collect();
    let dates: Vec<&str> = dates.iter().map(String::as_str).collect();
    let text = mbox(&dates);
    let source = setup.file("in", &text);
    convert_in("UTC", &["--since=2009"], &[&source, &setup.maildir()]).exits(0);
    let ranges = lines(&setup, "{\"unselected\":");
    assert_eq!(ranges.iter().map(|range| range["unselected"].as_u64().unwrap()).sum::<u64>(), 900);
    assert!(ranges.len() <= 15, "{}", ranges.len());
    for range in &ranges {
        let [at, len] = ["at", "len"].map(|key| range[key].as_u64().unwrap() as usize);
        let hash = blake3::hash(&text.as_bytes()[at..at + len]).to_hex().to_string();
        assert_eq!(range["source"], hash);
    }
    assert!(!fs::read_to_string(setup.manifest()).unwrap().contains("gap"));
}

#[test]
fn mail_that_was_not_selected_is_not_missing() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    convert_in("UTC", &["--since=2015"], &[&source, &setup.maildir()]).exits(0);
    let against = ["--against", setup.maildir().to_str().unwrap()].map(str::to_owned);
    let against = [&*against[0], &*against[1]];
    let summary = verify(&source, &against, 0);
    assert_eq!(["same", "missing", "not_selected"].map(|key| count(&summary, key)), [3, 0, 3]);
    // From the other side.
    let other = ["--against", source.to_str().unwrap()];
    let summary = verify(&setup.maildir(), &other, 0);
    assert_eq!(["same", "extra", "not_selected"].map(|key| count(&summary, key)), [3, 0, 3]);
    // Only what the manifest says is left out counts as that.
    let first = setup.messages().swap_remove(0);
    fs::remove_file(first.path).unwrap();
    let summary = verify(&source, &against, 1);
    assert_eq!(["same", "missing", "not_selected"].map(|key| count(&summary, key)), [2, 1, 3]);
    // A changed message in that range is another one.
    fs::write(&source, mbox(&DATES).replacen("text 1", "text X", 1)).unwrap();
    let summary = verify(&source, &against, 1);
    assert_eq!(count(&summary, "not_selected"), 0);
}

#[test]
fn a_moved_and_a_grown_source_continue_its_partial_section() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    convert_in("UTC", &["--since=2015"], &[&source, &setup.maildir()]).exits(0);
    let moved = setup.path("moved");
    fs::rename(&source, &moved).unwrap();
    assert_eq!(counts(convert_in("UTC", &["--since=2015"], &[&moved, &setup.maildir()])), [0, 3, 3]);
    let more: String =
        [received(6, "Fri Jan  2 00:00:00 2015"), received(7, "Tue Dec 30 00:00:00 2014")].concat();
    fs::write(&moved, mbox(&DATES) + &more).unwrap();
    assert_eq!(counts(convert_in("UTC", &["--since=2015"], &[&moved, &setup.maildir()])), [1, 3, 4]);
    assert_eq!(counts(convert_in("UTC", &[], &[&moved, &setup.maildir()])), [4, 4, 0]);
    assert_eq!(numbers(&setup.maildir()), (0..8).collect::<Vec<_>>());
    setup.restores(&moved);
}

#[test]
fn equal_messages_of_different_days_keep_their_dates() {
    let setup = Setup::new();
    let twice = |state: &str| -> String {
        let mail = mail_with(1, state).split_once('\n').unwrap().1.to_owned();
        [2014, 2016].map(|year| format!("From a@example.org Mon Jun  1 00:00:00 {year}\n{mail}\n")).concat()
    };
    let dates = || -> Vec<String> {
        let epochs =
            messages(&setup.maildir()).into_iter().map(|m| m.base().split('.').next().unwrap().to_owned());
        let mut epochs: Vec<String> = epochs.collect();
        epochs.sort();
        epochs
    };
    let source = setup.file("in", twice(""));
    let paths = [&*source, &setup.maildir()];
    assert_eq!(counts(convert_in("UTC", &["--since=2015"], &paths)), [1, 0, 1]);
    // A mail program marks both as read.
    fs::write(&source, twice("Status: RO\n")).unwrap();
    assert_eq!(counts(convert_in("UTC", &["--since=2015"], &paths)), [0, 1, 1]);
    assert_eq!(counts(convert_in("UTC", &[], &paths)), [1, 1, 0]);
    assert_eq!(dates(), ["1401580800", "1464739200"]);
}

/// Returns a Maildir with a message of each date, named after it.
fn maildir_of(setup: &Setup, name: &str) -> PathBuf {
    let source = setup.file("of-maildir", mbox(&DATES));
    let maildir = setup.path(name);
    convert_in("UTC", &["--no-manifest"], &[&source, &maildir]).exits(0);
    fs::remove_file(source).unwrap();
    maildir
}

#[test]
fn a_copy_takes_what_is_selected_and_later_the_rest() {
    let setup = Setup::new();
    let source = maildir_of(&setup, "source");
    let to = PathBuf::from(format!("maildir:{}", setup.maildir().display()));
    let paths = [&*source, &*to];
    assert_eq!(counts(convert_in("UTC", &["-n", "--since=2015"], &paths)), [3, 0, 3]);
    assert_eq!(counts(convert_in("UTC", &["--since=2015"], &paths)), [3, 0, 3]);
    let before = tree(setup.scratch.path());
    assert_eq!(counts(convert_in("UTC", &["--since=2015"], &paths)), [0, 3, 3]);
    assert!(tree(setup.scratch.path()) == before, "nothing is touched");
    assert_eq!(numbers(&setup.maildir()), [3, 4, 5]);
    let maildir = setup.maildir();
    let against = ["--against", maildir.to_str().unwrap()];
    let summary = verify(&source, &against, 0);
    assert_eq!(["same", "missing", "not_selected"].map(|key| count(&summary, key)), [3, 0, 3]);
    assert_eq!(counts(convert_in("UTC", &[], &paths)), [3, 3, 0]);
    assert_eq!(numbers(&setup.maildir()), [0, 1, 2, 3, 4, 5]);
    verify(&setup.maildir(), &[], 0);
}

#[test]
fn an_export_writes_only_what_is_selected() {
    let setup = Setup::new();
    let (source, maildir) = (setup.file("in", mbox(&DATES)), maildir_of(&setup, "source"));
    let out = setup.path("out");
    let to = PathBuf::from(format!("mbox:{}", out.display()));
    for source in [&source, &maildir] {
        assert_eq!(counts(convert_in("UTC", &["-n", "--before=2015"], &[source, &to])), [3, 0, 3]);
        assert_eq!(counts(convert_in("UTC", &["--before=2015"], &[source, &to])), [3, 0, 3]);
        let text = fs::read_to_string(&out).unwrap();
        assert!((0..3).all(|n| text.contains(&format!("number {n}\n"))));
        assert!((3..6).all(|n| !text.contains(&format!("number {n}\n"))));
        fs::remove_file(&out).unwrap();
        let files = PathBuf::from(format!("eml:{}", out.display()));
        assert_eq!(counts(convert_in("UTC", &["--before=2015"], &[source, &files])), [3, 0, 3]);
        assert_eq!(names(&out).len(), 3);
        assert_eq!(counts(convert_in("UTC", &[], &[source, &files])), [3, 3, 0]);
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_tree_has_a_column_for_what_is_not_selected() {
    let setup = Setup::new();
    fs::create_dir(setup.path("Mail")).unwrap();
    setup.file("Mail/a", mbox(&DATES));
    setup.file("Mail/b", mbox(&DATES[..3]));
    let mut command = mailferry(["convert", "--lock=none", "--since=2015"]);
    command.args([setup.path("Mail"), setup.maildir()]).env("TZ", "UTC");
    let run = run(command).exits(0);
    let text = run.text();
    assert!(text.contains("folder  found  written  already  skipped  not selected  from"), "{text}");
    assert!(text.contains("9 messages found, 3 written, 6 not selected; "), "{text}");
    assert_eq!(numbers(&setup.maildir().join(".a")), [3, 4, 5]);
    let paths = [&*setup.path("Mail"), &*setup.maildir()];
    assert_eq!(counts(convert_in("UTC", &[], &paths)), [6, 3, 0]);
}

/// Returns the numbers of the messages in each folder of a Maildir that has some.
fn by_folder(maildir: &Path) -> Vec<(String, Vec<u32>)> {
    let folders = names(maildir).into_iter().filter(|name| name.starts_with('.'));
    let all = [String::new()].into_iter().chain(folders);
    let all = all.map(|folder| (folder.clone(), numbers(&maildir.join(folder))));
    all.filter(|(_, numbers)| !numbers.is_empty()).collect()
}

fn expected(folders: &[(&str, &[u32])]) -> Vec<(String, Vec<u32>)> {
    folders.iter().map(|(folder, numbers)| ((*folder).to_owned(), numbers.to_vec())).collect()
}

#[test]
fn each_message_is_in_the_folder_of_its_year() {
    for (zone, folders) in [
        ("UTC", expected(&[(".2014", &[0, 1, 2]), (".2015", &[3, 4, 5])])),
        ("Asia/Kolkata", expected(&[(".2014", &[0]), (".2015", &[1, 2, 3, 4, 5])])),
    ] {
        let setup = Setup::new();
        let source = setup.file("in", mbox(&DATES));
        let paths = [&*source, &setup.maildir()];
        assert_eq!(counts(convert_in(zone, &["-n", "--split=year"], &paths)), [6, 0, 0]);
        assert_eq!(counts(convert_in(zone, &["--split=year"], &paths)), [6, 0, 0]);
        assert_eq!(by_folder(&setup.maildir()), folders);
        assert_eq!(counts(convert_in(zone, &["--split=year"], &paths)), [0, 6, 0]);
        setup.restores(&source);
        verify(&setup.maildir(), &[], 0);
        let more = received(6, "Fri Jan  1 12:00:00 2016");
        fs::write(&source, mbox(&DATES) + &more).unwrap();
        assert_eq!(counts(convert_in(zone, &["--split=year"], &paths)), [1, 6, 0]);
        assert_eq!(by_folder(&setup.maildir()).last().unwrap(), &(".2016".to_owned(), vec![6]));
        setup.restores(&source);
    }
}

#[test]
fn a_split_goes_with_a_selection() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    let paths = [&*source, &setup.maildir()];
    assert_eq!(counts(convert_in("UTC", &["--split=year", "--since=2015"], &paths)), [3, 0, 3]);
    assert_eq!(by_folder(&setup.maildir()), expected(&[(".2015", &[3, 4, 5])]));
    assert_eq!(counts(convert_in("UTC", &["--split=year", "--before=2015"], &paths)), [3, 3, 0]);
    assert_eq!(by_folder(&setup.maildir()), expected(&[(".2014", &[0, 1, 2]), (".2015", &[3, 4, 5])]));
    setup.restores(&source);
    // Without the split, the rest goes into the Maildir itself, and this is reported.
    fs::write(&source, mbox(&DATES) + &received(6, "Fri Jan  1 12:00:00 2016")).unwrap();
    let run = convert_in("UTC", &[], &paths);
    let changed = run.findings().into_iter().find(|found| found["code"] == "options-changed").unwrap();
    assert!(changed["message"].as_str().unwrap().starts_with("--split was year and is none"), "{changed}");
    assert_eq!(numbers(&setup.maildir()), [6]);
}

#[test]
fn a_message_without_a_real_date_is_undated() {
    let setup = Setup::new();
    let undated = "From ada@example.org\nFrom: Ada <ada@example.org>\nSubject: number 6\n\ntext\n\n";
    let source = setup.file("in", mbox(&DATES) + undated);
    convert_in("UTC", &["--split=year"], &[&source, &setup.maildir()]).exits(0);
    assert_eq!(by_folder(&setup.maildir()).last().unwrap(), &(".undated".to_owned(), vec![6]));
    let dir = format!("mbox:{}/", setup.path("out").display());
    convert_in("UTC", &["--split=year"], &[&source, Path::new(&dir)]).exits(0);
    assert_eq!(names(&setup.path("out")), ["2014", "2015", "undated"]);
}

#[test]
fn a_directory_of_mboxes_gets_one_for_each_year() {
    let setup = Setup::new();
    let (source, maildir) = (setup.file("in", mbox(&DATES)), maildir_of(&setup, "source"));
    let out = setup.path("out");
    let to = PathBuf::from(format!("mbox:{}/", out.display()));
    for source in [&source, &maildir] {
        convert_in("UTC", &["-n", "--split=year"], &[source, &to]).exits(0);
        assert!(!out.exists());
        assert_eq!(counts(convert_in("UTC", &["--split=year"], &[source, &to])), [6, 0, 0]);
        assert_eq!(names(&out), ["2014", "2015"]);
        for (year, range) in [("2014", 0..3), ("2015", 3..6)] {
            let text = fs::read_to_string(out.join(year)).unwrap();
            let has = |n: u32| text.matches(&format!("Subject: number {n}\n")).count();
            assert!((0..6).all(|n| has(n) == usize::from(range.contains(&n))), "{year}: {text}");
        }
        // What exists is not replaced, and no year is written before that is known.
        fs::remove_file(out.join("2014")).unwrap();
        convert_in("UTC", &["--split=year"], &[source, &to]).exits(1);
        assert_eq!(names(&out), ["2015"]);
        convert_in("UTC", &["--split=year", "--force"], &[source, &to]).exits(0);
        assert_eq!(names(&out), ["2014", "2015"]);
        fs::remove_dir_all(&out).unwrap();
    }
    fs::create_dir(setup.path("Mail")).unwrap();
    setup.file("Mail/Sent", mbox(&DATES));
    setup.file("Mail/inbox", mbox(&DATES[..2]));
    convert_in("UTC", &["--split=year"], &[&setup.path("Mail"), &to]).exits(0);
    assert_eq!(paths(&out).len(), 4, "{:?}", paths(&out));
    assert_eq!(names(&out.join("Sent")), ["2014", "2015"]);
}

#[test]
fn a_split_that_cannot_be_is_refused_with_what_can() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    let mbox = PathBuf::from(format!("mbox:{}", setup.path("out").display()));
    for (args, paths, words) in [
        (&["--split=month"][..], [&source, &setup.maildir()], "--split: invalid value month: use year"),
        (&["--split=year"], [&source, &mbox], "mbox:DIR/"),
        (
            &["--split=year", "--labels=folders"],
            [&source, &setup.maildir()],
            "--split: makes folders by year",
        ),
    ] {
        let run = convert_in("UTC", args, &[paths[0], paths[1]]).exits(2);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(!setup.maildir().exists() && !setup.path("out").exists());
}

#[test]
fn a_copy_has_a_folder_for_each_year() {
    let setup = Setup::new();
    let source = maildir_of(&setup, "source");
    let to = PathBuf::from(format!("maildir:{}", setup.maildir().display()));
    let paths = [&*source, &*to];
    assert_eq!(counts(convert_in("UTC", &["-n", "--split=year"], &paths)), [6, 0, 0]);
    assert!(!setup.maildir().exists());
    assert_eq!(counts(convert_in("UTC", &["--split=year", "--since=2015"], &paths)), [3, 0, 3]);
    assert_eq!(by_folder(&setup.maildir()), expected(&[(".2015", &[3, 4, 5])]));
    assert!(!setup.maildir().join(".2014").exists(), "nothing of it is selected");
    assert_eq!(counts(convert_in("UTC", &["--split=year"], &paths)), [3, 3, 0]);
    assert_eq!(by_folder(&setup.maildir()), expected(&[(".2014", &[0, 1, 2]), (".2015", &[3, 4, 5])]));
    let before = tree(&setup.maildir());
    // What was copied before is there, whatever is selected.
    assert_eq!(counts(convert_in("UTC", &["--split=year", "--since=2015-01-01"], &paths)), [0, 6, 0]);
    assert_eq!(counts(convert_in("UTC", &["--split=year", "--since=2016"], &paths)), [0, 6, 0]);
    let run = convert_in("UTC", &["--split=year"], &paths);
    let known = run.findings().iter().filter(|found| found["code"] == "source-known").count();
    assert_eq!((counts(run), known), ([0, 6, 0], 1));
    assert!(tree(&setup.maildir()) == before, "nothing is touched");
    let maildir = setup.maildir();
    verify(&source, &["--against", maildir.to_str().unwrap()], 0);
    verify(&maildir, &[], 0);
}

#[test]
fn a_tree_has_the_years_of_each_folder() {
    let setup = Setup::new();
    let mail = setup.path("Mail");
    fs::create_dir(&mail).unwrap();
    fs::write(mail.join("inbox"), mbox(&DATES[2..4])).unwrap();
    fs::write(mail.join("Sent"), mbox(&DATES)).unwrap();
    fs::rename(maildir_of(&setup, "source"), mail.join("Old")).unwrap();
    let paths = [&*mail, &*setup.maildir()];
    let all = [
        (".2014", &[0][..]),
        (".2015", &[1]),
        (".Old.2014", &[0, 1, 2]),
        (".Old.2015", &[3, 4, 5]),
        (".Sent.2014", &[0, 1, 2]),
        (".Sent.2015", &[3, 4, 5]),
    ];
    assert_eq!(counts(convert_in("UTC", &["-n", "--split=year"], &paths)), [14, 0, 0]);
    assert!(!setup.maildir().exists());
    assert_eq!(counts(convert_in("UTC", &["--split=year"], &paths)), [14, 0, 0]);
    assert_eq!(by_folder(&setup.maildir()), expected(&all));
    assert_eq!(counts(convert_in("UTC", &["--split=year"], &paths)), [0, 14, 0]);
    verify(&setup.maildir(), &[], 0);
    let sent = mail.join("Sent");
    same(&setup.exact(&["--source".as_ref(), sent.as_os_str()]), mbox(&DATES).as_bytes(), "--exact");
    // New mail goes to its year.
    fs::write(&sent, mbox(&DATES) + &received(6, "Fri Jan  1 12:00:00 2016")).unwrap();
    assert_eq!(counts(convert_in("UTC", &["--split=year"], &paths)), [1, 14, 0]);
    assert_eq!(numbers(&setup.maildir().join(".Sent.2016")), [6]);
    let fs_layout = convert_in("UTC", &["--split=year", "--layout=fs"], &[&mail, &setup.path("out")]);
    assert!(fs_layout.exits(2).stderr.contains("--layout fs"));
}

/// Returns a tree with two mboxes and a Maildir.
fn a_tree(setup: &Setup) -> PathBuf {
    let mail = setup.path("Mail");
    fs::create_dir(&mail).unwrap();
    fs::write(mail.join("inbox"), mbox(&DATES[2..4])).unwrap();
    fs::write(mail.join("Sent"), mbox(&DATES)).unwrap();
    fs::rename(maildir_of(setup, "source"), mail.join("Old")).unwrap();
    mail
}

#[test]
fn a_later_split_or_none_does_not_convert_all_again() {
    for (first, second) in [(&[][..], &["--split=year"][..]), (&["--split=year"], &[])] {
        let setup = Setup::new();
        let mail = a_tree(&setup);
        let maildir = setup.maildir();
        assert_eq!(counts(convert_in("UTC", first, &[&mail, &maildir])), [14, 0, 0]);
        let before = tree(&maildir);
        let refused = |args: &[&str], paths: &[&Path]| {
            for args in [args, &[args, &["-n"]].concat()] {
                let run = convert_in("UTC", args, paths).exits(2);
                assert!(run.stderr.contains("--split") && run.stderr.contains("twice"), "{}", run.stderr);
                assert!(tree(&maildir) == before, "nothing is touched");
            }
        };
        refused(second, &[&mail, &maildir]);
        assert_eq!(counts(convert_in("UTC", first, &[&mail, &maildir])), [0, 14, 0]);
        let all = convert_in("UTC", &[second, &["--new-source"]].concat(), &[&mail, &maildir]).exits(0);
        assert!(count(&all.summary(), "written") > 0, "it is asked for");
    }
}

#[test]
fn a_later_split_or_none_does_not_copy_all_again() {
    for (first, second) in [(&[][..], &["--split=year"][..]), (&["--split=year"], &[])] {
        let setup = Setup::new();
        let source = maildir_of(&setup, "source");
        let to = PathBuf::from(format!("maildir:{}", setup.maildir().display()));
        assert_eq!(counts(convert_in("UTC", first, &[&source, &to])), [6, 0, 0]);
        let before = tree(&setup.maildir());
        let run = convert_in("UTC", second, &[&source, &to]).exits(2);
        assert!(run.stderr.contains("--split") && run.stderr.contains("twice"), "{}", run.stderr);
        assert!(tree(&setup.maildir()) == before, "nothing is touched");
        assert_eq!(counts(convert_in("UTC", first, &[&source, &to])), [0, 6, 0]);
        // An mbox is recorded in the Maildir itself, so what is there stays.
        let mbox = setup.file("in", [7, 8].map(|n| received(n, DATES[0])).concat());
        assert_eq!(counts(convert_in("UTC", first, &[&mbox, &setup.maildir()])), [2, 0, 0]);
        assert_eq!(counts(convert_in("UTC", second, &[&mbox, &setup.maildir()])), [0, 2, 0]);
    }
}

#[test]
fn a_split_tree_keeps_subscriptions_and_names() {
    let setup = Setup::new();
    let mail = a_tree(&setup);
    // Both would be the folder Sent.
    fs::write(mail.join("Sent.mbox"), mbox(&DATES[..1])).unwrap();
    fs::write(mail.join(".subscriptions"), "INBOX\nSent\nold\n").unwrap();
    let paths = [&*mail, &*setup.maildir()];
    convert_in("UTC", &["-n", "--split=year"], &paths).exits(0);
    assert!(!setup.maildir().exists());
    let run = convert_in("UTC", &["--split=year"], &paths).exits(0);
    let lost: Vec<_> = run.findings().iter().filter(|f| f["code"] == "subscription-lost").cloned().collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    let list = || fs::read_to_string(setup.maildir().join("subscriptions")).unwrap();
    let subscribed = ["INBOX", "2014", "2015", "Sent\t2014", "Sent\t2015"];
    assert_eq!(list().lines().skip(2).collect::<Vec<_>>(), subscribed);
    let names = fs::read_to_string(setup.maildir().join("mailferry.folders")).unwrap();
    assert_eq!(names, "{\"directory\":\".Sent (2).2014\",\"folder\":[\"Sent\",\"2014\"]}\n");
    // A new year is subscribed, too.
    fs::write(mail.join("inbox"), mbox(&DATES[2..4]) + &received(6, "Fri Jan  1 12:00:00 2016")).unwrap();
    convert_in("UTC", &["--split=year"], &paths).exits(0);
    assert!(list().contains("\n2016\n"));
    verify(&setup.maildir(), &[], 0);
}

#[test]
fn the_printed_command_checks_what_was_split() {
    let setup = Setup::new();
    let mail = a_tree(&setup);
    let (sent, old) = (mail.join("Sent"), mail.join("Old"));
    for (n, sources) in
        [&[&mail][..], &[&sent], &[&old], &[&sent, &mail.join("inbox")]].into_iter().enumerate()
    {
        for (format, slash) in [("mbox:", "/"), ("eml:", ""), ("maildir:", "")] {
            if format == "maildir:" && n > 2 {
                continue;
            }
            let out = setup.path(&format!("out-{n}-{}", &format[..3]));
            let mut command = mailferry(["convert", "--split=year"]);
            command.args((format == "maildir:").then_some("--no-manifest")).args(sources).env("TZ", "UTC");
            command.arg(format!("{format}{}{slash}", out.display()));
            let text = run(command).exits(0).text();
            let line = text.lines().find_map(|line| line.strip_prefix("Check it any time: mailferry "));
            let command = mailferry(line.expect(&text).split(' '));
            let found = run(command).exits(0);
            let all = if n == 0 { "14 of 14 messages " } else { "6 of 6 messages " };
            let all = if n == 3 { "8 of 8 messages " } else { all };
            assert!(found.text().contains(all), "{}", found.text());
        }
    }
}

#[test]
fn no_mbox_of_a_year_appears_before_all_are_written() {
    let setup = Setup::new();
    let (source, maildir) = (setup.file("in", mbox(&DATES)), maildir_of(&setup, "source"));
    let out = setup.path("out");
    let to = PathBuf::from(format!("mbox:{}/", out.display()));
    // The mbox of the last year cannot be created.
    let obstacle = out.join(".2015.mailferry-partial");
    fs::create_dir_all(&obstacle).unwrap();
    for source in [&source, &maildir] {
        convert_in("UTC", &["--split=year"], &[source, &to]).exits(1);
        assert_eq!(names(&out), [".2015.mailferry-partial"]);
    }
    fs::remove_dir(obstacle).unwrap();
    fs::write(out.join("2014"), "another program's\n").unwrap();
    fs::create_dir(out.join(".2015.mailferry-partial")).unwrap();
    convert_in("UTC", &["--split=year", "--force"], &[&source, &to]).exits(1);
    assert_eq!(fs::read_to_string(out.join("2014")).unwrap(), "another program's\n");
}

#[test]
fn a_split_has_the_same_years_and_counts_whatever_the_source_is() {
    let setup = Setup::new();
    let source = setup.file("in", mbox(&DATES));
    let maildir = maildir_of(&setup, "source");
    fs::write(maildir.join("dovecot-acl"), "owner lrw\n").unwrap();
    fs::write(maildir.join("dovecot.index"), "").unwrap();
    let table = |source: &Path, to: &str, args: &[&str]| {
        let run = convert_in("UTC", &[&["--split=year"], args].concat(), &[source, Path::new(to)]).exits(0);
        let codes = ["acls-left", "indexes-left", "source-known"];
        let found = run.findings().into_iter().map(|f| f["code"].as_str().unwrap().to_owned());
        let mut found: Vec<String> = found.filter(|code| codes.contains(&&**code)).collect();
        found.sort_unstable();
        let row = |row: &Value| {
            let counts = ["messages_found", "written", "already_present", "not_selected"];
            (row["folder"].as_str().unwrap().to_owned(), counts.map(|key| count(row, key)))
        };
        (run.summary()["table"].as_array().unwrap().iter().map(row).collect::<Vec<_>>(), found)
    };
    let of = |year: &str, counts| (year.to_owned(), counts);
    for (n, source) in [&source, &maildir].into_iter().enumerate() {
        let to = format!("maildir:{}", setup.path(&format!("to-{n}")).display());
        let first = [of("2014", [3, 0, 0, 3]), of("2015", [3, 3, 0, 0])];
        let (rows, found) = table(source, &to, &["--since=2015"]);
        assert_eq!(rows, first);
        assert_eq!(found, ["acls-left", "indexes-left"][..n * 2], "once");
        let second = [of("2014", [3, 0, 0, 3]), of("2015", [3, 0, 3, 0])];
        let (rows, found) = table(source, &to, &["--since=2015-01-02"]);
        assert_eq!((rows, found), (second.to_vec(), vec!["source-known".to_owned()]));
    }
}
