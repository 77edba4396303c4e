//! Maildir: a message a file, its metadata in the name.

mod base_index;
pub(crate) mod create;
pub(crate) mod deliver;
pub(crate) mod destination;
pub(crate) mod detect;
pub(crate) mod folders;
pub(crate) mod keywords;
pub(crate) mod list;
pub(crate) mod name;
pub(crate) mod quota;
mod status;
pub(crate) mod subdir;
pub(crate) mod uids;
pub(crate) mod write;

pub(crate) use base_index::BaseIndex;
pub(crate) use destination::DestinationState;
pub(crate) use keywords::{KeywordSet, KeywordTable};
pub(crate) use list::{Entry, FolderVersion, FoundMessage, MaildirReader, NoMessage};
pub(crate) use name::{BaseName, Unique};
pub(crate) use subdir::Subdir;
pub(crate) use write::{Fsync, Leftover, MaildirWriter, MessagePath, NewMessage};
