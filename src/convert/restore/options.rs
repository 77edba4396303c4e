//! The options of a restore.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::mailbox::manifest::ManifestLocation;

/// The source to restore, and its target.
pub(crate) struct RestoreOptions<'a> {
    /// The Maildir.
    pub maildir: &'a Path,
    /// The manifest.
    pub manifest: ManifestLocation<'a>,
    /// The source to restore, where there are several.
    pub source: Option<SourceSelector>,
    /// Where the bytes go.
    pub target: RestoreTarget<'a>,
}

/// A source named by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceSelector {
    /// By its path, or by the end of it if no other source's path has that end.
    Path(PathBuf),
    /// By its number, from 1, in the order of the manifest.
    Number(usize),
}

/// Where the bytes of a source go.
pub(crate) enum RestoreTarget<'a> {
    /// A file, which appears complete.
    File {
        /// The path.
        path: &'a Path,
        /// Replace a file that exists.
        replace: bool,
    },
    /// A stream.
    Stream(&'a Mutex<dyn Write + Send>),
}
