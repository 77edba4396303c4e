//! Mail-Followup-To, which keeps replies to a mailing list from reaching its subscribers twice.

use crate::transport::envelope;

/// Returns the field if an address in To or Cc is a list. The addresses were read from right to left, and are written in
/// the order of the header.
pub(super) fn field(to_and_cc: &[Vec<u8>], lists: &[Vec<u8>]) -> Option<Vec<u8>> {
    let is_list = |address: &Vec<u8>| lists.iter().any(|list| list.eq_ignore_ascii_case(address));
    if !to_and_cc.iter().any(is_list) {
        return None;
    }
    let addresses: Vec<Vec<u8>> = to_and_cc.iter().rev().map(|address| envelope::quote(address)).collect();
    Some([b"Mail-Followup-To: ", &addresses.join(&b",\n  "[..])[..], b"\n"].concat())
}
