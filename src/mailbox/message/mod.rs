//! One message: its header fields, addresses and dates.

pub mod address;
pub mod date;
pub mod header;
