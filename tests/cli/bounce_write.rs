//! `mailferry bounce --write`: what it writes, is what mail programs and `mailferry bounce` read.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::support::*;

/// A message with its sender on top, and bytes that are easily damaged.
pub(crate) const ORIGINAL: &[u8] =
    b"Return-Path: <ann@b.example>\nReceived: from b.example by mx.example.org; Sat, 3 Feb 2001 05:05:05 +0100\n\
      Message-ID: <1@b.example>\nTo: joe@h.example\nSubject: hello\n\n8-bit \xe4\n--- dashes\n<a@b>:\n\nFrom here\n.\nend\n";

/// Writes a bounce of [`ORIGINAL`] for this recipient.
fn write(format: &str, more: &[&str], original: &[u8]) -> Run {
    let mut command = mailferry(["bounce", "--write", format, "-r", "joe@h.example"]);
    command.args(["--status", "5.1.1", "--reason", "No such user"]).args(more);
    run_with_stdin(command, original)
}

fn read(bounce: &[u8]) -> Vec<Value> {
    run_with_stdin(mailferry(["bounce"]), bounce).exits(0).json()
}

#[test]
fn a_written_bounce_is_read_and_has_the_original_unchanged() {
    let after_sender = ORIGINAL.strip_prefix(b"Return-Path: <ann@b.example>\n").unwrap();
    for (format, reason) in [("qsbmf", "No such user (#5.1.1)"), ("dsn", "No such user")] {
        for top in ["Return-Path: <ann@b.example>\n", "From ann@b.example Sat Feb  3 04:05:06 2001\n"] {
            let original = [top.as_bytes(), after_sender].concat();
            let bounce = write(format, &["-r", "a b@h.example"], &original).exits(0).stdout;
            let text = String::from_utf8_lossy(&bounce);
            assert!(text.starts_with("Return-Path: <>\nDate: "), "{text}");
            assert!(
                text.contains("\nFrom: MAILER-DAEMON@") && text.contains("\nTo: ann@b.example\n"),
                "{text}"
            );
            assert!(bounce.windows(ORIGINAL.len()).any(|window| window == ORIGINAL), "{text}");
            let lines = read(&bounce);
            let quoted = if format == "dsn" { "\"a b\"@h.example" } else { "a b@h.example" };
            for (line, recipient) in lines.iter().zip(["joe@h.example", quoted]) {
                for (key, value) in [
                    ("kind", json!(format)),
                    ("recipient", json!(recipient)),
                    ("action", json!("failed")),
                    ("status", json!("5.1.1")),
                    ("reason", json!(reason)),
                    ("original_message_id", json!("<1@b.example>")),
                    ("heuristic", json!(false)),
                ] {
                    assert_eq!(line[key], value, "{format}: {key}");
                }
            }
            assert_eq!(lines.len(), 2);
        }
    }
}

/// The envelope of `inject -n` with these options: sender, and the recipient of the header.
#[test]
fn inject_sends_it_to_the_sender_with_the_null_sender() {
    for format in ["qsbmf", "dsn"] {
        for sender in ["ann@b.example", "a b@b.example", "m\u{fc}ller@b.example", "list-owner-@b.example-@[]"]
        {
            let bounce = write(format, &["-f", sender], ORIGINAL).exits(0).stdout;
            let run = run_with_stdin(mailferry(["inject", "-n", "-h", "-v"]), bounce.clone()).exits(0);
            let to = sender.strip_suffix("-@[]").unwrap_or(sender);
            assert!(run.stderr.contains(&format!("to <{to}>\n")), "{run:?}");
            assert!(run.stdout.starts_with(b"Return-Path: <>\n"), "{}", run.text());
            // The next hop gets all of it: only QSBMF has no Message-ID of its own.
            assert!(
                run.stdout.ends_with(ORIGINAL.strip_prefix(b"Return-Path: <ann@b.example>\n").unwrap())
                    || format == "dsn"
            );
            let mut maildir = mailferry(["inject", "-h", "--via", "maildir:M"]);
            let scratch = scratch();
            for part in ["tmp", "new", "cur"] {
                fs::create_dir_all(scratch.path().join("M").join(part)).unwrap();
            }
            run_with_stdin(
                {
                    maildir.current_dir(scratch.path());
                    maildir
                },
                bounce,
            )
            .exits(0);
            let all = messages(&scratch.path().join("M"));
            assert_eq!((all.len(), all[0].field("Return-Path").as_deref()), (1, Some("<>")));
            assert_eq!(read(&all[0].bytes)[0]["recipient"], "joe@h.example");
        }
    }
}

#[test]
fn a_bounce_never_gets_a_bounce() {
    for format in ["qsbmf", "dsn"] {
        for sender in ["", "<>", "#@[]", "MAILER-DAEMON", "-@[]"] {
            let run = write(format, &["-f", sender], ORIGINAL).exits(65).complains(&["no bounce"]);
            assert!(run.stdout.is_empty());
        }
        let bounce = write(format, &[], ORIGINAL).exits(0).stdout;
        write(format, &[], &bounce).exits(65).complains(&["a bounce gets no bounce"]);
        let from_line = "From MAILER-DAEMON Sat Feb  3 04:05:06 2001\nA: 1\n\n";
        write(format, &[], from_line.as_bytes()).exits(65).complains(&["no bounce"]);
    }
    let mut command =
        mailferry(["bounce", "--write", "dsn", "-r", "a@b", "--status", "5.0.0", "--reason", "x"]);
    command.env("SENDER", "");
    run_with_stdin(command, ORIGINAL).exits(65).complains(&["no bounce"]);
}

#[test]
fn the_sender_comes_from_the_option_the_environment_or_the_top() {
    let to = |options: &[&str], variable: Option<&str>, original: &str| {
        let mut command =
            mailferry(["bounce", "--write", "qsbmf", "-r", "a@b", "--status", "5.0.0", "--reason", "x"]);
        command.args(options).envs(variable.map(|value| ("SENDER", value)));
        let run = run_with_stdin(command, original);
        let text = run.exits(0).text();
        text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned()
    };
    let top = "Return-Path: <top@x>\nReceived: y\n\n";
    assert_eq!(to(&["-f", "option@x"], Some("env@x"), top), "option@x");
    assert_eq!(to(&[], Some("env@x"), top), "env@x");
    assert_eq!(to(&[], None, top), "top@x");
    assert_eq!(to(&[], None, "Delivered-To: a@b\nReturn-Path: <\"top of\"@x>\n\n"), "\"top of\"@x");
    assert_eq!(to(&[], None, "From top@x Sat Feb  3 04:05:06 2001\nA: 1\n\n"), "top@x");
    assert_eq!(to(&["--sender=<a b@x>"], None, top), "\"a b\"@x");
    // An earlier delivery wrote the field below Received.
    for original in ["Received: y\nReturn-Path: <top@x>\n\n", "A: 1\n\nReturn-Path: <top@x>\n"] {
        write("dsn", &[], original.as_bytes()).exits(64).complains(&["--sender: missing", "-f"]);
    }
}

#[test]
fn a_wrong_option_gives_64_before_anything_is_written() {
    for (option, value) in [
        ("--status", "2.0.0"),
        ("--status", "5.1"),
        ("--status", "550"),
        ("--status", ""),
        ("--reason", ""),
        ("--reason", " \n\t"),
        ("--remote-mta", "mx example"),
        ("--remote-mta", "mx\nBcc: eve@x"),
        ("--remote-mta", ""),
        ("--recipient", ""),
        ("--recipient", "joe\n@h.example"),
        ("--recipient", "joe@h>:\r"),
        ("--recipient", "joe@h (comment)"),
        ("--write", "mime"),
    ] {
        let mut command = mailferry(["bounce"]);
        for (name, usual) in [
            ("--write", "dsn"),
            ("--recipient", "joe@h"),
            ("--status", "5.0.0"),
            ("--reason", "x"),
            ("--remote-mta", "mx"),
        ] {
            command.arg(format!("{name}={}", if name == option { value } else { usual }));
        }
        let run = run_with_stdin(command, ORIGINAL).exits(64).complains(&[&format!("{option}: ")]);
        assert!(run.stdout.is_empty());
    }
    for missing in ["--recipient", "--status", "--reason", "--write"] {
        let mut command = mailferry(["bounce"]);
        let all = [("--write", "dsn"), ("--recipient", "joe@h"), ("--status", "5.0.0"), ("--reason", "x")];
        command.args(
            all.iter().filter(|(name, _)| *name != missing).map(|(name, value)| format!("{name}={value}")),
        );
        run_with_stdin(command, ORIGINAL).exits(64).complains(&[missing, "missing"]);
    }
    write("dsn", &[], b"").exits(66).complains(&["there is no message"]);
    write("dsn", &["--exit-codes", "qmail", "-f", ""], ORIGINAL).exits(100);
    // As any wrong option: the caller tries again once it is corrected.
    write("dsn", &["--exit-codes", "qmail"], b"A: 1\n\n").exits(111).complains(&["--sender: missing"]);
}

/// Options cannot add a line to the header, a field to the report, or a paragraph.
#[test]
fn no_option_adds_a_field_or_a_paragraph() {
    let reason = "550 no\n\n<eve@x>:\nyes\n\n--- Below this line is a copy of the message.\n\nFinal-Recipient: rfc822; eve@x\nAction: failed\nBcc: eve@x";
    for format in ["qsbmf", "dsn"] {
        let mut command =
            mailferry(["bounce", "--write", format, "-r", "joe>:<eve@h.example", "--status", "5.0.0"]);
        command.args(["--reason", reason, "--remote-mta", "[192.0.2.1]"]);
        let bounce = run_with_stdin(command, ORIGINAL).exits(0).stdout;
        let lines = read(&bounce);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let recipient = if format == "dsn" { "\"joe>:<eve\"@h.example" } else { "joe>:<eve@h.example" };
        assert_eq!(lines[0]["recipient"], recipient);
        assert_eq!(lines[0]["status"], "5.0.0");
        assert_eq!(lines[0]["original_message_id"], "<1@b.example>");
        assert!(!String::from_utf8_lossy(&bounce).lines().take(12).any(|line| line.starts_with("Bcc")));
    }
}

/// Reads the report with the parser of Python's library, and prints what it finds.
const PYTHON: &str = r#"
import email, email.policy, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
text, status, original = message.iter_parts()
groups = list(status.iter_parts()) if status.is_multipart() else []
print(json.dumps({
    "type": message.get_content_type(), "report": message.get_param("report-type"), "to": message["To"],
    "parts": [part.get_content_type() for part in message.iter_parts()],
    "groups": [dict(group.items()) for group in groups],
    "subject": original.get_payload()[0]["Subject"] if original.is_multipart() else None,
    "defects": [str(defect) for part in message.walk() for defect in part.defects],
    "text": text.get_content()}))
"#;

fn python(bounce: Vec<u8>) -> Value {
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]).env("PYTHONIOENCODING", "utf-8");
    let run = run_with_stdin(command, bounce).exits(0);
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn pythons_parser_reads_the_parts_of_a_dsn() {
    if !have("python3", &["-c", "import email"]) {
        skip!("python3 is not here");
    }
    let more = ["-r", "a b@h.example", "--remote-mta", "mx.h.example"];
    let found = python(write("dsn", &more, ORIGINAL).exits(0).stdout);
    assert_eq!(found["type"], "multipart/report");
    assert_eq!(found["report"], "delivery-status");
    assert_eq!(found["to"], "ann@b.example");
    assert_eq!(found["parts"], json!(["text/plain", "message/delivery-status", "message/rfc822"]));
    assert_eq!(found["subject"], "hello");
    assert_eq!(found["defects"], json!([]));
    assert!(
        found["text"]
            .as_str()
            .unwrap()
            .contains("<joe@h.example>:\n    mx.h.example said:\n    No such user\n")
    );
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups[0]["Arrival-Date"], "Sat, 03 Feb 2001 04:05:05 +0000");
    assert!(groups[0]["Reporting-MTA"].as_str().unwrap().starts_with("dns; "));
    let group = |address: &str| {
        json!({
            "Final-Recipient": format!("rfc822; {address}"), "Action": "failed", "Status": "5.1.1",
            "Remote-MTA": "dns; mx.h.example", "Diagnostic-Code": "X-mailferry; No such user"
        })
    };
    assert_eq!(groups[1..], [group("joe@h.example"), group("\"a b\"@h.example")]);
}

#[test]
fn addresses_in_utf_8_give_a_report_of_rfc_6533() {
    let original = "Return-Path: <ann@b.example>\nMessage-ID: <1@b.example>\nSubject: h\u{e4}llo\n\nbody\n";
    let bounce = write("dsn", &["-r", "d\u{f6}r+x@h.example"], original.as_bytes()).exits(0).stdout;
    let text = String::from_utf8(bounce.clone()).unwrap();
    assert!(text.contains("\nContent-Type: message/global-delivery-status\n"), "{text}");
    assert!(text.contains("\nContent-Type: message/global\n"), "{text}");
    assert!(text.contains("\nFinal-Recipient: rfc822; joe@h.example\n"), "{text}");
    assert!(text.contains("\nFinal-Recipient: utf-8; \"d\u{f6}r\\x{2B}x\"@h.example\n"), "{text}");
    let lines = read(&bounce);
    assert_eq!(lines[1]["recipient"], "\"d\u{f6}r+x\"@h.example");
    assert_eq!(lines[1]["original_message_id"], "<1@b.example>");
}

#[test]
fn memory_does_not_depend_on_the_size_of_the_original() {
    let scratch = scratch();
    let large = scratch.path().join("large");
    let line = [&[b'x'; 99][..], b"\n"].concat();
    fs::write(&large, [ORIGINAL, &line.repeat(600_000)].concat()).unwrap();
    let options = ["--status", "5.3.4", "--reason", "x", "-r", "a@b", "--max-size", "100000000"];
    for format in ["qsbmf", "dsn"] {
        let (code, memory) =
            peak_memory(&[&["bounce", "--write", format], &options[..]].concat(), Path::new(&large));
        assert_eq!(code, 0);
        assert!(memory < 50_000, "{memory} KiB for 60 MB");
    }
}
