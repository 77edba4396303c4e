//! mbox: many messages in one file, and the question where each begins.

pub(crate) mod append;
mod attachment;
pub(crate) mod bare;
pub(crate) mod boundary;
pub(crate) mod boundary_list;
pub(crate) mod boundary_summary;
pub(crate) mod candidate;
mod chunk_scan;
mod frames;
pub(crate) mod from_line;
mod glued;
mod header_block;
mod header_edit;
mod length;
pub(crate) mod lines;
pub(crate) mod quote;
mod quoted_blocks;
pub(crate) mod read;
pub(crate) mod scan;
pub(crate) mod scan_hooks;
pub(crate) mod single;
mod tail;
pub(crate) mod variant;
pub(crate) mod verdict;
pub(crate) mod write;

pub(crate) use append::MboxAppender;
pub(crate) use candidate::{Candidate, NextLine};
pub(crate) use lines::begins_from_line;
pub(crate) use quote::Quoting;
pub(crate) use read::{Mbox, ReadOptions};
pub(crate) use scan_hooks::ScanHooks;
pub(crate) use variant::Variant;
pub(crate) use verdict::{Extent, Reason, Verdict};
