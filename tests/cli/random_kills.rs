//! Random moments at which runs are killed. The duration of a run depends on the machine and its load, so it
//! is measured. A test demands only that one kill comes in time.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::*;
use crate::trial::random;

pub(crate) struct RandomKills {
    what: &'static str,
    /// The estimated duration of a run.
    takes: Duration,
    round: usize,
    tried: usize,
    in_time: usize,
}

impl RandomKills {
    /// Measures `undisturbed`, which does the same work once.
    pub(crate) fn of(what: &'static str, undisturbed: impl FnOnce()) -> RandomKills {
        let started = Instant::now();
        undisturbed();
        RandomKills { what, takes: started.elapsed(), round: 0, tried: 0, in_time: 0 }
    }

    /// Starts the command, and kills it at a random moment of its estimated duration. A run that ends earlier
    /// must succeed.
    pub(crate) fn kill(&mut self, mut command: Command) {
        let moment = Duration::from_micros(random(self.what, self.tried, self.takes.as_micros() as u64));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let was_in_time = status.code().is_none();
        assert!(was_in_time || status.success(), "{}: {status}", self.what);
        self.takes = if was_in_time { self.takes * 21 / 20 } else { moment };
        self.tried += 1;
        self.in_time += usize::from(was_in_time);
    }

    /// Counts the rounds: this many, and up to 20 more until a kill came in time.
    pub(crate) fn next_round(&mut self, rounds: usize) -> Option<usize> {
        let round = self.round;
        self.round += 1;
        (round < rounds || (self.in_time == 0 && round < rounds + 20)).then_some(round)
    }

    /// Prints how many kills came in time. Without one the test shows nothing.
    #[track_caller]
    pub(crate) fn report(&self) {
        let RandomKills { what, tried, in_time, .. } = self;
        note!("{what}: {in_time} of {tried} kills came in time");
        assert!(*in_time > 0, "{what}: none of {tried} kills came in time");
    }
}
