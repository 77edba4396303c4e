//! A message is handed on: with which limits, under which name, and how its outcome is told.

use std::env;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::deliver::DeliverOptions;
use crate::inject::control::{Control, without_blanks_behind};
use crate::mailbox::context::Cancel;
use crate::mailbox::error::{Error, Result};
use crate::mailbox::message::flags::Flags;
use crate::mailbox::text::{display_path, escape};
use crate::relay::{self, How, Told};
use crate::transport::failure::{Failure, Reason};
use crate::transport::net::Patience;
use crate::transport::next_hop::Place;
use crate::transport::{Envelope, Fate, Message, Outcome};

use crate::cli::deliver::now;
use crate::cli::dot_qmail::default_queue_program;
use crate::cli::inject_env::qmail_home;
use crate::cli::open;

/// For an address to answer; there may be another.
const CONNECT: Duration = Duration::from_secs(30);
/// For an answer (RFC 5321, 4.5.3.2).
const WAIT: Duration = Duration::from_secs(300);
/// For the answer to a message.
const VERDICT: Duration = Duration::from_secs(600);

/// Why a message is not there, if it is not.
pub fn outcome_failure(outcome: &Outcome) -> Option<Failure> {
    failure_reason(outcome).map(|reason| Failure::new(reason, &outcome.text))
}

/// Where a message goes for which no place was named: to the queue program that the environment names, or to qmail's
/// own. Where there is neither, to the servers of `control/qmqpservers`, as qmail-qmqpc does in its place; and if
/// there are none, to the program all the same, which says what is missing.
pub fn default_next_hops() -> Result<Vec<Place>, Failure> {
    let program = default_queue_program();
    let is_named = env::var_os("QMAILQUEUE").is_some_and(|program| !program.is_empty());
    if !is_named && !program.exists() {
        let servers = qmqp_servers()?;
        if !servers.is_empty() {
            return Ok(servers);
        }
    }
    Ok(vec![Place::Queue(program)])
}

/// One a line, in the order in which they are tried; `#` begins a comment. qmail-qmqpc takes addresses, and passes
/// over everything else in silence. Here a name and a port are taken, too, and a typing error is told.
fn qmqp_servers() -> Result<Vec<Place>, Failure> {
    let path = qmail_home().join("control/qmqpservers");
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(Error::io("read", &path))?,
    };
    let lines = text.split(|&byte| byte == b'\n').map(without_blanks_behind);
    let servers = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(|line| {
        Place::parse(OsStr::from_bytes(&[b"qmqp://", line].concat())).map_err(|why| {
            let text = format!("{}: {}: {why}", display_path(&path), escape(line));
            Failure::new(Reason::Configuration, text)
        })
    });
    servers.collect()
}

/// Hands a message on; one for each recipient. No place has more than `time`.
pub fn relay_message(
    message: &Message<'_>,
    envelope: &Envelope,
    places: &[Place],
    time: Duration,
    cancel: &Cancel,
) -> Result<Vec<Told>> {
    let locks = open::Locks::all().with_timeout(Duration::from_secs(30).min(time));
    let rules = DeliverOptions {
        create: false,
        flags: Flags::default(),
        quota: None,
        quota_is_temporary: false,
        dedupe: false,
        locks: &locks,
        now: now(),
        cancel,
    };
    let patience = Patience { connect: CONNECT, wait: WAIT, verdict: VERDICT, total: time, cancel };
    let how = How { patience, hello: &own_name()?, rules };
    Ok(relay::send(places, message, envelope, &how))
}

/// As qmail-remote has it: control/me, and where there is no qmail the name of this host.
fn own_name() -> Result<String> {
    let me = Control::read(&qmail_home().join("control"))?.me;
    let me = me.unwrap_or_else(|| rustix::system::uname().nodename().to_bytes().to_vec());
    Ok(OsStr::from_bytes(&me).to_string_lossy().into_owned())
}

/// The same as a class: what the next hop says of it, as far as there is a reason of ours for that.
pub fn failure_reason(outcome: &Outcome) -> Option<Reason> {
    let usual = match outcome.fate {
        Fate::Accepted => return None,
        Fate::Temporary | Fate::Unsure => Reason::TryAgain,
        Fate::Permanent => Reason::Refused,
    };
    let said = |reason: &Reason| {
        Some(reason.status()) == outcome.status.as_deref() && reason.is_temporary() == usual.is_temporary()
    };
    Some(Reason::ALL.into_iter().find(said).unwrap_or(usual))
}
