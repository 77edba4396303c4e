//! A mailbox on the command line: a path, or `FORMAT:path`. Paths are bytes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::mailbox::error::Result;
use crate::mailbox::maildir::detect;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::text::display_path;

/// A format named before the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `mbox:`, find out which.
    Mbox,
    /// One of its variants, or `rfc822:`.
    Variant(Variant),
    /// `maildir:`.
    Maildir,
}

/// A mailbox as named by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxArg {
    /// The format, if there was a prefix.
    pub format: Option<Format>,
    /// The path; `-` for standard input or output.
    pub path: PathBuf,
}

impl MailboxArg {
    /// Takes the prefix off, if there is one.
    pub fn parse(arg: &OsStr) -> MailboxArg {
        let bytes = arg.as_bytes();
        let prefixed = bytes.iter().position(|&b| b == b':').and_then(|colon| {
            let format = format(&bytes[..colon])?;
            Some((format, &bytes[colon + 1..]))
        });
        match prefixed {
            Some((format, path)) => {
                MailboxArg { format: Some(format), path: OsString::from_vec(path.to_vec()).into() }
            }
            None => MailboxArg { format: None, path: arg.into() },
        }
    }

    /// Whether standard input or output is meant.
    pub fn is_standard_stream(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Reports whether this is a Maildir. One that was named so has to be.
    pub fn is_maildir(&self) -> Result<bool> {
        match self.format {
            Some(Format::Maildir) => detect::require_maildir(&self.path).map(|()| true),
            None if !self.is_standard_stream() => detect::is_maildir(&self.path),
            _ => Ok(false),
        }
    }

    /// What it is called in a report.
    pub fn display_name(&self) -> String {
        if self.is_standard_stream() { "standard input".into() } else { display_path(&self.path) }
    }

    /// The variant that was named.
    pub fn variant(&self) -> Option<Variant> {
        match self.format {
            Some(Format::Variant(variant)) => Some(variant),
            _ => None,
        }
    }
}

fn format(name: &[u8]) -> Option<Format> {
    Some(match name {
        b"mbox" => Format::Mbox,
        b"mboxo" => Format::Variant(Variant::Mboxo),
        b"mboxrd" => Format::Variant(Variant::Mboxrd),
        b"mboxcl" => Format::Variant(Variant::Mboxcl),
        b"mboxcl2" => Format::Variant(Variant::Mboxcl2),
        b"mmdf" => Format::Variant(Variant::Mmdf),
        b"rfc822" => Format::Variant(Variant::Rfc822),
        b"maildir" => Format::Maildir,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_the_format_and_any_other_colon_is_a_path() {
        let parse = |arg: &[u8]| MailboxArg::parse(OsStr::from_bytes(arg));
        assert_eq!(parse(b"mboxrd:a:b").variant(), Some(Variant::Mboxrd));
        assert_eq!(parse(b"mboxrd:a:b").path, PathBuf::from("a:b"));
        assert_eq!(parse(b"maildir:/m").format, Some(Format::Maildir));
        assert_eq!(parse(b"2024:mail").path, PathBuf::from("2024:mail"));
        assert_eq!(parse(b"./mbox:x").format, None);
        assert_eq!(parse(b"a\xff").path.as_os_str().as_bytes(), b"a\xff");
        assert!(parse(b"mbox:-").is_standard_stream());
    }
}
