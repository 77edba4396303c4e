//! Mailboxes under cron: whatever their owner does with them between two runs, every message is converted once, no run
//! is refused, and `--exact` gives the last state.

use std::collections::BTreeSet;
use std::fs;

use crate::support::*;

/// A message of the mailbox: its number, and its status.
#[derive(Clone, Copy)]
struct Mail {
    number: u32,
    status: usize,
}

const STATUS: [&str; 4] = ["", "Status: O\n", "Status: RO\n", "Status: RO\nX-Status: AF\n"];

impl Mail {
    fn text(self) -> String {
        mail_with(self.number, STATUS[self.status]) + "\n"
    }
}

/// What happens to a mailbox between two runs.
#[derive(Debug, Clone, Copy)]
enum Event {
    Append,
    ExpungeFirst,
    ExpungeMiddle,
    Reflag,
    Reorder,
    FetchAll,
    Replace,
}

const EVENTS: [Event; 10] = [
    // Mail comes more often than anything else happens.
    Event::Append,
    Event::Append,
    Event::Append,
    Event::Append,
    Event::ExpungeFirst,
    Event::ExpungeMiddle,
    Event::Reflag,
    Event::Reorder,
    Event::FetchAll,
    Event::Replace,
];

#[derive(Default)]
struct Lifetime {
    mails: Vec<Mail>,
    /// The next number.
    next: u32,
    /// The numbers of all messages that a run has seen.
    seen: BTreeSet<u32>,
}

impl Lifetime {
    fn append(&mut self, count: usize) {
        for _ in 0..count {
            self.mails.push(Mail { number: self.next, status: 0 });
            self.next += 1;
        }
    }

    fn happen(&mut self, event: Event, dice: &mut Dice) {
        let count = self.mails.len();
        match event {
            Event::Append => self.append(1 + dice.roll(3)),
            Event::FetchAll => self.mails.clear(),
            Event::Replace => {
                self.mails.clear();
                self.append(1 + dice.roll(4));
            }
            _ if count == 0 => {}
            Event::ExpungeFirst => drop(self.mails.remove(0)),
            Event::ExpungeMiddle => drop(self.mails.remove(dice.roll(count))),
            Event::Reflag => {
                let status = dice.roll(STATUS.len());
                self.mails[dice.roll(count)].status = status;
            }
            Event::Reorder => {
                let (a, b) = (dice.roll(count), dice.roll(count));
                self.mails.swap(a, b);
            }
        }
    }
}

#[test]
fn a_mailbox_under_cron_loses_and_doubles_no_message() {
    for seed in 0..samples(15, 60, 300) {
        let (mut dice, setup) = (Dice(seed), Setup::new());
        let mut life = Lifetime::default();
        life.append(1 + dice.roll(4));
        let mut events = Vec::new();
        for _ in 0..6 {
            let text: String = life.mails.iter().map(|mail| mail.text()).collect();
            let source = setup.file("inbox", &text);
            let what = format!("seed {seed}, {events:?}");
            let run = setup.try_convert(&[], &[&source]);
            assert_eq!(run.code, Some(0), "{what}: {}{}", run.stderr, run.text());
            life.seen.extend(life.mails.iter().map(|mail| mail.number));
            let expected: BTreeSet<String> = life.seen.iter().map(|n| format!("number {n}")).collect();
            let subjects = setup.subjects();
            assert_eq!(subjects.len(), expected.len(), "{what}: each once");
            assert_eq!(subjects.into_iter().collect::<BTreeSet<_>>(), expected, "{what}");
            same(&setup.exact(&["--source".as_ref(), source.as_os_str()]), text.as_bytes(), &what);
            let verified = setup.maildir();
            run_verify(&verified, &what);
            for _ in 0..1 + dice.roll(2) {
                let event = EVENTS[dice.roll(EVENTS.len())];
                life.happen(event, &mut dice);
                events.push(event);
            }
        }
        fs::remove_file(setup.path("inbox")).unwrap();
    }
}

/// Asserts that nothing is wrong with a Maildir.
fn run_verify(maildir: &std::path::Path, what: &str) {
    let run = run(mailferry(["verify".as_ref(), "--json".as_ref(), maildir.as_os_str()]));
    assert_eq!((run.code, run.complaints().len()), (Some(0), 0), "{what}: {}", run.text());
}
