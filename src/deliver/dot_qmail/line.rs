//! The lines of a `.qmail` file: dot-qmail(5).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Instruction {
    Comment,
    Blank,
    /// A line that begins with `+` and has no known word.
    Unknown,
    /// `+list`: only forwards are allowed from here on.
    ForwardOnly,
    /// A command for the shell, without its `|`.
    Program(Vec<u8>),
    Mbox(Vec<u8>),
    /// A path that ends in `/`.
    Maildir(Vec<u8>),
    /// A raw address; it may be empty.
    Forward(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Line number from 1.
    pub number: usize,
    pub instruction: Instruction,
}

/// Defect for which a file is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An editor failed, or the disk was full.
    FirstLineBlank,
    MailboxInForwardOnly,
    ProgramInForwardOnly,
    /// No path, command or address has a NUL: a crash left it.
    Nul,
}

/// Returns the path of a mailbox, without the `./` of its line.
pub(crate) fn mailbox_path(home: &Path, name: &[u8]) -> PathBuf {
    home.join(OsStr::from_bytes(name.strip_prefix(b"./").unwrap_or(name)))
}

/// Splits a file into lines. Any bytes are valid.
pub(crate) fn parse(text: &[u8]) -> Vec<Line> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|&b| b == b'\n')
        .enumerate()
        .map(|(n, line)| Line { number: n + 1, instruction: Instruction::parse(line) })
        .collect()
}

impl Instruction {
    /// Parses a line without its LF. A CR at its end is part of it, as for qmail.
    fn parse(line: &[u8]) -> Instruction {
        let blanks = line.iter().rev().take_while(|&&b| b == b' ' || b == b'\t').count();
        let line = &line[..line.len() - blanks];
        match line {
            [] => Instruction::Blank,
            [b'#', ..] => Instruction::Comment,
            b"+list" => Instruction::ForwardOnly,
            [b'+', ..] => Instruction::Unknown,
            [b'|', command @ ..] => Instruction::Program(command.to_vec()),
            [b'.' | b'/', .., b'/'] | b"/" => Instruction::Maildir(line.to_vec()),
            [b'.' | b'/', ..] => Instruction::Mbox(line.to_vec()),
            [b'&', address @ ..] => Instruction::Forward(address.to_vec()),
            _ => Instruction::Forward(line.to_vec()),
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Instruction::Comment | Instruction::Blank | Instruction::Unknown | Instruction::ForwardOnly => {
                b""
            }
            Instruction::Program(text)
            | Instruction::Mbox(text)
            | Instruction::Maildir(text)
            | Instruction::Forward(text) => text,
        }
    }

    /// Reports a CR at the end, from a file that was saved with CRLF.
    pub(crate) fn ends_in_cr(&self) -> bool {
        let text = self.text();
        let text = if matches!(self, Instruction::Maildir(_)) {
            text.strip_suffix(b"/").unwrap_or(text)
        } else {
            text
        };
        text.ends_with(b"\r")
    }
}

/// Checks all lines before the first is executed. qmail-local stops at a faulty line instead, and repeats what is
/// above it at each retry.
///
/// # Errors
/// The number of the line, and its fault.
pub(crate) fn check(lines: &[Line], mut forward_only: bool) -> Result<(), (usize, Fault)> {
    for Line { number, instruction } in lines {
        let fault = match instruction {
            Instruction::Blank if *number == 1 => Some(Fault::FirstLineBlank),
            Instruction::Mbox(_) | Instruction::Maildir(_) if forward_only => {
                Some(Fault::MailboxInForwardOnly)
            }
            Instruction::Program(_) if forward_only => Some(Fault::ProgramInForwardOnly),
            _ if instruction.text().contains(&0) => Some(Fault::Nul),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err((*number, fault));
        }
        forward_only |= *instruction == Instruction::ForwardOnly;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Instruction::*;
    use super::*;

    fn parsed(line: &str) -> Instruction {
        let [Line { number: 1, instruction }] = &parse(line.as_bytes())[..] else { panic!("{line:?}") };
        instruction.clone()
    }

    #[test]
    fn the_first_byte_decides_the_instruction() {
        let b = |text: &str| text.as_bytes().to_vec();
        for (line, what) in [
            ("", Blank),
            (" \t ", Blank),
            ("# me", Comment),
            ("|cat >x \t", Program(b("cat >x"))),
            ("| cat", Program(b(" cat"))),
            ("|", Program(b(""))),
            ("./Mailbox ", Mbox(b("./Mailbox"))),
            ("./Maildir/ ", Maildir(b("./Maildir/"))),
            ("/abs/x", Mbox(b("/abs/x"))),
            ("/", Maildir(b("/"))),
            (".", Mbox(b("."))),
            (".forward", Mbox(b(".forward"))),
            ("&me@x", Forward(b("me@x"))),
            ("& me@x", Forward(b(" me@x"))),
            ("&", Forward(b(""))),
            ("me@x\t", Forward(b("me@x"))),
            (" ./x", Forward(b(" ./x"))),
            ("+list ", ForwardOnly),
            ("+lists", Unknown),
            ("+", Unknown),
            ("./Mailbox\r", Mbox(b("./Mailbox\r"))),
        ] {
            assert_eq!(parsed(line), what, "{line:?}");
        }
    }

    #[test]
    fn lines_are_numbered_and_the_last_newline_starts_none() {
        let numbers = |text: &str| parse(text.as_bytes()).len();
        assert_eq!(numbers("a\nb"), 2);
        assert_eq!(numbers("a\nb\n"), 2);
        assert_eq!(numbers("a\n\nb\n\n"), 4);
        assert_eq!(numbers("\n"), 1);
    }

    #[test]
    fn a_faulty_line_is_found_before_the_first_delivery() {
        let check = |text: &str, forward_only| check(&parse(text.as_bytes()), forward_only);
        assert_eq!(check("./a\n\n&b\n", false), Ok(()));
        assert_eq!(check("\n./a\n", false), Err((1, Fault::FirstLineBlank)));
        assert_eq!(check("  \n./a\n", false), Err((1, Fault::FirstLineBlank)));
        assert_eq!(check("&a\n+list\n&b\n", true), Ok(()));
        assert_eq!(check("&a\n./b\n", true), Err((2, Fault::MailboxInForwardOnly)));
        assert_eq!(check("./a\n|b\n+list\n&c\n./d/\n", false), Err((5, Fault::MailboxInForwardOnly)));
        assert_eq!(check("+list\n|b\n", false), Err((2, Fault::ProgramInForwardOnly)));
        assert_eq!(check("# \0\n&a\0b\n", false), Err((2, Fault::Nul)));
    }

    proptest! {
        #[test]
        fn any_bytes_have_lines(text in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'|'), Just(b'.'), Just(b'/'), Just(b'+'), any::<u8>()], 0..60)) {
            crate::promises::dot_qmail(&text);
        }
    }
}
