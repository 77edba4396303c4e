//! Verification of an mbox: the reader's findings, the end of the file, From lines that other readers would split
//! at, and damaged headers.

use std::collections::HashSet;

use rayon::prelude::*;

use super::message::{self, HeaderFault};
use super::options::Depth;
use super::repair::{self, RepairStep, repair_remedy};
use super::report::{FolderSummary, VerifyReport, raise_damage};
use crate::mailbox::fs::archived;
use crate::mailbox::mbox::boundary_summary::BoundarySummary;
use crate::mailbox::mbox::{Extent, Mbox, NextLine, ReadOptions, Reason, Variant, Verdict};
use crate::mailbox::source::Source;
use crate::mailbox::{Code, Context, Finding, Phase, Result, finding};

/// Bytes of messages per task.
const CHUNK: u64 = 1 << 20;

/// Verifies an mbox.
///
/// # Errors
/// [`Error::NotAMailbox`], [`Error::Changed`], [`Error::Interrupted`].
pub(crate) fn verify(
    source: &mut Source,
    read_options: &ReadOptions,
    depth: Depth,
    context: &Context<'_>,
) -> Result<VerifyReport> {
    let mut findings = source.take_findings();
    let source = &*source;
    let text = source.text();
    context.events.begin(Phase::Reading, text.len() as u64);
    let path = source.path().to_owned();
    let mut mbox = Mbox::read(source, read_options, context)?;
    mbox.check_conservation().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let boundaries = match context.collect_details {
        true => BoundarySummary::of(&mbox, &path),
        false => BoundarySummary::default(),
    };
    findings.append(&mut mbox.findings);
    if source.is_cr_only() {
        findings.push(Finding::new(Code::MboxCrOnly, "every line ends in CR, as on a classic Mac"));
    }
    let pseudo = mbox.pseudo_message().map(|message| message.at);
    let message = "UW-IMAP's pseudo message: no mail, not counted";
    findings.extend(pseudo.map(|at| Finding::at(Code::MboxPseudo, at, message)));
    let mut steps = Vec::new();
    // Nothing is appended to a truncated header: it would look complete.
    let is_cut = findings.iter().any(|f| f.code == Code::MboxHeaderCut);
    if let Some((finding, step)) = check_end(source, mbox.variant).filter(|_| !is_cut) {
        findings.push(finding);
        steps.extend(step);
    }
    findings.extend(find_unquoted(&mbox));
    if depth == Depth::Contents {
        findings.extend(check_contents(source, &mbox, &findings, context)?);
    }
    raise_damage(&mut findings);
    finding::number_lines(&mut findings, text, &|range| source.release(range));
    source.check_unchanged()?;
    let folder = FolderSummary {
        path: path.clone(),
        messages: mbox.messages().len() as u64 - u64::from(pseudo.is_some()),
        bytes: text.len() as u64,
        variant: Some(mbox.variant),
    };
    Ok(VerifyReport { path, folders: vec![folder], findings, steps, sources: Vec::new(), boundaries })
}

/// Checks that the file ends with a blank line, and returns the repair. Frames and bare messages need none.
fn check_end(source: &Source, variant: Variant) -> Option<(Finding, Option<RepairStep>)> {
    let text = source.text();
    if text.is_empty() || matches!(variant, Variant::Mmdf | Variant::Rfc822) {
        return None;
    }
    let missing = repair::missing_line_ends(text);
    let (code, message) = match missing {
        [] => return None,
        _ if text.ends_with(b"\n") => (Code::MboxNoFinalBlank, "the file does not end with a blank line"),
        _ => (Code::MboxNoFinalNewline, "the file does not end with a line end: cut off, or written so"),
    };
    let finding = Finding::at(code, text.len() as u64, message);
    // Decompressed or translated bytes are not the file itself.
    if source.compression().is_some() || source.is_cr_only() || source.mtime().is_none() {
        return Some((finding, None));
    }
    let path = source.path().to_owned();
    let finding = finding.with_hint(repair_remedy(&path));
    let is_repairable = !archived::is_member(&path);
    Some((finding, is_repairable.then_some(RepairStep::EndMbox { path })))
}

/// Finds unquoted From lines in bodies that the reader has not reported.
fn find_unquoted(mbox: &Mbox<'_>) -> Vec<Finding> {
    if mbox.variant == Variant::Mboxcl2 {
        return Vec::new();
    }
    let prose = mbox.boundaries.decisions.iter().filter(|d| {
        d.verdict == Verdict::Body && d.reason == Reason::Row(11) && d.candidate.next != NextLine::Header
    });
    let message = "begins with \"From \" and is not quoted: left in the body, other readers may split here";
    prose.map(|d| Finding::at(Code::MboxUnquotedFrom, d.candidate.offset, message)).collect()
}

/// Checks the header and the lines of every message. `known` are the findings of the reader.
fn check_contents(
    source: &Source,
    mbox: &Mbox<'_>,
    known: &[Finding],
    context: &Context<'_>,
) -> Result<Vec<Finding>> {
    let headless: HashSet<u64> =
        known.iter().filter(|f| f.code == Code::MboxNoHeader).filter_map(|f| f.offset).collect();
    let chunks = split_into_chunks(mbox.messages());
    let checks = chunks.par_iter().map(|chunk| {
        context.cancel.check()?;
        let mut check = ContentCheck::default();
        for extent in *chunk {
            check.add(extent, mbox.text(), &headless);
        }
        source.release(Extent::span(chunk));
        Ok(check)
    });
    let checks: Vec<ContentCheck> = checks.collect::<Result<_>>()?;
    let mut findings = Vec::new();
    let (mut long_lines, mut first) = (0, None);
    for mut check in checks {
        findings.append(&mut check.findings);
        long_lines += check.long_lines;
        first = first.or(check.first_long_line);
    }
    if let Some(at) = first {
        let message = match long_lines {
            1 => "a line of more than 998 bytes".to_owned(),
            _ => format!("{long_lines} lines of more than 998 bytes, the first here"),
        };
        findings.push(Finding::at(Code::MessageLongLine, at, message));
    }
    Ok(findings)
}

/// Splits the messages into chunks of about [`CHUNK`] bytes.
fn split_into_chunks(messages: &[Extent]) -> Vec<&[Extent]> {
    let mut chunks = Vec::new();
    let mut rest = messages;
    while let Some(first) = rest.first() {
        let length = rest.partition_point(|m| m.at < first.at + CHUNK);
        let (chunk, after) = rest.split_at(length);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

#[derive(Default)]
struct ContentCheck {
    findings: Vec<Finding>,
    long_lines: u64,
    first_long_line: Option<u64>,
}

impl ContentCheck {
    fn add(&mut self, extent: &Extent, text: &[u8], headless: &HashSet<u64>) {
        let message = extent.message(text);
        if message.is_empty() && !headless.contains(&extent.at) {
            self.findings.push(Finding::at(Code::MessageNoHeader, extent.at, "this message is empty"));
        }
        match message::find_header_fault(message) {
            Some(HeaderFault::NoField(at)) => self.findings.push(Finding::at(
                Code::MessageHeaderLine,
                extent.start + at as u64,
                message::NO_FIELD,
            )),
            Some(HeaderFault::Missing) if !headless.contains(&extent.at) => self.findings.push(Finding::at(
                Code::MessageNoHeader,
                extent.at,
                "this message does not begin with a header",
            )),
            // The end of the file has a finding of its own.
            Some(HeaderFault::Missing | HeaderFault::Cut) | None => {}
        }
        if let Some(long) = message::find_long_lines(message) {
            self.long_lines += long.count;
            self.first_long_line.get_or_insert(extent.start + long.first as u64);
        }
    }
}
