//! A value for each side of a comparison.

use crate::mailbox::Result;

/// A value for each side.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Both<T> {
    /// The side that is checked.
    pub here: T,
    /// The side that it is compared with.
    pub there: T,
}

impl<T> Both<T> {
    /// Returns references to both values.
    pub(crate) fn as_ref(&self) -> Both<&T> {
        Both { here: &self.here, there: &self.there }
    }

    /// Maps both values.
    pub(crate) fn map<U>(self, mut f: impl FnMut(T) -> U) -> Both<U> {
        Both { here: f(self.here), there: f(self.there) }
    }

    /// Maps both values, or returns the first error.
    pub(crate) fn try_map<U>(self, mut f: impl FnMut(T) -> Result<U>) -> Result<Both<U>> {
        Ok(Both { here: f(self.here)?, there: f(self.there)? })
    }

    /// Pairs each value with another one of its side.
    pub(crate) fn zip<U>(self, other: Both<U>) -> Both<(T, U)> {
        Both { here: (self.here, other.here), there: (self.there, other.there) }
    }
}

impl<T: PartialEq> Both<T> {
    /// Reports whether both values are equal.
    pub(crate) fn is_same(&self) -> bool {
        self.here == self.there
    }
}
