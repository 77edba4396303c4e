//! The names of qmail's programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::deliver::dot_qmail::OwnPrograms;
use crate::transport::{Failure, FailureReason, NextHop};

/// A program of qmail that mailferry can take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QmailProgram {
    Bouncesaying,
    Condredirect,
    Except,
    Forward,
    Maildir2mbox,
    Maildirmake,
    Preline,
    QmailInject,
    QmailLocal,
    QmailQmqpc,
    Sendmail,
}

impl QmailProgram {
    /// The small programs, which mailferry provides to the commands of a delivery.
    const SMALL: &[&str] = &[
        "bouncesaying",
        "condredirect",
        "except",
        "forward",
        "maildir2mbox",
        "maildirmake",
        "preline",
        "qmail-qmqpc",
    ];

    const ALL: [(&str, QmailProgram); 11] = [
        ("bouncesaying", QmailProgram::Bouncesaying),
        ("condredirect", QmailProgram::Condredirect),
        ("except", QmailProgram::Except),
        ("forward", QmailProgram::Forward),
        ("maildir2mbox", QmailProgram::Maildir2mbox),
        ("maildirmake", QmailProgram::Maildirmake),
        ("preline", QmailProgram::Preline),
        ("qmail-inject", QmailProgram::QmailInject),
        ("qmail-local", QmailProgram::QmailLocal),
        ("qmail-qmqpc", QmailProgram::QmailQmqpc),
        ("sendmail", QmailProgram::Sendmail),
    ];

    /// Returns them for commands of the user that this process acts as.
    ///
    /// # Errors
    /// If the system does not know what this process runs.
    pub(crate) fn for_commands(next_hops: Vec<NextHop>) -> Result<OwnPrograms, Failure> {
        let unknown = |error| {
            Failure::new(FailureReason::TryAgain, format_args!("cannot find mailferry itself: {error}"))
        };
        let executable = env::current_exe().map_err(unknown)?;
        // That of most shells. Without a $PATH they would not look into the directory that is added.
        const DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let search_path = env::var_os("PATH").unwrap_or_else(|| DEFAULT.into());
        // Commands run in another directory.
        let directory = std::path::absolute(env::temp_dir()).map_err(unknown)?;
        Ok(OwnPrograms { names: Self::SMALL, executable, directory, search_path, next_hops })
    }

    pub(crate) fn of_name(name: &OsStr) -> Option<QmailProgram> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, program)| *program)
    }
}

/// Finds the program that a command line names, and its arguments: the command itself, called through a link, or the
/// first argument.
pub(crate) fn invoked(
    mut args: impl Iterator<Item = OsString>,
) -> Option<(QmailProgram, impl Iterator<Item = OsString>)> {
    let command = args.next()?;
    let linked = Path::new(&command).file_name().and_then(QmailProgram::of_name);
    let program = linked.or_else(|| QmailProgram::of_name(&args.next()?))?;
    Some((program, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_a_link_or_by_the_first_argument() {
        let found = |line: &str| {
            let (program, rest) = invoked(line.split(' ').map(OsString::from))?;
            Some((program, rest.count()))
        };
        assert_eq!(found("/usr/bin/except grep -q x"), Some((QmailProgram::Except, 3)));
        assert_eq!(found("forward except"), Some((QmailProgram::Forward, 1)));
        assert_eq!(found("/opt/mailferry except grep x"), Some((QmailProgram::Except, 2)));
        assert_eq!(found("mailferry deliver except"), None);
        assert_eq!(found("mailferry"), None);
        assert_eq!(found("except/"), Some((QmailProgram::Except, 0)));
        assert_eq!(found("mailferry /bin/except"), None);
    }
}
