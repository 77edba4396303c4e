//! The only module of the library that creates, links, renames, flushes or removes.
//!
//! Names are relative to a directory handle: a directory that is renamed meanwhile stays the same directory, and
//! the kernel looks up one component instead of a path. Except for the functions that say so, nothing replaces a
//! file: a name that is taken is reported.

mod bytes;
mod dir;
mod filesystem;
mod temporary;
#[cfg(test)]
mod tests;

pub(crate) use bytes::{
    close, set_append, set_mode, set_mtime, sync_before_directory, sync_file, truncate, write_all,
    write_all_at, write_some, write_vectored_all,
};
pub(crate) use dir::{Dir, FileId, Name, sync_parent};
pub(crate) use temporary::{anonymous_file, memory_file};
