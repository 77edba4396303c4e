//! The names of qmail's programs.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A program of qmail that mailferry can take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QmailProgram {
    Bouncesaying,
    Condredirect,
    Except,
    Forward,
    Preline,
    QmailInject,
    QmailLocal,
    Sendmail,
}

impl QmailProgram {
    const ALL: [(&str, QmailProgram); 8] = [
        ("bouncesaying", QmailProgram::Bouncesaying),
        ("condredirect", QmailProgram::Condredirect),
        ("except", QmailProgram::Except),
        ("forward", QmailProgram::Forward),
        ("preline", QmailProgram::Preline),
        ("qmail-inject", QmailProgram::QmailInject),
        ("qmail-local", QmailProgram::QmailLocal),
        ("sendmail", QmailProgram::Sendmail),
    ];

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
