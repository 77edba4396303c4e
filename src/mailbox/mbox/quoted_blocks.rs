//! The parts of an mbox that have a `>From `: the others are not searched for quoting again.

/// Bytes of a block: the size of a few messages, so that the list takes a thousandth of the mbox at most.
const BLOCK: u64 = 1 << 14;

/// The blocks of a text in which a `>From ` begins, by number.
#[derive(Debug, Default, Clone)]
pub(crate) struct QuotedBlocks(Vec<u64>);

impl QuotedBlocks {
    /// Adds the block of a `>`. Offsets must not descend.
    pub(super) fn add(&mut self, at: usize) {
        let block = at as u64 / BLOCK;
        if self.0.last() != Some(&block) {
            self.0.push(block);
        }
    }

    /// Adds those of the next part of the text.
    pub(super) fn merge(&mut self, next: QuotedBlocks) {
        self.0.extend(next.0);
    }

    /// Reports whether a `>From ` may begin in these bytes.
    pub(super) fn may_be_in(&self, range: std::ops::Range<u64>) -> bool {
        let first = self.0.partition_point(|&block| block < range.start / BLOCK);
        self.0.get(first).is_some_and(|block| block * BLOCK < range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_without_a_quoted_line_near_them_have_none() {
        let mut blocks = QuotedBlocks::default();
        let at = |n: u64, byte: u64| n * BLOCK + byte;
        blocks.add(at(2, 5) as usize);
        blocks.add(at(2, 9) as usize);
        let mut next = QuotedBlocks::default();
        next.add(at(2, 11) as usize);
        next.add(at(5, 0) as usize);
        blocks.merge(next);
        for (range, want) in [
            (0..at(2, 0), false),
            (0..at(2, 1), true),
            (at(2, BLOCK - 1)..at(3, 0), true),
            (at(3, 0)..at(5, 0), false),
            (at(3, 0)..at(5, 1), true),
            (at(6, 0)..at(9, 0), false),
        ] {
            assert_eq!(blocks.may_be_in(range.clone()), want, "{range:?}");
        }
    }
}
