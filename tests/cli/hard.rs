//! The hostile mboxes of `../shared/hard`, each with the result of a correct reader.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::*;

#[test]
fn every_hostile_mbox_is_read_right_or_refused_aloud() {
    let Some(hard) = shared("hard") else { return };
    let expected: Value = serde_json::from_slice(&fs::read(hard.join("expected.json")).unwrap()).unwrap();
    let expected = expected.as_object().unwrap();
    assert!(!expected.is_empty());
    let wrong: Vec<String> = expected
        .iter()
        .flat_map(|(name, expected)| {
            let wrong = check(&hard.join(name), expected);
            wrong.into_iter().map(move |what| format!("{name}: {what}\n"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// Returns what differs from the expected result.
fn check(source: &Path, expected: &Value) -> Vec<String> {
    let scratch = scratch();
    let maildir = scratch.path().join("Maildir");
    // The directory may not be writable.
    let args = [OsStr::new("--lock=none"), source.as_os_str(), maildir.as_os_str()];
    let run = run(convert_command(args));
    let (summary, warned) = (run.summary(), !run.complaints().is_empty());
    let mut wrong = Vec::new();
    if expected["must_warn"] == true && !warned {
        wrong.push("no warning".to_owned());
    }
    if run.code != Some(0) {
        if expected["refusal_acceptable"] != true {
            wrong.push(format!("refused: {}", run.stderr));
        }
        if maildir.exists() {
            wrong.push("refused, and yet there is a Maildir".to_owned());
        }
        return wrong;
    }
    let found = count(&summary, "messages_found");
    if !expected["acceptable_counts"].as_array().unwrap().contains(&Value::from(found)) {
        wrong.push(format!("{found} messages"));
    }
    if found == 0 && count(&summary, "bytes_source") > 0 {
        wrong.push("a silent 0".to_owned());
    }
    if summary["bytes_source"] != expected["bytes"] {
        wrong.push(format!("{} bytes", summary["bytes_source"]));
    }
    let written = messages(&maildir);
    if written.len() as u64 != count(&summary, "written") {
        wrong.push(format!("{} files for {} messages", written.len(), summary["written"]));
    }
    let mut left: Vec<&Message> = written.iter().collect();
    for message in expected["messages"].as_array().unwrap() {
        match left.iter().position(|file| is_for(file, message)) {
            Some(at) => wrong.extend(compare(left.remove(at), message)),
            None => wrong.push(format!(
                "no message with X-Seq {} and body {}",
                message["seq"],
                bodies(message).join(" or ")
            )),
        }
    }
    wrong
}

/// Tells whether a file is this message: by its X-Seq field, or by its body if it has none.
fn is_for(file: &Message, expected: &Value) -> bool {
    match expected["seq"].as_u64() {
        Some(seq) => file.field("X-Seq") == Some(seq.to_string()) && has_body(file, expected),
        None => file.field("X-Seq").is_none() && has_body(file, expected),
    }
}

fn has_body(file: &Message, expected: &Value) -> bool {
    // A message without a header has no empty line before its body.
    let whole = || expected["header_len"] == 0 && bodies(expected).contains(&sha256(&file.bytes));
    bodies(expected).contains(&sha256(file.body())) || whole()
}

/// Returns the digests that a correct reader may give.
fn bodies(expected: &Value) -> Vec<String> {
    let alternates = expected["alternates"].as_object().into_iter().flat_map(|a| a.values());
    [&expected["body_sha256"]].into_iter().chain(alternates).map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn compare(file: &Message, expected: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let seq = &expected["seq"];
    // The letters of keywords follow the flags.
    let flags_of = |letters: &str| letters.trim_end_matches(|c: char| c.is_ascii_lowercase()).to_owned();
    if let Some(flags) = expected["flags"].as_str()
        && flags_of(file.flags.as_deref().unwrap_or_default()) != flags
    {
        wrong.push(format!("message {seq} has the flags {:?}, not {flags:?}", file.flags));
    }
    if let Some(date) = expected["from_date_utc"].as_i64() {
        let mtime = std::os::unix::fs::MetadataExt::mtime(&file.meta);
        if (file.epoch, mtime) != (date, date) {
            wrong.push(format!("message {seq} is dated {} and {mtime}, not {date}", file.epoch));
        }
    }
    wrong
}
