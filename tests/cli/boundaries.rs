//! Promises about odd From_ lines: which begin a message, and what is reported about the others.

use std::fs;

use crate::support::*;

/// Converts a file. Returns the run and the subjects of the messages, in file order.
fn subjects(setup: &Setup, options: &[&str], text: &str) -> (Run, Vec<String>) {
    let source = setup.file("source", text);
    let run = setup.try_convert(options, &[&source]);
    let listed = run_inspect(&source, &["--json"]);
    let listed = listed.json().into_iter().filter(|row| row["type"] == "message");
    let listed: Vec<String> = listed.map(|row| row["subject"].as_str().unwrap().to_owned()).collect();
    (run, listed)
}

fn run_inspect(source: &std::path::Path, options: &[&str]) -> Run {
    let mut command = mailferry(["inspect"]);
    command.args(options).arg(source);
    run(command)
}

#[test]
fn bare_from_lines_begin_messages_among_dated_ones() {
    let dated =
        |n| format!("From ada@example.org Mon Mar  2 08:15:00 1998\nFrom: Ada\nSubject: {n}\n\ntext\n\n");
    let bare = |n| format!("From \nX-Mozilla-Status: 0001\nSubject: {n}\n\ntext\n\n");
    for text in [dated(1) + &bare(2) + &dated(3), bare(1) + &dated(2) + &bare(3)] {
        let setup = Setup::new();
        let (run, found) = subjects(&setup, &[], &text);
        let run = run.exits(0);
        assert_eq!(found, ["1", "2", "3"]);
        assert_eq!(setup.messages().len(), 3);
        assert!(run.complaints().iter().all(|code| code == "mbox-undated"), "{:?}", run.complaints());
    }
    let setup = Setup::new();
    let flowed = "From \nhttp://example.org/\n\nand so on\n\n";
    let (run, found) = subjects(&setup, &[], &(dated(1) + flowed + &dated(2)));
    assert_eq!(
        (found, run.exits(0).complaints()),
        (vec!["1".into(), "2".into()], vec!["mbox-from-in-body".into()])
    );
}

#[test]
fn patches_in_mail_stay_in_it_and_a_series_of_patches_is_a_mailbox() {
    let patch = |n| {
        format!(
            "From 00112233445566778899aabbccddeeff0011223{n} Mon Sep 17 00:00:00 2001\nFrom: Ada <ada@example.org>\n\
             Date: Mon, 2 Mar 1998 08:15:0{n} +0000\nSubject: [PATCH {n}/2] x\n\n---\n x | 1 +\n\n"
        )
    };
    let mail =
        "From bertil@example.org Mon Mar  2 19:40:31 1998\nSubject: see the patches\n\nHere they are:\n\n";
    let setup = Setup::new();
    let (run, found) = subjects(&setup, &[], &format!("{mail}{}{}", patch(1), patch(2)));
    assert_eq!(found, ["see the patches"]);
    assert_eq!(run.exits(0).complaints(), ["mbox-from-in-body"]);

    let setup = Setup::new();
    let (run, found) = subjects(&setup, &[], &(patch(1) + &patch(2)));
    assert_eq!((found.len(), run.exits(0).complaints()), (2, Vec::<String>::new()));
    let mut dates: Vec<i64> = setup.messages().iter().map(|m| m.epoch).collect();
    dates.sort();
    assert_eq!(dates, [888_826_501, 888_826_502], "the date of git is not the date of the mail");
}

#[test]
fn a_field_with_a_blank_before_its_colon_comes_over() {
    let mail = "From : Ada <ada@example.org>\nTo : bertil@example.org\nSubject : old syntax\n\ntext\n";
    let text = format!("From ada@example.org Mon Mar  2 08:15:00 1998\n{mail}\n");
    let setup = Setup::new();
    let (run, found) = subjects(&setup, &[], &text);
    assert_eq!((found, run.exits(0).complaints()), (vec!["old syntax".to_owned()], Vec::<String>::new()));
    assert_eq!(setup.messages()[0].bytes, mail.as_bytes());
    same(&setup.exact(&[]), text.as_bytes(), "restored");
    // And back into an mbox, where the field is not quoted.
    let out = setup.path("out");
    convert([setup.maildir().as_os_str(), out.as_os_str()]);
    assert!(fs::read_to_string(out).unwrap().contains("\nFrom : Ada"));
}

#[test]
fn a_line_of_unknown_form_that_is_repeated_begins_messages() {
    let line =
        |n: u32| format!("From ada@example.org at day no. {n} of 1998\nFrom: Ada\nSubject: {n}\n\ntext\n\n");
    let setup = Setup::new();
    let (run, found) = subjects(&setup, &[], &(line(1) + &line(2) + &line(3)));
    assert_eq!(found, ["1", "2", "3"]);
    assert_eq!(run.exits(0).complaints(), ["mbox-undated"]);
}

#[test]
fn mail_before_the_first_from_line_is_never_left_out_silently() {
    let text = "From: Ada\nDate: Mon, 2 Mar 1998 08:15:00 +0000\nSubject: lost\n\ntext\n\n\
                From ada@example.org Mon Mar  2 08:15:00 1998\nSubject: found\n\ntext\n\n";
    let setup = Setup::new();
    let (run, found) = subjects(&setup, &[], text);
    let junk = run.exits(1).findings().into_iter().find(|f| f["code"] == "mbox-junk").unwrap();
    assert!(junk["message"].as_str().unwrap().contains("look like a message"), "{junk}");
    assert_eq!(found, ["found"]);
    run_inspect(&setup.path("source"), &[]).exits(1);
}

#[test]
fn a_glued_message_is_reported_and_a_boundary_list_splits_it_off() {
    let text = fs::read_to_string(fixture("glued.mbox")).unwrap();
    let at = text.find("From bertil@example.org Mon").unwrap();
    for eol in ["\n", "\r\n", "\r"] {
        let setup = Setup::new();
        let text = text.replace('\n', eol);
        let offset = text.find("From bertil@example.org Mon").unwrap() as u64;
        let (run, found) = subjects(&setup, &[], &text);
        assert_eq!(found, ["The disk is nearly full"]);
        let glued = run.exits(0).findings().into_iter().filter(|f| f["code"] == "mbox-glued-from");
        let glued: Vec<_> = glued.collect();
        assert_eq!(glued.len(), 1, "{eol:?}: a quotation and the output of grep are not glued");
        assert_eq!((count(&glued[0], "offset"), count(&glued[0], "line")), (offset, 8));

        let source = setup.path("source");
        let verified = run_verify(&source).exits(1);
        assert!(verified.complaints().contains(&"mbox-glued-from".to_owned()));
        let list = run_inspect(&source, &["--boundaries"]).exits(0).text();
        let edited = list.replace("glued\tbody", "glued\tseparator");
        assert_ne!(edited, list);
        let setup = Setup::new();
        let (source, list) = (setup.file("source", &text), setup.file("list", edited));
        let boundaries = format!("--boundaries={}", list.display());
        setup.try_convert(&[&boundaries], &[&source]).exits(0);
        let mut subjects = setup.subjects();
        subjects.sort();
        assert_eq!(subjects, ["Re: The disk is nearly full", "The disk is nearly full"]);
        same(&setup.exact(&[]), text.as_bytes(), "restored");
    }
    assert!(!text[..at].ends_with('\n'));
}

fn run_verify(source: &std::path::Path) -> Run {
    run(mailferry([std::ffi::OsStr::new("verify"), "--json".as_ref(), source.as_os_str()]))
}

#[test]
fn dates_in_other_languages_begin_messages_and_date_them() {
    let lines: [(&[u8], &str); 8] = [
        (b"ada@example.org Mon Mar  2 08:15:00 1998", "1998-03-02T08:15:00Z"),
        ("ada@example.org Mo Mär  2 08:15:00 1998".as_bytes(), "1998-03-02T08:15:00Z"),
        (b"ada@example.org lun m\xe4r.  2 08:15:00 1998", "1998-03-02T08:15:00Z"),
        ("ada@example.org пн мар  2 08:15:00 1998".as_bytes(), "1998-03-02T08:15:00Z"),
        (b"ada@example.org \xd0\xce \xcd\xc1\xd2  2 08:15:00 1998", "1998-03-02T08:15:00Z"),
        ("ada@example.org 1998年3月2日 08:15:00 JST".as_bytes(), "1998-03-01T23:15:00Z"),
        (b"- 02.03.1998 08:15", "1998-03-02T08:15:00Z"),
        // The language is unknown, so the Date field counts.
        (b"ada@example.org Xx Foo  2 08:15:00 1998", "1999-01-01T00:00:00Z"),
    ];
    for (line, date) in lines {
        // Among English lines, and alone.
        for english in ["From bertil@example.org Mon Mar  2 19:40:31 1998\nSubject: 1\n\ntext\n\n", ""] {
            let message = b"\nSubject: 2\nDate: Fri, 1 Jan 1999 00:00:00 +0000\n\ntext\n\n";
            let text = [english.as_bytes(), b"From ", line, message, english.as_bytes()].concat();
            let setup = Setup::new();
            let source = setup.file("source", &text);
            let run = setup.try_convert(&[], &[&source]).exits(0);
            assert_eq!(run.complaints(), [""; 0]);
            let listed = run_inspect(&source, &["--json"]).json();
            let second = listed.iter().find(|row| row["subject"] == "2").unwrap();
            assert_eq!(second["date"], date, "{:?}", String::from_utf8_lossy(line));
            assert_eq!(setup.messages().len(), if english.is_empty() { 1 } else { 3 });
            same(&setup.exact(&[]), &text, "restored");
        }
    }
}

#[test]
fn numbers_in_the_name_of_a_message_file_are_no_dates_of_mail() {
    const MTIME: u64 = 1_591_000_000;
    let setup = Setup::new();
    let cur = setup.path("in").join("cur");
    fs::create_dir_all(&cur).unwrap();
    fs::create_dir(setup.path("in").join("new")).unwrap();
    for (name, year) in [
        ("1653988153000000.eml", "2020"),
        ("123.eml", "2020"),
        ("20050103.eml", "2020"),
        ("4102444800.x:2,S", "2020"),
        ("1104746400_0.12.h,U=1:2,S", "2005"),
        ("1104746400.12.h:2,S", "2005"),
        ("1620000000.12.h:2,S", "2020"),
    ] {
        let path = cur.join(name);
        fs::write(&path, format!("Subject: {year}\n\ntext\n")).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(MTIME);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let out = setup.path("out");
    convert([setup.path("in").as_os_str(), out.as_os_str()]);
    let text = fs::read_to_string(out).unwrap();
    let messages: Vec<&str> = text.split("\nFrom ").collect();
    assert_eq!(messages.len(), 7);
    for message in messages {
        let lines: Vec<&str> = message.lines().collect();
        assert!(lines[0].ends_with(lines[1].strip_prefix("Subject: ").unwrap()), "{message}");
    }
}
