//! What becomes of each message: its name, date, flags and place. The only policy; no byte is
//! written here.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::dates::{self, FromDates, Offered, Origin, Rules};
use super::render::{Eol, render};
use crate::mailbox::date;
use crate::mailbox::error::Result;
use crate::mailbox::finding::{Code, Finding};
use crate::mailbox::header;
use crate::mailbox::maildir::name::Unique;
use crate::mailbox::mbox::boundary::Extent;
use crate::mailbox::mbox::from_line;
use crate::mailbox::mbox::read::Mbox;
use crate::mailbox::mbox::status::{self, Status};
use crate::mailbox::source::Source;

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is written.
    Write,
    /// It is in the destination already, under the same unique part.
    Present,
    /// It is UW-IMAP's pseudo message: no mail.
    Pseudo,
}

/// A message with all that its file needs.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// Where it lies in the source.
    pub extent: Extent,
    /// The unique part of its name.
    pub unique: Unique,
    /// 0 for the first with these bytes, k for the k-th further one.
    pub copy: u32,
    /// Received date, seconds since 1970.
    pub epoch: i64,
    /// Where the date comes from.
    pub origin: Origin,
    /// Flags and whether it is old.
    pub status: Status,
    /// Bytes of the file.
    pub size: u64,
    /// The same with CRLF line ends.
    pub wire_size: u64,
    /// How many quoting `>` are taken off.
    pub quotes: u32,
    /// How many line ends are changed.
    pub eols: u32,
    /// What is done with it.
    pub fate: Fate,
}

/// All messages of one source.
#[derive(Debug)]
pub struct Plan {
    /// In file order.
    pub messages: Vec<Planned>,
    /// What was noticed while planning.
    pub findings: Vec<Finding>,
}

/// Messages a worker takes at once. A chunk is small enough to spread evenly and large enough that
/// handing its pages back costs nothing.
pub(super) const CHUNK: usize = 64;

/// Copies seen so far in this run, and what the destination holds: one source's names depend on the
/// sources before it.
#[derive(Debug, Default)]
pub struct Taken {
    copies: HashMap<Unique, u32>,
    present: HashSet<(Unique, u32)>,
}

/// Plans every message of a source. `planned` hears of the bytes that are done, and may end it.
pub fn plan(
    source: &Source,
    mbox: &Mbox<'_>,
    eol: Eol,
    rules: &Rules,
    taken: &mut Taken,
    planned: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<Plan> {
    let facts: Vec<Vec<Facts>> = mbox
        .messages()
        .par_chunks(CHUNK)
        .map(|chunk| {
            let facts = chunk.iter().map(|extent| Facts::of(source, mbox, extent, eol)).collect();
            let range = span(chunk);
            source.release(range.clone());
            planned(range.len() as u64)?;
            Ok(facts)
        })
        .collect::<Result<_>>()?;
    let facts: Vec<Facts> = facts.into_iter().flatten().collect();
    let mut findings = Vec::new();
    let from_dates = FromDates::learn(facts.iter().map(|f| &f.offered), rules);
    if let Some(seconds) = from_dates.found_offset {
        findings.push(Finding::new(
            Code::DateZone,
            format!(
                "the From_ lines name no zone; by the Received fields theirs is {:+03}:{:02}",
                seconds / 3600,
                seconds.abs() % 3600 / 60
            ),
        ));
    }
    let mut from_mtime = 0;
    let mut messages = Vec::with_capacity(facts.len());
    for (n, (extent, facts)) in mbox.messages().iter().zip(facts).enumerate() {
        let (epoch, origin) = dates::received(&facts.offered, &from_dates, rules);
        let pseudo = n == 0 && facts.pseudo;
        if pseudo {
            findings.push(Finding::at(
                Code::MboxPseudo,
                extent.at,
                "UW-IMAP's pseudo message: no mail, skipped",
            ));
        }
        match origin {
            Origin::Mtime if rules.first != Some(Origin::Mtime) => from_mtime += 1,
            Origin::None => findings.push(Finding::at(
                Code::DateMissing,
                extent.at,
                "no date of this message is real, and the source has no modification time: dated 1970",
            )),
            _ => {}
        }
        let mut planned = facts.planned(*extent, epoch, origin);
        if pseudo {
            planned.fate = Fate::Pseudo;
        } else {
            taken.place(&mut planned);
        }
        messages.push(planned);
    }
    if from_mtime > 0 {
        let message = format!("{from_mtime} messages have no date that is real; dated as the source file");
        findings.push(Finding::new(Code::DateFromMtime, message));
    }
    Ok(Plan { messages, findings })
}

/// From the first byte of the first message to behind the last of the last.
fn span(messages: &[Extent]) -> std::ops::Range<usize> {
    match (messages.first(), messages.last()) {
        (Some(first), Some(last)) => first.at as usize..last.end as usize,
        _ => 0..0,
    }
}

impl Taken {
    /// `present`: unique parts with their copy numbers, as they stand in the destination's names.
    pub fn of(present: HashSet<(Unique, u32)>) -> Taken {
        Taken { copies: HashMap::new(), present }
    }

    fn place(&mut self, message: &mut Planned) {
        let next = self.copies.entry(message.unique).or_insert(0);
        message.copy = *next;
        *next += 1;
        if self.present.contains(&(message.unique, message.copy)) {
            message.fate = Fate::Present;
        }
    }
}

/// What a message alone says.
struct Facts {
    unique: Unique,
    offered: Offered,
    status: Status,
    pseudo: bool,
    size: u64,
    wire_size: u64,
    quotes: u32,
    eols: u32,
}

impl Facts {
    fn of(source: &Source, mbox: &Mbox<'_>, extent: &Extent, eol: Eol) -> Facts {
        let text = mbox.text();
        let message = extent.message(text);
        let split = header::split(message);
        let mut status = Status::default();
        let mut offered = Offered {
            from: from_line::parse(first_line(extent.from_lines(text))).stamp,
            ..Offered::default()
        };
        for field in header::fields(split.header) {
            status.take(&field);
            if offered.received.is_none() && field.is("Received") {
                offered.received = received_date(field.value);
            } else if offered.header.is_none() && field.is("Date") {
                offered.header = date::parse_header_date(field.value);
            }
        }
        let rendered = render(message, split.body_at(message), mbox.variant.quoting(), eol);
        let (size, wire_size) = rendered.sizes(mbox.has_cr || eol == Eol::Crlf);
        Facts {
            unique: Unique::of(&source.raw()[extent.at as usize..extent.end as usize]),
            offered,
            status,
            pseudo: status::is_pseudo(split.header),
            size,
            wire_size,
            quotes: rendered.quotes,
            eols: rendered.eols,
        }
    }

    fn planned(self, extent: Extent, epoch: i64, origin: Origin) -> Planned {
        let Facts { unique, status, size, wire_size, quotes, eols, .. } = self;
        Planned {
            extent,
            unique,
            copy: 0,
            epoch,
            origin,
            status,
            size,
            wire_size,
            quotes,
            eols,
            fate: Fate::Write,
        }
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    &lines[..memchr::memchr(b'\n', lines).map_or(lines.len(), |lf| lf + 1)]
}

/// The date of a Received field stands behind its last semicolon (RFC 5322 §3.6.7).
fn received_date(value: &[u8]) -> Option<date::Stamp> {
    let semicolon = memchr::memrchr(b';', value)?;
    date::parse_header_date(&value[semicolon + 1..])
}
