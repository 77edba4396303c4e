//! The mailbox that a message is delivered into.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::mailbox::fs::files;
use crate::mailbox::mbox::Variant;
use crate::mailbox::text::shell_quote;
use crate::mailbox::{Error, display_path};
use crate::transport::{Failure, FailureReason};

/// Format that the user named with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetFormat {
    /// None: the file system decides.
    Detect,
    Maildir,
    Mbox(Option<Variant>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryTarget {
    /// A Maildir, or a folder of one.
    Maildir(PathBuf),
    /// A folder `.A.B` in its Maildir. Creating it creates the Maildir, too.
    Folder(PathBuf),
    /// An mbox, and the variant if the user named one.
    Mbox(PathBuf, Option<Variant>),
}

impl DeliveryTarget {
    pub(crate) fn path(&self) -> &Path {
        match self {
            DeliveryTarget::Maildir(path) | DeliveryTarget::Folder(path) | DeliveryTarget::Mbox(path, _) => {
                path
            }
        }
    }

    pub(crate) fn new(format: TargetFormat, path: PathBuf) -> Result<DeliveryTarget, Failure> {
        if path.as_os_str() == "-" {
            let text = "standard input: a message is delivered into a mailbox; name one";
            return Err(Failure::new(FailureReason::Configuration, text));
        }
        match format {
            TargetFormat::Detect => DeliveryTarget::detect(path),
            TargetFormat::Maildir => Ok(DeliveryTarget::Maildir(path)),
            TargetFormat::Mbox(variant) => Ok(DeliveryTarget::Mbox(path, variant)),
        }
    }

    /// Returns the folder of this Maildir that the option `--folder` names.
    pub(crate) fn folder(self, name: &OsStr) -> Result<DeliveryTarget, Failure> {
        match self {
            DeliveryTarget::Maildir(path) => Ok(DeliveryTarget::Folder(path.join(name))),
            target => {
                let reason =
                    format!("{} is an mbox; only a Maildir has folders", display_path(target.path()));
                Err(Error::usage("--folder", reason).into())
            }
        }
    }

    /// Finds the format of a path that was named without one. A directory is a Maildir, and so is a path that
    /// ends in `/`; a file is an mbox. The format of a missing mailbox is not guessed.
    pub(crate) fn detect(path: PathBuf) -> Result<DeliveryTarget, Failure> {
        let is_slashed = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match files::metadata(&path) {
            Ok(meta) if meta.is_dir() || is_slashed => Ok(DeliveryTarget::Maildir(path)),
            Ok(_) => Ok(DeliveryTarget::Mbox(path, None)),
            Err(_) if is_slashed => Ok(DeliveryTarget::Maildir(path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let text = format!(
                    "{}: there is no such mailbox; to create it, use --create with maildir:{} or mbox:{}",
                    display_path(&path),
                    shell_quote(&path),
                    shell_quote(&path)
                );
                Err(Failure::new(FailureReason::Configuration, text))
            }
            Err(e) => Err(Error::io("look at", &path)(e).into()),
        }
    }
}
