//! TLS of a connection: which servers are trusted, and the records on the wire.
//!
//! TLS 1.2 and 1.3 with ring. There is no session resumption, no client certificate and no key log: rustls has no
//! renegotiation.

mod records;
mod trust;

pub(super) use records::Records;
pub(crate) use trust::{SystemRoots, TlsEnvironment};
pub(super) use trust::{describe, new_session, tls_error};

#[cfg(test)]
pub(crate) mod tests;
