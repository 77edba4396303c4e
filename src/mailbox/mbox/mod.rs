//! mbox: many messages in one file, and the question where each begins.

pub mod append;
pub mod boundary;
pub mod boundary_list;
pub mod from_line;
pub mod gmail;
mod length;
pub mod quote;
pub mod read;
pub mod scan;
pub mod scan_hooks;
pub mod status;
pub mod variant;
pub mod write;
