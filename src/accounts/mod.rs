//! Many accounts in one run: their list, their shards, their conversions and their results.

pub(crate) mod conversion;
pub(crate) mod list;
pub(crate) mod result;
pub(crate) mod results;
pub(crate) mod shard;
pub(crate) mod template;
