//! Owners and modes of what is created.

use crate::mailbox::fs::durable::Owner;

/// The default mode of files.
pub(crate) const FILE_MODE: u32 = 0o600;
/// The default mode of directories.
pub(crate) const DIR_MODE: u32 = 0o700;

/// The owner and the modes of new files and directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ownership {
    /// `None` leaves them to the user that runs the program.
    pub owner: Option<Owner>,
    /// The mode of files, subject to the umask; `None` means [`FILE_MODE`].
    pub mode: Option<u32>,
}

impl Ownership {
    /// The mode of files.
    pub(crate) fn file_mode(self) -> u32 {
        self.mode.unwrap_or(FILE_MODE)
    }

    /// The mode of directories: whoever may read a file may enter its directory.
    pub(crate) fn dir_mode(self) -> u32 {
        self.mode.map_or(DIR_MODE, |mode| mode | ((mode & 0o444) >> 2))
    }
}
