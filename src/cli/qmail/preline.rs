//! `preline [-frd] PROGRAM [ARGUMENT...]`: a program, with the lines that qmail-local keeps apart before the message.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Child, Command, Stdio};

use super::condition::spawn;
use super::ending::{Ending, PERMANENT, TEMPORARY};
use super::getopt::getopt;
use super::system_error::{is_temporary, system_error_text};
use crate::cli::open::StandardInput;
use crate::mailbox::escape;

const NAME: &str = "preline";
const USAGE: &str = "preline: usage: preline cmd [ arg ... ]";
/// The variables with the lines, and the options that leave one out and put it back.
const LINES: [(&str, u8, u8); 3] = [("UFLINE", b'f', b'F'), ("RPLINE", b'r', b'R'), ("DTLINE", b'd', b'D')];

/// Runs the program and returns its exit code.
pub(super) fn run(args: impl Iterator<Item = OsString>) -> Ending {
    let usage = || Ending::saying(PERMANENT, USAGE);
    let values: Vec<Vec<u8>> =
        LINES.iter().filter_map(|(name, ..)| env::var_os(name)).map(OsString::into_vec).collect();
    if values.len() < LINES.len() {
        return usage();
    }
    let parsed = match getopt(NAME, args.map(OsString::into_vec).collect(), b"frdFRD") {
        Ok(parsed) => parsed,
        Err(text) => return Ending::saying(PERMANENT, [&text[..], USAGE.as_bytes()].concat()),
    };
    let mut prefix = Vec::new();
    for ((_, off, on), value) in LINES.iter().zip(values) {
        let last = parsed.options.iter().rev().find(|(letter, _)| letter == off || letter == on);
        if last.is_none_or(|(letter, _)| letter == on) {
            prefix.extend(value);
        }
    }
    let Some((program, arguments)) = parsed.operands.split_first() else { return usage() };
    let program = OsStr::from_bytes(program);
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument))).stdin(Stdio::piped());
    let mut child = match spawn(&mut command) {
        Ok(child) => child,
        Err(error) => {
            let code = if is_temporary(&error) { TEMPORARY } else { PERMANENT };
            let program = escape(program.as_bytes());
            let text = format!("unable to run {program}: {}", system_error_text(&error));
            return Ending::fatal(NAME, code, text);
        }
    };
    if let Err(error) = feed(&mut child, &prefix) {
        let _ = child.wait();
        let text = format!("unable to read message: {}", system_error_text(&error));
        return Ending::fatal(NAME, TEMPORARY, text);
    }
    match child.wait().map(|status| status.code()) {
        Ok(Some(code)) => Ending::silent(code as u8),
        Ok(None) => Ending::fatal(NAME, TEMPORARY, "child crashed"),
        Err(error) => Ending::fatal(NAME, TEMPORARY, format!("wait failed: {}", system_error_text(&error))),
    }
}

/// Writes the lines and the message to the program, which may end without having read them.
///
/// # Errors
/// Of standard input.
fn feed(child: &mut Child, prefix: &[u8]) -> io::Result<()> {
    let Some(mut pipe) = child.stdin.take() else { return Ok(()) };
    if pipe.write_all(prefix).is_err() {
        return Ok(());
    }
    let mut input = StandardInput::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) if pipe.write_all(&buffer[..n]).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A part of the message must not pass for the message, as it would once the pipe is closed.
            Err(error) => {
                let _ = child.kill();
                return Err(error);
            }
        }
    }
}
