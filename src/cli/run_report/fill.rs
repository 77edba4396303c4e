//! The parts of a report that convert and verify fill alike.

use std::path::Path;

use crate::inspect;
use crate::mailbox::fs::files::{self, Metadata};
use crate::mailbox::manifest::Digest;
use crate::mailbox::mbox::Reason;
use crate::mailbox::mbox::boundary_summary::{self, BoundarySummary};
use crate::mailbox::message::breakdown::{self, Breakdown, Volume};
use crate::mailbox::{display_path, escape};
use crate::report::{
    BoundaryRow, CountRow, DoubtfulLine, LargeMessage, ManifestRow, RunReport, SizeRow, YearRow,
};

/// Returns a hash in hexadecimal.
pub(in crate::cli) fn hex(digest: Digest) -> String {
    blake3::Hash::from(digest.0).to_hex().to_string()
}

/// Returns the row of a manifest, if it can be read.
pub(in crate::cli) fn manifest_row(path: &Path) -> Option<ManifestRow> {
    let file = files::open(path).ok()?;
    if !Metadata::of(&file).ok()?.is_file() {
        return None;
    }
    // It may be larger than the memory.
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).ok()?;
    Some(ManifestRow { path: display_path(path), blake3: hex(hasher.finalize().into()) })
}

/// Adds what is known of messages.
pub(in crate::cli) fn add_messages(report: &mut RunReport, messages: Breakdown) {
    let Breakdown { years, undated, origins, sizes, largest, .. } = messages;
    let year = |year, Volume { messages, bytes }| YearRow { year, messages, bytes };
    report.years = years.into_iter().map(|(number, volume)| year(Some(number), volume)).collect();
    report.years.extend((undated.messages > 0).then(|| year(None, undated)));
    let origin = |(name, messages): (&str, u64)| CountRow { name: name.to_owned(), messages };
    report.date_origins = origins.into_iter().map(origin).collect();
    report.date_origins.sort_by_key(|row| std::cmp::Reverse(row.messages));
    let mut below = sizes.keys().next().copied().unwrap_or(u64::MAX);
    let last = sizes.keys().next_back().copied().unwrap_or(0);
    // A class without messages between two others has a row, too.
    while below <= last {
        let Volume { messages, bytes } = sizes.get(&below).copied().unwrap_or_default();
        report.sizes.push(SizeRow { below, messages, bytes });
        below = below.saturating_mul(4);
    }
    let large = |message: breakdown::LargeMessage| LargeMessage {
        path: display_path(&message.path),
        offset: message.offset,
        bytes: message.bytes,
        received: message.received,
        from: escape(message.headline.from.as_bytes()),
        subject: escape(message.headline.subject.as_bytes()),
    };
    report.largest = largest.into_iter().map(large).collect();
}

/// Adds the decisions about candidates.
pub(in crate::cli) fn add_boundaries(report: &mut RunReport, boundaries: BoundarySummary) {
    let BoundarySummary { rows, doubtful, doubtful_left_out } = boundaries;
    let rows = rows.into_iter().map(|(reason, counts)| BoundaryRow {
        row: row(reason),
        rule: inspect::rule(reason).to_owned(),
        separators: counts.separators,
        not_separators: counts.others,
    });
    report.boundaries = rows.collect();
    let lines = |lines: Vec<String>| lines.iter().map(|line| escape(line.as_bytes())).collect();
    let line = |line: boundary_summary::DoubtfulLine| DoubtfulLine {
        path: display_path(&line.path),
        offset: line.offset,
        row: row(line.reason),
        is_separator: line.is_separator,
        before: lines(line.before),
        line: escape(line.line.as_bytes()),
        after: lines(line.after),
    };
    report.doubtful = doubtful.into_iter().map(line).collect();
    report.doubtful_left_out = doubtful_left_out;
}

/// Returns the number of a row of the table.
fn row(reason: Reason) -> u8 {
    match reason {
        Reason::Row(row) => row,
        Reason::Glued | Reason::User => 0,
    }
}
