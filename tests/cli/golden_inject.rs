//! Recorded behaviour of the real qmail-inject and its sendmail, compared with mailferry under their names.
//!
//! The records may not be copied here; see `support::shared`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;

use super::golden::{bytes, compare_all, records, same_text, set_mode};
use super::support::*;

/// Cases that mailferry handles differently, and how.
const DIFFERENCES: [(u64, &str); 7] = [
    (58, "a blank behind a backslash: qmail-inject prints it bare, and makes two words of one"),
    (165, "a list of recipients that cannot be read is refused, not sent to those found in it"),
    (166, "the same"),
    (167, "the same"),
    (168, "the same"),
    (169, "the same"),
    (170, "the same"),
];

#[test]
fn called_qmail_inject_it_does_what_qmail_inject_did() {
    compare_all("golden/inject.jsonl", &DIFFERENCES, |case| compare("qmail-inject", case));
}

#[test]
fn called_sendmail_it_does_what_qmails_sendmail_did() {
    let Some(cases) = records("golden/tools.jsonl") else { return };
    let cases: Vec<&Value> = cases.iter().filter(|case| case["program"] == "sendmail").collect();
    let differ = |case: &&Value| compare("sendmail", case).err().map(|how| format!("{case}: {how}"));
    let wrong: Vec<String> = cases.iter().filter_map(differ).collect();
    note!("golden/tools.jsonl: {} of {} cases of sendmail agree", cases.len() - wrong.len(), cases.len());
    assert!(!cases.is_empty() && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// qmail's home, a queue program that stores its input, and a link with the program's name.
pub(crate) struct QmailHome {
    pub scratch: tempfile::TempDir,
}

impl QmailHome {
    pub(crate) fn new() -> QmailHome {
        let scratch = scratch();
        fs::create_dir_all(scratch.path().join("control")).unwrap();
        for name in ["qmail-inject", "sendmail"] {
            symlink(BINARY, scratch.path().join(name)).unwrap();
        }
        let home = QmailHome { scratch };
        home.queue(0, "");
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Installs a queue program that ends like this.
    pub(crate) fn queue(&self, exit: i64, stderr: &str) {
        let path = self.path("queue");
        let script = format!(
            "#!/bin/sh\ncd {}\ncat > queued_message\ncat <&1 > queued_envelope\n\
             [ -z '{stderr}' ] || printf '%s' '{stderr}' >&6\nexit {exit}\n",
            self.scratch.path().display()
        );
        fs::write(&path, script).unwrap();
        set_mode(&path, 0o755);
    }

    pub(crate) fn control(&self, name: &str, line: &str) {
        fs::write(self.path("control").join(name), format!("{line}\n")).unwrap();
    }

    /// Returns a command for one of the links, or for the program itself.
    pub(crate) fn command(&self, name: &str, args: &[&str]) -> std::process::Command {
        let mut command = match name {
            "inject" => mailferry(["inject"].iter().chain(args)),
            name => wrapped("exec \"$@\"", [self.path(name)], args),
        };
        command.env("QMAILHOME", self.scratch.path()).env("QMAILQUEUE", self.path("queue"));
        command.current_dir(self.scratch.path());
        command
    }

    /// Returns what the queue program received, or None if it did not run.
    pub(crate) fn queued(&self) -> Option<(Vec<u8>, String)> {
        let message = fs::read(self.path("queued_message")).ok()?;
        let envelope = fs::read(self.path("queued_envelope")).unwrap();
        Some((message, String::from_utf8(envelope).unwrap()))
    }
}

/// Runs one case. The error is the first difference.
fn compare(program: &str, case: &Value) -> Result<(), String> {
    let home = QmailHome::new();
    match case["control"].as_object() {
        Some(files) => files.iter().for_each(|(name, line)| home.control(name, line.as_str().unwrap())),
        None => home.control("me", "me.example.org"),
    }
    home.queue(case["queue_exit"].as_i64().unwrap_or(0), case["queue_fd6"].as_str().unwrap_or_default());
    let here = |text: &str| text.replace("@DIR@", home.scratch.path().to_str().unwrap());
    for (name, text) in case["files"].as_object().into_iter().flatten() {
        fs::write(home.path(name), text.as_str().unwrap()).unwrap();
    }
    let args: Vec<&str> = case["argv"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let mut command = home.command(program, &args);
    for (name, value) in case["env"].as_object().unwrap() {
        command.env(name, here(value.as_str().unwrap()));
    }
    let before = jiff::Timestamp::now().as_second();
    let run = run_with_stdin(command, bytes(&case["stdin"]));
    let times = before..=jiff::Timestamp::now().as_second();

    let code = |code: Option<i64>| format!("{code:?}");
    same_text("exit code", &code(run.code.map(i64::from)), &code(case["rc"].as_i64()))?;
    let pid = case["pid"].to_string();
    let ours = |got: &[u8]| frozen(&String::from_utf8_lossy(got), times.clone());
    let theirs = |text: &str| text.replace(&pid, "PID");
    let recorded = |key: &str| theirs(&String::from_utf8_lossy(&bytes(&case[key])));
    same_text("stdout", &ours(&run.stdout), &recorded("stdout"))?;
    same_text("stderr", &run.stderr, &recorded("stderr"))?;
    let Some((message, envelope)) = home.queued() else {
        return same_text(
            "queued",
            "nothing",
            case["queued_message"].as_object().map_or("nothing", |_| "a message"),
        );
    };
    if case["queued_message"].is_null() {
        return Err("a message was queued".into());
    }
    same_text("queued message", &ours(&message), &recorded("queued_message"))?;
    let recorded: Vec<&str> =
        case["queued_envelope"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    same_text("envelope", &ours(envelope.as_bytes()), &theirs(&recorded.join("\0")))
}

/// Replaces the times of this run, in the forms of qmail-inject, and the process id, by those of the record.
fn frozen(text: &str, times: std::ops::RangeInclusive<i64>) -> String {
    let mut text = text.to_owned();
    for second in times {
        let time = jiff::Timestamp::from_second(second).unwrap();
        text =
            text.replace(&time.strftime("%-d %b %Y %H:%M:%S -0000").to_string(), "3 Feb 2001 04:05:06 -0000");
        for (now, then) in [
            (time.strftime("<%Y%m%d%H%M%S.").to_string(), "<20010203040506."),
            (format!("-{second}."), "-981173106."),
        ] {
            while let Some(at) = text.find(&now) {
                let process = at + now.len();
                let digits = text[process..].bytes().take_while(u8::is_ascii_digit).count();
                text.replace_range(at..process + digits, &format!("{then}PID"));
            }
        }
    }
    text
}
