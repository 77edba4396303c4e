//! Equality of messages.

use crate::mailbox::manifest::Digest;
use crate::mailbox::message::header;

/// The messages that `--dedupe` skips.
// Doc comments of the variants would be the help of --dedupe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Dedupe {
    #[default]
    #[cfg_attr(feature = "cli", value(skip))]
    No,
    // Messages with the same bytes, except for the fields that mail readers rewrite.
    Content,
    // Messages with the same Message-ID.
    MessageId,
}

impl Dedupe {
    /// Returns the key by which a message counts as a duplicate.
    pub(crate) fn key(self, message: &[u8], content: Digest) -> Option<Digest> {
        match self {
            Dedupe::No => None,
            Dedupe::Content => Some(content),
            Dedupe::MessageId => {
                let header = header::split(message).header;
                let id = header::fields(header).find(|f| f.is("Message-ID"))?;
                let id = header::unfold(id.value);
                (!id.is_empty()).then(|| Digest::of(&id))
            }
        }
    }
}

/// Returns the BLAKE3 of a message without the fields that mail readers rewrite; None if it has no such field.
pub(crate) fn content_digest(message: &[u8]) -> Option<Digest> {
    let split = header::split(message);
    let header = header::without_volatile(split.header)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header);
    hasher.update(&message[split.header.len()..]);
    Some(hasher.finalize().into())
}

/// The digests that identify a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageDigests {
    /// Without the fields that mail readers rewrite.
    pub(crate) content: Digest,
    pub(crate) file: Digest,
    /// The key for `--dedupe`, if the message has one.
    pub(crate) key: Option<Digest>,
}
