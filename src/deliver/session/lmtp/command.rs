//! The commands of LMTP. Any line is a command, or has an error reply.

use super::path::parse_path;
use super::reply::ReplyLine;
use crate::deliver::session::address::EnvelopeAddress;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `LHLO name`: start again.
    Lhlo,
    /// `MAIL FROM:<path>`.
    Mail {
        /// None for the null sender.
        sender: Option<EnvelopeAddress>,
        /// The announced size in bytes, `SIZE=` (RFC 1870).
        size: Option<u64>,
    },
    /// `RCPT TO:<path>`.
    Rcpt(EnvelopeAddress),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// Parses a line without its line end.
pub(crate) fn parse(line: &[u8]) -> Result<Command, ReplyLine> {
    let end = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at(end);
    let arguments = rest.trim_ascii();
    let alone = |command| if arguments.is_empty() { Ok(command) } else { Err(unexpected_arguments()) };
    match verb.to_ascii_uppercase().as_slice() {
        b"LHLO" if arguments.is_empty() => Err(ReplyLine::new(501, "5.5.4 LHLO needs your name")),
        b"LHLO" => Ok(Command::Lhlo),
        b"MAIL" => mail(arguments),
        b"RCPT" => rcpt(arguments),
        b"DATA" => alone(Command::Data),
        b"RSET" => alone(Command::Rset),
        b"QUIT" => alone(Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" => Ok(Command::Vrfy),
        b"HELP" => Ok(Command::Help),
        b"HELO" | b"EHLO" => Err(ReplyLine::new(500, "5.5.1 this is LMTP: send LHLO")),
        b"EXPN" | b"BDAT" | b"AUTH" | b"STARTTLS" | b"ETRN" | b"TURN" => {
            Err(ReplyLine::new(502, "5.5.1 not supported"))
        }
        _ => Err(ReplyLine::new(500, "5.5.1 no such command")),
    }
}

fn mail(arguments: &[u8]) -> Result<Command, ReplyLine> {
    let wrong = || ReplyLine::new(501, "5.1.7 expected MAIL FROM:<address>, or <> for none");
    let path = after_keyword(arguments, b"FROM:").ok_or_else(wrong)?;
    let (sender, parameters) = parse_path(path).ok_or_else(wrong)?;
    let mut size = None;
    for (name, value) in self::parameters(parameters)? {
        match (name.to_ascii_uppercase().as_slice(), value) {
            (b"SIZE", Some(digits)) => size = Some(number(digits)?),
            // The message is stored unchanged in either case.
            (b"BODY", Some(body)) if is_one_of(body, [&b"7BIT"[..], b"8BITMIME"]) => {}
            (b"SIZE" | b"BODY", _) => {
                return Err(ReplyLine::new(501, "5.5.4 SIZE=number, BODY=7BIT or BODY=8BITMIME"));
            }
            _ => return Err(unknown_parameter()),
        }
    }
    Ok(Command::Mail { sender, size })
}

fn rcpt(arguments: &[u8]) -> Result<Command, ReplyLine> {
    let wrong = || ReplyLine::new(501, "5.1.3 expected RCPT TO:<address>");
    let path = after_keyword(arguments, b"TO:").ok_or_else(wrong)?;
    let (recipient, parameters) = parse_path(path).ok_or_else(wrong)?;
    let recipient = recipient.ok_or_else(wrong)?;
    if !self::parameters(parameters)?.is_empty() {
        return Err(unknown_parameter());
    }
    Ok(Command::Rcpt(recipient))
}

/// The text after `FROM:` or `TO:`. Blanks before the path are against the RFC, but common.
fn after_keyword<'a>(arguments: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = arguments.split_at_checked(keyword.len())?;
    first.eq_ignore_ascii_case(keyword).then(|| rest.trim_ascii_start())
}

/// `NAME` or `NAME=value`.
type Parameter<'a> = (&'a [u8], Option<&'a [u8]>);

/// Splits parameters, each of which follows a blank.
fn parameters(text: &[u8]) -> Result<Vec<Parameter<'_>>, ReplyLine> {
    if !text.is_empty() && !text.starts_with(b" ") {
        return Err(ReplyLine::new(501, "5.5.4 something follows the address"));
    }
    let words = text.split(|&b| b == b' ').filter(|word| !word.is_empty());
    Ok(words
        .map(|word| match word.iter().position(|&b| b == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        })
        .collect())
}

/// Parses at most twenty digits (RFC 1870). A number that does not fit becomes the largest.
fn number(digits: &[u8]) -> Result<u64, ReplyLine> {
    if !(1..=20).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyLine::new(501, "5.5.4 SIZE takes a number of at most 20 digits"));
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(digits.iter().fold(0, add))
}

fn is_one_of(value: &[u8], names: [&[u8]; 2]) -> bool {
    names.iter().any(|name| value.eq_ignore_ascii_case(name))
}

fn unexpected_arguments() -> ReplyLine {
    ReplyLine::new(501, "5.5.4 this command takes no argument")
}

fn unknown_parameter() -> ReplyLine {
    ReplyLine::new(555, "5.5.4 unknown parameter")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn described(line: &str) -> String {
        match parse(line.as_bytes()) {
            Ok(Command::Mail { sender, size }) => {
                let sender = sender.map_or("nobody".into(), |a| a.shown());
                format!("mail {sender} {}", size.map_or("-".into(), |n| n.to_string()))
            }
            Ok(Command::Rcpt(recipient)) => format!("rcpt {}", recipient.shown()),
            Ok(other) => format!("{other:?}"),
            Err(reply) => {
                let mut out = Vec::new();
                reply.write_to(&mut out);
                String::from_utf8(out).unwrap().trim_end().to_owned()
            }
        }
    }

    #[test]
    fn lines_become_commands_or_replies() {
        let lines = [
            "LHLO mx.example",
            "lhlo x",
            "LHLO",
            "HELO x",
            "EHLO x",
            "ehlo",
            "MAIL FROM:<a@b>",
            "mail from:<a@b> size=10 body=8bitmime",
            "MAIL FROM: <a@b>",
            "MAIL FROM:<>",
            "MAIL FROM:<a@b> SIZE=99999999999999999999",
            "MAIL FROM:<a@b> SIZE=",
            "MAIL FROM:<a@b> SIZE=1x",
            "MAIL FROM:<a@b> SIZE",
            "MAIL FROM:<a@b> BODY=BINARYMIME",
            "MAIL FROM:<a@b> AUTH=<>",
            "MAIL FROM:<a@b>SIZE=1",
            "MAIL FROM:a@b",
            "MAIL",
            "MAIL TO:<a@b>",
            "RCPT TO:<joe@h>",
            "RCPT TO:<joe@h> NOTIFY=NEVER",
            "RCPT TO:<>",
            "RCPT TO:<@a,@b:joe@h>",
            "RCPT",
            "RCPT TO:<\"joe doe\"@h>",
            "DATA",
            "DATA 1",
            "RSET",
            "RSET x",
            "NOOP",
            "NOOP x",
            "VRFY joe",
            "HELP",
            "QUIT",
            "QUIT now",
            "BDAT 10 LAST",
            "",
            " ",
            "GET / HTTP/1.1",
            "DATA\r",
            "Subject: x",
        ];
        let table: String = lines.iter().map(|line| format!("{line:?}: {}\n", described(line))).collect();
        expect![[r#"
            "LHLO mx.example": Lhlo
            "lhlo x": Lhlo
            "LHLO": 501 5.5.4 LHLO needs your name
            "HELO x": 500 5.5.1 this is LMTP: send LHLO
            "EHLO x": 500 5.5.1 this is LMTP: send LHLO
            "ehlo": 500 5.5.1 this is LMTP: send LHLO
            "MAIL FROM:<a@b>": mail a@b -
            "mail from:<a@b> size=10 body=8bitmime": mail a@b 10
            "MAIL FROM: <a@b>": mail a@b -
            "MAIL FROM:<>": mail nobody -
            "MAIL FROM:<a@b> SIZE=99999999999999999999": mail a@b 18446744073709551615
            "MAIL FROM:<a@b> SIZE=": 501 5.5.4 SIZE takes a number of at most 20 digits
            "MAIL FROM:<a@b> SIZE=1x": 501 5.5.4 SIZE takes a number of at most 20 digits
            "MAIL FROM:<a@b> SIZE": 501 5.5.4 SIZE=number, BODY=7BIT or BODY=8BITMIME
            "MAIL FROM:<a@b> BODY=BINARYMIME": 501 5.5.4 SIZE=number, BODY=7BIT or BODY=8BITMIME
            "MAIL FROM:<a@b> AUTH=<>": 555 5.5.4 unknown parameter
            "MAIL FROM:<a@b>SIZE=1": 501 5.5.4 something follows the address
            "MAIL FROM:a@b": 501 5.1.7 expected MAIL FROM:<address>, or <> for none
            "MAIL": 501 5.1.7 expected MAIL FROM:<address>, or <> for none
            "MAIL TO:<a@b>": 501 5.1.7 expected MAIL FROM:<address>, or <> for none
            "RCPT TO:<joe@h>": rcpt joe@h
            "RCPT TO:<joe@h> NOTIFY=NEVER": 555 5.5.4 unknown parameter
            "RCPT TO:<>": 501 5.1.3 expected RCPT TO:<address>
            "RCPT TO:<@a,@b:joe@h>": rcpt joe@h
            "RCPT": 501 5.1.3 expected RCPT TO:<address>
            "RCPT TO:<\"joe doe\"@h>": rcpt joe doe@h
            "DATA": Data
            "DATA 1": 501 5.5.4 this command takes no argument
            "RSET": Rset
            "RSET x": 501 5.5.4 this command takes no argument
            "NOOP": Noop
            "NOOP x": Noop
            "VRFY joe": Vrfy
            "HELP": Help
            "QUIT": Quit
            "QUIT now": 501 5.5.4 this command takes no argument
            "BDAT 10 LAST": 502 5.5.1 not supported
            "": 500 5.5.1 no such command
            " ": 500 5.5.1 no such command
            "GET / HTTP/1.1": 500 5.5.1 no such command
            "DATA\r": 500 5.5.1 no such command
            "Subject: x": 500 5.5.1 no such command
        "#]]
        .assert_eq(&table);
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_has_a_reply(line: Vec<u8>, verb in "(?i)(MAIL FROM:|RCPT TO:)[<@\"a,:\\\\ .>=\\[\\]]{0,12}") {
            crate::promises::lmtp_command(&line);
            crate::promises::lmtp_command(&[verb.as_bytes(), &line].concat());
        }
    }
}
