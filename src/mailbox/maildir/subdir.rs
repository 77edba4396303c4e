//! new/ and cur/, the two directories of a Maildir that hold messages.

/// The directory of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Subdir {
    /// No reader has seen the message.
    New,
    /// A reader has seen the message, or it has flags.
    Cur,
}

impl Subdir {
    /// The name of the directory.
    pub(crate) fn dir(self) -> &'static str {
        match self {
            Subdir::New => "new",
            Subdir::Cur => "cur",
        }
    }
}
