//! The content of a dot-lock: the process that holds it, and whether that process is gone.
//!
//! `PID HOST mailferry pidns:INODE started:TICKS`. The kernel gives the number of a process to another one later, so only
//! the time at which it started tells them apart. Earlier versions wrote neither of the last two words.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::mailbox::context::LockOptions;
use crate::mailbox::fs::system::{pid_namespace, start_time};

/// Returns the signature of this process.
pub(super) fn sign(wanted: &LockOptions) -> String {
    let started = start_time(wanted.pid).map_or(String::new(), |ticks| format!(" started:{ticks}"));
    format!("{}{}{started}\n", wanted.pid, end_of_signature(wanted, pid_namespace().as_deref()))
}

/// Reports whether this is the signature of a mailferry on this host whose process is gone. `is_held` tells whether this
/// process holds the lock. Earlier versions wrote no namespace: their processes are looked up in this one.
pub(super) fn is_stale(signature: &[u8], wanted: &LockOptions, is_held: impl FnOnce() -> bool) -> bool {
    let Ok(text) = std::str::from_utf8(signature) else { return false };
    let text = text.trim_end_matches('\n');
    let (text, started) = match text.rsplit_once(" started:") {
        Some((text, ticks)) => (text, Some(ticks)),
        None => (text, None),
    };
    let (pid, end) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    // Not divided at blanks: the name of a host may have some.
    let is_ours = |namespace| end_of_signature(wanted, namespace).trim_end_matches('\n') == end;
    let our_namespace = pid_namespace();
    let has_namespace = our_namespace.is_some() && is_ours(our_namespace.as_deref());
    if !has_namespace && !is_ours(None) {
        return false;
    }
    // Pid::from_raw panics at a negative number, which kill(2) would take as a process group.
    let Some(number) = pid.parse().ok().filter(|pid: &i32| *pid > 0) else { return false };
    if number.unsigned_abs() == wanted.pid && (has_namespace || our_namespace.is_none()) {
        return !is_held();
    }
    let is_gone = Pid::from_raw(number).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
    let is_another = || {
        let now = start_time(number.unsigned_abs());
        has_namespace && started.zip(now).is_some_and(|(then, now)| then.parse() != Ok(now))
    };
    is_gone || is_another()
}

/// The signature from the host to the namespace.
fn end_of_signature(wanted: &LockOptions, namespace: Option<&str>) -> String {
    let namespace = namespace.map_or(String::new(), |namespace| format!(" {namespace}"));
    format!(" {} mailferry{namespace}", wanted.host)
}
