//! Recorded behaviour of the real qmail programs, compared with mailferry under their names.
//!
//! The records may not be copied here; see `support::shared`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::*;

/// The one case that mailferry handles differently, and how.
const DIFFERENCES: [(u64, &str); 1] =
    [(56, "an mbox without a final newline: qmail-local glues its From_ line to the last line")];

/// The date of all records.
const FROZEN: &str = "Sat Feb 03 04:05:06 2001";

#[test]
fn called_qmail_local_it_does_what_qmail_local_did() {
    let mut differences = DIFFERENCES.to_vec();
    if rustix::process::geteuid().is_root() {
        differences.push((28, "root follows only files that only root can write"));
    }
    compare_all("golden/local.jsonl", &differences, compare);
}

/// Compares all cases of a file with what mailferry does. `differences` are the cases that it does not copy, and why.
pub(super) fn compare_all(
    file: &str,
    differences: &[(u64, &str)],
    compare: impl Fn(&Value) -> Result<(), String>,
) {
    if let Some(cases) = records(file) {
        compare_cases(file, &cases, differences, compare);
    }
}

/// Compares these cases; `title` says which they are.
pub(super) fn compare_cases(
    title: &str,
    cases: &[Value],
    differences: &[(u64, &str)],
    compare: impl Fn(&Value) -> Result<(), String>,
) {
    let (mut different, mut wrong) = (Vec::new(), Vec::new());
    for case in cases {
        let id = case["id"].as_u64().unwrap();
        let Err(difference) = compare(case) else { continue };
        match differences.iter().find(|(expected, _)| *expected == id) {
            Some((_, why)) => different.push(format!("{id} ({why})")),
            None => wrong.push(format!("{id} {}: {difference}", case["name"])),
        }
    }
    note!(
        "{title}: {} of {} cases agree; not copied: {}",
        cases.len() - different.len() - wrong.len(),
        cases.len(),
        different.join(", ")
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let has = |id: u64| cases.iter().any(|case| case["id"] == id);
    let expected = differences.iter().filter(|(id, _)| has(*id)).count();
    assert_eq!(different.len(), expected, "what is not copied is copied after all");
}

/// A From_ line that was not separated from the previous message.
#[test]
fn an_mbox_without_a_final_newline_gets_one_before_the_message() {
    let account = Account::new();
    account.file(".qmail", 0o644, b"./Mailbox\n");
    account.file("Mailbox", 0o644, b"From x Sat Jan  3 01:05:34 1996\n\nold");
    let run = account
        .qmail_local(&account.arguments(&["joe", "@HOME@", "joe", "", "", "h", "s@x", "./M"]), "A: 1\n\n");
    run.exits(0);
    let got = fs::read_to_string(account.home().join("Mailbox")).unwrap();
    let want = "From x Sat Jan  3 01:05:34 1996\n\nold\n\nFrom s@x ";
    assert!(got.starts_with(want), "{got:?}");
    assert!(got.ends_with("\nReturn-Path: <s@x>\nDelivered-To: joe@h\nA: 1\n\n\n"), "{got:?}");
}

/// The queue programs recorded with qmail-inject, used by a forward.
#[test]
fn exit_codes_of_a_queue_program_have_qmails_messages() {
    let Some(cases) = records("golden/inject.jsonl") else { return };
    let mut compared = 0;
    for case in cases.iter().filter(|case| case["queue_exit"].as_i64().is_some_and(|exit| exit != 0)) {
        let account = Account::new();
        account.file(".qmail", 0o644, b"&a@b\n");
        account.queue(case["queue_exit"].as_i64().unwrap(), case["queue_fd6"].as_str().unwrap_or_default());
        let args = account.arguments(&["joe", "@HOME@", "joe", "", "", "h", "s@x", "./M"]);
        let run = account.qmail_local(&args, "A: 1\n\n");
        let stderr = String::from_utf8(bytes(&case["stderr"])).unwrap();
        let why = stderr.trim_end().trim_start_matches("qmail-inject: fatal: ");
        let want =
            (case["rc"].as_i64().map(|code| code as i32), format!("Unable to forward message: {why}.\n"));
        assert_eq!((run.code, run.stderr), want, "{case}");
        compared += 1;
    }
    note!("golden/inject.jsonl: {compared} ends of a queue program agree");
}

pub(crate) fn records(path: &str) -> Option<Vec<Value>> {
    let text = fs::read_to_string(shared(path)?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// A home directory, a queue program that stores its input, and a link named qmail-local.
struct Account {
    scratch: tempfile::TempDir,
}

impl Account {
    fn new() -> Account {
        let scratch = scratch();
        fs::create_dir(scratch.path().join("home")).unwrap();
        symlink(BINARY, scratch.path().join("qmail-local")).unwrap();
        Account { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    fn file(&self, name: &str, mode: u32, content: &[u8]) {
        let path = self.home().join(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, mode);
    }

    /// Installs a queue program that ends like this.
    fn queue(&self, exit: i64, stderr: &str) {
        let dir = self.scratch.path().display();
        let take = "cat > queued_message; cat <&1 > queued_envelope; echo $$ >> queued";
        let end = format!("printf '%s' '{stderr}' >&6; exit {exit}");
        script(&self.path("queue"), &format!("cd {dir}; {take}; {end}"));
    }

    fn arguments(&self, args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| self.here(arg)).collect()
    }

    fn here(&self, text: &str) -> String {
        text.replace("@HOME@", self.home().to_str().unwrap())
    }

    fn qmail_local(&self, args: &[String], message: &str) -> Run {
        let mut command = wrapped("exec \"$@\"", [self.path("qmail-local")], args);
        command.env("QMAILQUEUE", self.path("queue"));
        run_with_stdin(command, message)
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn octal(mode: &Value) -> u32 {
    u32::from_str_radix(mode.as_str().unwrap().trim_start_matches("0o"), 8).unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    match (&value["text"], &value["hex"]) {
        (Value::String(text), _) => text.clone().into_bytes(),
        (_, Value::String(hex)) => data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap(),
        _ => panic!("{value} is neither text nor hex"),
    }
}

/// Runs one case. The error is the first difference.
fn compare(case: &Value) -> Result<(), String> {
    let account = Account::new();
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    for dir in strings(&case["dirs"]) {
        fs::create_dir_all(account.home().join(dir)).unwrap();
    }
    let mut before = BTreeMap::new();
    for (name, file) in case["files"].as_object().unwrap() {
        account.file(name, octal(&file["mode"]), &bytes(file));
        before.insert(name.clone(), (octal(&file["mode"]), bytes(file)));
    }
    set_mode(&account.home(), octal(&case["home_mode"]));
    let exit = case["queue_exit"].as_i64().unwrap_or(0);
    account.queue(exit, case["queue_fd6"].as_str().unwrap_or_default());
    let args: Vec<String> = strings(&case["argv"]).iter().map(|arg| account.here(arg)).collect();
    let message = String::from_utf8(bytes(&case["message"]));
    let run = match message {
        Ok(message) => account.qmail_local(&args, &message),
        Err(_) => return Err("the message is no text".into()),
    };

    same_text(
        "exit code",
        &format!("{:?}", run.code),
        &format!("{:?}", case["rc"].as_i64().map(|n| n as i32)),
    )?;
    let queued = fs::read_to_string(account.path("queued")).unwrap_or_default();
    let want = |key: &str| account.here(&String::from_utf8_lossy(&bytes(&case[key])));
    same_text(
        "stdout",
        &without_process(&run.text(), &queued)?,
        &without_process_of_record(&want("stdout")),
    )?;
    same_text("stderr", &run.stderr, &want("stderr"))?;

    let runs = case["queue_runs"].as_u64().unwrap_or(0);
    same_text("runs of the queue program", &queued.lines().count().to_string(), &runs.to_string())?;
    if runs > 0 {
        let got = String::from_utf8_lossy(&fs::read(account.path("queued_message")).unwrap()).into_owned();
        same_text("queued message", &got, &want("queued_message"))?;
        let envelope = fs::read_to_string(account.path("queued_envelope")).unwrap();
        same_text("envelope", &envelope, &strings(&case["queued_envelope"]).join("\0"))?;
    }

    let mut after = Vec::new();
    for name in files_in(&account.home()) {
        let path = account.home().join(&name);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        let content = fs::read(&path).unwrap();
        // The record omits files that did not change.
        if before.get(&name) != Some(&(mode, content.clone())) {
            after.push((anonymous(&name), mode, frozen(&String::from_utf8_lossy(&content))));
        }
    }
    let mut want = Vec::new();
    for (name, file) in case["tree_after"].as_object().unwrap() {
        let text = account.here(&String::from_utf8_lossy(&bytes(file)));
        want.push((anonymous(name), octal(&file["mode"]), text));
    }
    after.sort();
    want.sort();
    same_text("files", &format!("{after:#?}"), &format!("{want:#?}"))
}

pub(crate) fn same_text(what: &str, got: &str, want: &str) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: got {got:?}, not {want:?}")) }
}

/// Removes `qp N`, where N must be the process of the queue program.
fn without_process(stdout: &str, queued: &str) -> Result<String, String> {
    let Some((did, qp)) = stdout.split_once("\nqp ") else { return Ok(stdout.into()) };
    same_text("qp", qp, queued)?;
    Ok(format!("{did}\nqp N\n"))
}

fn without_process_of_record(stdout: &str) -> String {
    stdout.split_once("\nqp ").map_or(stdout.into(), |(did, _)| format!("{did}\nqp N\n"))
}

fn files_in(root: &Path) -> Vec<String> {
    paths(root).into_iter().filter(|name| root.join(name).is_file()).collect()
}

/// Replaces the unpredictable file names of a Maildir.
fn anonymous(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((dir, _)) if dir.ends_with("/new") => format!("{dir}/*"),
        _ => name.into(),
    }
}

/// Replaces the dates of this run, in the form of qmail's From_ lines, by the date of the record.
fn frozen(text: &str) -> String {
    let now = jiff::Timestamp::now();
    let is_now = |date: &str| {
        let form = "%a %b %d %H:%M:%S %Y";
        let Ok(time) = jiff::civil::DateTime::strptime(form, date) else { return false };
        let time = time.to_zoned_datetime(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        // Zero-padded in the writing form, not only readable.
        time.strftime(form).to_string() == date && (now.as_second() - time.as_second()).abs() < 3600
    };
    let mut out = text.to_owned();
    for at in 0..text.len() {
        if let Some(date) = text.get(at..at + FROZEN.len())
            && is_now(date)
        {
            out.replace_range(at..at + FROZEN.len(), FROZEN);
        }
    }
    out
}
