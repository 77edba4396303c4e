use std::fs;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use crate::mailbox::maildir::list::NO_CLOCK;
use crate::mailbox::mbox::quote::quote_mboxrd;
use crate::mailbox::mbox::{Mbox, ReadOptions, ScanHooks, Variant, read};
use crate::mailbox::source::{Source, SpoolOptions};
use crate::mailbox::{Cancel, Code, Context, Error, Events, LockOptions, Phase};
use crate::verify::compare::messages::compare;
use crate::verify::compare::report::{Detail, MessageRef};
use crate::verify::compare::side::{OpenMailbox, Side};
use crate::verify::compare::text::DiffPoint;
use crate::verify::compare::*;

const FROM: &str = "From a@b Mon Jan  1 10:00:05 2001\n";
const RECEIVED: i64 = 978_343_205;

/// A mailbox to write into a directory of its own.
#[derive(Debug, Clone)]
enum Mail {
    Mbox(Variant, Vec<u8>),
    /// Names below the Maildir, and the messages.
    Maildir(Vec<(String, Vec<u8>)>),
}

/// Counts progress.
#[derive(Default)]
struct CountingEvents {
    begun: AtomicU64,
    advanced: AtomicU64,
}

impl Events for CountingEvents {
    fn begin(&self, _: Phase, total: u64) {
        self.begun.fetch_add(total, Ordering::Relaxed);
    }
    fn advance(&self, bytes: u64, _: u64) {
        self.advanced.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Returns an mbox of this variant in which all messages have the same From_ line.
fn mbox(variant: Variant, messages: &[&str]) -> Mail {
    Mail::Mbox(variant, messages.iter().map(|m| format!("{FROM}{m}\n")).collect::<String>().into_bytes())
}

fn rd(messages: &[&str]) -> Mail {
    mbox(Variant::Mboxrd, messages)
}

/// Returns a Maildir of new messages with the received date of those in [`mbox`].
fn maildir(messages: &[&str]) -> Mail {
    let file = |(n, m): (usize, &&str)| (format!("new/{RECEIVED}.{n}.h"), m.as_bytes().to_vec());
    Mail::Maildir(messages.iter().enumerate().map(file).collect())
}

fn write_mail(mail: &Mail, at: &Path) -> PathBuf {
    match mail {
        Mail::Mbox(_, bytes) => {
            let path = at.join("inbox");
            fs::write(&path, bytes).unwrap();
            path
        }
        Mail::Maildir(files) => {
            let path = at.join("Maildir");
            ["new", "cur", "tmp"].iter().for_each(|d| fs::create_dir_all(path.join(d)).unwrap());
            files.iter().for_each(|(name, bytes)| fs::write(path.join(name), bytes).unwrap());
            path
        }
    }
}

fn open(path: &Path) -> Source {
    let lock = LockOptions { methods: vec![], timeout: Duration::ZERO, pid: 1, host: "h".into() };
    let spooling =
        SpoolOptions { dir: path.parent().unwrap(), limit: None, cancel: Cancel::never(), progress: &|_| () };
    Source::open(path, &lock, &spooling).unwrap()
}

fn read_mbox(source: &Source, variant: Variant) -> Mbox<'_> {
    let options = ReadOptions { variant: Some(variant), ..ReadOptions::default() };
    read::read(source.text(), &options, ScanHooks::none()).unwrap()
}

static LOCKS: LockOptions =
    LockOptions { methods: Vec::new(), timeout: Duration::ZERO, pid: 1, host: String::new() };

fn context(events: &dyn Events) -> Context<'_> {
    Context {
        cancel: Cancel::never(),
        events,
        now: 1_800_000_000,
        host: "h",
        locks: &LOCKS,
        collect_details: false,
    }
}

fn options(metadata: bool) -> CompareOptions {
    CompareOptions { metadata, asked: AskedChanges::default(), from_zone: None }
}

/// Calls `with` with the mail as a mailbox on disk.
fn on_disk<T>(mail: &Mail, with: impl FnOnce(OpenMailbox<'_>) -> T) -> T {
    let temp = tempfile::tempdir().unwrap();
    let path = write_mail(mail, temp.path());
    match mail {
        Mail::Maildir(_) => with(OpenMailbox::Maildir(&path)),
        Mail::Mbox(variant, _) => {
            let source = open(&path);
            with(OpenMailbox::Mbox { source: &source, mbox: Box::new(read_mbox(&source, *variant)) })
        }
    }
}

fn compared(here: &Mail, there: &Mail, metadata: bool) -> (MessageTotals, Vec<Difference>) {
    let (mut differences, events) = (Vec::new(), CountingEvents::default());
    let totals = on_disk(here, |here| {
        on_disk(there, |there| {
            let report = &mut |difference| differences.push(difference);
            compare(
                Both { here: from_ref(&here), there: from_ref(&there) },
                &options(metadata),
                &context(&events),
                report,
            )
            .unwrap()
        })
    });
    assert!(events.advanced.into_inner() <= events.begun.into_inner());
    for difference in &differences {
        let finding = difference.finding(&Both { here: "this one", there: "that one" });
        assert!(!finding.message.chars().any(char::is_control), "{}", finding.message);
    }
    (totals, differences)
}

fn totals(here: &Mail, there: &Mail) -> MessageTotals {
    compared(here, there, false).0
}

fn codes(here: &Mail, there: &Mail, metadata: bool) -> Vec<&'static str> {
    compared(here, there, metadata).1.iter().map(|d| d.code.name()).collect()
}

/// Returns the only difference in bytes.
fn bytes(here: &Mail, there: &Mail) -> (&'static str, DiffPoint, DiffPoint) {
    let (_, differences) = compared(here, there, false);
    match &differences[..] {
        [Difference { code, detail: Some(Detail::Bytes(spots)), .. }] => {
            (code.name(), spots.here.clone(), spots.there.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn at(spot: &DiffPoint) -> (u64, u64, u64, &str, &str) {
    (spot.offset, spot.line, spot.file_offset, &spot.before, &spot.after)
}

const A: &str = "Message-ID: <a>\nSubject: one\n\nHello.\n";
const B: &str = "Message-ID: <b>\nSubject: two\n\nHello.\n";
const C: &str = "Message-ID: <c>\nSubject: three\n\nHello.\n";

#[test]
fn the_same_mail_is_the_same_in_any_order_and_any_format() {
    let mails = [rd(&[A, B, C]), rd(&[C, A, B]), maildir(&[B, C, A]), mbox(Variant::Mboxo, &[A, C, B])];
    for here in &mails {
        for there in &mails {
            for metadata in [false, true] {
                let (totals, differences) = compared(here, there, metadata);
                assert_eq!((totals.same, totals.rewritten, differences), (3, 0, vec![]));
                assert!(totals.is_complete());
                assert_eq!(
                    totals.sentence(&Both { here: "inbox", there: "~/Maildir" }, 0),
                    "3 of 3 messages of inbox are in ~/Maildir, byte for byte."
                );
            }
        }
    }
}

#[test]
fn a_missing_message_is_reported_with_place_and_name() {
    let (here, there) = (
        rd(&[A, "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\nDate: Tue, 2 Jan 2001 10:00:00 +0100\n\nx\n"]),
        maildir(&[A]),
    );
    let (totals, differences) = compared(&here, &there, false);
    assert_eq!((totals.same, totals.missing, totals.extra), (1, 1, 0));
    assert!(!totals.is_complete());
    let [missing] = &differences[..] else { panic!("{differences:?}") };
    let message = missing.here.as_ref().unwrap();
    assert_eq!(missing.code, Code::MessageMissing);
    assert_eq!((message.number, message.line), (Some(2), Some(7)));
    assert_eq!(message.offset, Some((FROM.len() + A.len() + 1) as u64));
    assert_eq!((message.date, &*message.subject), (Some(978_426_000), "Grüße"));
    let finding = missing.finding(&Both { here: "inbox", there: "Maildir" });
    assert_eq!(finding.message, "not in Maildir: message 2 of 2001-01-02T09:00:00Z, \"Grüße\"");
    assert_eq!((finding.line, finding.offset), (message.line, message.offset));

    let (totals, differences) = compared(&there, &here, false);
    assert_eq!((totals.same, totals.missing, totals.extra), (1, 0, 1));
    assert_eq!((differences[0].code, &differences[0].here), (Code::MessageExtra, &None));
    assert_eq!(
        differences[0].there.as_ref(),
        Some(&MessageRef { path: differences[0].path().into(), ..message.clone() })
    );

    let (_, differences) = compared(&maildir(&[A, B]), &maildir(&[A]), false);
    let message = differences[0].message();
    assert!(message.path.ends_with(format!("Maildir/new/{RECEIVED}.1.h")));
    assert_eq!((message.offset, message.line, &*message.message_id), (None, None, "<b>"));
    assert_eq!(message.date, Some(RECEIVED), "a message without Date has the one of its name");
}

#[test]
fn duplicates_count_by_their_number() {
    let counts = |here: &[&str], there: &[&str]| {
        let totals = totals(&rd(here), &maildir(there));
        (totals.same, totals.missing, totals.extra)
    };
    assert_eq!(counts(&[A, A, B], &[A, B]), (2, 1, 0));
    assert_eq!(counts(&[A, B], &[B, A, A, A]), (2, 0, 2));
    assert_eq!(counts(&[A, A], &[A, A]), (2, 0, 0));
    // A changed copy beside an unchanged one is a change, and not one lost and one too many.
    let changed = A.replace("Hello", "Hallo");
    assert_eq!(codes(&rd(&[A, A]), &maildir(&[&changed, A]), false), ["message-differs"]);
}

#[test]
fn a_changed_message_is_reported_with_its_first_difference() {
    let (here, there) = (rd(&[A, B]), maildir(&[&B.replace("Hello.", "Help!"), A]));
    let (code, spot, other) = bytes(&here, &there);
    assert_eq!(code, "message-differs");
    let start = 2 * FROM.len() + A.len() + 1;
    assert_eq!(at(&spot), (33, 4, start as u64 + 33, "Hel", "lo.\\n"));
    assert_eq!(at(&other), (33, 4, 33, "Hel", "p!\\n"));
    assert!(!spot.in_header);

    let (code, spot, other) = bytes(&maildir(&[A]), &maildir(&[&A[..A.len() - 3]]));
    assert_eq!((code, at(&spot).4, at(&other).4), ("message-differs", "o.\\n", ""));
    let (_, spot, _) = bytes(&maildir(&[A]), &maildir(&[&A.replace("one", "eins")]));
    assert!(spot.in_header && spot.offset == 25 && spot.line == 2);
}

#[test]
fn offsets_count_from_the_message_without_quoting() {
    let quoted = "Message-ID: <a>\nStatus: RO\n\n>From here\n>>From there\nend\n";
    let file = "Message-ID: <a>\n\nFrom here\n>From there\nENd\n";
    let (code, spot, other) = bytes(&rd(&[quoted]), &maildir(&[file]));
    assert_eq!(code, "message-differs");
    assert_eq!(at(&spot), (50, 6, (FROM.len() + 52) as u64, "", "end\\n"));
    assert_eq!(at(&other), (39, 5, 39, "", "ENd\\n"));
}

#[test]
fn harmless_differences_have_their_own_names() {
    let crlf = A.replace('\n', "\r\n");
    let unended = A.trim_end();
    let quoted = format!("{A}>From me\n");
    let raw = format!("{A}From me\n");
    let both = crlf.trim_end();
    for (here, there, code, word) in [
        (rd(&[A]), maildir(&[&crlf]), "message-line-ends", "in its line ends"),
        (rd(&[A]), maildir(&[unended]), "message-final-newline", "in the newline at its end"),
        (rd(&[&crlf]), maildir(&[unended]), "message-line-ends", "in its line ends"),
        (rd(&[A]), maildir(&[both]), "message-line-ends", "in its line ends"),
        (mbox(Variant::Mboxcl2, &[&quoted]), maildir(&[&raw]), "message-quoting", "in its quoting"),
        (mbox(Variant::Mboxo, &[&quoted]), maildir(&[&quoted]), "message-quoting", "in its quoting"),
        (rd(&[&quoted]), maildir(&[&raw.replace('\n', "\r\n")]), "message-line-ends", "in its line ends"),
        (maildir(&[&quoted]), maildir(&[&raw.replace('\n', "\r\n")]), "message-quoting", "in its quoting"),
    ] {
        for (here, there) in [(&here, &there), (&there, &here)] {
            let (totals, differences) = compared(here, there, false);
            let [difference] = &differences[..] else { panic!("{here:?} {there:?} {differences:?}") };
            assert_eq!(difference.code.name(), code, "{here:?} {there:?}");
            assert!(
                difference
                    .finding(&Both { here: "", there: "" })
                    .message
                    .contains(&format!("differs only {word} from"))
            );
            assert_eq!(totals.same + totals.missing + totals.extra + totals.differ, 0);
            assert_eq!(totals.is_complete(), code != "message-quoting");
        }
    }
}

#[test]
fn a_newline_that_no_mbox_had_to_add_is_a_lost_byte() {
    assert_eq!(codes(&maildir(&[A]), &maildir(&[A.trim_end()]), false), ["message-differs"]);
    let blank = format!("{A}\n");
    assert_eq!(codes(&rd(&[&blank]), &maildir(&[A]), false), ["message-differs"]);
    // It is the mbox that has it not.
    let cut = Mail::Mbox(Variant::Mboxrd, format!("{FROM}{}", A.trim_end()).into_bytes());
    assert_eq!(codes(&cut, &maildir(&[A]), false), ["message-differs"]);
    assert_eq!(codes(&cut, &rd(&[A]), false), ["message-final-newline"]);
}

#[test]
fn quoting_is_the_variants() {
    let quoted = format!("{A}>From a\n>>From b\n> >From c\n");
    let once = format!("{A}From a\n>>From b\n> >From c\n");
    let each = format!("{A}From a\n>From b\n> >From c\n");
    for (variant, file) in [(Variant::Mboxrd, &each), (Variant::Mboxo, &once), (Variant::Mboxcl2, &quoted)] {
        assert_eq!(totals(&mbox(variant, &[&quoted]), &maildir(&[file])).same, 1, "{variant}");
    }
    // A From_ line among the header lines, quoted by a writer of mbox, is quoting.
    let header = maildir(&[&format!("From uucp\n{A}")]);
    assert_eq!(codes(&rd(&[&format!(">From uucp\n{A}")]), &header, false), ["message-quoting"]);
}

#[test]
fn fields_that_readers_rewrite_are_no_difference_unless_asked_for() {
    let rewritten = format!("Status: RO\nX-Status: F\nX-UID:\n 7\n{}", A.replace("\n\n", "\nLines: 1\n\n"));
    let (here, there) = (rd(&[A, B]), rd(&[&rewritten, B]));
    let (totals, differences) = compared(&here, &there, false);
    assert_eq!((totals.same, totals.rewritten, differences), (2, 1, vec![]));
    assert_eq!(
        totals.sentence(&Both { here: "x", there: "y" }, 0),
        "2 of 2 messages of x are in y, byte for byte except for fields that readers rewrite \
         (Status, Content-Length …) in 1 of them."
    );
    let (totals, differences) = compared(&here, &there, true);
    assert_eq!((totals.same, totals.flags, totals.fields, totals.dates), (2, 1, 1, 0));
    let values: Vec<_> = differences.iter().map(|d| (d.code.name(), d.detail.clone().unwrap())).collect();
    let detail = |a: &str, b: &str| Detail::Values(Both { here: a.into(), there: b.into() });
    assert_eq!(
        values,
        [
            ("flags-differ", detail("none, and new", "FS")),
            ("fields-differ", detail("none", "status: RO, x-status: F, x-uid: 7, lines: 1")),
        ]
    );
    // Other line ends are no other fields.
    let crlf = rewritten.replace('\n', "\r\n");
    assert_eq!(codes(&there, &rd(&[&crlf, B]), true), ["message-line-ends"]);
}

#[test]
fn flags_and_dates_of_a_maildir_are_those_of_its_names() {
    let read = format!("Status: RO\n{A}");
    let file = |name: &str| Mail::Maildir(vec![(name.into(), read.clone().into_bytes())]);
    let here = rd(&[&read]);
    for (name, differs) in [
        ("cur/978343205.1.h:2,S", &[][..]),
        ("new/978343205.1.h:2,S", &[]),
        ("cur/978343205.1.h:2,Sab", &[]),
        ("new/978343205.1.h", &["flags-differ"]),
        ("cur/978343205.1.h:2,FS", &["flags-differ"]),
        ("cur/978343206.1.h:2,S", &["date-differs"]),
        ("cur/1.1.h:2,", &["flags-differ", "date-differs"]),
    ] {
        assert_eq!(codes(&here, &file(name), true), differs, "{name}");
        assert_eq!(codes(&file(name), &here, true), differs, "{name}");
        assert_eq!(codes(&here, &file(name), false), [""; 0], "{name}");
    }
}

#[test]
fn copies_are_paired_by_their_metadata() {
    let read = format!("Status: RO\n{A}");
    assert_eq!(codes(&rd(&[&read, A]), &rd(&[A, &read]), true), [""; 0]);
    assert_eq!(codes(&rd(&[&read, A]), &rd(&[A, A]), true), ["flags-differ", "fields-differ"]);
}

#[test]
fn a_zone_that_only_one_mbox_gives_away_moves_no_date() {
    let message = |n: u32| {
        format!(
            "{}Received: x; Mon, 1 Jan 2001 08:0{n}:00 +0000\nA: {n}\n\nx\n\n",
            FROM.replace("10:00:05", &format!("10:0{n}:02"))
        )
    };
    let many: String = (0..5).map(message).collect();
    let mail = |text: String| Mail::Mbox(Variant::Mboxrd, text.into_bytes());
    let (totals, differences) = compared(&mail(many), &mail(message(1)), true);
    assert_eq!((totals.same, totals.missing, totals.dates), (1, 4, 0), "{differences:?}");
}

#[test]
fn messages_that_changed_are_known_by_what_they_still_are() {
    let full = |id: &str, subject: &str, body: &str| {
        format!("From: a@b\nDate: Mon, 1 Jan 2001 10:00:00 +0000\n{id}Subject: {subject}\n\n{body}\n")
    };
    let id = "Message-ID: <a>\n";
    for (here, there) in [
        (full(id, "x", "one"), full(id, "x", "two")),
        (full(id, "x", "one"), full(id, "y", "one")),
        (full(id, "x", "one"), full(id, "y", "two")),
        (full("", "x", "one"), full("", "x", "two")),
        (full("", "x", "one"), full("X-Spam: no\n", "x", "two")),
    ] {
        assert_eq!(codes(&rd(&[&here]), &maildir(&[&there]), false), ["message-differs"]);
    }
    // Two mails with one Message-ID, one to the list and one through it: each is paired with its own.
    let (direct, list) = (full(id, "x", "one"), full(id, "[list] x", "one\n-- \nlist"));
    let changed = direct.replace("From: a@b", "From: A@b");
    assert_eq!(codes(&rd(&[&list, &direct]), &maildir(&[&list, &changed]), false), ["message-differs"]);
    let (totals, differences) = compared(&rd(&[&list, &direct]), &maildir(&[&changed]), false);
    assert_eq!((totals.differ, totals.missing), (1, 1));
    assert_eq!((differences[0].code, differences[1].code), (Code::MessageMissing, Code::MessageDiffers));
    // Without any of it, they are two.
    assert_eq!(
        codes(&rd(&["A: 1\n\nx\n"]), &maildir(&["A: 1\n\ny\n"]), false),
        ["message-missing", "message-extra"]
    );
}

#[test]
fn the_pseudo_message_is_no_mail() {
    let pseudo = "From: Mail System Internal Data <MAILER-DAEMON@x>\n\
        Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n\nx\n";
    let (totals, differences) = compared(&rd(&[pseudo, A, B]), &maildir(&[B]), true);
    assert_eq!((totals.here, totals.same, totals.missing, totals.pseudo), (2, 1, 1, 1));
    assert_eq!((differences[0].message().number, differences[0].message().line), (Some(2), Some(9)));
    // Its From_ line is one of those that are not all the same, as convert has it.
    let dated = [A, B, C].map(|m| format!("Date: Tue, 2 Jan 2001 10:00:00 +0000\n{m}"));
    let dated: Vec<&str> = dated.iter().map(String::as_str).collect();
    let texts: String = [pseudo].iter().chain(&dated).map(|m| format!("{FROM}{m}\n")).collect();
    let other = Mail::Mbox(Variant::Mboxrd, texts.replacen("10:00:05", "10:00:06", 1).into_bytes());
    assert_eq!(codes(&other, &maildir(&dated), true), [""; 0]);
    assert_eq!(codes(&rd(&dated), &maildir(&dated), true), ["date-differs"; 3]);
}

#[test]
fn several_mailboxes_are_one_side() {
    on_disk(&rd(&[A, B]), |first| {
        on_disk(&rd(&[C]), |second| {
            on_disk(&maildir(&[C]), |folder| {
                on_disk(&maildir(&[A]), |inbox| {
                    let (mut differences, events) = (Vec::new(), CountingEvents::default());
                    let report = &mut |difference: Difference| differences.push(difference);
                    let sides = Both { here: &[first, second][..], there: &[folder, inbox][..] };
                    let totals = compare(sides, &options(true), &context(&events), report).unwrap();
                    assert_eq!((totals.here, totals.same, totals.missing), (3, 2, 1));
                    assert_eq!(
                        (differences[0].message().number, &*differences[0].message().message_id),
                        (Some(2), "<b>")
                    );
                })
            })
        })
    });
}

#[test]
fn lines_that_end_in_cr_are_read_and_reported() {
    let cr = Mail::Mbox(Variant::Mboxrd, format!("{FROM}{A}\n").replace('\n', "\r").into_bytes());
    let totals = totals(&cr, &maildir(&[A]));
    assert_eq!((totals.same, totals.translated), (1, true));
    assert_eq!(
        totals.sentence(&Both { here: "x", there: "y" }, 0),
        "1 of 1 message of x is in y, byte for byte, CR line ends read as LF."
    );
}

#[test]
fn every_kind_of_difference_is_in_the_last_sentence() {
    let totals = MessageTotals {
        here: 12,
        there: 11,
        same: 2,
        line_ends: 3,
        final_newline: 1,
        quoting: 1,
        differ: 2,
        missing: 3,
        extra: 2,
        flags: 1,
        ..MessageTotals::default()
    };
    assert!(totals.balances());
    assert_eq!(
        totals.sentence(&Both { here: "x", there: "y" }, 0),
        "2 of 12 messages of x are in y, byte for byte; 3 differ only in line ends; 1 differs only in a \
         newline at the end; 1 differs only in quoting; 2 differ; 3 are missing; y has 2 more; the flags of \
         1 differ."
    );
    let none = MessageTotals::default().sentence(&Both { here: "x", there: "y" }, 0);
    assert_eq!(none, "There is no message in x, and none in y.");
}

#[test]
fn only_regular_files_of_a_maildir_are_messages() {
    on_disk(&maildir(&[A]), |mailbox| {
        let OpenMailbox::Maildir(path) = &mailbox else { unreachable!() };
        fs::create_dir(path.join("cur/1.directory.h:2,")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("cur/1.fifo.h:2,"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let totals = compare_with(&mailbox, &mailbox, Cancel::never());
        assert_eq!(totals.unwrap().same, 1);
    });
}

#[test]
fn a_message_that_moves_while_it_is_listed_is_found() {
    on_disk(
        &Mail::Maildir(vec![("new/1.a.h".into(), A.into()), ("new/2.b.h".into(), B.into())]),
        |mailbox| {
            let OpenMailbox::Maildir(path) = &mailbox else { unreachable!() };
            let side = Side::open(from_ref(&mailbox), &options(true), NO_CLOCK).unwrap();
            fs::rename(path.join("new/1.a.h"), path.join("cur/1.a.h:2,S")).unwrap();
            let events = CountingEvents::default();
            let scanned = side.scan(&options(true), &context(&events)).unwrap();
            assert_eq!(scanned.digests.len(), 2);
            assert!(scanned.traits[0].flags.flags.has(crate::mailbox::message::flags::Flags::SEEN));
            assert!(scanned.traits[1].flags.flags.is_empty());
            fs::remove_file(path.join("new/2.b.h")).unwrap();
            let scanned = side.scan(&options(true), &context(&events)).unwrap();
            assert_eq!(scanned.traits.iter().map(|traits| traits.removed).collect::<Vec<_>>(), [false, true]);
        },
    );
}

#[test]
fn no_maildir_is_no_empty_one() {
    let temp = tempfile::tempdir().unwrap();
    let empty = OpenMailbox::Maildir(temp.path());
    assert!(matches!(compare_with(&empty, &empty, Cancel::never()), Err(Error::NotAMailbox { .. })));
    let gone = temp.path().join("nothing");
    let gone = OpenMailbox::Maildir(&gone);
    assert!(matches!(compare_with(&gone, &gone, Cancel::never()), Err(Error::Io { .. })));
}

fn compare_with(
    here: &OpenMailbox<'_>,
    there: &OpenMailbox<'_>,
    cancel: &Cancel,
) -> crate::mailbox::error::Result<MessageTotals> {
    let events = CountingEvents::default();
    let context = Context { cancel, ..context(&events) };
    compare(
        Both { here: from_ref(here), there: from_ref(there) },
        &options(true),
        &context,
        &mut |_| panic!(),
    )
}

#[test]
fn a_changed_source_and_a_signal_end_it() {
    on_disk(&rd(&[A]), |mailbox| {
        let ended = compare_with(&mailbox, &mailbox, Cancel::requested());
        assert!(matches!(ended, Err(Error::Interrupted)));
        let OpenMailbox::Mbox { source, .. } = &mailbox else { unreachable!() };
        fs::write(source.path().with_extension("new"), A).unwrap();
        fs::rename(source.path().with_extension("new"), source.path()).unwrap();
        let ended = compare_with(&mailbox, &mailbox, Cancel::never());
        assert!(matches!(ended, Err(Error::Changed { .. })));
    });
}

/// Messages with a Message-ID of their own, and bodies that have to be quoted.
fn messages() -> impl Strategy<Value = Vec<(String, String)>> {
    let line = proptest::sample::select(&[
        "From a@b Mon Jan  1 10:00:05 2001\n",
        ">From here\n",
        ">>From there\n",
        "> From\n",
        "\n",
        "text\n",
        "text\r\n",
        "Status: RO\n",
        "\0\u{fc}\n",
    ]);
    let body = proptest::collection::vec(line, 1..6).prop_map(|lines| lines.concat());
    let status = proptest::sample::select(&["", "Status: RO\n", "X-UID: 1\nStatus: O\n"]);
    proptest::collection::vec((status, body), 1..6).prop_map(|messages| {
        let messages = messages.into_iter().enumerate();
        messages
            .map(|(n, (status, body))| (format!("Message-ID: <{n}>\n{status}Subject: x\n\n"), body))
            .collect()
    })
}

fn as_mbox(messages: &[(String, String)]) -> Mail {
    let mut text = Vec::new();
    for (header, body) in messages {
        text.extend([FROM.as_bytes(), header.as_bytes(), &quote_mboxrd(body.as_bytes()), b"\n"].concat());
    }
    Mail::Mbox(Variant::Mboxrd, text)
}

fn as_maildir(messages: &[(String, String)]) -> Mail {
    let file = |(n, (header, body)): (usize, &(String, String))| {
        (format!("cur/{n}.x.h:2,"), [header.as_bytes(), body.as_bytes()].concat())
    };
    Mail::Maildir(messages.iter().enumerate().map(file).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_mailbox_is_the_same_as_itself_in_another_format_and_any_change_is_found(
        messages in messages(),
        which: proptest::sample::Index,
        byte: proptest::sample::Index,
        to: u8,
    ) {
        let (mbox, maildir) = (as_mbox(&messages), as_maildir(&messages));
        let count = messages.len() as u64;
        let (totals, differences) = compared(&mbox, &maildir, false);
        prop_assert_eq!((totals.same, totals.rewritten, differences.len()), (count, 0, 0));

        let which = which.index(messages.len());
        let Mail::Maildir(mut files) = maildir else { unreachable!() };
        let header_len = messages[which].0.len();
        let at = header_len + byte.index(files[which].1.len() - header_len);
        if files[which].1[at] != to {
            let was = std::mem::replace(&mut files[which].1[at], to);
            let (totals, differences) = compared(&mbox, &Mail::Maildir(files.clone()), false);
            prop_assert_eq!((totals.same, differences.len()), (count - 1, 1));
            let message = differences[0].there.as_ref().unwrap();
            prop_assert!(message.path.ends_with(&files[which].0));
            let Some(Detail::Bytes(Both { here, there })) = &differences[0].detail else { panic!("{differences:?}") };
            prop_assert_eq!((here.offset, there.offset, there.file_offset), (at as u64, at as u64, at as u64));
            files[which].1[at] = was;
        }
        files.remove(which);
        let totals = crate::verify::compare::tests::totals(&mbox, &Mail::Maildir(files.clone()));
        prop_assert_eq!((totals.same, totals.missing, totals.extra), (count - 1, 1, 0));
        let totals = crate::verify::compare::tests::totals(&Mail::Maildir(files), &mbox);
        prop_assert_eq!((totals.same, totals.missing, totals.extra), (count - 1, 0, 1));
    }

    #[test]
    fn any_two_messages_can_be_compared(here: Vec<u8>, there: Vec<u8>, common in "(From |>|\r|\n|Status: R\n|a){0,9}") {
        let join = |tail: &[u8]| Mail::Maildir(vec![("cur/1.h".into(), [common.as_bytes(), tail].concat())]);
        let (totals, differences) = compared(&join(&here), &join(&there), true);
        prop_assert!(totals.same == 1 || !differences.is_empty());
        prop_assert!(totals.same == 1 || here != there);
    }
}
