//! A program with sendmail's interface: `-i -f SENDER -- RECIPIENT...`, the message on standard input, and exit
//! codes of sysexits(3). Addresses are quoted as in a header: Postfix, Exim and sendmail read them so.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::envelope::Envelope;
use super::outcome::{OutcomeKind, Refusal};
use crate::mailbox::text::display_path;
use crate::transport::capture::capture_stderr;
use crate::transport::child_pipes::{ChildPipes, InputPipe, PipeSource};
use crate::transport::envelope::quote;
use crate::transport::process::{Process, ProcessEnd, ProcessLimits, Shutdown};

/// As many bytes of arguments as go to one program: a quarter of what Linux takes for sure.
const ARGUMENTS: usize = 1 << 19;

/// The recipients in parts, each of which such a program can be given.
pub(crate) fn batches(mut recipients: &[Vec<u8>]) -> impl Iterator<Item = &[Vec<u8>]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |recipient: &&Vec<u8>| {
            // A pointer goes with each.
            bytes += recipient.len() + 9;
            bytes <= ARGUMENTS
        };
        let count = recipients.iter().take_while(fits).count().max(1).min(recipients.len());
        let (part, rest) = recipients.split_at(count);
        recipients = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// Hands a message to such a program, from where `message` stands to its end.
///
/// It is accepted only if the program exits with 0 and has read all of it.
///
/// # Errors
/// A [`Refusal`] of all recipients; codes that sysexits(3) does not know are temporary. One of a program that was
/// killed or ran out of time is [`Fate::Unsure`] if it had read all by then.
pub(crate) fn send(
    program: &Path,
    message: File,
    envelope: &Envelope,
    limits: ProcessLimits<'_>,
) -> Result<(), Refusal> {
    capture_stderr(|stderr| hand_over(program, message, envelope, limits, stderr))
}

fn hand_over(
    program: &Path,
    message: File,
    envelope: &Envelope,
    limits: ProcessLimits<'_>,
    stderr: Stdio,
) -> Result<(), Refusal> {
    let named = |text: String| format!("{}: {text}", display_path(program));
    let refuse = |kind, text: String| Err(Refusal { kind, text: named(text) });
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
        Err(e) => return refuse(OutcomeKind::Temporary, format!("cannot be run: {e} (#4.3.0)")),
    };
    let end = process.wait(limits, &mut pipes);
    let was_read = pipes.all_read();
    let ended_early = |text| Err(Refusal::for_early_exit(was_read, named(text)));
    match end {
        Ok(ProcessEnd::Exit(0)) if was_read => Ok(()),
        Ok(ProcessEnd::Exit(0)) => {
            refuse(OutcomeKind::Temporary, "it did not read the whole message (#4.3.0)".into())
        }
        Ok(ProcessEnd::Exit(code @ (64..=70 | 76..=78 | 100))) => {
            refuse(OutcomeKind::Permanent, format!("exit code {code} (#5.3.0)"))
        }
        Ok(ProcessEnd::Exit(code)) => refuse(OutcomeKind::Temporary, format!("exit code {code} (#4.3.0)")),
        Ok(ProcessEnd::Signal(signal)) => ended_early(format!("killed by signal {signal} (#4.3.0)")),
        Ok(ProcessEnd::TimeLimit) => ended_early("it took too long and was killed (#4.3.0)".into()),
        Ok(ProcessEnd::Interrupted) => ended_early("interrupted (#4.3.2)".into()),
        Err(e) => ended_early(format!("cannot be waited for: {e} (#4.3.0)")),
    }
}
