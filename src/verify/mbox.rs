//! Is an mbox sound? The reader's findings, and what a reader need not care about: how the file ends,
//! From lines that another reader would split at, damaged headers.

use std::collections::HashSet;

use rayon::prelude::*;

use super::message::{self, HeaderFault};
use super::repair::{self, RepairStep};
use super::{Depth, FolderSummary, REPAIR_COMMAND, VerifyOptions, VerifyReport};
use crate::mailbox::context::{Events, Phase};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::{self, Code, Finding};
use crate::mailbox::mbox::boundary::{Extent, Reason, Verdict};
use crate::mailbox::mbox::read::{self, Mbox, ReadOptions};
use crate::mailbox::mbox::scan::NextLine;
use crate::mailbox::mbox::scan_hooks::ScanHooks;
use crate::mailbox::mbox::status;
use crate::mailbox::mbox::variant::Variant;
use crate::mailbox::message::header;
use crate::mailbox::source::Source;
use crate::mailbox::text::shell_quote;

/// Bytes of messages that a worker takes at once.
const CHUNK: u64 = 1 << 20;

/// Verifies an mbox.
///
/// # Errors
/// [`Error::NotAMailbox`], [`Error::Changed`] if it did not keep still, [`Error::Interrupted`].
pub fn verify(
    source: &mut Source,
    ask: &ReadOptions,
    options: &VerifyOptions<'_>,
    progress: &dyn Events,
) -> Result<VerifyReport> {
    let mut findings = source.take_findings();
    let source = &*source;
    let text = source.text();
    progress.begin(Phase::Reading, text.len() as u64);
    let watch = ScanHooks {
        on_scan: &|range| progress.advance(range.len() as u64, 0),
        on_release: &|range| source.release(range),
        cancel: options.cancel,
    };
    let read = read::read(text, ask, watch);
    options.cancel.check()?;
    let path = source.path().to_owned();
    let mut mbox = match read {
        Ok(mbox) => mbox,
        Err(not) => {
            // What somebody truncates meanwhile may look like no mailbox.
            source.check_unchanged()?;
            return Err(Error::NotAMailbox { path, reason: not.reason, hint: not.hint });
        }
    };
    mbox.check_conservation().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    findings.append(&mut mbox.findings);
    if source.is_cr_only() {
        findings.push(Finding::new(Code::MboxCrOnly, "every line ends in CR, as on a classic Mac"));
    }
    let pseudo = pseudo(&mbox);
    findings.extend(
        pseudo.map(|at| Finding::at(Code::MboxPseudo, at, "UW-IMAP's pseudo message: no mail, not counted")),
    );
    let mut steps = Vec::new();
    // Behind a header that is cut off nothing is appended: it would look whole.
    let is_cut = findings.iter().any(|f| f.code == Code::MboxHeaderCut);
    if let Some((finding, step)) = end(source, mbox.variant).filter(|_| !is_cut) {
        findings.push(finding);
        steps.extend(step);
    }
    findings.extend(unquoted(&mbox));
    if options.depth == Depth::Contents {
        findings.extend(contents(source, &mbox, &findings, options)?);
    }
    finding::number_lines(&mut findings, text, &|range| source.release(range));
    source.check_unchanged()?;
    let folder = FolderSummary {
        path: path.clone(),
        messages: mbox.messages().len() as u64 - u64::from(pseudo.is_some()),
        bytes: text.len() as u64,
        variant: Some((mbox.variant, mbox.evidence.clone())),
    };
    Ok(VerifyReport { path, folders: vec![folder], findings, steps, sources: Vec::new() })
}

/// Where the pseudo message is, if the first one is that.
fn pseudo(mbox: &Mbox<'_>) -> Option<u64> {
    let first = mbox.messages().first()?;
    status::is_pseudo_message(header::split(first.message(mbox.text())).header).then_some(first.at)
}

/// What is wrong with how the file ends, and what is to be appended to it. Only where messages end in a
/// blank line: frames have their own end, and so has a bare message.
fn end(source: &Source, variant: Variant) -> Option<(Finding, Option<RepairStep>)> {
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
    // What is unpacked or was translated is not the file itself.
    if source.compression().is_some() || source.is_cr_only() || source.mtime().is_none() {
        return Some((finding, None));
    }
    let path = source.path().to_owned();
    let mend = format!("{REPAIR_COMMAND} {}", shell_quote(&path));
    Some((finding.with_hint(mend), Some(RepairStep::EndMbox { path })))
}

/// The lines that only the strictness of the table keeps in a body, as far as the reader has not said so.
fn unquoted(mbox: &Mbox<'_>) -> Vec<Finding> {
    if mbox.variant == Variant::Mboxcl2 {
        return Vec::new();
    }
    let prose = mbox.boundaries.decisions.iter().filter(|d| {
        d.verdict == Verdict::Body && d.reason == Reason::Row(11) && d.candidate.next != NextLine::Header
    });
    let message = "begins with \"From \" and is not quoted: left in the body, other readers may split here";
    prose.map(|d| Finding::at(Code::MboxUnquotedFrom, d.candidate.offset, message)).collect()
}

/// What the messages themselves show.
fn contents(
    source: &Source,
    mbox: &Mbox<'_>,
    known: &[Finding],
    options: &VerifyOptions<'_>,
) -> Result<Vec<Finding>> {
    let headless: HashSet<u64> =
        known.iter().filter(|f| f.code == Code::MboxNoHeader).filter_map(|f| f.offset).collect();
    let chunks = chunks(mbox.messages());
    let seen = chunks.par_iter().map(|chunk| {
        options.cancel.check()?;
        let mut seen = Contents::default();
        for extent in *chunk {
            seen.look(extent, mbox.text(), &headless);
        }
        if let (Some(first), Some(last)) = (chunk.first(), chunk.last()) {
            source.release(first.at as usize..last.end as usize);
        }
        Ok(seen)
    });
    let seen: Vec<Contents> = seen.collect::<Result<_>>()?;
    let mut findings = Vec::new();
    let (mut long, mut first) = (0, None);
    for mut part in seen {
        findings.append(&mut part.findings);
        long += part.long;
        first = first.or(part.first_long);
    }
    if let Some(at) = first {
        let message = match long {
            1 => "a line of more than 998 bytes".to_owned(),
            _ => format!("{long} lines of more than 998 bytes, the first here"),
        };
        findings.push(Finding::at(Code::MessageLongLine, at, message));
    }
    Ok(findings)
}

/// Messages in stretches of about [`CHUNK`] bytes.
fn chunks(messages: &[Extent]) -> Vec<&[Extent]> {
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
struct Contents {
    findings: Vec<Finding>,
    long: u64,
    first_long: Option<u64>,
}

impl Contents {
    fn look(&mut self, extent: &Extent, text: &[u8], headless: &HashSet<u64>) {
        let message = extent.message(text);
        if message.is_empty() && !headless.contains(&extent.at) {
            self.findings.push(Finding::at(Code::MessageNoHeader, extent.at, "this message is empty"));
        }
        match message::find_header_fault(message) {
            Some(HeaderFault::NoField(at)) => self.findings.push(Finding::at(
                Code::MessageHeaderLine,
                extent.start + at as u64,
                "a line in the header is no field: readers end the header here, or pass over the line",
            )),
            Some(HeaderFault::Missing) if !headless.contains(&extent.at) => self.findings.push(Finding::at(
                Code::MessageNoHeader,
                extent.at,
                "this message does not begin with a header",
            )),
            // How the file ends is said already.
            Some(HeaderFault::Missing | HeaderFault::Cut) | None => {}
        }
        if let Some((count, at)) = message::count_long_lines(message) {
            self.long += count;
            self.first_long.get_or_insert(extent.start + at as u64);
        }
    }
}
