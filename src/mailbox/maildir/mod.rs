//! Maildir: a message a file, its metadata in the name.

pub mod delivery;
pub mod flags;
pub mod folders;
pub mod keywords;
pub mod make;
pub mod name;
pub mod quota;
pub mod read;
pub mod write;
