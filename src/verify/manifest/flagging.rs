//! Flags and keywords of a message, now and at the conversion.

use std::collections::HashSet;
use std::fmt;

use crate::mailbox::escape;
use crate::mailbox::maildir::{KeywordSet, KeywordTable};

/// Flags and keywords of a message.
pub(super) struct Flagging {
    pub(super) flags: Vec<u8>,
    pub(super) keywords: Vec<String>,
}

impl Flagging {
    /// Parses an info. A keyword without a name is its letter in brackets.
    pub(super) fn parse(info: &[u8], names: &KeywordTable) -> Flagging {
        let flags = info.iter().copied().filter(|b| !b.is_ascii_lowercase()).collect();
        let keywords = KeywordSet::parse(info).numbers().map(|number| match names.name(number) {
            Some(name) => name.to_owned(),
            None => format!("({})", KeywordSet::default().with(number)),
        });
        Flagging { flags, keywords: keywords.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.keywords.is_empty()
    }

    pub(super) fn is_same(&self, other: &Flagging) -> bool {
        let lower = |names: &[String]| names.iter().map(|n| n.to_ascii_lowercase()).collect::<HashSet<_>>();
        self.flags == other.flags && lower(&self.keywords) == lower(&other.keywords)
    }
}

impl fmt::Display for Flagging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.flags.is_empty() { "none".to_owned() } else { escape(&self.flags) };
        f.write_str(&flags)?;
        match &self.keywords[..] {
            [] => Ok(()),
            keywords => write!(f, " (keywords {})", escape(keywords.join(" ").as_bytes())),
        }
    }
}
