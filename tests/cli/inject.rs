//! A message on standard input is completed and sent to all its recipients and to no one else. The report has
//! the outcome for each.

use std::fs;

use crate::golden::set_mode;
use crate::golden_inject::QmailHome;
use crate::support::*;

/// Runs inject in a home where $QMAILQUEUE stores its input.
fn inject(home: &QmailHome, args: &[&str], message: impl Into<Vec<u8>>) -> Run {
    inject_in(home, &[], args, message)
}

/// Runs inject with these environment variables as well.
fn inject_in(home: &QmailHome, env: &[(&str, &str)], args: &[&str], message: impl Into<Vec<u8>>) -> Run {
    let mut command = home.command("inject", args);
    command.env("USER", "ann").envs(env.iter().copied());
    run_with_stdin(command, message)
}

fn home() -> QmailHome {
    let home = QmailHome::new();
    home.control("me", "me.example.org");
    home
}

/// Returns the queued message and its recipients.
#[track_caller]
fn queued(home: &QmailHome) -> (String, Vec<String>) {
    let (message, envelope) = home.queued().expect("a message is queued");
    let parts = envelope.split('\0').filter_map(|part| part.strip_prefix('T')).map(str::to_owned);
    (String::from_utf8_lossy(&message).into_owned(), parts.collect())
}

#[track_caller]
fn sender(home: &QmailHome) -> String {
    let envelope = home.queued().unwrap().1;
    envelope.split('\0').next().unwrap().strip_prefix('F').unwrap().to_owned()
}

/// Returns the value of a header field that occurs once.
#[track_caller]
fn once(message: &str, name: &str) -> String {
    let header = message.split("\n\n").next().unwrap();
    let prefix = format!("{name}:").to_lowercase();
    let values: Vec<&str> = header
        .lines()
        .filter(|line| line.to_lowercase().starts_with(&prefix))
        .map(|l| &l[prefix.len()..])
        .collect();
    assert_eq!(values.len(), 1, "{name} in {message}");
    values[0].trim().to_owned()
}

#[test]
fn an_incomplete_header_is_completed() {
    let home = home();
    inject(&home, &[], "To: bob, al@h, c@d.example\nSubject: x\n\nbody").exits(0);
    let (message, to) = queued(&home);
    assert_eq!(to, ["c@d.example", "al@h.me.example.org", "bob@me.example.org"]);
    assert_eq!(sender(&home), "ann@me.example.org");
    assert_eq!(once(&message, "From"), "ann@me.example.org");
    assert_eq!(once(&message, "To"), "bob@me.example.org, al@h.me.example.org, c@d.example");
    assert!(once(&message, "Date").ends_with(" -0000"));
    assert!(once(&message, "Message-ID").ends_with(".qmail@me.example.org>"));
    assert!(message.ends_with("\nSubject: x\n\nbody\n"));
}

#[test]
fn a_complete_message_is_preserved_byte_for_byte() {
    let home = home();
    let header = "Received: from x\n\tby y\nDate:  Fri, 1 Jan 2000 00:00:00 +0100 (CET)\nMessage-id: <x@y>\n\
                  From:   \"A. \\\"B\\\" C\" <a@b.example>  (why\n not)\nTO : Bob Q. Smith <bob@h.example>,\n\t\
                  friends : c@d.example, e@f.example ;\nSubject: caf\u{e9}\nX-Odd:\n \n\n";
    let body = "From here\n.\n\r\n\0\n";
    inject(&home, &[], format!("{header}{body}")).exits(0);
    let (message, to) = queued(&home);
    assert_eq!(message, format!("{header}{body}"));
    assert_eq!(to, ["e@f.example", "c@d.example", "bob@h.example"]);
}

#[test]
fn an_invalid_recipient_list_is_refused_with_its_location() {
    for (header, place) in [
        ("To: ok@h, bob@h (oops\n", "To: line 1, byte 16"),
        ("Subject: x\nTo: \"bob@h\n", "To: line 2, byte 15"),
        ("Subject: x\nCc: ok@h,\n <bob@h\n", "Cc: line 3, byte 22"),
        ("Bcc: bob@h>\n", "Bcc: line 1, byte 10"),
        ("To: group: a@h, b@h\n", "To: line 1, byte 9"),
        ("To: g1: a@h, g2: b@h; ;\n", "To: line 1, byte 20"),
        ("To: a@h; b@h\n", "To: line 1, byte 7"),
        ("To: ann@x.example Bob <bob@h>\n", "To: line 1, byte 4"),
        ("To: <ann@x.example> friends: bob@h;\n", "To: line 1, byte 4"),
        ("To: [X] Bob <bob@h>\n", "To: line 1, byte 4"),
        ("To: a@b@c.example\n", "To: line 1, byte 7"),
        ("To: <a b@h>\n", "To: line 1, byte 7"),
        ("To: ok@h, <>\n", "To: line 1, byte 10"),
        ("To: @h\n", "To: line 1, byte 4"),
        ("To: bob@h..example\n", "To: line 1, byte 8"),
        ("To: \"a\0b\"@h\n", "To: line 1, byte 4"),
        ("To: ok@h\nResent-To: bob@h (oops\n", "Resent-To: line 2, byte 26"),
        ("Subject: x\r\nX: y\r\nTo: ok@h,\r\n bob@h (oops\r\n", "To: line 4, byte 36"),
        ("To: ok@h\nFrom: bob@h (oops\n", "From: line 2, byte 21"),
        ("To: ok@h\nReturn-Path: <s@h\n", "Return-Path: line 2, byte 22"),
    ] {
        let home = home();
        let run = inject(&home, &[], format!("{header}\nbody\n")).exits(65);
        let run = run.complains(&["5.6.0 ", place]);
        assert!(home.queued().is_none(), "{run:?}");
        inject(&home, &["-n"], format!("{header}\nbody\n")).exits(65).complains(&[place]);
    }
}

#[test]
fn a_recipient_list_that_is_not_used_may_be_invalid() {
    for header in ["To: bob@h (oops\n", "To: <a b@h>, [X] <c\n", "Resent-From: a@b\nTo: bob@h (oops\n"] {
        let home = home();
        inject(&home, &["bob@h.example"], format!("{header}\nbody\n")).exits(0);
        let (message, to) = queued(&home);
        assert_eq!(to, ["bob@h.example"]);
        assert!(message.contains(&header[header.find("To:").unwrap()..]), "{message}");
    }
    // In a message that is sent on, the Resent- fields count.
    let home = home();
    inject(&home, &[], "To: bob@h (oops\nResent-To: c@d.example\n\n").exits(0);
    assert_eq!(queued(&home).1, ["c@d.example"]);
}

#[test]
fn without_a_recipient_or_a_message_nothing_is_sent() {
    for (args, message) in [
        (&[][..], "Subject: x\n\nTo: bob@h\n"),
        (&["-a"], "To: bob@h\n\n"),
        (&["-h", "bob@h"], "Subject: x\n\n"),
        (&[], "To: nobody: ;\n\n"),
        (&[], "To: bob@h\nResent-From: ann@h\n\n"),
        (&["bob@h"], ""),
    ] {
        let home = home();
        inject(&home, args, message).exits(65).complains(&["no "]);
        assert!(home.queued().is_none());
    }
}

#[test]
fn no_argument_and_no_variable_adds_a_line_to_the_header() {
    for (args, code) in [
        (&["bob@h\nBcc: eve@x.example"][..], 64),
        (&["bob\n@h"], 64),
        (&["bob@h\r"], 64),
        (&["Bob <bob@h>"], 64),
        (&["bob@h eve@x"], 64),
        (&["-f", "ann@h\nBcc: eve@x", "bob@h"], 65),
        (&["<bob@h>"], 65),
        (&["bob@h,eve@x"], 65),
        (&["bob@h(x"], 65),
        (&["@h"], 65),
    ] {
        let home = home();
        let run = inject(&home, args, "Subject: x\n\n").exits(code);
        assert!(
            run.stdout.is_empty()
                && run.stderr.starts_with(if code == 64 { "mailferry: " } else { "5.6.0 " })
        );
        assert!(home.queued().is_none());
    }
    for variable in ["QMAILUSER", "QMAILHOST", "QMAILDEFAULTHOST", "QMAILSUSER", "QMAILSHOST", "QMAILIDHOST"]
    {
        let home = home();
        let run = inject_in(&home, &[(variable, "x\nBcc: eve@x")], &["bob"], "Subject: x\n\n");
        if variable == "QMAILIDHOST" {
            let message = queued(&home).0;
            assert!(once(&message, "Message-ID").ends_with("@xBcc: eve@x>"), "{message}");
        } else {
            run.exits(75).complains(&["4.3.5 "]);
            assert!(home.queued().is_none());
        }
    }
    let home = home();
    inject_in(&home, &[("NAME", "Ann\nBcc: eve@x")], &["bob"], "Subject: x\n\n").exits(0);
    assert_eq!(once(&queued(&home).0, "From"), "\"Ann Bcc: eve@x\" <ann@me.example.org>");
}

#[test]
fn bcc_never_leaves() {
    let home = home();
    let message =
        "BCC : a@x.example,\n b@x.example\nbcc: c@x.example\nTo: d@x.example\nBcc: hidden: e@x.example;\n\n";
    inject(&home, &[], message).exits(0);
    let (message, to) = queued(&home);
    assert_eq!(to, ["b@x.example", "a@x.example", "c@x.example", "d@x.example", "e@x.example"]);
    assert!(!message.to_lowercase().contains("bcc") && !message.contains("a@x"), "{message}");
    // No recipient remains visible, and the message says so.
    let home = self::home();
    inject(&home, &[], "Bcc: a@x.example\n\n").exits(0);
    assert_eq!(once(&queued(&home).0, "Cc"), "recipient list not shown: ;");
    for resent in ["Resent-Bcc", "resent-BCC "] {
        let home = self::home();
        let header = format!("To: old@x.example\nBcc: hidden@x.example\n{resent}: new@x.example\n\n");
        inject(&home, &[], header).exits(0);
        let (message, to) = queued(&home);
        assert_eq!(to, ["new@x.example"]);
        assert!(!message.to_lowercase().contains("bcc") && !message.contains("hidden"), "{message}");
    }
}

/// A damaged line does not end the header in a way that shows a Bcc to everybody.
#[test]
fn no_damaged_line_shows_a_hidden_recipient() {
    for header in [
        &b"\0Bcc: s@h.example"[..],
        b"B cc: s@h.example",
        b"Bcc\0: s@h.example",
        b"Bcc\x01: s@h.example",
        b"\x7fBcc: s@h.example",
        b"\xc2\xa0Bcc: s@h.example",
        b"Bcc\xc2\xa0: s@h.example",
        b"B\xe2\x80\x8bcc: s@h.example",
        b"B\0c\0c\0:\0 \0s@h.example",
        b"Bc\xe9c\xe9: s@h.example",
        b".Bcc: s@h.example",
        b">Bcc: s@h.example",
        b"B c c: s@h.example",
        b"Bcc s@h.example",
        b"Bcc; s@h.example",
        b"Bcc=s@h.example",
        b"B cc s@h.example",
        b"\xef\xbb\xbfBcc: s@h.example",
        b"Resent-B cc: s@h.example",
        b"C\0c: s@h.example",
        b"T\xc2\xado: s@h.example",
        b"no field\nBcc: s@h.example",
        b"no field\n\0\nBcc: s@h.example",
        b"no field\nanother\n  \nBcc: s@h.example",
        b"no field\nB cc: s@h.example",
        b"no field\n Bcc: s@h.example",
        b"no field\rBcc: s@h.example",
        b"Subject: x\rBcc: s@h.example",
        b"Subject: x\x0bBcc: s@h.example",
        b"Subject: x\x0cB cc: s@h.example",
        b"Subject: x\0Bcc: s@h.example",
        b"Subject: x\n y\rBcc: s@h.example",
        b"X: 1\r\r\nBcc : s@h.example\rBcc: s@h.example",
        b"Subject: x\xe2\x80\xa8Bcc: s@h.example",
        b"Subject: x\xc2\x85Bcc: s@h.example",
        b"Bcc: r@h.example,\ns@h.example",
        b"Bcc: r@h.example,\nBob\n <s@h.example>",
    ] {
        for (before, after) in
            [("To: a@x.example\n", "\nSubject: x"), ("To: a@x.example\n", ""), ("", "\nTo: a@x.example")]
        {
            for args in [&[][..], &["-a", "a@x.example"]] {
                let home = home();
                let message = [before.as_bytes(), header, after.as_bytes(), b"\n\nbody\n"].concat();
                let run = inject(&home, args, message.clone());
                let sent = home.queued().is_some() && queued(&home).0.contains("s@h.example");
                assert!(!sent, "{}", message.escape_ascii());
                run.exits(65).complains(&["5.6.0 ", "line "]);
            }
        }
    }
    // The same without a header.
    for text in ["Bcc: s@h.example", "To: b@h\nBcc : s@h.example", "\0Bcc: s@h.example", "B cc: s@h.example"]
    {
        let home = home();
        inject(&home, &["a@x.example"], format!("\n{text}\n\nbody\n")).exits(65);
        assert!(home.queued().is_none());
    }
    // What is not damaged goes out as it is.
    for message in [
        "To: a@x.example\nSubject: x\n Bcc: is folded\n\nBcc: s@h.example\n\nB cc: s@h.example\n",
        "To: a@x.example\nX-Bcc: 1\nAbcc: to@h\nTopic: to@h\n\nTo bob@h\n",
        "X: 1\nTo: a@x.example\nY: 2\nHello,\nBob spoke of bob@h.example: to be.\n\nBcc: b\n",
    ] {
        let home = home();
        inject(&home, &[], message).exits(0);
        let body = message.split_once("\n\n").unwrap().1;
        assert!(queued(&home).0.ends_with(body), "{message}");
    }
}

#[test]
fn an_unreadable_field_is_quoted_in_part() {
    let home = home();
    let header = format!("To: {}, <b\x1b@h\n\n", "a".repeat(100_000));
    let qmail_inject = run_with_stdin(home.command("qmail-inject", &["-h"]), header.clone());
    for run in [inject(&home, &[], header), qmail_inject] {
        assert!(run.code != Some(0) && run.stderr.len() < 600, "{}", run.stderr.len());
        assert!(run.stderr.contains(&"a".repeat(150)) && !run.stderr.contains('\x1b'), "{}", run.stderr);
    }
}

/// A script calls `inject "$TO"` with a variable that is empty or has a blank in it.
#[test]
fn a_blank_is_no_recipient() {
    for word in [
        "",
        " ",
        "  ",
        "\t",
        "\n",
        "\u{a0}",
        " a@x.example",
        "a@x.example ",
        "\ta@x.example",
        "a@x.example\n",
        "a b@x.example",
        "a@x .example",
    ] {
        for args in [&[word][..], &["c@x.example", word], &["-H", word], &["-a", "c@x.example", "--", word]] {
            let home = home();
            let run = inject(&home, args, "To: d@x.example\n\nb\n").exits(64);
            assert!(run.stderr.contains("RECIPIENT") && home.queued().is_none(), "{word:?}: {run:?}");
        }
    }
    let home = home();
    for sender in [" ", " a@x.example", "a@x.example "] {
        inject(&home, &["-f", sender, "a@x.example"], "\nb\n").exits(64);
    }
}

#[test]
fn what_is_sent_on_does_not_go_where_it_has_been() {
    for field in ["To", "Cc", "Bcc"] {
        let home = home();
        let old =
            "Date: 1 Jan 2000 00:00:00 -0000\nFrom: x@y.example\nTo: old@x.example\nCc: old2@x.example\n";
        inject(&home, &[], format!("Resent-{field}: new@x.example\n{old}\nbody\n")).exits(0);
        let (message, to) = queued(&home);
        assert_eq!(to, ["new@x.example"]);
        assert!(message.contains(old), "{message}");
        once(&message, "Resent-Date");
        once(&message, "Resent-Message-ID");
        assert_eq!(once(&message, "Resent-From"), "ann@me.example.org");
        assert!(!message.contains("\nMessage-ID"), "{message}");
    }
}

/// Mistakes that other programs make with an incomplete header.
#[test]
fn faults_of_other_programs_do_not_occur() {
    let through = |message: &str| {
        let home = home();
        inject(&home, &[], message).exits(0);
        queued(&home)
    };
    // mutt replaces an existing Date, s-nail adds a second one before it.
    let (message, _) = through("Date: Fri, 1 Jan 1999 01:02:03 +0100\nTo: a@x.example\n\n");
    assert_eq!(once(&message, "Date"), "Fri, 1 Jan 1999 01:02:03 +0100");
    // s-nail and GNU mail add neither Message-ID nor From.
    once(&message, "Message-ID");
    once(&message, "From");
    // GNU mail keeps Bcc, and drops lists with a comment after an address or with a folded group.
    let (message, to) =
        through("To: a@x.example (A)\nCc: g: b@x.example,\n c@x.example;\nBcc: d@x.example\n\n");
    assert_eq!(to, ["a@x.example", "c@x.example", "b@x.example", "d@x.example"]);
    assert!(message.contains("To: a@x.example (A)\nCc: g: b@x.example,\n c@x.example;\n"), "{message}");
    // s-nail refuses a group.
    assert_eq!(through("To: g: a@x.example;\n\n").1, ["a@x.example"]);
    // mutt and s-nail keep Content-Length or Return-Path, which no longer apply.
    let (message, _) = through("Return-Path: <s@x.example>\nContent-Length: 7\nTo: a@x.example\n\n");
    assert!(!message.contains("Return-Path") && !message.contains("Content-Length"), "{message}");
    // All of them send the address of a Bcc to everyone, as text, if it follows a line that is not a field.
    let torn = "To: a@x.example\nno field\nX: y\nBcc: secret@x.example\n\nbody\n";
    inject(&home(), &[], torn).exits(65).complains(&["line 2", "Bcc", "line 4"]);
    // s-nail loses a line that is not a field; nullmailer and Postfix lose a From_ line.
    let (message, _) =
        through("From ann Sat Jan  3 01:05:34 1996\nTo: a@x.example\nno field\nX: y\n\nbody\n");
    assert!(message.contains("MBOX-Line: From ann Sat Jan  3 01:05:34 1996\n"), "{message}");
    assert!(message.ends_with("\nTo: a@x.example\n\nno field\nX: y\n\nbody\n"), "{message}");
    // qmail-inject accepts a message without recipients, and continues with half of a list: see the tests
    // above.
}

#[test]
fn the_worst_outcome_is_first_and_sets_the_exit_code() {
    for (exit, stderr, code, qmail, status) in
        [(31, "", 69, 100, "5.3.0 "), (53, "", 75, 111, "4.3.0 "), (82, "Zlater", 75, 111, "4.3.0 ")]
    {
        let home = home();
        home.queue(exit, stderr);
        let run = inject(&home, &["a@x.example", "b@x.example"], "\nbody\n").exits(code);
        assert!(run.stderr.starts_with(&format!("{status}<a@x.example>, <b@x.example>: queue:/")), "{run:?}");
        inject(&home, &["--exit-codes", "qmail", "a@x.example"], "\nbody\n").exits(qmail);
    }
}

#[test]
fn the_next_hop_gets_the_deferred_recipients() {
    let setup = scratch();
    let maildir = setup.path().join("Maildir");
    for place in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(place)).unwrap();
    }
    let via = format!("maildir:{}", maildir.display());
    for (exit, code, delivered) in [(0, 0, 0), (53, 0, 1), (31, 69, 1)] {
        let home = home();
        home.queue(exit, "");
        let queue = format!("queue:{}", home.path("queue").display());
        let none = "queue:/nonexistent/queue";
        let run = inject(
            &home,
            &["--via", none, "--via", &queue, "--via", &via, "--json", "a@x.example"],
            "\nbody\n",
        )
        .exits(code);
        assert_eq!(messages(&maildir).len(), delivered, "{run:?}");
        let outcome = &run.json().pop().unwrap()["recipients"][0];
        let (want, by) = match exit {
            0 => ("accepted", &queue),
            53 => ("accepted", &via),
            _ => ("permanent", &queue),
        };
        assert_eq!((outcome["outcome"].as_str().unwrap(), outcome["via"].as_str().unwrap()), (want, &by[..]));
    }
    let bytes = messages(&maildir)[0].bytes.clone();
    assert!(bytes.starts_with(b"Return-Path: <ann@me.example.org>\nDate: "), "{}", bytes.escape_ascii());
}

#[test]
fn mailboxes_and_sendmail_are_next_hops() {
    let home = home();
    let mbox = home.path("box");
    fs::write(&mbox, "").unwrap();
    inject(
        &home,
        &["--via", &format!("mbox:{}", mbox.display()), "-f", "", "a@x.example"],
        "S: x\n\nFrom me\n",
    )
    .exits(0);
    let text = fs::read_to_string(&mbox).unwrap();
    assert!(
        text.starts_with("From ") && text.contains("\nReturn-Path: <>\n") && text.contains("\n>From me\n"),
        "{text}"
    );
    let missing = format!("maildir:{}", home.path("no").display());
    inject(&home, &["--via", &missing, "a@x.example"], "\n").exits(75).complains(&["no such Maildir"]);

    let program = home.path("mta");
    let script = "#!/bin/sh\nfor arg; do echo \"[$arg]\"; done > ARGS\ncat > IN\nexit $(cat CODE)\n";
    fs::write(&program, script).unwrap();
    set_mode(&program, 0o755);
    let via = format!("sendmail:{}", program.display());
    for (code, want) in [("0", 0), ("75", 75), ("67", 69), ("1", 75)] {
        fs::write(home.path("CODE"), code).unwrap();
        inject(
            &home,
            &["--via", &via, "-f", "s@x.example", "-H", "--", "-oQ/tmp"],
            "Bcc: \"a b\"@y.example\nX: z@z\n\nb\n",
        )
        .exits(want);
    }
    let args = fs::read_to_string(home.path("ARGS")).unwrap();
    let want = "[-i]\n[-f]\n[s@x.example]\n[--]\n[-oQ/tmp@me.example.org]\n[\"a b\"@y.example]\n";
    assert_eq!(args, want);
    assert!(fs::read_to_string(home.path("IN")).unwrap().ends_with("\nX: z@z\n\nb\n"));
    assert!(home.queued().is_none());
}

/// The next hop is tried only if the message cannot have arrived yet.
#[test]
fn a_program_that_crashes_after_reading_all_may_have_sent_it() {
    let (message, envelope) = ("cat >/dev/null", "cat <&1 >/dev/null");
    let large = format!("\n{}", "body\n".repeat(100_000));
    let cases = [
        ("queue", format!("{message}; {envelope}"), "unsure"),
        ("queue", format!("{envelope}; {message}"), "unsure"),
        ("queue", message.into(), "accepted"),
        ("queue", format!("{envelope}; head -c 10 >/dev/null"), "accepted"),
        ("sendmail", message.into(), "unsure"),
        ("sendmail", "head -c 10 >/dev/null".into(), "accepted"),
        ("sendmail", ":".into(), "accepted"),
    ];
    let ends_so = |scheme: &str, reads: &str, outcome: &str, ends: &str| {
        let home = home();
        let program = home.path("program");
        script(&program, &format!("#!/bin/sh\n{reads}\n{ends}\n"));
        let maildir = home.path("Maildir");
        for place in ["tmp", "new", "cur"] {
            fs::create_dir_all(maildir.join(place)).unwrap();
        }
        let via = format!("{scheme}:{}", program.display());
        let next = format!("maildir:{}", maildir.display());
        // Enough time for a program to read its input on a busy machine.
        let args = ["--via", &via, "--via", &next, "--timeout", "5", "--json", "a@x.example", "b@x.example"];
        let run = inject(&home, &args, large.as_str());
        let report = run.json().pop().unwrap()["recipients"].clone();
        let case = format!("{scheme}: {reads}; {ends}: {report}");
        for one in report.as_array().unwrap() {
            let is_unsure = outcome == "unsure";
            assert_eq!(one["unsure"], is_unsure, "{case}");
            assert_eq!(one["outcome"], if is_unsure { "temporary" } else { "accepted" }, "{case}");
            assert_eq!(one["via"].as_str().unwrap(), if is_unsure { &via } else { &next }, "{case}");
            assert_eq!(one["text"].as_str().unwrap().contains("may have arrived"), is_unsure, "{case}");
        }
        assert_eq!(messages(&maildir).len(), usize::from(outcome == "accepted"), "{case}");
        run.exits(if outcome == "unsure" { 75 } else { 0 });
    };
    // All at once, because some wait.
    std::thread::scope(|scope| {
        for (scheme, reads, outcome) in &cases {
            scope.spawn(|| {
                ["kill -9 $$", "kill -15 $$", "exec sleep 600"]
                    .map(|ends| ends_so(scheme, reads, outcome, ends))
            });
        }
    });
    // Success counts only for a program that has read everything.
    for (scheme, reads) in [("queue", message), ("sendmail", ":"), ("sendmail", "head -c 10 >/dev/null")] {
        let home = home();
        let program = home.path("program");
        script(&program, &format!("#!/bin/sh\n{reads}\nexit 0\n"));
        let via = format!("{scheme}:{}", program.display());
        let run = inject(&home, &["--via", &via, "--json", "a@x.example"], large.as_str()).exits(75);
        assert_eq!(run.json().pop().unwrap()["recipients"][0]["unsure"], false, "{run:?}");
    }
}

#[test]
fn without_a_next_hop_the_error_has_the_option() {
    let home = home();
    let mut command = home.command("inject", &["a@x.example"]);
    command.env_remove("QMAILQUEUE");
    run_with_stdin(command, "\n").exits(75).complains(&["4.3.5 ", "--via"]);
    fs::create_dir(home.path("bin")).unwrap();
    fs::copy(home.path("queue"), home.path("bin/qmail-queue")).unwrap();
    let mut command = home.command("inject", &["a@x.example"]);
    command.env_remove("QMAILQUEUE");
    run_with_stdin(command, "\n").exits(0);
    assert_eq!(queued(&home).1, ["a@x.example"]);
}

#[test]
fn a_wrong_command_line_is_64() {
    for args in [
        &["--via", "ftp://h"][..],
        &["--via", "smtp://h/x"],
        &["--via", "queue:"],
        &["--frobnicate"],
        &["-f"],
    ] {
        let home = home();
        let run = inject(&home, args, "To: a@x.example\n\n").exits(64);
        assert!(run.stderr.starts_with("mailferry: ") && home.queued().is_none(), "{run:?}");
    }
    let home = home();
    assert!(inject(&home, &["--help"], "").exits(0).text().contains("QMAILINJECT"));
}

#[test]
fn recipient_options_choose_and_the_last_one_counts() {
    let (arguments, header) = ("z@x.example", "a@x.example");
    for (options, want) in [
        (&[][..], &[arguments][..]),
        (&["-a"], &[arguments]),
        (&["-h"], &[header]),
        (&["-H"], &[arguments, header]),
        (&["-hA"], &[arguments]),
        (&["-aHh"], &[header]),
        (&["-n", "-N"], &[arguments]),
    ] {
        let home = home();
        let args: Vec<&str> = options.iter().copied().chain([arguments]).collect();
        inject(&home, &args, "To: a@x.example\n\n").exits(0);
        assert_eq!(queued(&home).1, want, "{options:?}");
    }
}

#[test]
fn a_dry_run_prints_the_message_and_hands_nothing_on() {
    let home = home();
    let run = inject(&home, &["-n", "-v", "-f", "s b@x", "a@x.example"], "Date: x\nMessage-ID: <y>\n\nbody")
        .exits(0);
    let want = "Return-Path: <\"s b\"@x.me.example.org>\nFrom: ann@me.example.org\nCc: recipient list not shown: ;\n\
                Date: x\nMessage-ID: <y>\n\nbody\n";
    assert_eq!(run.text(), want);
    assert_eq!(run.stderr, "mailferry: to <a@x.example>\n");
    let run = inject(&home, &["-n", "--json", "a@x.example"], "\nbody\n").exits(0);
    let summary = run.json().pop().unwrap();
    assert_eq!((summary["sender"].as_str(), &summary["dry_run"]), (Some("ann@me.example.org"), &true.into()));
    assert_eq!(
        summary["recipients"],
        serde_json::json!([{ "recipient": "a@x.example", "outcome": "planned" }])
    );
    assert!(home.queued().is_none());
}

#[test]
fn a_message_id_may_tell_nothing() {
    let home = home();
    let id = || {
        inject(&home, &["--message-id", "random", "a@x.example"], "\n").exits(0);
        let id = once(&queued(&home).0, "Message-ID");
        let (unique, host) = id.trim_matches(['<', '>']).split_once('@').unwrap();
        assert!(unique.len() == 32 && unique.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert_eq!(host, "me.example.org");
        id
    };
    assert_ne!(id(), id());
}

#[test]
fn without_control_me_the_host_name_is_used() {
    let home = QmailHome::new();
    let run = inject(&home, &["-v", "bob"], "\n").exits(0);
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(
        run.stderr.contains(&format!("control/me: missing; the name of this host is used instead: {name}")),
        "{run:?}"
    );
    assert_eq!(queued(&home).1, [format!("bob@{}", name.trim())]);
    // Without the option nothing is reported.
    assert_eq!(inject(&home, &["bob"], "\n").exits(0).stderr, "");
}

#[test]
fn a_message_that_was_written_for_the_wire_loses_its_crs() {
    let home = home();
    inject(&home, &[], "To: bob,\r\n al\r\nSubject: x\r\n\r\nbody\r\nbare \r cr\r\nlf\n\r\nend\r").exits(0);
    let (message, to) = queued(&home);
    assert_eq!(to, ["al@me.example.org", "bob@me.example.org"]);
    assert!(message.ends_with("\nSubject: x\n\nbody\nbare \r cr\nlf\n\nend\n"), "{message:?}");
    // A message that was not generated keeps its fields.
    let home = self::home();
    inject(&home, &[], "To: bob\nSubject: x\r\n\nbody\r\n").exits(0);
    assert!(queued(&home).0.ends_with("\nSubject: x\r\n\nbody\r\n"));
}

#[test]
fn ten_thousand_recipients_are_ten_thousand() {
    let all: Vec<String> = (0..10_000).map(|n| format!("user{n}@host{n}.example")).collect();
    let home = home();
    inject(&home, &[], format!("To: {}\n\nbody\n", all.join(",\n\t"))).exits(0);
    assert_eq!(queued(&home).1, all.iter().rev().cloned().collect::<Vec<_>>());
    let home = self::home();
    let args: Vec<&str> = all.iter().map(String::as_str).collect();
    inject(&home, &args, "\nbody\n").exits(0);
    assert_eq!(queued(&home).1, all);
    // A failure that all recipients share is reported once.
    home.queue(53, "");
    let run = inject(&home, &args, "\nbody\n").exits(75);
    run.complains(&["<user0@host0.example>", "and 9990 other recipients: queue:"]);
}

#[test]
fn a_header_of_a_megabyte_is_accepted_and_an_endless_one_not() {
    let home = home();
    let long = format!("X-Long: {}\n", "y".repeat(500_000));
    let many: String = (0..20_000).map(|n| format!("X-{n}: {}\n", "z".repeat(20))).collect();
    inject(&home, &[], format!("{long}{many}To: bob\n\nbody\n")).exits(0);
    let (message, to) = queued(&home);
    assert_eq!(to, ["bob@me.example.org"]);
    assert!(message.contains(&long) && message.ends_with("To: bob@me.example.org\n\nbody\n"));
    let home = self::home();
    let endless = "X: y\n".repeat(2_000_000);
    inject(&home, &["bob"], endless).exits(65).complains(&["the header has more than 8388608 bytes"]);
    assert!(home.queued().is_none());
}

#[test]
fn a_message_of_100_mb_or_40000_recipients_takes_little_memory() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let line = [&[b'x'; 70][..], b"\n"].concat();
    let large = [b"To: bob\n\n".to_vec(), line.repeat(100_000_000 / line.len())].concat();
    let all: Vec<String> = (0..40_000).map(|n| format!("user{n}@host{n}.example")).collect();
    let wide = format!("To: {}\n\nbody\n", all.join(",\n ")).into_bytes();
    for (what, mail) in [("100 MB", large), ("40,000 recipients", wide)] {
        let home = home();
        let (input, mbox) = (home.path("input"), home.path("box"));
        fs::write(&input, &mail).unwrap();
        fs::write(&mbox, "").unwrap();
        let via = format!("mbox:{}", mbox.display());
        let (code, memory) = peak_memory(&["inject", "--via", &via], &input);
        assert_eq!(code, 0);
        assert!(memory < 64 << 10, "{what}: {memory} KiB");
        note!("inject of {what}: {memory} KiB at most");
        let got = fs::metadata(&mbox).unwrap().len();
        assert!(got > mail.len() as u64 && got < mail.len() as u64 + 1000, "{what}: {got}");
    }
}

/// A header of one megabyte is accepted, or refused with its location. So is one of eight.
#[test]
fn a_hostile_header_takes_little_memory() {
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let field = |name: &str, part: &str, size: usize, end: &str| {
        format!("{name}: {}{end}\n\nbody\n", part.repeat(size / part.len()))
    };
    let (megabyte, eight) = (1 << 20, (8 << 20) - 100);
    let too_many = "To: line 1: more than 100000 recipients";
    let too_long = "To: line 1, byte ";
    let wide: Vec<String> = (0..99_999).map(|n| format!("user{n}@host{n}.example")).collect();
    let wider = format!("{}, a@x.example, b@x.example", wide.join(", "));
    let headers = [
        ("a,", field("To", "a,", megabyte, ""), Some(too_many)),
        ("a", field("To", "a ", megabyte, ""), Some(too_many)),
        (",", field("To", ",", megabyte, "a@x.example"), None),
        ("<", field("To", "<", megabyte, ""), Some(too_long)),
        ("<>,", field("To", "<>,", megabyte, "a@x.example"), Some(too_long)),
        ("@", field("To", "@", megabyte, " <a@x.example>"), Some(too_long)),
        ("@a,", field("To", "@a,", megabyte, "@b:a@x.example"), Some(too_long)),
        ("a.", field("To", "a.", megabyte, "a@x.example"), Some(too_long)),
        ("()", field("To", "()", megabyte, "a@x.example"), None),
        ("a:;,", field("To", "a:;,", megabyte, "a@x.example"), None),
        ("backslashes", field("To: x, \"", "\\a", megabyte, "\"@x.example"), None),
        ("fields", "a:\n".repeat(megabyte / 3) + "To: a@x.example\n\n", None),
        ("fields with CRLF", "a:\r\n".repeat(megabyte / 4) + "To: a@x.example\r\n\r\n", None),
        ("To:", "To:a\n".repeat(megabyte / 5) + "\n", Some("To: line 100001: more than")),
        ("100,000", format!("To: {}\n\nbody\n", wide.join(",")), None),
        ("100,001", format!("To: {wider}\n\nbody\n"), Some(too_many)),
        ("8 MB of a,", field("To", "a,", eight, ""), Some(too_long)),
        ("8 MB of <", field("To", "<", eight, ""), Some(too_long)),
        ("8 MB of fields", "a:\n".repeat(eight / 3) + "To: a@x.example\n\n", None),
    ];
    // To the recipients in the header; to another one; and with a report for each.
    let options = [&[][..], &["-a", "a@x.example"], &["--json"]];
    for (n, (what, mail, refused)) in headers.into_iter().enumerate() {
        let home = home();
        let (input, mbox) = (home.path("input"), home.path("box"));
        fs::write(&input, &mail).unwrap();
        fs::write(&mbox, "").unwrap();
        let via = format!("mbox:{}", mbox.display());
        for args in samples(&options[n % 3..][..1], &options, &options) {
            let (code, memory) = peak_memory(&[&["inject", "--via", &via], *args].concat(), &input);
            let is_refused = refused.is_some() && !args.contains(&"-a");
            assert_eq!(code, if is_refused { 65 } else { 0 }, "{what} {args:?}");
            assert!(memory < 64 << 10, "{what} {args:?}: {memory} KiB");
        }
        let report = inject(&home, &["-n", "-q"], mail);
        match refused {
            Some(why) => drop(report.exits(65).complains(&[why])),
            None => drop(report.exits(0)),
        }
    }
}

#[test]
fn cron_and_php_find_a_sendmail() {
    let home = home();
    for (args, message, want) in [
        (
            &["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "joe"][..],
            "From: root (Cron Daemon)\nTo: joe\n\n.\n",
            "joe@me.example.org",
        ),
        (&["-t", "-i"], "To: bob@x.example\r\nSubject: x\r\n\r\nbody\n", "bob@x.example"),
        (&["-t", "-i", "-fwww@x.example"], "To: bob@x.example\n\nbody\n", "bob@x.example"),
        (&["-oi", "-bm", "-f", "www@x.example", "bob@x.example"], "\n", "bob@x.example"),
    ] {
        let mut command = home.command("sendmail", args);
        command.env("USER", "ann");
        run_with_stdin(command, message).exits(0);
        let (message, to) = queued(&home);
        assert_eq!(to, [want], "{args:?}");
        assert!(!message.contains('\r') && message.matches("\n\n").count() == 1, "{message:?}");
    }
    for args in [&["-bs"][..], &["-bp"]] {
        run_with_stdin(home.command("sendmail", args), "")
            .exits(111)
            .complains(&["sendmail: fatal: unable to run"]);
    }
    run_with_stdin(home.command("sendmail", &["-Z"]), "").exits(100);
}

#[test]
fn the_name_of_qmail_inject_refuses_half_a_list_of_recipients() {
    for header in ["To: ok@h, <bob@h\n", "To: \"bob@h\n", "To: g: a@h, b@h\n"] {
        let home = home();
        let run = run_with_stdin(home.command("qmail-inject", &[]), format!("{header}\nb\n")).exits(100);
        assert_eq!(run.stderr, format!("qmail-inject: fatal: unable to parse this line:\n{header}"));
        assert!(home.queued().is_none());
        // With recipients as arguments, or with -n, the list is not read.
        run_with_stdin(home.command("qmail-inject", &["c@d.example"]), format!("{header}\nb\n")).exits(0);
        run_with_stdin(home.command("qmail-inject", &["-n"]), format!("{header}\nb\n")).exits(0);
    }
}

/// The same applies under the link: an obsolete route does not hide an unclosed bracket.
#[test]
fn a_small_fault_in_a_list_hides_no_larger_one() {
    let home = home();
    let command = home.command("sendmail", &["-t"]);
    run_with_stdin(command, "To: @a:bob@h.x, <joe@x.y\n\nhi\n").exits(100);
    assert!(home.queued().is_none());
}

#[test]
fn a_first_line_of_blanks_hides_no_recipients_in_the_body() {
    let home = home();
    inject(&home, &["-a", "q@x.y"], " \nTo: a@x.y\nBcc: s@x.y\n\nhi\n").exits(65);
    assert!(home.queued().is_none());
}

/// If a server accepts no connection within the time limit, the next one is tried.
#[test]
fn a_socket_without_a_listener_times_out() {
    let home = home();
    let socket = home.path("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // The test never accepts. Connections beyond the backlog wait, whatever its length.
    rustix::net::listen(&listener, 0).unwrap();
    let waiting = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let via = format!("lmtp+unix:{}", socket.display());
    let next = format!("queue:{}", home.path("queue").display());
    inject(&home, &["--timeout", "2", "--via", &via, "--via", &next, "a@x.example"], "\nbody\n").exits(0);
    assert!(home.queued().is_some());
    drop(waiting);
}

#[test]
fn any_number_of_seconds_is_a_limit() {
    let home = home();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let via = format!("smtp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let closes = std::thread::spawn(move || drop(listener.accept()));
    let run =
        inject(&home, &["--json", "--timeout", "9223372036854775807", "--via", &via, "a@x.example"], "\nx\n");
    assert_eq!(run.exits(75).json().pop().unwrap()["type"], "summary");
    closes.join().unwrap();
}

/// A recipient that one next hop refused permanently is not tried at another one, even if the connection is
/// then lost.
#[test]
fn a_permanent_failure_survives_a_lost_connection() {
    use std::io::{BufRead, BufReader, Write};
    let home = home();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let via = format!("smtp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 here\r\n").unwrap();
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let line = line.unwrap();
            match () {
                () if line.contains("last@") => return,
                () if line.contains("refused@") => stream.write_all(b"550 5.1.1 no\r\n").unwrap(),
                () => stream.write_all(b"250 ok\r\n").unwrap(),
            }
        }
    });
    let next = format!("queue:{}", home.path("queue").display());
    let to = ["ok@x.example", "refused@x.example", "last@x.example"];
    let args = [&["--json", "--via", &via, "--via", &next], &to[..]].concat();
    let run = inject(&home, &args, "\nx\n").exits(69);
    let report = run.json().pop().unwrap()["recipients"].clone();
    let outcomes: Vec<&str> =
        report.as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["accepted", "permanent", "accepted"]);
    assert_eq!(queued(&home).1, ["ok@x.example", "last@x.example"]);
    server.join().unwrap();
}

#[test]
fn what_is_no_host_completes_no_address() {
    let home = home();
    for (variable, value) in [
        ("QMAILDEFAULTHOST", ""),
        ("QMAILDEFAULTHOST", "."),
        ("QMAILDEFAULTHOST", "my host"),
        ("QMAILDEFAULTHOST", "a,b"),
        ("QMAILDEFAULTHOST", "x>y"),
        ("QMAILDEFAULTDOMAIN", ""),
    ] {
        let run = inject_in(&home, &[(variable, value)], &["-n"], "To: joe\n\nhi\n").exits(75);
        run.complains(&["4.3.5 ", variable]);
    }
    for host in ["h", "h.example", "[127.0.0.1]", "h+"] {
        inject_in(&home, &[("QMAILDEFAULTHOST", host)], &["-n"], "To: joe\n\nhi\n").exits(0);
    }
}

/// A relative path is relative to the current directory, with or without a slash. The output of a failed
/// program follows mailferry's message.
#[test]
fn a_programs_path_may_be_relative_and_its_output_is_shown() {
    let home = home();
    script(
        &home.path("here"),
        "#!/bin/sh\ncat >/dev/null\necho 'sendmail: the queue is full' >&2\nexit 75\n",
    );
    for via in ["sendmail:here", "sendmail:./here"] {
        let mut command = home.command("inject", &["--via", via, "a@x.example"]);
        command.env("USER", "ann").current_dir(home.path("."));
        let run = run_with_stdin(command, "\nx\n").exits(75);
        assert!(
            run.stderr.starts_with("4.3.0 ") && run.stderr.contains("the queue is full"),
            "{via}: {run:?}"
        );
    }
}

/// A command line has a maximum length: more recipients get another run of the program.
#[test]
fn recipients_are_split_over_runs_of_a_program() {
    let home = home();
    script(
        &home.path("many"),
        "#!/bin/sh\ncat >/dev/null\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nprintf '%s\\n' \"$@\" >> ALL\necho >> RUNS\n",
    );
    let to: Vec<String> = (0..40_000).map(|n| format!("recipient{n}@example.org")).collect();
    let via = format!("sendmail:{}", home.path("many").display());
    let mut command = home.command("inject", &["--via", &via]);
    command.env("USER", "ann").current_dir(home.path("."));
    run_with_stdin(command, format!("Bcc: {}\n\nx\n", to.join(",\n "))).exits(0);
    let all = fs::read_to_string(home.path("ALL")).unwrap();
    let mut all: Vec<&str> = all.lines().collect();
    all.sort();
    let mut to: Vec<&str> = to.iter().map(String::as_str).collect();
    to.sort();
    assert!(all == to);
    assert!(fs::read_to_string(home.path("RUNS")).unwrap().lines().count() > 1);
}
