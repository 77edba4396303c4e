//! The addresses of an envelope.

use crate::mailbox::escape;
use crate::transport::envelope;

/// An envelope address without quotes: `"a b"@c` has the local part `a b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvelopeAddress {
    /// LMTP has no empty one, and none with control characters.
    pub local: Vec<u8>,
    /// None for `<postmaster>`.
    pub domain: Option<Vec<u8>>,
}

impl EnvelopeAddress {
    /// Splits an address of QMTP or QMQP, which has no quotes. Any bytes are one.
    pub(crate) fn from_raw(address: &[u8]) -> EnvelopeAddress {
        let (local, domain) = envelope::split(address);
        EnvelopeAddress { local: local.to_vec(), domain: domain.strip_prefix(b"@").map(<[u8]>::to_vec) }
    }

    /// Returns the sender of a message of QMTP or QMQP; `None` for the null sender.
    pub(crate) fn from_raw_sender(address: &[u8]) -> Option<EnvelopeAddress> {
        (!address.is_empty()).then(|| EnvelopeAddress::from_raw(address))
    }

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
