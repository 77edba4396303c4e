//! A message goes out, by a protocol or to a program: a message and an envelope in, an outcome for each recipient
//! out.
//!
//! ```text
//! place        qmqp://host, lmtp+unix:/path, maildir:…: where to
//! qmqp, qmtp   qmail's own protocols, over netstring
//! smtp         SMTP and LMTP; reply: what a server says; stuffing: a message's form on the wire
//! net          connections with time limits
//! queue        a program with qmail-queue's interface; sendmail: one with sendmail's; child: their processes; giving: what
//!              they are given
//! outcome      what became of it;  message: what is sent
//! ```

mod capture;
pub mod child_pipes;
pub mod envelope;
pub mod failure;
pub mod message;
pub mod net;
pub mod netstring;
pub mod next_hop;
pub mod outcome;
#[cfg(test)]
pub(crate) mod peer;
pub mod process;
pub mod qmqp;
pub mod qmtp;
pub mod queue;
pub mod reply;
pub mod sendmail;
pub mod smtp;
pub mod spool;
pub mod stuffing;

pub use message::Message;
pub use outcome::{Fate, Outcome};

/// From whom and for whom a message is handed on; raw addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Empty for the null sender.
    pub sender: Vec<u8>,
    /// In order, doubles too.
    pub recipients: Vec<Vec<u8>>,
}

/// Why the next hop did not take the message, or did not say that it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Permanent, temporary or unsure.
    pub fate: Fate,
    /// What the next hop says, or is to be said of it; in qmail's style, an enhanced status at the end.
    pub text: String,
}

impl Refusal {
    /// Of a program that died, or was killed by us: it may have accepted what it has read to its end, and nothing
    /// else.
    fn of_ended_early(all_was_read: bool, text: impl Into<String>) -> Refusal {
        let fate = if all_was_read { Fate::Unsure } else { Fate::Temporary };
        Refusal { fate, text: text.into() }
    }
}
