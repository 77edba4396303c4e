//! Runs of messages that a worker takes at once.

use std::ops::Range;

/// A run of messages.
#[derive(Debug, Clone)]
pub(crate) struct MessageChunk {
    pub(crate) messages: Range<usize>,
    /// Bytes of the messages.
    pub(crate) size: u64,
}

/// Divides messages of these sizes into chunks of at most `most`, and of few large ones.
pub(crate) fn divide(sizes: impl Iterator<Item = u64>, most: usize) -> Vec<MessageChunk> {
    const BYTES: u64 = 2 << 20;
    let mut chunks: Vec<MessageChunk> = Vec::new();
    for (n, size) in sizes.enumerate() {
        match chunks.last_mut() {
            Some(chunk) if chunk.messages.len() < most && chunk.size < BYTES => {
                chunk.messages.end = n + 1;
                chunk.size += size;
            }
            _ => chunks.push(MessageChunk { messages: n..n + 1, size }),
        }
    }
    chunks
}
