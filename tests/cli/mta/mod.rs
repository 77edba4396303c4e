//! `deliver` behind the programs that it is made for: Postfix, Exim, fetchmail, cron, a shell; and `inject` in front
//! of a server, under cron, PHP and a shell. Each runs for real with the recipe that README.md and the manual have, in
//! a world of its own that needs root.

mod exim;
mod lmtp;
mod mail;
mod others;
mod people;
mod pipe;
pub mod postfix;
mod recipes;
mod sending;
mod world;
