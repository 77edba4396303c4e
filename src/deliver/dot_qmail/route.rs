//! The `.qmail` file of an address, found and read before anything is delivered.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::LineLocation;
use super::find::{self, DotQmailFile};
use super::{Candidate, DotQmailError, Line, LocalRecipient, Trust, home, line};
use crate::mailbox::escape;
use crate::mailbox::fs::Dir;

/// Size limit of a `.qmail` file. No user writes a larger one.
const MAX_SIZE: u64 = 1 << 20;

/// The instructions for a message.
#[derive(Debug)]
pub(crate) struct Route {
    pub home: PathBuf,
    /// Name of the file in the home directory; None where an address needs no file.
    pub file: Option<OsString>,
    /// The lines are the default delivery: the file is missing or empty.
    pub is_default: bool,
    /// The file is executable, which allows forwards only.
    pub forward_only: bool,
    /// Start of the part of the extension that `default` matched.
    pub default_offset: Option<usize>,
    pub lines: Vec<Line>,
    /// The sender of what is forwarded.
    pub new_sender: Vec<u8>,
    /// The home directory is sticky: its owner is editing the files.
    pub is_sticky: bool,
}

impl Route {
    /// Finds the file and reads it. `default` is the default delivery in the form of a file. Adds each file that
    /// was looked for to `candidates`, on failure, too.
    ///
    /// # Errors
    /// Every [`DotQmailError`] that is known before a delivery, except for [`DotQmailError::HomeSticky`].
    pub(crate) fn find(
        home: &Path,
        recipient: &LocalRecipient,
        default: &[u8],
        trust: Trust,
        candidates: &mut Vec<Candidate>,
    ) -> Result<Route, DotQmailError> {
        let is_sticky = home::check_home(home, trust)?;
        let dir = Dir::open(home).map_err(|e| DotQmailError::Delivery(e.into()))?;
        let LocalRecipient { dash, extension, delimiter, .. } = recipient;
        let extension = find::safe_extension(extension, *delimiter);
        let found = find::find(&dir, dash, &extension, trust, candidates)?;
        if found.is_none() && !dash.is_empty() {
            let last = candidates.last().map(|last| escape(last.name.as_bytes())).unwrap_or_default();
            return Err(DotQmailError::NoMailbox { home: home.to_owned(), last });
        }
        let owner = find::find_list_owner(&dir, dash, &extension)?;
        let mut route = Route {
            home: home.to_owned(),
            file: None,
            is_default: true,
            forward_only: false,
            default_offset: None,
            lines: Vec::new(),
            new_sender: recipient.new_sender(owner),
            is_sticky,
        };
        let mut text = Vec::new();
        if let Some(DotQmailFile { name, file, forward_only, default_offset }) = found {
            let path = home.join(&name);
            match file.take(MAX_SIZE + 1).read_to_end(&mut text) {
                Ok(length) if length as u64 > MAX_SIZE => return Err(DotQmailError::FileTooLarge { path }),
                Ok(_) => {}
                Err(source) => return Err(DotQmailError::FileUnreadable { path, source }),
            }
            route.is_default = text.is_empty();
            route.forward_only = forward_only && !text.is_empty();
            route.default_offset = default_offset;
            route.file = Some(name);
        }
        route.lines = line::parse(if text.is_empty() { default } else { &text });
        line::check(&route.lines, route.forward_only)
            .map_err(|(line, fault)| DotQmailError::Line { location: route.location(line), fault })?;
        Ok(route)
    }

    pub(crate) fn location(&self, line: usize) -> LineLocation {
        let file = self.file.as_ref().filter(|_| !self.is_default);
        LineLocation { file: file.map(|name| self.home.join(name)), line }
    }
}
