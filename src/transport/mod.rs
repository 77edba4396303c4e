//! Handing a message on: bytes and an envelope in, an outcome out.

pub mod child;
pub mod place;
pub mod queue;
pub mod sendmail;

/// From whom and for whom a message is handed on; raw addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Empty for the null sender.
    pub sender: Vec<u8>,
    /// In order, doubles too.
    pub recipients: Vec<Vec<u8>>,
}

/// Why the next hop did not take the message: nothing of it is there, as far as can be known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Whether it is refused for good.
    pub permanent: bool,
    /// What the next hop says, or is to be said of it; in qmail's style, an enhanced status at the end.
    pub text: String,
}
