//! The bytes of a message's file: those of the source without the quoting, with other line ends on request.

use std::borrow::Cow;

use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::{DeletedPolicy, LabelPolicy, Quoting, quote};
use crate::mailbox::message::header::{self, Split};

/// Line ends of the messages written.
// Doc comments of the variants would be the help of --eol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Eol {
    #[default]
    Keep,
    Lf,
    Crlf,
}

impl Eol {
    /// Returns the word of the command line and the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Eol::Keep => "keep",
            Eol::Lf => "lf",
            Eol::Crlf => "crlf",
        }
    }
}

/// The fields that only mail readers write and rewrite, see [`header::is_volatile`].
// The doc comments of the variants are the help of --headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Headers {
    /// They stay
    #[default]
    Keep,
    /// They are taken out; the manifest has them, and --exact puts them back
    Strip,
}

impl Headers {
    /// Returns the word of the command line and the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Headers::Keep => "keep",
            Headers::Strip => "strip",
        }
    }
}

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

/// A message in pieces, most of them slices of the source.
#[derive(Debug)]
pub(crate) struct Rendered<'a> {
    /// Their concatenation is the file.
    pub(crate) pieces: Vec<Cow<'a, [u8]>>,
    /// How many `>` were removed.
    pub(crate) quotes: u32,
    /// How many line ends were changed.
    pub(crate) eols: u32,
    /// Runs of lines in the manifest's form.
    pub(crate) eol_runs: Vec<u64>,
    /// Fields that were removed, with their offsets in the message as the source has it.
    pub(crate) stripped: Vec<(usize, &'a [u8])>,
}

/// Renders a message with this header and body.
pub(crate) fn render<'a>(
    message: &'a [u8],
    split: &Split<'a>,
    quoting: Quoting,
    options: RenderOptions,
) -> Rendered<'a> {
    let RenderOptions { eol, headers, .. } = options;
    let mut slices = Vec::new();
    let quotes = quote::unquote(message, split.body_at(message), quoting, &mut slices) as u32;
    let stripped = match headers {
        Headers::Keep => Vec::new(),
        Headers::Strip => strip(split.header, &mut slices),
    };
    if eol == Eol::Keep {
        let pieces = slices.into_iter().map(Cow::Borrowed).collect();
        return Rendered { pieces, quotes, eols: 0, eol_runs: Vec::new(), stripped };
    }
    let (mut out, mut runs) = (Vec::with_capacity(message.len() + message.len() / 32), Runs::default());
    for line in slices.concat().split_inclusive(|&b| b == b'\n') {
        let changed = push_line(line, eol, &mut out);
        runs.push(changed > 0);
    }
    Rendered { pieces: vec![Cow::Owned(out)], quotes, eols: runs.changed, eol_runs: runs.finish(), stripped }
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

fn push_line(line: &[u8], eol: Eol, out: &mut Vec<u8>) -> u32 {
    let Some(text) = line.strip_suffix(b"\n") else {
        out.extend_from_slice(line);
        return 0;
    };
    let (bare, is_crlf) = match text.strip_suffix(b"\r") {
        Some(bare) => (bare, true),
        None => (text, false),
    };
    match (eol, is_crlf) {
        (Eol::Lf, true) => out.extend_from_slice(&[bare, b"\n"].concat()),
        (Eol::Crlf, false) => out.extend_from_slice(&[bare, b"\r\n"].concat()),
        _ => {
            out.extend_from_slice(line);
            return 0;
        }
    }
    1
}

impl<'a> Rendered<'a> {
    pub(crate) fn unchanged(message: &'a [u8]) -> Rendered<'a> {
        let pieces = vec![Cow::Borrowed(message)];
        Rendered { pieces, quotes: 0, eols: 0, eol_runs: Vec::new(), stripped: Vec::new() }
    }
}

impl Rendered<'_> {
    /// Returns the BLAKE3 of the file.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        self.pieces.iter().for_each(|piece| {
            hasher.update(piece);
        });
        hasher.finalize().into()
    }

    /// Returns the size of the file, and the size with every bare LF counted as CRLF (`S=` and `W=`).
    pub(crate) fn sizes(&self, may_have_crlf: bool) -> (u64, u64) {
        let (mut size, mut bare) = (0, 0);
        for piece in &self.pieces {
            size += piece.len() as u64;
            let lfs = memchr::memchr_iter(b'\n', piece);
            bare += if may_have_crlf {
                // A piece begins after a `>` or with a field, so an LF and its CR are never in two pieces.
                lfs.filter(|&at| at == 0 || piece[at - 1] != b'\r').count()
            } else {
                lfs.count()
            } as u64;
        }
        (size, size + bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(message: &[u8], eol: Eol) -> (Vec<u8>, u32, (u64, u64)) {
        let split = Split { header: b"", body: message, closed: true };
        let rendered =
            render(message, &split, Quoting::Any, RenderOptions { eol, ..RenderOptions::default() });
        (rendered.pieces.concat(), rendered.eols, rendered.sizes(true))
    }

    #[test]
    fn line_ends_change_only_on_request_and_are_counted() {
        let mixed = b"a\r\n>From b\nc\rd\r\r\n";
        assert_eq!(rendered(mixed, Eol::Keep), (b"a\r\nFrom b\nc\rd\r\r\n".to_vec(), 0, (16, 17)));
        assert_eq!(rendered(mixed, Eol::Lf), (b"a\nFrom b\nc\rd\r\n".to_vec(), 2, (14, 16)));
        assert_eq!(rendered(mixed, Eol::Crlf), (b"a\r\nFrom b\r\nc\rd\r\r\n".to_vec(), 1, (17, 17)));
    }
}
