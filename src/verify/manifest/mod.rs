//! Verification against the manifest: every converted message is unchanged, moved, re-flagged, changed, renamed or
//! gone. The source is not needed; if it is at hand, it is compared too.
//!
//! Everyday changes (flags, new/ to cur/, another folder) are infos. Everything that makes the manifest's claim untrue
//! is an error: changed bytes, a message that is gone, and also another base name. A new base name is another message
//! to every IMAP client and to `convert --exact`.

mod check;
mod files;
mod flagging;
mod load;
mod ranges;
mod source;

pub(crate) use check::{CheckedManifests, check};
pub(crate) use files::{FoundFiles, MaildirManifests, MessageFiles};
pub(crate) use load::{LoadedManifest, damage_finding, error_finding, is_damage, load, tail_finding};
