//! Delivery of one message: safe on disk in every target, or in none and the reason why.

pub mod draft;
pub mod envelope;
pub mod failure;
pub mod letter;
