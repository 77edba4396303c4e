//! A program that a `.qmail` file names: qmail-command(8).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::environment::Variables;
use crate::transport::failure::FailureReason;
use crate::transport::process;
use crate::transport::process::{End, Limits, Running};

/// As much of its output as is kept, in bytes.
const KEPT: usize = 1000;

/// What becomes of what a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// It goes where ours goes.
    Inherit,
    /// Its beginning is kept, to be told if the program fails; the rest is dropped.
    Capture,
}

/// What a program said by the way it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramOutcome {
    /// It did what it should: 0.
    Success,
    /// The same, and nothing more is to be done: 99.
    SuccessAndStop,
    /// This message shall not come again: 100, and the permanent ones of sysexits(3) and qmail-command(8).
    Refused(i32),
    /// Anything else; 111 is qmail's for it, 75 that of sysexits(3).
    TemporaryFailure(i32),
    /// A signal that was not ours.
    Crashed(i32),
    /// It took too long and was killed.
    TimeLimit,
    /// We were to end, and ended it.
    Interrupted,
}

impl ProgramOutcome {
    fn of(end: End) -> ProgramOutcome {
        match end {
            End::Exit(0) => ProgramOutcome::Success,
            End::Exit(99) => ProgramOutcome::SuccessAndStop,
            End::Exit(code @ (64 | 65 | 70 | 76 | 77 | 78 | 100 | 112)) => ProgramOutcome::Refused(code),
            End::Exit(code) => ProgramOutcome::TemporaryFailure(code),
            End::Signal(signal) => ProgramOutcome::Crashed(signal),
            End::TimeLimit => ProgramOutcome::TimeLimit,
            End::Interrupted => ProgramOutcome::Interrupted,
        }
    }

    /// What it means for the message.
    pub fn reason(self) -> FailureReason {
        match self {
            ProgramOutcome::Refused(_) => FailureReason::Refused,
            ProgramOutcome::Interrupted => FailureReason::Interrupted,
            _ => FailureReason::TryAgain,
        }
    }

    /// For a person.
    pub fn message(self) -> String {
        match self {
            ProgramOutcome::Success | ProgramOutcome::SuccessAndStop => "the program is done".into(),
            ProgramOutcome::Refused(code) => format!("the program refused the message (exit {code})"),
            ProgramOutcome::TemporaryFailure(code) => format!("the program failed (exit {code})"),
            ProgramOutcome::Crashed(signal) => format!("the program was ended by signal {signal}"),
            ProgramOutcome::TimeLimit => "the program took too long and was killed".into(),
            ProgramOutcome::Interrupted => "interrupted while the program ran; it was killed".into(),
        }
    }
}

/// Runs `command` by /bin/sh in `home`, with the message on its standard input. What it wrote comes back too,
/// if it is kept.
pub fn run(
    command: &[u8],
    home: &Path,
    variables: &Variables,
    message: File,
    output: OutputMode,
    limits: Limits<'_>,
) -> io::Result<(ProgramOutcome, Vec<u8>)> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(OsStr::from_bytes(command)).current_dir(home).stdin(message);
    variables.apply_to(&mut shell);
    let mut heard = Heard { pipe: None, kept: Vec::new() };
    if output == OutputMode::Capture {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        heard.pipe = Some(reader);
        shell.stdout(writer.try_clone()?).stderr(writer);
    }
    let running = Running::start(&mut shell)?;
    // It holds ends of the pipe that are to be the program's only.
    drop(shell);
    let end = running.attend(limits, |time| heard.listen(time))?;
    Ok((ProgramOutcome::of(end), heard.kept))
}

/// What a program has written so far.
struct Heard {
    pipe: Option<PipeReader>,
    kept: Vec<u8>,
}

impl Heard {
    /// Waits for output and takes it: a program must never wait for us.
    fn listen(&mut self, time: Duration) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return process::idle(time) };
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
        match rustix::event::poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&time)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut buffer = [0; 1 << 16];
        match pipe.read(&mut buffer) {
            // It has closed its output, and may live on.
            Ok(0) => self.pipe = None,
            Ok(n) => self.kept.extend_from_slice(&buffer[..n.min(KEPT - self.kept.len())]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_mean_what_they_mean_to_qmail_local() {
        for code in [64, 65, 70, 76, 77, 78, 100, 112] {
            assert_eq!(ProgramOutcome::of(End::Exit(code)).reason(), FailureReason::Refused, "{code}");
        }
        for code in [1, 2, 63, 66, 67, 68, 69, 71, 72, 73, 74, 75, 79, 98, 101, 111, 113, 126, 127, 200, 255]
        {
            assert_eq!(ProgramOutcome::of(End::Exit(code)), ProgramOutcome::TemporaryFailure(code));
        }
        assert_eq!(ProgramOutcome::of(End::Exit(0)), ProgramOutcome::Success);
        assert_eq!(ProgramOutcome::of(End::Exit(99)), ProgramOutcome::SuccessAndStop);
        assert!(ProgramOutcome::of(End::Signal(11)).reason().is_temporary());
    }
}
