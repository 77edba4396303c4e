//! The end of a small program of qmail: an exit code, and a line on standard error.

use std::io::{self, Write};

use crate::cli::ui::Exit;

/// Trying again can help.
pub(super) const TEMPORARY: u8 = 111;
/// Trying again cannot help.
pub(super) const PERMANENT: u8 = 100;

/// How a program ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    code: u8,
    /// Empty, or a line without its end.
    message: Vec<u8>,
}

impl Ending {
    pub(super) fn silent(code: u8) -> Ending {
        Ending { code, message: Vec::new() }
    }

    pub(super) fn saying(code: u8, message: impl Into<Vec<u8>>) -> Ending {
        Ending { code, message: message.into() }
    }

    /// The end of a program that could not do its work.
    pub(super) fn fatal(program: &str, code: u8, text: impl AsRef<[u8]>) -> Ending {
        Ending { code, message: [program.as_bytes(), b": fatal: ", text.as_ref()].concat() }
    }

    /// Prints the message.
    pub(super) fn report(mut self) -> Exit {
        if !self.message.is_empty() {
            self.message.push(b'\n');
            // The exit code counts, even where nothing reads standard error.
            let _ = io::stderr().write_all(&self.message);
        }
        Exit::OfProgram(self.code)
    }
}
