//! `report`: what the results of many accounts add up to.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::*;

/// Returns a result as convert writes it. `minute` is that of its end.
fn result(user: &str, outcome: &str, minute: u32, messages: u64) -> Value {
    let exit = ["done", "flawed", "", "failed", "interrupted"].iter().position(|name| *name == outcome);
    let errors = match outcome {
        "done" => vec![],
        "flawed" => vec![format!("/var/mail/{user}: 20 bytes belong to no message")],
        _ => vec![format!("/var/mail/{user}: cannot open: permission denied; run the command as the owner")],
    };
    json!({
        "type": "account",
        "user": user,
        "sources": [format!("/var/mail/{user}")],
        "destination": format!("/home/{user}/Maildir"),
        "owner": null,
        "outcome": outcome,
        "exit": exit,
        "signal": null,
        "retry": outcome == "interrupted",
        "host": if minute.is_multiple_of(2) { "north" } else { "south" },
        "version": "0.1.0",
        "start": format!("2026-11-30T01:{:02}:00.000Z", minute - 1),
        "end": format!("2026-11-30T01:{minute:02}:00.000Z"),
        "seconds": 60,
        "command_hash": "0".repeat(64),
        "fingerprint": null,
        "manifest": null,
        "findings": if outcome == "done" { json!({"mbox-variant": 1}) } else { json!({"mbox-junk": 2}) },
        "errors": errors,
        "summary": {
            "messages_found": messages, "written": messages - 1, "duplicates": 1,
            "bytes_source": 1000 * messages, "bytes_messages": 990 * messages, "bytes_from_lines": 10 * messages,
            "warnings": 1, "errors": u64::from(outcome != "done"),
        },
        "of_a_later_version": {"x": [1]},
    })
}

fn write(directory: &Path, result: &Value) {
    fs::create_dir_all(directory).unwrap();
    let name = format!("{}.json", result["user"].as_str().unwrap());
    fs::write(directory.join(name), format!("{result}\n")).unwrap();
}

/// Results of six accounts, and a list of eight with mailboxes.
fn migration() -> tempfile::TempDir {
    let scratch = scratch();
    let results = scratch.path().join("results");
    write(&results, &result("ann", "done", 1, 40));
    write(&results, &result("bob", "done", 2, 400));
    write(&results, &result("cid", "flawed", 3, 4));
    write(&results, &result("dan", "failed", 3, 1));
    write(&results, &result("eve", "interrupted", 4, 10));
    fs::write(results.join("fay.json"), "{\"type\":\"account\",\"user\":\"fa").unwrap();
    // None of these is a result.
    fs::write(results.join(".gus.json.mailferry-partial"), "").unwrap();
    fs::write(results.join(".gus.json"), "{").unwrap();
    fs::write(results.join("dan.json.lock"), "").unwrap();
    fs::write(results.join("joblog"), "Seq\n").unwrap();
    let mail = scratch.path().join("mail");
    fs::create_dir_all(mail.join("hal/cur")).unwrap();
    fs::write(mail.join("gus"), vec![b'x'; 100_000]).unwrap();
    fs::write(mail.join("hal/cur/1"), vec![b'x'; 120_000]).unwrap();
    symlink("/etc", mail.join("hal/cur/link")).unwrap();
    let line = |user: &str| format!("{user}\t{}\n", mail.join(user).display());
    let list = ["ann", "bob", "cid", "dan", "eve", "fay", "gus"].map(line).concat();
    let hal = format!("{{\"user\":\"hal\",\"sources\":[\"maildir:{}\"]}}\n", mail.join("hal").display());
    fs::write(scratch.path().join("list"), list + &hal).unwrap();
    scratch
}

fn report(scratch: &tempfile::TempDir, words: &[&str]) -> std::process::Command {
    let mut command = mailferry([&["report"], words].concat());
    command.current_dir(scratch.path()).env("NO_COLOR", "1");
    command
}

fn summary_of(run: &Run) -> Value {
    run.json().pop().unwrap()
}

#[test]
fn the_report_names_what_is_not_done_and_adds_up() {
    let scratch = migration();
    let run = run(report(&scratch, &["--accounts", "list", "results"])).exits(1);
    assert_eq!(run.stderr, "");
    expect![[r#"
        outcome      accounts
        done                2
        flawed              1  mail was skipped or is damaged
        failed              1
        interrupted         1  the same command continues
        missing             2  in the list, without a result
        unreadable          1  the result cannot be read

        not done  outcome      exit  retry  reason
        cid       flawed          1  no     /var/mail/cid: 20 bytes belong to no message
        dan       failed          3  no     /var/mail/dan: cannot open: permission denied; run the command as the owner
        eve       interrupted     4  yes    /var/mail/eve: cannot open: permission denied; run the command as the owner
        fay       unreadable         yes    results/fay.json: it is cut off
        gus       missing            yes
        hal       missing            yes

        finding       severity  count
        mbox-junk     error         6
        mbox-variant  info          2

        slowest  messages    bytes  time
        ann            40   40,000  60 s
        bob           400  400,000  60 s
        cid             4    4,000  60 s
        dan             1    1,000  60 s
        eve            10   10,000  60 s

        largest  messages    bytes  time
        bob           400  400,000  60 s
        ann            40   40,000  60 s
        eve            10   10,000  60 s
        cid             4    4,000  60 s
        dan             1    1,000  60 s

        host   accounts    bytes       time        speed
        north         2  410,000  2 min 0 s     3.4 kB/s
        south         3   45,000  2 min 0 s  375 bytes/s

        messages: 455 = 450 in place + 5 duplicates
        bytes: 455,000 = 450,450 messages + 4,550 From_ lines
        455 kB in 4 min 0 s: 1.9 kB/s.
        220 kB are left.
        2 of 8 accounts are done; 1 is flawed, 1 failed, 1 was interrupted, 2 are missing, 1 has a result that cannot be read; about 2 min are left.
    "#]]
    .assert_eq(&run.text());
}

#[test]
fn the_report_fits_a_terminal_and_lists_the_first_20() {
    let scratch = scratch();
    for n in 0..30 {
        write(&scratch.path().join("results"), &result(&format!("user{n:02}"), "failed", 5, 7));
    }
    let on_terminal = |words: &[&str]| {
        let run = run_on_terminal(report(&scratch, words), 60);
        assert_eq!(run.code, Some(1));
        run.text()
    };
    let text = on_terminal(&["results"]);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    let listed = |text: &str| text.lines().filter(|line| line.contains("  failed")).count();
    assert_eq!(listed(&text), 20, "{text}");
    assert!(text.contains("\n10 more accounts not done; list all with -v\n"), "{text}");
    assert!(text.ends_with("\n0 of 30 accounts are done; 30 failed.\n"), "{text}");
    assert_eq!(listed(&on_terminal(&["-v", "results"])), 30);
}

#[test]
fn the_same_totals_are_in_json() {
    let scratch = migration();
    let run = run(report(&scratch, &["--json", "--accounts", "list", "results"])).exits(1);
    let mut objects = run.json();
    let summary = objects.pop().unwrap();
    let not_done: Vec<&str> = objects.iter().map(|object| object["user"].as_str().unwrap()).collect();
    assert_eq!(not_done, ["cid", "dan", "eve", "fay", "gus", "hal"]);
    assert!(objects.iter().all(|object| object["type"] == "account"));
    for (key, expected) in [
        ("accounts", json!(8)),
        ("done", json!(2)),
        ("missing", json!(2)),
        ("unreadable", json!(1)),
        ("messages_found", json!(455)),
        ("in_place", json!(450)),
        ("bytes_source", json!(455_000)),
        ("busy_seconds", json!(240.0)),
        ("account_seconds", json!(300.0)),
        ("bytes_left", json!(220_000)),
        ("sizes_unknown", json!(0)),
        ("warnings", json!(5)),
        ("errors", json!(3)),
        ("exit", json!(1)),
        ("first_start", json!("2026-11-30T01:00:00.000Z")),
        ("last_end", json!("2026-11-30T01:04:00.000Z")),
    ] {
        assert_eq!(summary[key], expected, "{key}");
    }
}

#[test]
fn csv_has_a_row_for_each_account_and_no_formula() {
    let scratch = migration();
    let mut evil = result("=cmd|' /C calc'!A0", "failed", 5, 3);
    evil["errors"] = json!(["a \"b\", c\nd"]);
    fs::write(scratch.path().join("results/evil.json"), evil.to_string()).unwrap();
    let run = run(report(&scratch, &["--csv", "results"])).exits(1);
    let text = run.text();
    assert!(text.split_inclusive('\n').all(|line| line.ends_with("\r\n")), "{text}");
    expect![[r#"
        user,outcome,exit,retry,messages,bytes,seconds,host,start,end,reason
        '=cmd|' /C calc'!A0,failed,3,false,3,3000,60,south,2026-11-30T01:04:00.000Z,2026-11-30T01:05:00.000Z,"a ""b"", c\nd"
        ann,done,0,false,40,40000,60,south,2026-11-30T01:00:00.000Z,2026-11-30T01:01:00.000Z,
        bob,done,0,false,400,400000,60,north,2026-11-30T01:01:00.000Z,2026-11-30T01:02:00.000Z,
        cid,flawed,1,false,4,4000,60,south,2026-11-30T01:02:00.000Z,2026-11-30T01:03:00.000Z,/var/mail/cid: 20 bytes belong to no message
        dan,failed,3,false,1,1000,60,south,2026-11-30T01:02:00.000Z,2026-11-30T01:03:00.000Z,/var/mail/dan: cannot open: permission denied; run the command as the owner
        eve,interrupted,4,true,10,10000,60,north,2026-11-30T01:03:00.000Z,2026-11-30T01:04:00.000Z,/var/mail/eve: cannot open: permission denied; run the command as the owner
        fay,unreadable,,true,0,0,0,,,,results/fay.json: it is cut off
    "#]]
    .assert_eq(&text.replace("\r\n", "\n"));
    assert!(run.stderr.starts_with("2 of 7 accounts are done"), "{}", run.stderr);
}

#[test]
fn the_newest_result_of_several_machines_counts() {
    let scratch = scratch();
    let [north, south] = ["north", "south"].map(|name| scratch.path().join(name));
    write(&north, &result("joe", "failed", 9, 1));
    write(&south, &result("joe", "done", 10, 7));
    write(&north, &result("ann", "done", 11, 7));
    write(&south, &result("ann", "interrupted", 10, 7));
    for order in [["north", "south"], ["south", "north"]] {
        let run = run(report(&scratch, &order)).exits(0);
        assert_eq!(run.last_line(), "All 2 accounts are done.");
        run.has_line("messages: 14 = 12 in place + 2 duplicates");
    }
    // Files can be named, too, and more than once.
    run(report(&scratch, &["south/ann.json", "south"])).exits(1);
    run(report(&scratch, &["south/ann.json", "north"])).exits(1);
}

#[test]
fn what_is_wrong_with_the_arguments_is_named() {
    let scratch = migration();
    let path = |name: &str| scratch.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("twice"), "joe\njoe\n").unwrap();
    for (words, exit, complaint) in [
        (&["nothing"][..], 3, "nothing: cannot open: no such file"),
        (&["results", "nothing"], 3, "nothing: cannot open"),
        (&["empty"], 3, "empty: has no results; name the directory of convert --results"),
        (&["--accounts", "nothing", "results"], 3, "nothing: cannot read"),
        (
            &["--accounts", "twice", "results"],
            2,
            "--accounts: twice, line 2: the account joe is also in line 1",
        ),
        (&["--html", "none/report.html", "results"], 3, "none: no such directory for the report"),
    ] {
        run(report(&scratch, words)).exits(exit).complains(&[complaint]);
    }
    for words in [&[][..], &["--html", "inbox", "results"], &["--csv", "--json", "results"]] {
        let run = run(report(&scratch, words)).exits(2);
        assert_eq!(run.text(), "");
    }
    let run = run(report(&scratch, &["--json", "nothing"])).exits(3);
    assert_eq!(summary_of(&run)["exit"], 3);
}

#[test]
fn accounts_that_are_not_in_the_list_are_not_counted() {
    let scratch = migration();
    fs::write(scratch.path().join("list"), "ann\nbob\n").unwrap();
    let run = run(report(&scratch, &["--accounts", "list", "results"])).exits(0);
    run.has_line("not listed         4  not in the list, and not counted");
    assert_eq!(run.last_line(), "All 2 accounts are done.");
}

#[test]
fn quiet_prints_what_is_not_done_and_nothing_else() {
    let scratch = migration();
    let run = run(report(&scratch, &["-q", "--accounts", "list", "results"])).exits(1);
    let users: Vec<String> = run.text().lines().map(|line| line[..3].to_owned()).collect();
    assert_eq!(users, ["cid", "dan", "eve", "fay", "gus", "hal"]);
    run.has_line("cid: flawed (exit code 1): /var/mail/cid: 20 bytes belong to no message");
    run.has_line("gus: missing");
}

#[test]
fn the_page_appears_whole_and_redacted_reports_have_no_names() {
    let scratch = migration();
    let page = scratch.path().join("report.html");
    fs::write(&page, "old").unwrap();
    let run_with =
        |words: &[&str]| run(report(&scratch, &[words, &["--accounts", "list", "results"]].concat()));
    run_with(&["--html", "report.html"]).exits(1);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("</html>") && text.contains("cid") && !text.contains("<script"), "{text}");
    assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
    let redacted = [
        run_with(&["--redact", "--html", "report.html"]).text(),
        fs::read_to_string(&page).unwrap(),
        run_with(&["--redact", "--csv"]).text(),
        run_with(&["--redact", "-q"]).text(),
    ];
    for text in redacted {
        assert!(text.contains("account 3"), "{text}");
        for name in ["bob", "cid", "gus", "north", "south", "/var/mail"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
    let names: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn results_of_convert_add_up_to_what_verify_finds() {
    let scratch = scratch();
    let sources = ["inbox.mbox", "broken.mbox", "crlf.mbox"];
    let line = |(user, source): (&&str, &&str)| {
        format!("{user}\t{}\t{}\n", fixture(source).display(), scratch.path().join(user).display())
    };
    let users = ["ann", "bob", "cid"];
    let missing = format!("dan\t{}\tdan\n", scratch.path().join("nothing").display());
    let list = users.iter().zip(&sources).map(line).collect::<String>() + &missing;
    fs::write(scratch.path().join("list"), list).unwrap();
    let mut convert = mailferry(["convert", "--accounts", "list", "--results", "results"]);
    convert.current_dir(scratch.path());
    run(convert).exits(1);
    let summary = summary_of(&run(report(&scratch, &["--json", "--accounts", "list", "results"])).exits(1));
    assert_eq!(
        [
            count(&summary, "done"),
            count(&summary, "flawed"),
            count(&summary, "failed"),
            count(&summary, "missing")
        ],
        [2, 1, 1, 0]
    );
    let verified = users.map(|user| {
        let run = run(mailferry(
            ["verify", "--json"]
                .map(std::ffi::OsString::from)
                .into_iter()
                .chain([scratch.path().join(user).into()]),
        ));
        count(run.json().last().unwrap(), "messages_found")
    });
    assert_eq!(count(&summary, "in_place"), verified.iter().sum::<u64>());
    let sizes = sources.map(|source| fs::metadata(fixture(source)).unwrap().len());
    assert_eq!(count(&summary, "bytes_source"), sizes.iter().sum::<u64>());
}

#[test]
fn the_results_of_100000_accounts_take_little_memory() {
    let scratch = scratch();
    let peak = |accounts: u64| {
        let directory = scratch.path().join(accounts.to_string());
        for n in 0..accounts {
            let outcome = if n.is_multiple_of(20) { "failed" } else { "done" };
            write(&directory, &result(&format!("user{n:05}@example.org"), outcome, 5, 7));
        }
        peak_memory(&["report", directory.to_str().unwrap()], Path::new("/dev/null")).1 * 1024
    };
    let (few, many) = (peak(5_000), peak(25_000));
    let of_100_000 = few + (many - few) / 20_000 * 95_000;
    assert!(of_100_000 < 96 << 20, "{few} and {many} bytes");
    note!("results of 100,000 accounts: {} MB at most", of_100_000 / 1_000_000);
}
