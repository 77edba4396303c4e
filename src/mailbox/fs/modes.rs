//! Modes of what is created.

/// The default mode of files.
pub(crate) const FILE_MODE: u32 = 0o600;
/// The default mode of directories.
pub(crate) const DIR_MODE: u32 = 0o700;

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
