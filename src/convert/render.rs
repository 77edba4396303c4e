//! The bytes of a message's file: those of the source without the quoting, with other line ends on request.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use crate::mailbox::error;
use crate::mailbox::maildir::write::{MessageContent, MessageStream};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::{Quoting, quote};
use crate::mailbox::message::header::{self, Split};
use crate::mailbox::message::line_ends::{LineEndChange, LineEnds};
use crate::mailbox::message::{DeletedPolicy, LabelPolicy};
use crate::mailbox::message::{Eol, Headers};
use crate::mailbox::source::mapped;

/// How messages are rendered, with their flags and folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RenderOptions {
    pub(crate) eol: Eol,
    pub(crate) headers: Headers,
    /// Treatment of messages that are marked as deleted.
    pub(crate) deleted: DeletedPolicy,
    /// Use of the user's own Gmail labels.
    pub(crate) labels: LabelPolicy,
}

/// A larger message is rendered anew each time that its bytes are needed, as too many pieces would be in memory.
pub(crate) const LARGE: usize = 8 << 20;
/// How much of a large message is rendered at once.
const CHUNK: usize = 1 << 18;

/// A rendered message.
#[derive(Debug)]
pub(crate) struct Rendered<'a> {
    pieces: Pieces<'a>,
    /// How many `>` were removed.
    pub(crate) quotes: u32,
    /// How many line ends were changed.
    pub(crate) eols: u32,
    /// Runs of lines in the manifest's form.
    pub(crate) eol_runs: Vec<u64>,
    /// Fields that were removed, with their offsets in the message as the source has it.
    pub(crate) stripped: Vec<(usize, &'a [u8])>,
}

/// The bytes of a rendered message.
#[derive(Debug)]
enum Pieces<'a> {
    /// The file is a slice of the source.
    Whole(&'a [u8]),
    /// Their concatenation is the file. Most are slices of the source.
    Small(Vec<Cow<'a, [u8]>>),
    Large(LargeMessage<'a>),
}

/// A message that is rendered in chunks.
#[derive(Debug)]
struct LargeMessage<'a> {
    message: &'a [u8],
    split: Split<'a>,
    quoting: Quoting,
    options: RenderOptions,
}

/// Renders a message with this header and body.
pub(crate) fn render<'a>(
    message: &'a [u8],
    split: &Split<'a>,
    quoting: Quoting,
    options: RenderOptions,
) -> Rendered<'a> {
    let RenderOptions { eol, headers, .. } = options;
    if quoting == Quoting::None && eol == Eol::Keep && headers == Headers::Keep {
        return Rendered::unchanged(message);
    }
    if message.len() > LARGE {
        return LargeMessage { message, split: *split, quoting, options }.render();
    }
    let mut slices = Vec::new();
    let quotes = quote::unquote(message, split.body_at(message), quoting, &mut slices) as u32;
    let stripped = match headers {
        Headers::Keep => Vec::new(),
        Headers::Strip => strip(split.header, &mut slices),
    };
    if eol == Eol::Keep {
        let pieces = Pieces::Small(slices.into_iter().map(Cow::Borrowed).collect());
        return Rendered { pieces, quotes, eols: 0, eol_runs: Vec::new(), stripped };
    }
    let (mut out, mut runs) = (Vec::with_capacity(message.len() + message.len() / 32), Runs::default());
    let mut line_ends = LineEnds::new(|is_crlf| eol.change(is_crlf, &mut runs));
    slices.iter().for_each(|slice| line_ends.push(slice, &mut out));
    if line_ends.finish(&mut out) {
        runs.push(false);
    }
    let pieces = Pieces::Small(vec![Cow::Owned(out)]);
    Rendered { pieces, quotes, eols: runs.changed, eol_runs: runs.finish(), stripped }
}

impl<'a> LargeMessage<'a> {
    fn render(self) -> Rendered<'a> {
        let quotes = self.quotes().count() as u32;
        let stripped: Vec<_> = self.stripped().map(|cut| (cut.start, &self.message[cut])).collect();
        let mut runs = Runs::default();
        let Ok(()) = self.for_each(&mut |_| Ok::<_, Infallible>(()), &mut runs);
        let (eols, eol_runs) = (runs.changed, runs.finish());
        Rendered { pieces: Pieces::Large(self), quotes, eols, eol_runs, stripped }
    }

    /// Returns the quoting `>` to remove.
    fn quotes(&self) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let body_at = self.split.body_at(self.message);
        quote::quote_offsets(self.split.body, self.quoting).map(move |at| body_at + at..body_at + at + 1)
    }

    /// Returns the fields to remove.
    fn stripped(&self) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let is_kept = self.options.headers == Headers::Keep;
        header::volatile(self.split.header).take_while(move |_| !is_kept)
    }

    /// Renders the message in chunks, and collects the `runs` of lines whose ends change.
    fn for_each<E>(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>, runs: &mut Runs) -> Result<(), E> {
        let eol = self.options.eol;
        let (mut out, mut from, end) = (Vec::new(), 0, self.message.len());
        let mut line_ends = LineEnds::new(|is_crlf| eol.change(is_crlf, runs));
        for cut in self.stripped().chain(self.quotes()).chain(std::iter::once(end..end)) {
            for window in mapped::windows(&self.message[from..cut.start]) {
                for chunk in window.chunks(CHUNK) {
                    match eol {
                        Eol::Keep => out.extend_from_slice(chunk),
                        Eol::Lf | Eol::Crlf => line_ends.push(chunk, &mut out),
                    }
                    if out.len() >= CHUNK {
                        put(&out)?;
                        out.clear();
                    }
                }
            }
            from = cut.end;
        }
        if line_ends.finish(&mut out) {
            runs.push(false);
        }
        put(&out)
    }
}

/// Removes the fields of mail readers from the header. The first slice begins with it, since it has no quoting.
fn strip<'a>(header: &'a [u8], slices: &mut Vec<&'a [u8]>) -> Vec<(usize, &'a [u8])> {
    let (mut stripped, mut kept, mut from) = (Vec::new(), Vec::new(), 0);
    for cut in header::volatile(header) {
        kept.push(&header[from..cut.start]);
        stripped.push((cut.start, &header[cut.clone()]));
        from = cut.end;
    }
    if let (Some(first), false) = (slices.first_mut(), stripped.is_empty()) {
        *first = &first[from..];
        slices.splice(0..0, kept.into_iter().filter(|piece| !piece.is_empty()));
    }
    stripped
}

/// Counts runs of changed and unchanged lines in turn. The first run is one of changed lines.
#[derive(Default)]
struct Runs {
    runs: Vec<u64>,
    changed: u32,
}

impl Runs {
    fn push(&mut self, changed: bool) {
        self.changed += u32::from(changed);
        let in_changed_run = self.runs.len() % 2 == 1;
        match self.runs.last_mut() {
            Some(last) if in_changed_run == changed => *last += 1,
            Some(_) => self.runs.push(1),
            None if changed => self.runs.push(1),
            None => self.runs.extend([0, 1]),
        }
    }

    fn finish(mut self) -> Vec<u64> {
        if self.runs.len().is_multiple_of(2) {
            self.runs.pop();
        }
        if self.changed == 0 {
            self.runs.clear();
        }
        self.runs
    }
}

impl Eol {
    /// Returns the change that a line end needs, and counts it.
    fn change(self, is_crlf: bool, runs: &mut Runs) -> LineEndChange {
        let change = match (self, is_crlf) {
            (Eol::Lf, true) => LineEndChange::RemoveCr,
            (Eol::Crlf, false) => LineEndChange::AddCr,
            _ => LineEndChange::Keep,
        };
        runs.push(change != LineEndChange::Keep);
        change
    }
}

impl<'a> Rendered<'a> {
    pub(crate) fn unchanged(message: &'a [u8]) -> Rendered<'a> {
        let pieces = Pieces::Whole(message);
        Rendered { pieces, quotes: 0, eols: 0, eol_runs: Vec::new(), stripped: Vec::new() }
    }
}

impl Rendered<'_> {
    /// Reports whether the file has the bytes of the text.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.quotes == 0 && self.eols == 0 && self.stripped.is_empty()
    }

    /// Returns the message as one slice. A large one that changes has none.
    pub(crate) fn whole(&self) -> Option<Cow<'_, [u8]>> {
        match &self.pieces {
            Pieces::Whole(message) => Some(Cow::Borrowed(message)),
            Pieces::Small(pieces) => match &pieces[..] {
                [piece] => Some(Cow::Borrowed(piece)),
                pieces => Some(Cow::Owned(pieces.concat())),
            },
            Pieces::Large(_) => None,
        }
    }

    /// Returns the first bytes of the file, at most `length`.
    pub(crate) fn head(&self, length: usize) -> Vec<u8> {
        let mut head = Vec::new();
        // An error ends it, as enough is there.
        let _ = self.for_each(&mut |bytes| {
            head.extend_from_slice(&bytes[..bytes.len().min(length - head.len())]);
            if head.len() < length { Ok(()) } else { Err(()) }
        });
        head
    }

    /// Passes on the bytes of the file, in order.
    pub(crate) fn for_each<E>(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match &self.pieces {
            Pieces::Whole(message) => mapped::windows(message).try_for_each(put),
            Pieces::Small(pieces) => pieces.iter().flat_map(|piece| mapped::windows(piece)).try_for_each(put),
            Pieces::Large(large) => large.for_each(put, &mut Runs::default()),
        }
    }

    /// Returns the message as the writer of a Maildir takes it.
    pub(crate) fn content(&self) -> MessageContent<'_> {
        match &self.pieces {
            Pieces::Whole(message) => MessageContent::Slices(std::slice::from_ref(message).into()),
            Pieces::Small(pieces) => MessageContent::Slices(pieces.iter().map(|piece| &piece[..]).collect()),
            Pieces::Large(large) => MessageContent::Stream(large),
        }
    }

    /// Returns the BLAKE3 of the file.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let Ok(()) = self.for_each(&mut |bytes| {
            hasher.update(bytes);
            Ok::<_, Infallible>(())
        });
        hasher.finalize().into()
    }

    /// Returns the size of the file.
    pub(crate) fn size(&self) -> u64 {
        match &self.pieces {
            Pieces::Whole(message) => message.len() as u64,
            Pieces::Small(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
            Pieces::Large(_) => self.sizes(false).0,
        }
    }

    /// Returns the size of the file, and the size with every bare LF counted as CRLF (`S=` and `W=`).
    pub(crate) fn sizes(&self, may_have_crlf: bool) -> (u64, u64) {
        let (mut size, mut bare, mut last) = (0, 0, 0);
        let Ok(()) = self.for_each(&mut |bytes| {
            size += bytes.len() as u64;
            let lfs = memchr::memchr_iter(b'\n', bytes);
            // To count is much faster than to look at each line end.
            let has_crlf = may_have_crlf && (last == b'\r' || memchr::memchr(b'\r', bytes).is_some());
            bare += if has_crlf {
                lfs.filter(|&at| at.checked_sub(1).map_or(last, |before| bytes[before]) != b'\r').count()
            } else {
                lfs.count()
            } as u64;
            last = bytes.last().copied().unwrap_or(last);
            Ok::<_, Infallible>(())
        });
        (size, size + bare)
    }
}

impl MessageStream for LargeMessage<'_> {
    fn for_each(&self, put: &mut dyn FnMut(&[u8]) -> error::Result<()>) -> error::Result<()> {
        LargeMessage::for_each(self, put, &mut Runs::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(message: &[u8], eol: Eol) -> (Vec<u8>, u32, (u64, u64)) {
        let split = Split { header: b"", body: message, closed: true };
        let rendered =
            render(message, &split, Quoting::Any, RenderOptions { eol, ..RenderOptions::default() });
        let (eols, sizes) = (rendered.eols, rendered.sizes(true));
        (rendered.whole().unwrap().into_owned(), eols, sizes)
    }

    #[test]
    fn line_ends_change_only_on_request_and_are_counted() {
        let mixed = b"a\r\n>From b\nc\rd\r\r\n";
        assert_eq!(rendered(mixed, Eol::Keep), (b"a\r\nFrom b\nc\rd\r\r\n".to_vec(), 0, (16, 17)));
        assert_eq!(rendered(mixed, Eol::Lf), (b"a\nFrom b\nc\rd\r\n".to_vec(), 2, (14, 16)));
        assert_eq!(rendered(mixed, Eol::Crlf), (b"a\r\nFrom b\r\nc\rd\r\r\n".to_vec(), 1, (17, 17)));
    }
}
