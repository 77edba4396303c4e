//! Is the message there already? A delivery that is repeated does not double it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::Rules;
use super::draft::Draft;
use crate::mailbox::durable::Dir;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::lock::{self, DirLock};
use crate::mailbox::maildir::name;

/// Looks for the message in a Maildir, and keeps out others who look, too, until the lock is dropped.
/// Where the file system locks no directories two who deliver at the same time may both find nothing.
pub(super) fn look(
    maildir: &Dir,
    draft: &Draft<'_>,
    rules: &Rules<'_>,
) -> Result<(Option<DirLock>, Option<PathBuf>)> {
    let places = [maildir.open_child("new".as_ref())?, maildir.open_child("cur".as_ref())?];
    let lock = lock::lock_dir(&places[0], rules.locks.timeout, rules.interrupted)?;
    let size = draft.size();
    for place in &places {
        for name in place.names()? {
            // Where a name tells the size it is not worth a look at others.
            let told = name::parse(name.as_encoded_bytes()).field(b'S');
            if told.is_some_and(|told| told != size) || place.file_size(&name)? != Some(size) {
                continue;
            }
            let path = place.path().join(&name);
            let file = match place.open_message(&name) {
                Ok(file) => file,
                // Its reader moved it meanwhile, from new/ to cur/, which is looked at next.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if is_same(draft, &path, file)? {
                return Ok((Some(lock), Some(path)));
            }
        }
    }
    Ok((Some(lock), None))
}

/// Whether a file holds just the bytes of the message.
fn is_same(draft: &Draft<'_>, path: &Path, mut file: File) -> Result<bool> {
    let failed = || Error::io("read", path);
    let (mut same, mut read) = (true, Vec::new());
    draft.each_chunk(&mut |bytes| {
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
    Ok(same && file.read(&mut [0]).map_err(failed())? == 0)
}
