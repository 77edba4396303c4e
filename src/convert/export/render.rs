//! The messages of an export in the form of the mbox.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use super::maildir::{SourceMaildir, SourceMessage};
use super::maildir_uids::UidEdit;
use super::ready_source::ReadySource;
use super::tally::Tally;
use crate::convert::planned::Disposition;
use crate::convert::render::{LARGE, render};
use crate::convert::{PlannedMessage, RenderOptions, Rendered};
use crate::mailbox::maildir::{Entry, KeywordSet, KeywordTable, keywords};
use crate::mailbox::mbox::from_line::{self, LineClass};
use crate::mailbox::mbox::write::{self, Changes, FromLineSpec, MboxMessage, UidFields, Unrepresentable};
use crate::mailbox::mbox::{Extent, Mbox, Quoting, Variant};
use crate::mailbox::message::status::{list, parse_fields};
use crate::mailbox::message::{DeletedPolicy, Eol, LabelPolicy, StatusFields, header};
use crate::mailbox::source::Contents;
use crate::mailbox::{Code, Error, Finding, Result, escape};

/// Writes what does not fit into memory.
type Relieve<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A file with its new fields.
#[derive(Clone, Copy)]
struct SourceMessageEdit<'a> {
    message: &'a SourceMessage,
    uids: UidFields<'a>,
}

/// The date and the new fields of a message of an mbox.
#[derive(Clone, Copy)]
struct PlannedEdit<'a> {
    epoch: i64,
    uids: UidFields<'a>,
}

/// Renders the messages of one worker.
pub(super) struct Renderer {
    variant: Variant,
    eol: Eol,
    /// A buffer for one file.
    file: Contents,
    /// The messages of the last chunk that were not written yet.
    pub(super) out: Vec<u8>,
    tally: Tally,
}

impl Renderer {
    pub(super) fn new(variant: Variant, eol: Eol) -> Renderer {
        Renderer { variant, eol, file: Contents::default(), out: Vec::new(), tally: Tally::default() }
    }

    /// Renders a chunk of messages, and returns its counts. `relieve` writes what is too much for the memory.
    pub(super) fn render(
        &mut self,
        source: &ReadySource<'_>,
        messages: Range<usize>,
        relieve: Relieve<'_>,
    ) -> Result<Tally> {
        self.out.clear();
        match source {
            ReadySource::Maildir(maildir) => {
                let mut file = std::mem::take(&mut self.file);
                for (n, message) in messages.clone().zip(&maildir.messages[messages]) {
                    let uids = maildir.uid_edit.fields(n == 0, message.uid);
                    self.render_file(maildir, SourceMessageEdit { message, uids }, &mut file, relieve)?;
                    self.relieve(relieve)?;
                }
                self.file = file;
            }
            ReadySource::Mbox { input, mbox, plan, uid_edit } => {
                let first = matches!(uid_edit, UidEdit::Set(_)).then(|| plan.first_written()).flatten();
                let planned = messages.clone().zip(&plan.messages[messages.clone()]);
                let planned = planned.zip(&mbox.messages()[messages]);
                let is_written = |((_, planned), _): &((usize, &PlannedMessage), &Extent)| {
                    planned.disposition == Disposition::Write
                };
                for ((n, planned), extent) in planned.filter(is_written) {
                    let uids = uid_edit.fields(first == Some(n), planned.uid);
                    self.render_extent(mbox, extent, PlannedEdit { epoch: planned.epoch, uids }, relieve)?
                        .map_err(|Unrepresentable| Error::unrepresentable(input.source.path()))?;
                    self.relieve(relieve)?;
                }
            }
        }
        Ok(std::mem::take(&mut self.tally))
    }

    fn render_file(
        &mut self,
        maildir: &SourceMaildir<'_>,
        edit: SourceMessageEdit<'_>,
        bytes: &mut Contents,
        relieve: Relieve<'_>,
    ) -> Result<()> {
        let SourceMessageEdit { message, uids } = edit;
        let found = match maildir.read(&message.entry, bytes)? {
            Ok(found) => found,
            Err(finding) => {
                self.tally.add_unreadable(finding);
                return Ok(());
            }
        };
        let entry = &found.entry;
        let parsed = entry.parsed();
        let header = header::split(bytes).header;
        let (status, thunderbird) = (entry.status(header), entry.status_fields(header));
        let letters = parsed.keywords();
        let table = &maildir.keywords;
        let unnamed: Vec<usize> = letters.numbers().filter(|&n| table.name(n).is_none()).collect();
        if let Some(fields) = &thunderbird {
            self.tally.findings.extend(Entry::status_findings(fields, &maildir.files.path(entry)));
        }
        let keywords = match thunderbird {
            Some(fields) => Some(list::join_keywords(fields.keywords().iter().map(|k| keywords::atom(k)))),
            // Without a table the keywords of the header stay.
            None => (!table.is_empty()).then(|| join_keywords(letters, table, header)),
        };
        let sender = header::return_path(header).or_else(|| message.recorded_sender()).unwrap_or_default();
        let epoch = maildir.files.received_date(&found, header).0;
        let from_line = FromLineSpec::Generated { sender, epoch };
        let name = || escape(entry.name.as_bytes());
        let rendered = self.with_line_ends(bytes, Quoting::None);
        let keywords = keywords.as_deref();
        let written = MboxMessage { message: &[], from_line, status: Some(status), keywords, uids };
        let changes = self.write(&rendered, written, relieve)?;
        let changes =
            changes.map_err(|Unrepresentable| Error::unrepresentable(&maildir.files.path(entry)))?;
        bytes.check_complete(&maildir.files.error_path(entry))?;
        self.tally.add(bytes.len(), changes, None, &name);
        self.tally.mail.add_message(status.flags, Some(epoch));
        if !unnamed.is_empty() {
            let letters = unnamed.into_iter().fold(KeywordSet::default(), KeywordSet::with);
            let message =
                format!("{}: dovecot-keywords does not name the keywords of the letters {letters}", name());
            self.tally.findings.push(Finding::new(Code::FlagsUnsaid, message));
        }
        Ok(())
    }

    fn render_extent(
        &mut self,
        mbox: &Mbox<'_>,
        extent: &Extent,
        edit: PlannedEdit<'_>,
        relieve: Relieve<'_>,
    ) -> Result<Result<(), Unrepresentable>> {
        let PlannedEdit { epoch, uids } = edit;
        let source = extent.message(mbox.text());
        let lines = extent.separator_lines(mbox.text());
        let first = lines.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
        let from = from_line::parse(first);
        let rendered = self.with_line_ends(source, mbox.variant.quoting());
        let from_line = match from.class {
            LineClass::Dated => FromLineSpec::Verbatim(lines),
            LineClass::Shaped | LineClass::Known | LineClass::Unknown => {
                let path = header::return_path(header::split(source).header);
                let named = Some(from.sender).filter(|s| !s.is_empty());
                FromLineSpec::Generated { sender: named.or(path).unwrap_or_default(), epoch }
            }
        };
        // The header does not have what its store, or the name of its file, says.
        let fields = mbox.outer.is_known().then(|| {
            let mut fields = parse_fields(header::split(source).header, LabelPolicy::Ignore);
            mbox.complete_status(&mut fields);
            fields
        });
        let status = fields.as_ref().map(|fields| fields.status(DeletedPolicy::Flag));
        let keywords = fields.filter(|_| mbox.outer.store.keyword().is_some()).map(|fields| {
            list::join_keywords(fields.keywords().iter().map(|keyword| keywords::atom(keyword)))
        });
        let keywords = keywords.as_deref();
        let written = MboxMessage { message: &[], from_line, status, keywords, uids };
        Ok(self.write(&rendered, written, relieve)?.map(|changes| {
            self.tally.add(source.len(), changes, Some(extent.at), &|| "this message".into());
        }))
    }

    /// Writes a rendered message. `written` has everything but its bytes.
    fn write(
        &mut self,
        rendered: &Rendered<'_>,
        written: MboxMessage<'_>,
        relieve: Relieve<'_>,
    ) -> Result<Result<Changes, Unrepresentable>> {
        self.tally.has_base |= matches!(written.uids, UidFields::Set { base: Some(_), .. });
        if let Some(message) = rendered.whole().filter(|message| message.len() <= LARGE) {
            let written = MboxMessage { message: &message, ..written };
            return Ok(write::write(self.variant, &written, &mut self.out));
        }
        let written = MboxMessage { message: &rendered.head(write::HEAD), ..written };
        write::write_large(self.variant, &written, &|put| rendered.for_each(put), &mut |bytes| {
            self.out.extend_from_slice(bytes);
            self.relieve(relieve)
        })
    }

    fn relieve(&mut self, relieve: Relieve<'_>) -> Result<()> {
        if self.out.len() >= LARGE {
            relieve(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    fn with_line_ends<'m>(&mut self, message: &'m [u8], quoting: Quoting) -> Rendered<'m> {
        let rendered = with_line_ends(message, quoting, self.eol);
        self.tally.line_ends += u64::from(rendered.eols);
        rendered
    }
}

/// Returns the message without its quoting, with the line ends of `--eol`.
pub(super) fn with_line_ends(message: &[u8], quoting: Quoting, eol: Eol) -> Rendered<'_> {
    if quoting == Quoting::None && eol == Eol::Keep {
        return Rendered::unchanged(message);
    }
    let options = RenderOptions { eol, ..RenderOptions::default() };
    render(message, &header::split(message), quoting, options)
}

/// Returns the keywords of a message, as a list: those of its letters, and those of its header for
/// which the Maildir has no letter.
fn join_keywords(letters: KeywordSet, table: &KeywordTable, header: &[u8]) -> String {
    let mut keywords: Vec<Cow<'_, str>> =
        letters.numbers().filter_map(|number| table.name(number)).map(keywords::atom).collect();
    let fields = header::fields(header).filter(|f| f.is("X-Keywords") || f.is("X-Mozilla-Keys"));
    let mut status = StatusFields::default();
    fields.for_each(|field| status.add(&field, LabelPolicy::Ignore));
    let mut known: HashSet<String> = keywords.iter().map(|keyword| keyword.to_ascii_lowercase()).collect();
    for keyword in status.keywords().iter() {
        let atom = keywords::atom(keyword).into_owned();
        if table.number(&atom).is_none() && known.insert(atom.to_ascii_lowercase()) {
            keywords.push(Cow::Owned(atom));
        }
    }
    list::join_keywords(keywords.into_iter())
}
