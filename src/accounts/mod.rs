//! Many accounts in one run: their list, their shards and their results.
// Until the commands use all of it.
#![allow(dead_code)]

pub(crate) mod result;
