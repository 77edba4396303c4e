//! Relaying: each recipient goes to the first next hop that accepts it.

use std::path::{Path, PathBuf};

#[cfg(feature = "tls")]
use super::smtp::SubmissionOptions;
use super::smtp::{self, Protocol};
#[cfg(feature = "tls")]
use super::tls::TlsEnvironment;
use super::{
    Connection, Envelope, Failure, NextHop, Outcome, OutcomeKind, OutgoingMessage, ProcessLimits,
    QueueProgram, SpooledMessage, Timeouts, qmqp, qmtp, sendmail,
};
use crate::mailbox::{Cancel, display_path};

/// Delivers a message from this sender to a mailbox, and returns the file that has it.
pub(crate) type DeliverLocally<'a> =
    dyn Fn(LocalMailbox<'_>, &SpooledMessage, &[u8]) -> Result<PathBuf, Failure> + 'a;

/// How to relay a message.
#[derive(Clone, Copy)]
pub(crate) struct RelayOptions<'a> {
    /// A program has the total time.
    pub(crate) timeouts: Timeouts,
    /// The name of this client in SMTP and LMTP.
    pub(crate) helo_name: &'a str,
    pub(crate) deliver: &'a DeliverLocally<'a>,
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsEnvironment,
    pub(crate) cancel: &'a Cancel,
}

/// A next hop that is a mailbox of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LocalMailbox<'a> {
    Maildir(&'a Path),
    Mbox(&'a Path),
}

/// The outcome for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelayOutcome {
    /// The index of the next hop that replied last.
    pub(crate) hop_index: usize,
    pub(crate) outcome: Outcome,
}

/// Relays a message and returns one outcome per recipient, in order; none if there are no hops.
///
/// A hop gets only the recipients that no earlier hop has accepted or permanently refused. It does not get those that an
/// earlier hop may have ([`Disposition::Unsure`]), which it would deliver twice.
pub(crate) fn send(
    hops: &[NextHop],
    message: &OutgoingMessage<'_>,
    options: &RelayOptions<'_>,
) -> Vec<RelayOutcome> {
    let Envelope { sender, recipients } = message.envelope;
    let mut outcomes: Vec<Option<RelayOutcome>> = vec![None; recipients.len()];
    for (hop_index, hop) in hops.iter().enumerate() {
        let is_open = |one: &Option<RelayOutcome>| {
            let is_open = |kind| matches!(kind, OutcomeKind::Temporary | OutcomeKind::LoginRefused);
            one.as_ref().is_none_or(|one| is_open(one.outcome.kind))
        };
        let open: Vec<usize> = (0..outcomes.len()).filter(|&n| is_open(&outcomes[n])).collect();
        // The first hop is tried even after a request to stop, and its outcome reports the interruption.
        if open.is_empty() || options.cancel.is_requested() && outcomes[open[0]].is_some() {
            break;
        }
        let recipients = open.iter().map(|&n| recipients[n].clone()).collect();
        let envelope = &Envelope { sender: sender.clone(), recipients };
        let sent = send_to(hop, &OutgoingMessage { envelope, ..*message }, options);
        for (n, outcome) in open.into_iter().zip(sent) {
            outcomes[n] = Some(RelayOutcome { hop_index, outcome });
        }
    }
    outcomes.into_iter().flatten().collect()
}

/// Sends a message to one hop and returns one outcome per recipient, in order.
fn send_to(hop: &NextHop, message: &OutgoingMessage<'_>, options: &RelayOptions<'_>) -> Vec<Outcome> {
    let RelayOptions { timeouts, helo_name, cancel, .. } = *options;
    let all = |outcome| vec![outcome; message.envelope.recipients.len()];
    let limits = ProcessLimits { time: timeouts.total, cancel };
    let connected = match hop {
        NextHop::Qmqp(host) | NextHop::Qmtp(host) | NextHop::Smtp(host) | NextHop::Lmtp(host) => {
            Connection::connect_tcp(&host.name, host.port, timeouts, cancel)
        }
        NextHop::LmtpUnix(path) => Connection::connect_unix(path, timeouts, cancel),
        #[cfg(feature = "tls")]
        NextHop::Submission(hop) => {
            let options = SubmissionOptions { timeouts, helo_name, environment: options.tls, cancel };
            return smtp::submit(hop, message, options);
        }
        // A queue program and a mailbox get the message once for all recipients.
        NextHop::Queue(path) => return all(send_to_queue(path, message, limits)),
        NextHop::Sendmail(path) => return send_to_sendmail(path, message, limits),
        NextHop::Maildir(path) => return all(store(LocalMailbox::Maildir(path), message, options)),
        NextHop::Mbox(path) => return all(store(LocalMailbox::Mbox(path), message, options)),
    };
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(error) => return all(Outcome::not_sent(&error)),
    };
    match hop {
        NextHop::Qmqp(_) => qmqp::send(&mut connection, message),
        NextHop::Qmtp(_) => qmtp::send(&mut connection, message),
        NextHop::Smtp(_) => smtp::send(&mut connection, Protocol::Smtp, helo_name, message),
        _ => smtp::send(&mut connection, Protocol::Lmtp, helo_name, message),
    }
}

fn send_to_queue(path: &Path, message: &OutgoingMessage<'_>, limits: ProcessLimits<'_>) -> Outcome {
    let program = QueueProgram { path, limits, capture_stderr: true };
    match message.to_file().map(|file| program.send(file, message.envelope)) {
        Ok(Ok(process)) => accepted(format!("queued by process {process}")),
        Ok(Err(refusal)) => refusal.into(),
        Err(error) => Failure::from(error).into(),
    }
}

/// Starts the program as often as its arguments would become too long.
fn send_to_sendmail(
    program: &Path,
    message: &OutgoingMessage<'_>,
    limits: ProcessLimits<'_>,
) -> Vec<Outcome> {
    let Envelope { sender, recipients } = message.envelope;
    let send = |recipients: &[Vec<u8>]| -> Outcome {
        let part = Envelope { sender: sender.clone(), recipients: recipients.to_vec() };
        match message.to_file().map(|file| sendmail::send(program, file, &part, limits)) {
            Ok(Ok(())) => accepted(String::new()),
            Ok(Err(refusal)) => refusal.into(),
            Err(error) => Failure::from(error).into(),
        }
    };
    sendmail::batches(recipients).flat_map(|batch| vec![send(batch); batch.len()]).collect()
}

fn store(mailbox: LocalMailbox<'_>, message: &OutgoingMessage<'_>, options: &RelayOptions<'_>) -> Outcome {
    let OutgoingMessage { envelope, prefix, spooled, offset } = *message;
    let deliver = |spooled: &SpooledMessage| (options.deliver)(mailbox, spooled, &envelope.sender);
    let delivered = match (prefix, offset) {
        (b"", 0) => deliver(spooled),
        _ => spooled.with_prefix(prefix, offset).and_then(|spooled| deliver(&spooled)),
    };
    match delivered {
        Ok(path) => accepted(display_path(&path)),
        Err(failure) => failure.into(),
    }
}

fn accepted(text: String) -> Outcome {
    Outcome { kind: OutcomeKind::Accepted, status: None, text }
}

#[cfg(test)]
mod tests {
    use super::OutcomeKind::{Accepted, Permanent, Temporary, Unsure};
    use super::*;
    use crate::transport::host::Host;
    use crate::transport::peer::{PATIENT, Peer, envelope, spooled};

    fn qmtp(peer: &Peer) -> NextHop {
        NextHop::Qmtp(Host { name: "127.0.0.1".into(), port: peer.port })
    }

    fn options(cancel: &Cancel) -> RelayOptions<'_> {
        fn deliver(_: LocalMailbox<'_>, _: &SpooledMessage, _: &[u8]) -> Result<PathBuf, Failure> {
            unreachable!("no test has a mailbox")
        }
        RelayOptions {
            timeouts: PATIENT,
            helo_name: "me.example",
            deliver: &deliver,
            #[cfg(feature = "tls")]
            tls: crate::transport::tls::tests::NO_ROOTS,
            cancel,
        }
    }

    #[test]
    fn a_recipient_that_is_accepted_refused_or_unsure_is_not_tried_again() {
        // The requests identify the recipients that a hop got.
        let first = Peer::spawn(|talk| {
            talk.receive("2:\nx,0:,30:3:a@y,3:b@y,3:c@y,3:d@y,3:e@y,,".len());
            // The fourth reply is invalid, and so are all after it.
            talk.send("2:Ka,2:Db,2:Zc,x");
        });
        let second = Peer::spawn(|talk| {
            talk.receive("2:\nx,0:,6:3:c@y,,".len());
            talk.send("2:Kc,");
        });
        let hops = [qmtp(&first), qmtp(&second)];
        let message = spooled(b"x");
        let envelope = envelope("", &["a@y", "b@y", "c@y", "d@y", "e@y"]);
        let message = OutgoingMessage::unmodified(&message, &envelope);
        let outcomes = send(&hops, &message, &options(Cancel::never()));
        let outcomes: Vec<_> = outcomes.iter().map(|one| (one.outcome.kind, one.hop_index == 0)).collect();
        assert_eq!(
            outcomes,
            [(Accepted, true), (Permanent, true), (Accepted, false), (Unsure, true), (Unsure, true)]
        );
        first.received();
        assert_eq!(second.received(), b"2:\nx,0:,6:3:c@y,,");
    }

    #[test]
    fn nothing_more_is_tried_once_interrupted() {
        let last = Peer::spawn(|_| ());
        let hops = [NextHop::LmtpUnix("/nowhere/socket".into()), qmtp(&last)];
        let message = spooled(b"x");
        let envelope = envelope("", &["a@y"]);
        let message = OutgoingMessage::unmodified(&message, &envelope);
        let outcomes = send(&hops, &message, &options(Cancel::requested()));
        assert_eq!((outcomes[0].outcome.kind, outcomes[0].hop_index), (Temporary, 0));
    }
}
