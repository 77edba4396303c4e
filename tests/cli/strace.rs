//! System calls in a log of strace, and the faults that it injects.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::support::*;

/// A mailferry that stopped right after a system call. Tests use this instead of delays.
pub(crate) struct Stopped {
    strace: Child,
    process: Pid,
}

impl Stopped {
    /// Runs mailferry until `fault` stops it. The fault is a call and its conditions as for strace's inject=,
    /// such as `fsync:when=1`. With a path only calls that work on it count.
    #[track_caller]
    pub(crate) fn after<S: AsRef<OsStr>>(
        fault: &str,
        path: Option<&Path>,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Stopped {
        Stopped::after_in(&[], fault, path, args, input)
    }

    /// Does the same with variables in the environment.
    #[track_caller]
    pub(crate) fn after_in<S: AsRef<OsStr>>(
        environment: &[(&str, PathBuf)],
        fault: &str,
        path: Option<&Path>,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Stopped {
        let scratch = scratch();
        let log = scratch.path().join("log");
        let inject = format!("inject={fault}:signal=STOP");
        let only = path.map(|path| ["-P", path.to_str().unwrap()]);
        let strace = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &inject];
        let strace = strace.into_iter().chain(only.into_iter().flatten()).chain([BINARY]);
        let mut command = wrapped("exec \"$@\"", strace, args);
        command.envs(environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut strace = command.spawn().unwrap();
        strace.stdin.take().unwrap().write_all(input).unwrap();
        let process = || {
            let log = fs::read_to_string(&log).ok()?;
            let line = log.lines().find(|line| line.ends_with("--- stopped by SIGSTOP ---"))?;
            process_of(line.split(' ').next()?)
        };
        wait_for("it to stop", || process().is_some() || strace.try_wait().unwrap().is_some());
        let process = process().unwrap_or_else(|| panic!("it never came to {fault}"));
        Stopped { strace, process }
    }

    /// Lets it run to its end. strace counts the calls of each thread, so another thread may stop it again.
    pub(crate) fn resume(self) -> Run {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let _ = rustix::process::kill_process(self.process, Signal::CONT);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let output = self.strace.wait_with_output().unwrap();
            ended.store(true, Ordering::Relaxed);
            Run::of(output)
        })
    }
}

/// Returns the process of a thread: only a process can be sent signals.
fn process_of(thread: &str) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    Pid::from_raw(id.trim().parse().ok()?)
}

/// Replaces the destination's directory, which is different in each run.
pub(crate) const ANYWHERE: &str = "/DEST";

/// A system call of the log, and its operands.
#[derive(Debug)]
pub(crate) struct Call {
    pub thread: String,
    pub name: String,
    /// The paths of its descriptors, and the names in its arguments.
    pub operands: Vec<String>,
    pub takes_space: bool,
    /// A check by the standard library in a debug build.
    pub is_check: bool,
    /// It only looks a name up, reads who holds a lock, or creates a file without a name: the program continues without
    /// it.
    pub is_attempt: bool,
}

/// The n-th call of a name on an operand. strace counts per thread: another thread may reach the same number
/// on the same file, which is also a fault at the destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub call: String,
    pub operand: String,
    pub nth: usize,
    pub is_attempt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One call, with this error.
    Error(&'static str),
    /// A disk that is full from this call on.
    Full,
    Kill,
}

pub(crate) const FAULTS: [Fault; 5] =
    [Fault::Error("ENOSPC"), Fault::Error("EIO"), Fault::Error("EDQUOT"), Fault::Error("EINTR"), Fault::Kill];

impl Fault {
    /// Returns strace's option for the fault at the n-th call of a name.
    pub(crate) fn injected(self, call: &str, nth: usize) -> String {
        let fault = match self {
            Fault::Error(error) => format!("error={error}:when={nth}"),
            Fault::Full => format!("error=ENOSPC:when={nth}+"),
            Fault::Kill => format!("signal=KILL:when={nth}"),
        };
        format!("inject={call}:{fault}")
    }
}

impl Call {
    /// Parses `THREAD NAME(ARGUMENTS) = RESULT`. The resumed part of an interrupted call is not a call.
    pub(crate) fn parse(line: &str, destination: &Path) -> Option<Call> {
        let (thread, call) = line.split_once(' ')?;
        let (name, rest) = call.trim_start().split_once('(')?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let arguments = rest.rsplit_once(") = ").map_or(rest, |(arguments, _)| arguments);
        let arguments = arguments.trim_end_matches("<unfinished ...>");
        let is_check = arguments.contains("F_GETFD");
        if !is_name {
            return None;
        }
        let has_data = name.contains("read") || name.contains("write");
        let anywhere = |operand: String| operand.replace(destination.to_str().unwrap(), ANYWHERE);
        let operands = strings(arguments, !has_data).into_iter().map(anywhere).collect();
        let takes_space = arguments.contains("O_CREAT") || ["mkdirat", "write", "writev"].contains(&name);
        let reads_lock = name == "openat" && arguments.contains(".lock\"") && !arguments.contains("O_CREAT");
        let is_attempt = reads_lock || ["O_TMPFILE", "O_PATH"].iter().any(|flag| arguments.contains(flag));
        Some(Call { thread: thread.into(), name: name.into(), operands, takes_space, is_check, is_attempt })
    }

    /// Tells whether it works on a path at or below the destination.
    pub(crate) fn is_at_destination(&self) -> bool {
        self.name != "execve" && self.operands.iter().any(|operand| is_at_destination(operand))
    }

    /// Returns the operand that identifies the call: a name if it has one, because many calls share a
    /// directory.
    pub(crate) fn operand(&self) -> &str {
        let is_name = |operand: &&String| !operand.starts_with('/') && *operand != ".";
        let name = self.operands.iter().find(is_name);
        name.or_else(|| self.operands.iter().find(|o| is_at_destination(o))).unwrap()
    }
}

/// Returns all points of a run, each once.
pub(crate) fn points(calls: &[Call]) -> Vec<Point> {
    let points = (0..calls.len()).map(|n| point(calls, n));
    // The number of early flushes depends on time.
    let points = points.filter(|point| point.call != "syncfs" || point.nth == 1);
    points.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the name and operand of the n-th call, and its number among those of its thread, as strace counts.
pub(crate) fn point(calls: &[Call], n: usize) -> Point {
    let (call, operand) = (&calls[n], calls[n].operand());
    let alike = |other: &&Call| {
        (&other.thread, &other.name) == (&call.thread, &call.name)
            && other.operands.iter().any(|o| o == operand)
    };
    let nth = calls[..=n].iter().filter(alike).count();
    Point { call: call.name.clone(), operand: operand.into(), nth, is_attempt: call.is_attempt }
}

/// A file without a name is logged by its inode number, which changes, so it cannot be a target.
fn is_at_destination(operand: &str) -> bool {
    operand.starts_with(ANYWHERE) && !operand.contains("/#")
}

/// Returns the paths in angle brackets, and optionally the names in quotes.
fn strings(arguments: &str, names: bool) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = arguments;
    while let Some(at) = rest.find(['<', '"']) {
        let (end, wanted) = if rest.as_bytes()[at] == b'<' { ('>', true) } else { ('"', names) };
        let Some((string, after)) = rest[at + 1..].split_once(end) else { break };
        if wanted && !string.is_empty() {
            strings.push(string.to_owned());
        }
        rest = after;
    }
    strings
}
