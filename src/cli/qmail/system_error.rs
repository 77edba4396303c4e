//! System errors as qmail's programs see them.

use std::io;

/// Returns the text of an error, in qmail's words where it has its own.
pub(super) fn system_error_text(error: &io::Error) -> String {
    use io::ErrorKind::*;
    let words = match error.kind() {
        NotFound => "file does not exist",
        PermissionDenied if error.raw_os_error() == Some(libc::EPERM) => "permission denied",
        PermissionDenied => "access denied",
        AlreadyExists => "file already exists",
        IsADirectory => "is a directory",
        NotADirectory => "not a directory",
        StorageFull => "out of disk space",
        QuotaExceeded => "disk quota exceeded",
        FileTooLarge => "file too big",
        ReadOnlyFilesystem => "file system is read-only",
        OutOfMemory => "out of memory",
        TimedOut => "timed out",
        InvalidFilename => "file name too long",
        _ if error.raw_os_error() == Some(libc::EIO) => "input/output error",
        _ if error.raw_os_error() == Some(libc::ELOOP) => "symbolic link loop",
        _ => return error.to_string(),
    };
    words.into()
}

/// Reports whether a program that could not be started may start later.
pub(super) fn is_temporary(error: &io::Error) -> bool {
    const TEMPORARY: [i32; 14] = [
        libc::EAGAIN,
        libc::EBUSY,
        libc::EDEADLK,
        libc::EDQUOT,
        libc::EINTR,
        libc::EIO,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOLCK,
        libc::ENOMEM,
        libc::ENOSPC,
        libc::ESTALE,
        libc::ETIMEDOUT,
        libc::ETXTBSY,
    ];
    error.raw_os_error().is_none_or(|code| TEMPORARY.contains(&code))
}
