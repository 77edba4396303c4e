//! The search for a message that a mailbox has already, so that a repeated delivery adds no copy.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::PreparedMessage;
use super::prepared_message::MboxEntry;
use crate::mailbox::fs::lock::{self, DirLock};
use crate::mailbox::fs::{Dir, holes};
use crate::mailbox::maildir::MaildirReader;
use crate::mailbox::mbox::write::{MessageWriter, Unrepresentable};
use crate::mailbox::mbox::{MboxAppender, ReadOptions, ScanHooks, read};
use crate::mailbox::message::header;
use crate::mailbox::source::mapped::MappedFile;
use crate::mailbox::source::{Contents, STORED_HEAD, StoredForm, head};
use crate::mailbox::{Cancel, Context, Error, Result};

/// Finds the message in a Maildir. The lock keeps out other deliveries that search, until it is dropped. On a file
/// system that cannot lock directories, two simultaneous deliveries may both find nothing.
pub(super) fn find_in_maildir(
    maildir: &Dir,
    message: &PreparedMessage<'_>,
    ctx: &Context<'_>,
) -> Result<(DirLock, Option<PathBuf>)> {
    let lock = lock::lock_dir(&maildir.open_child("new".as_ref())?, ctx.locks.timeout, ctx.cancel)?;
    let reader = MaildirReader::in_dir(maildir, ctx.now)?;
    let listing = reader.list()?;
    for entry in listing.messages.iter().chain(&listing.hidden) {
        // A name with another size saves opening the file.
        if entry.parsed().field(b'S').is_some_and(|named| named != message.size()) {
            continue;
        }
        match reader.locate(entry, open_candidate)? {
            Ok((entry, Some(file))) if is_same(message, &reader.path(&entry), &file)? => {
                return Ok((lock, Some(reader.path(&entry))));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok((lock, None))
}

/// Opens a file that may be the message. A socket, a link to itself and another user's file are not messages that
/// mailferry delivered: they must not hold up the mail.
fn open_candidate(dir: &Dir, name: &OsStr) -> Result<Option<File>> {
    match dir.open_message(name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.is(ErrorKind::NotFound) => Err(error),
        Err(error) if error.is(ErrorKind::PermissionDenied) => Ok(None),
        Err(error) if dir.file_size(name)?.is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Compares the message with those of a locked mbox. Two are the same if all bytes are, except for the From_ line,
/// which has the time, and for the fields that mail readers rewrite.
pub(super) fn is_in_mbox(
    path: &Path,
    appender: &MboxAppender,
    entry: &MboxEntry<'_>,
    cancel: &Cancel,
) -> Result<bool> {
    let unrepresentable = |Unrepresentable| Error::unrepresentable(path);
    let mut out = Vec::new();
    let mut writer =
        MessageWriter::begin(appender.variant, &entry.head, &mut out).map_err(unrepresentable)?;
    // Above the message are an MMDF frame and the From_ line.
    let from_line = memchr::memmem::find(&out, b"From ").unwrap_or_default();
    let above = memchr::memchr(b'\n', &out[from_line..]).map_or(out.len(), |lf| from_line + lf + 1);
    out.drain(..above);
    writer.push(entry.first_chunk, &mut out).map_err(unrepresentable)?;
    let header = header::split(&out).header;
    let fields = stable_fields(header);
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
    let mut take = |out: &mut Vec<u8>| {
        hasher.update(out);
        size += out.len() as u64;
        out.clear();
    };
    out.drain(..header.len());
    take(&mut out);
    entry.for_each_later_chunk(&mut |bytes| {
        writer.push(bytes, &mut out).map_err(unrepresentable)?;
        take(&mut out);
        Ok(())
    })?;
    writer.finish(&mut out).map_err(unrepresentable)?;
    take(&mut out);
    let hash = hasher.finalize();

    holes::check(&appender.file, appender.length, path)?;
    let Some(text) = MappedFile::map(&appender.file, appender.length, path)? else { return Ok(false) };
    let hooks = ScanHooks { on_scan: &|_| (), on_release: &|range| text.release(range), cancel };
    let options = ReadOptions { variant: Some(appender.variant), ..ReadOptions::default() };
    // MboxAppender has seen that it is an mbox.
    let Ok(mbox) = read::read(&text, &options, hooks) else { return Ok(false) };
    let is_present = mbox.messages().iter().any(|message| {
        let header = header::split(&text[message.start as usize..message.end as usize]).header;
        let body = message.start + header.len() as u64;
        let end = body.saturating_add(size);
        // `size` includes the separator and the end of a frame.
        message.end < end
            && end <= text.len() as u64
            && blake3::hash(&text[body as usize..end as usize]) == hash
            && stable_fields(header) == fields
    });
    if text.has_lost_pages() {
        let how = "it was cut off while it was read".into();
        return Err(Error::Changed { path: path.to_owned(), how });
    }
    cancel.check()?;
    Ok(is_present)
}

/// A header without the fields that mail readers rewrite.
fn stable_fields(header: &[u8]) -> Vec<u8> {
    header::without_volatile(header).unwrap_or_else(|| header.to_vec())
}

fn is_same(message: &PreparedMessage<'_>, path: &Path, mut file: &File) -> Result<bool> {
    let failed = || Error::io("read", path);
    let meta = file.metadata().map_err(failed())?;
    if !meta.is_file() {
        return Ok(false);
    }
    if meta.len() != message.size() {
        return is_same_compressed(message, path, file, meta.len());
    }
    let (mut same, mut read) = (true, Vec::new());
    message.for_each_chunk(&mut |bytes| {
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

/// Compares the message with a file of another size, which a server may have compressed.
fn is_same_compressed(message: &PreparedMessage<'_>, path: &Path, file: &File, size: u64) -> Result<bool> {
    let head = head::read(file, STORED_HEAD as usize).map_err(Error::io("read", path))?;
    if !matches!(StoredForm::of(&head), StoredForm::Compressed(_)) {
        return Ok(false);
    }
    let mut contents = Contents::default();
    contents.load(file, size, path)?;
    if contents.decode_at_most(message.size(), path)?.is_err() || contents.len() as u64 != message.size() {
        return Ok(false);
    }
    let (mut same, mut at) = (true, 0);
    message.for_each_chunk(&mut |bytes| {
        same &= contents[at..].starts_with(bytes);
        at += bytes.len();
        Ok(())
    })?;
    Ok(same)
}
