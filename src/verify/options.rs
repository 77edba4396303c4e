//! Options of a verification.

use std::path::Path;

use crate::mailbox::Result;
use crate::mailbox::source::Source;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Framing, names, sizes and modes; the names in the manifest.
    Structure,
    /// All bytes.
    Contents,
}

/// Opens an mbox, or a file that is one message.
pub(crate) type SourceOpener<'a> = &'a (dyn Fn(&Path) -> Result<Source> + Sync);

/// How to verify a mailbox.
pub(crate) struct VerifyOptions<'a> {
    pub depth: Depth,
    /// The manifest of a Maildir; default: the one in it.
    pub manifest: Option<&'a Path>,
    /// The converted source; default: where the manifest says.
    pub source: Option<&'a Path>,
    /// Opens the sources; None leaves them out.
    pub open_source: Option<SourceOpener<'a>>,
}
