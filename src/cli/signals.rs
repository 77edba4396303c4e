//! Signals: the catchable ones end the work cleanly; so does, a little later, SIGBUS, which a source
//! truncated under our mapping raises.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::mailbox::context::Cancel;
use crate::mailbox::source::mapped;
use signal_hook::consts::{SIGBUS, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// A flag that SIGINT, SIGTERM and SIGHUP set. The second one of a kind ends the process at once:
/// whoever presses Ctrl-C twice does not want to wait for our cleaning up.
pub fn cancel_on_signals() -> Cancel {
    cancel_on_signals_with(super::ui::exit::Exit::Interrupted.code())
}

/// The same, where the second one ends the process with this code.
pub fn cancel_on_signals_with(code: u8) -> Cancel {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // What nohup set to be ignored stays ignored.
        if is_ignored(signal) {
            continue;
        }
        let hard = signal_hook::flag::register_conditional_shutdown(signal, code.into(), flag.clone());
        let soft = signal_hook::flag::register(signal, flag.clone());
        debug_assert!(hard.is_ok() && soft.is_ok());
    }
    // Over a limit on the size of files a write is to fail, and to be taken back, and not to kill us. A
    // handler, and not SIG_IGN, which the programs that we run would inherit.
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
    b"mailferry: a source was truncated by somebody else while it was read; nothing was published\n";

static PAGE: AtomicUsize = AtomicUsize::new(0);
static TRUNCATION: AtomicBool = AtomicBool::new(false);

/// Installs the SIGBUS handler.
///
/// What was truncated under our mapping reads as zeros from then on: the work goes on to where it looks
/// whether the source is still what it was, and there it ends as for any source that changes, with its
/// path, its report and without a trace.
pub fn catch_bus_error() {
    // SAFETY: sysconf(3) reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::SeqCst);
    // SAFETY: the action is zeroed plain data with a handler of the signature that SA_SIGINFO asks for;
    // the handler calls nothing but mmap(2), write(2) and _exit(2), which are system calls and no more.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(SIGBUS, &action, std::ptr::null_mut());
    }
}

/// Whether a source was truncated while it was read: what was made of it since means nothing.
pub fn source_was_truncated() -> bool {
    TRUNCATION.load(Ordering::SeqCst)
}

extern "C" fn on_bus_error(_signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel hands a handler installed with SA_SIGINFO a valid siginfo_t, and for SIGBUS it
    // has an address. What is mapped over lies from the page of that address to the end of a mapping of
    // ours, which is read-only, so nothing else of the program is there; zeros are as good there as any
    // bytes. All three calls are async-signal-safe, and the sentence is static.
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
