//! Appending to an mbox: locked, its end repaired and never glued to, and cut back to what it was unless
//! all went well.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::boundary;
use super::read::{self, Ask};
use super::variant::Variant;
use super::watch::Watch;
use super::write::line_end;
use crate::mailbox::durable::{self, Identity};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Finding;
use crate::mailbox::lock::{self, Guard, Mode, Wanted};
use crate::mailbox::mapped::Mapped;
use crate::mailbox::source::Format;

/// An mbox that is being appended to. Dropped before [`Extending::keep`] it is as long as it was.
#[derive(Debug)]
pub struct Extending {
    /// To write into, behind [`Extending::length`].
    pub file: File,
    /// How long the mbox is, in bytes.
    pub length: u64,
    /// What it is to be continued as.
    pub variant: Variant,
    /// What it lacks at its end: a final newline, a blank line.
    pub repair: Vec<u8>,
    /// Locks that could not be had.
    pub findings: Vec<Finding>,
    path: PathBuf,
    kept: bool,
    // Released before the file is closed: fields are dropped in this order.
    _guard: Guard,
}

/// How an mbox ends, and what to make of it.
#[derive(Debug, PartialEq, Eq)]
struct End {
    variant: Variant,
    repair: Vec<u8>,
}

impl Extending {
    /// Opens, locks and looks at the mbox. `asked` is the variant to write, where the user named one;
    /// otherwise it is what the mbox is.
    ///
    /// # Errors
    /// [`Error::Destination`] for what cannot be continued, [`Error::NotAMailbox`], [`Error::Locked`],
    /// [`Error::Interrupted`], [`Error::Io`].
    pub fn open(
        path: &Path,
        asked: Option<Variant>,
        wanted: &Wanted,
        interrupted: &AtomicBool,
    ) -> Result<Extending> {
        // No FIFO is waited for: a mailbox is a regular file.
        let meta = std::fs::metadata(path).map_err(Error::io("open", path))?;
        let refuse = |reason: &str| Error::Destination { path: path.to_owned(), reason: reason.into() };
        if !meta.is_file() {
            return Err(refuse("is no regular file; nothing can be appended to it"));
        }
        let file = File::options().read(true).write(true).open(path).map_err(Error::io("open", path))?;
        let (guard, findings) = lock::acquire(path, &file, Mode::Write, wanted, interrupted)?;
        let length = same_file(path, &file)?;
        let old = Mapped::of(&file, length, path)?;
        let End { variant, repair } = look(old.as_deref().unwrap_or_default(), path, asked, interrupted)?;
        Ok(Extending {
            file,
            length,
            variant,
            repair,
            findings,
            path: path.to_owned(),
            kept: false,
            _guard: guard,
        })
    }

    /// Flushes what was appended, which stays from here on.
    pub fn keep(mut self, flush: bool) -> Result<()> {
        if flush {
            durable::sync_file(&self.file).map_err(Error::io("flush", &self.path))?;
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Extending {
    fn drop(&mut self) {
        // A run that wrote nothing leaves its time alone, too.
        let is_longer = self.file.metadata().map_or(true, |meta| meta.len() > self.length);
        if !self.kept && is_longer {
            // If even this fails the error that led here has been told, and what was appended is whole
            // messages but the last.
            let _ = durable::truncate(&self.file, self.length);
            let _ = durable::sync_file(&self.file);
        }
    }
}

/// The length of the file, which is to be the one that has the name: another may have been put in its
/// place before it was locked.
fn same_file(path: &Path, file: &File) -> Result<u64> {
    let looked = || Ok::<_, rustix::io::Errno>((rustix::fs::fstat(file)?, rustix::fs::stat(path)?));
    let (ours, theirs) = looked().map_err(|e| Error::io("look at", path)(e.into()))?;
    if Identity::of(&ours) != Identity::of(&theirs) {
        let how = "another file was put in its place".into();
        return Err(Error::Changed { path: path.to_owned(), how });
    }
    Ok(ours.st_size as u64)
}

fn look(text: &[u8], path: &Path, asked: Option<Variant>, interrupted: &AtomicBool) -> Result<End> {
    let refuse = |reason: String| Err(Error::Destination { path: path.to_owned(), reason });
    if let Some(format) = Format::recognise(&text[..text.len().min(16)]) {
        return refuse(format!("is compressed ({}); nothing can be appended to it", format.name()));
    }
    let lf = memchr::memchr(b'\n', text).is_some();
    if !lf && memchr::memchr(b'\r', text).is_some() {
        return refuse("has lines that end in CR alone; convert it into a new file instead".into());
    }
    let watch = Watch { scanned: &|_| (), release: &|_| (), interrupted };
    let mbox = read::read(text, &Ask { variant: asked, ..Ask::default() }, watch);
    if interrupted.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    let mbox = mbox.map_err(|not| Error::NotAMailbox {
        path: path.to_owned(),
        reason: format!("{}; nothing was appended", not.reason),
        mend: not.mend,
    })?;
    let blank = text.trim_ascii().is_empty();
    let framed =
        boundary::frame_lines(text).next().is_some_and(|line| text[..line.start].trim_ascii().is_empty());
    let variant = mbox.variant;
    if !blank && framed != (variant == Variant::Mmdf) {
        let is = if framed { "MMDF" } else { "no MMDF" };
        return refuse(format!("is {is} file; {variant} cannot be appended to it"));
    }
    if framed && boundary::frame_lines(text).count() % 2 == 1 {
        return refuse("ends in an MMDF frame that is never closed; close it first".into());
    }
    Ok(End { variant, repair: repair(text, framed) })
}

/// What must be written behind `text` before the next From_ line, or MMDF's next frame.
fn repair(text: &[u8], framed: bool) -> Vec<u8> {
    let eol = line_end(text);
    let mut repair = Vec::new();
    if !text.is_empty() && !text.ends_with(b"\n") {
        repair.extend_from_slice(eol);
    }
    if !text.is_empty() && !framed && (!repair.is_empty() || boundary::closing_blank(text) == 0) {
        repair.extend_from_slice(eol);
    }
    repair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_lacks_is_put_there_with_the_line_ends_of_the_file() {
        for (text, missing) in [
            ("", ""),
            ("From a\n\nx\n\n", ""),
            ("From a\n\nx\n", "\n"),
            ("From a\n\nx", "\n\n"),
            ("From a\n", "\n"),
            ("From a\r\n\r\nx\r\n\r\n", ""),
            ("From a\r\n\r\nx\r\n", "\r\n"),
            ("From a\r\n\r\nx", "\r\n\r\n"),
            ("\n", ""),
            ("From a\n\nx\n\0\0", "\n\n"),
        ] {
            assert_eq!(repair(text.as_bytes(), false), missing.as_bytes(), "{text:?}");
        }
        assert_eq!(repair(b"\x01\x01\x01\x01\nx\n\x01\x01\x01\x01", true), b"\n");
        assert_eq!(repair(b"\x01\x01\x01\x01\nx\n\x01\x01\x01\x01\n", true), b"");
    }
}
