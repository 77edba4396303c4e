//! Checks that an mbox that was written reads back as the same messages without a prefix.
//!
//! A reader judges the variant by the file. A file of mboxcl with X-UID looks like Dovecot's, which never quotes, and
//! a reply quoted by mboxo like mboxrd. Only the user can then say the variant.

use std::fs::File;
use std::path::Path;

use crate::mailbox::mbox::{Extent, Mbox, ReadOptions, ScanHooks, Variant, read};
use crate::mailbox::source::mapped::MappedFile;
use crate::mailbox::text::shell_quote;
use crate::mailbox::{Code, Error, Finding, Result};

/// A written mbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenMbox<'a> {
    pub file: &'a File,
    pub path: &'a Path,
    pub variant: Variant,
    /// The offset from which on this run wrote.
    pub start: u64,
    /// The number of messages that it wrote.
    pub messages: u64,
}

/// Returns a finding for each message that a reader without a prefix would not find, or find with other bytes.
pub(super) fn check(written: WrittenMbox<'_>) -> Result<Vec<Finding>> {
    let WrittenMbox { file, path, variant, start, messages } = written;
    let size = file.metadata().map_err(Error::io("look up", path))?.len();
    let Some(text) = MappedFile::map(file, size, path)? else { return Ok(Vec::new()) };
    let read = |variant| {
        let options = ReadOptions { variant, ..ReadOptions::default() };
        let hooks = ScanHooks { on_release: &|range| text.release(range), ..ScanHooks::none() };
        read::read(&text, &options, hooks).ok()
    };
    let found = read(None);
    let new = |mbox: &Mbox<'_>| mbox.messages().iter().filter(|extent| extent.at >= start).count() as u64;
    let is_same = |mbox: &Mbox<'_>| mbox.variant.quoting() == variant.quoting() && new(mbox) == messages;
    if found.as_ref().is_some_and(is_same) {
        return Ok(Vec::new());
    }
    let Some(expected) = read(Some(variant)) else { return Ok(Vec::new()) };
    let reads_same = |extent: &Extent| {
        let is_found = |found: &Mbox<'_>| {
            found.messages().binary_search_by_key(&extent.at, |other| other.at).is_ok_and(|n| {
                let other = &found.messages()[n];
                other == extent && found.quote_offsets(other).eq(expected.quote_offsets(extent))
            })
        };
        found.as_ref().is_some_and(is_found)
    };
    let differing = expected.messages().iter().filter(|extent| extent.at >= start && !reads_same(extent));
    let reason = match &found {
        Some(found) => {
            format!("is read back with other bytes, as {}: {}", found.variant, found.evidence)
        }
        None => "is not recognized as a mailbox".into(),
    };
    let hint = format!("read it as {}", shell_quote(&prefixed(variant, path)));
    let find = |extent: &Extent| {
        Finding::at(Code::ReadBackDiffers, extent.at, reason.clone()).in_file(path).with_hint(hint.clone())
    };
    Ok(differing.map(find).collect())
}

/// Returns `VARIANT:PATH`.
fn prefixed(variant: Variant, path: &Path) -> std::path::PathBuf {
    let mut argument = std::ffi::OsString::from(format!("{variant}:"));
    argument.push(path);
    argument.into()
}
