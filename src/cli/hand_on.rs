//! A completed message goes to the first place that takes it, and an outcome comes back for each recipient.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mailferry::deliver::draft::Draft;
use mailferry::deliver::envelope;
use mailferry::deliver::failure::{Failure, Reason};
use mailferry::deliver::letter::Letter;
use mailferry::deliver::{self, Rules, Target};
use mailferry::inject::Completed;
use mailferry::mailbox::maildir::flags::Flags;
use mailferry::transport::child::Limits;
use mailferry::transport::place::Place;
use mailferry::transport::{Envelope, Refusal, queue, sendmail};

use super::deliver::now;
use super::open;

/// What became of the message for one recipient.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The place that has answered last.
    pub by: Place,
    /// Why it is not there, if it is not.
    pub failed: Option<Failure>,
}

/// Hands a message on. A recipient that a place has taken it for, or has refused for good, is not tried
/// elsewhere; of the others the last place has the last word.
pub fn hand_on(
    completed: &Completed,
    places: &[Place],
    time: Duration,
    interrupted: &AtomicBool,
) -> Vec<Outcome> {
    let recipients = &completed.envelope.recipients;
    let mut outcomes: Vec<Option<Outcome>> = vec![None; recipients.len()];
    for place in places {
        let is_open = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome { failed, .. }) => {
                failed.as_ref().is_some_and(|failure| failure.reason.is_temporary())
            }
            None => true,
        };
        let left: Vec<usize> = (0..recipients.len()).filter(|&n| is_open(&outcomes[n])).collect();
        // The first place is asked even so: it says that we are interrupted.
        let is_over = left.is_empty() || outcomes[left[0]].is_some() && interrupted.load(Ordering::Relaxed);
        if is_over {
            break;
        }
        let envelope = Envelope {
            sender: completed.envelope.sender.clone(),
            recipients: left.iter().map(|&n| recipients[n].clone()).collect(),
        };
        // All of these places take a message for all of its recipients, or for none.
        let failed = send(place, &completed.letter, &envelope, Limits { time, interrupted }).err();
        for n in left {
            outcomes[n] = Some(Outcome { by: place.clone(), failed: failed.clone() });
        }
    }
    outcomes.into_iter().flatten().collect()
}

fn send(place: &Place, letter: &Letter, envelope: &Envelope, limits: Limits<'_>) -> Result<(), Failure> {
    match place {
        Place::Queue(program) => {
            queue::send(program, letter.file(b"", 0)?, envelope, limits).map(|_| ()).map_err(refused)
        }
        Place::Sendmail(program) => {
            sendmail::send(program, letter.file(b"", 0)?, envelope, limits).map_err(refused)
        }
        Place::Maildir(path) => store(Target::Maildir(path.clone()), letter, envelope, limits.interrupted),
        Place::Mbox(path) => store(Target::Mbox(path.clone(), None), letter, envelope, limits.interrupted),
        Place::Qmqp(_) | Place::Qmtp(_) | Place::Smtp(_) | Place::Lmtp(_) | Place::LmtpUnix(_) => {
            Err(Failure::new(Reason::Configuration, "this version does not speak that protocol"))
        }
    }
}

fn refused(Refusal { permanent, text }: Refusal) -> Failure {
    Failure::new(if permanent { Reason::Refused } else { Reason::TryAgain }, text)
}

/// Once for all recipients, with a Return-Path.
fn store(
    target: Target,
    letter: &Letter,
    envelope: &Envelope,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let locks = open::parse_locks("dotlock,fcntl").unwrap_or_else(|_| open::Locks::all());
    let locks = locks.wanted(Duration::from_secs(30));
    let rules = Rules {
        create: false,
        flags: Flags::default(),
        quota: None,
        quota_is_temporary: false,
        once: false,
        locks: &locks,
        now: now(),
        interrupted,
    };
    let envelope = envelope::Envelope { sender: Some(envelope.sender.clone()), recipient: None };
    deliver::deliver(&Draft::new(letter, &envelope, false)?, &[target], &rules)?;
    Ok(())
}
