//! The choice of the protocol.

use super::engine::Session;
use super::wire::Peer;
use super::{Protocol, Recipients, SessionEnd, SessionOptions, lmtp, qmqp, qmtp};
use crate::mailbox::Cancel;

/// Serves a peer until either side ends the session.
pub(crate) fn serve<R: Recipients>(
    peer: &mut dyn Peer,
    recipients: &mut R,
    options: &SessionOptions<'_>,
    cancel: &Cancel,
) -> SessionEnd {
    let mut session = Session::new(peer, recipients, options, cancel);
    let result = match options.protocol {
        Protocol::Lmtp => lmtp::conversation::converse(&mut session),
        Protocol::Qmtp => qmtp::converse(&mut session),
        Protocol::Qmqp => qmqp::converse(&mut session),
    };
    // A failure does not matter here: outcomes are sent as soon as they are known.
    let _ = session.wire.flush();
    result.err().unwrap_or(SessionEnd::Orderly)
}
