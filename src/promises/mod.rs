//! Properties that hold for any bytes. Property tests and the fuzz targets call them; no other build contains them.
//! Each function panics where its property does not hold.

mod accounts;
mod archive;
mod bounce;
mod delivery;
mod lmtp;
mod mbox;
mod message;
mod session;
mod transport;
mod uids;

pub use accounts::*;
pub use archive::*;
pub use bounce::*;
pub use delivery::*;
pub use lmtp::*;
pub use mbox::*;
pub use message::*;
pub use session::*;
pub use transport::*;
pub use uids::*;

/// The parts are slices of `whole`, in order. Empty ones are ignored.
fn are_slices_in_order<'a>(parts: impl Iterator<Item = &'a [u8]>, whole: &[u8]) {
    let mut from = whole.as_ptr();
    for part in parts.filter(|p| !p.is_empty()) {
        let range = part.as_ptr_range();
        assert!(from <= range.start && range.end <= whole.as_ptr_range().end, "no slice of the source");
        from = range.end;
    }
}
