//! Signals: the catchable ones end the work cleanly; SIGBUS, which a source truncated under our
//! mapping raises, ends it with a sentence.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGBUS, SIGHUP, SIGINT, SIGTERM};

/// A flag that SIGINT, SIGTERM and SIGHUP set. The second one of a kind ends the process at once:
/// whoever presses Ctrl-C twice does not want to wait for our cleaning up.
pub fn interruption() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // What nohup set to be ignored stays ignored.
        if is_ignored(signal) {
            continue;
        }
        let code = i32::from(super::exit::Exit::Interrupted.code());
        let hard = signal_hook::flag::register_conditional_shutdown(signal, code, flag.clone());
        let soft = signal_hook::flag::register(signal, flag.clone());
        debug_assert!(hard.is_ok() && soft.is_ok());
    }
    flag
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
    b"mailferry: a source was truncated by somebody else while it was read; nothing was published\n";

/// Installs the SIGBUS handler.
pub fn catch_bus_error() {
    // SAFETY: the action is zeroed plain data with a handler of the right signature; the handler
    // calls nothing but write(2) and _exit(2), which are async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as extern "C" fn(i32) as usize;
        libc::sigaction(SIGBUS, &action, std::ptr::null_mut());
    }
}

extern "C" fn on_bus_error(_signal: i32) {
    // SAFETY: both calls are async-signal-safe, and the bytes are static.
    unsafe {
        libc::write(2, TRUNCATED.as_ptr().cast(), TRUNCATED.len());
        libc::_exit(i32::from(super::exit::Exit::CouldNotFinish.code()));
    }
}
