//! The options of a tree.

use std::path::Path;

use crate::convert::{ExportOptions, ImportOptions, Input};
use crate::mailbox::Result;
use crate::mailbox::mbox::Variant;
use crate::mailbox::tree::{Folder, Layout};

/// How a tree is converted.
pub(crate) struct TreeOptions<'a> {
    /// How each folder becomes a Maildir; the destination is the root of the folders.
    pub import: &'a ImportOptions<'a>,
    /// How each folder becomes an mbox, with [`Layout::Mboxes`].
    pub export: &'a ExportOptions<'a>,
    /// The layout of the folders.
    pub layout: Layout,
    /// The folders that their user has subscribed to, if there is a list.
    pub subscribed: Option<&'a [Folder]>,
    /// The number of workers.
    pub jobs: usize,
    /// The limit on open files.
    pub open_files: usize,
    /// Opens a source.
    pub open: &'a (dyn Fn(&Path, Option<Variant>) -> Result<Input> + Sync),
}
