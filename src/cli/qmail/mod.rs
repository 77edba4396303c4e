//! qmail's programs: mailferry under their names, through a link or as the first argument.
//!
//! ```text
//! name         which programs there are;  getopt, ending, system_error: their options, exits and words
//! condition    bouncesaying, condredirect, except;  forward, preline, maildirmake, maildir2mbox
//! qmqpc        qmail-qmqpc
//! local        qmail-local;  inject: qmail-inject and sendmail
//! enqueue      to the queue program, or to what replaces it;  open_mbox: under its locks
//! ```

mod condition;
mod ending;
mod enqueue;
mod forward;
mod getopt;
mod inject;
mod local;
mod maildir2mbox;
mod maildirmake;
pub(super) mod name;
mod open_mbox;
mod preline;
mod qmqpc;
mod system_error;

use std::ffi::OsString;

use crate::cli::ui::Exit;
use name::QmailProgram;

/// Runs a program with its arguments.
pub(super) fn run(program: QmailProgram, args: impl Iterator<Item = OsString>) -> Exit {
    let ending = match program {
        QmailProgram::Bouncesaying => condition::bouncesaying(args),
        QmailProgram::Condredirect => condition::condredirect(args),
        QmailProgram::Except => condition::except(args),
        QmailProgram::Forward => forward::run(args),
        QmailProgram::Maildir2mbox => maildir2mbox::run(),
        QmailProgram::Maildirmake => maildirmake::run(args),
        QmailProgram::Preline => preline::run(args),
        QmailProgram::QmailInject => return inject::run_qmail_inject(args),
        QmailProgram::QmailLocal => return local::run(args),
        QmailProgram::QmailQmqpc => qmqpc::run(),
        QmailProgram::Sendmail => return inject::run_sendmail(args),
    };
    ending.report()
}
