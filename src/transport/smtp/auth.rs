//! The command AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN, over TLS only.

use zeroize::Zeroizing;

use super::dialogue::{command, read_reply};
use super::mechanisms::Mechanisms;
use super::protect::Protected;
use crate::transport::reply::Reply;
use crate::transport::secret::Secret;
use crate::transport::submission_hop::Login;
use crate::transport::{Outcome, OutcomeKind, TransportError, outcome};

/// Why there is no login.
pub(super) enum LoginError {
    /// The server's decision.
    Refused(Outcome),
    Transport(TransportError),
}

impl From<TransportError> for LoginError {
    fn from(error: TransportError) -> LoginError {
        LoginError::Transport(error)
    }
}

/// Logs in. The password is read only now: the server has proved its name, and wants one.
pub(super) fn log_in(
    protected: &mut Protected<'_>,
    mechanisms: &Mechanisms,
    login: &Login,
) -> Result<(), LoginError> {
    let source = login.password.as_ref().ok_or_else(|| {
        let why =
            format!("the password of {} is missing; use --password-file or --password-command", login.user);
        TransportError::Unconfigured(why)
    })?;
    if !mechanisms.plain && !mechanisms.login {
        let why = match &mechanisms.names[..] {
            [] => "the server offers no AUTH; leave out the user to send without a login".to_owned(),
            names => {
                format!("the server has neither AUTH PLAIN nor LOGIN, but {}", outcome::escape_reply(names))
            }
        };
        return Err(TransportError::Unconfigured(why).into());
    }
    let secret =
        source.read(protected.connection().process_limits()).map_err(TransportError::Unconfigured)?;
    let (reply, sent) = match mechanisms.plain {
        true => plain(protected, &login.user, &secret)?,
        false => login_in_steps(protected, &login.user, &secret)?,
    };
    if reply.code == 235 {
        return Ok(());
    }
    // A server may repeat what it got.
    let text = match reply.lines.iter().any(|line| secret.is_in(line, &sent)) {
        true => format!("{} (its text contains the password)", reply.code),
        false => reply.text(),
    };
    let text = format!("login as {} refused: {text}", login.user);
    match reply.kind() {
        Some(OutcomeKind::Temporary) => {
            let status = reply.outcome(OutcomeKind::Temporary).status;
            Err(LoginError::Refused(Outcome { kind: OutcomeKind::Temporary, status, text }))
        }
        Some(OutcomeKind::Permanent) => {
            Err(LoginError::Refused(Outcome::new(OutcomeKind::LoginRefused, "5.7.8", text)))
        }
        _ => Err(TransportError::Garbled(text).into()),
    }
}

type Line = Zeroizing<Vec<u8>>;

/// Returns the reply, and the line that had the password.
fn plain(
    protected: &mut Protected<'_>,
    user: &str,
    secret: &Secret,
) -> Result<(Reply, Line), TransportError> {
    let line = secret.to_sasl_line("AUTH PLAIN ", format!("\0{user}\0").as_bytes());
    send_secret(protected, line)
}

/// The same with LOGIN, where the server asks for each part.
fn login_in_steps(
    protected: &mut Protected<'_>,
    user: &str,
    secret: &Secret,
) -> Result<(Reply, Line), TransportError> {
    let user = format!("{}\r\n", data_encoding::BASE64.encode(user.as_bytes()));
    for line in ["AUTH LOGIN\r\n", &user] {
        let reply = command(protected.connection(), line)?;
        if reply.code != 334 {
            return Ok((reply, Line::default()));
        }
    }
    send_secret(protected, secret.to_sasl_line("", b""))
}

fn send_secret(protected: &mut Protected<'_>, line: Line) -> Result<(Reply, Line), TransportError> {
    let connection = protected.connection();
    connection.send_secret(&line)?;
    Ok((read_reply(connection)?, line))
}
