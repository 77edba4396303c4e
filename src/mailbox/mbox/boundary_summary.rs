//! The decisions about the candidates of an mbox, counted by the row of the table, and those that a person may want to
//! look at.

use std::collections::{BTreeMap, HashSet};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use super::verdict::Decision;
use super::{Mbox, Reason, Verdict};
use crate::mailbox::finding::Severity;

/// How many doubtful lines are kept with their context.
const DOUBTFUL: usize = 50;
/// Lines of context above and below.
const CONTEXT: usize = 2;
/// Bytes that are kept of a line.
const LINE: usize = 200;

/// Counts of decisions, and doubtful lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BoundarySummary {
    pub(crate) rows: BTreeMap<Reason, VerdictCounts>,
    pub(crate) doubtful: Vec<DoubtfulLine>,
    pub(crate) doubtful_left_out: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct VerdictCounts {
    pub(crate) separators: u64,
    pub(crate) others: u64,
}

/// A candidate about which there is a warning, with what is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoubtfulLine {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) reason: Reason,
    pub(crate) is_separator: bool,
    pub(crate) before: Vec<String>,
    pub(crate) line: String,
    pub(crate) after: Vec<String>,
}

impl BoundarySummary {
    /// Counts the decisions of an mbox that was read with [`ReadOptions::keep_candidates`](super::ReadOptions), and
    /// still has its findings.
    pub(crate) fn of(mbox: &Mbox<'_>, path: &Path) -> BoundarySummary {
        let mut summary = BoundarySummary::default();
        let warnings = mbox.findings.iter().filter(|finding| finding.severity == Severity::Warning);
        let warned: HashSet<u64> = warnings.filter_map(|finding| finding.offset).collect();
        for decision in &mbox.boundaries.decisions {
            let counts = summary.rows.entry(decision.reason).or_default();
            match decision.verdict {
                Verdict::Separator => counts.separators += 1,
                Verdict::Doubled | Verdict::Body => counts.others += 1,
            }
            if !warned.contains(&decision.candidate.offset) {
                continue;
            }
            match summary.doubtful.len() < DOUBTFUL {
                true => summary.doubtful.push(DoubtfulLine::new(decision, mbox.text(), path)),
                false => summary.doubtful_left_out += 1,
            }
        }
        summary
    }
}

impl AddAssign<BoundarySummary> for BoundarySummary {
    fn add_assign(&mut self, other: BoundarySummary) {
        for (reason, counts) in other.rows {
            let sum = self.rows.entry(reason).or_default();
            sum.separators += counts.separators;
            sum.others += counts.others;
        }
        self.doubtful.extend(other.doubtful);
        let left_out = self.doubtful.len().saturating_sub(DOUBTFUL) as u64;
        self.doubtful.truncate(DOUBTFUL);
        self.doubtful_left_out += other.doubtful_left_out + left_out;
    }
}

impl DoubtfulLine {
    fn new(decision: &Decision, text: &[u8], path: &Path) -> DoubtfulLine {
        let (at, end) = (decision.candidate.offset as usize, decision.candidate.end() as usize);
        DoubtfulLine {
            path: path.to_owned(),
            offset: decision.candidate.offset,
            reason: decision.reason,
            is_separator: decision.verdict == Verdict::Separator,
            before: lines_before(&text[..at]),
            line: shown(&text[at..end]),
            after: text[end..].split(|&b| b == b'\n').take(CONTEXT).map(shown).collect(),
        }
    }
}

fn lines_before(text: &[u8]) -> Vec<String> {
    let mut lines = Vec::with_capacity(CONTEXT);
    let mut rest = text;
    while !rest.is_empty() && lines.len() < CONTEXT {
        let line = rest.strip_suffix(b"\n").unwrap_or(rest);
        let start = memchr::memrchr(b'\n', line).map_or(0, |at| at + 1);
        lines.push(shown(&line[start..]));
        rest = &rest[..start];
    }
    lines.reverse();
    lines
}

/// Returns the beginning of a line as text.
fn shown(line: &[u8]) -> String {
    let line = line.trim_ascii_end();
    let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
    if line.len() > LINE { format!("{text}…") } else { text.into_owned() }
}
