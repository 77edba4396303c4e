//! Address fields (RFC 5322 §3.4, and real mail): parsed and printed.
//!
//! Parsed as qmail-inject does, from right to left: groups, comments, routes, quoted local parts, domain literals,
//! bytes over 127, and missing commas. Any text is parsed. What is wrong with it is a [`Fault`] with its offset.

pub(crate) mod display;
pub(crate) mod list;
pub(crate) mod print;
pub(crate) mod token;

use std::fmt;

/// How strictly a field is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compat {
    /// As qmail-inject: accepts the same text, and prints it in the same way.
    Qmail,
    /// A text that could lose or change a recipient is a fault. Folding in quotes is removed, and blanks in names are
    /// kept.
    Strict,
}

/// A fault in a field, and its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The byte offset in the text.
    pub at: usize,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// A quote, a comment or a literal without its end.
    Unclosed,
    /// `)` or `]` without its beginning.
    NotOpened,
    /// `>` without its `<`.
    BracketNotOpened,
    /// `<` without its `>`.
    BracketNotClosed,
    /// `:` of a group without its `;`.
    GroupNotClosed,
    /// `;` that does not end a group.
    GroupNotOpened,
    /// A group within a group.
    GroupInGroup,
    /// `@a:b@c` without angle brackets.
    BareRoute,
    /// `[` in a name.
    LiteralInName,
    /// Words before `<` that contain an address and more.
    AddressInName,
    /// An address with nothing before its `@`, or an empty one.
    Empty,
    /// Two words without a dot between them.
    TwoWords,
    /// A second `@`.
    SecondAt,
    /// The text after the `@` is not a domain.
    BadDomain,
    /// A NUL, or the end of a line.
    Control,
    /// Too many tokens in a list or an address.
    TooLong,
}

impl FaultKind {
    /// Reports whether the list may lack recipients, though qmail-inject accepts it.
    pub(crate) fn loses_recipients(self) -> bool {
        use FaultKind::*;
        matches!(
            self,
            Unclosed
                | NotOpened
                | BracketNotOpened
                | BracketNotClosed
                | GroupNotClosed
                | GroupInGroup
                | TooLong
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Unclosed => "a quote, comment or literal that does not end",
            FaultKind::NotOpened => "a ) or ] that ends nothing",
            FaultKind::BracketNotOpened => "a > that ends nothing",
            FaultKind::BracketNotClosed => "a < that does not end",
            FaultKind::GroupNotClosed => "a : that begins no group; groups end with ;",
            FaultKind::GroupNotOpened => "a ; that ends no group",
            FaultKind::GroupInGroup => "a group within a group",
            FaultKind::BareRoute => "a route without angle brackets",
            FaultKind::LiteralInName => "brackets in a name that is not quoted",
            FaultKind::AddressInName => "an address before a name, and no comma between them",
            FaultKind::Empty => "an address with nothing before its @",
            FaultKind::TwoWords => "two words of one address without a dot between them",
            FaultKind::SecondAt => "an address with two @",
            FaultKind::BadDomain => "no domain after the @",
            FaultKind::Control => "an address with a NUL or a line end in it",
            FaultKind::TooLong => {
                "more words and signs than are read: 2000000 in a field, 10000 in an address"
            }
        })
    }
}
