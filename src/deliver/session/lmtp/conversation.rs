//! The conversation: commands, replies in their order, and the limits on both.

use memchr::memchr;

use super::command::{self, Command};
use super::data::DotUnstuffer;
use super::reply::ReplyLine;
use crate::deliver::session::address::EnvelopeAddress;
use crate::deliver::session::engine::{ReceivedMessage, RecipientList, Session};
use crate::deliver::session::tolerance::{MAX_RECIPIENTS, Tolerance};
use crate::deliver::session::wire::Wire;
use crate::deliver::session::{AcceptedRecipient, Outcome, Recipients, SessionEnd};

/// Length limit of a command with its line end: eight times that of RFC 5321.
pub(crate) const MAX_LINE: usize = 4096;

/// Serves a peer until either side ends the session.
pub(in crate::deliver::session) fn converse<'a, R: Recipients>(
    session: &mut Session<'a, R>,
) -> Result<(), SessionEnd> {
    let mut conversation = Conversation { session, greeted: false, transaction: None };
    let result = conversation.run();
    match &result {
        Err(SessionEnd::TimedOut) => conversation.say(421, "4.4.2 nothing came for too long; closing"),
        Err(SessionEnd::Interrupted) => conversation.say(421, "4.3.2 shutting down; try again"),
        Err(SessionEnd::TooManyErrors) => conversation.say(421, "4.7.0 too many errors; closing"),
        _ => {}
    }
    result
}

struct Conversation<'s, 'a, R: Recipients> {
    session: &'s mut Session<'a, R>,
    greeted: bool,
    transaction: Option<Transaction<R::Mailbox>>,
}

/// A message in transmission: the commands since MAIL.
struct Transaction<M> {
    sender: Option<EnvelopeAddress>,
    recipients: RecipientList<M>,
}

impl<R: Recipients> Conversation<'_, '_, R> {
    fn run(&mut self) -> Result<(), SessionEnd> {
        let greeting = format!("{} mailferry LMTP", self.session.options.host);
        self.say(220, &greeting);
        let mut line = Vec::new();
        loop {
            let command = match read_line(&mut self.session.wire, &mut line)? {
                Line::Complete => command::parse(&line),
                Line::TooLong => Err(ReplyLine::new(500, "5.5.2 the line is too long")),
                Line::Closed if self.transaction.is_none() => return Ok(()),
                Line::Closed => return Err(SessionEnd::Disconnected),
            };
            let is_rcpt = matches!(command, Ok(Command::Rcpt(_)));
            let reply = match command {
                Ok(Command::Quit) => {
                    self.transaction = None;
                    self.say(221, "2.0.0 bye");
                    return Ok(());
                }
                Ok(Command::Lhlo) => self.greet(),
                Ok(Command::Data) => match self.transaction.take() {
                    Some(transaction) if transaction.recipients.len() > 0 => {
                        self.data(transaction)?;
                        self.session.tolerance = Tolerance::default();
                        continue;
                    }
                    // RFC 2033, 4.2: a sender without recipients stays.
                    unchanged => {
                        self.transaction = unchanged;
                        ReplyLine::new(503, "5.5.1 no recipients: RCPT first")
                    }
                },
                Ok(Command::Mail { sender, size }) => self.mail(sender, size),
                Ok(Command::Rcpt(recipient)) => self.rcpt(recipient),
                Ok(Command::Rset) => {
                    self.transaction = None;
                    ReplyLine::new(250, "2.0.0 forgotten")
                }
                Ok(Command::Noop) => ReplyLine::new(250, "2.0.0 ok"),
                Ok(Command::Vrfy) => ReplyLine::new(252, "2.0.0 try RCPT"),
                Ok(Command::Help) => {
                    ReplyLine::new(214, "2.0.0 LHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")
                }
                Err(reply) => reply,
            };
            self.reply(&reply);
            if !self.tolerates(is_rcpt, &reply) {
                return Err(SessionEnd::TooManyErrors);
            }
        }
    }

    /// Counts a command with its reply. Returns whether the session goes on.
    ///
    /// A refused recipient is not an error of the client: a list has many that are gone.
    fn tolerates(&mut self, is_rcpt: bool, reply: &ReplyLine) -> bool {
        let tolerance = &mut self.session.tolerance;
        match is_rcpt {
            _ if reply.is_protocol_error() => tolerance.errors += 1,
            true if reply.is_refusal() => tolerance.refused_recipients += 1,
            true => {}
            false => tolerance.idle += 1,
        }
        !tolerance.is_exhausted()
    }

    /// Sends all lines of the reply but the last, which it returns.
    fn greet(&mut self) -> ReplyLine {
        (self.greeted, self.transaction) = (true, None);
        let size = match self.session.options.max_size {
            Some(max) => format!("SIZE {max}"),
            None => "SIZE".to_owned(),
        };
        for word in [self.session.options.host, "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"] {
            self.session.wire.reply(format!("250-{word}\r\n").as_bytes());
        }
        ReplyLine::new(250, &size)
    }

    fn mail(&mut self, sender: Option<EnvelopeAddress>, size: Option<u64>) -> ReplyLine {
        if !self.greeted {
            return ReplyLine::new(503, "5.5.1 say LHLO first");
        }
        if self.transaction.is_some() {
            return ReplyLine::new(503, "5.5.1 there is a sender already: use RSET first");
        }
        if let (Some(size), Some(max)) = (size, self.session.options.max_size)
            && size > max
        {
            return ReplyLine::new(552, &format!("5.3.4 {size} bytes are announced, {max} are allowed"));
        }
        self.transaction = Some(Transaction { sender, recipients: RecipientList::new() });
        ReplyLine::new(250, "2.1.0 ok")
    }

    fn rcpt(&mut self, recipient: EnvelopeAddress) -> ReplyLine {
        let Some(transaction) = &mut self.transaction else {
            return ReplyLine::new(503, "5.5.1 no sender: MAIL first");
        };
        if transaction.recipients.len() == MAX_RECIPIENTS {
            return ReplyLine::new(
                452,
                &format!("4.5.3 a message can have at most {MAX_RECIPIENTS} recipients"),
            );
        }
        match self.session.recipients.look_up(&recipient) {
            Ok(mailbox) => {
                transaction.recipients.accept(AcceptedRecipient { address: recipient, mailbox });
                ReplyLine::new(250, "2.1.5 ok")
            }
            Err(failure) => ReplyLine::for_failure(&failure),
        }
    }

    /// Receives the message and replies for each accepted recipient, in their order. A recipient named twice has two
    /// replies (RFC 2033, 4.2).
    fn data(&mut self, transaction: Transaction<R::Mailbox>) -> Result<(), SessionEnd> {
        self.say(354, "end with a dot on a line by itself");
        self.session.wire.peer.reset_deadline();
        let message = self.session.receive(&mut DotUnstuffer::default())?;
        let Transaction { sender, recipients } = transaction;
        let received = ReceivedMessage { message, sender, recipients };
        self.session.deliver(&[received], write_outcome).map(drop)
    }

    fn say(&mut self, code: u16, text: &str) {
        self.reply(&ReplyLine::new(code, text));
    }

    fn reply(&mut self, reply: &ReplyLine) {
        let mut line = Vec::new();
        reply.write_to(&mut line);
        self.session.wire.reply(&line);
    }
}

fn write_outcome(outcome: &Outcome, out: &mut Vec<u8>) {
    let line = match outcome {
        Ok(text) => ReplyLine::new(250, &format!("2.0.0 {text}")),
        Err(failure) => ReplyLine::for_failure(failure),
    };
    line.write_to(out);
}

enum Line {
    /// A line without its line end.
    Complete,
    /// A line that was skipped.
    TooLong,
    /// The peer closed at the start of a line.
    Closed,
}

/// Reads a line up to LF or CR LF. The deadline is for the complete line.
fn read_line(wire: &mut Wire<'_>, line: &mut Vec<u8>) -> Result<Line, SessionEnd> {
    line.clear();
    let mut length = 0;
    if wire.is_empty() {
        wire.peer.reset_deadline();
    }
    loop {
        if wire.is_empty() && wire.fill()? == 0 {
            return if length == 0 { Ok(Line::Closed) } else { Err(SessionEnd::Disconnected) };
        }
        let unread = wire.unread();
        let lf = memchr(b'\n', unread);
        let end = lf.map_or(unread.len(), |lf| lf + 1);
        length += end;
        if length <= MAX_LINE {
            line.extend_from_slice(&unread[..end]);
        }
        wire.consume(end);
        if lf.is_some() {
            break;
        }
    }
    if length > MAX_LINE {
        return Ok(Line::TooLong);
    }
    line.pop();
    line.pop_if(|last| *last == b'\r');
    Ok(Line::Complete)
}

#[cfg(test)]
mod tests {
    use std::io;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::deliver::session::Protocol;
    use crate::mailbox::Cancel;
    use crate::promises::{self, Script};

    /// Plays a client, and compares the replies and the delivered mail.
    fn check(sent: &str, max_size: Option<u64>, want: Expect) {
        let sent = sent.replace('\n', "\r\n");
        want.assert_eq(
            &promises::play_session(Protocol::Lmtp, Script::of(sent.as_bytes(), &[]), max_size).to_string(),
        );
    }

    #[test]
    fn a_message_for_several_has_an_outcome_for_each() {
        check(
            "LHLO mx\nMAIL FROM:<ann@a.example> SIZE=20 BODY=8BITMIME\nRCPT TO:<joe@h>\nRCPT TO:<nobody@h>\n\
             RCPT TO:<full@h>\nRCPT TO:<joe@h>\nRCPT TO:<busy@h>\nDATA\nSubject: x\n\n..\n...\nbye\n.\nQUIT\n",
            None,
            expect![[r#"
                220 mx.example mailferry LMTP
                250-mx.example
                250-PIPELINING
                250-8BITMIME
                250-ENHANCEDSTATUSCODES
                250 SIZE
                250 2.1.0 ok
                250 2.1.5 ok
                550 5.1.1 there is no nobody
                250 2.1.5 ok
                250 2.1.5 ok
                250 2.1.5 ok
                354 end with a dot on a line by itself
                250 2.0.0 joe@h has it
                552 5.2.2 full is over quota
                250 2.0.0 joe@h has it
                451 4.2.0 busy is locked
                221 2.0.0 bye
                <ann@a.example> to joe@h: "Subject: x\n\n.\n..\nbye\n"
                <ann@a.example> to joe@h: "Subject: x\n\n.\n..\nbye\n"
                Orderly
            "#]],
        );
    }

    #[test]
    fn two_messages_in_one_session() {
        check(
            "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h>\nDATA\n1\n.\n\
             MAIL FROM:<b@b>\nRCPT TO:<ann@h>\nRSET\nMAIL FROM:<c@c>\nRCPT TO:<eve@h>\nDATA\n2\n.\n",
            None,
            expect![[r#"
                220 mx.example mailferry LMTP
                250-mx.example
                250-PIPELINING
                250-8BITMIME
                250-ENHANCEDSTATUSCODES
                250 SIZE
                250 2.1.0 ok
                250 2.1.5 ok
                354 end with a dot on a line by itself
                250 2.0.0 joe@h has it
                250 2.1.0 ok
                250 2.1.5 ok
                250 2.0.0 forgotten
                250 2.1.0 ok
                250 2.1.5 ok
                354 end with a dot on a line by itself
                250 2.0.0 eve@h has it
                <> to joe@h: "1\n"
                <c@c> to eve@h: "2\n"
                Orderly
            "#]],
        );
    }

    #[test]
    fn commands_have_an_order() {
        check(
            "MAIL FROM:<>\nEHLO mx\nLHLO mx\nRCPT TO:<joe@h>\nDATA\nMAIL FROM:<>\nMAIL FROM:<>\n\
             RCPT TO:<nobody@h>\nDATA\nRCPT TO:<joe@h>\nLHLO mx\nDATA\nVRFY joe\nHELP\nNOOP x\nQUIT\nNOOP\n",
            Some(1000),
            expect![[r#"
                220 mx.example mailferry LMTP
                503 5.5.1 say LHLO first
                500 5.5.1 this is LMTP: send LHLO
                250-mx.example
                250-PIPELINING
                250-8BITMIME
                250-ENHANCEDSTATUSCODES
                250 SIZE 1000
                503 5.5.1 no sender: MAIL first
                503 5.5.1 no recipients: RCPT first
                250 2.1.0 ok
                503 5.5.1 there is a sender already: use RSET first
                550 5.1.1 there is no nobody
                503 5.5.1 no recipients: RCPT first
                250 2.1.5 ok
                250-mx.example
                250-PIPELINING
                250-8BITMIME
                250-ENHANCEDSTATUSCODES
                250 SIZE 1000
                503 5.5.1 no recipients: RCPT first
                252 2.0.0 try RCPT
                214 2.0.0 LHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT
                250 2.0.0 ok
                221 2.0.0 bye
                Orderly
            "#]],
        );
    }

    #[test]
    fn a_size_is_refused_when_announced_and_when_received() {
        check(
            "LHLO mx\nMAIL FROM:<> SIZE=11\nMAIL FROM:<> SIZE=10\nRCPT TO:<joe@h>\nRCPT TO:<ann@h>\nDATA\n\
             0123456789\nMAIL FROM:<x@y>\n.\nMAIL FROM:<>\nRCPT TO:<joe@h>\nDATA\n012345678\n.\nQUIT\n",
            Some(10),
            expect![[r#"
                220 mx.example mailferry LMTP
                250-mx.example
                250-PIPELINING
                250-8BITMIME
                250-ENHANCEDSTATUSCODES
                250 SIZE 10
                552 5.3.4 11 bytes are announced, 10 are allowed
                250 2.1.0 ok
                250 2.1.5 ok
                250 2.1.5 ok
                354 end with a dot on a line by itself
                552 5.3.4 the message has 27 bytes, 10 are allowed
                552 5.3.4 the message has 27 bytes, 10 are allowed
                250 2.1.0 ok
                250 2.1.5 ok
                354 end with a dot on a line by itself
                250 2.0.0 joe@h has it
                221 2.0.0 bye
                <> to joe@h: "012345678\n"
                Orderly
            "#]],
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let noop = |length: usize| format!("NOOP {}\n", "x".repeat(length - 7));
        check(
            &format!("{}{}QUIT\n", noop(MAX_LINE), noop(MAX_LINE + 1)),
            None,
            expect![[r#"
            220 mx.example mailferry LMTP
            250 2.0.0 ok
            500 5.5.2 the line is too long
            221 2.0.0 bye
            Orderly
        "#]],
        );
        check(
            &format!("{}\nQUIT\n", "y".repeat(1 << 20)),
            None,
            expect![[r#"
            220 mx.example mailferry LMTP
            500 5.5.2 the line is too long
            221 2.0.0 bye
            Orderly
        "#]],
        );
    }

    #[test]
    fn recipients_are_limited() {
        let many = "RCPT TO:<joe@h>\n".repeat(MAX_RECIPIENTS + 2);
        let sent = format!("LHLO mx\nMAIL FROM:<>\n{many}DATA\nx\n.\nQUIT\n").replace('\n', "\r\n");
        let spoken = promises::play_session(Protocol::Lmtp, Script::of(sent.as_bytes(), &[]), None);
        let count = |start: &str| spoken.replies.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!((count("250 2.1.5"), count("452 4.5.3"), count("250 2.0.0")), (1000, 2, 1000));
    }

    #[test]
    fn a_session_that_leads_nowhere_ends() {
        let long = "y".repeat(MAX_LINE);
        for (before, again, limit) in [
            ("", "XYZZY", 20),
            ("", "MAIL FROM:<>", 20),
            ("LHLO mx\n", "MAIL FROM:broken", 20),
            ("LHLO mx\n", "RCPT TO:<joe@h>", 20),
            ("LHLO mx\n", "DATA", 20),
            ("LHLO mx\n", "MAIL FROM:<> X=Y", 20),
            ("LHLO mx\n", "AUTH PLAIN", 20),
            ("", &long, 20),
            ("", "VRFY a", 100),
            ("", "NOOP", 100),
            ("", "HELP", 100),
            ("", "RSET", 100),
            ("", "LHLO mx", 500),
            ("LHLO mx\n", "MAIL FROM:<>\nRCPT TO:<joe@h>\nRSET", 150),
            ("LHLO mx\nMAIL FROM:<>\n", "RCPT TO:<nobody@h>", 1000),
        ] {
            let sent = format!("{before}{}", format!("{again}\n").repeat(2000)).replace('\n', "\r\n");
            let spoken = promises::play_session(Protocol::Lmtp, Script::of(sent.as_bytes(), &[]), None);
            assert_eq!(spoken.replies.last().unwrap(), "421 4.7.0 too many errors; closing", "{again}");
            assert!(spoken.replies.len() <= limit + 10, "{again}: {}", spoken.replies.len());
            assert!(matches!(spoken.ending, SessionEnd::TooManyErrors));
        }
    }

    #[test]
    fn a_message_makes_up_for_errors() {
        let sent = "XYZZY\nNOOP\n".repeat(19) + "MAIL FROM:<>\nRCPT TO:<joe@h>\nDATA\nx\n.\n";
        let sent = format!("LHLO mx\n{}QUIT\n", sent.repeat(10)).replace('\n', "\r\n");
        let spoken = promises::play_session(Protocol::Lmtp, Script::of(sent.as_bytes(), &[]), None);
        assert_eq!((spoken.delivered.len(), spoken.replies.last().unwrap().as_str()), (10, "221 2.0.0 bye"));
    }

    #[test]
    fn the_time_limit_is_for_all_of_a_message() {
        let start = b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<joe@h>\r\nDATA\r\n";
        // Bytes at a time, seconds between them, and whether there is a limit on the size.
        for (piece, pause, max_size, is_delivered) in [
            (1, 2, None, false),
            (1, 0, None, true),
            (1 << 16, 1, None, true),
            (1 << 16, 2, None, false),
            (1 << 16, 1, Some(1 << 20), false),
        ] {
            let message = [vec![b'x'; piece * 400], b"\r\n.\r\n".to_vec()].concat();
            let wire = [&start[..], &message].concat();
            let cuts = [vec![start.len()], vec![piece; 400]].concat();
            let mut script = Script::of(&wire, &cuts);
            script.pause = std::time::Duration::from_secs(pause);
            let spoken = promises::play_session(Protocol::Lmtp, script, max_size);
            assert_eq!(spoken.delivered.len(), usize::from(is_delivered), "{piece} bytes in {pause} s");
            let is_timed_out = spoken.replies.last().unwrap().starts_with("421 4.4.2");
            assert_eq!(is_timed_out, !is_delivered, "{:?}", spoken.replies.last());
        }
    }

    #[test]
    fn a_truncated_message_is_not_delivered() {
        for (sent, want) in [
            ("", "Orderly"),
            ("LHLO mx\n", "Orderly"),
            ("LHLO mx", "Disconnected"),
            ("LHLO mx\nMAIL FROM:<>\n", "Disconnected"),
            ("LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h>\nDATA\na\n.", "Disconnected"),
            ("LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h>\nDATA\na\n.\n", "Orderly"),
        ] {
            let sent = sent.replace('\n', "\r\n");
            let spoken = promises::play_session(Protocol::Lmtp, Script::of(sent.as_bytes(), &[]), None);
            assert_eq!(format!("{:?}", spoken.ending), want, "{sent:?}");
            assert_eq!(spoken.delivered.len(), usize::from(sent.ends_with("a\r\n.\r\n")));
        }
    }

    #[test]
    fn silence_and_signals_end_a_session_with_a_reply() {
        let sent = b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<joe@h>\r\nDATA\r\nhalf";
        for (kind, told) in [(io::ErrorKind::TimedOut, "421 4.4.2"), (io::ErrorKind::Other, "354 ")] {
            let mut script = Script::of(sent, &[]);
            script.end = Some(kind);
            let spoken = promises::play_session(Protocol::Lmtp, script, None);
            assert!(spoken.replies.last().unwrap().starts_with(told), "{:?}", spoken.replies);
            assert!(spoken.delivered.is_empty());
        }
        let cancel = Cancel::requested();
        let spoken = promises::play_session_until(Protocol::Lmtp, Script::of(b"NOOP\r\n", &[]), None, cancel);
        assert!(spoken.replies.last().unwrap().starts_with("421 4.3.2"), "{:?}", spoken.replies);
        assert!(matches!(spoken.ending, SessionEnd::Interrupted));
    }

    #[test]
    fn replies_are_sent_once_all_input_is_processed() {
        let sent = b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<joe@h>\r\nNOOP\r\n";
        // The greeting is sent before the first read.
        assert_eq!(promises::play_session(Protocol::Lmtp, Script::of(sent, &[]), None).writes, 2);
        let byte_by_byte =
            promises::play_session(Protocol::Lmtp, Script::of(sent, &vec![1; sent.len()]), None);
        assert_eq!(byte_by_byte.writes, 5);
        // No outcome waits for the next recipient.
        let sent = b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<joe@h>\r\nRCPT TO:<ann@h>\r\nDATA\r\nx\r\n.\r\n";
        assert_eq!(promises::play_session(Protocol::Lmtp, Script::of(sent, &[]), None).writes, 3);
    }

    proptest! {
        #[test]
        fn chunks_change_nothing_and_a_cut_delivers_nothing_partial(
            lines in proptest::collection::vec(prop_oneof![
                Just("LHLO mx"), Just("MAIL FROM:<a@b>"), Just("RCPT TO:<joe@h>"), Just("RCPT TO:<full@h>"),
                Just("DATA"), Just("."), Just(".."), Just("RSET"), Just("text\r\n\r\0"), Just("\n.\n"),
            ], 0..12),
            cuts in proptest::collection::vec(1usize..20, 0..30),
            until in any::<proptest::sample::Index>(),
        ) {
            let mut wire = b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<joe@h>\r\n".to_vec();
            lines.iter().for_each(|line| wire.extend(format!("{line}\r\n").bytes()));
            promises::lmtp_session(&wire, &cuts, until.index(wire.len()));
        }
    }
}
