//! Sending messages: a message and an envelope in, one outcome per recipient out.
//!
//! ```text
//! spool        a complete message;  message: what of it is sent;  envelope: sender and recipients
//! next_hop     qmqp://host, lmtp+unix:/path, maildir:...;  relay: tries several hops
//! submission_hop  smtps://user@host;  host: host and port;  secret: the password
//! qmqp, qmtp   qmail's protocols, in netstrings
//! smtp         SMTP and LMTP;  reply: what a server answers;  stuffing: a message's form on the wire
//! net          connections with time limits;  tls: what a server must prove, and records
//! queue        programs with the interface of qmail-queue;  sendmail: of sendmail
//! process      supervised child processes;  child_pipes: their pipes;  capture: their standard error
//! outcome      what the next hop decided;  failure: why this machine could not deliver
//! ```

mod capture;
pub(crate) mod child_pipes;
pub(crate) mod envelope;
pub(crate) mod failure;
pub(crate) mod host;
pub(crate) mod message;
pub(crate) mod net;
pub(crate) mod netstring;
pub(crate) mod next_hop;
pub(crate) mod outcome;
#[cfg(test)]
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod qmqp;
pub(crate) mod qmtp;
pub(crate) mod queue;
#[cfg(test)]
mod recorded;
pub(crate) mod relay;
pub(crate) mod reply;
#[cfg(feature = "tls")]
pub(crate) mod secret;
pub(crate) mod sendmail;
pub(crate) mod smtp;
pub(crate) mod spool;
pub(crate) mod stuffing;
#[cfg(feature = "tls")]
pub(crate) mod submission_hop;
#[cfg(feature = "tls")]
pub(crate) mod tls;

pub(crate) use child_pipes::{ChildPipes, InputPipe, OutputPipe, PipeSource};
pub(crate) use envelope::{DeliveryEnvelope, Envelope};
pub(crate) use failure::{Failure, FailureReason};
pub(crate) use message::OutgoingMessage;
pub(crate) use net::{Connection, Timeouts, TransportError};
pub(crate) use next_hop::NextHop;
pub(crate) use outcome::{Outcome, OutcomeKind, Refusal};
pub(crate) use process::{Process, ProcessEnd, ProcessLimits, Shutdown};
pub(crate) use queue::QueueProgram;
pub(crate) use relay::RelayOutcome;
pub(crate) use spool::{MessageSpool, SpooledMessage};
