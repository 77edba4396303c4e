//! Opening an mbox to append to it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::cli::open::Locks;
use crate::mailbox::mbox::MboxAppender;
use crate::mailbox::{Context, Error, Result};

/// Opens an mbox under all locks, and creates a missing one. A spool directory may allow no lock file, and qmail's
/// programs create none: then the other locks have to do.
pub(super) fn open_mbox(path: &Path, ctx: &Context<'_>, timeout: Duration) -> Result<MboxAppender> {
    match MboxAppender::open_for_delivery(path, None, true, ctx.locks, ctx.cancel) {
        Err(Error::Io { ref source, .. }) if is_denied(source) && is_writable(path) => {
            let locks = Locks::without_dotlock().with_timeout(timeout);
            MboxAppender::open_for_delivery(path, None, false, &locks, ctx.cancel)
        }
        mbox => mbox,
    }
}

/// Reports whether an error means that no file can be created in the directory.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn is_writable(path: &Path) -> bool {
    File::options().append(true).open(path).is_ok()
}
