//! Equality of messages.

use std::convert::Infallible;
use std::ops::Range;

use super::Rendered;
use crate::mailbox::manifest::Digest;
use crate::mailbox::message::header;
use crate::mailbox::source::mapped;
use crate::mailbox::{Code, Finding};

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
    /// Returns the value of the option; None without it.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Dedupe::No => None,
            Dedupe::Content => Some("content"),
            Dedupe::MessageId => Some("message-id"),
        }
    }

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

    /// Returns the [`key`](Dedupe::key) of a message that is to be written.
    pub(crate) fn rendered_key(self, rendered: &Rendered<'_>) -> Option<Digest> {
        if self == Dedupe::No {
            return None;
        }
        if let Some(file) = rendered.whole() {
            return self.key(&file, content_digest_of(&file));
        }
        // The first chunk has the header. If that is longer, the message is no duplicate.
        let (mut hasher, mut head) = (blake3::Hasher::new(), None);
        let Ok(()) = rendered.for_each(&mut |chunk| {
            match &head {
                Some(_) => hash_without(&[], chunk, &mut hasher),
                None => {
                    let cuts: Vec<_> = header::volatile(header::split(chunk).header).collect();
                    hash_without(&cuts, chunk, &mut hasher);
                    head = Some(chunk.to_vec());
                }
            }
            Ok::<_, Infallible>(())
        });
        self.key(&head.unwrap_or_default(), hasher.finalize().into())
    }
}

/// Returns the BLAKE3 of a message without the fields that mail readers rewrite; None if it has no such field.
pub(crate) fn content_digest(message: &[u8]) -> Option<Digest> {
    let cuts: Vec<_> = header::volatile(header::split(message).header).collect();
    if cuts.is_empty() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hash_without(&cuts, message, &mut hasher);
    Some(hasher.finalize().into())
}

/// Returns the BLAKE3 of a message without the fields that mail readers rewrite.
pub(crate) fn content_digest_of(message: &[u8]) -> Digest {
    content_digest(message).unwrap_or_else(|| Digest::of(message))
}

/// Returns the BLAKE3 of a message followed by `line_ends`, without the fields that mail readers rewrite.
pub(crate) fn content_digest_with(message: &[u8], line_ends: &[u8]) -> Digest {
    let cuts: Vec<_> = header::volatile(header::split(message).header).collect();
    let mut hasher = blake3::Hasher::new();
    hash_without(&cuts, message, &mut hasher);
    hasher.update(line_ends).finalize().into()
}

/// Hashes bytes without some ranges of them.
fn hash_without(cuts: &[Range<usize>], bytes: &[u8], hasher: &mut blake3::Hasher) {
    let mut from = 0;
    for cut in cuts.iter().chain([&(bytes.len()..bytes.len())]) {
        mapped::windows(&bytes[from..cut.start]).for_each(|window| {
            hasher.update(window);
        });
        from = cut.end;
    }
}

/// The message for which `--dedupe` leaves out another one.
#[derive(Debug)]
pub(crate) struct Twin {
    /// Words for the user.
    pub(crate) place: String,
    /// The other message has different content, apart from the fields that mail readers rewrite.
    pub(crate) differs: bool,
}

impl Twin {
    /// Returns the finding about the message at `at`, which was left out.
    pub(crate) fn finding(&self, at: u64, dedupe: Dedupe) -> Finding {
        let (place, key) = (&self.place, if dedupe == Dedupe::MessageId { "Message-ID" } else { "content" });
        match self.differs {
            true => Finding::at(
                Code::DuplicateDiffers,
                at,
                format!("left out: it has the {key} of {place}, and different content"),
            )
            .with_hint("to keep both, use --dedupe content"),
            false => {
                Finding::at(Code::DuplicateSkipped, at, format!("left out: it has the {key} of {place}"))
            }
        }
    }
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
