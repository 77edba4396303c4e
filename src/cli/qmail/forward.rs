//! `forward ADDRESS...`: sends the message on. condredirect does the same with another sender.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::ending::{Ending, PERMANENT, TEMPORARY};
use super::enqueue::enqueue;
use super::system_error::system_error_text;
use crate::cli::{open, signals};
use crate::mailbox::Cancel;
use crate::transport::{Envelope, OutcomeKind, OutgoingMessage, Refusal};

/// Forwards the message to these addresses from $NEWSENDER.
pub(super) fn run(addresses: impl Iterator<Item = OsString>) -> Ending {
    send("forward", "NEWSENDER", addresses.map(OsString::into_vec).collect())
        .map_or_else(|ending| ending, |queued| Ending::saying(0, format!("forward: {queued}")))
}

/// Replaces a standard input that is a pipe by a file: two programs in turn read the message. qmail-local passes a file,
/// other MTAs a pipe.
pub(super) fn make_rereadable(name: &str) -> Result<(), Ending> {
    if rustix::fs::seek(io::stdin(), rustix::fs::SeekFrom::Current(0)).is_ok() {
        return Ok(());
    }
    let failed = |text: String| Ending::fatal(name, TEMPORARY, format!("unable to read message: {text}"));
    let message = open::read_message(&env::temp_dir(), None, Cancel::never())
        .map_err(|failure| failed(failure.text))?;
    let file = message.to_file(b"", 0).map_err(|error| failed(error.to_string()))?;
    rustix::stdio::dup2_stdin(file).map_err(|error| failed(error.to_string()))
}

/// Forwards the message, which a program has read, to an address from $SENDER. `code` is the exit code of a success.
pub(super) fn redirect(address: OsString, code: u8) -> Ending {
    const NAME: &str = "condredirect";
    if let Err(error) = rustix::fs::seek(io::stdin(), rustix::fs::SeekFrom::Start(0)) {
        let text = format!("unable to rewind: {}", system_error_text(&error.into()));
        return Ending::fatal(NAME, TEMPORARY, text);
    }
    send(NAME, "SENDER", vec![address.into_vec()])
        .map_or_else(|ending| ending, |queued| Ending::saying(code, format!("{NAME}: {queued}")))
}

/// Sends the message with $DTLINE on top. Returns what has accepted it.
fn send(name: &str, sender_variable: &str, recipients: Vec<Vec<u8>>) -> Result<String, Ending> {
    let variable = |variable: &str| {
        let value = env::var_os(variable).map(OsString::into_vec);
        value.ok_or_else(|| Ending::fatal(name, PERMANENT, format!("{variable} not set")))
    };
    let sender = variable(sender_variable)?;
    let prefix = variable("DTLINE")?;
    let cancel = signals::cancel_on_signals_with(TEMPORARY);
    let spooled = open::read_message(&env::temp_dir(), None, &cancel).map_err(|failure| {
        Ending::fatal(name, TEMPORARY, format!("unable to read message: {}", failure.text))
    })?;
    let envelope = Envelope { sender, recipients };
    let message = OutgoingMessage { envelope: &envelope, prefix: &prefix, spooled: &spooled, offset: 0 };
    enqueue(&message, &cancel).map_err(|Refusal { kind, text }| {
        let code = if kind == OutcomeKind::Permanent { PERMANENT } else { TEMPORARY };
        Ending::fatal(name, code, text)
    })
}
