//! The standard error of a program, reported after the reason why it failed.
//!
//! An MTA evaluates the first line of the output, which must be mailferry's.

use std::io;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use super::Refusal;
use crate::mailbox::escape;
use crate::mailbox::fs::durable;

/// The part that is reported, in bytes.
const MAX_REPORTED: usize = 1000;

/// Runs a program with the standard error that `run` gets, and adds what it wrote to a refusal.
///
/// The program writes to a file in memory. A pipe would kill a process that it left in the background (SIGPIPE).
pub(super) fn capture_stderr<T>(run: impl FnOnce(Stdio) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let open = || {
        let file = durable::memory_file("standard error")?;
        Ok::<_, io::Error>((file.try_clone()?, file))
    };
    let (stderr, captured) =
        open().map_err(|e| Refusal::temporary(format!("unable to listen: {e} (#4.3.0)")))?;
    run(stderr.into()).map_err(|refusal| {
        let mut output = vec![0; MAX_REPORTED];
        let length = captured.read_at(&mut output, 0).unwrap_or(0);
        output.truncate(length);
        match escape(output.trim_ascii()) {
            output if output.is_empty() => refusal,
            output => Refusal { text: format!("{}; it said: {output}", refusal.text), ..refusal },
        }
    })
}
