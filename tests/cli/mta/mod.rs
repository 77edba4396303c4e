//! `deliver` with the programs that call it: Postfix, Exim, fetchmail, cron, a shell. `inject` with a server
//! or a provider, cron, PHP, git and a shell. Each runs with the recipe of docs/deliver.md or docs/send.md, in namespaces that
//! need root.

mod anywhere;
mod bounces;
mod exim;
mod lmtp;
mod mail;
mod others;
mod people;
mod pipe;
pub(crate) mod postfix;
mod provider;
mod qmail;
pub(crate) mod recipes;
pub(crate) mod sandbox;
mod sending;
mod submission;
