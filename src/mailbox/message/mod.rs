//! One message: its header fields, addresses and dates.

pub(crate) mod address;
pub(crate) mod breakdown;
pub(crate) mod charset;
pub(crate) mod date;
pub(crate) mod emlx;
mod encoded_word;
pub(crate) mod flags;
pub(crate) mod header;
mod headline;
pub(crate) mod line_ends;
mod policy;
pub(crate) mod received;
mod selection;
pub(crate) mod status;
pub(crate) mod uids;

pub(crate) use date::Stamp;
pub(crate) use flags::Flags;
pub(crate) use header::Field;
pub(crate) use headline::Headline;
pub(crate) use policy::{Eol, Headers};
pub(crate) use received::{
    DateFields, DateRules, FromLineDates, FromLineStats, Origin, OriginCheck, PackedStamp,
};
pub(crate) use selection::Selection;
pub(crate) use status::{DeletedPolicy, LabelPolicy, Status, StatusFields, StatusProblems};

/// Reports whether there are as many NULs in a row as only a crash or a full disk leaves.
pub(crate) fn has_hole(bytes: &[u8]) -> bool {
    const NULS: [u8; 64] = [0; 64];
    memchr::memmem::find(bytes, &NULS).is_some()
}
