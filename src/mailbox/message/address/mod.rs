//! Fields that hold addresses (RFC 5322 §3.4, and what real mail does to it): taken apart, and printed again.
//!
//! Read as qmail-inject reads them, from right to left: groups, comments, routes, quoted local parts, domain
//! literals, bytes over 127, and a comma put in where one is missing. No text is too odd to be read; what is
//! wrong with it is a [`Fault`] with its place.

pub mod display;
pub mod list;
pub mod print;
pub mod token;

use std::fmt;

/// How much a reader lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compat {
    /// As qmail-inject: what it lets pass passes, what it prints is printed so.
    Qmail,
    /// What could lose or change a recipient is a fault; folding within quotes is taken out, blanks in names
    /// are kept.
    Strict,
}

/// What is wrong with a field, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Byte of the text that was read.
    pub at: usize,
    /// What it is.
    pub kind: FaultKind,
}

/// What can be wrong with a list of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
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
    /// `;` that ends no group.
    GroupNotOpened,
    /// A group within a group.
    GroupInGroup,
    /// `@a:b@c` without angle brackets.
    BareRoute,
    /// `[` in a name.
    LiteralInName,
    /// Words before `<` that hold an address and more.
    AddressInName,
    /// An address without anything before its `@`, or without anything at all.
    Empty,
    /// Two words without a dot between them.
    TwoWords,
    /// A second `@`.
    SecondAt,
    /// What stands behind the `@` is no domain.
    BadDomain,
    /// A NUL, or the end of a line.
    Control,
    /// More words and signs than a list, or than an address, is held with.
    TooLong,
}

impl FaultKind {
    /// Whether a list that has it may not hold all its recipients as they were meant, though qmail-inject takes it.
    pub fn loses_recipients(self) -> bool {
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
            FaultKind::BadDomain => "no domain behind the @",
            FaultKind::Control => "an address with a NUL or a line end in it",
            FaultKind::TooLong => {
                "more words and signs than are read: 2000000 in a field, 10000 in an address"
            }
        })
    }
}
