//! The limits on commands that lead to no message. Each session holds one of the few connections that inetd or systemd
//! allows, and a broken or hostile client would hold it for ever.

use super::reply::ReplyLine;

/// Recipients per message: ten times the number that RFC 5321 requires.
pub(super) const MAX_RECIPIENTS: usize = 1000;
/// Errors of the client, as in Postfix (smtpd_hard_error_limit).
const MAX_ERRORS: usize = 20;
/// Commands that are correct and lead nowhere, as in Postfix (smtpd_junk_command_limit).
const MAX_IDLE: usize = 100;

/// The cost of a session since its last message.
#[derive(Debug, Default)]
pub(super) struct Tolerance {
    errors: usize,
    /// Commands other than RCPT.
    idle: usize,
    refused_recipients: usize,
}

impl Tolerance {
    /// Counts a command with its reply. Returns whether the session goes on.
    ///
    /// A refused recipient is not an error of the client: a list has many that are gone.
    pub(super) fn allows(&mut self, is_rcpt: bool, reply: &ReplyLine) -> bool {
        match is_rcpt {
            _ if reply.is_protocol_error() => self.errors += 1,
            true if reply.is_refusal() => self.refused_recipients += 1,
            true => {}
            false => self.idle += 1,
        }
        self.errors < MAX_ERRORS && self.idle < MAX_IDLE && self.refused_recipients < MAX_RECIPIENTS
    }
}
