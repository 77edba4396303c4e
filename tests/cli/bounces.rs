//! Bounces of many mail servers, and mail that is none, read by `mailferry bounce`.
//!
//! The collected bounces may not be copied here; see `support::shared`. This file names none of their addresses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::*;

/// Reads a bounce of tests/fixtures/bounces.
fn read(name: &str) -> Run {
    bounce(fs::read(fixture(&format!("bounces/{name}"))).unwrap())
}

fn bounce(message: impl Into<Vec<u8>>) -> Run {
    run_with_stdin(mailferry(["bounce"]), message)
}

/// Returns what the report says of each recipient, for these keys.
fn values(run: &Run, keys: [&str; 4]) -> Vec<[Value; 4]> {
    run.json().iter().map(|line| keys.map(|key| line[key].clone())).collect()
}

#[test]
fn a_report_for_programs_gives_a_line_for_each_recipient() {
    let run = read("dsn.eml").exits(0);
    assert_eq!(
        values(&run, ["recipient", "original_recipient", "action", "status"]),
        [
            ["j.doe@inside.example.org", "joe@example.org", "failed", "5.1.1"].map(Value::from),
            ["dör@example.org".into(), Value::Null, "delayed".into(), "4.4.1".into()],
        ]
    );
    let first = &run.json()[0];
    for (key, value) in [
        ("type", "recipient"),
        ("kind", "dsn"),
        ("reason", "550 5.1.1 <j.doe@inside.example.org>: no such user"),
        ("remote_mta", "mx.inside.example.org"),
        ("reporting_mta", "relay.example"),
        ("original_message_id", "<issue-42@lists.example>"),
        ("original_envelope_id", "issue-42"),
        ("verp_recipient", "joe@example.org"),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!(first["heuristic"], false);
}

#[test]
fn a_bounce_of_qmail_is_read_by_its_format() {
    let run = read("qmail.eml").exits(0);
    assert_eq!(
        values(&run, ["kind", "recipient", "status", "verp_recipient"]),
        [
            ["qsbmf", "ann-b@example.org", "5.1.1", "ann-b@example.org"].map(Value::from),
            ["qsbmf".into(), "no reason@example.org".into(), Value::Null, "ann-b@example.org".into()],
        ]
    );
    assert_eq!(run.json()[0]["original_message_id"], "<issue-43@lists.example>");
    assert_eq!(run.json()[1]["reason"], Value::Null);
}

#[test]
fn a_report_in_words_is_recognised_and_marked_as_a_guess() {
    let run = read("exim.eml").exits(0);
    assert_eq!(
        values(&run, ["kind", "recipient", "status", "original_recipient"]),
        [
            ["words".into(), "joe@example.org".into(), "5.1.1".into(), Value::Null],
            ["words".into(), "eve@example.com".into(), Value::Null, "friends@relay.example".into()],
        ]
    );
    for line in run.json() {
        assert_eq!((&line["action"], &line["heuristic"]), (&"failed".into(), &true.into()));
        assert_eq!(line["original_message_id"], "<issue-44@example.net>");
    }
    assert_eq!(run.json()[1]["reason"], "retry timeout exceeded");
}

#[test]
fn a_bounce_with_crlf_is_read_like_one_with_lf() {
    for name in ["dsn.eml", "qmail.eml", "exim.eml"] {
        let message = fs::read_to_string(fixture(&format!("bounces/{name}"))).unwrap();
        let (lf, crlf) = (bounce(message.clone()), bounce(message.replace('\n', "\r\n")));
        assert_eq!(lf.stdout, crlf.stdout);
    }
}

#[test]
fn what_is_not_a_bounce_gives_65_and_one_error() {
    let report = fs::read_to_string(fixture("bounces/dsn.eml")).unwrap();
    let attached = "From: ann@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nlook:\n--b\n\
                    Content-Type: message/rfc822\n\n";
    let receipt = report.replace("message/delivery-status", "message/disposition-notification");
    for (message, words) in [
        ("From: ann@example.org\nSubject: lunch\n\nHello.\n".to_owned(), "not a bounce"),
        (format!("{attached}{report}--b--\n"), "not a bounce"),
        (receipt, "receipt"),
        (
            report.replace("-Recipient:", "-Nobody:").replace("\nTo: joe@example.org", ""),
            "names no recipient",
        ),
        ("From: ann@example.org\nX-Autoreply: yes\n\nI am away.\n".to_owned(), "automatic reply"),
    ] {
        let run = bounce(message).exits(65).complains(&["standard input: not a bounce", words]);
        assert!(run.stdout.is_empty());
    }
    bounce("\n").exits(66).complains(&["there is no message"]);
    run_with_stdin(mailferry(["bounce", "--max-size", "9"]), "From: a@b\n\n").exits(69);
    run_with_stdin(mailferry(["bounce", "--exit-codes", "qmail"]), "").exits(100);
    run_with_stdin(mailferry(["bounce", "--colour"]), "").exits(64);
}

/// A row of the list of what is known about the bounces.
struct Expected<'a> {
    columns: BTreeMap<&'a str, &'a str>,
}

impl<'a> Expected<'a> {
    fn get(&self, column: &str) -> &'a str {
        self.columns[column]
    }

    /// Returns the place of a recipient in the list.
    fn position(&self, address: &str) -> Option<usize> {
        self.get("recipients").split(',').position(|one| normalized(one) == normalized(address))
    }

    /// Returns a list that has one value for each recipient; a single value holds for all.
    fn list(&self, column: &str, length: usize) -> Vec<Option<&'a str>> {
        let values: Vec<_> =
            self.get(column).split(',').map(|value| Some(value).filter(|v| *v != "-")).collect();
        if values.len() == 1 { values.repeat(length) } else { values }
    }
}

/// Returns an address with the host in lower case.
fn normalized(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, host)) => format!("{local}@{}", host.to_lowercase()),
        None => address.to_owned(),
    }
}

/// Compares a report with what is known. The difference names no address.
fn compare(run: &Run, row: &Expected<'_>) -> Result<(), String> {
    let kind = row.get("kind");
    match (run.code, kind) {
        (Some(65), "none") => return Ok(()),
        (Some(0), "none") => return Err("is read as a bounce".into()),
        (Some(0), _) => {}
        (code, _) => return Err(format!("exits with {code:?}")),
    }
    let lines = run.json();
    let same = |what: &str, is_same: bool| if is_same { Ok(()) } else { Err(format!("{what} differs")) };
    same("kind", lines.iter().all(|line| line["kind"] == kind))?;
    same("heuristic", kind != "words" || lines.iter().all(|line| line["heuristic"] == true))?;
    let addresses: Vec<String> =
        lines.iter().filter_map(|line| line["recipient"].as_str()).map(normalized).collect();
    let mut expected: Vec<String> = row.get("recipients").split(',').map(normalized).collect();
    let mut found = addresses;
    if kind == "words" {
        // Their makers list them in the order of the alphabet.
        expected.sort();
        found.sort();
    }
    same("recipients", expected == found)?;
    // A report may say more than the list.
    let includes = |key: &str, list: &str| {
        let values = row.list(list, lines.len());
        lines.iter().enumerate().all(|(n, line)| {
            let at = row.position(line["recipient"].as_str().unwrap_or_default()).filter(|_| kind == "words");
            let want = values.get(at.unwrap_or(n)).copied().flatten();
            want.is_none() || want == line[key].as_str()
        })
    };
    same("status", includes("status", "statuses"))?;
    same("action", includes("action", "action"))?;
    same("original recipient", includes("original_recipient", "original_recipients"))?;
    same("Message-ID", includes("original_message_id", "original_message_id"))
}

/// The bounces that are read differently, and why.
const DIFFERENCES: [(&str, &str); 0] = [];

#[test]
fn collected_bounces_are_read_as_their_makers_say() {
    let Some(shared) = shared("bounces/EXPECTED.tsv") else { return };
    let text = fs::read_to_string(&shared).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let rows = lines.map(|line| Expected { columns: names.iter().copied().zip(line.split('\t')).collect() });
    // Right and all, undisputed and disputed, of each kind.
    let mut totals: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows {
        let file = row.get("file");
        let run = bounce(fs::read(shared.parent().unwrap_or(Path::new("")).join(file)).unwrap());
        let result = compare(&run, &row);
        let at = if row.get("disputed") == "yes" { 2 } else { 0 };
        let total = totals.entry(row.get("kind")).or_default();
        total[at] += usize::from(result.is_ok());
        total[at + 1] += 1;
        if let (Err(difference), 0) = (result, at) {
            wrong.push((file, difference));
        }
    }
    for (kind, [right, all, right_disputed, all_disputed]) in totals {
        note!(
            "bounces of the kind {kind}: {right} of {all}, and {right_disputed} of {all_disputed} disputed ones"
        );
    }
    let is_known = |file: &str| DIFFERENCES.iter().any(|(known, _)| file.ends_with(known));
    let unknown: Vec<_> = wrong.iter().filter(|(file, _)| !is_known(file)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
