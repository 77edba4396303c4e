//! One message: its header fields, addresses and dates.

pub(crate) mod address;
pub(crate) mod date;
pub(crate) mod flags;
pub(crate) mod header;
pub(crate) mod received;
