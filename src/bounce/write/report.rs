//! What failed, for whom and why, checked so that it can be written.

use super::text::{self, Reason};
use crate::bounce::status::Status;
use crate::transport::envelope;

/// A permanent failure to report. All recipients have the same status and reason.
#[derive(Debug, Clone)]
pub(crate) struct BounceReport {
    pub(crate) sender: BounceSender,
    /// Raw addresses that [`super::parse_recipient`] accepts; at least one.
    pub(crate) recipients: Vec<String>,
    pub(crate) status: Status,
    pub(crate) reason: Reason,
    /// The host that refused the message.
    pub(crate) remote_mta: Option<String>,
    pub(crate) reporter: ReportingHost,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl BounceReport {
    /// Returns the header fields that both formats have, except for the last ones.
    pub(super) fn header(&self) -> String {
        format!(
            "Return-Path: <>\nDate: {}\nFrom: MAILER-DAEMON@{}\nTo: {}\n",
            text::date(self.now),
            self.reporter.host,
            self.sender.quoted()
        )
    }
}

/// The host that writes the report, and a process on it.
#[derive(Debug, Clone)]
pub(crate) struct ReportingHost {
    pub(super) host: String,
    pub(super) pid: u32,
}

impl ReportingHost {
    /// Returns the reporter on this host. A name that cannot be written into a field becomes `localhost`.
    pub(crate) fn new(host: &[u8], pid: u32) -> ReportingHost {
        let host = String::from_utf8_lossy(host).into_owned();
        let host = if text::is_host(&host) { host } else { "localhost".to_owned() };
        ReportingHost { host, pid }
    }
}

/// The envelope sender of the original, which gets the bounce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BounceSender(String);

/// Why a message gets no bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoBounce {
    #[error("the sender is empty: the message is a bounce, and a bounce gets no bounce")]
    NullSender,
    #[error("the sender is #@[]: the message is a double bounce, which gets no bounce")]
    DoubleBounce,
    #[error("the sender is not an address to which a bounce can be sent")]
    NotAnAddress,
}

impl BounceSender {
    /// Takes a raw address. That of a list with VERP is `list-@host-@[]`; the bounce goes to `list-@host`, as from
    /// qmail-send.
    pub(crate) fn new(raw: &[u8]) -> Result<BounceSender, NoBounce> {
        match raw.strip_suffix(b"-@[]").unwrap_or(raw) {
            b"" => Err(NoBounce::NullSender),
            b"#@[]" => Err(NoBounce::DoubleBounce),
            sender => {
                let sender =
                    String::from_utf8(sender.to_vec()).ok().filter(|sender| text::is_address(sender));
                sender.map(BounceSender).ok_or(NoBounce::NotAnAddress)
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address as it is in a field.
    fn quoted(&self) -> String {
        String::from_utf8_lossy(&envelope::quote(self.0.as_bytes())).into_owned()
    }
}

/// Parses the status code of a failure: 4.x.x or 5.x.x.
pub(crate) fn parse_status(text: &str) -> Result<Status, String> {
    let status = Status::at_start(text.as_bytes()).filter(|status| status.class() != 2);
    // Nothing follows it, and no number begins with a zero.
    let status = status.filter(|status| status.to_string() == text);
    status.ok_or_else(|| "a status of a failure: 5.x.x or 4.x.x, such as 5.1.1".to_owned())
}
