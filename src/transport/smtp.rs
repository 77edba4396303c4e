//! SMTP (RFC 5321) and LMTP (RFC 2033) client with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and enhanced status codes,
//! without TLS and AUTH.
//!
//! - A server that refuses the session (greeting, HELO) has not refused the message. That is temporary.
//! - 8BITMIME is declared if the server offers it and the message needs it. Otherwise an 8-bit message is sent
//!   unchanged. RFC 6152 demands to convert or return it, but servers that strip the eighth bit are gone, and a
//!   conversion invalidates signatures. qmail and Exim do the same.
//! - SMTPUTF8 is requested if an address of the envelope is not ASCII. Without it such an address cannot be sent, and is
//!   permanently refused. A UTF-8 header requests nothing.
//! - If a server limits the recipients of a transaction (452), the others get the message in another transaction.
//! - qmail's VERP sender `list-@host-@[]` is expanded: each recipient gets a transaction of its own.

use std::iter;
use std::time::Duration;

use super::reply::{Parser, Reply};
use super::spool::LineCounts;
use super::stuffing::DotStuffer;
use super::{Connection, Envelope, Outcome, OutcomeKind, OutgoingMessage, TransportError, envelope};

/// The number of pipelined commands. Their replies fit into the socket buffers. With more, client and server could both
/// wait for the other to read (RFC 2920, 3.1).
const MAX_PIPELINED: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One reply to the message.
    Smtp,
    /// One reply per recipient.
    Lmtp,
}

/// Sends a message. `helo_name` is this client's name.
pub(crate) fn send(
    connection: &mut Connection<'_>,
    protocol: Protocol,
    helo_name: &str,
    message: &OutgoingMessage<'_>,
    envelope: &Envelope,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; envelope.recipients.len()];
    let sent = match Session::open(connection, protocol, helo_name) {
        Ok(mut session) => session.send_to_all(message, envelope, &mut outcomes).inspect(|()| session.quit()),
        Err(error) => Err(error),
    };
    // Recipients without an outcome were not reached before the session ended.
    let error = sent.err().unwrap_or(TransportError::Closed);
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Outcome::not_sent(&error))).collect()
}

/// The extensions that a server offers.
#[derive(Debug, Default)]
struct Extensions {
    pipelining: bool,
    eight_bit: bool,
    utf8: bool,
    /// The largest message; 0 if the server sets no limit.
    size: Option<u64>,
}

impl Extensions {
    fn parse(reply: &Reply) -> Extensions {
        let mut extensions = Extensions::default();
        // The first line is the greeting.
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split(|&b| b == b' ' || b == b'=');
            match words.next().unwrap_or_default().to_ascii_uppercase().as_slice() {
                b"PIPELINING" => extensions.pipelining = true,
                b"8BITMIME" => extensions.eight_bit = true,
                b"SMTPUTF8" => extensions.utf8 = true,
                b"SIZE" => {
                    let size = words.next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
                    extensions.size = Some(size.unwrap_or(0));
                }
                _ => {}
            }
        }
        extensions
    }
}

/// Properties of the message in its form on the wire.
#[derive(Debug, Clone, Copy)]
struct MessageStats {
    size: u64,
    eight_bit: bool,
}

impl MessageStats {
    fn of(message: &OutgoingMessage<'_>) -> Result<MessageStats, TransportError> {
        let (mut lines, mut eight_bit) = (LineCounts::default(), false);
        message.for_each_chunk(&mut |bytes| {
            eight_bit |= !bytes.is_ascii();
            lines.push(bytes);
            Ok(())
        })?;
        let missing_line_end = if lines.last_byte == Some(b'\n') { 0 } else { 2 };
        Ok(MessageStats { size: message.length() + lines.bare_lfs + missing_line_end, eight_bit })
    }
}

/// A recipient, by its index among the outcomes.
#[derive(Debug, Clone, Copy)]
struct Recipient<'a> {
    index: usize,
    address: &'a [u8],
}

/// One transaction: MAIL, RCPT, DATA.
struct Transaction<'a> {
    message: &'a OutgoingMessage<'a>,
    stats: MessageStats,
    sender: &'a [u8],
    recipients: Vec<Recipient<'a>>,
}

fn is_limit_reached(reply: &Reply) -> bool {
    reply.code == 452
}

/// A session after the greetings.
struct Session<'c, 'p> {
    connection: &'c mut Connection<'p>,
    protocol: Protocol,
    extensions: Extensions,
}

impl<'c, 'p> Session<'c, 'p> {
    fn open(
        connection: &'c mut Connection<'p>,
        protocol: Protocol,
        helo_name: &str,
    ) -> Result<Self, TransportError> {
        if helo_name.is_empty() || !helo_name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TransportError::Garbled(format!("{helo_name:?} is no name to say to a server")));
        }
        let mut session = Session { connection, protocol, extensions: Extensions::default() };
        require_welcome(&session.read_reply()?)?;
        let word = if protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        let mut reply = session.command(&format!("{word} {helo_name}\r\n"))?;
        match reply.kind() {
            Some(OutcomeKind::Accepted) => session.extensions = Extensions::parse(&reply),
            Some(OutcomeKind::Permanent) if protocol == Protocol::Smtp => {
                reply = session.command(&format!("HELO {helo_name}\r\n"))?;
            }
            _ => {}
        }
        require_welcome(&reply)?;
        Ok(session)
    }

    /// Sends a message to all recipients, in as many transactions as necessary.
    fn send_to_all(
        &mut self,
        message: &OutgoingMessage<'_>,
        envelope: &Envelope,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), TransportError> {
        let stats = MessageStats::of(message)?;
        let utf8 = self.extensions.utf8;
        for (outcome, recipient) in outcomes.iter_mut().zip(&envelope.recipients) {
            *outcome = refuse_address(recipient, utf8, "recipient");
        }
        let verp = envelope.sender.strip_suffix(b"-@[]");
        let mut is_first = true;
        loop {
            let mut pending: Vec<usize> = (0..outcomes.len()).filter(|&n| outcomes[n].is_none()).collect();
            let Some(&next) = pending.first() else { return Ok(()) };
            let sender = match verp {
                Some(list) => {
                    pending.truncate(1);
                    expand_verp(list, &envelope.recipients[next])
                }
                None => envelope.sender.clone(),
            };
            let refused = refuse_address(&sender, utf8, "sender").or_else(|| self.refuse_size(stats));
            if let Some(refused) = refused {
                pending.iter().for_each(|&n| outcomes[n] = Some(refused.clone()));
                continue;
            }
            if !std::mem::take(&mut is_first) {
                self.command("RSET\r\n")?;
            }
            let recipient = |index| Recipient { index, address: &envelope.recipients[index] };
            let recipients = pending.into_iter().map(recipient).collect();
            self.run(&Transaction { message, stats, sender: &sender, recipients }, outcomes)?;
        }
    }

    fn refuse_size(&self, stats: MessageStats) -> Option<Outcome> {
        let limit = self.extensions.size.filter(|&limit| limit > 0 && limit < stats.size)?;
        let text = format!("the message has {} bytes, the server takes {limit}", stats.size);
        Some(Outcome::new(OutcomeKind::Permanent, "5.3.4", text))
    }

    /// Runs a transaction. It sets the outcomes of its recipients, except those that exceed the server's limit.
    fn run(
        &mut self,
        transaction: &Transaction<'_>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), TransportError> {
        let recipients = &transaction.recipients;
        let mut replies = Vec::new();
        if let Err(error) = self.send_envelope(transaction, &mut replies) {
            // Recipients that were permanently refused before the error are not tried again.
            for (recipient, reply) in recipients.iter().zip(replies.iter().skip(1)) {
                if reply.kind() == Some(OutcomeKind::Permanent) {
                    outcomes[recipient.index] = Some(reply.outcome(OutcomeKind::Permanent));
                }
            }
            return Err(error);
        }
        let (mail, rcpts) = replies.split_first().ok_or(TransportError::Closed)?;
        let kind = require_kind(mail)?;
        if kind != OutcomeKind::Accepted {
            recipients.iter().for_each(|r| outcomes[r.index] = Some(mail.outcome(kind)));
            return Ok(());
        }
        let mut accepted = Vec::new();
        for (recipient, reply) in recipients.iter().zip(rcpts) {
            match require_kind(reply)? {
                OutcomeKind::Accepted => accepted.push(recipient.index),
                // Another transaction helps only if this one has a recipient.
                _ if is_limit_reached(reply) && !accepted.is_empty() => {}
                kind => outcomes[recipient.index] = Some(reply.outcome(kind)),
            }
        }
        if accepted.is_empty() {
            return Ok(());
        }
        self.connection.expect_silence()?;
        let reply = self.command("DATA\r\n")?;
        if reply.code != 354 {
            // 2xx is neither a refusal nor a valid reply to DATA.
            let kind = require_kind(&reply)?;
            if kind == OutcomeKind::Accepted {
                return Err(TransportError::Garbled(format!("no answer to DATA: {}", reply.text())));
            }
            accepted.iter().for_each(|&n| outcomes[n] = Some(reply.outcome(kind)));
            return Ok(());
        }
        if let Err(error) = self.send_data(transaction.message) {
            let outcome = self.read_early_refusal(&error).unwrap_or_else(|| Outcome::not_sent(&error));
            accepted.iter().for_each(|&n| outcomes[n] = Some(outcome.clone()));
            return Err(error);
        }
        self.read_final_replies(&accepted, outcomes)
    }

    /// Sends MAIL and RCPT, and collects the replies. Ends early if no more recipients are accepted.
    fn send_envelope(
        &mut self,
        transaction: &Transaction<'_>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), TransportError> {
        let mail = self.mail_command(transaction);
        let rcpts = transaction.recipients.iter().map(|r| command_line(b"RCPT TO:<", r.address, ""));
        let mut commands = iter::once(mail).chain(rcpts).peekable();
        let pipelined = if self.extensions.pipelining { MAX_PIPELINED } else { 1 };
        while commands.peek().is_some() {
            self.connection.expect_silence()?;
            let mut count = 0;
            for line in commands.by_ref().take(pipelined) {
                self.connection.write(&line)?;
                count += 1;
            }
            self.connection.flush()?;
            for _ in 0..count {
                let mut reply = self.read_reply()?;
                // The text of a positive reply is never reported.
                if reply.kind() == Some(OutcomeKind::Accepted) {
                    reply.lines = Vec::new();
                }
                replies.push(reply);
            }
            let is_accepted = replies[0].kind() == Some(OutcomeKind::Accepted);
            if !is_accepted || replies.last().is_some_and(is_limit_reached) {
                break;
            }
        }
        Ok(())
    }

    fn mail_command(&self, transaction: &Transaction<'_>) -> Vec<u8> {
        let Transaction { stats, sender, recipients, .. } = transaction;
        let mut parameters = String::new();
        if self.extensions.size.is_some() {
            parameters += &format!(" SIZE={}", stats.size);
        }
        if self.extensions.eight_bit && stats.eight_bit {
            parameters += " BODY=8BITMIME";
        }
        let mut addresses = recipients.iter().map(|r| r.address).chain([*sender]);
        if self.extensions.utf8 && addresses.any(|address| !address.is_ascii()) {
            parameters += " SMTPUTF8";
        }
        command_line(b"MAIL FROM:<", sender, &parameters)
    }

    fn send_data(&mut self, message: &OutgoingMessage<'_>) -> Result<(), TransportError> {
        let mut stuffer = DotStuffer::new();
        let mut wire = Vec::new();
        message.for_each_chunk(&mut |bytes| {
            stuffer.push(bytes, &mut wire);
            self.connection.write(&wire)?;
            wire.clear();
            Ok(())
        })?;
        stuffer.finish(&mut wire);
        self.connection.write(&wire)?;
        self.connection.finish(b".\r\n")
    }

    /// Reads the replies to the message. If one is missing, its recipient and all later ones are unsure.
    fn read_final_replies(
        &mut self,
        accepted: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), TransportError> {
        let is_lmtp = self.protocol == Protocol::Lmtp;
        let replies = if is_lmtp { accepted.len() } else { 1 };
        for n in 0..replies {
            let final_reply = self.connection.timeouts().final_reply;
            let reply = self.read_reply_within(final_reply);
            match reply.and_then(|reply| Ok((require_kind(&reply)?, reply))) {
                Ok((kind, reply)) => {
                    let answered = if is_lmtp { &accepted[n..=n] } else { accepted };
                    answered.iter().for_each(|&n| outcomes[n] = Some(reply.outcome(kind)));
                }
                Err(error) => {
                    let unconfirmed = Outcome::unconfirmed(&error);
                    accepted[n..].iter().for_each(|&n| outcomes[n] = Some(unconfirmed.clone()));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Returns the refusal of a server that closed the connection in the middle of the message.
    fn read_early_refusal(&mut self, error: &TransportError) -> Option<Outcome> {
        use TransportError::{Closed, EarlyReply, Failed};
        if !matches!(error, EarlyReply | Closed | Failed(_)) {
            return None;
        }
        let reply = self.read_reply().ok()?;
        let kind = reply.kind().filter(|&d| d != OutcomeKind::Accepted)?;
        Some(reply.outcome(kind))
    }

    fn command(&mut self, line: &str) -> Result<Reply, TransportError> {
        self.connection.write(line.as_bytes())?;
        self.connection.flush()?;
        self.read_reply()
    }

    fn read_reply(&mut self) -> Result<Reply, TransportError> {
        self.read_reply_within(self.connection.timeouts().reply)
    }

    fn read_reply_within(&mut self, time: Duration) -> Result<Reply, TransportError> {
        let mut parser = Parser::default();
        self.connection.read(time, |bytes| {
            let consumed = parser.take(bytes)?;
            Ok((consumed, parser.is_complete()))
        })?;
        parser.finish().ok_or(TransportError::Closed)
    }

    /// Sends QUIT without waiting for the reply: the outcomes are known.
    fn quit(&mut self) {
        let _ = self.connection.write(b"QUIT\r\n").and_then(|()| self.connection.flush());
    }
}

fn require_welcome(reply: &Reply) -> Result<(), TransportError> {
    match reply.kind() {
        Some(OutcomeKind::Accepted) => Ok(()),
        _ => Err(TransportError::Garbled(format!("it does not talk to us: {}", reply.text()))),
    }
}

fn require_kind(reply: &Reply) -> Result<OutcomeKind, TransportError> {
    let out_of_place = || TransportError::Garbled(format!("an answer out of place: {}", reply.text()));
    reply.kind().ok_or_else(out_of_place)
}

fn command_line(word: &[u8], address: &[u8], parameters: &str) -> Vec<u8> {
    [word, &envelope::quote(address), b">", parameters.as_bytes(), b"\r\n"].concat()
}

/// Refuses an address that cannot be sent. Everything else is the server's decision.
fn refuse_address(address: &[u8], utf8: bool, whose: &str) -> Option<Outcome> {
    let (_, domain) = envelope::split(address);
    let is_control = |b: &u8| b.is_ascii_control();
    let ends_address = |b: &u8| is_control(b) || matches!(b, b' ' | b'<' | b'>');
    if address.iter().any(is_control) || domain.iter().any(ends_address) {
        let status = if whose == "sender" { "5.1.7" } else { "5.1.3" };
        let text = format!("a {whose} like that cannot be said in SMTP");
        return Some(Outcome::new(OutcomeKind::Permanent, status, text));
    }
    (!address.is_ascii() && !utf8).then(|| {
        let text = format!("the {whose} is not ASCII, and the server has no SMTPUTF8");
        Outcome::new(OutcomeKind::Permanent, "5.6.7", text)
    })
}

/// Expands the sender `pre@host-@[]` for one recipient to `preJOE=HIS.HOST@host`, like qmail-send.
fn expand_verp(list: &[u8], recipient: &[u8]) -> Vec<u8> {
    let (pre, host) = envelope::split(list);
    let (local, domain) = envelope::split(recipient);
    match domain.strip_prefix(b"@") {
        Some(domain) => [pre, local, b"=", domain, host].concat(),
        None => list.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::Protocol::{Lmtp, Smtp};
    use super::*;
    use crate::transport::net::Timeouts;
    use crate::transport::outcome::OutcomeKind::*;
    use crate::transport::peer::{HASTY, PATIENT, Peer, envelope, kinds, spooled};

    const MESSAGE: &[u8] = b"Subject: x\n\n.body\n";

    /// The answer to a line that begins so, the first that fits; `^` is the greeting, `.` the end of the
    /// message. Nothing: it hangs up. `...`: it says nothing more.
    type Script = &'static [(&'static str, &'static str)];

    const USUAL: Script = &[
        ("^", "220 me\r\n"),
        ("EHLO", "250-me\r\n250-PIPELINING\r\n250-8bitmime\r\n250 SIZE 1000000\r\n"),
        ("LHLO", "250-me\r\n250 PIPELINING\r\n"),
        ("DATA", "354 go\r\n"),
        (".", "250 2.0.0 ok\r\n"),
        ("", "250 ok\r\n"),
    ];

    fn peer(script: Script) -> Peer {
        Peer::spawn(move |talk| {
            let answer = |line: &[u8]| {
                let known =
                    { script.iter() }.chain(USUAL).find(|(begin, _)| line.starts_with(begin.as_bytes()));
                known.unwrap().1
            };
            let mut answered = answer(b"^");
            loop {
                match answered {
                    "" => return,
                    "..." => return talk.rest(),
                    answer => talk.send(answer),
                }
                if answered.starts_with("354") {
                    talk.until(b"\r\n.\r\n");
                    answered = answer(b".");
                    continue;
                }
                match talk.line() {
                    line if line.is_empty() || line == b"QUIT\r\n" => return,
                    line => answered = answer(&line),
                }
            }
        })
    }

    fn send_to(
        script: Script,
        protocol: Protocol,
        timeouts: Timeouts,
        message: &[u8],
        envelope: &Envelope,
    ) -> (Vec<Outcome>, String) {
        let peer = peer(script);
        let message = spooled(message);
        let mut connection = peer.connect(timeouts);
        let outcomes =
            send(&mut connection, protocol, "me.example", &OutgoingMessage::unmodified(&message), envelope);
        drop(connection);
        (outcomes, String::from_utf8_lossy(&peer.received()).into_owned())
    }

    fn kinds_of(script: Script, protocol: Protocol) -> Vec<OutcomeKind> {
        let envelope = envelope("s@x", &["a@y", "b@y", "c@y"]);
        kinds(&send_to(script, protocol, PATIENT, MESSAGE, &envelope).0)
    }

    #[test]
    fn a_message_is_sent_as_the_server_wants_it() {
        let (outcomes, heard) =
            send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x.example", &["a b@y.example", "\"@y"]));
        assert_eq!(
            heard,
            "EHLO me.example\r\nMAIL FROM:<s@x.example> SIZE=21\r\nRCPT TO:<\"a b\"@y.example>\r\nRCPT TO:<\"\\\"\"@y>\r\nDATA\r\n\
             Subject: x\r\n\r\n..body\r\n.\r\nQUIT\r\n"
        );
        assert_eq!(outcomes[0].status.as_deref(), Some("2.0.0"));
        let (_, heard) = send_to(&[], Smtp, PATIENT, b"\xe9\n", &envelope("", &["a@y"]));
        assert!(heard.contains("MAIL FROM:<> SIZE=3 BODY=8BITMIME\r\n"), "{heard}");
        // To an old server.
        let old: Script = &[("EHLO", "502 what?\r\n")];
        let (outcomes, heard) = send_to(old, Smtp, PATIENT, b"\xe9", &envelope("s@x", &["a@y"]));
        assert_eq!(kinds(&outcomes), [Accepted]);
        assert!(heard.starts_with("EHLO me.example\r\nHELO me.example\r\nMAIL FROM:<s@x>\r\n"), "{heard}");
    }

    #[test]
    fn each_recipient_hears_what_is_for_him() {
        let table: [(Script, [OutcomeKind; 3]); 12] = [
            (&[], [Accepted; 3]),
            (&[("RCPT TO:<b@", "550 5.1.1 no\r\n")], [Accepted, Permanent, Accepted]),
            (&[("RCPT TO:<b@", "450-4.2.1 not\r\n450 4.2.1 now\r\n")], [Accepted, Temporary, Accepted]),
            (&[("RCPT", "550 no\r\n")], [Permanent; 3]),
            (&[("MAIL", "550 no\r\n"), ("RCPT", "503 what?\r\n")], [Permanent; 3]),
            (&[("MAIL", "451 later\r\n"), ("RCPT", "503 what?\r\n")], [Temporary; 3]),
            (
                &[("DATA", "554 no\r\n"), ("RCPT TO:<b@", "450 not now\r\n")],
                [Permanent, Temporary, Permanent],
            ),
            (&[(".", "554 spam\r\n"), ("RCPT TO:<a@", "451 not now\r\n")], [Temporary, Permanent, Permanent]),
            (&[(".", "452 full\r\n")], [Temporary; 3]),
            (&[("^", "554 no\r\n")], [Temporary; 3]),
            (&[("EHLO", "554 no\r\n"), ("HELO", "554 no\r\n")], [Temporary; 3]),
            (&[("EHLO", "421 no\r\n")], [Temporary; 3]),
        ];
        for (script, want) in table {
            assert_eq!(kinds_of(script, Smtp), want, "{script:?}");
        }
    }

    #[test]
    fn in_lmtp_each_recipient_has_an_answer_to_the_message() {
        let table: [(Script, [OutcomeKind; 3]); 5] = [
            (&[(".", "250 a\r\n452 4.2.2 b\r\n550 c\r\n")], [Accepted, Temporary, Permanent]),
            (&[("RCPT TO:<b@", "550 no\r\n"), (".", "250 a\r\n451 c\r\n")], [Accepted, Permanent, Temporary]),
            (&[(".", "250 a\r\n250 b\r\n250 c\r\n250 d\r\n")], [Accepted; 3]),
            (&[(".", "250 a\r\nxyz\r\n250 c\r\n")], [Accepted, Unsure, Unsure]),
            (&[("LHLO", "502 what?\r\n")], [Temporary; 3]),
        ];
        for (script, want) in table {
            assert_eq!(kinds_of(script, Lmtp), want, "{script:?}");
        }
        // One answer too few, and no more to come.
        let envelope = envelope("s@x", &["a@y", "b@y"]);
        let (outcomes, _) = send_to(&[(".", "250 a\r\n")], Lmtp, HASTY, MESSAGE, &envelope);
        assert_eq!(kinds(&outcomes), [Accepted, Unsure]);
    }

    #[test]
    fn a_connection_that_is_lost_is_temporary_and_after_the_dot_unsure() {
        let lost = |at, answer, want| {
            let script: Script = Vec::leak(vec![(at, answer)]);
            let (outcomes, _) = send_to(script, Smtp, HASTY, MESSAGE, &envelope("s@x", &["a@y", "b@y"]));
            assert_eq!(kinds(&outcomes), [want; 2], "{script:?}: {outcomes:?}");
        };
        // At once, since most of them are waiting.
        std::thread::scope(|scope| {
            for (at, want) in [
                ("^", Temporary),
                ("EHLO", Temporary),
                ("MAIL", Temporary),
                ("RCPT", Temporary),
                ("DATA", Temporary),
                (".", Unsure),
            ] {
                for answer in
                    ["", "2", "250 half", "250-more\r\n", "xyz\r\n", "250-a\r\n550 b\r\n", "999 a\r\n", "..."]
                {
                    scope.spawn(move || lost(at, answer, want));
                }
            }
        });
        let endless: &str = String::leak("250-and so on\r\n".repeat(10_000));
        let script: Script = Vec::leak(vec![(".", endless)]);
        assert_eq!(kinds_of(script, Smtp), [Unsure; 3]);
    }

    #[test]
    fn answers_out_of_step_are_not_taken_for_each_other() {
        // Of two answers to MAIL the second is none to the recipient; all of it is given up.
        assert_eq!(kinds_of(&[("RCPT TO:<c@", "250 ok\r\n250 ok\r\n")], Smtp), [Temporary; 3]);
        // A message is not sent to a server that has answered it beforehand.
        let (outcomes, heard) = send_to(
            &[("DATA", "354 go\r\n250 ok\r\n"), (".", "...")],
            Smtp,
            HASTY,
            MESSAGE,
            &envelope("s@x", &["a@y"]),
        );
        assert_eq!(kinds(&outcomes), [Temporary]);
        assert!(!heard.contains("\r\n.\r\n"), "{heard}");
        assert_eq!(kinds_of(&[("DATA", "250 ok\r\n")], Smtp), [Temporary; 3]);
    }

    #[test]
    fn a_server_that_refuses_in_the_middle_of_a_message_is_heard() {
        let peer = Peer::spawn(|talk| {
            for answer in ["220 me\r\n", "250 me\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
                talk.send(answer);
                talk.line();
            }
            talk.receive(100_000);
            talk.send("552 5.3.4 too much\r\n");
            talk.rest();
        });
        let message = spooled(&b"x\n".repeat(20_000_000));
        let mut connection = peer.connect(PATIENT);
        let outcomes = send(
            &mut connection,
            Smtp,
            "me",
            &OutgoingMessage::unmodified(&message),
            &envelope("", &["a@y"]),
        );
        assert_eq!((kinds(&outcomes), outcomes[0].status.as_deref()), (vec![Permanent], Some("5.3.4")));
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        for address in ["a\r\nDATA@y", "a@y> SIZE=1", "a@y\nRSET", "a\0@y", "a@y z", "\x7f@y", "<a@y>x"] {
            let (outcomes, heard) =
                send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x", &[address, "ok@y"]));
            assert_eq!(kinds(&outcomes), [Permanent, Accepted], "{address:?}");
            assert_eq!(outcomes[0].status.as_deref(), Some("5.1.3"));
            assert_eq!(heard.matches("RCPT").count(), 1, "{heard}");
            let (outcomes, heard) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope(address, &["ok@y"]));
            assert_eq!(kinds(&outcomes), [Permanent], "{address:?}");
            assert!(!heard.contains("MAIL"), "{heard}");
        }
        for hello in ["", "a b", "a\r\nb", "ä"] {
            let peer = peer(&[]);
            let message = spooled(MESSAGE);
            let mut connection = peer.connect(PATIENT);
            let outcomes = send(
                &mut connection,
                Smtp,
                hello,
                &OutgoingMessage::unmodified(&message),
                &envelope("", &["a@y"]),
            );
            assert_eq!(kinds(&outcomes), [Temporary]);
        }
    }

    #[test]
    fn addresses_in_utf8_go_to_servers_that_know_them() {
        const UTF8: Script = &[("EHLO", "250-me\r\n250 SMTPUTF8\r\n")];
        let envelope = envelope("s@x", &["a@y", "ä@y"]);
        let (outcomes, heard) = send_to(UTF8, Smtp, PATIENT, MESSAGE, &envelope);
        assert_eq!(kinds(&outcomes), [Accepted; 2]);
        assert!(heard.contains("MAIL FROM:<s@x> SMTPUTF8\r\n"), "{heard}");
        let (outcomes, heard) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope);
        assert_eq!(kinds(&outcomes), [Accepted, Permanent]);
        assert!(!heard.contains("SMTPUTF8"), "{heard}");
    }

    #[test]
    fn a_message_that_is_too_large_is_not_sent() {
        const SMALL: Script = &[("EHLO", "250-me\r\n250 SIZE 20\r\n")];
        let (outcomes, heard) = send_to(SMALL, Smtp, PATIENT, MESSAGE, &envelope("s@x", &["a@y"]));
        assert_eq!((kinds(&outcomes), outcomes[0].status.as_deref()), (vec![Permanent], Some("5.3.4")));
        assert_eq!(heard, "EHLO me.example\r\nQUIT\r\n");
    }

    /// A server that takes three recipients at once.
    fn three_at_once(pipelining: bool) -> Peer {
        Peer::spawn(move |talk| {
            talk.send("220 me\r\n");
            let mut taken = 0;
            loop {
                match &talk.line()[..] {
                    b"" | b"QUIT\r\n" => return,
                    b"DATA\r\n" => {
                        talk.send("354 go\r\n");
                        talk.until(b"\r\n.\r\n");
                        talk.send("250 ok\r\n");
                    }
                    line if line.starts_with(b"EHLO") && pipelining => {
                        talk.send("250-me\r\n250 PIPELINING\r\n")
                    }
                    line if line.starts_with(b"RCPT") && taken == 3 => talk.send("452 4.5.3 too many\r\n"),
                    line => {
                        taken = if line.starts_with(b"RCPT") { taken + 1 } else { 0 };
                        talk.send("250 ok\r\n");
                    }
                }
            }
        })
    }

    #[test]
    fn whom_a_server_does_not_take_with_the_others_gets_a_message_of_his_own() {
        for pipelining in [false, true] {
            let peer = three_at_once(pipelining);
            let message = spooled(MESSAGE);
            let many: Vec<String> = (0..200).map(|n| format!("r{n}@y")).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            let mut connection = peer.connect(PATIENT);
            let outcomes = send(
                &mut connection,
                Smtp,
                "me",
                &OutgoingMessage::unmodified(&message),
                &envelope("", &many),
            );
            assert_eq!(kinds(&outcomes), [Accepted; 200]);
            drop(connection);
            let heard = String::from_utf8(peer.received()).unwrap();
            assert_eq!(heard.matches("DATA").count(), 67);
        }
        // One that is full for one recipient is full.
        assert_eq!(kinds_of(&[("RCPT TO:<b@", "452 4.2.2 full\r\n")], Smtp), [Accepted, Temporary, Accepted]);
        assert_eq!(kinds_of(&[("RCPT", "452 4.3.1 full\r\n")], Smtp), [Temporary; 3]);
    }

    #[test]
    fn ten_thousand_recipients_do_not_make_both_sides_wait() {
        let many: Vec<String> =
            (0..10_000).map(|n| format!("recipient{n}@a.long.host.name.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (outcomes, heard) = send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("s@x", &many));
        assert!(outcomes.iter().all(|outcome| outcome.kind == Accepted));
        assert_eq!(heard.matches("RCPT TO:<").count(), 10_000);
    }

    #[test]
    fn a_sender_for_each_recipient_is_spelled_out() {
        let (outcomes, heard) =
            send_to(&[], Smtp, PATIENT, MESSAGE, &envelope("list-@h.example-@[]", &["joe@y", "ann@z"]));
        assert_eq!(kinds(&outcomes), [Accepted; 2]);
        for line in [
            "MAIL FROM:<list-joe=y@h.example> SIZE=21\r\nRCPT TO:<joe@y>\r\n",
            "RSET\r\nMAIL FROM:<list-ann=z@h.example>",
        ] {
            assert!(heard.contains(line), "{heard}");
        }
    }
}
