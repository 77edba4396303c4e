//! Somebody else's program, in a process group of its own: it ends when its time is up, and what it started
//! ends with it as long as it stays in the group.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::mailbox::context::Cancel;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Exit(i32),
    /// By this signal, which was not ours.
    Signal(i32),
    /// Its time was up; it was killed, and its process group.
    TimeLimit,
    /// We were interrupted; it was killed, and its process group.
    Interrupted,
}

/// How long a program may run, and who may end it before.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// From its start.
    pub time: Duration,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

/// A program that runs. Dropped before its end it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Pid,
    started: Instant,
    reaped: bool,
}

impl Running {
    /// Starts it. Not by a shell of its own, and with what `command` says.
    pub fn start(command: &mut Command) -> io::Result<Running> {
        end_with_us(command);
        let child = command.process_group(0).spawn()?;
        Ok(Running { group: Pid::from_child(&child), child, started: Instant::now(), reaped: false })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end. Meanwhile `serve` is called again and again with the time it may wait for what
    /// there is to do; once more, with no time, behind the end. An error of `serve` kills the program.
    ///
    /// Polled and not waited for: only a signal could end that in time. What the program has left running
    /// in the background when it ends by itself is left alone.
    pub fn attend(
        mut self,
        limits: Limits<'_>,
        mut serve: impl FnMut(Duration) -> io::Result<()>,
    ) -> io::Result<End> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.reaped = true;
                serve(Duration::ZERO)?;
                // A program has one or the other.
                return Ok(match status.code() {
                    Some(code) => End::Exit(code),
                    None => End::Signal(status.signal().unwrap_or_default()),
                });
            }
            // Dropping kills it.
            if limits.cancel.is_requested() {
                return Ok(End::Interrupted);
            }
            let left = limits.time.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return Ok(End::TimeLimit);
            }
            serve(pause.min(left))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Ends the whole group: politely first, and what does not go then is killed.
    fn end(&mut self) {
        let _ = rustix::process::kill_process_group(self.group, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !self.has_ended() {
            std::thread::sleep(FIRST_PAUSE);
        }
        // The leader is not reaped yet: until then nobody else can have the number of its group.
        let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
        self.reaped = true;
    }

    fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(self.group), look), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.end();
        }
    }
}

/// Has the system end the program if we are killed: nobody else would know of it. What it has started itself is
/// not reached so.
#[cfg(target_os = "linux")]
fn end_with_us(command: &mut Command) {
    let us = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec, and makes two system calls.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            // We may have ended before that: then nothing is told any more.
            match rustix::process::getppid() == Some(us) {
                true => Ok(()),
                false => Err(io::ErrorKind::Interrupted.into()),
            }
        });
    }
}

/// Other systems have no such signal.
#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command) {}

/// For [`Running::attend`] where there is nothing to do.
pub fn idle(time: Duration) -> io::Result<()> {
    std::thread::sleep(time);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::transport::process::*;

    fn ends(script: &str, time: Duration, cancel: bool) -> End {
        let cancel = if cancel { Cancel::requested() } else { Cancel::never() };
        let running = Running::start(Command::new("/bin/sh").args(["-c", script])).unwrap();
        running.attend(Limits { time, cancel }, idle).unwrap()
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn it_is_told_how_a_program_ended() {
        assert_eq!(ends("exit 7", LONG, false), End::Exit(7));
        assert_eq!(ends("kill -9 $$", LONG, false), End::Signal(9));
        assert_eq!(ends("sleep 600", Duration::from_millis(10), false), End::TimeLimit);
        assert_eq!(ends("sleep 600", LONG, true), End::Interrupted);
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("pid");
        // The child ignores the polite signal.
        let script = format!(
            "sh -c 'trap \"\" TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 1; done' & wait",
            path.display()
        );
        let running = Running::start(Command::new("/bin/sh").args(["-c", &script])).unwrap();
        while !path.exists() {
            std::thread::sleep(FIRST_PAUSE);
        }
        drop(running);
        let pid = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        // It is a zombie until init has taken note of it.
        let gone = || {
            rustix::process::test_kill_process(pid).is_err()
                || std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
                    .map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone() {
            std::thread::sleep(FIRST_PAUSE);
        }
    }
}
