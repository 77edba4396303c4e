//! What several threads make of the chunks of a source, back in its order.

use std::collections::BTreeMap;

use crate::mailbox::error::Result;

/// What is to be told of chunks as they come, into the order of the source.
pub struct Reorder<'a, T> {
    push: &'a mut (dyn FnMut(T) -> Result<()> + Send),
    /// Of chunks that were done before an earlier one.
    early: BTreeMap<usize, T>,
    /// The chunk that is waited for.
    next: usize,
}

impl<'a, T> Reorder<'a, T> {
    /// Hands on to `push`, from chunk 0 on.
    pub fn new(push: &'a mut (dyn FnMut(T) -> Result<()> + Send)) -> Reorder<'a, T> {
        Reorder { push, early: BTreeMap::new(), next: 0 }
    }

    /// Chunk `n` is done.
    pub fn add(&mut self, n: usize, told: T) -> Result<()> {
        self.early.insert(n, told);
        while let Some(told) = self.early.remove(&self.next) {
            (self.push)(told)?;
            self.next += 1;
        }
        Ok(())
    }
}
