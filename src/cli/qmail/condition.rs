//! Programs that decide by the exit code of another program: bouncesaying, condredirect and except.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::ending::{Ending, PERMANENT, TEMPORARY};
use super::forward;
use super::name::QmailProgram;
use super::system_error::is_temporary;

/// Exit code of condredirect after a redirection: ends the delivery as a success.
const STOP: u8 = 99;

/// `bouncesaying TEXT [PROGRAM [ARGUMENT...]]`: refuses the message with a text, or only if a program exits with 0.
pub(super) fn bouncesaying(mut args: impl Iterator<Item = OsString>) -> Ending {
    let Some(text) = args.next() else {
        return Ending::saying(PERMANENT, "bouncesaying: usage: bouncesaying error [ program [ arg ... ] ]");
    };
    if let Some(program) = args.next() {
        match holds("bouncesaying", &program, args) {
            Ok(true) => {}
            Ok(false) => return Ending::silent(0),
            Err(ending) => return ending,
        }
    }
    Ending::saying(PERMANENT, text.into_vec())
}

/// `condredirect ADDRESS PROGRAM [ARGUMENT...]`: if the program exits with 0, forwards the message and ends the delivery.
pub(super) fn condredirect(mut args: impl Iterator<Item = OsString>) -> Ending {
    let (Some(address), Some(program)) = (args.next(), args.next()) else {
        let usage = "condredirect: usage: condredirect newaddress program [ arg ... ]";
        return Ending::saying(PERMANENT, usage);
    };
    if let Err(ending) = forward::make_rereadable("condredirect") {
        return ending;
    }
    match holds("condredirect", &program, args) {
        Ok(true) => forward::redirect(address, STOP),
        Ok(false) => Ending::silent(0),
        Err(ending) => ending,
    }
}

/// `except PROGRAM [ARGUMENT...]`: succeeds if the program fails, and refuses the message if it succeeds.
pub(super) fn except(mut args: impl Iterator<Item = OsString>) -> Ending {
    let Some(program) = args.next() else {
        return Ending::saying(PERMANENT, "except: usage: except program [ arg ... ]");
    };
    match holds("except", &program, args) {
        Ok(true) => Ending::silent(PERMANENT),
        Ok(false) => Ending::silent(0),
        Err(ending) => ending,
    }
}

/// Reports whether a program exits with 0. What cannot be run does not. An exit with 111 and a crash are failures.
fn holds(name: &str, program: &OsStr, args: impl Iterator<Item = OsString>) -> Result<bool, Ending> {
    let mut command = Command::new(program);
    command.args(args);
    let status = match spawn(&mut command) {
        Ok(mut child) => child.wait().map_err(|_| Ending::fatal(name, TEMPORARY, "wait failed"))?,
        Err(error) if !is_temporary(&error) => return Ok(false),
        Err(_) => return Err(Ending::fatal(name, TEMPORARY, "temporary child error")),
    };
    match status.code() {
        None => Err(Ending::fatal(name, TEMPORARY, "child crashed")),
        Some(111) => Err(Ending::fatal(name, TEMPORARY, "temporary child error")),
        code => Ok(code == Some(0)),
    }
}

/// Starts a program as execvp(3) finds it. If nothing has this name, it may be one that mailferry has.
///
/// It stays in the process group of this process, unlike a [`crate::transport::Process`]: what ends the group at a time
/// limit must end both.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let started = command.spawn();
    match started {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if QmailProgram::of_name(command.get_program()).is_none() {
                return Err(error);
            }
            let mut own = Command::new(std::env::current_exe()?);
            own.arg0(command.get_program()).args(command.get_args());
            own.spawn()
        }
        started => started,
    }
}
