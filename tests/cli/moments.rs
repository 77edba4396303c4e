//! The moments at which runs are killed. How long a run takes is for the machine to say, and for what else it does
//! just then: so it is learned from the runs themselves, and no test demands more of the clock than one kill in time.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::*;
use crate::undisturbed::random;

pub struct Moments {
    what: &'static str,
    /// How long a run takes, as far as is known.
    takes: Duration,
    round: usize,
    tried: usize,
    in_time: usize,
}

impl Moments {
    /// Of runs that each do what `undisturbed` does once.
    pub fn of(what: &'static str, undisturbed: impl FnOnce()) -> Moments {
        let started = Instant::now();
        undisturbed();
        Moments { what, takes: started.elapsed(), round: 0, tried: 0, in_time: 0 }
    }

    /// Starts it, and kills it at some moment of the time that a run takes. One that was faster has ended well.
    pub fn kill(&mut self, mut command: Command) {
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
    pub fn next_round(&mut self, rounds: usize) -> Option<usize> {
        let round = self.round;
        self.round += 1;
        (round < rounds || (self.in_time == 0 && round < rounds + 20)).then_some(round)
    }

    /// Says how many came in time. Without one nothing was shown.
    #[track_caller]
    pub fn tell(&self) {
        let Moments { what, tried, in_time, .. } = self;
        note!("{what}: {in_time} of {tried} kills came in time");
        assert!(*in_time > 0, "{what}: none of {tried} kills came in time");
    }
}
