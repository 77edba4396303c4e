//! Chunks of work that are prepared concurrently, and finished in order.
//!
//! A worker takes a chunk, prepares it, and waits for its turn. Then it alone has the state that needs the order, such
//! as a place in a file or a hash. A worker holds one chunk, and the chunks before it are held by other running workers:
//! every wait ends.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::mailbox::fs::ignore_poison;
use crate::mailbox::{Error, Result};

/// Chunks for workers, and the state `T` of the one whose turn it is.
pub(super) struct TurnQueue<T> {
    chunks: usize,
    next: AtomicUsize,
    turn: Mutex<Turn<T>>,
    moved: Condvar,
}

struct Turn<T> {
    chunk: usize,
    /// A worker ended early: there is no next turn.
    failed: bool,
    state: T,
}

impl<T: Send> TurnQueue<T> {
    pub(super) fn new(chunks: usize, state: T) -> TurnQueue<T> {
        let turn = Mutex::new(Turn { chunk: 0, failed: false, state });
        TurnQueue { chunks, next: AtomicUsize::new(0), turn, moved: Condvar::new() }
    }

    /// Runs a worker on each thread, and returns the state. The first worker that fails stops the others.
    pub(super) fn run(self, work: impl Fn(&TurnQueue<T>) -> Result<()> + Sync) -> Result<T> {
        let work_to_the_end = || {
            let end = catch_unwind(AssertUnwindSafe(|| work(&self)));
            if !matches!(end, Ok(Ok(()))) {
                self.stop();
            }
            end.unwrap_or_else(|panic| resume_unwind(panic))
        };
        let mut errors: Vec<Error> =
            rayon::broadcast(|_| work_to_the_end()).into_iter().filter_map(Result::err).collect();
        // The others are interrupted by the one that failed.
        let failed = errors.iter().position(|error| !matches!(error, Error::Interrupted)).unwrap_or(0);
        if failed < errors.len() {
            return Err(errors.swap_remove(failed));
        }
        Ok(ignore_poison(self.turn.into_inner()).state)
    }

    /// Takes the next chunk; None after the last one.
    pub(super) fn take(&self) -> Option<TakenChunk<'_, T>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.chunks).then_some(TakenChunk { number, queue: self, turn: None })
    }

    fn lock(&self) -> MutexGuard<'_, Turn<T>> {
        ignore_poison(self.turn.lock())
    }

    /// Wakes the others when a worker ends early, by an error or a panic: they would wait for its turn.
    fn stop(&self) {
        self.lock().failed = true;
        self.moved.notify_all();
    }
}

/// A chunk that a worker holds.
pub(super) struct TakenChunk<'a, T> {
    pub(super) number: usize,
    queue: &'a TurnQueue<T>,
    /// Kept until the chunk is finished.
    turn: Option<MutexGuard<'a, Turn<T>>>,
}

impl<T: Send> TakenChunk<'_, T> {
    /// Waits for the turn of the chunk, and keeps it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if another worker failed. [`TurnQueue::run`] reports the error of that one.
    pub(super) fn turn(&mut self) -> Result<&mut T> {
        let TakenChunk { number, queue, turn } = self;
        let turn = turn.get_or_insert_with(|| {
            let is_waiting = |turn: &mut Turn<T>| turn.chunk != *number && !turn.failed;
            ignore_poison(queue.moved.wait_while(queue.lock(), is_waiting))
        });
        if turn.failed { Err(Error::Interrupted) } else { Ok(&mut turn.state) }
    }

    /// Passes the turn to the next chunk.
    pub(super) fn finish(mut self) -> Result<()> {
        self.turn()?;
        if let Some(mut turn) = self.turn {
            turn.chunk += 1;
            drop(turn);
            self.queue.moved.notify_all();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_finished_in_order_and_a_failure_ends_all() {
        let numbers = TurnQueue::new(500, Vec::new()).run(|queue| {
            while let Some(mut chunk) = queue.take() {
                let number = chunk.number;
                chunk.turn()?.push(number);
                chunk.finish()?;
            }
            Ok(())
        });
        assert!(numbers.unwrap().into_iter().eq(0..500));
        let failed = TurnQueue::new(500, ()).run(|queue| {
            while let Some(chunk) = queue.take() {
                match chunk.number {
                    7 => return Err(Error::destination("seven".as_ref(), "fails")),
                    _ => chunk.finish()?,
                }
            }
            Ok(())
        });
        // Those that wait for its turn are interrupted, which is not what went wrong.
        assert!(matches!(failed, Err(Error::Destination { .. })), "{failed:?}");
    }
}
