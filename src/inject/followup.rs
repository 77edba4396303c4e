//! Mail-Followup-To: for who answers a mailing list, so that nobody hears it twice.

use std::io::ErrorKind;
use std::path::Path;

use crate::mailbox::error::{Error, Result};
use crate::transport::envelope;

/// Reads a list of mailing lists, an address a line; `#` begins a comment line. A file that is not there has
/// none.
pub fn read_list(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(Error::io("read", path))?,
    };
    let lines = text.split(|&b| b == b'\n').map(|line| super::control::without_blanks_behind(line).to_vec());
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).collect())
}

/// The field, if one of the addresses in To and Cc is a list's. They come in the order in which they were read,
/// from right to left, and are written the other way round.
pub fn field(to_and_cc: &[Vec<u8>], lists: &[Vec<u8>]) -> Option<Vec<u8>> {
    let is_list = |address: &Vec<u8>| lists.iter().any(|list| list.eq_ignore_ascii_case(address));
    if !to_and_cc.iter().any(is_list) {
        return None;
    }
    let addresses: Vec<Vec<u8>> = to_and_cc.iter().rev().map(|address| envelope::quoted(address)).collect();
    Some([b"Mail-Followup-To: ", &addresses.join(&b",\n  "[..])[..], b"\n"].concat())
}
