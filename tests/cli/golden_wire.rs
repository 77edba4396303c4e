//! Recorded conversations with qmail's servers, and the same with mailferry.
//!
//! Compared are the class of each reply (K, Z or D), how many there are, and what was delivered. Texts differ, and so
//! do the Received field of qmail's servers, and the Return-Path and Delivered-To of mailferry's. A queue that
//! accepts is a Maildir, one that fails a program in a `.qmail` file, and rcpthosts a map.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::golden::{bytes, compare_cases, records};
use super::support::*;

/// The cases that mailferry handles differently, and how.
const DIFFERENCES: [(u64, &str); 5] = [
    (20, "a map has no recipient without a domain; rcpthosts allows each"),
    (22, "a map has no empty recipient; rcpthosts allows it"),
    (26, "a framing error costs no reply of an earlier package"),
    (35, "a length with leading zeros is refused"),
    (58, "nobody would have a QMQP message without recipients"),
];

#[test]
fn qmails_servers_and_mailferry_answer_alike() {
    let Some(cases) = records("golden/wire.jsonl") else { return };
    let servers = ["qmail-qmtpd", "qmail-qmqpd"];
    let cases: Vec<Value> =
        cases.into_iter().filter(|case| servers.contains(&text(&case["program"]))).collect();
    assert!(!cases.is_empty());
    compare_cases("golden/wire.jsonl, servers", &cases, &DIFFERENCES, compare);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(value).as_bytes()).unwrap()
}

/// Runs one case. The error is the first difference.
fn compare(case: &Value) -> Result<(), String> {
    let dir = scratch();
    let maildir = dir.path().join("all");
    for name in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(name)).unwrap();
    }
    let sent = match &case["sent_hex"] {
        // The only one that is too long for the record.
        Value::Null => large_package(case["sent_len"].as_u64().unwrap() as usize),
        sent => bytes(&serde_json::json!({ "hex": sent })),
    };
    let mut command = mailferry(["deliver", "--protocol", &text(&case["program"])[6..10]]);
    let queue_exit = case["queue_exit"].as_i64().unwrap_or(0);
    if queue_exit != 0 {
        // qmail.c: the exit codes of qmail-queue from 11 to 40 are permanent, and after 82 a letter decides.
        let permanent = (11..=40).contains(&queue_exit) || text(&case["queue_fd6"]).starts_with('D');
        fs::write(dir.path().join(".qmail"), format!("|exit {}\n", if permanent { 100 } else { 111 }))
            .unwrap();
        fs::write(dir.path().join(".qmail-default"), fs::read(dir.path().join(".qmail")).unwrap()).unwrap();
        command.arg("--dot-qmail").arg("--home").arg(dir.path());
    } else {
        command.args(recipients(case, &sent, dir.path()));
    }
    let limit = [&case["env"]["DATABYTES"], &case["control"]["databytes"]].map(|value| text(value).trim());
    if let Some(limit) = limit.iter().find(|limit| !limit.is_empty()).filter(|limit| **limit != "0") {
        command.args(["--max-size", limit]);
    }
    let run = run_with_stdin(command, sent);
    let (want, got) = (classes(&hex(&case["received_hex"])), classes(&run.stdout));
    if got != want {
        let replies = String::from_utf8_lossy(&run.stdout);
        return Err(format!("replies {got:?}, not {want:?}: {replies} {}", run.stderr));
    }
    let Some(runs) = case["queue_runs"].as_array() else { return Ok(()) };
    let mut want: Vec<String> =
        if queue_exit == 0 { runs.iter().flat_map(queued).collect() } else { Vec::new() };
    let mut got: Vec<String> = messages(&maildir).iter().map(|message| unquoted(&message.bytes)).collect();
    want.sort();
    got.sort();
    if got == want { Ok(()) } else { Err(format!("delivered {got:?}, not {want:?}")) }
}

/// Returns the options that accept the recipients which qmail accepts.
fn recipients(case: &Value, sent: &[u8], dir: &Path) -> [String; 1] {
    let mailbox = format!("{}/all/", dir.display());
    // QMQP has no rcpthosts, and RELAYCLIENT overrides them.
    if text(&case["program"]) == "qmail-qmqpd" || case["env"]["RELAYCLIENT"].is_string() {
        return [format!("--mailbox={mailbox}")];
    }
    let is_domain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let named = String::from_utf8_lossy(sent).into_owned();
    let named = named.split('@').skip(1).map(|rest| rest.split(|c| !is_domain(c)).next().unwrap());
    let mut map = Vec::new();
    for line in text(&case["control"]["rcpthosts"]).lines() {
        match line.starts_with('.') {
            true => map.extend(named.clone().filter(|domain| domain.ends_with(line)).map(str::to_owned)),
            false => map.push(line.to_owned()),
        }
    }
    map.sort();
    map.dedup();
    let lines: String = map.iter().map(|domain| format!("@{domain} {mailbox}\n")).collect();
    fs::write(dir.join("map"), lines).unwrap();
    [format!("--recipient-map={}/map", dir.display())]
}

/// Returns a package of this size, with one recipient.
fn large_package(size: usize) -> Vec<u8> {
    let envelope = b",11:s@x.example,19:15:a@local.example,,";
    let message = size - envelope.len() - "1000000:".len();
    let package = [format!("{message}:\n").as_bytes(), &vec![b'x'; message - 1], envelope].concat();
    assert!(package.len().abs_diff(size) <= 1);
    package
}

/// Returns the letters of the replies, which must be netstrings.
fn classes(mut replies: &[u8]) -> String {
    let mut classes = String::new();
    while !replies.is_empty() {
        let colon = replies.iter().position(|&b| b == b':').unwrap();
        let length: usize = std::str::from_utf8(&replies[..colon]).unwrap().parse().unwrap();
        let content = &replies[colon + 1..];
        assert_eq!(content[length], b',');
        classes.push(content[0].into());
        replies = &content[length + 1..];
    }
    classes
}

/// Returns a message without the quotes of its Return-Path, in which the address of an envelope has them.
fn unquoted(message: &[u8]) -> String {
    let message = String::from_utf8_lossy(message).into_owned();
    let (first, rest) = message.split_once('\n').unwrap();
    format!("{}\n{rest}", first.replace('"', ""))
}

/// Returns the messages that a run of the queue would deliver, as mailferry writes them.
fn queued(run: &Value) -> Vec<String> {
    let envelope: Vec<&str> = run["envelope"].as_array().unwrap().iter().map(text).collect();
    // A queue without a complete envelope keeps nothing.
    let ([sender, recipients @ .., ""] | [sender, recipients @ ..]) = &envelope[..] else {
        return Vec::new();
    };
    let Some(sender) = sender.strip_prefix('F') else { return Vec::new() };
    let message = String::from_utf8_lossy(&bytes(&run["message"])).into_owned();
    let lines: Vec<&str> = message.split_inclusive('\n').collect();
    assert!(lines[0].starts_with("Received: from ") && lines[1].starts_with("  by "), "{message}");
    let message = lines[2..].concat();
    let recipients = recipients.iter().filter_map(|recipient| recipient.strip_prefix('T'));
    let eol = if message.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n")) {
        "\r\n"
    } else {
        "\n"
    };
    recipients.map(|to| format!("Return-Path: <{sender}>{eol}Delivered-To: {to}{eol}{message}")).collect()
}
