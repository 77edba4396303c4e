//! End-to-end tests: the real binary in a clean environment, and promises that a user would recognise.
//!
//! Mail of other people is in `../shared`, or in the directory that `MAILFERRY_SHARED` names. A test that
//! needs it, or root, or strace, is skipped where it is absent.

// Tests print, and read the environment and the clock.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod account;
mod accounts;
mod against;
mod apple;
mod archives;
mod back;
mod bounce_write;
mod bounces;
mod boundaries;
mod bounds;
mod certificates;
mod convert;
mod copy;
mod corpus;
mod deliver;
mod deliver_crowd;
mod deliver_faults;
mod deliver_mbox;
mod deliver_mbox_crowd;
mod deliver_power;
mod deliver_quota;
mod dot_qmail;
mod dovecot_tree;
mod eml;
mod failures;
mod farm;
mod faults;
mod flags;
mod folder_list;
mod generated_mail;
mod golden;
mod golden_inject;
mod golden_tools;
mod golden_wire;
mod hard;
mod hostile;
mod identity;
mod inject;
mod inspect;
mod kills;
mod labels;
mod lifetimes;
mod linux_mips;
mod live;
mod lmtp;
mod maildir2mbox;
mod maildir_detect;
mod mbsync;
mod metadata;
mod model;
mod mta;
mod null_client;
mod own_programs;
mod page;
mod peers;
mod power;
mod proof;
mod qmtp;
mod race;
mod random_kills;
mod recorder;
mod report;
mod reports;
mod sandbox;
mod screen;
mod selection;
mod sessions;
mod store_flags;
mod stores;
mod strace;
mod support;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_wire;
mod tree;
mod tree_model;
mod tree_verify;
mod trial;
mod uids;
mod uids_real;
mod unread;
mod verify;
mod wire;
