//! What is sent.

use std::fs::File;

use super::net::Broken;
use crate::mailbox::error::{Error, Result};
use crate::transport::spool::Letter;

/// As much is handed over at once.
const CHUNK: usize = 1 << 16;

/// A message as it is sent: lines put on top, and a letter from an offset on.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Lines before it, each with its end.
    pub top: &'a [u8],
    /// What came in.
    pub letter: &'a Letter,
    /// How much of its beginning is left out.
    pub from: u64,
}

impl<'a> Message<'a> {
    /// A letter as it is.
    pub fn whole(letter: &'a Letter) -> Message<'a> {
        Message { top: b"", letter, from: 0 }
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.top.len() as u64 + self.letter.length().saturating_sub(self.from)
    }

    /// All its bytes in order, 64 KiB at most at a time. An error of `put` ends it.
    pub fn each_chunk(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), Broken>) -> Result<(), Broken> {
        self.top.chunks(CHUNK).try_for_each(&mut *put)?;
        let mut broken = None;
        let read = self.letter.each_chunk(self.from, &mut |bytes| {
            bytes.chunks(CHUNK).try_for_each(&mut *put).map_err(|e| {
                broken = Some(e);
                Error::Interrupted
            })
        });
        match (broken, read) {
            (Some(broken), _) => Err(broken),
            (None, Err(e)) => Err(Broken::Ours(e)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// A file of its own, standing at its beginning, for a program.
    pub fn file(&self) -> Result<File> {
        self.letter.file(self.top, self.from)
    }
}
