//! Commands and replies, one at a time.

use std::time::Duration;

use crate::transport::reply::{Parser, Reply};
use crate::transport::{Connection, OutcomeKind, TransportError};

pub(super) fn command(connection: &mut Connection<'_>, line: &str) -> Result<Reply, TransportError> {
    connection.write(line.as_bytes())?;
    connection.flush()?;
    read_reply(connection)
}

pub(super) fn read_reply(connection: &mut Connection<'_>) -> Result<Reply, TransportError> {
    read_reply_within(connection, connection.timeouts().reply)
}

pub(super) fn read_reply_within(
    connection: &mut Connection<'_>,
    time: Duration,
) -> Result<Reply, TransportError> {
    let mut parser = Parser::default();
    connection.read(time, |bytes| {
        let consumed = parser.take(bytes)?;
        Ok((consumed, parser.is_complete()))
    })?;
    parser.finish().ok_or(TransportError::Closed)
}

pub(super) fn read_greeting(connection: &mut Connection<'_>) -> Result<(), TransportError> {
    require_welcome(&read_reply(connection)?)
}

pub(super) fn require_welcome(reply: &Reply) -> Result<(), TransportError> {
    match reply.kind() {
        Some(OutcomeKind::Accepted) => Ok(()),
        _ => Err(TransportError::Garbled(format!("it does not talk to us: {}", reply.text()))),
    }
}

/// Refuses a name of this client that is not one word.
pub(super) fn check_helo_name(helo_name: &str) -> Result<(), TransportError> {
    match !helo_name.is_empty() && helo_name.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(TransportError::Garbled(format!("{helo_name:?} is no name to say to a server"))),
    }
}
