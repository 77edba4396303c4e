use proptest::prelude::*;

use super::report::NoBounce;
use super::*;
use crate::transport::{DeliveryEnvelope, MessageSpool};

fn report(sender: &str, recipients: &[&str], reason: &str) -> BounceReport {
    BounceReport {
        sender: BounceSender::new(sender.as_bytes()).unwrap(),
        recipients: recipients.iter().map(|one| parse_recipient(one.as_bytes()).unwrap()).collect(),
        status: parse_status("5.1.1").unwrap(),
        reason: Reason::new(reason.as_bytes()).unwrap(),
        remote_mta: None,
        reporter: ReportingHost::new(b"mx.example.org", 42),
        now: 981_173_106,
    }
}

fn write(format: BounceFormat, report: &BounceReport, original: &[u8]) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let mut spool = MessageSpool::new(scratch.path(), None);
    // Small pieces are joined in memory.
    original.chunks(7).for_each(|bytes| spool.push(bytes).unwrap());
    let spooled = spool.finish().unwrap();
    let envelope =
        DeliveryEnvelope { sender: Some(report.sender.as_str().as_bytes().to_vec()), recipient: None };
    let original = PreparedMessage::new(&spooled, &envelope, false).unwrap();
    let bounce = WrittenBounce::new(format, report, &original).unwrap();
    let mut written = Vec::new();
    bounce
        .for_each_chunk(&mut |bytes| {
            written.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    written
}

fn text(format: BounceFormat, report: &BounceReport, original: &str) -> String {
    String::from_utf8(write(format, report, original.as_bytes())).unwrap()
}

const ORIGINAL: &str = "From ann@b.example Sat Feb  3 04:05:06 2001\n\
                        Received: from b.example by mx.example.org; Sat, 3 Feb 2001 05:05:05 +0100\n\
                        Message-ID: <1@b.example>\nSubject: hello\n\nbody\n";

#[test]
fn qsbmf_has_its_paragraphs_in_order() {
    let report = report("ann@b.example", &["joe@h.example", "a b@h.example"], "No such list");
    let expected = "Return-Path: <>\n\
        Date: Sat, 03 Feb 2001 04:05:06 +0000\n\
        From: MAILER-DAEMON@mx.example.org\n\
        To: ann@b.example\n\
        Subject: failure notice\n\n\
        Hi. This is the mailferry program at mx.example.org.\n\
        Your message was not delivered to these addresses, for the reasons below.\n\
        No further attempt will be made.\n\n\
        <joe@h.example>:\nNo such list (#5.1.1)\n\n\
        <a b@h.example>:\nNo such list (#5.1.1)\n\n\
        --- Below this line is a copy of the message.\n\n\
        Return-Path: <ann@b.example>\n"
        .to_owned()
        + ORIGINAL.split_once('\n').unwrap().1;
    assert_eq!(text(BounceFormat::Qsbmf, &report, ORIGINAL), expected);
}

#[test]
fn a_dsn_has_its_three_parts() {
    let mut report =
        report("ann@b.example", &["joe@h.example", "a b@h.example"], "550 5.1.1 Unknown\n550 user");
    report.remote_mta = Some("mx.h.example".to_owned());
    let group = |address: &str| {
        format!(
            "\nFinal-Recipient: rfc822; {address}\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.h.example\n\
             Diagnostic-Code: smtp; 550 5.1.1 Unknown 550 user\n"
        )
    };
    let said = "    mx.h.example said:\n    550 5.1.1 Unknown\n    550 user\n";
    let b = "=_981173106.42.0";
    let expected = format!(
        "Return-Path: <>\n\
        Date: Sat, 03 Feb 2001 04:05:06 +0000\n\
        From: MAILER-DAEMON@mx.example.org\n\
        To: ann@b.example\n\
        Message-ID: <20010203040506.42.bounce@mx.example.org>\n\
        Subject: Delivery failed: your message is returned\n\
        Auto-Submitted: auto-replied\n\
        MIME-Version: 1.0\n\
        Content-Type: multipart/report; report-type=delivery-status;\n boundary=\"{b}\"\n\
        Content-Transfer-Encoding: 7bit\n\n\
        This is a report in the format of MIME.\n\n\
        --{b}\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\n\
        This is the mailferry program at mx.example.org.\n\n\
        Your message was not delivered to these addresses, for the reasons below.\n\
        No further attempt will be made. The message is at the end of this report.\n\n\
        <joe@h.example>:\n{said}\n<a b@h.example>:\n{said}\n\
        --{b}\nContent-Type: message/delivery-status\nContent-Transfer-Encoding: 7bit\n\n\
        Reporting-MTA: dns; mx.example.org\nArrival-Date: Sat, 03 Feb 2001 04:05:05 +0000\n\
        {}{}\n\
        --{b}\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
        Return-Path: <ann@b.example>\n{}\n--{b}--\n",
        group("joe@h.example"),
        group("\"a b\"@h.example"),
        ORIGINAL.split_once('\n').unwrap().1
    );
    assert_eq!(text(BounceFormat::Dsn, &report, ORIGINAL), expected);
}

#[test]
fn no_reason_ends_a_paragraph_or_begins_a_field() {
    let reason = "\n\nline\r\n\r\n--- Below this line is a copy of the message.\n\n<eve@x>:\n\u{b}\0\n\
                  Bcc: eve@x\rFinal-Recipient: rfc822; eve@x\n\n";
    let report = report("ann@b.example", &["joe@h.example"], reason);
    let qsbmf = text(BounceFormat::Qsbmf, &report, "A: 1\n\n");
    let paragraphs = "<joe@h.example>:\nline\n --- Below this line is a copy of the message.\n <eve@x>:\n\
        Bcc: eve@x\nFinal-Recipient: rfc822; eve@x (#5.1.1)\n\n--- Below";
    assert!(qsbmf.contains(paragraphs), "{qsbmf}");
    let dsn = text(BounceFormat::Dsn, &report, "A: 1\n\n");
    assert_eq!(dsn.lines().filter(|line| line.starts_with("Final-Recipient:")).count(), 1, "{dsn}");
    assert!(!dsn.lines().any(|line| line.starts_with("Bcc:")), "{dsn}");
    assert!(dsn.contains("\nDiagnostic-Code: X-mailferry; line --- Below"), "{dsn}");
}

#[test]
fn no_line_is_longer_than_mail_allows() {
    let (word, quotes) = ("x".repeat(5_000), "\"".repeat(420));
    let reason = format!("{word} {} {word}", "\u{e4}".repeat(3_000));
    let address = format!("{quotes}@h.example");
    let report = report(&address, &[&address], &reason);
    for format in [BounceFormat::Qsbmf, BounceFormat::Dsn] {
        let written = text(format, &report, "A: 1\n\n");
        assert_eq!(written.lines().find(|line| line.len() > 998), None);
        let squeezed: String = written.split_whitespace().collect();
        assert!(squeezed.contains(&reason.replace(' ', "")), "nothing is cut off");
    }
}

#[test]
fn the_boundary_is_not_in_the_original() {
    let report = report("ann@b.example", &["joe@h.example"], "=_981173106.42.1");
    let inner = text(BounceFormat::Dsn, &report, "A: =_981173106.42.0\n\nno line end");
    assert!(inner.ends_with("no line end\n--=_981173106.42.2--\n"), "{inner}");
    // A bounce of the same second and process has its boundary inside.
    let outer = text(BounceFormat::Dsn, &report, &inner);
    assert!(outer.ends_with("--=_981173106.42.2--\n\n--=_981173106.42.3--\n"), "{outer}");
}

/// Only the beginning of a message is in memory. The rest is read in chunks.
#[test]
fn a_boundary_between_two_chunks_is_found() {
    let report = report("ann@b.example", &["joe@h.example"], "no");
    let edge = 8 << 20;
    for before in [3, 1, 15] {
        let mut original = vec![b'x'; edge - before];
        original.extend_from_slice(b"=_981173106.42.0\n");
        let written = write(BounceFormat::Dsn, &report, &original);
        assert!(written.ends_with(b"\n\n--=_981173106.42.1--\n"), "{before}");
    }
}

#[test]
fn text_that_is_not_ascii_has_the_types_of_rfc_6533() {
    let types = |report: &BounceReport, original: &[u8]| -> Vec<String> {
        let written = write(BounceFormat::Dsn, report, original);
        let written = String::from_utf8_lossy(&written);
        let fields = written.lines().filter_map(|line| line.strip_prefix("Content-T"));
        fields.map(|field| field.split_once(": ").unwrap().1.to_owned()).collect()
    };
    let ascii = report("ann@b.example", &["joe@h.example"], "no");
    let report_type = "multipart/report; report-type=delivery-status;";
    let (text, global, fields) =
        ("text/plain; charset=us-ascii", "text/plain; charset=utf-8", "message/delivery-status");
    assert_eq!(
        types(&ascii, b"A: 1\n\n\xff"),
        [report_type, "8bit", text, "7bit", fields, "7bit", "message/rfc822", "8bit"]
    );
    // Latin-1 in a header is not a header of RFC 6532.
    assert_eq!(types(&ascii, b"A: \xe4\n\n")[6..], ["message/rfc822", "8bit"]);
    assert_eq!(types(&ascii, "A: \u{e4}\n\n\n".as_bytes())[6..], ["message/global", "8bit"]);
    let address = report("ann@b.example", &["m\u{fc}ller@h.example"], "no");
    let (status, all) = ("message/global-delivery-status", types(&address, b"A: 1\n\n"));
    assert_eq!(all, [report_type, "8bit", global, "8bit", status, "8bit", "message/rfc822", "7bit"]);
    let written = super::tests::text(BounceFormat::Dsn, &address, "A: 1\n\n");
    assert!(written.contains("\nFinal-Recipient: utf-8; \"m\u{fc}ller\"@h.example\n"), "{written}");
}

#[test]
fn bounces_get_no_bounce() {
    assert_eq!(BounceSender::new(b""), Err(NoBounce::NullSender));
    assert_eq!(BounceSender::new(b"-@[]"), Err(NoBounce::NullSender));
    assert_eq!(BounceSender::new(b"#@[]"), Err(NoBounce::DoubleBounce));
    for address in [&b"a\nBcc: eve@x"[..], b"\xff@x", b" a@x", &[b'a'; 451]] {
        assert_eq!(BounceSender::new(address), Err(NoBounce::NotAnAddress));
    }
    // qmail-send's own address of a list with VERP.
    assert_eq!(BounceSender::new(b"list-owner-@h.example-@[]").unwrap().as_str(), "list-owner-@h.example");
}

#[test]
fn a_status_is_one_of_a_failure() {
    for status in ["5.1.1", "4.4.7", "5.0.0", "5.999.999"] {
        assert_eq!(parse_status(status).unwrap().to_string(), status);
    }
    for other in
        ["2.0.0", "5.1", "5.1.1.1", "5.01.1", "5.1.1000", "5..1", "5.1.1 ", "+5.1.1", "550", "", "5.+1.1"]
    {
        assert!(parse_status(other).is_err(), "{other}");
    }
}

#[test]
fn an_smtp_reply_is_a_code_of_failure() {
    for reply in ["550 no", "550-5.1.1 no", "421", "550 "] {
        assert!(Reason::new(reply.as_bytes()).unwrap().is_smtp_reply(), "{reply}");
    }
    for other in ["250 ok", "5500 mails", "570 x", "no 550", "55"] {
        assert!(!Reason::new(other.as_bytes()).unwrap().is_smtp_reply(), "{other}");
    }
    assert_eq!(Reason::new(b" \n\0\r\n"), None);
}

proptest! {
    /// Any texts that the command line takes, and any original.
    #[test]
    fn what_is_written_is_read_back(
        sender in "[a-z<>\"\\\\]{1,4}@[a-z]{1,3}",
        recipients in prop::collection::vec(prop_oneof![ADDRESS, "\\PC{1,8}(@[a-z.]{1,5})?", "\\\\x\\{4[0-9]\\}\u{e4}? ?@[a-z]"], 1..4),
        reason in prop::collection::vec(prop_oneof![REASON, ".*"], 1..6),
        header in prop::collection::vec(FIELD, 0..5),
        body in prop::collection::vec(any::<u8>(), 0..60),
        end in prop_oneof!["\n", "\r\n", ""],
    ) {
        let recipients: Vec<&[u8]> = recipients.iter().map(String::as_bytes).collect();
        let original = [header.join(&end).as_bytes(), end.as_bytes(), &body].concat();
        crate::promises::written_bounce(sender.as_bytes(), &recipients, reason.join("\n").as_bytes(), &original);
        crate::promises::written_bounce(sender.as_bytes(), &recipients, &body, &body);
    }
}

const ADDRESS: &str = "[a-z<>:; \"\\\\()=+@.{}\u{e4}x41-]{1,9}@[a-z.\u{e4}-]{1,5}";
const REASON: &str = "550 5\\.1\\.1 no|450-x|--- Below|--=_981173106\\.7\\.0(--)?|<a@b>:|Status: 2\\.0\\.0|\\(#2\\.0\\.0\\)|=\\?utf-8\\?q\\?a\\?=|[ \r\t]*|smtp; x";
const FIELD: &str = "Message-ID: <[a-z]{0,3}@x>|Message-ID:|Return-Path: <a@b>|From a@b Sat Feb  3 04:05:06 2001|\
    Subject: \u{e4}|Received: by x; Sat, 3 Feb 2001 04:05:06 \\+0000|--=_981173106\\.7\\.0(--)?| folded|\
    Content-Type: multipart/mixed; boundary=\"=_981173106\\.7\\.1\"|||Content-Transfer-Encoding: base64";
