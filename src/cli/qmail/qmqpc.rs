//! `qmail-qmqpc`, which has the interface of qmail-queue: passes a message to a server instead of a queue.
//!
//! qmail-qmqpc takes the first K, Z or D in a reply for its meaning, also in a word. Here a reply is a netstring.

use std::env;
use std::io;
use std::time::Duration;

use super::ending::Ending;
use crate::cli::inject_env::qmail_home;
use crate::cli::{open, relay};
use crate::mailbox::Cancel;
use crate::transport::{
    Connection, Envelope, NextHop, OutcomeKind, OutgoingMessage, Timeouts, TransportError, qmqp,
};

const CONNECT: Duration = Duration::from_secs(10);
const REPLY: Duration = Duration::from_secs(60);
const TOTAL: Duration = Duration::from_secs(3600);

// Exit codes of qmail-queue(8).
const REFUSED: u8 = 31;
const READ_ERROR: u8 = 54;
const NO_SERVERS: u8 = 55;
const NO_HOME: u8 = 61;
const TRY_AGAIN: u8 = 71;
const TIMED_OUT: u8 = 72;
const NOT_CONNECTED: u8 = 73;
const CONNECTION_LOST: u8 = 74;
const BAD_ENVELOPE: u8 = 91;

/// Reads the message from descriptor 0 and the envelope from 1, and sends them to the first server that can be reached.
pub(super) fn run() -> Ending {
    Ending::silent(send().err().unwrap_or(0))
}

fn send() -> Result<(), u8> {
    if !qmail_home().is_dir() {
        return Err(NO_HOME);
    }
    let servers = relay::qmqp_servers().map_err(|_| NO_SERVERS)?;
    if servers.is_empty() {
        return Err(NO_SERVERS);
    }
    let cancel = Cancel::never();
    let spooled = open::read_message(&env::temp_dir(), None, cancel).map_err(|_| READ_ERROR)?;
    let envelope = parse_envelope(&read_envelope().map_err(|_| READ_ERROR)?).ok_or(BAD_ENVELOPE)?;
    let message = OutgoingMessage::unmodified(&spooled, &envelope);
    let timeouts = Timeouts { connect: CONNECT, reply: REPLY, final_reply: REPLY, total: TOTAL };
    let mut code = NO_SERVERS;
    for server in servers {
        let NextHop::Qmqp(host) = server else { continue };
        let mut connection = match Connection::connect_tcp(&host.name, host.port, timeouts, cancel) {
            Ok(connection) => connection,
            Err(error) => {
                code = if matches!(error, TransportError::TimedOut(..)) { TIMED_OUT } else { NOT_CONNECTED };
                continue;
            }
        };
        // No other server is tried: this one may have the message.
        return match qmqp::exchange(&mut connection, &message).map(|outcome| outcome.kind) {
            Ok(OutcomeKind::Accepted) => Ok(()),
            Ok(OutcomeKind::Permanent) => Err(REFUSED),
            Ok(OutcomeKind::Temporary | OutcomeKind::LoginRefused) => Err(TRY_AGAIN),
            Ok(OutcomeKind::Unsure) | Err(_) => Err(CONNECTION_LOST),
        };
    }
    Err(code)
}

fn read_envelope() -> io::Result<Vec<u8>> {
    let mut envelope = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(io::stdout(), &mut buffer) {
            Ok(0) => return Ok(envelope),
            Ok(n) => envelope.extend_from_slice(&buffer[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Parses `F` and the sender, `T` and each recipient, each terminated by a NUL, up to a final NUL.
fn parse_envelope(bytes: &[u8]) -> Option<Envelope> {
    let mut fields = bytes.split_inclusive(|&b| b == 0).map(|field| field.strip_suffix(b"\0"));
    let sender = fields.next()??.strip_prefix(b"F")?.to_vec();
    let mut recipients = Vec::new();
    loop {
        match fields.next()?? {
            b"" => return Some(Envelope { sender, recipients }),
            field => recipients.push(field.strip_prefix(b"T")?.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_complete_and_has_a_sender() {
        let parsed = |bytes: &[u8]| {
            let Envelope { sender, recipients } = parse_envelope(bytes)?;
            Some((String::from_utf8(sender).unwrap(), recipients.len()))
        };
        assert_eq!(parsed(b"Fs@x\0Ta@b\0T\0\0"), Some(("s@x".into(), 2)));
        assert_eq!(parsed(b"F\0\0rest"), Some((String::new(), 0)));
        for bad in
            [&b""[..], b"\0", b"Fs", b"Fs\0", b"Xs\0\0", b"Fs\0Ta", b"Fs\0Ta\0", b"Fs\0Xa\0\0", b"Ta\0\0"]
        {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }
}
