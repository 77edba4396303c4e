//! A message is handed on: to the first place that takes it, for each recipient. A place is a next hop, or a
//! mailbox here.

use std::path::Path;

use crate::deliver::prepared_message::PreparedMessage;
use crate::deliver::{self, DeliverOptions, DeliveryTarget};
use crate::mailbox::text::display_path;
use crate::transport::envelope;
use crate::transport::failure::Failure;
use crate::transport::net::{Connection, Patience};
use crate::transport::next_hop::Place;
use crate::transport::outcome::{Fate, Outcome};
use crate::transport::process::Limits;
use crate::transport::smtp::Protocol;
use crate::transport::{Envelope, Message, qmqp, qmtp, queue, sendmail, smtp};

/// How to go about it.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// For the next hop: a program has the total time.
    pub patience: Patience<'a>,
    /// The name that we give ourselves in SMTP and LMTP.
    pub hello: &'a str,
    /// How to deliver into a mailbox.
    pub rules: DeliverOptions<'a>,
}

/// What became of the message for a recipient, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The place that has answered last: which of those that were to be asked.
    pub by: usize,
    /// What it answered.
    pub outcome: Outcome,
}

/// Hands a message on. A place is asked for those recipients only for whom no place before it has taken the message
/// or refused it for good. Nor is it asked for those of whom the place before may have it ([`Fate::Unsure`]):
/// they would get it twice. So may those, later, who were told of it as temporary; nobody can know.
///
/// What comes back is one for each recipient, in order; none, if there are no places.
pub fn send(places: &[Place], message: &Message<'_>, envelope: &Envelope, how: &How<'_>) -> Vec<Told> {
    let mut told: Vec<Option<Told>> = vec![None; envelope.recipients.len()];
    for (by, place) in places.iter().enumerate() {
        let is_open =
            |one: &Option<Told>| one.as_ref().is_none_or(|told| told.outcome.fate == Fate::Temporary);
        let left: Vec<usize> = (0..told.len()).filter(|&n| is_open(&told[n])).collect();
        // The first place is asked even so: it says that we are interrupted.
        let cancel = how.patience.cancel.is_requested();
        if left.is_empty() || cancel && told[left[0]].is_some() {
            break;
        }
        let recipients = left.iter().map(|&n| envelope.recipients[n].clone()).collect();
        let part = Envelope { sender: envelope.sender.clone(), recipients };
        let outcomes = send_to(place, message, &part, how);
        for (n, outcome) in left.into_iter().zip(outcomes) {
            told[n] = Some(Told { by, outcome });
        }
    }
    told.into_iter().flatten().collect()
}

/// Hands a message to one place; one outcome for each recipient, in order.
pub fn send_to(place: &Place, message: &Message<'_>, envelope: &Envelope, how: &How<'_>) -> Vec<Outcome> {
    let all = |outcome| vec![outcome; envelope.recipients.len()];
    // Programs and mailboxes take a message for all of its recipients, or for none.
    let as_one = |result: Result<Outcome, Outcome>| all(result.unwrap_or_else(|outcome| outcome));
    let connected = match place {
        Place::Qmqp(host) | Place::Qmtp(host) | Place::Smtp(host) | Place::Lmtp(host) => {
            Connection::tcp(&host.name, host.port, how.patience)
        }
        Place::LmtpUnix(path) => Connection::unix(path, how.patience),
        Place::Queue(path) => return as_one(queue_up(path, message, envelope, how)),
        Place::Sendmail(path) => {
            let parts = sendmail::parts(&envelope.recipients).flat_map(|recipients| {
                let part = Envelope { sender: envelope.sender.clone(), recipients: recipients.to_vec() };
                let outcome = submit(path, message, &part, how).unwrap_or_else(|outcome| outcome);
                vec![outcome; recipients.len()]
            });
            return parts.collect();
        }
        Place::Maildir(path) => {
            return as_one(store(DeliveryTarget::Maildir(path.clone()), message, envelope, how));
        }
        Place::Mbox(path) => {
            return as_one(store(DeliveryTarget::Mbox(path.clone(), None), message, envelope, how));
        }
    };
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(broken) => return all(Outcome::broken(&broken, false)),
    };
    match place {
        Place::Qmqp(_) => qmqp::send(&mut connection, message, envelope),
        Place::Qmtp(_) => qmtp::send(&mut connection, message, envelope),
        Place::Smtp(_) => smtp::send(&mut connection, Protocol::Smtp, how.hello, message, envelope),
        _ => smtp::send(&mut connection, Protocol::Lmtp, how.hello, message, envelope),
    }
}

fn queue_up(
    program: &Path,
    message: &Message<'_>,
    envelope: &Envelope,
    how: &How<'_>,
) -> Result<Outcome, Outcome> {
    let file = message.file().map_err(Failure::from)?;
    let process = queue::send_and_listen(program, file, envelope, limits(how))?;
    Ok(Outcome { fate: Fate::Accepted, status: None, text: format!("queued by process {process}") })
}

fn submit(
    program: &Path,
    message: &Message<'_>,
    envelope: &Envelope,
    how: &How<'_>,
) -> Result<Outcome, Outcome> {
    sendmail::send(program, message.file().map_err(Failure::from)?, envelope, limits(how))?;
    Ok(Outcome { fate: Fate::Accepted, status: None, text: String::new() })
}

/// A program has the total time.
fn limits<'a>(how: &How<'a>) -> Limits<'a> {
    Limits { time: how.patience.total, cancel: how.patience.cancel }
}

/// Once for all recipients, with a Return-Path.
fn store(
    target: DeliveryTarget,
    message: &Message<'_>,
    envelope: &Envelope,
    how: &How<'_>,
) -> Result<Outcome, Outcome> {
    let with_top;
    let letter = match (message.top, message.from) {
        (b"", 0) => message.letter,
        (top, from) => {
            with_top = message.letter.with_top(top, from)?;
            &with_top
        }
    };
    let envelope = envelope::Envelope { sender: Some(envelope.sender.clone()), recipient: None };
    let draft = PreparedMessage::new(letter, &envelope, false)?;
    let delivered = deliver::deliver(&draft, &[target], &how.rules)?;
    let text = delivered.first().map(|one| display_path(&one.path).to_string()).unwrap_or_default();
    Ok(Outcome { fate: Fate::Accepted, status: None, text })
}

#[cfg(test)]
mod tests {
    use crate::mailbox::context::Cancel;
    use std::time::Duration;

    use super::*;
    use crate::mailbox::context::LockOptions;
    use crate::mailbox::message::flags::Flags;
    use crate::transport::Fate::*;
    use crate::transport::next_hop::Host;
    use crate::transport::peer::{PATIENT, Peer, envelope, letter};

    fn qmtp(peer: &Peer) -> Place {
        Place::Qmtp(Host { name: "127.0.0.1".into(), port: peer.port })
    }

    fn no_locks() -> LockOptions {
        LockOptions { methods: Vec::new(), timeout: Duration::ZERO, pid: 1, host: String::new() }
    }

    #[test]
    fn whoever_has_taken_it_or_refused_it_or_may_have_it_is_not_asked_again() {
        // The recipients are told apart by the netstrings that a place hears.
        let first = Peer::plays(|talk| {
            talk.hear("2:\nx,0:,30:3:a@y,3:b@y,3:c@y,3:d@y,3:e@y,,".len());
            // The fourth answer is none, and so are all behind it.
            talk.say("2:Ka,2:Db,2:Zc,x");
        });
        let second = Peer::plays(|talk| {
            talk.hear("2:\nx,0:,6:3:c@y,,".len());
            talk.say("2:Kc,");
        });
        let places = [qmtp(&first), qmtp(&second)];
        let letter = letter(b"x");
        let locks = no_locks();
        let how = how(&locks);
        let envelope = envelope("", &["a@y", "b@y", "c@y", "d@y", "e@y"]);
        let told = send(&places, &Message::whole(&letter), &envelope, &how);
        let told: Vec<_> = told.iter().map(|told| (told.outcome.fate, told.by == 0)).collect();
        assert_eq!(
            told,
            [(Accepted, true), (Permanent, true), (Accepted, false), (Unsure, true), (Unsure, true)]
        );
        first.heard();
        assert_eq!(second.heard(), b"2:\nx,0:,6:3:c@y,,");
    }

    #[test]
    fn nothing_more_is_tried_once_interrupted() {
        let last = Peer::plays(|_| ());
        let nowhere = Place::LmtpUnix("/nowhere/socket".into());
        let places = [nowhere, qmtp(&last)];
        let letter = letter(b"x");
        let locks = no_locks();
        let how = How { patience: Patience { cancel: Cancel::requested(), ..PATIENT }, ..how(&locks) };
        let told = send(&places, &Message::whole(&letter), &envelope("", &["a@y"]), &how);
        assert_eq!((told[0].outcome.fate, told[0].by), (Temporary, 0));
    }

    fn how(locks: &LockOptions) -> How<'_> {
        let rules = DeliverOptions {
            create: true,
            flags: Flags::default(),
            quota: None,
            quota_is_temporary: false,
            dedupe: false,
            locks,
            now: Duration::from_secs(981_173_106),
            cancel: Cancel::never(),
        };
        How { patience: PATIENT, hello: "me.example", rules }
    }
}
