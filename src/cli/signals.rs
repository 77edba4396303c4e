//! Signals that stop an operation: SIGINT, SIGTERM and SIGHUP, and SIGBUS, which a truncated source raises.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGBUS, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use crate::mailbox::Cancel;
use crate::mailbox::source::mapped;

/// Returns a request to stop that SIGINT, SIGTERM and SIGHUP make. The second signal of a kind ends the process at once: a
/// user who presses Ctrl-C twice does not wait for the cleanup.
pub(crate) fn cancel_on_signals() -> Cancel {
    cancel_on_signals_with(super::ui::exit::Exit::Interrupted.code())
}

/// Returns the same with `code` as the exit code of the second signal.
pub(crate) fn cancel_on_signals_with(code: u8) -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // nohup(1) ignores signals on purpose.
        if is_ignored(signal) {
            continue;
        }
        let hard = signal_hook::flag::register_conditional_shutdown(signal, code.into(), flag.clone());
        let soft = signal_hook::flag::register(signal, flag.clone());
        debug_assert!(hard.is_ok() && soft.is_ok());
    }
    // A write that exceeds the limit on file sizes must fail, so that it is undone. Child processes would inherit SIG_IGN,
    // but not a handler.
    let over_limit = signal_hook::flag::register(SIGXFSZ, Arc::default());
    debug_assert!(over_limit.is_ok());
    Cancel::from_flag(flag)
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: sigaction with a null new action only reads; the old one is plain data of which all
    // zeros is a value.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

const TRUNCATED: &[u8] =
    b"mailferry: a source was truncated by another program while it was read; nothing was published\n";

static PAGE: AtomicUsize = AtomicUsize::new(0);
static TRUNCATION: AtomicBool = AtomicBool::new(false);

/// Installs the SIGBUS handler.
///
/// From then on the truncated part of the mapping reads as zeros. The operation continues to the point where it checks
/// whether the source has changed, and fails there like for any other source that changes.
pub(crate) fn catch_bus_error() {
    // SAFETY: sysconf(3) reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::SeqCst);
    // SAFETY: the action is zeroed plain data with a handler of the signature that SA_SIGINFO requires. The handler calls
    // only mmap(2), write(2) and _exit(2), which are plain system calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(SIGBUS, &action, std::ptr::null_mut());
    }
}

/// Reports whether a source was truncated while it was read. Everything derived from it since is invalid.
pub(crate) fn source_was_truncated() -> bool {
    TRUNCATION.load(Ordering::SeqCst)
}

extern "C" fn on_bus_error(_signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a handler installed with SA_SIGINFO a valid siginfo_t, which has an address for SIGBUS.
    // The new pages replace the range from the page of that address to the end of one of mailferry's own mappings. That
    // mapping is read-only and contains nothing else, so zeros are as valid there as any other bytes. All three calls are
    // async-signal-safe, and the text is static.
    unsafe {
        let address = (*info).si_addr().addr();
        if let Some(end) = mapped::mark_lost(address) {
            TRUNCATION.store(true, Ordering::SeqCst);
            let start = address & !(PAGE.load(Ordering::SeqCst) - 1);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let place = std::ptr::without_provenance_mut(start);
            if libc::mmap(place, end - start, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED {
                return;
            }
        }
        libc::write(2, TRUNCATED.as_ptr().cast(), TRUNCATED.len());
        libc::_exit(i32::from(super::ui::exit::Exit::CouldNotFinish.code()));
    }
}
