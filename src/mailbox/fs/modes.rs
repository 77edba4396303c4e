//! Modes of what is created.

use rustix::fs::{Mode, RawMode, Stat};

/// The default mode of files.
pub(crate) const FILE_MODE: u32 = 0o600;
/// The default mode of directories.
pub(crate) const DIR_MODE: u32 = 0o700;

/// Converts permission bits for a system call. FreeBSD and macOS have 16 bits.
pub(crate) fn mode_of(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}

/// Returns the kind and the permission bits of a file.
#[allow(clippy::unnecessary_cast)] // the type differs between systems
pub(crate) fn bits_of(stat: &Stat) -> u32 {
    stat.st_mode as u32
}

/// The modes of new files and directories, subject to the umask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Modes {
    /// The mode of files; `None` means [`FILE_MODE`].
    pub files: Option<u32>,
}

impl Modes {
    /// The mode of files.
    pub(crate) fn file_mode(self) -> u32 {
        self.files.unwrap_or(FILE_MODE)
    }

    /// The mode of directories: whoever may read a file may enter its directory.
    pub(crate) fn dir_mode(self) -> u32 {
        self.files.map_or(DIR_MODE, |mode| mode | ((mode & 0o444) >> 2))
    }
}
