//! A program that a `.qmail` file names: qmail-command(8).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::environment::Variables;
use super::own_programs::ProvidedPrograms;
use crate::transport::{ChildPipes, FailureReason, OutputPipe, Process, ProcessEnd, ProcessLimits, Shutdown};

/// Bytes of a program's output that are reported when it fails.
const OUTPUT_CAPTURED: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputMode {
    /// Leaves the program the standard output and error of this process.
    Inherit,
    /// Keeps the start of both for the report of a failure.
    Capture,
}

/// The meaning of a program's end to qmail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramOutcome {
    /// Exit code 0.
    Success,
    /// Exit code 99: later instructions are skipped.
    SuccessAndStop,
    /// 100, and the permanent codes of sysexits(3) and qmail-command(8): the message must not come again.
    Refused(i32),
    /// Any other code. qmail uses 111, sysexits(3) 75.
    TemporaryFailure(i32),
    /// A signal that mailferry did not send.
    Crashed(i32),
    TimeLimit,
    Interrupted,
}

impl From<ProcessEnd> for ProgramOutcome {
    fn from(end: ProcessEnd) -> ProgramOutcome {
        match end {
            ProcessEnd::Exit(0) => ProgramOutcome::Success,
            ProcessEnd::Exit(99) => ProgramOutcome::SuccessAndStop,
            ProcessEnd::Exit(code @ (64 | 65 | 70 | 76 | 77 | 78 | 100 | 112)) => {
                ProgramOutcome::Refused(code)
            }
            ProcessEnd::Exit(code) => ProgramOutcome::TemporaryFailure(code),
            ProcessEnd::Signal(signal) => ProgramOutcome::Crashed(signal),
            ProcessEnd::TimeLimit => ProgramOutcome::TimeLimit,
            ProcessEnd::Interrupted => ProgramOutcome::Interrupted,
        }
    }
}

impl ProgramOutcome {
    pub(crate) fn reason(self) -> FailureReason {
        match self {
            ProgramOutcome::Refused(_) => FailureReason::Refused,
            ProgramOutcome::Interrupted => FailureReason::Interrupted,
            _ => FailureReason::TryAgain,
        }
    }

    pub(crate) fn message(self) -> String {
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

/// A command line for /bin/sh, and its surroundings.
pub(crate) struct Program<'a> {
    pub command: &'a [u8],
    pub home: &'a Path,
    pub variables: &'a Variables,
    /// mailferry's programs that the command may run.
    pub provided: Option<&'a ProvidedPrograms>,
    pub output: OutputMode,
}

impl Program<'_> {
    /// Runs it with the message on standard input. Returns the captured output, too.
    pub(crate) fn run(
        &self,
        message: File,
        limits: ProcessLimits<'_>,
    ) -> io::Result<(ProgramOutcome, Vec<u8>)> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(OsStr::from_bytes(self.command)).current_dir(self.home).stdin(message);
        self.variables.apply_to(&mut shell);
        if let Some(provided) = self.provided {
            provided.apply_to(&mut shell);
        }
        let mut pipes = ChildPipes::default();
        if self.output == OutputMode::Capture {
            let (output, writer) = OutputPipe::new(OUTPUT_CAPTURED)?;
            shell.stdout(writer.try_clone()?).stderr(writer);
            pipes.outputs.push(output);
        }
        let end = Process::start(shell, Shutdown::Terminate)?.wait(limits, &mut pipes)?;
        let captured = pipes.outputs.pop().map(OutputPipe::into_captured).unwrap_or_default();
        Ok((end.into(), captured))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_mean_what_they_mean_to_qmail_local() {
        let outcome = |code| ProgramOutcome::from(ProcessEnd::Exit(code));
        for code in [64, 65, 70, 76, 77, 78, 100, 112] {
            assert_eq!(outcome(code).reason(), FailureReason::Refused, "{code}");
        }
        for code in [1, 2, 63, 66, 67, 68, 69, 71, 72, 73, 74, 75, 79, 98, 101, 111, 113, 126, 127, 200, 255]
        {
            assert_eq!(outcome(code), ProgramOutcome::TemporaryFailure(code));
        }
        assert_eq!(outcome(0), ProgramOutcome::Success);
        assert_eq!(outcome(99), ProgramOutcome::SuccessAndStop);
        assert!(ProgramOutcome::from(ProcessEnd::Signal(11)).reason().is_temporary());
    }
}
