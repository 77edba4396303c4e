//! `inspect --second-opinion`: what other readers see in the same mbox.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use mbox_reader::MboxFile;
use serde_json::{Value, json};

use super::boundaries::row_json;
use crate::cli::ui::Reporter;
use crate::cli::ui::layout::{truncate, wrap};
use crate::inspect::{self, Opinion};
use crate::mailbox::fs::durable;
use crate::mailbox::mbox::Mbox;
use crate::mailbox::mbox::verdict::Decision;
use crate::mailbox::source::{Source, mapped};
use crate::mailbox::text::{grouped, plural};
use crate::mailbox::{Error, Result, escape};

/// Lines that are listed for each row of the table without `-v`.
const MAX_LISTED: usize = 5;

/// A line at which not all readers begin a message.
struct DisputedLine {
    line: u64,
    offset: u64,
    is_start: bool,
    decision: Option<Decision>,
    text: String,
}

/// Compares the readers, and returns the keys of the summary.
pub(super) fn show(
    source: &Source,
    mbox: &Mbox<'_>,
    spool_dir: &Path,
    reporter: &mut Reporter,
) -> Result<Value> {
    let bytes = source.raw();
    let from_lines = inspect::from_lines(bytes);
    let by_length = inspect::content_length_starts(bytes, &from_lines);
    let opinions = [
        Opinion {
            name: "grep -c '^From '",
            messages: from_lines.len() as u64,
            starts: from_lines,
            remark: None,
        },
        ask_mbox_reader(bytes, spool_dir)?,
        Opinion { name: "Content-Length", messages: by_length.len() as u64, starts: by_length, remark: None },
    ];
    let lines = disputed_lines(mbox, &opinions);
    let messages = mbox.messages().len() - usize::from(mbox.pseudo_message().is_some());
    match reporter.is_json() {
        true => lines.iter().for_each(|line| reporter.object(&line.object(&opinions))),
        false => show_text(messages, &opinions, &lines, reporter),
    }
    let opinion = |opinion: &Opinion| json!({ "reader": opinion.name, "messages": opinion.messages, "remark": opinion.remark });
    Ok(json!({ "opinions": opinions.iter().map(opinion).collect::<Vec<_>>(), "disputed": lines.len() }))
}

/// Asks the crate mbox-reader. It maps the file, so it gets a private copy that no program truncates.
fn ask_mbox_reader(bytes: &[u8], spool_dir: &Path) -> Result<Opinion> {
    let name = "mbox-reader 0.2";
    if bytes.is_empty() {
        let remark = Some("it cannot open an empty file".to_owned());
        return Ok(Opinion { name, messages: 0, starts: [].into(), remark });
    }
    let copy = durable::anonymous_file(spool_dir)?;
    let failed = |what| Error::io(what, spool_dir);
    for window in mapped::windows(bytes) {
        durable::write_all(&copy, window).map_err(failed("write a temporary file there"))?;
    }
    let path = PathBuf::from(format!("/dev/fd/{}", copy.as_raw_fd()));
    let file = MboxFile::from_file(&path).map_err(failed("open a temporary file there"))?;
    // Only the offsets: its other functions panic where a From_ line has no date.
    let ends = file.iter().map(|message| message.offset() as u64);
    let mut starts: std::collections::BTreeSet<u64> = ends.collect();
    let messages = starts.len() as u64;
    if bytes.starts_with(b"From ") {
        starts.insert(0);
    }
    let remark = Some("the last message is not among them".to_owned());
    Ok(Opinion { name, messages, starts, remark })
}

fn disputed_lines(mbox: &Mbox<'_>, opinions: &[Opinion]) -> Vec<DisputedLine> {
    let (text, decisions) = (mbox.text(), &mbox.boundaries.decisions);
    let (mut line, mut counted) = (1, 0);
    let disputed = inspect::disputed_lines(mbox, opinions).into_iter().map(|(offset, is_start)| {
        let at = offset as usize;
        line += mapped::count_byte(b'\n', &text[counted..at]) as u64;
        counted = at;
        let decision = decisions.binary_search_by_key(&offset, |decision| decision.candidate.offset).ok();
        let end = mapped::find_byte(b'\n', &text[at..]).map_or(text.len(), |lf| at + lf);
        let shown = text[at..end.min(at + 200)].trim_ascii_end();
        DisputedLine { line, offset, is_start, decision: decision.map(|n| decisions[n]), text: escape(shown) }
    });
    disputed.collect()
}

impl DisputedLine {
    /// Returns the row of the table that decided the line, and its rule.
    fn row(&self) -> (String, &'static str) {
        match &self.decision {
            Some(decision) => (inspect::reason_name(decision.reason), inspect::rule(decision.reason)),
            None => ("none".into(), "it is a header field with a blank before its colon, not a From_ line"),
        }
    }

    fn object(&self, opinions: &[Opinion]) -> Value {
        let seen = opinions.iter().filter(|opinion| opinion.starts.contains(&self.offset));
        json!({
            "type": "disputed",
            "line": self.line,
            "offset": self.offset,
            "mailferry": self.is_start,
            "readers": seen.map(|opinion| opinion.name).collect::<Vec<_>>(),
            "row": self.decision.map(|decision| row_json(decision.reason)),
            "rule": self.row().1,
            "text": self.text,
        })
    }
}

fn show_text(messages: usize, opinions: &[Opinion], lines: &[DisputedLine], reporter: &mut Reporter) {
    let width = reporter.table_width().unwrap_or(usize::MAX);
    reporter.line(&format!("{:>12}  mailferry", grouped(messages as u64)));
    for Opinion { name, messages, remark, .. } in opinions {
        let remark = remark.as_ref().map(|remark| format!(" ({remark})")).unwrap_or_default();
        reporter.line(&format!("{:>12}  {name}{remark}", grouped(*messages)));
    }
    if lines.is_empty() {
        reporter.line("All of them begin messages at the same lines.");
    }
    let mut by_row: BTreeMap<(usize, String, bool), Vec<&DisputedLine>> = BTreeMap::new();
    for line in lines {
        let row = line.row().0;
        // Numbers in their order, then the words.
        let order = row.parse().unwrap_or(usize::MAX);
        by_row.entry((order, row, line.is_start)).or_default().push(line);
    }
    for ((_, row, is_start), lines) in by_row {
        let verdict = if is_start { "a message begins at" } else { "no message begins at" };
        let row =
            if row.bytes().all(|b| b.is_ascii_digit()) { format!("row {row}: ") } else { String::new() };
        let count = plural(lines.len() as u64, "line");
        let heading = format!("{row}{verdict} {count}: {}", lines[0].row().1);
        reporter.line("");
        wrap(&heading, width).into_iter().for_each(|line| reporter.line(line));
        let listed = if reporter.is_verbose() { lines.len() } else { MAX_LISTED };
        for line in lines.iter().take(listed) {
            let seen = opinions.iter().filter(|opinion| opinion.starts.contains(&line.offset));
            let seen: Vec<&str> =
                seen.map(|opinion| opinion.name.split(' ').next().unwrap_or_default()).collect();
            let seen = if seen.is_empty() { "no other reader".into() } else { seen.join(", ") };
            reporter.line(&truncate(&format!("  line {}  ({seen})  {}", line.line, line.text), width));
        }
        if lines.len() > listed {
            reporter.line(&format!("  {} more; list all with -v", grouped((lines.len() - listed) as u64)));
        }
    }
}
