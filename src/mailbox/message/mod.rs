//! One message: its header fields, addresses and dates.

pub mod address;
pub mod date;
pub mod flags;
pub mod header;
pub mod received;
