//! inspect: what is in a mailbox, and why each boundary is where it is.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::convert::Dedupe;
use crate::convert::names::{NameTable, PreviousMessages};
use crate::convert::plan::{self, CHUNK, PlanOptions};
use crate::convert::planned::{Disposition, PlannedMessage};
use crate::convert::render::{RenderOptions, Rendered, render};
use crate::mailbox::error::{Error, Result};
use crate::mailbox::finding::Finding;
use crate::mailbox::maildir::list;
use crate::mailbox::maildir::list::Entry;
use crate::mailbox::maildir::write::Subdir;
use crate::mailbox::mbox::boundary::{Decision, Extent, Reason};
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::message::address::display::display;
use crate::mailbox::message::flags::Flags;
use crate::mailbox::message::header;
use crate::mailbox::message::received::{DateRules, Origin};
use crate::mailbox::reorder::Reorder;
use crate::mailbox::source::Source;

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1.
    pub number: usize,
    /// Where it lies.
    pub position: Position,
    /// Bytes of the message, without From_ line and quoting.
    pub length: u64,
    /// Received date, seconds since 1970.
    pub epoch: i64,
    /// Where the date comes from.
    pub origin: Origin,
    /// Its flags.
    pub flags: Flags,
    /// Whether nobody has seen that it is there.
    pub is_new: bool,
    /// Whether it is UW-IMAP's pseudo message.
    pub is_pseudo: bool,
    /// From, for people: names decoded, addresses in brackets.
    pub from: String,
    /// Subject, decoded.
    pub subject: String,
    /// Message-ID as it stands, with its brackets.
    pub message_id: String,
}

/// Where a listed message lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Byte of its From_ line in the mbox.
    Offset(u64),
    /// Its file in the Maildir, relative to it.
    File(PathBuf),
}

/// Lists the messages of an mbox: `show` makes of each what is to be told of it, on several threads, and
/// `tell` gets that of many at once, in their order. Returns the findings of dates and pseudo messages.
pub fn list_mbox<T: Send>(
    source: &Source,
    mbox: &Mbox<'_>,
    rules: &DateRules,
    show: impl Fn(Row) -> T + Sync,
    mut tell: impl FnMut(Vec<T>) + Send,
) -> Result<Vec<Finding>> {
    let options = PlanOptions {
        render: RenderOptions::default(),
        dates: rules.clone(),
        dedupe: Dedupe::No,
        previous: PreviousMessages::default(),
    };
    let plan = plan::plan(source, mbox, options, &mut NameTable::default(), &|_| Ok(()))?;
    // In order: what is handed back while a chunk before it is looked at would stay ours after all.
    let mut done_with = |(extents, shown): (&[Extent], Vec<T>)| {
        source.release(plan::span(extents));
        tell(shown);
        Ok(())
    };
    let in_order = Mutex::new(Reorder::new(&mut done_with));
    let chunks = plan.messages.chunks(CHUNK).zip(mbox.messages().chunks(CHUNK)).enumerate();
    chunks.par_bridge().try_for_each(|(n, (planned, extents))| {
        let rows = planned.iter().zip(extents).zip(n * CHUNK + 1..);
        let row = |((planned, extent), number): ((&PlannedMessage, &Extent), usize)| Row {
            number,
            position: Position::Offset(extent.at),
            length: planned.size,
            epoch: planned.epoch,
            origin: planned.origin,
            flags: planned.status.flags,
            is_new: !planned.status.belongs_in_cur(),
            is_pseudo: planned.disposition == Disposition::Pseudo,
            ..Row::said_by(extent.message(mbox.text()))
        };
        let shown = rows.map(|message| show(row(message))).collect();
        in_order.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(n, (extents, shown))
    })?;
    Ok(plan.findings)
}

/// Lists the messages of a Maildir, and what lies among them and is none.
pub fn list_maildir(maildir: &Path) -> Result<(Vec<Row>, Vec<Finding>)> {
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    for (n, entry) in list::list_messages(maildir)?.iter().enumerate() {
        match Row::of_entry(maildir, n + 1, entry) {
            Ok(row) => rows.push(row),
            Err(error) => findings.push(list::explain_unreadable(maildir, entry).ok_or(error)?),
        }
    }
    Ok((rows, findings))
}

impl Row {
    /// What the header says; the rest is for the caller to fill in.
    fn said_by(message: &[u8]) -> Row {
        let mut row = Row {
            number: 0,
            position: Position::Offset(0),
            length: 0,
            epoch: 0,
            origin: Origin::None,
            flags: Flags::default(),
            is_new: false,
            is_pseudo: false,
            from: String::new(),
            subject: String::new(),
            message_id: String::new(),
        };
        for field in header::fields(message) {
            if ![&row.from, &row.subject, &row.message_id].iter().any(|text| text.is_empty()) {
                break;
            }
            let text = match () {
                () if field.is("From") => &mut row.from,
                () if field.is("Subject") => &mut row.subject,
                () if field.is("Message-ID") => &mut row.message_id,
                () => continue,
            };
            if text.is_empty() {
                *text = match field.is("From") {
                    true => display(field.value),
                    false => header::decode_text(field.value),
                };
            }
        }
        row
    }

    fn of_entry(maildir: &Path, number: usize, entry: &Entry) -> Result<Row> {
        let (entry, bytes) = list::read_entry(maildir, entry)?;
        let parsed = entry.parsed();
        let mtime = std::fs::metadata(entry.path(maildir)).map_or(0, |meta| meta.mtime());
        let (epoch, origin) = parsed.received_date(mtime, header::split(&bytes).header);
        Ok(Row {
            number,
            position: Position::File(Path::new(entry.subdir.dir()).join(&entry.name)),
            length: bytes.len() as u64,
            epoch,
            origin,
            flags: parsed.flags(),
            is_new: entry.subdir == Subdir::New,
            ..Row::said_by(&bytes)
        })
    }
}

/// Message `number` of an mbox, counted from 1, as convert would write it.
pub fn read_mbox_message<'a>(mbox: &Mbox<'a>, path: &Path, number: usize) -> Result<Rendered<'a>> {
    let extent = nth(mbox.messages(), path, number)?;
    let message = extent.message(mbox.text());
    let as_it_is = RenderOptions::default();
    Ok(render(message, &header::split(message), mbox.variant.quoting(), as_it_is))
}

/// Message `number` as it lies in the source: From_ lines and quoting with it, the blank line after
/// it not.
pub fn read_source_bytes<'a>(source: &'a Source, mbox: &Mbox<'_>, number: usize) -> Result<&'a [u8]> {
    let extent = nth(mbox.messages(), source.path(), number)?;
    Ok(&source.raw()[extent.at as usize..extent.end as usize])
}

/// Message `number` of a Maildir, in the order of [`list_maildir`].
pub fn read_maildir_message(maildir: &Path, number: usize) -> Result<Vec<u8>> {
    let entries = list::list_messages(maildir)?;
    let entry = nth(&entries, maildir, number)?;
    Ok(list::read_entry(maildir, entry)?.1)
}

fn nth<'a, T>(all: &'a [T], path: &Path, number: usize) -> Result<&'a T> {
    number.checked_sub(1).and_then(|n| all.get(n)).ok_or_else(|| Error::Unsupported {
        path: path.to_owned(),
        reason: format!("has {} messages, no number {number}", all.len()),
    })
}

/// The head of a boundary list: it names the source's size, so that a list is not used on another
/// file.
pub fn boundary_list_header(size: u64) -> String {
    format!(
        "# mailferry boundaries of {size} bytes\n\
         # change separator to body or body to separator, then: mailferry convert --boundaries THIS FILE …\n\
         # offset\tline\tclass\trow\tverdict\tthe line\n"
    )
}

/// One line of a boundary list, without its line end. `line` is counted from 1.
pub fn boundary_line(text: &[u8], decided: &Decision, line: u64) -> String {
    const SHOWN: usize = 200;
    let candidate = &decided.candidate;
    let row = match decided.reason {
        Reason::Row(row) => row.to_string(),
        Reason::User => "user".into(),
    };
    let bytes = text[candidate.offset as usize..candidate.end() as usize].trim_ascii_end();
    let shown = crate::mailbox::text::escape(&bytes[..bytes.len().min(SHOWN)]);
    let (offset, class, verdict) = (candidate.offset, candidate.class(), decided.verdict.name());
    format!("{offset}\t{line}\t{class}\t{row}\t{verdict}\t{shown}")
}
