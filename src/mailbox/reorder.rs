//! Ordered output of parallel work.

use std::collections::BTreeMap;

use super::Result;

/// Passes on the results of chunks in the order of the chunks.
pub(crate) struct Reorder<'a, T> {
    push: &'a mut (dyn FnMut(T) -> Result<()> + Send),
    /// Results that are ahead of an unfinished chunk.
    early: BTreeMap<usize, T>,
    next: usize,
}

impl<'a, T> Reorder<'a, T> {
    /// Passes results to `push`, from chunk 0 on.
    pub(crate) fn new(push: &'a mut (dyn FnMut(T) -> Result<()> + Send)) -> Reorder<'a, T> {
        Reorder { push, early: BTreeMap::new(), next: 0 }
    }

    /// Adds the result of chunk `n`.
    pub(crate) fn add(&mut self, n: usize, result: T) -> Result<()> {
        self.early.insert(n, result);
        while let Some(result) = self.early.remove(&self.next) {
            (self.push)(result)?;
            self.next += 1;
        }
        Ok(())
    }
}
