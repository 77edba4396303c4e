//! The content of a dot-lock: the process that holds it, and whether that process is gone.
//!
//! `PID HOST mailferry pidns:INODE started:TICKS`. The kernel gives the number of a process to another one later, so only
//! the time at which it started tells them apart. Earlier versions wrote neither of the last two words.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::mailbox::context::LockOptions;

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

/// Returns the PID namespace as a word of the signature; `None` if the kernel does not tell.
pub(super) fn pid_namespace() -> Option<String> {
    // A file of the kernel, not the environment: `pid:[4026531836]`.
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let inode = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.to_owned();
    Some(format!("pidns:{inode}"))
}

/// Returns the time at which a process started, in clock ticks since the system did: proc_pid_stat(5), field 22. `None`
/// if there is no such process, or the kernel does not tell.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, which may have any bytes.
    let (_, fields) = stat.split_at(memchr::memrchr(b')', &stat)? + 1);
    let ticks = fields.split(|&b| b == b' ').nth(20)?;
    std::str::from_utf8(ticks).ok()?.parse().ok()
}

/// The signature from the host to the namespace.
fn end_of_signature(wanted: &LockOptions, namespace: Option<&str>) -> String {
    let namespace = namespace.map_or(String::new(), |namespace| format!(" {namespace}"));
    format!(" {} mailferry{namespace}", wanted.host)
}
