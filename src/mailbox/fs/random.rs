//! Names that nothing else has.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};

/// The keys of a RandomState are the standard library's only public source of randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Returns a hidden name that nothing else has.
pub(crate) fn random_name() -> OsString {
    format!(".mailferry-{:016x}", random()).into()
}
