//! Child processes: each in a session of its own, with a time limit.
//!
//! A session of its own keeps a user's program away from root's terminal, and makes a process group that is
//! killed as one. A program gets no descriptors but those it is given.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::ChildPipes;
use crate::mailbox::Cancel;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Time that a cancelled mailferry has before SIGTERM. systemd and a terminal signal it together with its parent,
/// and a second signal would end it without cleanup.
const CLEANUP_BEFORE_TERM: Duration = Duration::from_secs(2);
/// Time that a mailferry has after SIGTERM: it gives its own programs [`GRACE`].
const CLEANUP_AFTER_TERM: Duration = Duration::from_secs(10);

/// End of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    /// Exit code.
    Exit(i32),
    /// Signal that mailferry did not send, which ended the process or, with [`Shutdown::AwaitCleanup`], stopped it.
    Signal(i32),
    /// Killed at its time limit.
    TimeLimit,
    /// Killed because the operation was cancelled.
    Interrupted,
}

/// Limits of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessLimits<'a> {
    /// Time from its start.
    pub time: Duration,
    /// Cancellation of the operation that runs it.
    pub cancel: &'a Cancel,
}

/// Way to end a process early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// SIGTERM to the process group at once, SIGKILL two seconds later.
    Terminate,
    /// For another mailferry, whose exit code still counts: when cancelled it has 12 seconds to clean up. It gets
    /// SIGKILL at the time limit, and as soon as a program of its user has stopped it.
    AwaitCleanup,
}

/// A running child process. Dropped before its end, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Pid,
    shutdown: Shutdown,
    started: Instant,
    cancelled: Option<Instant>,
    term_sent: bool,
    reaped: bool,
}

impl Process {
    /// Starts `command` and closes its ends of the pipes here.
    pub(crate) fn start(mut command: Command, shutdown: Shutdown) -> io::Result<Process> {
        close_descriptors_on_exec();
        detach(&mut command);
        let child = command.spawn()?;
        let (group, started) = (Pid::from_child(&child), Instant::now());
        Ok(Process { child, group, shutdown, started, cancelled: None, term_sent: false, reaped: false })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Serves the pipes until the process ends. An error of a pipe kills it.
    ///
    /// Polls, because only a signal could interrupt waitpid(2) in time. Background processes of a program that
    /// ends by itself are left alone.
    pub(crate) fn wait(
        mut self,
        limits: ProcessLimits<'_>,
        pipes: &mut ChildPipes,
    ) -> io::Result<ProcessEnd> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.reaped = true;
                pipes.serve(Duration::ZERO)?;
                return Ok(ProcessEnd::from(status));
            }
            // Dropping kills it.
            if let Some(signal) = self.stopping_signal() {
                return Ok(ProcessEnd::Signal(signal));
            }
            if limits.cancel.is_requested()
                && let Some(end) = self.cancel()
            {
                return Ok(end);
            }
            let left = limits.time.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return Ok(ProcessEnd::TimeLimit);
            }
            let was_busy = pipes.serve(pause.min(left))?;
            pause = if was_busy { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        }
    }

    /// Takes note of a cancellation. Returns the end of a process that has to be killed now.
    fn cancel(&mut self) -> Option<ProcessEnd> {
        if self.shutdown == Shutdown::Terminate {
            return Some(ProcessEnd::Interrupted);
        }
        let elapsed = self.cancelled.get_or_insert_with(Instant::now).elapsed();
        if elapsed > CLEANUP_BEFORE_TERM && !self.term_sent {
            // Only to mailferry itself, which ends its own programs.
            let _ = rustix::process::kill_process(self.group, Signal::TERM);
            self.term_sent = true;
        }
        (elapsed > CLEANUP_BEFORE_TERM + CLEANUP_AFTER_TERM).then_some(ProcessEnd::TimeLimit)
    }

    /// Returns the signal that has stopped a mailferry. A user may debug a program of his own: it has its time limit.
    fn stopping_signal(&self) -> Option<i32> {
        if self.shutdown == Shutdown::Terminate {
            return None;
        }
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(self.group), options).ok()??.stopping_signal()
    }

    fn kill(&mut self) {
        if self.shutdown == Shutdown::Terminate {
            self.signal(Signal::TERM);
            let asked = Instant::now();
            while asked.elapsed() < GRACE && !self.has_ended() {
                std::thread::sleep(FIRST_PAUSE);
            }
        }
        // The leader is not reaped yet, so that its process group's number is still its own.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        self.reaped = true;
    }

    fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.group, signal);
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(self.group), options), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
        }
    }
}

impl From<ExitStatus> for ProcessEnd {
    fn from(status: ExitStatus) -> ProcessEnd {
        // A process has one or the other.
        match status.code() {
            Some(code) => ProcessEnd::Exit(code),
            None => ProcessEnd::Signal(status.signal().unwrap_or_default()),
        }
    }
}

/// Closes on exec what this process has inherited: an MTA or a shell may have left files of others open. What mailferry
/// opens is closed anyway.
fn close_descriptors_on_exec() {
    const FIRST: libc::c_int = 3;
    #[cfg(target_os = "linux")]
    // SAFETY: a system call without pointers.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
        return;
    }
    // Before Linux 5.11, and elsewhere. A system without a limit on descriptors has few of them in use.
    // SAFETY: sysconf and fcntl have no pointers here; a number that is not open gives an error.
    unsafe {
        let end = libc::sysconf(libc::_SC_OPEN_MAX).clamp(0, 1 << 16) as libc::c_int;
        for fd in FIRST..end {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// Gives the child its own session. On Linux SIGTERM ends the child when mailferry is killed; what the child
/// started is not reached.
fn detach(command: &mut Command) {
    #[cfg(target_os = "linux")]
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec, and makes system calls only.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            #[cfg(target_os = "linux")]
            {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                // The parent may have ended before: then no signal comes any more.
                if rustix::process::getppid() != Some(parent) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn end(script: &str, time: Duration, cancel: &Cancel) -> ProcessEnd {
        let process = Process::start(shell(script), Shutdown::Terminate).unwrap();
        process.wait(ProcessLimits { time, cancel }, &mut ChildPipes::default()).unwrap()
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn the_end_of_a_process_is_reported() {
        assert_eq!(end("exit 7", LONG, Cancel::never()), ProcessEnd::Exit(7));
        assert_eq!(end("kill -9 $$", LONG, Cancel::never()), ProcessEnd::Signal(9));
        assert_eq!(end("sleep 600", Duration::from_millis(10), Cancel::never()), ProcessEnd::TimeLimit);
        assert_eq!(end("sleep 600", LONG, Cancel::requested()), ProcessEnd::Interrupted);
    }

    #[test]
    fn a_process_leads_a_session_of_its_own() {
        // Field 6 of stat is the session.
        let script = "read -r _ _ _ _ _ session _ < /proc/$$/stat; test $session = $$";
        assert_eq!(end(script, LONG, Cancel::never()), ProcessEnd::Exit(0));
    }

    #[test]
    fn a_process_gets_no_other_descriptors() {
        // dup(2) leaves close-on-exec unset.
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: a system call without pointers.
        let inherited = unsafe { libc::dup(std::os::fd::AsRawFd::as_raw_fd(&file)) };
        let script = format!("! test -e /proc/$$/fd/{inherited}");
        assert_eq!(end(&script, LONG, Cancel::never()), ProcessEnd::Exit(0));
        // SAFETY: as above.
        unsafe { libc::close(inherited) };
    }

    #[test]
    fn a_stopped_mailferry_is_killed_at_once() {
        for (shutdown, time, want) in [
            (Shutdown::AwaitCleanup, LONG, ProcessEnd::Signal(libc::SIGSTOP)),
            (Shutdown::Terminate, Duration::from_millis(10), ProcessEnd::TimeLimit),
        ] {
            let process = Process::start(shell("kill -STOP $$"), shutdown).unwrap();
            let limits = ProcessLimits { time, cancel: Cancel::never() };
            assert_eq!(process.wait(limits, &mut ChildPipes::default()).unwrap(), want);
        }
    }

    #[test]
    fn the_children_of_a_killed_process_are_killed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("pid");
        // The child ignores SIGTERM.
        let script = format!(
            "sh -c 'trap \"\" TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 1; done' & wait",
            path.display()
        );
        let process = Process::start(shell(&script), Shutdown::Terminate).unwrap();
        while !path.exists() {
            std::thread::sleep(FIRST_PAUSE);
        }
        drop(process);
        let pid = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        // It is a zombie until init reaps it.
        let is_gone = || {
            rustix::process::test_kill_process(pid).is_err()
                || std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
                    .map_or(true, |stat| stat.contains(") Z "))
        };
        while !is_gone() {
            std::thread::sleep(FIRST_PAUSE);
        }
    }
}
