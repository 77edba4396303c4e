//! The lines of a `.qmail` file: dot-qmail(5).

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Nothing: a comment.
    Comment,
    /// Nothing: blanks, or not even those.
    Blank,
    /// Nothing that is known: a line that begins with `+`.
    Unknown,
    /// From here on forwards only: `+list`.
    ForwardOnly,
    /// A command for the shell, without its `|`.
    Program(Vec<u8>),
    /// An mbox file.
    Mbox(Vec<u8>),
    /// A Maildir; its path ends in `/`.
    Maildir(Vec<u8>),
    /// An address, raw; it may be empty.
    Forward(Vec<u8>),
}

/// A line and its number, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file.
    pub number: usize,
    /// What it says.
    pub instruction: Instruction,
}

/// Why a file is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its first line is blank. Somebody's editor failed, or the disk was full.
    FirstLineBlank,
    /// A mailbox, where only forwards are allowed.
    MailboxInForwardOnly,
    /// A program, where only forwards are allowed.
    ProgramInForwardOnly,
    /// A NUL, which no path, command or address can have: bytes that a crash has left.
    Nul,
}

/// The lines of a file; any bytes have some.
pub fn parse(text: &[u8]) -> Vec<Line> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|&b| b == b'\n')
        .enumerate()
        .map(|(n, line)| Line { number: n + 1, instruction: Instruction::parse(line) })
        .collect()
}

impl Instruction {
    /// Takes one line without its line end. A CR at its end belongs to it, as it does to qmail.
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
}

/// Whether the file may be followed, asked before anything of it is done: where qmail-local comes upon such
/// a line it has done what stands above it already, and does that again at each further try.
///
/// # Errors
/// The number of the line, and what is wrong with it.
pub fn check(lines: &[Line], mut forward_only: bool) -> Result<(), (usize, Fault)> {
    for Line { number, instruction: what } in lines {
        let fault = match what {
            Instruction::Blank if *number == 1 => Some(Fault::FirstLineBlank),
            Instruction::Mbox(_) | Instruction::Maildir(_) if forward_only => {
                Some(Fault::MailboxInForwardOnly)
            }
            Instruction::Program(_) if forward_only => Some(Fault::ProgramInForwardOnly),
            what if what.text().contains(&0) => Some(Fault::Nul),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err((*number, fault));
        }
        forward_only |= *what == Instruction::ForwardOnly;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Instruction::*;
    use super::*;

    fn says(line: &str) -> Instruction {
        let [Line { number: 1, instruction: what }] = &parse(line.as_bytes())[..] else { panic!("{line:?}") };
        what.clone()
    }

    #[test]
    fn the_first_byte_tells_what_a_line_is() {
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
            assert_eq!(says(line), what, "{line:?}");
        }
    }

    #[test]
    fn lines_are_numbered_and_the_last_newline_begins_none() {
        let numbers = |text: &str| parse(text.as_bytes()).len();
        assert_eq!(numbers("a\nb"), 2);
        assert_eq!(numbers("a\nb\n"), 2);
        assert_eq!(numbers("a\n\nb\n\n"), 4);
        assert_eq!(numbers("\n"), 1);
    }

    #[test]
    fn what_may_not_be_followed_is_seen_before_anything_is_done() {
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
