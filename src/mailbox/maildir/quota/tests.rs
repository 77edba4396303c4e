use std::fs;

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;

/// A Maildir with 300 bytes in new/, 20 in a folder, and files that do not count.
struct Box(tempfile::TempDir);

impl Box {
    fn new() -> Box {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["", ".A.B", ".Trash", "..A.mailferry-partial"] {
            for place in ["tmp", "new", "cur"] {
                fs::create_dir_all(temp.path().join(folder).join(place)).unwrap();
            }
        }
        let this = Box(temp);
        for (name, size) in [
            ("new/1.a.h,S=300", 300),
            (".A.B/maildirfolder", 0),
            (".A.B/cur/1.b.h,S=5:2,FS", 20),
            (".A.B/cur/1.c.h:2,ST", 1000),
            (".Trash/maildirfolder", 0),
            (".Trash/new/1.d.h", 1000),
            ("..A.mailferry-partial/new/1.e.h", 1000),
            ("cur/.hidden", 1000),
            ("tmp/1.f.h", 1000),
            (".file", 1000),
        ] {
            fs::write(this.path(name), vec![b'x'; size]).unwrap();
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a maildirsize with an age in seconds.
    fn says(&self, text: impl AsRef<[u8]>, age: i64) {
        fs::write(self.path(FILE_NAME), text).unwrap();
        let file = fs::File::open(self.path(FILE_NAME)).unwrap();
        durable::set_mtime(&file, NOW - age).unwrap();
    }

    fn text(&self) -> String {
        assert!(!self.path(MARKER).exists(), "the marker stays");
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 1, "something stays in tmp/");
        fs::read_to_string(self.path(FILE_NAME)).unwrap()
    }

    fn quota(&self, asked: Option<&str>) -> Option<Quota> {
        let asked = asked.map(|text| Limits::parse(text).unwrap());
        Quota::find(&Dir::open(self.0.path()).unwrap(), asked).unwrap()
    }

    /// Delivers so many bytes within the quota, or returns why not.
    fn deliver(&self, asked: Option<&str>, size: u64) -> Result<(), OverQuota> {
        let quota = self.quota(asked).expect("there is a quota");
        let plain = quota.check_unlocked(size, NOW).unwrap();
        let looked = quota.check(size, NOW, Cancel::never()).unwrap();
        let entered = quota.reserve(size, NOW, Duration::ZERO, Cancel::never()).unwrap();
        assert_eq!(looked, entered.as_ref().err().copied());
        assert!(plain.is_none() || plain == looked);
        entered.map(Reservation::confirm)
    }
}

#[test]
fn limits_are_read_and_printed() {
    for (text, bytes, messages) in [
        ("1000S,10C", Some(1000), Some(10)),
        ("1000S", Some(1000), None),
        ("10C", None, Some(10)),
        ("0S", None, None),
    ] {
        let limits = Limits { bytes, messages };
        assert_eq!(Limits::parse(text), Ok(limits));
        assert_eq!(Limits::of_line(text.as_bytes()), limits);
        assert_eq!(limits.to_string(), text);
    }
    assert_eq!(Limits::parse("10C,1000S").unwrap().to_string(), "1000S,10C");
    for wrong in
        ["", "1000", "S", "1000s", "-1S", "+1S", "1S,", "1S,2S", "1M", "1S 2C", "99999999999999999999S"]
    {
        assert!(Limits::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_maildirsize_is_added_up() {
    assert_eq!(sums(b"1000S,10C\n100 2\n-50 -1\n\n"), Ok((50, 1)));
    assert_eq!(sums(b"1000S"), Ok((0, 0)));
    assert_eq!(sums(b"0S\n1 2\nx 3\n"), Err(3));
    assert_eq!(sums(b"0S\n1 2 3\n"), Err(2));
}

#[test]
fn nobody_asks_for_a_quota_where_there_is_none() {
    let maildir = Box::new();
    assert!(maildir.quota(None).is_none());
    assert!(maildir.quota(Some("1S")).is_some());
    maildir.says("1S\n0 0\n", 0);
    assert!(maildir.quota(None).is_some());
}

#[test]
fn a_folder_is_in_the_quota_of_its_maildir_and_the_trash_in_none() {
    let maildir = Box::new();
    maildir.says("1000S\n320 2\n", 0);
    let of = |folder: &str, asked| Quota::find(&Dir::open(&maildir.path(folder)).unwrap(), asked).unwrap();
    let quota = of(".A.B", None).unwrap();
    quota.reserve(7, NOW, Duration::ZERO, Cancel::never()).unwrap().unwrap().confirm();
    assert_eq!(maildir.text(), "1000S\n320 2\n7 1\n");
    assert!(of(".Trash", None).is_none());
    assert!(of(".Trash", Some(Limits::default())).is_none());
    // Without the marker file it is a Maildir of its own.
    fs::remove_file(maildir.path(".A.B/maildirfolder")).unwrap();
    assert!(of(".A.B", None).is_none());
    // Dovecot puts that file into the Maildir itself, too.
    let hidden = tempfile::tempdir().unwrap();
    let home = hidden.path().join(".maildir");
    ["tmp", "new", "cur"].iter().for_each(|place| fs::create_dir_all(home.join(place)).unwrap());
    fs::write(home.join("maildirfolder"), "").unwrap();
    fs::write(home.join(FILE_NAME), "1S\n0 0\n").unwrap();
    assert!(Quota::find(&Dir::open(&home).unwrap(), None).unwrap().is_some());
}

#[test]
fn each_delivery_adds_a_line_and_what_is_too_much_does_not() {
    let maildir = Box::new();
    // As maildrop pads it.
    maildir.says("1000S,4C\n         320            2\n", 0);
    assert_eq!(maildir.deliver(None, 600), Ok(()));
    assert_eq!(maildir.text(), "1000S,4C\n         320            2\n600 1\n");
    fs::write(maildir.path("new/2.a.h"), [b'x'; 600]).unwrap();
    let over = maildir.deliver(None, 100).unwrap_err();
    // A sum that refuses is counted again if lines were added to it.
    assert_eq!(maildir.text(), "1000S,4C\n920 3\n");
    assert_eq!(over.used, Usage { bytes: 920, messages: 3 });
    assert_eq!(maildir.deliver(None, 80), Ok(()));
    assert!(maildir.deliver(None, 0).is_ok(), "the line of 80 bytes has no message");
}

#[test]
fn over_quota_says_how_much_of_what() {
    let maildir = Box::new();
    maildir.says("1000S,10C\n939 3\n", 0);
    assert_eq!(maildir.deliver(None, 61), Ok(()));
    maildir.says("1000S,10C\n939 3\n", 0);
    let over = maildir.deliver(None, 62).unwrap_err();
    assert_eq!(
        over.to_string(),
        "over quota: 939 of 1000 bytes and 3 of 10 messages used; this message has 62 bytes"
    );
    maildir.says("3C\n939 3\n", 0);
    let over = maildir.deliver(None, 1).unwrap_err();
    assert_eq!(over.to_string(), "over quota: 3 of 3 messages used; this message has 1 byte");
    assert_eq!(maildir.text(), "3C\n939 3\n");
}

#[test]
fn what_a_sum_cannot_be_believed_for_is_counted() {
    let maildir = Box::new();
    let lines = format!("1000S\n{}", "0 0\n".repeat(1300));
    for (text, age, why) in [
        ("", 0, "empty"),
        ("1000S", 0, "cut off in its first line"),
        ("1000S\n", 0, "never summed up"),
        ("1000S\n1 1\n2", 0, "cut off"),
        ("1000S\n1 one\n", 0, "no number"),
        ("1000S\n1 1\n\0\0\0\0\n", 0, "as a crash leaves it"),
        ("1000S\n-1 0\n", 0, "less than nothing"),
        (&lines, 0, "too long"),
        ("1000S\n999 9\n", 15 * 60 + 1, "full, and that is long ago"),
        ("1000S\n998 9\n1 1\n", 0, "full, as far as is known"),
    ] {
        maildir.says(text, age);
        assert_eq!(maildir.deliver(None, 10), Ok(()), "{why}");
        let limits = if text.is_empty() { "0S" } else { "1000S" };
        assert_eq!(maildir.text(), format!("{limits}\n320 2\n10 1\n"), "{why}");
    }
    maildir.says("1000S\n999 9\n", 15 * 60);
    assert!(maildir.quota(None).unwrap().check_unlocked(10, NOW).unwrap().is_some());
    assert!(maildir.deliver(None, 10).is_err());
    assert_eq!(maildir.text(), "1000S\n999 9\n");
}

#[test]
fn what_a_dead_delivery_left_is_counted() {
    let maildir = Box::new();
    for text in ["1000S,7X\n333 3\n", "1000S,7X\n320 2\n13", "1000S,7X\n"] {
        maildir.says(text, 0);
        fs::write(maildir.path(MARKER), "").unwrap();
        assert_eq!(maildir.deliver(None, 10), Ok(()));
        assert_eq!(maildir.text(), "1000S,7X\n320 2\n10 1\n");
    }
    maildir.says("400S\n", 0);
    fs::write(maildir.path(MARKER), "").unwrap();
    assert!(maildir.deliver(None, 100).is_err());
    assert_eq!(maildir.text(), "400S\n320 2\n");
}

#[test]
fn a_quota_that_is_asked_for_is_the_first_line_from_then_on() {
    let maildir = Box::new();
    assert_eq!(maildir.deliver(Some("1000S"), 10), Ok(()));
    assert_eq!(maildir.text(), "1000S\n320 2\n10 1\n");
    // The same quota needs no count.
    assert_eq!(maildir.deliver(Some("1000S"), 11), Ok(()));
    assert_eq!(maildir.text(), "1000S\n320 2\n10 1\n11 1\n");
    maildir.says("1000S,10C,5X\n0 0\n", 0);
    assert_eq!(maildir.deliver(Some("500S"), 12), Ok(()));
    assert_eq!(maildir.text(), "500S,5X\n320 2\n12 1\n");
    assert!(maildir.deliver(Some("300S"), 13).is_err());
    assert_eq!(maildir.text(), "300S,5X\n320 2\n");
    assert_eq!(maildir.deliver(Some("0S"), 13), Ok(()));
    assert_eq!(maildir.text(), "0S,5X\n320 2\n13 1\n");
}

#[test]
fn what_is_not_linked_is_taken_back() {
    let maildir = Box::new();
    maildir.says("1000S\n320 2\n", 0);
    let quota = maildir.quota(None).unwrap();
    drop(quota.reserve(13, NOW, Duration::ZERO, Cancel::never()).unwrap());
    assert_eq!(maildir.text(), "1000S\n320 2\n13 1\n-13 -1\n");
}

#[test]
fn what_was_linked_is_taken_back_with_its_link() {
    let maildir = Box::new();
    maildir.says("1000S\n320 2\n", 0);
    let quota = maildir.quota(None).unwrap();
    quota.reserve(13, NOW, Duration::ZERO, Cancel::never()).unwrap().unwrap().confirm();
    quota.rollback(13, Duration::ZERO, || Ok(())).unwrap();
    assert_eq!(maildir.text(), "1000S\n320 2\n13 1\n-13 -1\n");
    // A message that cannot be removed counts.
    let stays = || Err(Error::Interrupted);
    quota.rollback(13, Duration::ZERO, stays).unwrap_err();
    assert_eq!(maildir.text(), "1000S\n320 2\n13 1\n-13 -1\n");
    // An earlier doubt stays.
    fs::write(maildir.path(MARKER), "").unwrap();
    quota.rollback(13, Duration::ZERO, || Ok(())).unwrap();
    assert!(maildir.path(MARKER).exists());
}

#[test]
fn another_ones_count_is_not_written_past() {
    let maildir = Box::new();
    maildir.says("1000S\n320 2\n", 0);
    let quota = maildir.quota(None).unwrap();
    let entered = quota.reserve(13, NOW, Duration::ZERO, Cancel::never()).unwrap().unwrap();
    // Dovecot counts before the message is linked, and then it is not linked.
    fs::write(maildir.path("other"), "1000S\n320 2\n").unwrap();
    fs::rename(maildir.path("other"), maildir.path(FILE_NAME)).unwrap();
    drop(entered);
    assert_eq!(maildir.text(), "1000S\n320 2\n");
}

#[test]
fn one_at_a_time_is_let_in() {
    let maildir = Box::new();
    maildir.says("1000S\n320 2\n", 0);
    let quota = maildir.quota(None).unwrap();
    let entered = quota.reserve(13, NOW, Duration::ZERO, Cancel::never()).unwrap().unwrap();
    let second = maildir.quota(None).unwrap();
    let second = second.reserve(13, NOW, Duration::from_millis(5), Cancel::never()).unwrap_err();
    assert!(matches!(second, Error::Locked { .. }), "{second}");
    let marked = fs::read(maildir.path(MARKER)).unwrap();
    assert!(marked.is_empty());
    entered.confirm();
    assert_eq!(maildir.deliver(None, 14), Ok(()));
    assert_eq!(maildir.text(), "1000S\n320 2\n13 1\n14 1\n");
}

#[test]
fn the_mode_of_the_file_stays() {
    use std::os::unix::fs::PermissionsExt;
    let maildir = Box::new();
    maildir.says("1000S\n", 0);
    fs::set_permissions(maildir.path(FILE_NAME), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(maildir.deliver(None, 1), Ok(()));
    assert_eq!(fs::metadata(maildir.path(FILE_NAME)).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_compressed_message_counts_for_what_its_name_says() {
    let maildir = Box::new();
    fs::write(maildir.path("cur/2.a.h,S=500:2,S"), b"\x1f\x8b\x08 and so on").unwrap();
    assert_eq!(maildir.deliver(Some("9000S"), 1), Ok(()));
    assert_eq!(maildir.text(), "9000S\n820 3\n1 1\n");
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let maildir = Box::new();
    fs::create_dir(maildir.path(FILE_NAME)).unwrap();
    let error = maildir.quota(None).unwrap().reserve(1, NOW, Duration::ZERO, Cancel::never()).unwrap_err();
    assert!(error.to_string().contains(FILE_NAME), "{error}");
}

proptest! {
    #[test]
    fn any_file_is_read_and_the_next_delivery_makes_it_a_sound_one(text: Vec<u8>) {
        let maildir = Box::new();
        maildir.says(&text, 0);
        let _ = maildir.deliver(None, 3);
        let after = fs::read(maildir.path(FILE_NAME)).unwrap();
        prop_assert!(sums(&after).is_ok());
    }

    #[test]
    fn a_first_line_keeps_what_it_says(bytes in 0u64..1 << 40, messages in 0u64..1 << 40) {
        let limits = Limits {
            bytes: Some(bytes).filter(|&n| n > 0),
            messages: Some(messages).filter(|&n| n > 0),
        };
        prop_assert_eq!(Limits::of_line(limits.to_string().as_bytes()), limits);
        let line = limits.line(b"7S,some,9C, thing");
        prop_assert_eq!(Limits::of_line(&line), limits);
        prop_assert!(line.ends_with(b",some,thing"));
    }
}
