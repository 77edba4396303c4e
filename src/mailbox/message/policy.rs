//! Changes that a conversion makes in a message on request.

/// Line ends of the messages written.
// Doc comments of the variants would be the help of --eol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Eol {
    #[default]
    Keep,
    Lf,
    Crlf,
}

impl Eol {
    /// Returns the word of the command line and the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Eol::Keep => "keep",
            Eol::Lf => "lf",
            Eol::Crlf => "crlf",
        }
    }
}

/// The fields that only mail readers write and rewrite, see [`is_volatile`](super::header::is_volatile).
// The doc comments of the variants are the help of --headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Headers {
    /// They stay
    #[default]
    Keep,
    /// They are removed; --exact restores them from the manifest
    Strip,
}

impl Headers {
    /// Returns the word of the command line and the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Headers::Keep => "keep",
            Headers::Strip => "strip",
        }
    }
}
