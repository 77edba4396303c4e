//! Promises of `convert` about the mail that it writes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::*;

/// A message: From_ line, subject and body.
const ADA: &str = "From ada@example.org Mon Mar  2 08:15:00 1998\nSubject: one\n\nfirst\n\n";
const BERTIL: &str = "From bertil@example.org Mon Mar  2 19:40:31 1998\nSubject: two\n\nsecond\n";
const ADA_EPOCH: i64 = 888_826_500;
const HOUR: i64 = 3600;

#[test]
fn a_new_maildir_is_as_the_manual_promises() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    let run = convert_fixture("inbox.mbox", &maildir);
    assert_eq!(run.complaints(), [""; 0]);
    let expected = [
        (888_826_500, "cur", "S", "The library gets its first terminal"),
        (888_867_631, "cur", "RS", "Re: The library gets its first terminal"),
        (946_684_687, "cur", "FS", "=?iso-8859-1?Q?Gr=FC=DFe_zum_neuen_Jahr?="),
        (995_349_764, "cur", "", "The catalogue as a table"),
        (995_362_200, "cur", "D", "Re: The catalogue as a table (draft)"),
        (1_078_056_000, "cur", "ST", "A meeting on the day that is not there next year"),
        (1_352_395_269, "new", "-", "Keys"),
        (1_747_253_155, "new", "-", "Do you still have these mails?"),
    ];
    let mut written = messages(&maildir);
    written.sort_by_key(|message| message.epoch);
    let flags = |m: &Message| m.flags.clone().unwrap_or("-".into());
    let found: Vec<_> = written.iter().map(|m| (m.epoch, m.subdir, flags(m), m.subject())).collect();
    assert_eq!(
        found,
        expected.map(|(epoch, place, flags, subject)| (epoch, place, flags.into(), subject.into()))
    );
    for message in &written {
        sizes_are_true(message);
        assert_eq!((message.meta.mtime(), message.meta.mtime_nsec()), (message.epoch, 0), "{}", message.name);
        assert_eq!(message.host, "mailferry");
        assert_eq!(message.unique.len(), 24, "96 bits in hex: {}", message.name);
    }
    let modes: Vec<_> =
        tree(scratch.path()).into_iter().map(|(path, state)| (path, state.mode & 0o7777)).collect();
    assert_eq!(modes.len(), 1 + 3 + 8 + 1, "{modes:?}");
    for (path, mode) in modes {
        assert_eq!(mode, if scratch.path().join(&path).is_dir() { 0o700 } else { 0o600 }, "{path:?}");
    }
    let quoted = written[1].bytes.windows(16).any(|w| w == b"\nFrom Wednesday ");
    assert!(quoted, "the quoting is taken off");
    assert!(written[2].bytes.windows(7).any(|w| w == "Grüße".as_bytes()), "8-bit bytes stay");
}

/// Quota code relies on S= and W=.
#[track_caller]
fn sizes_are_true(message: &Message) {
    let bytes = &message.bytes;
    let bare_lf =
        (0..bytes.len()).filter(|&n| bytes[n] == b'\n' && (n == 0 || bytes[n - 1] != b'\r')).count();
    let (size, wire) = (bytes.len() as u64, (bytes.len() + bare_lf) as u64);
    assert_eq!((message.size, message.wire_size), (size, wire), "{}", message.name);
}

/// Converts bytes and returns the run and the messages, in the order of their dates.
#[track_caller]
fn converted(mbox: &[u8], options: &[&str]) -> (Run, Vec<Message>) {
    let (scratch, source) = file("source", mbox);
    let maildir = scratch.path().join("Maildir");
    let mut command = convert_command(options);
    command.args([source, maildir.clone()]);
    let run = run(command);
    // Junk is left out: the only finding of these mboxes that is an error.
    let has_junk = run.complaints().contains(&"mbox-junk".to_owned());
    let run = run.exits(i32::from(has_junk));
    run.summary();
    let mut written = messages(&maildir);
    written.sort_by_key(|message| message.epoch);
    written.iter().for_each(sizes_are_true);
    (run, written)
}

fn bytes(written: &[Message]) -> Vec<String> {
    written.iter().map(|m| String::from_utf8(m.bytes.clone()).unwrap()).collect()
}

#[test]
fn mailboxes_of_all_variants_give_their_messages() {
    const ONE: &str = "Subject: one\n\nfirst\n";
    const TWO: &str = "Subject: two\n\nsecond\n";
    let plain = format!("{ADA}{BERTIL}");
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let pseudo = "From MAILER-DAEMON Mon Mar  2 08:00:00 1998\nFrom: Mail System Internal Data <MAILER-DAEMON@x>\n\
                  Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 0888826400 0000000002\n\
                  Status: RO\n\nThis text is part of the internal format of your mail folder.\n\n";
    let frame = "\x01\x01\x01\x01\n";
    let cases: [(&str, String, Vec<String>, &[&str]); 13] = [
        ("plain", plain.clone(), vec![ONE.into(), TWO.into()], &[]),
        ("CRLF", crlf(&plain), vec![crlf(ONE), crlf(TWO)], &[]),
        ("CR only", plain.replace('\n', "\r"), vec![ONE.into(), TWO.into()], &["mbox-cr-only"]),
        ("byte order mark", format!("\u{feff}{plain}"), vec![ONE.into(), TWO.into()], &["mbox-bom"]),
        ("junk", format!("lost\nand found\n\n{plain}"), vec![ONE.into(), TWO.into()], &["mbox-junk"]),
        ("blank lines first", format!("\n\n{plain}"), vec![ONE.into(), TWO.into()], &[]),
        (
            "doubled From_ line",
            format!("From ada@example.org Mon Mar  2 08:15:00 1998\n{plain}"),
            vec![ONE.into(), TWO.into()],
            &["mbox-doubled-from"],
        ),
        ("pseudo message", format!("{pseudo}{plain}"), vec![ONE.into(), TWO.into()], &[]),
        (
            "MMDF",
            format!("{frame}{}{frame}{frame}{BERTIL}{frame}", ADA.trim_end().to_owned() + "\n"),
            vec![ONE.into(), TWO.into()],
            &[],
        ),
        (
            "no blank line",
            format!("{}{BERTIL}", &ADA[..ADA.len() - 1]),
            vec![ONE.into(), TWO.into()],
            &["mbox-no-blank-line"],
        ),
        (
            "blank tail",
            format!("{}\n\n{BERTIL}\n\n", &ADA),
            vec![format!("{ONE}\n\n"), format!("{TWO}\n")],
            &[],
        ),
        ("no final newline", plain.trim_end().into(), vec![ONE.into(), TWO.trim_end().into()], &[]),
        ("NULs", format!("{plain}\0\0\0\n"), vec![ONE.into(), format!("{TWO}\0\0\0\n")], &["mbox-nul"]),
    ];
    for (what, mbox, expected, complaints) in cases {
        let (run, written) = converted(mbox.as_bytes(), &[]);
        assert_eq!(bytes(&written), expected, "{what}");
        assert_eq!(run.complaints(), complaints, "{what}");
        let skipped = u64::from(what == "pseudo message");
        assert_eq!(count(&run.summary(), "skipped"), skipped, "{what}");
        assert_eq!(count(&run.summary(), "bytes_source"), mbox.len() as u64, "{what}");
    }
}

#[test]
fn fixtures_of_other_variants_are_recognised() {
    for (name, variant, subjects) in [
        ("crlf.mbox", None, ["Saved on Windows", "Re: Saved on Windows"]),
        ("mmdf.mbox", Some("mmdf"), ["In a frame", "In a frame, with a From_ line"]),
    ] {
        let (run, mut written) = converted(&fs::read(fixture(name)).unwrap(), &[]);
        written.sort_by_key(|m| m.field("Message-ID"));
        assert_eq!(written.iter().map(Message::subject).collect::<Vec<_>>(), subjects);
        assert_eq!(run.complaints(), [""; 0], "{name}");
        if let Some(variant) = variant {
            assert_eq!(run.summary()["variant"], variant);
        }
    }
}

#[test]
fn each_assumption_is_reported_in_one_line() {
    let message = |n: u32, from: &str, fields: &str| {
        format!(
            "From ada@example.org {from}\nDate: Mon, 2 Mar 1998 09:15:0{n} +0100\n{fields}Subject: {n}\n\nx\n\n"
        )
    };
    let mbox = [
        message(1, "Mon Mar  2 08:15:01 1998", "Status: RO\n"),
        message(2, "Mon Mar  2 08:15:02 1998", "Status: O\nX-Status: DF\n"),
        message(3, "Mon Mar  2 08:15:03 1998 +0100", ""),
        message(4, "Thu Jan  1 00:00:00 1970", "X-Status: D\n"),
    ];
    let (run, _) = converted(mbox.concat().as_bytes(), &[]);
    let findings = run.findings();
    let text = |code: &str| -> Vec<String> {
        let found = findings.iter().filter(|f| f["code"] == code);
        found.map(|f| f["message"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        text("flags-read"),
        [
            "flags of 3 messages are from their header: 1 read, 1 flagged, 2 trashed; fields: 2 Status, 2 X-Status"
        ]
    );
    assert!(text("deleted-flagged")[0].starts_with("2 messages marked as deleted, flagged T"));
    assert_eq!(text("date-zone-assumed"), ["2 From_ lines without a zone, taken as UTC"]);
    assert_eq!(
        text("date-from-fields"),
        ["1 message without a real date in the From_ line, dated by other fields: 0 by Received, 1 by Date"]
    );
    assert_eq!(run.complaints(), [""; 0]);
}

#[test]
fn a_broken_mbox_is_reported_line_by_line() {
    let scratch = scratch();
    let run = convert_fixture("broken.mbox", &scratch.path().join("Maildir"));
    let mbox = String::from_utf8(fs::read(fixture("broken.mbox")).unwrap()).unwrap();
    let at = |text: &str| mbox.find(text).unwrap_or_else(|| panic!("{text:?}")) as u64;
    let expected = [
        ("mbox-junk", 0),
        ("mbox-doubled-from", at("From ada@example.org Mon Mar  2 08:14:00")),
        ("mbox-content-length", at("Content-Length: 9")),
        ("mbox-from-in-body", at("From here on only prose")),
        ("mbox-no-blank-line", at("From carmen")),
        ("mbox-header-cut", at("From dilip")),
    ];
    for (code, offset) in expected {
        let findings = run.findings();
        let found: Vec<&Value> = findings.iter().filter(|f| f["code"] == code).collect();
        let [finding] = found[..] else { panic!("{code}: {found:?}") };
        assert_eq!(finding["severity"], if code == "mbox-junk" { "error" } else { "warning" });
        assert_eq!(count(finding, "offset"), offset, "{finding}");
        let line = mbox[..offset as usize].matches('\n').count() as u64 + 1;
        assert_eq!(count(finding, "line"), line, "{finding}");
    }
    assert_eq!(run.complaints().len(), expected.len(), "{:?}", run.complaints());
    assert_eq!(count(&run.summary(), "warnings"), expected.len() as u64 - 1);
    assert_eq!(count(&run.summary(), "written"), 4);
}

#[test]
fn compressed_mail_is_recognised_by_its_content() {
    let mbox = fs::read(fixture("inbox.mbox")).unwrap();
    let gzip = |mail: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(mail).unwrap();
        packer.finish().unwrap()
    };
    let bzip2 = |mail: &[u8]| {
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packer.write_all(mail).unwrap();
        packer.finish().unwrap()
    };
    let xz = |mail: &[u8]| {
        let mut packer =
            lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        packer.write_all(mail).unwrap();
        packer.finish().unwrap()
    };
    let scratch = scratch();
    let plain = scratch.path().join("plain");
    convert_fixture("inbox.mbox", &plain);
    for (name, packed) in [
        ("inbox.gz", mbox.clone()),
        ("inbox.txt", gzip(&mbox)),
        ("inbox.mbox", bzip2(&mbox)),
        ("inbox.zip", xz(&mbox)),
        ("inbox", zstd::encode_all(&mbox[..], 1).unwrap()),
    ] {
        let (scratch, source) = file(name, &packed);
        let (from_file, from_stdin) = (scratch.path().join("file"), scratch.path().join("stdin"));
        let summary = convert([&source, &from_file]).summary();
        assert_eq!(count(&summary, "bytes_source"), mbox.len() as u64, "{name}");
        assert!(mail_alike(&from_file) == mail_alike(&plain), "{name}");
        run_with_stdin(convert_command([Path::new("-"), &from_stdin]), packed).exits(0);
        assert!(mail_alike(&from_stdin) == mail_alike(&plain), "{name} on standard input");
    }
}

#[test]
fn a_prefix_overrides_the_evidence() {
    let body = ">From once\n>>From twice\n";
    let mbox = format!("From a@example.org Mon Mar  2 08:15:00 1998\nSubject: x\n\n{body}\n");
    let (scratch, source) = file("source", &mbox);
    // The From_ line is no part of a message, however it is read.
    let whole = format!("Subject: x\n\n{body}\n");
    for (prefix, expected, variant) in [
        ("mboxrd:", "Subject: x\n\nFrom once\n>From twice\n", "mboxrd"),
        ("mboxo:", "Subject: x\n\nFrom once\n>>From twice\n", "mboxo"),
        ("mboxcl2:", "Subject: x\n\n>From once\n>>From twice\n", "mboxcl2"),
        ("rfc822:", &whole, "rfc822"),
    ] {
        let maildir = scratch.path().join(prefix.trim_end_matches(':'));
        let source = format!("{prefix}{}", source.display());
        let run = convert([source, format!("maildir:{}", maildir.display())]);
        assert_eq!(bytes(&messages(&maildir)), [expected], "{prefix} (of {whole:?})");
        assert_eq!(run.summary()["variant"], variant);
    }
}

#[test]
fn the_same_command_again_touches_nothing() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    let fixtures = ["inbox.mbox", "crlf.mbox", "broken.mbox"].map(fixture);
    let command = [&["--lock=none".into()], &fixtures[..], std::slice::from_ref(&maildir)].concat();
    let summary = convert_junk(&command).summary();
    assert_eq!((count(&summary, "sources"), count(&summary, "written")), (3, 14));
    assert_eq!(messages(&maildir).len(), 14);
    let before = tree(&maildir);
    let summary = convert(&command).summary();
    assert_eq!((count(&summary, "written"), count(&summary, "already_present")), (0, 14));
    assert!(tree(&maildir) == before);
    let text = run(mailferry([
        "convert".as_ref(),
        "--lock=none".as_ref(),
        fixtures[0].as_os_str(),
        maildir.as_os_str(),
    ]))
    .exits(0);
    text.has_line("8 messages found, 0 written, 8 already there; every byte of 3,756 accounted for.");
}

#[test]
fn mail_that_its_user_has_read_since_is_not_written_again() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    convert_fixture("inbox.mbox", &maildir);
    let new = messages(&maildir).into_iter().find(|m| m.subdir == "new").unwrap();
    fs::rename(&new.path, maildir.join("cur").join(format!("{}:2,RS", new.name))).unwrap();
    let before = tree(&maildir);
    let summary = convert_fixture("inbox.mbox", &maildir).summary();
    assert_eq!((count(&summary, "written"), count(&summary, "already_present")), (0, 8));
    assert!(tree(&maildir) == before);
}

#[test]
fn identical_messages_of_one_source_all_count() {
    let (run, written) = converted(ADA.repeat(3).as_bytes(), &[]);
    assert_eq!((count(&run.summary(), "written"), count(&run.summary(), "duplicates")), (3, 0));
    let hash = written.iter().map(|m| m.unique.clone()).min().unwrap();
    let mut uniques: Vec<_> = written.iter().map(|m| m.unique.clone()).collect();
    uniques.sort();
    assert_eq!(uniques, [hash.clone(), format!("{hash}_1"), format!("{hash}_2")]);
}

#[test]
fn what_is_in_an_existing_maildir_stays_as_it_is() {
    let (scratch, source) = file("source", format!("{ADA}{BERTIL}"));
    // Converting elsewhere gives the names. One of them goes into tmp/, as a killed run leaves it.
    let elsewhere = scratch.path().join("elsewhere");
    convert([&source, &elsewhere]);
    let ours = messages(&elsewhere)[0].name.clone();
    let maildir = scratch.path().join("Maildir");
    for place in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(place)).unwrap();
        fs::write(maildir.join(place).join("1000000000.M1P1.elsewhere"), place).unwrap();
    }
    fs::write(maildir.join("dovecot-uidlist"), "3 V1 N1\n").unwrap();
    let before = tree(&maildir);
    fs::write(maildir.join("tmp").join(&ours), "half a mess").unwrap();
    convert([&source, &maildir]);
    let mut after = tree(&maildir);
    let new: Vec<_> = messages(&elsewhere).into_iter().map(|m| Path::new(m.subdir).join(m.name)).collect();
    for path in &new {
        let state = after.remove(path).unwrap_or_else(|| panic!("{path:?} is not there"));
        assert_eq!(state.digest, sha256(&fs::read(elsewhere.join(path)).unwrap()), "{path:?}");
    }
    assert!(after.remove(Path::new("mailferry.manifest")).is_some());
    assert_eq!(after, before);
}

#[test]
fn each_option_changes_only_what_it_names() {
    let mbox = "From ada@example.org Mon Mar  2 08:15:00 1998\n\
                Received: from a by b; Mon, 2 Mar 1998 09:16:00 +0000\n\
                Date: Mon, 2 Mar 1998 10:17:00 +0000\nStatus: RO\n\nlf\ncrlf\r\n";
    let at = |seconds: i64| ADA_EPOCH + seconds;
    let message = mbox.split_once('\n').unwrap().1;
    let lf = message.replace("\r\n", "\n");
    let crlf = lf.replace('\n', "\r\n");
    let cases: [(&[&str], i64, &str, u64); 12] = [
        (&[], at(0), message, 0),
        (&["--fsync=each"], at(0), message, 0),
        (&["--fsync=none"], at(0), message, 0),
        (&["--eol=keep"], at(0), message, 0),
        (&["--eol=lf"], at(0), &lf, 1),
        (&["--eol=crlf"], at(0), &crlf, 5),
        (&["--date=from"], at(0), message, 0),
        (&["--date=received"], at(HOUR + 60), message, 0),
        (&["--date=header"], at(2 * HOUR + 120), message, 0),
        (&["--from-zone=+0100"], at(-HOUR), message, 0),
        (&["--from-zone=-05:30"], at(5 * HOUR + HOUR / 2), message, 0),
        (&["--from-zone=UTC"], at(0), message, 0),
    ];
    let mut uniques = Vec::new();
    for (options, epoch, expected, changed) in cases {
        let (run, written) = converted(mbox.as_bytes(), options);
        assert_eq!(bytes(&written), [expected], "{options:?}");
        assert_eq!((written[0].epoch, written[0].meta.mtime()), (epoch, epoch), "{options:?}");
        assert_eq!(count(&run.summary(), "line_ends_changed"), changed, "{options:?}");
        uniques.push(written[0].unique.clone());
    }
    uniques.dedup();
    assert_eq!(uniques.len(), 1, "the unique part is that of the source bytes");
    let (_, written) = converted(mbox.as_bytes(), &["--host=a/b:c"]);
    assert_eq!(written[0].host, "a\\057b\\072c");
}

#[test]
fn another_info_separator_and_the_date_of_the_file() {
    let (scratch, source) = file("source", ADA.replace("\n\n", "\nStatus: RO\n\n"));
    fs::File::open(&source)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000))
        .unwrap();
    for separator in [";", "!"] {
        let maildir = scratch.path().join(separator);
        let option = format!("--info-sep={separator}");
        convert([option.as_ref(), "--date=mtime".as_ref(), source.as_os_str(), maildir.as_os_str()]);
        let names = paths(&maildir.join("cur"));
        assert_eq!(names.len(), 1);
        assert!(
            names[0].starts_with("1000000000.") && names[0].ends_with(&format!("{separator}2,S")),
            "{names:?}"
        );
    }
}

#[test]
fn the_zone_of_from_lines_comes_from_received_fields() {
    let message = |day| {
        format!(
            "From a@example.org Mon Mar  {day} 12:00:00 1998\n\
             Received: by b; Mon, {day} Mar 1998 10:00:00 +0000\n\n{day}\n\n"
        )
    };
    let mbox: String = (2..7).map(message).collect();
    for (options, hours) in [(&[][..], 10), (&["--from-zone=+01:00"][..], 11), (&["--from-zone=UTC"][..], 12)]
    {
        let (run, written) = converted(mbox.as_bytes(), options);
        let hour = |m: &Message| m.epoch % (24 * HOUR) / HOUR;
        assert_eq!(written.iter().map(hour).collect::<Vec<_>>(), [hours; 5], "{options:?}");
        assert_eq!(run.findings().iter().any(|f| f["code"] == "date-zone"), hours == 10);
    }
}

#[test]
fn implausible_dates_are_replaced_by_plausible_ones() {
    let git = "From 0123456789 Mon Sep 17 00:00:00 2001\nDate: Mon, 2 Mar 1998 08:15:00 +0000\n\nx\n";
    let epoch =
        "From a@example.org Thu Jan  1 00:00:00 1970\nReceived: by b; Mon, 2 Mar 1998 09:15:00 +0100\n\nx\n";
    let future = "From a@example.org Thu Jan  1 00:00:00 2099\nDate: Mon, 2 Mar 1998 08:15:00 GMT\n\nx\n";
    for mbox in [git, epoch, future] {
        assert_eq!(converted(mbox.as_bytes(), &[]).1[0].epoch, ADA_EPOCH, "{mbox}");
    }
    let alike = "From a@example.org Tue Mar  3 03:33:33 1998\nDate: Mon, 2 Mar 1998 08:15:00 +0000\n\nx\n\n";
    let (_, written) = converted(alike.repeat(3).as_bytes(), &[]);
    assert!(written.iter().all(|m| m.epoch == ADA_EPOCH), "the same date on all is no date");
}

#[test]
fn a_dry_run_writes_nothing_anywhere_and_counts_the_same() {
    let (scratch, source) = file("source", format!("{ADA}{BERTIL}"));
    let existing = scratch.path().join("existing");
    convert_fixture("inbox.mbox", &existing);
    // A directory's mtime also shows files that existed for a moment, such as a lock.
    let touched = |name: &str| fs::metadata(scratch.path().join(name)).unwrap().modified().unwrap();
    let times = || ["", "existing", "existing/tmp", "existing/new", "existing/cur"].map(touched);
    let (before, times_before) = (tree(scratch.path()), times());
    for destination in ["existing", "new"] {
        let destination = scratch.path().join(destination);
        let mut command = convert_command(["-n"]);
        command.args([&source, &destination]);
        let run = run(command).exits(0);
        assert_eq!(count(&run.summary(), "written"), 2);
        assert_eq!(run.summary()["dry_run"], true);
        assert_eq!((tree(scratch.path()), times()), (before.clone(), times_before));
    }
    let text = run(mailferry(["convert".as_ref(), "-n".as_ref(), source.as_os_str(), existing.as_os_str()]))
        .exits(0);
    text.has_line("2 messages found, 2 would be written; every byte of 137 accounted for.");
    let (source, existing) = (source.display(), existing.display());
    assert_eq!(text.last_line(), format!("Do it: mailferry convert {source} {existing}"));
}

#[test]
fn a_source_is_never_changed_and_no_lock_is_left_on_it() {
    let (scratch, source) = file("source", format!("{ADA}{BERTIL}"));
    let before = tree(scratch.path());
    for (n, lock) in ["dotlock", "fcntl", "flock", "dotlock,fcntl", "none"].into_iter().enumerate() {
        let maildir = scratch.path().join(format!("Maildir{n}"));
        convert([format!("--lock={lock}"), source.display().to_string(), maildir.display().to_string()]);
        fs::remove_dir_all(maildir).unwrap();
        assert_eq!(tree(scratch.path()), before, "{lock}");
    }
}

#[test]
fn a_folder_of_a_maildir_is_marked_as_one() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    convert_fixture("inbox.mbox", &maildir);
    assert!(!maildir.join("maildirfolder").exists());
    convert_fixture("crlf.mbox", &maildir.join(".Old"));
    assert_eq!(fs::metadata(maildir.join(".Old/maildirfolder")).unwrap().len(), 0);
    assert_eq!(messages(&maildir.join(".Old")).len(), 2);
}

#[test]
fn the_summary_has_every_key_of_the_contract_whatever_happens() {
    let keys = "sources folders messages_found written already_present duplicates skipped variant bytes_source \
                bytes_messages bytes_from_lines bytes_quoting bytes_separators bytes_junk bytes_not_reached \
                warnings errors seconds";
    let scratch = scratch();
    let (inbox, nothing) = (fixture("inbox.mbox"), scratch.path().join("nothing"));
    let outcomes = [
        (inbox.clone(), scratch.path().join("Maildir"), 0),
        (nothing.clone(), scratch.path().join("Maildir2"), 3),
        (inbox.clone(), nothing.join("Maildir"), 3),
        (fixture("../cli/main.rs"), scratch.path().join("Maildir3"), 3),
    ];
    for (source, destination, code) in outcomes {
        let run = run(convert_command(["--lock=none".into(), source, destination])).exits(code);
        let summary = run.summary();
        for key in keys.split_whitespace() {
            assert!(summary.get(key).is_some(), "{key} is not in {summary}");
        }
        assert_eq!(count(&summary, "errors"), u64::from(code == 3));
        for finding in run.findings() {
            for key in ["code", "severity", "path", "message"] {
                assert!(finding[key].is_string(), "{key} in {finding}");
            }
        }
    }
}

#[test]
fn the_summary_begins_with_a_plain_sentence() {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    let run = run(mailferry([
        "convert".as_ref(),
        "--lock=none".as_ref(),
        fixture("inbox.mbox").as_os_str(),
        maildir.as_os_str(),
    ]))
    .exits(0);
    run.has_line("8 messages found, 8 written; every byte of 3,756 accounted for.");
    assert_eq!(run.last_line(), format!("Check it any time: mailferry verify {}", maildir.display()));
    assert_eq!(run.stderr, "");
}

#[test]
fn quiet_strict_and_a_usage_error() {
    let scratch = scratch();
    let broken = fixture("broken.mbox");
    let with = |options: &[&str], n: u32| {
        let mut command = mailferry(["convert", "--lock=none"]);
        command.args(options).args([&broken, &scratch.path().join(format!("Maildir{n}"))]);
        run(command)
    };
    let quiet = with(&["-q"], 0).exits(1);
    assert!(quiet.text().contains("[mbox-junk]") && quiet.text().lines().count() == 1, "{quiet:?}");
    let strict = with(&["--strict"], 1).exits(1);
    assert!(strict.text().contains("[mbox-doubled-from]"), "{}", strict.text());
    assert_eq!(messages(&scratch.path().join("Maildir1")).len(), 4, "everything is written anyway");
    let before = paths(scratch.path());
    for options in [
        &["--nonsense"][..],
        &["--eol=cr"],
        &["--jobs=0"],
        &["--lock=hope,none"],
        &["--from-zone=Mars"],
        &["-q", "-v"],
    ] {
        let refused = with(options, 2).exits(2);
        assert!(refused.text().is_empty() && refused.stderr.contains("--help"), "{refused:?}");
    }
    run(mailferry(["convert", "only-a-source"])).exits(2);
    run(mailferry(["convert", "--help"])).exits(0);
    assert_eq!(paths(scratch.path()), before);
}

#[test]
fn a_pipe_closed_early_is_no_error_and_the_mail_is_there() {
    let scratch = scratch();
    for (n, options) in [&["-v"][..], &["--json"]].into_iter().enumerate() {
        let maildir = scratch.path().join(format!("Maildir{n}"));
        let mut command = mailferry(["convert", "--lock=none"]);
        command.args(options).args([&fixture("inbox.mbox"), &maildir]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run = Run::of(child.wait_with_output().unwrap()).exits(0);
        assert_eq!(run.stderr, "");
        assert_eq!(messages(&maildir).len(), 8);
    }
}
