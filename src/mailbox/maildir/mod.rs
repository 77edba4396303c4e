//! Maildir: a message a file, its metadata in the name.

pub mod create;
pub mod deliver;
pub mod destination;
pub mod detect;
pub mod folders;
pub mod keywords;
pub mod list;
pub mod name;
pub mod quota;
pub mod subdir;
pub mod write;
