//! The mailferry command: parse, run, outcome → exit code.

// The binary is the edge: it reads the environment and the clock, prints and ends the process.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod cli;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic is a bug of ours. Nothing is published before all is written, so it loses no mail; but
    // a script must not read the code that Rust would give.
    match std::panic::catch_unwind(cli::run) {
        Ok(exit) => exit.into(),
        // Bytes that were looked at twice were not the same: that is no bug.
        Err(_) if cli::signals::source_was_truncated() => {
            say("a source was truncated by somebody else while it was read");
            cli::exit::Exit::CouldNotFinish.into()
        }
        Err(_) => {
            say("this is a bug in mailferry; nothing was half-published. Please report it");
            cli::what_if_broken().into()
        }
    }
}

/// Standard error may be a full disk: that must not be a second panic, with a code of Rust's own.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "mailferry: {what}");
}
