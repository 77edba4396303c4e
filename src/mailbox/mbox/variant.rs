//! The mbox variants, and the evidence for each. A prefix overrides the evidence.

use std::fmt;

use super::Quoting;
use crate::mailbox::text::{grouped_plural, is_or_are, plural};

/// The variants of mbox (RFC 4155, mmdf(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// `From ` → `>From `; not reversible.
    Mboxo,
    /// One more `>` before every `>*From `; reversible.
    Mboxrd,
    /// As mboxo, with Content-Length.
    Mboxcl,
    /// No quoting. Only the Content-Length marks the end of a message.
    Mboxcl2,
    /// Messages between lines of four ^A.
    Mmdf,
    /// One bare message, not a mailbox.
    Rfc822,
}

impl Variant {
    /// Returns the name in a prefix (`mboxrd:path`) and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Mboxo => "mboxo",
            Variant::Mboxrd => "mboxrd",
            Variant::Mboxcl => "mboxcl",
            Variant::Mboxcl2 => "mboxcl2",
            Variant::Mmdf => "mmdf",
            Variant::Rfc822 => "rfc822",
        }
    }

    /// Returns the quoting that a reader removes.
    pub(crate) fn quoting(self) -> Quoting {
        match self {
            Variant::Mboxo | Variant::Mboxcl => Quoting::One,
            Variant::Mboxrd => Quoting::Any,
            Variant::Mboxcl2 | Variant::Mmdf | Variant::Rfc822 => Quoting::None,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counts that show the variant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub messages: u64,
    /// Messages with a validated Content-Length.
    pub lengths: u64,
    /// Unquoted From_ lines that such a length covers.
    pub raw_under_length: u64,
    /// Lines that begin with `>From `.
    pub quoted_once: u64,
    /// Lines `>>From ` and deeper that are deeper than the text around: from an mboxrd writer.
    pub deeper_than_text: u64,
    /// Lines `>>From ` and deeper that are as deep as the text around: from a reply.
    pub deep_as_text: u64,
    /// X-UID or X-IMAPbase fields: Dovecot or UW-IMAP wrote the file. Dovecot never quotes.
    pub server_fields: bool,
}

/// Returns the variant and the evidence, a phrase.
pub(crate) fn judge(evidence: Evidence) -> (Variant, String) {
    let Evidence { quoted_once, deeper_than_text, deep_as_text, lengths, .. } = evidence;
    let quoted = quoted_once + deeper_than_text + deep_as_text;
    if let Some(judgement) = judge_by_length(evidence, quoted) {
        return judgement;
    }
    match (deeper_than_text, deep_as_text) {
        (0, 0) if quoted == 0 => {
            let stray = if lengths > 0 { "few correct Content-Lengths" } else { "no correct Content-Length" };
            (Variant::Mboxrd, format!("{stray} and no quoted line; mboxo and mboxrd read it alike"))
        }
        (0, 0) => (
            Variant::Mboxrd,
            format!(
                "{} quoted once, none deeper: mboxo would give the same messages",
                grouped_plural(quoted_once, "line")
            ),
        ),
        (rd, o) if rd > o => (
            Variant::Mboxrd,
            format!(
                "{rd} of {} {} deeper than the text around",
                plural(rd + o, "deeper quoted line"),
                is_or_are(rd, rd + o)
            ),
        ),
        (rd, o) => (
            Variant::Mboxo,
            format!(
                "{o} of {} {} as deep as the reply around",
                plural(rd + o, "deeper quoted line"),
                is_or_are(o, rd + o)
            ),
        ),
    }
}

/// Lengths count only if at least half of the messages have a valid one. In every large archive some message has a
/// foreign one that happens to fit.
fn judge_by_length(evidence: Evidence, quoted: u64) -> Option<(Variant, String)> {
    let Evidence { messages, lengths, raw_under_length, server_fields, .. } = evidence;
    if lengths == 0 || lengths * 2 < messages {
        return None;
    }
    let lengths = plural(lengths, "correct Content-Length");
    Some(if raw_under_length > 0 {
        (
            Variant::Mboxcl2,
            format!(
                "{} in bodies with a correct Content-Length",
                plural(raw_under_length, "unquoted From_ line")
            ),
        )
    } else if server_fields {
        (Variant::Mboxcl2, format!("{lengths}, and X-UID or X-IMAPbase: Dovecot's, which never quotes"))
    } else if quoted > 0 {
        (Variant::Mboxcl, format!("{lengths} and {}", plural(quoted, "quoted line")))
    } else {
        (Variant::Mboxcl2, format!("{lengths} and no quoted line"))
    })
}

impl Evidence {
    /// Reports whether the quoted lines are evidence for two variants.
    pub(crate) fn is_split(&self) -> bool {
        self.deeper_than_text > 0 && self.deep_as_text > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_evidence_leads_to_its_variant() {
        let none = Evidence { messages: 4, ..Evidence::default() };
        let judged = |evidence| judge(evidence).0;
        assert_eq!(judged(none), Variant::Mboxrd);
        assert_eq!(judged(Evidence { quoted_once: 9, ..none }), Variant::Mboxrd);
        assert_eq!(judged(Evidence { deeper_than_text: 2, deep_as_text: 1, ..none }), Variant::Mboxrd);
        assert_eq!(judged(Evidence { deeper_than_text: 1, deep_as_text: 2, ..none }), Variant::Mboxo);
        assert_eq!(judged(Evidence { lengths: 3, quoted_once: 1, ..none }), Variant::Mboxcl);
        assert_eq!(
            judged(Evidence { lengths: 3, quoted_once: 1, server_fields: true, ..none }),
            Variant::Mboxcl2
        );
        assert_eq!(
            judged(Evidence { lengths: 2, raw_under_length: 1, quoted_once: 1, ..none }),
            Variant::Mboxcl2
        );
    }

    #[test]
    fn a_stray_length_that_fits_does_not_make_an_archive_mboxcl() {
        let stray = Evidence { messages: 1000, lengths: 3, deeper_than_text: 5, ..Evidence::default() };
        assert_eq!(judge(stray).0, Variant::Mboxrd);
    }
}
