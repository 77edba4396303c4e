//! The command line before it is parsed: its program and its command.

use std::ffi::OsString;

use crate::cli::ui::ExitCodes;

/// Reports whether an invalid command line is about `command`: its first word that is not an option.
///
/// If an option comes first, the next word may be its value. Then the command may be any of the words.
pub(super) fn is_about(command: &str, args: impl Iterator<Item = OsString>) -> bool {
    let mut words = args.skip(1).peekable();
    match words.peek() {
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => words.any(|word| word == command),
        Some(first) => *first == command,
        None => false,
    }
}

/// Returns the exit codes that an invalid command line asks for.
pub(super) fn exit_codes(args: impl Iterator<Item = OsString>) -> ExitCodes {
    let words: Vec<OsString> = args.collect();
    let is_apart = words.windows(2).any(|pair| pair[0] == "--exit-codes" && pair[1] == "qmail");
    if is_apart || words.iter().any(|word| word == "--exit-codes=qmail") {
        ExitCodes::Qmail
    } else {
        ExitCodes::Sysexits
    }
}
