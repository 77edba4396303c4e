//! Delivery as a user's `.qmail` files say: dot-qmail(5), qmail-command(8).
//!
//! ```text
//! recipient    the address: user and extension
//! home, find   the file of an address, and whether it may be followed
//! line         its instructions
//! route        all of this: what is known before a delivery
//! run          the deliveries; program, environment, own_programs: those to programs
//! delivery     all of it for one message
//! error        why a delivery failed
//! ```

pub(crate) mod delivery;
pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod find;
pub(crate) mod home;
pub(crate) mod line;
pub(crate) mod own_programs;
pub(crate) mod program;
pub(crate) mod recipient;
pub(crate) mod route;
pub(crate) mod run;

pub(crate) use error::DotQmailError;
pub(crate) use find::{Candidate, SkipReason};
pub(crate) use home::Trust;
pub(crate) use line::{Instruction, Line};
pub(crate) use own_programs::OwnPrograms;
pub(crate) use program::{OutputMode, ProgramOutcome};
pub(crate) use recipient::LocalRecipient;
pub(crate) use route::Route;
pub(crate) use run::{Executor, RunOptions, RunSummary};
