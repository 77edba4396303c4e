//! The calls that differ between systems. One module for each system has the same functions, and no other code below
//! mailbox/ asks which system it runs on.
//!
//! `unix` has what a system without a call of its own does instead, and each function there says what that guarantees.
//! On Linux the feature `plain-unix` uses them in place of Linux's own calls, so that the tests can run them.
//! docs/platforms.md has the guarantees as users read them, and how each was tested.

#[cfg(any(target_os = "freebsd", target_os = "macos"))]
mod bsd;
#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "plain-unix")))]
mod linux_only;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(feature = "plain-unix", not(target_os = "linux")))]
mod unix;

#[cfg(any(target_os = "freebsd", target_os = "macos"))]
pub(crate) use bsd::*;
#[cfg(target_os = "freebsd")]
pub(crate) use freebsd::*;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;
#[cfg(all(target_os = "linux", not(feature = "plain-unix")))]
pub(crate) use linux_only::*;
#[cfg(target_os = "macos")]
pub(crate) use macos::*;
#[cfg(any(feature = "plain-unix", not(target_os = "linux")))]
pub(crate) use unix::*;

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "macos")))]
compile_error!(
    "mailferry runs on Linux, FreeBSD and macOS: another system needs a module in mailbox/fs/system"
);
