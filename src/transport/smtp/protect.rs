//! The step from plaintext to TLS, as two types.
//!
//! A hop that needs TLS is an [`Unprotected`] connection first. That has no way to send MAIL, a password or a message.
//! Only a handshake that proves the name of the server turns it into a [`Protected`] one.

use super::command::Extensions;
use super::dialogue::{check_helo_name, command, read_greeting};
use crate::mailbox::Cancel;
use crate::transport::submission_hop::{SubmissionHop, TlsStart};
use crate::transport::tls::{self, TlsEnvironment};
use crate::transport::{Connection, OutcomeKind, Timeouts, TransportError};

/// How to reach a server over TLS.
#[derive(Clone, Copy)]
pub(crate) struct SubmissionOptions<'a> {
    pub(crate) timeouts: Timeouts,
    /// The name of this client.
    pub(crate) helo_name: &'a str,
    pub(crate) environment: TlsEnvironment,
    pub(crate) cancel: &'a Cancel,
}

/// A connection in plaintext.
struct Unprotected<'a>(Connection<'a>);

/// A connection over TLS to the server that was named.
pub(super) struct Protected<'a>(Connection<'a>);

impl<'a> Protected<'a> {
    /// Connects, and starts TLS as the hop needs it.
    pub(super) fn connect(
        hop: &SubmissionHop,
        options: SubmissionOptions<'a>,
    ) -> Result<Protected<'a>, TransportError> {
        let SubmissionOptions { timeouts, helo_name, environment, cancel } = options;
        check_helo_name(helo_name)?;
        let session = tls::new_session(hop, environment).map_err(TransportError::Unconfigured)?;
        let connection = Connection::connect_tcp(&hop.host.name, hop.host.port, timeouts, cancel)?;
        let mut unprotected = Unprotected(connection);
        if hop.start == TlsStart::Command {
            unprotected.ask_for_tls(helo_name)?;
        }
        let Unprotected(mut connection) = unprotected;
        connection.start_tls(session, &hop.host.name)?;
        let mut protected = Protected(connection);
        if hop.start == TlsStart::Immediate {
            read_greeting(&mut protected.0)?;
        }
        Ok(protected)
    }

    pub(super) fn connection(&mut self) -> &mut Connection<'a> {
        &mut self.0
    }
}

impl Unprotected<'_> {
    /// Sends EHLO and STARTTLS. Whatever else the server says is forgotten: anybody may have said it (RFC 3207, 4.2).
    fn ask_for_tls(&mut self, helo_name: &str) -> Result<(), TransportError> {
        let Unprotected(connection) = self;
        read_greeting(connection)?;
        let reply = command(connection, &format!("EHLO {helo_name}\r\n"))?;
        let is_offered = reply.kind() == Some(OutcomeKind::Accepted) && Extensions::parse(&reply).start_tls;
        if !is_offered {
            let why = "the server does not offer STARTTLS; nothing is sent to it without TLS";
            return Err(TransportError::Tls(why.to_owned()));
        }
        match command(connection, "STARTTLS\r\n")? {
            reply if reply.code == 220 => Ok(()),
            reply => Err(TransportError::Tls(format!("the server refuses STARTTLS: {}", reply.text()))),
        }
    }
}
