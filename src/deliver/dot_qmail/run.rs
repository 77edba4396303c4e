//! The run: instructions in the order of their lines, then all forwards in one message.

use std::fs::File;
use std::time::Duration;

use super::environment::Variables;
use super::program::Program;
use super::{
    DotQmailError, Instruction, Line, LocalRecipient, OutputMode, OwnPrograms, ProgramOutcome, Route,
};
use crate::mailbox::Cancel;
use crate::transport::{Envelope, Failure, ProcessLimits};

/// The deliveries that the caller of a run does.
pub(crate) trait Executor {
    /// Delivers into the mailbox of an [`Instruction::Mbox`] or [`Instruction::Maildir`]. Its path is relative to
    /// the home directory.
    fn deliver(&mut self, instruction: &Instruction) -> Result<(), Failure>;
    /// The message for a program: a new file at its start, without added lines.
    fn message_file(&self) -> Result<File, Failure>;
    /// Forwards the message with a Delivered-To on top. Returns the process id of a queue program.
    fn forward(&mut self, envelope: &Envelope) -> Result<Option<u32>, DotQmailError>;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RunOptions<'a> {
    /// Time of delivery, in seconds since 1970.
    pub epoch: i64,
    /// Output of programs.
    pub output: OutputMode,
    /// Time limit of each program.
    pub program_time: Duration,
    /// Programs for commands that name one which the system lacks.
    pub own_programs: &'a OwnPrograms,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RunSummary {
    /// Deliveries into mailboxes.
    pub files: usize,
    /// Recipients of the forwarded message.
    pub forwards: usize,
    pub programs: usize,
    /// The process id of the queue program.
    pub queued: Option<u32>,
}

/// Executes the instructions. The first failure ends the run and earlier deliveries stay, so that a retry repeats
/// them.
///
/// # Errors
/// [`DotQmailError::HomeSticky`] before the first delivery, and what a delivery fails with.
pub(crate) fn run(
    route: &Route,
    recipient: &LocalRecipient,
    options: RunOptions<'_>,
    executor: &mut dyn Executor,
    cancel: &Cancel,
) -> Result<RunSummary, DotQmailError> {
    if route.is_sticky {
        return Err(DotQmailError::HomeSticky { home: route.home.clone() });
    }
    let Route { home, new_sender, default_offset, .. } = route;
    let variables = Variables::new(recipient, home, new_sender, *default_offset, options.epoch);
    let limits = ProcessLimits { time: options.program_time, cancel };
    let mut summary = RunSummary::default();
    let mut recipients = Vec::new();
    for Line { number, instruction } in &route.lines {
        match instruction {
            Instruction::Comment | Instruction::Blank | Instruction::Unknown | Instruction::ForwardOnly => {}
            Instruction::Mbox(_) | Instruction::Maildir(_) => {
                executor.deliver(instruction)?;
                summary.files += 1;
            }
            Instruction::Program(command) => {
                let provided = options.own_programs.provide(command).map_err(Failure::from)?;
                let (variables, provided) = (&variables, provided.as_ref());
                let program = Program { command, home, variables, provided, output: options.output };
                let location = || route.location(*number);
                let (outcome, output) = program
                    .run(executor.message_file()?, limits)
                    .map_err(|source| DotQmailError::ProgramNotStarted { location: location(), source })?;
                match outcome {
                    ProgramOutcome::Success | ProgramOutcome::SuccessAndStop => summary.programs += 1,
                    _ => return Err(DotQmailError::Program { location: location(), outcome, output }),
                }
                if outcome == ProgramOutcome::SuccessAndStop {
                    break;
                }
            }
            Instruction::Forward(address) => recipients.push(address.clone()),
        }
    }
    summary.forwards = recipients.len();
    if !recipients.is_empty() {
        let envelope = Envelope { sender: new_sender.clone(), recipients };
        summary.queued = executor.forward(&envelope)?;
    }
    Ok(summary)
}
