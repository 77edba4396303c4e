//! `deliver` with the programs that call it: Postfix, Exim, fetchmail, cron, a shell. `inject` with a server,
//! cron, PHP and a shell. Each runs with the recipe of docs/deliver.md or docs/send.md, in namespaces that
//! need root.

mod bounces;
mod exim;
mod lmtp;
mod mail;
mod others;
mod people;
mod pipe;
pub(crate) mod postfix;
mod qmail;
pub(crate) mod recipes;
pub(crate) mod sandbox;
mod sending;
