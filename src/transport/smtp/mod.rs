//! SMTP (RFC 5321) and LMTP (RFC 2033) client with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and enhanced status codes, and
//! with AUTH over TLS.
//!
//! - A server that refuses the session (greeting, HELO) has not refused the message. That is temporary.
//! - 8BITMIME is declared if the server offers it and the message needs it. Otherwise an 8-bit message is sent
//!   unchanged. RFC 6152 demands to convert or return it, but servers that strip the eighth bit are gone, and a
//!   conversion invalidates signatures. qmail and Exim do the same.
//! - SMTPUTF8 is requested if an address of the envelope is not ASCII. Without it such an address cannot be sent, and is
//!   permanently refused. A UTF-8 header requests nothing.
//! - If a server limits the recipients of a transaction (452), the others get the message in another transaction.
//! - qmail's VERP sender `list-@host-@[]` is expanded: each recipient gets a transaction of its own.

#[cfg(feature = "tls")]
mod auth;
mod command;
mod dialogue;
#[cfg(feature = "tls")]
mod mechanisms;
#[cfg(feature = "tls")]
mod protect;
#[cfg(test)]
mod tests;

use std::iter;

use super::reply::Reply;
use super::stuffing::DotStuffer;
#[cfg(feature = "tls")]
use super::submission_hop::SubmissionHop;
use super::{Connection, Outcome, OutcomeKind, OutgoingMessage, TransportError};
#[cfg(feature = "tls")]
use auth::LoginError;
use command::{Extensions, MessageStats, command_line, expand_verp, refuse_address};
use dialogue::{check_helo_name, read_greeting, require_welcome};
#[cfg(feature = "tls")]
use protect::Protected;
#[cfg(feature = "tls")]
pub(crate) use protect::SubmissionOptions;

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
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; message.envelope.recipients.len()];
    let sent = check_helo_name(helo_name)
        .and_then(|()| read_greeting(connection))
        .and_then(|()| Session::open(connection, protocol, helo_name))
        .and_then(|mut session| session.send_to_all(message, &mut outcomes).inspect(|()| session.quit()));
    complete(outcomes, sent)
}

/// Sends a message over TLS, after a login if the hop has a user. Without either nothing is sent.
#[cfg(feature = "tls")]
pub(crate) fn submit(
    hop: &SubmissionHop,
    message: &OutgoingMessage<'_>,
    options: SubmissionOptions<'_>,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; message.envelope.recipients.len()];
    let sent = (|| {
        let mut protected = Protected::connect(hop, options)?;
        let extensions = Session::open(protected.connection(), Protocol::Smtp, options.helo_name)?.extensions;
        if let Some(login) = &hop.login {
            auth::log_in(&mut protected, &extensions.mechanisms, login)?;
        }
        let connection = protected.connection();
        let mut session = Session { connection, protocol: Protocol::Smtp, extensions };
        session.send_to_all(message, &mut outcomes)?;
        session.quit();
        Ok(())
    })();
    match sent {
        Err(LoginError::Refused(refusal)) => vec![refusal; outcomes.len()],
        Err(LoginError::Transport(error)) => complete(outcomes, Err(error)),
        Ok(()) => complete(outcomes, Ok(())),
    }
}

/// Adds the outcomes of recipients that were not reached before a session ended.
fn complete(outcomes: Vec<Option<Outcome>>, sent: Result<(), TransportError>) -> Vec<Outcome> {
    let error = sent.err().unwrap_or(TransportError::Closed);
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Outcome::not_sent(&error))).collect()
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
    /// Sends EHLO or its like.
    fn open(
        connection: &'c mut Connection<'p>,
        protocol: Protocol,
        helo_name: &str,
    ) -> Result<Self, TransportError> {
        let mut session = Session { connection, protocol, extensions: Extensions::default() };
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
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), TransportError> {
        let (envelope, stats) = (message.envelope, MessageStats::of(message)?);
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
            let reply = dialogue::read_reply_within(self.connection, final_reply);
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
        dialogue::command(self.connection, line)
    }

    fn read_reply(&mut self) -> Result<Reply, TransportError> {
        dialogue::read_reply(self.connection)
    }

    /// Sends QUIT without waiting for the reply: the outcomes are known.
    fn quit(&mut self) {
        let _ = self.connection.write(b"QUIT\r\n").and_then(|()| self.connection.flush());
    }
}

fn require_kind(reply: &Reply) -> Result<OutcomeKind, TransportError> {
    let out_of_place = || TransportError::Garbled(format!("an answer out of place: {}", reply.text()));
    reply.kind().ok_or_else(out_of_place)
}
