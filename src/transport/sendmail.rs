//! Programs with the interface of sendmail: `-i -f SENDER -- RECIPIENT...`, the message on standard input, and exit codes
//! of sysexits(3).
//!
//! Addresses are quoted like in a header, which Postfix, Exim and sendmail expect.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{
    ChildPipes, Envelope, InputPipe, PipeSource, Process, ProcessEnd, ProcessLimits, Refusal, Shutdown,
};
use crate::mailbox::display_path;
use crate::transport::capture::capture_stderr;
use crate::transport::envelope::quote;

/// The size of the arguments of one process, in bytes: a quarter of the limit that every Linux has.
const MAX_ARGUMENTS: usize = 1 << 19;

/// Divides the recipients among processes.
pub(crate) fn batches(mut recipients: &[Vec<u8>]) -> impl Iterator<Item = &[Vec<u8>]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |recipient: &&Vec<u8>| {
            // Each argument has a terminating NUL and a pointer.
            bytes += recipient.len() + 9;
            bytes <= MAX_ARGUMENTS
        };
        let count = recipients.iter().take_while(fits).count().max(1).min(recipients.len());
        let (part, rest) = recipients.split_at(count);
        recipients = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// Passes a message to the program, from the current position of the file on. It is accepted for all recipients only if
/// the program exits with 0 and has read the whole message.
///
/// # Errors
/// Exit codes that are not in sysexits(3) are temporary. If the program was killed, the refusal is
/// [`OutcomeKind::Unsure`](super::outcome::OutcomeKind::Unsure) if it had read everything by then.
pub(crate) fn send(
    program: &Path,
    message: File,
    envelope: &Envelope,
    limits: ProcessLimits<'_>,
) -> Result<(), Refusal> {
    capture_stderr(|stderr| {
        let named = |text: String| format!("{}: {text}", display_path(program));
        let temporary = |text: String| Err(Refusal::temporary(named(text)));
        let mut command = Command::new(program);
        let quoted = |address: &Vec<u8>| OsString::from_vec(quote(address));
        command.args(["-i", "-f"]).arg(quoted(&envelope.sender)).arg("--");
        command.args(envelope.recipients.iter().map(quoted));
        let started = InputPipe::new(PipeSource::File(message)).and_then(|message| {
            command.stdin(message.for_child()?).stdout(Stdio::null()).stderr(stderr);
            let process = Process::start(command, Shutdown::Terminate)?;
            Ok((process, ChildPipes { inputs: vec![message], ..ChildPipes::default() }))
        });
        let (process, mut pipes) = match started {
            Ok(started) => started,
            Err(e) => return temporary(format!("cannot be run: {e} (#4.3.0)")),
        };
        let end = process.wait(limits, &mut pipes);
        let was_read = pipes.all_read();
        let ended_early = |text| Err(Refusal::for_early_exit(was_read, named(text)));
        match end {
            Ok(ProcessEnd::Exit(0)) if was_read => Ok(()),
            Ok(ProcessEnd::Exit(0)) => temporary("it did not read the whole message (#4.3.0)".into()),
            Ok(ProcessEnd::Exit(code @ (64..=70 | 76..=78 | 100))) => {
                Err(Refusal::permanent(named(format!("exit code {code} (#5.3.0)"))))
            }
            Ok(ProcessEnd::Exit(code)) => temporary(format!("exit code {code} (#4.3.0)")),
            Ok(ProcessEnd::Signal(signal)) => ended_early(format!("killed by signal {signal} (#4.3.0)")),
            Ok(ProcessEnd::TimeLimit) => ended_early("it took too long and was killed (#4.3.0)".into()),
            Ok(ProcessEnd::Interrupted) => ended_early("interrupted (#4.3.2)".into()),
            Err(e) => ended_early(format!("cannot be waited for: {e} (#4.3.0)")),
        }
    })
}
