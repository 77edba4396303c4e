//! The limits on a session that leads to no message. Each session holds one of the few connections that inetd or systemd
//! allows, and a broken or hostile client would hold it for ever.

/// Recipients per message: ten times the number that RFC 5321 requires.
pub(super) const MAX_RECIPIENTS: usize = 1000;
/// Errors of the client, as in Postfix (smtpd_hard_error_limit).
const MAX_ERRORS: usize = 20;
/// Commands that are correct and lead nowhere, as in Postfix (smtpd_junk_command_limit).
const MAX_IDLE: usize = 100;

/// The cost of a session since its last message.
#[derive(Debug, Default)]
pub(super) struct Tolerance {
    /// Errors of syntax, of order, or with a parameter.
    pub(super) errors: usize,
    /// Commands other than RCPT, or messages for no one.
    pub(super) idle: usize,
    pub(super) refused_recipients: usize,
}

impl Tolerance {
    /// Reports whether the session has to end.
    pub(super) fn is_exhausted(&self) -> bool {
        self.errors >= MAX_ERRORS || self.idle >= MAX_IDLE || self.refused_recipients >= MAX_RECIPIENTS
    }
}
