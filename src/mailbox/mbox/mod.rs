//! mbox: many messages in one file, and the question where each begins.

pub mod append;
mod attachment;
pub mod boundary;
pub mod boundary_list;
pub mod candidate;
mod chunk_scan;
mod frames;
pub mod from_line;
pub mod gmail;
mod header_edit;
mod length;
mod lines;
pub mod quote;
pub mod read;
pub mod scan;
pub mod scan_hooks;
pub mod status;
mod tail;
pub mod variant;
pub mod verdict;
pub mod write;
