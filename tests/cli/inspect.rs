//! The output of `inspect`, and that `convert --boundaries` follows its lists.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use expect_test::expect;
use serde_json::Value;

use crate::support::*;

fn inspect<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = mailferry(["inspect"]);
    command.args(args);
    command
}

/// Returns README's inbox as a Maildir, with its message files in the order of the mbox.
fn inbox_in_maildir() -> (tempfile::TempDir, PathBuf, Vec<Message>) {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    convert_fixture("inbox.mbox", &maildir);
    let mut files = messages(&maildir);
    // The fixture is in the order of its dates.
    files.sort_by_key(|message| message.epoch);
    (scratch, maildir, files)
}

#[test]
fn the_list_has_date_flags_and_subject_of_every_message() {
    let run = run(inspect([fixture("inbox.mbox")])).exits(0);
    expect![[r#"
        1	0	389	1998-03-02T08:15:00Z	from	S	Ada Lindqvist <ada@example.org>	The library gets its first terminal	<19980302081452.ada@example.org>
        2	436	453	1998-03-02T19:40:31Z	from	RS	Bertil Brandt <bertil@example.org>	Re: The library gets its first terminal	<19980302194012.bertil@example.org>
        3	940	482	1999-12-31T23:58:07Z	from	FS	Carmen Ruiz <carmen.ruiz@example.org>	Grüße zum neuen Jahr	<19991231235801.carmen@example.org>
        4	1477	654	2001-07-17T06:02:44Z	from	-	"Dilip Rao" <dilip@example.org>	The catalogue as a table	<20010717060240.dilip@example.org>
        5	2180	328	2001-07-17T09:30:00Z	from	D	Ada Lindqvist <ada@example.org>	Re: The catalogue as a table (draft)	<20010717092941.ada@example.org>
        6	2555	415	2004-02-29T12:00:00Z	from	ST	The Reading Circle <readers@lists.example.org>	A meeting on the day that is not there next year	<20040229115958.list@lists.example.org>
        7	3032	263	2012-11-08T17:21:09Z	from	N	Bertil Brandt <bertil@example.org>	Keys	<20121108172100.bertil@example.org>
        8	3345	364	2025-05-14T20:05:55Z	from	N	Eeva Korhonen <eeva@example.org>	Do you still have these mails?	<20250514200550.eeva@example.org>
    "#]].assert_eq(&run.text());
    assert!(run.stderr.ends_with("inbox.mbox: 8 messages, mboxrd (1 line quoted once, none deeper: mboxo would give the same messages)\n"), "{}", run.stderr);
}

#[test]
fn a_message_by_number_is_what_convert_writes() {
    let (_scratch, maildir, files) = inbox_in_maildir();
    let mbox = fs::read(fixture("inbox.mbox")).unwrap();
    let mut sources = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let number = (n + 1).to_string();
        let mbox = fixture("inbox.mbox").into_os_string();
        let raw = run(inspect([&mbox, OsStr::new(&number)])).exits(0);
        assert_eq!(raw.stdout, file.bytes, "{number}");
        sources.push(run(inspect([&mbox, OsStr::new(&number), OsStr::new("--stored")])).exits(0).stdout);
    }
    assert!(sources.join(&b"\n"[..]) == mbox, "the source bytes and the blank lines between are the mbox");
    // In a Maildir the numbers follow the names.
    for (n, file) in messages(&maildir).iter().enumerate() {
        let raw = run(inspect([maildir.as_os_str(), OsStr::new(&(n + 1).to_string())])).exits(0);
        let listed = run(inspect([&maildir])).exits(0).text();
        let line = listed.lines().nth(n).unwrap().to_owned();
        let shown = files.iter().find(|f| f.bytes == raw.stdout).unwrap_or_else(|| panic!("{n} of {file:?}"));
        assert!(line.contains(&shown.name), "{line}");
    }
}

#[test]
fn a_maildir_is_listed_like_the_mbox_it_came_from() {
    let (_scratch, maildir, _) = inbox_in_maildir();
    let of = |path: &Path| {
        let report = run(inspect([OsStr::new("--json"), path.as_os_str()])).exits(0).json();
        let messages = report.iter().filter(|object| object["type"] == "message");
        let facts = ["length", "epoch", "flags", "new", "from", "subject", "message_id"];
        let rows = messages.map(|m| facts.map(|fact| m[fact].to_string()));
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    };
    let listed = of(&fixture("inbox.mbox"));
    assert_eq!(listed.len(), 8);
    assert_eq!(of(&maildir), listed);
}

#[test]
fn json_is_a_message_a_line_and_one_summary_at_the_end() {
    let report = run(inspect([OsStr::new("--json"), fixture("broken.mbox").as_os_str()])).exits(0).json();
    let summary = report.last().unwrap();
    assert_eq!(
        (&summary["type"], count(summary, "messages_found"), count(summary, "warnings")),
        (&"summary".into(), 4, 6)
    );
    let of_type = |name: &str| report.iter().filter(|object| object["type"] == name).count();
    assert_eq!((of_type("message"), of_type("summary")), (4, 1));
    let first = &report[0];
    assert_eq!((count(first, "offset"), count(first, "number")), (76, 1));
    assert_eq!(first["subject"], "With two envelopes");
    assert_eq!(first["message_id"], "<1.broken@example.org>");
    let failed = run(inspect(["--json", "/nonexistent/mbox"])).exits(3);
    assert_eq!(failed.json().last().unwrap()["type"], "summary");
}

#[test]
fn every_candidate_has_the_table_row_that_decided_it() {
    let run = run(inspect([OsStr::new("--boundaries"), fixture("broken.mbox").as_os_str()])).exits(0);
    expect![[r#"
        # mailferry boundaries of 1104 bytes
        # change separator to body or body to separator, then: mailferry convert --boundaries THIS FILE …
        # offset	line	class	row	verdict	the line
        76	4	DHB	5	separator	From ada@example.org Mon Mar  2 08:15:00 1998
        122	5	DHN	1	doubled	From ada@example.org Mon Mar  2 08:14:00 1998
        382	13	DHB	5	separator	From bertil@example.org Mon Mar  2 19:40:31 1998
        635	22	UHB	11	body	From here on only prose follows, though the next line has a colon.
        726	24	DHN	5	separator	From carmen.ruiz@example.org Fri Dec 31 23:58:07 1999
        976	32	DHB	5	separator	From dilip@example.org Tue Jul 17 06:02:44 2001
    "#]]
    .assert_eq(&run.text());
}

#[test]
fn a_list_of_boundaries_that_was_edited_is_obeyed() {
    let scratch = scratch();
    let broken = fixture("broken.mbox");
    let printed = run(inspect([OsStr::new("--boundaries"), broken.as_os_str()])).exits(0).text();
    let edit = |from: &str, to: &str, line: &str| {
        let edited =
            printed.lines().map(|l| if l.contains(line) { l.replace(from, to) } else { l.to_owned() });
        let edited: Vec<String> = edited.collect();
        assert_ne!(edited.join("\n"), printed.trim_end(), "{line}");
        edited.join("\n")
    };
    let lists = [
        ("as-printed", printed.clone(), 4),
        ("merged", edit("separator", "body", "carmen"), 3),
        ("split", edit("body", "separator", "only prose"), 5),
    ];
    for (name, list, expected) in lists {
        let (file, maildir) = (scratch.path().join(format!("{name}.list")), scratch.path().join(name));
        fs::write(&file, list).unwrap();
        let args = [
            OsStr::new("--lock=none"),
            OsStr::new("--boundaries"),
            file.as_os_str(),
            broken.as_os_str(),
            maildir.as_os_str(),
        ];
        let summary = convert_junk(args).summary();
        assert_eq!(
            (count(&summary, "written"), messages(&maildir).len()),
            (expected, expected as usize),
            "{name}"
        );
    }
    let merged = messages(&scratch.path().join("merged"));
    assert!(
        merged
            .iter()
            .any(|m| String::from_utf8_lossy(m.body()).contains("\nFrom carmen.ruiz@example.org Fri"))
    );

    let maildir = scratch.path().join("refused");
    for (list, source, words) in [
        (printed.clone(), "inbox.mbox", "3756"),
        (edit("separator", "perhaps", "carmen"), "broken.mbox", "perhaps"),
        (edit("726", "727", "carmen"), "broken.mbox", "727"),
    ] {
        let file = scratch.path().join("wrong.list");
        fs::write(&file, list).unwrap();
        let source = fixture(source);
        let args = [OsStr::new("--boundaries"), file.as_os_str(), source.as_os_str(), maildir.as_os_str()];
        run(convert_command(args)).exits(2).complains(&["wrong.list", "line ", words]);
        assert!(!maildir.exists());
    }
}

#[test]
fn compressed_mail_and_standard_input_are_listed() {
    let mbox = fs::read(fixture("inbox.mbox")).unwrap();
    let listed = run(inspect([fixture("inbox.mbox")])).exits(0).text();
    let packed = zstd::encode_all(&mbox[..], 1).unwrap();
    let (scratch, path) = file("inbox", &packed);
    let before = tree(scratch.path());
    for input in [mbox, packed] {
        assert_eq!(run_with_stdin(inspect(["-"]), input).exits(0).text(), listed);
    }
    assert_eq!(run(inspect([&path])).exits(0).text(), listed);
    assert_eq!(
        run(inspect([path.as_os_str(), OsStr::new("--boundaries")])).exits(0).text().lines().count(),
        3 + 8
    );
    assert_eq!(tree(scratch.path()), before);
}

#[test]
fn what_cannot_be_shown_is_refused_by_name() {
    let inbox = fixture("inbox.mbox");
    let inbox = inbox.to_str().unwrap();
    let (_scratch, picture) = file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    for (args, code, words) in [
        (vec![inbox, "9"], 3, ["inbox.mbox", "8 messages"]),
        (vec![inbox, "0"], 3, ["inbox.mbox", "number 0"]),
        (vec!["/nonexistent/mbox"], 3, ["/nonexistent/mbox", "no such file"]),
        (vec![picture.to_str().unwrap()], 3, ["picture.png", "PNG"]),
    ] {
        let refused = run(inspect(args)).exits(code).complains(&words);
        assert_eq!(refused.text(), "");
    }
    run(inspect([inbox, "--stored"])).exits(2);
}

#[test]
fn thousands_of_messages_are_listed_in_order_with_any_jobs() {
    let (_scratch, path) = file("many", many(5000));
    for workers in ["1", "2", "16"] {
        let listed = run(inspect([path.as_os_str(), OsStr::new("-j"), OsStr::new(workers)])).exits(0).text();
        let mut offset = -1;
        for (n, line) in listed.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!((fields[0], fields[7]), (&*(n + 1).to_string(), &*format!("number {n}")), "{workers}");
            let at = fields[1].parse::<i64>().unwrap();
            assert!(at > offset, "{workers}: {line}");
            offset = at;
        }
        assert_eq!(listed.lines().count(), 5000);
    }
}

#[test]
fn a_full_output_is_an_error_and_a_closed_pipe_is_not() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = inspect([fixture("inbox.mbox").as_os_str(), OsStr::new("1")]);
    command.stdout(full).stderr(Stdio::piped());
    Run::of(command.output().unwrap()).exits(3).complains(&["standard output"]);

    let (_scratch, path) = file("many", many(5000));
    let mut child = inspect([&path]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let closed = Run::of(child.wait_with_output().unwrap()).exits(0);
    assert!(!closed.stderr.contains("pipe"), "{}", closed.stderr);
}

/// The listing shows the same date as the converted mailbox.
#[test]
fn a_maildir_is_listed_with_the_dates_of_its_conversion() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    ["tmp", "new", "cur"].iter().for_each(|name| fs::create_dir_all(maildir.join(name)).unwrap());
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_104_746_400);
    for name in ["abc:2,S", "1:2,S", "3:2,S", "4102444800.x:2,S"] {
        let path = maildir.join("cur").join(name);
        fs::write(&path, "Date: Mon, 3 Jan 2005 10:00:00 +0000\nSubject: y\n\nb\n").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let listed = run(inspect([OsStr::new("--json"), maildir.as_os_str()])).exits(0).json();
    let dates: Vec<u64> = listed.iter().filter_map(|object| object["epoch"].as_u64()).collect();
    assert_eq!(dates, [1_104_746_400; 4]);
    let mut command = mailferry(["convert"]);
    command.args([maildir.as_os_str(), OsStr::new("-")]);
    let written = run(command).exits(0).text();
    assert_eq!(written.matches("From MAILER-DAEMON Mon Jan  3 10:00:00 2005\n").count(), 4, "{written}");
}

#[test]
fn a_number_that_there_is_none_of_has_a_summary_too() {
    let (_scratch, maildir, _) = inbox_in_maildir();
    let run = run(inspect([OsStr::new("--json"), maildir.as_os_str(), OsStr::new("999")])).exits(3);
    assert_eq!(run.json().pop().unwrap()["type"], "summary");
}

/// Lists one message per header, and returns the JSON object of each.
fn listed_headers(headers: &[&[u8]]) -> Vec<serde_json::Value> {
    let message = |header: &&[u8]| {
        [b"From ann@example.org Mon Jan  1 10:00:00 2001\n", *header, b"\n\nText.\n\n"].concat()
    };
    let (_scratch, path) = file("headers", headers.iter().map(message).collect::<Vec<_>>().concat());
    let report = run(inspect([OsStr::new("--json"), path.as_os_str()])).exits(0).json();
    let rows: Vec<_> = report.into_iter().filter(|object| object["type"] == "message").collect();
    assert_eq!(rows.len(), headers.len());
    rows
}

#[test]
fn subjects_and_names_in_the_charsets_of_east_asia_are_decoded() {
    let words = [
        ("=?iso-2022-jp?B?GyRCP149cTRbJE5DPEt2GyhC?=", "図書館の端末"),
        ("=?Shift_JIS?B?kH2PkYrZgsySW5aW?=", "図書館の端末"),
        ("=?Shift_JIS?Q?=92=5B=96=96?=", "端末"),
        ("=?EUC-JP?B?v9698bTbpM7DvMv2?=", "図書館の端末"),
        ("=?GB2312?B?zbzK6bnd?=", "图书馆"),
        ("=?gbk?B?iESV+PBe?=", "圖書館"),
        ("=?gb18030?B?zbzK6bndtcTW1bbL?=", "图书馆的终端"),
        ("=?Big5?B?uc+u0cBdqrqy17rd?=", "圖書館的終端"),
        ("=?euc-kr?B?tbW8rbD8wMcgtNy4u7Hi?=", "도서관의 단말기"),
        ("=?ks_c_5601-1987?B?tbW8rbD8?=", "도서관"),
        // Blanks between two encoded words are not part of the text (RFC 2047, 6.2).
        ("=?gb18030?B?zbzK6bnd?=\n =?euc-kr?B?tbW8rbD8?= =?Shift_JIS?Q?=92=5B=96=96?=", "图书馆도서관端末"),
    ];
    let header = |word: &str| format!("Subject: {word}\nFrom: {word} <ann@example.org>");
    let headers: Vec<String> = words.iter().map(|(word, _)| header(word)).collect();
    let headers: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
    for (row, (word, text)) in listed_headers(&headers).iter().zip(words) {
        assert_eq!(row["subject"], text, "{word}");
        assert_eq!(row["from"], format!("{text} <ann@example.org>"), "{word}");
    }
}

#[test]
fn raw_bytes_in_a_header_are_shown_and_reach_no_terminal() {
    let rows = listed_headers(&[
        "Subject: 図書館 도서관".as_bytes(),
        b"Subject: \x1b$B?^=q4[\x1b(B",
        b"Subject: \xcd\xbc\xca\xe9\xb9\xdd",
        b"Subject: \x92\x5b\x96\x96",
    ]);
    assert_eq!(rows[0]["subject"], "図書館 도서관");
    assert!(rows.iter().all(|row| !row["subject"].as_str().unwrap().is_empty()), "{rows:?}");
    let (_scratch, path) =
        file("raw", b"From a@b Mon Jan  1 10:00:00 2001\nSubject: \x1b$B?^\x1b(B\xcd\n\nx\n");
    let text = run(inspect([&path])).exits(0).text();
    assert_eq!((text.lines().count(), text.contains('\x1b')), (1, false), "{text}");
}

#[test]
fn options_for_an_mbox_are_usage_errors_with_a_maildir() {
    let (_scratch, maildir, _) = inbox_in_maildir();
    let maildir = maildir.as_os_str();
    for args in
        [vec![OsStr::new("--boundaries"), maildir], vec![OsStr::new("--stored"), maildir, OsStr::new("1")]]
    {
        let option = args[0].to_str().unwrap().to_owned();
        run(inspect(args)).exits(2).complains(&[&option, "is a Maildir"]);
    }
}

/// Two columns wide characters count twice, and no line is wider than the terminal.
#[test]
fn on_a_terminal_the_list_is_a_table_that_fits() {
    let mail = "From a@b Mon Jan  1 10:00:00 2001\nFrom: 図書館の端末を使う人 <a@b>\nSubject: 図書館の端末についてのお知らせ、\
        図書館の端末についてのお知らせ\n\nx\n\nFrom a@b Mon Jan  1 10:00:01 2001\nFrom: Ada <a@b>\nSubject: short\n\ny\n";
    let (_scratch, path) = file("mail", mail);
    let shown = |columns| run_on_terminal(inspect([&path]), columns).exits(0).text();
    expect![[r#"
           received          flags   bytes  from              subject
        1  2001-01-01 10:00  N         149  図書館の端末を…   図書館の端末についてのお…
        2  2001-01-01 10:00  N          34  Ada               short
    "#]]
    .assert_eq(&shown(80).lines().take(3).map(|line| format!("{line}\n")).collect::<String>());
    expect![[r#"
           received          flags   bytes  from                              subject
        1  2001-01-01 10:00  N         149  図書館の端末を使う人              図書館の端末についてのお知らせ、図書館の端末につ…
        2  2001-01-01 10:00  N          34  Ada                               short
    "#]]
        .assert_eq(&shown(120).lines().take(3).map(|line| format!("{line}\n")).collect::<String>());
    // A program that reads the list gets the same columns as ever.
    assert_eq!(run(inspect([&path])).exits(0).text().lines().next().unwrap().split('\t').count(), 9);
}

#[test]
fn a_range_of_messages_is_each_of_them_in_turn() {
    let inbox = fixture("inbox.mbox").into_os_string();
    let shown = |args: &[&str]| {
        let args = [&inbox].into_iter().map(|path| path.as_os_str()).chain(args.iter().map(OsStr::new));
        run(inspect(args)).exits(0).stdout
    };
    assert_eq!(shown(&["2-4"]), [shown(&["2"]), shown(&["3"]), shown(&["4"])].concat());
    assert_eq!(shown(&["7-"]), [shown(&["7"]), shown(&["8"])].concat());
    // The source bytes are an mbox again.
    assert_eq!(shown(&["1-", "--stored"]), fs::read(&inbox).unwrap());
    let (_scratch, part) = file("part", shown(&["3-5", "--stored"]));
    assert_eq!(run(inspect([&part])).exits(0).text().lines().count(), 3);
    let (_scratch, maildir, _) = inbox_in_maildir();
    let of = |range: &str| run(inspect([maildir.as_os_str(), OsStr::new(range)])).exits(0).stdout;
    assert_eq!(of("2-3"), [of("2"), of("3")].concat());
    run(inspect([inbox.as_os_str(), OsStr::new("7-9")])).exits(3).complains(&["8 messages, no number 9"]);
    run(inspect([inbox.as_os_str(), OsStr::new("3-2")])).exits(2);
}

#[test]
fn a_line_is_shown_with_its_context_and_the_decision() {
    let at = |line: &str| {
        let mut path = fixture("broken.mbox").into_os_string();
        path.push(line);
        path
    };
    let text = run(inspect([at(":22")])).exits(0).text();
    assert!(text.contains("\n> 22 | From here on only prose follows"), "{text}");
    assert!(text.contains(" 24 | From carmen.ruiz@example.org") && text.contains("(row 11)"), "{text}");
    assert!(
        text.lines().next().unwrap().ends_with("broken.mbox:22 (byte 635): in the body of message 2"),
        "{text}"
    );
    let object = |line: &str| run(inspect([OsStr::new("--json"), &at(line)])).exits(0).json().remove(0);
    for (line, part, message, row, verdict) in [
        (":1", "junk", Value::Null, Value::Null, Value::Null),
        (":4", "from_line", 1.into(), 5.into(), "separator".into()),
        (":5", "from_line", 1.into(), 1.into(), "doubled".into()),
        (":8", "header", 1.into(), Value::Null, Value::Null),
        (":12", "separator", Value::Null, Value::Null, Value::Null),
        (":22", "body", 2.into(), 11.into(), "body".into()),
        (":24", "from_line", 3.into(), 5.into(), "separator".into()),
    ] {
        let object = object(line);
        let found = ["part", "message", "row", "verdict"].map(|key| object[key].clone());
        assert_eq!(found, [part.into(), message, row, verdict], "{line}: {object}");
        assert_eq!(object["line"].to_string(), line[1..]);
    }
    run(inspect([at(":99")])).exits(3).complains(&["35 lines, no line 99"]);
    let args = [at(":22"), "3".into()];
    run(inspect(args)).exits(2).complains(&["N: is for a mailbox"]);
    // A file that is called so is a mailbox.
    let (_scratch, named) = file("mail:2", fs::read(fixture("inbox.mbox")).unwrap());
    assert_eq!(run(inspect([&named])).exits(0).text().lines().count(), 8);
}

#[test]
fn a_directory_is_listed_by_mailbox() {
    let tree = fixture("trees/thunderbird");
    let listed = run(inspect([&tree])).exits(0);
    let rows: Vec<Vec<String>> =
        listed.text().lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    let report = run(inspect([OsStr::new("--json"), tree.as_os_str()])).exits(0).json();
    let (summary, objects) = report.split_last().unwrap();
    let mailboxes: Vec<&Value> = objects.iter().filter(|object| object["type"] == "mailbox").collect();
    assert!(rows.len() > 1, "{listed:?}");
    assert_eq!((rows.len(), count(summary, "mailboxes")), (mailboxes.len(), rows.len() as u64));
    let mut total = 0;
    for (row, object) in rows.iter().zip(mailboxes) {
        let [path, folder, format, messages, bytes] = &row[..] else { panic!("{row:?}") };
        let path_bytes = fs::metadata(tree.join(path)).unwrap().len();
        assert_eq!(
            (&object["folder"], &object["format"]),
            (&folder.as_str().into(), &format.as_str().into())
        );
        assert_eq!(
            (count(object, "messages").to_string(), path_bytes.to_string()),
            (messages.clone(), bytes.clone())
        );
        total += count(object, "messages");
    }
    assert_eq!(count(summary, "messages_found"), total);
    let shown = run_on_terminal(inspect([&tree]), 80).exits(0).text();
    // The path may be so long that the sum is broken between words.
    let sum = format!("{total} messages, ");
    assert!(shown.starts_with("folder ") && shown.replace('\n', " ").contains(&sum), "{shown}");
    for option in ["--boundaries", "--second-opinion"] {
        run(inspect([OsStr::new(option), tree.as_os_str()]))
            .exits(2)
            .complains(&[option, "directory of mailboxes"]);
    }
    run(inspect([tree.as_os_str(), OsStr::new("1")])).exits(2).complains(&["directory of mailboxes"]);
}

#[test]
fn messages_are_counted_by_year_month_folder_and_sender() {
    let stats = |args: &[&str], path: &Path| {
        let mut command = inspect(["--json", "--stats"]);
        command.args(args).arg(path);
        run(command).exits(0).json()
    };
    let keys = |report: &[Value]| -> Vec<String> {
        let groups = report.iter().filter(|object| object["type"] == "group");
        groups.map(|group| format!("{} {}", group["key"].as_str().unwrap(), group["messages"])).collect()
    };
    let (_scratch, maildir, _) = inbox_in_maildir();
    for path in [&fixture("inbox.mbox"), &maildir] {
        let by_year = stats(&[], path);
        assert_eq!(keys(&by_year), ["1998 2", "1999 1", "2001 2", "2004 1", "2012 1", "2025 1"]);
        let summary = by_year.last().unwrap();
        let counts =
            ["messages_found", "bytes", "unread", "flagged", "deleted"].map(|key| count(summary, key));
        assert_eq!(counts, [8, 3348, 4, 1, 1], "{}", path.display());
        assert_eq!((&summary["first"], &summary["last"]), (&"1998-03-02".into(), &"2025-05-14".into()));
        assert_eq!(
            keys(&stats(&["--by=sender", "--top=2"], path)),
            ["ada@example.org 2", "bertil@example.org 2"]
        );
        assert_eq!(keys(&stats(&["--by=month"], path))[1], "1999-12 1");
        assert_eq!(keys(&stats(&["--by=folder"], path)), ["INBOX 8"]);
    }
    let by_folder = stats(&["--by=folder"], &fixture("trees/thunderbird"));
    assert!(keys(&by_folder).len() > 1, "{by_folder:?}");
    let listed = run(inspect([fixture("trees/thunderbird")])).exits(0).text();
    assert_eq!(keys(&by_folder).len(), listed.lines().count());
    // UW-IMAP's pseudo message is not mail.
    let mail = "From MAILER-DAEMON Mon Jan  1 10:00:00 2001\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\
        From: Mail System Internal Data <MAILER-DAEMON@h>\nX-IMAP: 978343200 1\nStatus: RO\n\nx\n\n\
        From a@b Mon Jan  1 10:00:01 2001\nFrom: a@b\n\ny\n";
    let (_scratch, path) = file("uw", mail);
    assert_eq!(keys(&stats(&["--by=sender"], &path)), ["a@b 1"]);
    let table = run_on_terminal(inspect([OsStr::new("--stats"), path.as_os_str()]), 80).exits(0).text();
    assert!(table.starts_with("year ") && table.contains("\ntotal "), "{table}");
    run(inspect([OsStr::new("--by=year"), path.as_os_str()])).exits(2);
}

/// What each reader counts was tried with the readers themselves.
#[test]
fn a_second_opinion_names_each_line_that_others_see_differently() {
    let mail = b"From a@b Mon Jan  1 10:00:00 2001\nContent-Length: 39\nSubject: x\n\nFrom b@c Mon Jan  1 10:00:01 2001\nody\n\n\
        From here on it is prose\nand more\n\nFrom : is a field\n\n\
        From a@b Mon Jan  1 10:00:02 2001\nSubject: y\n\nbody\n";
    let (_scratch, path) = file("mail", mail);
    let report = run(inspect([OsStr::new("--json"), OsStr::new("--second-opinion"), path.as_os_str()]))
        .exits(0)
        .json();
    let summary = report.last().unwrap();
    let counted = Command::new("grep").args(["-c", "^From "]).arg(&path).output().unwrap().stdout;
    let counted: u64 = String::from_utf8(counted).unwrap().trim().parse().unwrap();
    let opinions: Vec<u64> =
        summary["opinions"].as_array().unwrap().iter().map(|opinion| count(opinion, "messages")).collect();
    let theirs = mbox_reader::MboxFile::from_file(&path).unwrap().iter().count() as u64;
    assert_eq!(opinions[..2], [counted, theirs], "{summary}");
    let messages = run(inspect([&path])).text().lines().count() as u64;
    assert_eq!(count(summary, "messages_found"), messages);
    let disputed: Vec<&Value> = report.iter().filter(|object| object["type"] == "disputed").collect();
    let lines: Vec<u64> = disputed.iter().map(|object| count(object, "line")).collect();
    assert!(lines.contains(&8) && lines.contains(&11), "{report:?}");
    for object in &disputed {
        assert_eq!(object["mailferry"], false, "{object}");
        assert_eq!(object["row"].is_null(), object["text"] == "From : is a field", "{object}");
    }
    let text = run(inspect([OsStr::new("--second-opinion"), path.as_os_str()])).exits(0).text();
    assert!(text.contains("row 11") && text.contains("grep"), "{text}");
    let (_scratch, maildir, _) = inbox_in_maildir();
    run(inspect([OsStr::new("--second-opinion"), maildir.as_os_str()])).exits(2).complains(&["is a Maildir"]);
}
