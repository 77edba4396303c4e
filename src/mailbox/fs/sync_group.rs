//! One flush for several Maildirs that are written concurrently. A flush of a file system costs the same for one
//! Maildir as for many.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard};

use super::Dir;
use crate::mailbox::fs::ignore_poison;
use crate::mailbox::{Error, Result};

/// Writers, each on its own thread, that flush together once all of them wait for a flush. A limit applies to those
/// that work; a waiting writer does not count.
#[derive(Debug)]
pub(crate) struct SyncGroup {
    /// Opened before the first member writes, so that it gets every write error since.
    root: Dir,
    device: u64,
    state: Mutex<State>,
    /// A member may start to work. A condition for both events would wake every member that waits for the flush,
    /// too.
    freed: Condvar,
    /// The flush is done.
    flushed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Members that have not left.
    members: usize,
    /// Members that wait for a flush.
    waiting: usize,
    /// Members that may start to work.
    free: usize,
    /// Flushes so far.
    flushes: u64,
    /// The error of the last flush.
    failed: Option<i32>,
}

/// A member that works until it is dropped.
#[derive(Debug)]
pub(crate) struct Member<'a>(&'a SyncGroup);

impl SyncGroup {
    /// Creates a group of `members` that write to the file system of `root`. Each must [`begin`](SyncGroup::begin).
    /// At most `at_once` work at a time, at least one.
    pub(crate) fn new(root: Dir, members: usize, at_once: usize) -> Result<SyncGroup> {
        let state = State { members, waiting: 0, free: at_once.max(1), flushes: 0, failed: None };
        Ok(SyncGroup {
            device: root.device()?,
            root,
            state: Mutex::new(state),
            freed: Condvar::new(),
            flushed: Condvar::new(),
        })
    }

    /// Waits until another member may work.
    pub(crate) fn begin(&self) -> Member<'_> {
        drop(self.work(self.state()));
        Member(self)
    }

    /// Flushes the file system of `dir` to stable storage, once every other member waits for a flush as well.
    /// Another file system than that of the group is flushed at once.
    ///
    /// # Errors
    /// [`Error::Io`], the same for all members.
    pub(crate) fn flush(&self, dir: &Dir) -> Result<()> {
        if dir.device()? != self.device {
            return dir.sync_fs();
        }
        let mut state = self.state();
        state.waiting += 1;
        state.free += 1;
        self.freed.notify_one();
        let round = state.flushes;
        self.flush_if_all_wait(&mut state);
        while state.flushes == round {
            state = ignore_poison(self.flushed.wait(state));
        }
        let failed = state.failed;
        drop(self.work(state));
        match failed {
            None => Ok(()),
            Some(code) => Err(Error::io("flush", dir.path())(io::Error::from_raw_os_error(code))),
        }
    }

    /// No member can join or leave meanwhile: all that are left are waiting.
    fn flush_if_all_wait(&self, state: &mut State) {
        if state.waiting == 0 || state.waiting < state.members {
            return;
        }
        state.failed = self.root.sync_fs().err().map(|error| match error {
            Error::Io { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
            _ => libc::EIO,
        });
        state.waiting = 0;
        state.flushes += 1;
        self.flushed.notify_all();
    }

    fn work<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.free == 0 {
            state = ignore_poison(self.freed.wait(state));
        }
        state.free -= 1;
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.members -= 1;
        state.free += 1;
        self.0.freed.notify_one();
        self.0.flush_if_all_wait(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::mailbox::fs::sync_group::*;

    #[test]
    fn all_wait_for_one_flush_and_those_who_left_for_none() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let (together, at_work, most) = (
            SyncGroup::new(dir.try_clone().unwrap(), 20, 3).unwrap(),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for n in 0..20 {
                let (together, at_work, most, dir) = (&together, &at_work, &most, &dir);
                scope.spawn(move || {
                    let _member = together.begin();
                    for _ in 0..n % 4 {
                        most.fetch_max(at_work.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                        std::thread::yield_now();
                        at_work.fetch_sub(1, Ordering::Relaxed);
                        together.flush(dir).unwrap();
                    }
                });
            }
        });
        // No member waited for more than three flushes, and none flushed alone.
        assert_eq!(together.state().flushes, 3);
        assert!(most.into_inner() <= 3);
    }
}
