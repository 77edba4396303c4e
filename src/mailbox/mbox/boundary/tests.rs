//! One test a row of the decision table.

use super::*;
use crate::mailbox::finding::Severity;
use crate::mailbox::mbox::read::{self, ReadOptions};
use crate::mailbox::mbox::verdict::Overrides;

/// Returns a line for each candidate, the number of messages, and the codes of the findings.
fn decided(text: &str, overrides: Overrides) -> (Vec<String>, usize, Vec<&'static str>) {
    let options =
        ReadOptions { keep_candidates: true, allow_empty: true, overrides, ..ReadOptions::default() };
    let mbox = read::read(text.as_bytes(), &options, ScanHooks::none()).unwrap();
    let line = |d: &Decision| match d.reason {
        Reason::Row(row) => format!("{} {row} {}", d.candidate.class(), d.verdict.name()),
        Reason::Glued => format!("{} glued {}", d.candidate.class(), d.verdict.name()),
        Reason::User => format!("{} user {}", d.candidate.class(), d.verdict.name()),
    };
    let lines = mbox.boundaries.decisions.iter().map(line).collect();
    let codes = mbox.findings.iter().map(|f| f.code).filter(|&c| c != Code::MboxVariant);
    (lines, mbox.messages().len(), codes.map(Code::name).collect())
}

/// Expands `@` to a From_ line with a date, `%` to one with a date in another spelling, `~` to Mozilla's and
/// `^` to a frame line.
fn expand(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line {
        "@\n" => "From a@b.example Mon Jan  1 10:00:05 2001\n",
        "%\n" => "From a@b.example Mon, 1 Jan 2001 10:00:05 +0100\n",
        "~\n" => "From - Mon Jan  1 10:00:05 2001\n",
        "^\n" => "\u{1}\u{1}\u{1}\u{1}\n",
        _ => line,
    });
    lines.collect()
}

#[track_caller]
fn check(text: &str, lines: &[&str], messages: usize, codes: &[&str]) {
    let found = decided(&expand(text), Overrides::new());
    assert_eq!((&found.0[..], found.1, &found.2[..]), (&strings(lines)[..], messages, codes), "{text:?}");
}

fn strings(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&l| l.to_owned()).collect()
}

#[test]
fn row_1_a_from_line_below_a_from_line_is_its_double() {
    check("@\n@\nA: 1\n\nx\n", &["DHB 5 separator", "DHN 1 doubled"], 1, &["mbox-doubled-from"]);
    check(
        "@\nFrom over here\nFrom over there\nA: 1\n\nx\n",
        &["DHB 5 separator", "UHN 1 doubled", "UHN 1 doubled"],
        1,
        &["mbox-doubled-from", "mbox-doubled-from"],
    );
    // With one line of header between them, each is a message.
    check("@\nA: 1\n@\nA: 2\n\nx\n", &["DHB 5 separator", "DHN 5 separator"], 2, &["mbox-no-blank-line"]);
}

#[test]
fn row_2_what_a_frame_or_a_right_length_covers_is_body() {
    let covered = "x\n\n@\nB: 2\n\ny\n";
    let length = expand(covered).len();
    let text = |length| format!("@\nContent-Length: {length}\n\n{covered}\n@\nC: 3\n\nz\n");
    check(&text(length), &["DHB 5 separator", "DHB 2 body", "DHB 3 separator"], 2, &["mbox-covered-from"]);
    check(
        &text(length - 3),
        &["DHB 5 separator", "DHB 5 separator", "DHB 5 separator"],
        3,
        &["mbox-content-length"],
    );
    // Only a line that would have been a separator is reported.
    check(
        "@\nContent-Length: 17\n\nFrom the bottom\n\n\n@\nC: 3\n",
        &["DHB 5 separator", "UEB 2 body", "DHB 3 separator"],
        2,
        &["mbox-header-cut"],
    );
    check(
        "^\n@\nA: 1\n\nx\n\n@\nB: 2\n^\n^\nC: 3\n\n@\ny\n^\n",
        &["DHB 1 doubled", "DHB 2 body", "DTB 2 body"],
        2,
        &["mbox-covered-from"],
    );
    check(
        "^\n@\nA: 1\n\n@\nB: 2\n",
        &["DHB 1 doubled", "DHB 2 body"],
        1,
        &["mbox-covered-from", "mmdf-unclosed"],
    );
}

#[test]
fn row_3_where_a_right_length_ends_a_message_begins() {
    check("@\nContent-Length: 2\n\nx\n\n@\nB: 2\n\ny\n", &["DHB 5 separator", "DHB 3 separator"], 2, &[]);
    check(
        "@\nContent-Length: 2\n\nx\n@\nB: 2\n\ny\n",
        &["DHB 5 separator", "DHN 3 separator"],
        2,
        &["mbox-length-no-blank"],
    );
    check(
        "@\nContent-Length: 1\n\nxyz\n\n@\nB: 2\n\ny\n",
        &["DHB 5 separator", "DHB 5 separator"],
        2,
        &["mbox-content-length"],
    );
}

#[test]
fn row_4_the_from_line_of_an_attached_message_is_body_if_its_multipart_is_closed_below() {
    let text = |boundary: &str, part: &str, below: &str| {
        format!(
            "@\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--b\nContent-Type: {part}\n\n@\nA: 1\n\nx\n{below}"
        )
    };
    let body = |text: &str| {
        check(text, &["DHB 5 separator", "DHB 4 body"], 1, &["mbox-attached-from"]);
    };
    let separator = |text: &str| check(text, &["DHB 5 separator", "DHB 5 separator"], 2, &[]);
    body(&text("b", "message/rfc822", "\n--b--\n"));
    body(&text("b", "Message/RFC822; name=x", "\n--b--\n"));
    separator(&text("b", "message/rfc822", ""));
    separator(&text("b", "message/rfc822", "\n--c--\n"));
    separator(&text("b", "text/plain", "\n--b--\n"));
    separator(&text("c", "message/rfc822", "\n--b--\n"));
    // The closing line must come before the next candidate.
    check(
        &text("b", "message/rfc822", "\n@\nB: 2\n\n--b--\n"),
        &["DHB 5 separator", "DHB 5 separator", "DHB 5 separator"],
        3,
        &[],
    );
    // A writer that quotes every From_ line leaves none of them in a body.
    separator(&text("b", "message/rfc822", "\n--b--\n\ny\n>>From here\ny\n"));
}

#[test]
fn row_5_a_date_above_and_a_header_below_make_a_separator() {
    check("@\nA: 1\n\nx\n\n@\nB: 2\n\ny\n", &["DHB 5 separator", "DHB 5 separator"], 2, &[]);
    check("@\n>From uucp\nA: 1\n\nx\n", &["DHB 5 separator"], 1, &[]);
    check(
        "@\nA: 1\n\nx\n@\nB: 2\n\ny\n",
        &["DHB 5 separator", "DHN 5 separator"],
        2,
        &["mbox-no-blank-line"],
    );
    // Junk before the first separator counts as a blank line.
    check("junk\n@\nA: 1\n\nx\n", &["DHB 5 separator"], 1, &["mbox-junk"]);
}

#[test]
fn row_6_a_message_without_header_needs_a_blank_line_before() {
    check("@\nA: 1\n\nx\n\n@\n\ny\n", &["DHB 5 separator", "DEB 6 separator"], 2, &["mbox-no-header"]);
    check("@\n", &["DEB 6 separator"], 1, &["mbox-no-header"]);
    check("@\n\n@\n\n", &["DEB 6 separator", "DEB 6 separator"], 2, &["mbox-no-header", "mbox-no-header"]);
}

#[test]
fn row_7_without_blank_line_and_header_the_spelling_decides() {
    check("@\nA: 1\n\nx\n@\n\ny\n", &["DHB 5 separator", "DEN 7 separator"], 2, &["mbox-no-header"]);
    check("@\nA: 1\n\nx\n%\n\ny\n", &["DHB 5 separator", "DEN 7 body"], 1, &["mbox-from-in-body"]);
}

#[test]
fn row_8_a_date_with_text_below_is_a_quotation() {
    for blank in ["", "\n"] {
        let class = if blank.is_empty() { "DTN 8 body" } else { "DTB 8 body" };
        check(
            &format!("@\nA: 1\n\nx\n{blank}@\nwrote this\n"),
            &["DHB 5 separator", class],
            1,
            &["mbox-from-in-body"],
        );
    }
}

#[test]
fn row_9_an_undated_line_counts_where_it_is_all_there_is_or_has_a_witness() {
    let undated = ["mbox-undated"];
    check(
        "From a@b\nA: 1\n\nx\n\nFrom joe\nB: 2\n\ny\n",
        &["KHB 9 separator", "KHB 9 separator"],
        2,
        &["mbox-undated", "mbox-undated"],
    );
    let separator = ["DHB 5 separator", "KHB 9 separator"];
    let body = ["DHB 5 separator", "KHB 9 body"];
    // The file has a confident candidate, and the undated line has no other evidence.
    check("@\nA: 1\n\nx\n\nFrom c@d\nB: 2\n\ny\n", &body, 1, &["mbox-from-in-body"]);
    // Its address is that of the sender.
    for field in ["From: C <c@d>", "Sender: c@d", "Return-Path: <c@d>"] {
        check(&format!("@\nA: 1\n\nx\n\nFrom c@d\n{field}\n\ny\n"), &separator, 2, &undated);
    }
    check("@\nA: 1\n\nx\n\nFrom c@d\nTo: c@d\n\ny\n", &body, 1, &["mbox-from-in-body"]);
    check("@\nA: 1\n\nx\n\nFrom joe\nFrom: joe\n\ny\n", &body, 1, &["mbox-from-in-body"]);
    check("@\nA: 1\n\nx\n\nFrom c@d\nB: 2\n\nFrom: c@d\n", &body, 1, &["mbox-from-in-body"]);
    // Mozilla omitted the date.
    check("~\nA: 1\n\nx\n\nFrom -\nB: 2\n\ny\n", &separator, 2, &undated);
    check("~\nA: 1\n\nx\n\nFrom - \nB: 2\n\ny\n", &separator, 2, &undated);
    check("@\nA: 1\n\nx\n\nFrom -\nB: 2\n\ny\n", &body, 1, &["mbox-from-in-body"]);
}

#[test]
fn row_9_a_bare_line_before_a_header_block_is_a_separator() {
    let separator = ["DHB 5 separator", "KHB 9 separator"];
    for header in ["Subject: two\n", "X-A: 1\n folded\nX-Mozilla-Status: 0001\n", "From : b@c\n"] {
        for line in ["From ", "From  \t"] {
            check(&format!("@\nA: 1\n\nx\n\n{line}\n{header}\ny\n"), &separator, 2, &["mbox-undated"]);
        }
    }
    check(
        "From \nTo: a\n\nx\n\n@\nB: 2\n\ny\n",
        &["KHB 9 separator", "DHB 5 separator"],
        2,
        &["mbox-undated"],
    );
    // A flowed paragraph can end in "From ".
    for below in ["http://example.org/\n\n", "Subject: x\nand more text\n\n", "B: 2\n\n"] {
        let body = ["DHB 5 separator", "KHB 9 body"];
        check(&format!("@\nA: 1\n\nx\n\nFrom \n{below}y\n"), &body, 1, &["mbox-from-in-body"]);
    }
    // Without a blank line before it, another bare line must be a separator.
    check(
        "@\nA: 1\n\nx\n\nFrom \nTo: b\n\ny\nFrom \nTo: c\n\nz\nFrom \nhttp://x\n\n",
        &["DHB 5 separator", "KHB 9 separator", "KHN 10 separator", "KHN 10 body"],
        3,
        &["mbox-undated", "mbox-undated", "mbox-from-in-body"],
    );
    check(
        "@\nA: 1\n\nx\nFrom \nTo: b\n\ny\n",
        &["DHB 5 separator", "KHN 10 body"],
        1,
        &["mbox-from-in-body"],
    );
}

#[test]
fn row_9_undated_lines_are_alike_wherever_the_witness_is() {
    check(
        "@\nA: 1\n\nx\n\nFrom c@d\nTo: b\n\ny\n\nFrom e@f\nFrom: e@f\n\nz\nFrom g@h\nTo: b\n\n",
        &["DHB 5 separator", "KHB 9 separator", "KHB 9 separator", "KHN 10 separator"],
        4,
        &["mbox-undated", "mbox-undated", "mbox-undated"],
    );
}

#[test]
fn a_field_from_with_a_blank_before_its_colon_is_no_candidate() {
    check("@\nFrom : a@b\nTo : c\n\nx\nFrom\t: y\nFrom  :\n", &["DHB 5 separator"], 1, &[]);
    check("@\nA: 1\n\nx\n\nFrom : a@b\nTo: c\n\ny\n", &["DHB 5 separator"], 1, &[]);
    check(
        "@\nContent-Length: 2\nFrom : a@b\n\nx\n\n@\nB: 2\n\n",
        &["DHB 5 separator", "DHB 3 separator"],
        2,
        &[],
    );
}

#[test]
fn the_first_line_of_a_patch_is_a_separator_only_in_a_series_of_patches() {
    for id in ["0123456789abcdef0123456789ABCDEF01234567", &"0123456789abcdef".repeat(4)] {
        let patch = format!("From {id} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: x\n\n---\n");
        let (separator, body) = ("DHB 5 separator", "UHB 11 body");
        check(&format!("{patch}\n{patch}"), &[separator, separator], 2, &[]);
        check(&format!("@\nA: 1\n\n{patch}"), &[separator, body], 1, &["mbox-from-in-body"]);
        check(
            &format!("@\nA: 1\n\n{patch}\n{patch}"),
            &[separator, body, body],
            1,
            &["mbox-from-in-body", "mbox-from-in-body"],
        );
        let nobody = "From nobody Mon Sep 17 00:00:00 2001\nSubject: x\n\n";
        check(&format!("{nobody}{patch}"), &[separator, separator], 2, &[]);
        check(&format!("@\nA: 1\n\n{nobody}"), &[separator, separator], 2, &[]);
        // A length that ends there does not make it one.
        check(
            &format!("@\nContent-Length: 2\n\nx\n\n{patch}"),
            &[separator, body],
            1,
            &["mbox-content-length", "mbox-from-in-body"],
        );
    }
}

#[test]
fn row_11_a_form_that_its_writer_repeats_is_a_separator() {
    let line = |n: u8| format!("From joe@a.example via tool no. {n} of 2001\nSubject: x\n\ny\n\n");
    let two = ["UHB 11 separator", "UHB 11 separator"];
    let undated = ["mbox-undated", "mbox-undated"];
    check(
        &format!("@\nA: 1\n\nx\n\n{}{}", line(1), line(2)),
        &[&["DHB 5 separator"], &two[..]].concat(),
        3,
        &undated,
    );
    // One such line is prose, unless it is the first of the file.
    let body = ["DHB 5 separator", "UHB 11 body"];
    check(&format!("@\nA: 1\n\nx\n\n{}", line(1)), &body, 1, &["mbox-from-in-body"]);
    check(&line(1), &["UHB 11 separator"], 1, &["mbox-undated"]);
    check(&format!("{}@\nB: 2\n\n", line(1)), &["UHB 11 separator", "DHB 5 separator"], 2, &["mbox-undated"]);
    // Another shape, no header block, or no blank line before.
    let other = "From joe@a.example via tool\nSubject: x\n\ny\n\n";
    let bodies = ["DHB 5 separator", "UHB 11 body", "UHB 11 body"];
    let in_body = ["mbox-from-in-body", "mbox-from-in-body"];
    check(&format!("@\nA: 1\n\nx\n\n{}{other}", line(1)), &bodies, 1, &in_body);
    let prose = line(1).replace("\n\ny", "\ny");
    check(&format!("@\nA: 1\n\nx\n\n{prose}{prose}"), &bodies, 1, &in_body);
    check("From here on\nA: 1\n\nx\n", &["UHB 11 body"], 0, &["mbox-from-in-body", "mbox-junk"]);
}

#[test]
fn a_glued_from_line_is_reported_and_left_in_the_body() {
    let from = "From a@b.example Mon Jan  1 10:00:05 2001";
    let text = format!("@\nA: 1\n\nHello{from}\nFrom: a\nTo: b\n\ny\n");
    for eol in ["\n", "\r\n"] {
        let text = expand(&text).replace('\n', eol);
        let (lines, messages, codes) = decided(&text, Overrides::new());
        assert_eq!(
            (&lines[..], messages),
            (&strings(&["DHB 5 separator", "DHN glued body"])[..], 1),
            "{eol:?}"
        );
        assert_eq!(codes, ["mbox-glued-from"]);
        // A boundary list can split there.
        let at = text.find("HelloFrom").unwrap() as u64 + 5;
        let (lines, messages, codes) = decided(&text, [(at, Verdict::Separator)].into());
        assert_eq!((&lines[..], messages), (&strings(&["DHB 5 separator", "DHN user separator"])[..], 2));
        assert_eq!(codes, ["mbox-user-boundary"]);
    }
    // A header can cite a From_ line, and a right length or a frame contains it.
    check(&format!("@\nA-B: was{from}\nTo: b\n\ny\n"), &["DHB 5 separator"], 1, &[]);
    check(&format!("{from} {from}\nTo: b\n\ny\n"), &["DHB 5 separator"], 1, &[]);
    let body = format!("Hello{from}\nTo: b\n\ny\n");
    let text = format!("@\nContent-Length: {}\n\n{body}\n@\nB: 2\n\n", body.len());
    check(&text, &["DHB 5 separator", "DHN 2 body", "DHB 3 separator"], 2, &[]);
    check(&format!("^\n@\nA: 1\n\n{body}^\n"), &["DHB 1 doubled", "DHN 2 body"], 1, &[]);
}

#[test]
fn junk_that_looks_like_a_message_is_an_error() {
    for (text, severity) in [
        ("From: a@b\nSubject: x\n\ny\n\n@\nB: 2\n\nz\n", Severity::Error),
        ("banner\n\nDate: x\nTo: b\n\ny\n\n@\nB: 2\n\nz\n", Severity::Error),
        ("Subject: x\n\n@\nB: 2\n\nz\n", Severity::Warning),
    ] {
        let text = expand(text);
        let mbox = read::read(text.as_bytes(), &ReadOptions::default(), ScanHooks::none()).unwrap();
        let junk = mbox.findings.iter().find(|f| f.code == Code::MboxJunk).unwrap();
        assert_eq!(junk.severity, severity, "{text:?}");
    }
}

#[test]
fn row_10_without_a_blank_line_others_must_be_spelled_so() {
    let undated = ["mbox-undated", "mbox-undated"];
    check(
        "From a@b\nA: 1\n\nx\nFrom c@d\nB: 2\n\ny\n",
        &["KHB 9 separator", "KHN 10 separator"],
        2,
        &undated,
    );
    check(
        "From a@b\nA: 1\n\nx\nFrom joe\nB: 2\n\ny\n",
        &["KHB 9 separator", "KHN 10 body"],
        1,
        &["mbox-undated", "mbox-from-in-body"],
    );
    check(
        "@\nA: 1\n\nx\nFrom c@d\nFrom: c@d\n\ny\n",
        &["DHB 5 separator", "KHN 10 body"],
        1,
        &["mbox-from-in-body"],
    );
    check(
        "~\nA: 1\n\nx\nFrom -\nB: 2\n\ny\n",
        &["DHB 5 separator", "KHN 10 separator"],
        2,
        &["mbox-undated"],
    );
}

#[test]
fn row_11_all_else_is_body_and_reported_only_before_a_header() {
    check("@\nA: 1\n\nx\n\nFrom the beginning\nto the end\n", &["DHB 5 separator", "UTB 11 body"], 1, &[]);
    check("@\nA: 1\n\nx\n\nFrom a@b\n\n", &["DHB 5 separator", "KEB 11 body"], 1, &[]);
    check(
        "@\nA: 1\n\nx\n\nFrom the beginning\nto: the end\n",
        &["DHB 5 separator", "UHB 11 body"],
        1,
        &["mbox-from-in-body"],
    );
}

#[test]
fn the_user_decides_all_but_doubled_lines_within_mail() {
    let text = expand("@\nA: 1\n\nx\n\nFrom the beginning\nto the end\n\n@\nB: 2\n\ny\n");
    let (first, second) = (text.find("From the").unwrap() as u64, text.rfind("From a").unwrap() as u64);
    let found = decided(&text, [(first, Verdict::Separator), (second, Verdict::Body)].into());
    assert_eq!(found.0, ["DHB 5 separator", "UTB user separator", "DHB user body"]);
    assert_eq!((found.1, found.2), (2, vec!["mbox-user-boundary", "mbox-user-boundary"]));
    let found = decided(&text, [(first, Verdict::Doubled)].into());
    assert_eq!(found.0, ["DHB 5 separator", "UTB user body", "DHB 5 separator"]);
    assert_eq!((found.1, found.2), (2, vec!["mbox-from-in-body"]));
}
