//! Conversions: mboxes into a Maildir, Maildirs into an mbox, one Maildir into another, and trees of mailboxes.

mod chunks;
mod commit;
pub(crate) mod copy;
mod counts;
mod dedupe;
mod destination;
pub(crate) mod export;
mod history;
mod identity;
pub(crate) mod import;
mod keywords;
mod labels;
mod names;
mod options;
mod plan;
mod planned;
mod planned_source;
mod read_back;
pub(crate) mod render;
mod report;
pub(crate) mod restore;
mod resume;
mod section;
mod section_writer;
pub(crate) mod tree;

pub(crate) use counts::{FolderCount, Totals};
pub(crate) use dedupe::Dedupe;
pub(crate) use options::{CopyOptions, DestinationOptions, ImportOptions};
pub(crate) use report::{Input, Outcome, Report};
