//! verify: is a mailbox sound, and is it the same mail as another one?

pub mod against;
