//! A program with sendmail's interface: `-i -f SENDER -- RECIPIENT...`, the message on standard input, and exit
//! codes of sysexits(3). Addresses are quoted as in a header: Postfix, Exim and sendmail read them so.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::child::{End, Limits, Running, idle};
use super::{Envelope, Refusal};
use crate::letter::envelope::quoted;
use crate::mailbox::shown;

/// As many bytes of arguments as go to one program: a quarter of what Linux takes for sure.
const ARGUMENTS: usize = 1 << 19;

/// Hands a message to such a program, from where `message` stands to its end.
///
/// # Errors
/// A [`Refusal`] of all recipients; codes that sysexits(3) does not know are temporary.
pub fn send(program: &Path, message: File, envelope: &Envelope, limits: Limits<'_>) -> Result<(), Refusal> {
    let refuse =
        |permanent, text: String| Err(Refusal { permanent, text: format!("{}: {text}", shown(program)) });
    if envelope.recipients.iter().map(|recipient| recipient.len() + 9).sum::<usize>() > ARGUMENTS {
        return refuse(true, "more recipients than fit into the arguments of a program (#5.5.3)".into());
    }
    let mut command = Command::new(program);
    let quoted = |address: &Vec<u8>| OsString::from_vec(quoted(address));
    command.args(["-i", "-f"]).arg(quoted(&envelope.sender)).arg("--");
    command.args(envelope.recipients.iter().map(quoted));
    command.stdin(message).stdout(Stdio::null());
    let running = match Running::start(&mut command) {
        Ok(running) => running,
        Err(e) => return refuse(false, format!("cannot be run: {e} (#4.3.0)")),
    };
    match running.attend(limits, idle) {
        Ok(End::Exit(0)) => Ok(()),
        Ok(End::Exit(code)) => {
            let permanent = matches!(code, 64..=70 | 76..=78 | 100);
            refuse(permanent, format!("exit code {code} (#{}.3.0)", if permanent { 5 } else { 4 }))
        }
        Ok(End::Signal(signal)) => refuse(false, format!("killed by signal {signal} (#4.3.0)")),
        Ok(End::TimeLimit) => refuse(false, "it took too long and was killed (#4.3.0)".into()),
        Ok(End::Interrupted) => refuse(false, "interrupted (#4.3.2)".into()),
        Err(e) => refuse(false, format!("cannot be waited for: {e} (#4.3.0)")),
    }
}
