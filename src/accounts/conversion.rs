//! The conversion of one account: a process of its own, so that no account harms another.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::mailbox::fs::ignore_poison;

/// Errors of an account that are kept.
const MAX_ERRORS: usize = 10;
/// Characters of one of them.
const MAX_ERROR_CHARS: usize = 600;
/// Bytes of a line that are read at once.
const MAX_LINE: u64 = 1 << 20;
/// Bytes of standard error that are kept.
const MAX_STDERR: u64 = 1 << 14;

/// How to start a conversion.
#[derive(Debug)]
pub(crate) struct Conversion<'a> {
    pub(crate) program: &'a Path,
    pub(crate) words: &'a [OsString],
    /// Open as long as the process lives.
    pub(crate) claim: Option<File>,
}

/// What a conversion reported.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) exit: Option<u8>,
    pub(crate) signal: Option<i32>,
    /// By code.
    pub(crate) findings: BTreeMap<String, u64>,
    /// The first of them.
    pub(crate) errors: Vec<String>,
    /// There were errors, and none that comes again.
    pub(crate) retry: bool,
    pub(crate) summary: Option<Map<String, Value>>,
}

/// The processes that are running.
#[derive(Debug, Default)]
pub(crate) struct Processes(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    pids: Vec<Pid>,
    interrupted: bool,
}

impl Processes {
    /// Asks all conversions to stop, also those that start later.
    pub(crate) fn interrupt(&self) {
        let mut running = ignore_poison(self.0.lock());
        running.interrupted = true;
        running.pids.iter().for_each(|&pid| stop(pid));
    }

    /// Runs a conversion to its end.
    pub(crate) fn run(&self, conversion: Conversion<'_>) -> io::Result<Report> {
        let mut command = Command::new(conversion.program);
        // Its own process group: a signal from the terminal comes to it once, by `interrupt`.
        command.arg0("mailferry").args(conversion.words).process_group(0);
        command.stdin(conversion.claim.map_or_else(Stdio::null, Stdio::from));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = Pid::from_child(&child);
        self.add(pid);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let report = std::thread::scope(|scope| {
            let stderr = scope.spawn(|| stderr.map_or_else(String::new, read_stderr));
            let report = stdout.map_or_else(|| Ok(Report::default()), read_report);
            report.map(|report| (report, stderr.join().unwrap_or_default()))
        });
        // Until it is reaped its number is its own.
        let ended = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        self.remove(pid);
        let status = child.wait()?;
        ended?;
        let (mut report, stderr) = report?;
        report.exit = status.code().and_then(|code| u8::try_from(code).ok());
        report.signal = status.signal();
        if report.errors.is_empty() && !matches!(report.exit, Some(0 | 1)) {
            report.errors.extend(first_error(&stderr));
        }
        Ok(report)
    }

    fn add(&self, pid: Pid) {
        let mut running = ignore_poison(self.0.lock());
        running.pids.push(pid);
        if running.interrupted {
            stop(pid);
        }
    }

    fn remove(&self, pid: Pid) {
        ignore_poison(self.0.lock()).pids.retain(|one| *one != pid);
    }
}

fn stop(pid: Pid) {
    // A process that has ended needs no signal.
    let _ = rustix::process::kill_process(pid, Signal::TERM);
}

fn read_stderr(pipe: ChildStderr) -> String {
    let (mut kept, mut pipe) = (Vec::new(), pipe);
    // What cannot be read is not reported; the rest is read so that the process can go on.
    let _ = pipe.by_ref().take(MAX_STDERR).read_to_end(&mut kept);
    let _ = io::copy(&mut pipe, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// Returns what a process said that had no other report: a usage error, or a bug.
fn first_error(stderr: &str) -> Option<String> {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty());
    lines.next().map(|line| shortened(line.strip_prefix("mailferry: ").unwrap_or(line)))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A finding.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    hint: Option<Cow<'a, str>>,
    retry: Option<bool>,
}

/// Reads the lines of a report in JSON, and keeps what counts.
fn read_report(pipe: ChildStdout) -> io::Result<Report> {
    let (mut report, mut line) = (Report::default(), Vec::new());
    let (mut pipe, mut lasting) = (BufReader::new(pipe), 0);
    loop {
        line.clear();
        if (&mut pipe).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match serde_json::from_slice::<Line<'_>>(&line) {
            Ok(finding) => {
                lasting += u64::from(finding.retry == Some(false) && finding.severity == "error");
                report.add(&finding);
            }
            // The summary is the only other line.
            Err(_) => report.summary = serde_json::from_slice(&line).ok().or(report.summary),
        }
    }
    report.retry = !report.errors.is_empty() && lasting == 0;
    Ok(report)
}

impl Report {
    fn add(&mut self, finding: &Line<'_>) {
        match self.findings.get_mut(&*finding.code) {
            Some(count) => *count += 1,
            None => drop(self.findings.insert(finding.code.clone().into_owned(), 1)),
        }
        if finding.severity == "error" && self.errors.len() < MAX_ERRORS {
            let path = finding.path.as_deref().filter(|path| !finding.message.starts_with(path));
            let mut text = path.map_or_else(String::new, |path| format!("{path}: "));
            text.push_str(&finding.message);
            text.extend(finding.hint.as_deref().map(|hint| format!("; {hint}")));
            self.errors.push(shortened(&text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Report {
        let words = ["-c", script].map(OsString::from);
        let conversion = Conversion { program: Path::new("/bin/sh"), words: &words, claim: None };
        Processes::default().run(conversion).unwrap()
    }

    #[test]
    fn findings_are_counted_and_errors_are_kept() {
        let finding = |severity: &str, retry: bool| {
            format!(
                r#"{{"type":"finding","code":"locked","severity":"{severity}","path":"/m","message":"a \"b\"","retry":{retry}}}"#
            )
        };
        let script = |lines: &[String]| {
            format!("cat <<'E'\n{}\n{{\"type\":\"summary\",\"written\":3}}\nE\nexit 3", lines.join("\n"))
        };
        let report = run(&script(&[finding("warning", false), finding("error", true)]));
        assert_eq!((report.exit, report.signal, report.retry), (Some(3), None, true));
        assert_eq!(report.findings, BTreeMap::from([("locked".to_owned(), 2)]));
        assert_eq!(report.errors, ["/m: a \"b\""]);
        assert_eq!(report.summary.unwrap()["written"], 3);
        assert!(!run(&script(&[finding("error", true), finding("error", false)])).retry);
    }

    #[test]
    fn a_process_without_a_report_says_why_it_ended() {
        let report = run("echo 'mailferry: --owner: there is no such user' >&2; exit 2");
        assert_eq!(
            (report.exit, report.errors),
            (Some(2), vec!["--owner: there is no such user".to_owned()])
        );
        let report = run("kill -9 $$");
        assert_eq!((report.exit, report.signal), (None, Some(9)));
        // Neither pipe blocks the other.
        let report = run("yes | head -c 300000 >&2; yes | head -c 300000; exit 0");
        assert_eq!((report.exit, report.errors.len()), (Some(0), 0));
    }

    #[test]
    fn interrupting_stops_what_runs_and_what_starts_later() {
        let processes = Processes::default();
        processes.interrupt();
        let words = ["-c", "exec sleep 1000"].map(OsString::from);
        let conversion = Conversion { program: Path::new("/bin/sh"), words: &words, claim: None };
        assert_eq!(processes.run(conversion).unwrap().signal, Some(15));
    }
}
