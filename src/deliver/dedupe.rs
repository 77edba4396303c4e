//! Is the message there already? A delivery that is repeated does not double it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::deliver::DeliverOptions;
use crate::deliver::prepared_message::PreparedMessage;
use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::fs::durable::Dir;
use crate::mailbox::fs::lock;
use crate::mailbox::fs::lock::DirLock;
use crate::mailbox::maildir::name;
use crate::mailbox::mbox::append::MboxAppender;
use crate::mailbox::mbox::read::{self, ReadOptions};
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::mbox::write::{MessageHead, MessageWriter, Unrepresentable};
use crate::mailbox::message::header;
use crate::mailbox::source::mapped::MappedFile;

/// How often a Maildir is listed whose messages get other names meanwhile.
const ROUNDS: usize = 5;

/// Looks for the message in a Maildir, and keeps out others who look, too, until the lock is dropped.
/// Where the file system locks no directories two who deliver at the same time may both find nothing.
pub(crate) fn find_in_maildir(
    maildir: &Dir,
    draft: &PreparedMessage<'_>,
    rules: &DeliverOptions<'_>,
) -> Result<(Option<DirLock>, Option<PathBuf>)> {
    let places = [maildir.open_child("new".as_ref())?, maildir.open_child("cur".as_ref())?];
    let lock = lock::lock_dir(&places[0], rules.locks.timeout, rules.cancel)?;
    let size = draft.size();
    // A message whose name was gone when it was to be looked at has got other flags, or was moved.
    for _ in 0..ROUNDS {
        let mut missed = false;
        for place in &places {
            for name in place.names()? {
                // Where a name tells the size it is not worth a look at others.
                if name::parse(name.as_encoded_bytes()).field(b'S').is_some_and(|told| told != size) {
                    continue;
                }
                let path = place.path().join(&name);
                match place.open_message(&name) {
                    Ok(file) if is_same(draft, &path, &file)? => return Ok((Some(lock), Some(path))),
                    Ok(_) => {}
                    Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => missed = true,
                    Err(error) => return Err(error),
                }
            }
        }
        if !missed {
            break;
        }
    }
    Ok((Some(lock), None))
}

/// Looks for the message in an mbox, whose lock keeps out all others. It is there if one of its messages has
/// the very bytes that would be written, but for the From_ line, which has the time, and for the fields that
/// readers rewrite.
pub(crate) fn is_in_mbox(
    path: &Path,
    extending: &MboxAppender,
    head: &MessageHead<'_>,
    first: &[u8],
    draft: &PreparedMessage<'_>,
    cancel: &Cancel,
) -> Result<bool> {
    let unsayable = |Unrepresentable| Error::unrepresentable(path);
    let mut out = Vec::new();
    let mut writing = MessageWriter::begin(extending.variant, head, &mut out).map_err(unsayable)?;
    // What stands above the message: the From_ line, and before it a frame.
    let from_line = memchr::memmem::find(&out, b"From ").unwrap_or_default();
    let above = memchr::memchr(b'\n', &out[from_line..]).map_or(out.len(), |lf| from_line + lf + 1);
    out.drain(..above);
    writing.push(first, &mut out).map_err(unsayable)?;
    let header = header::split(&out).header;
    let lasting_fields = lasting(header);
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
    let mut take = |out: &mut Vec<u8>| {
        hasher.update(out);
        size += out.len() as u64;
        out.clear();
    };
    out.drain(..header.len());
    take(&mut out);
    draft.for_each_chunk_after_head(&mut |bytes| {
        writing.push(bytes, &mut out).map_err(unsayable)?;
        take(&mut out);
        Ok(())
    })?;
    writing.finish(&mut out).map_err(unsayable)?;
    take(&mut out);
    let wanted = hasher.finalize();

    let Some(text) = MappedFile::map(&extending.file, extending.length, path)? else { return Ok(false) };
    let watch = ScanHooks { on_scan: &|_| (), on_release: &|range| text.release(range), cancel };
    let ask = ReadOptions { variant: Some(extending.variant), ..ReadOptions::default() };
    // That it is an mbox was seen when it was opened.
    let Ok(mbox) = read::read(&text, &ask, watch) else { return Ok(false) };
    let mut messages = mbox.messages().iter();
    let is_there = messages.any(|message| {
        let header = header::split(&text[message.start as usize..message.end as usize]).header;
        let body = message.start + header.len() as u64;
        let end = body.saturating_add(size);
        // As long as it would be, to the separator and what closes a frame.
        message.end < end
            && end <= text.len() as u64
            && blake3::hash(&text[body as usize..end as usize]) == wanted
            && lasting(header) == lasting_fields
    });
    if text.has_lost_pages() {
        let how = "it was cut while we looked into it".into();
        return Err(Error::Changed { path: path.to_owned(), how });
    }
    match cancel.is_requested() {
        true => Err(Error::Interrupted),
        false => Ok(is_there),
    }
}

/// A header less the fields that readers rewrite.
fn lasting(header: &[u8]) -> Vec<u8> {
    let lasts = |field: &Option<header::Field<'_>>| !field.as_ref().is_some_and(header::is_volatile);
    header::logical_lines(header)
        .filter(|(_, field)| lasts(field))
        .flat_map(|(lines, _)| lines)
        .copied()
        .collect()
}

/// Whether a file holds just the bytes of the message.
fn is_same(draft: &PreparedMessage<'_>, path: &Path, mut file: &File) -> Result<bool> {
    let failed = || Error::io("read", path);
    let meta = file.metadata().map_err(failed())?;
    if !meta.is_file() || meta.len() != draft.size() {
        return Ok(false);
    }
    let (mut same, mut read) = (true, Vec::new());
    draft.for_each_chunk(&mut |bytes| {
        if same {
            read.resize(bytes.len(), 0);
            same = match file.read_exact(&mut read) {
                Ok(()) => read == bytes,
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => false,
                Err(e) => return Err(failed()(e)),
            };
        }
        Ok(())
    })?;
    Ok(same)
}
