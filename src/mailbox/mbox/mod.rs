//! mbox: many messages in one file, and the question where each begins.

pub mod append;
pub mod boundary;
pub mod from_line;
pub mod gmail;
mod length;
pub mod overrule;
pub mod quote;
pub mod read;
pub mod scan;
pub mod status;
pub mod variant;
pub mod watch;
pub mod write;
