//! The file of `--accounts`.

use std::io::Read;
use std::path::Path;

use super::identity;
use crate::mailbox::{Error, Result};

/// Reads a list of accounts, before the identity is taken. `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return identity::read_option_file(path);
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).map_err(Error::io("read", path))?;
    Ok(text)
}
