//! A mailbox on the command line: a path, or `FORMAT:path`. Paths are bytes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::deliver::TargetFormat;
use crate::mailbox::fs::files;
use crate::mailbox::maildir::detect;
use crate::mailbox::mbox::Variant;
use crate::mailbox::source::archive;
use crate::mailbox::{Error, Result, display_path, escape};

/// A format named before the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `mbox:`, with any variant.
    Mbox,
    /// One of its variants, or `rfc822:`.
    Variant(Variant),
    /// `maildir:`.
    Maildir,
    /// `eml:`, a directory of files with one message each. It is a destination of convert only.
    Eml,
}

/// A mailbox as named by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailboxArg {
    /// The format, if there was a prefix.
    pub format: Option<Format>,
    /// The path; `-` for standard input or output.
    pub path: PathBuf,
}

impl MailboxArg {
    /// Parses a path with or without a prefix.
    ///
    /// # Errors
    /// [`Error::Usage`] for a prefix that looks like a format and is not one, unless there is such a file, for `eml:`,
    /// and for an argument without a path.
    pub(super) fn parse(arg: &OsStr) -> Result<MailboxArg> {
        let mailbox = MailboxArg::parse_destination(arg)?;
        if mailbox.format == Some(Format::Eml) {
            let reason = "eml: is only for the destination of convert; name the directory, or rfc822:FILE for one file";
            return Err(Error::usage(escape(arg.as_bytes()), reason));
        }
        Ok(mailbox)
    }

    /// Parses the destination of a conversion, which may also be `eml:DIR`.
    ///
    /// # Errors
    /// As for [`MailboxArg::parse`].
    pub(super) fn parse_destination(arg: &OsStr) -> Result<MailboxArg> {
        let bytes = arg.as_bytes();
        let whole = MailboxArg { format: None, path: arg.into() };
        if bytes.is_empty() {
            return Err(Error::usage("an empty argument", "names no mailbox"));
        }
        let Some(colon) = bytes.iter().position(|&b| b == b':') else { return Ok(whole) };
        let (prefix, path) = (&bytes[..colon], &bytes[colon + 1..]);
        if let Some(format) = format(prefix) {
            if path.is_empty() {
                return Err(Error::usage(escape(bytes), "names no path; write it after the colon"));
            }
            return Ok(MailboxArg { format: Some(format), path: OsString::from_vec(path.to_vec()).into() });
        }
        let is_word =
            !prefix.is_empty() && prefix.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if is_word && std::fs::symlink_metadata(arg).is_err() {
            let prefix = escape(prefix);
            let reason = format!("{prefix} is not a format; a path with a colon begins with ./ or /");
            return Err(Error::usage(escape(bytes), reason));
        }
        Ok(whole)
    }

    /// Parses all of them, see [`MailboxArg::parse`].
    pub(super) fn parse_all(args: &[OsString]) -> Result<Vec<MailboxArg>> {
        args.iter().map(|arg| MailboxArg::parse(arg)).collect()
    }

    /// Reports whether it is standard input or output.
    pub(super) fn is_standard_stream(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Reports whether this is a Maildir. One that was named so has to be.
    pub(super) fn is_maildir(&self) -> Result<bool> {
        match self.format {
            Some(Format::Maildir) => detect::require_maildir(&self.path).map(|()| true),
            None if !self.is_standard_stream() => detect::is_maildir(&self.path),
            _ => Ok(false),
        }
    }

    /// Reports whether it is an archive, which is read as a directory of mailboxes.
    pub(super) fn is_archive(&self) -> Result<bool> {
        Ok(self.format.is_none() && !self.is_standard_stream() && archive::recognize(&self.path)?.is_some())
    }

    /// Reports whether it is a directory of mailboxes.
    pub(super) fn is_tree(&self) -> Result<bool> {
        if self.is_archive()? {
            return Ok(true);
        }
        let is_directory = !self.is_standard_stream() && files::is_dir(&self.path);
        Ok(self.format.is_none() && is_directory && !detect::is_maildir(&self.path)?)
    }

    /// Reports whether it is a directory, or is to be one.
    pub(super) fn is_directory(&self) -> bool {
        self.path.as_os_str().as_bytes().ends_with(b"/") || files::is_dir(&self.path)
    }

    /// Returns the format for a delivery.
    pub(crate) fn target_format(&self) -> TargetFormat {
        match self.format {
            None => TargetFormat::Detect,
            Some(Format::Maildir) => TargetFormat::Maildir,
            Some(Format::Mbox | Format::Eml) => TargetFormat::Mbox(None),
            Some(Format::Variant(variant)) => TargetFormat::Mbox(Some(variant)),
        }
    }

    /// Returns its name in a report.
    pub(super) fn display_name(&self) -> String {
        if self.is_standard_stream() { "standard input".into() } else { display_path(&self.path) }
    }

    /// Returns the variant of the prefix.
    pub(super) fn variant(&self) -> Option<Variant> {
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
        b"eml" => Format::Eml,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_the_format_and_any_other_colon_is_a_path() {
        let parse = |arg: &[u8]| MailboxArg::parse(OsStr::from_bytes(arg)).unwrap();
        assert_eq!(parse(b"mboxrd:a:b").variant(), Some(Variant::Mboxrd));
        assert_eq!(parse(b"mboxrd:a:b").path, PathBuf::from("a:b"));
        assert_eq!(parse(b"maildir:/m").format, Some(Format::Maildir));
        assert_eq!(parse(b"./2024:mail").path, PathBuf::from("./2024:mail"));
        assert_eq!(parse(b"Old-mail:2024").path, PathBuf::from("Old-mail:2024"));
        assert_eq!(parse(b"./mbox:x").format, None);
        assert_eq!(parse(b"a\xff").path.as_os_str().as_bytes(), b"a\xff");
        assert!(parse(b"mbox:-").is_standard_stream());
    }

    #[test]
    fn a_word_that_is_no_format_is_a_usage_error_unless_there_is_such_a_path() {
        for arg in ["2024:mail", "mboxx:out", "mh:out", "mbox:", "maildir:"] {
            let error = MailboxArg::parse(arg.as_ref()).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }), "{arg}: {error}");
            assert!(error.to_string().starts_with(&format!("{arg}: ")), "{error}");
        }
    }
}
