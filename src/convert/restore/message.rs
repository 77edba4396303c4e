//! A message back in the form of its source.

use crate::mailbox::Result;
use crate::mailbox::manifest::{Bytes, SectionHeader};
use crate::mailbox::message::line_ends::{LineEndChange, LineEndRuns, LineEnds};
use crate::mailbox::source::mapped;

/// How the file of a message differs from the bytes in its source.
pub(super) struct Change<'a> {
    pub(super) quotes: &'a [u64],
    pub(super) eols: &'a [u64],
    pub(super) stripped: &'a [(u64, Bytes)],
}

/// Takes bytes, in order.
pub(super) type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Turns the file of a message back into the bytes of the source: line ends first, then fields and quoting.
pub(super) fn restore_message(
    change: &Change<'_>,
    file: &[u8],
    head: &SectionHeader,
    put: Put<'_>,
) -> Result<()> {
    const CHUNK: usize = 1 << 18;
    let Change { quotes, eols, stripped } = *change;
    let mut put_in_source = |bytes: &[u8]| match head.cr_only && memchr::memchr(b'\n', bytes).is_some() {
        true => put(&bytes.iter().map(|&b| if b == b'\n' { b'\r' } else { b }).collect::<Vec<u8>>()),
        false => put(bytes),
    };
    // The fields are in the header, and all quoting is after it.
    let fields = stripped.iter().map(|(at, field)| (*at, &field.0[..]));
    let quotes = quotes.iter().scan(0, |at, distance| {
        *at = u64::saturating_add(*at, *distance);
        Some((*at, &b">"[..]))
    });
    let mut insertions = Insertions { all: fields.chain(quotes).peekable(), at: 0 };
    if eols.is_empty() {
        mapped::windows(file).try_for_each(|window| insertions.push(window, &mut put_in_source))?;
    } else {
        let revert = if head.eol == "lf" { LineEndChange::AddCr } else { LineEndChange::RemoveCr };
        let mut runs = LineEndRuns::new(eols, revert);
        let (mut line_ends, mut out) = (LineEnds::new(|_| runs.next()), Vec::new());
        for chunk in mapped::windows(file).flat_map(|window| window.chunks(CHUNK)) {
            line_ends.push(chunk, &mut out);
            insertions.push(&out, &mut put_in_source)?;
            out.clear();
        }
        line_ends.finish(&mut out);
        insertions.push(&out, &mut put_in_source)?;
    }
    insertions.all.try_for_each(|(_, bytes)| put_in_source(bytes))
}

/// Inserts bytes into a text that comes in chunks.
struct Insertions<I: Iterator> {
    /// The offset after the insertion of the ones before, and the bytes.
    all: std::iter::Peekable<I>,
    /// The number of bytes so far.
    at: u64,
}

impl<'a, I: Iterator<Item = (u64, &'a [u8])>> Insertions<I> {
    fn push(&mut self, mut chunk: &[u8], put: Put<'_>) -> Result<()> {
        while let Some((at, bytes)) =
            self.all.next_if(|(at, _)| at.saturating_sub(self.at) <= chunk.len() as u64)
        {
            let before;
            (before, chunk) = chunk.split_at(at.saturating_sub(self.at) as usize);
            put(before)?;
            put(bytes)?;
            self.at += (before.len() + bytes.len()) as u64;
        }
        self.at += chunk.len() as u64;
        put(chunk)
    }
}
