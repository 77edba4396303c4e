//! One message: its header fields, addresses and dates.

pub(crate) mod address;
pub(crate) mod date;
pub(crate) mod flags;
pub(crate) mod header;
pub(crate) mod received;

pub(crate) use date::Stamp;
pub(crate) use flags::Flags;
pub(crate) use header::Field;
pub(crate) use received::{
    DateFields, DateRules, FromLineDates, FromLineStats, Origin, OriginCheck, PackedStamp,
};
