//! The addresses of an envelope.

use crate::mailbox::escape;

/// An envelope address without quotes: `"a b"@c` has the local part `a b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvelopeAddress {
    /// Never empty, and without control characters.
    pub local: Vec<u8>,
    /// None for `<postmaster>`.
    pub domain: Option<Vec<u8>>,
}

impl EnvelopeAddress {
    /// `local@domain` without quotes, in the form of a program's argument.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match &self.domain {
            Some(domain) => [&self.local, &b"@"[..], domain].concat(),
            None => self.local.clone(),
        }
    }

    pub(crate) fn shown(&self) -> String {
        escape(&self.to_bytes())
    }
}
