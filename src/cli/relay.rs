//! Relaying for several commands: default next hops, time limits, and the classes of outcomes.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock;
use super::identity::current_account_home;
use super::inject_env::{default_queue_program, qmail_home};
use super::open::{self, delivery_context};
use crate::deliver::dot_qmail::own_programs::NEXT_HOPS;
use crate::deliver::{DeliverOptions, DeliveryTarget, PreparedMessage, transaction};
use crate::inject::control::{self, ControlFiles};
use crate::inject::relays;
use crate::mailbox::{Cancel, Result, display_path, escape};
use crate::transport::next_hop::redact;
use crate::transport::relay::{self, LocalMailbox, RelayOptions};
#[cfg(feature = "tls")]
use crate::transport::tls::{SystemRoots, TlsEnvironment};
use crate::transport::{
    DeliveryEnvelope, Failure, FailureReason, NextHop, OutgoingMessage, RelayOutcome, SpooledMessage,
    Timeouts,
};

/// For one address; a host may have another.
const CONNECT: Duration = Duration::from_secs(30);
/// For a reply (RFC 5321, 4.5.3.2).
const REPLY: Duration = Duration::from_secs(300);
/// For the reply to the message.
const FINAL_REPLY: Duration = Duration::from_secs(600);
/// For the lock of a mailbox.
const LOCK: Duration = Duration::from_secs(30);

/// Returns the default next hops.
///
/// A delivery sets $MAILFERRY_VIA for the programs that it runs: they send mail where the delivery sends its own.
///
/// The default is the queue program that the environment names, or qmail's own. If neither exists, the servers of
/// `control/qmqpservers` replace it, as in qmail-qmqpc, and without servers the file `relays` of the user or of the
/// machine. If that is missing, too, the result is qmail's program, whose error says what is missing.
pub(super) fn default_next_hops() -> Result<Vec<NextHop>, Failure> {
    let named = env::var_os(NEXT_HOPS).unwrap_or_default();
    let urls = named.as_bytes().split(|&b| b == b'\n').filter(|url| !url.is_empty());
    let hops: Vec<NextHop> = urls
        .map(|url| {
            let text = |why| format!("{NEXT_HOPS}: {}: {why}", escape(&redact(url)));
            NextHop::parse(OsStr::from_bytes(url))
                .map_err(|why| Failure::new(FailureReason::Configuration, text(why)))
        })
        .collect::<Result<_, _>>()?;
    if !hops.is_empty() {
        return Ok(hops);
    }
    let program = default_queue_program();
    let is_named = env::var_os("QMAILQUEUE").is_some_and(|program| !program.is_empty());
    if !is_named && !program.exists() {
        let mut hops = qmqp_servers()?;
        if hops.is_empty() {
            hops = user_relays()?;
        }
        if hops.is_empty() {
            hops = relays::read(Path::new("/etc/mailferry/relays"))?;
        }
        if !hops.is_empty() {
            return Ok(hops);
        }
    }
    Ok(vec![NextHop::Queue(program)])
}

/// Reads `~/.config/mailferry/relays` in the home directory of the account. cron runs sendmail as the user, but with
/// root's $HOME. That counts only where there is no account.
fn user_relays() -> Result<Vec<NextHop>, Failure> {
    let home = || env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    match current_account_home().or_else(home) {
        Some(home) => relays::read(&home.join(".config/mailferry/relays")),
        None => Ok(Vec::new()),
    }
}

/// Reads `control/qmqpservers`. qmail-qmqpc accepts addresses only and silently skips everything else. Here names and
/// ports are valid, too, and anything else is an error.
pub(super) fn qmqp_servers() -> Result<Vec<NextHop>, Failure> {
    let path = qmail_home().join("control/qmqpservers");
    let servers = control::read_lines(&path)?.into_iter().map(|line| {
        NextHop::parse(OsStr::from_bytes(&[b"qmqp://", &line[..]].concat())).map_err(|why| {
            let text = format!("{}: {}: {why}", display_path(&path), escape(&line));
            Failure::new(FailureReason::Configuration, text)
        })
    });
    servers.collect()
}

/// Relays a message and returns one outcome per recipient. `time` is the limit for each hop.
pub(super) fn relay_message(
    message: &OutgoingMessage<'_>,
    hops: &[NextHop],
    time: Duration,
    cancel: &Cancel,
) -> Result<Vec<RelayOutcome>> {
    let timeouts = Timeouts { connect: CONNECT, reply: REPLY, final_reply: FINAL_REPLY, total: time };
    let locks = open::Locks::all().with_timeout(LOCK.min(time));
    let deliver = |mailbox: LocalMailbox<'_>, spooled: &SpooledMessage, sender: &[u8]| {
        let target = match mailbox {
            LocalMailbox::Maildir(path) => DeliveryTarget::Maildir(path.to_owned()),
            LocalMailbox::Mbox(path) => DeliveryTarget::Mbox(path.to_owned(), None),
        };
        let envelope = DeliveryEnvelope { sender: Some(sender.to_vec()), recipient: None };
        let prepared = PreparedMessage::new(spooled, &envelope, false)?;
        let options = DeliverOptions { time: clock::now(), ..DeliverOptions::default() };
        let context = delivery_context(cancel, &locks);
        let delivered = transaction::deliver(&prepared, &[target], &options, &context)?;
        Ok(delivered.into_iter().next().map(|one| one.path).unwrap_or_default())
    };
    let options = RelayOptions {
        timeouts,
        helo_name: &helo_name()?,
        deliver: &deliver,
        #[cfg(feature = "tls")]
        tls: TlsEnvironment { now: clock::now, system_roots },
        cancel,
    };
    Ok(relay::send(hops, message, &options))
}

/// Loads the certificates of authorities as OpenSSL does, with $SSL_CERT_FILE and $SSL_CERT_DIR.
#[cfg(feature = "tls")]
fn system_roots() -> SystemRoots {
    let loaded = rustls_native_certs::load_native_certs();
    let errors = loaded.errors.iter().map(ToString::to_string).collect();
    SystemRoots { certificates: loaded.certs, errors }
}

/// Returns the name that qmail-remote uses: control/me, or without qmail the name of this host.
fn helo_name() -> Result<String> {
    Ok(OsStr::from_bytes(&host_name()?).to_string_lossy().into_owned())
}

/// Returns the host of bounces, as qmail-send does: control/bouncehost, or else the name of this machine.
pub(super) fn bounce_host() -> Result<Vec<u8>> {
    let host = control::read_lines(&qmail_home().join("control/bouncehost"))?.into_iter().next();
    host.map_or_else(host_name, Ok)
}

fn host_name() -> Result<Vec<u8>> {
    let me = ControlFiles::read(&qmail_home().join("control"))?.me;
    Ok(me.unwrap_or_else(|| rustix::system::uname().nodename().to_bytes().to_vec()))
}
