//! A Maildir as the source of an export.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::maildir_uids::{MaildirUids, UidEdit};
use super::options::{ExportOptions, ExportedMessages};
use crate::convert::{Report, SourceDetails, SourceList};
use crate::mailbox::maildir::{Entry, FoundMessage, KeywordTable, MaildirReader, list};
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::mbox::from_line;
use crate::mailbox::source::Contents;
use crate::mailbox::tree::walk::stray_mail;
use crate::mailbox::{Code, Context, Error, Finding, Result, escape};

/// A Maildir, its messages in the order in which they are written.
pub(super) struct SourceMaildir<'a> {
    path: &'a Path,
    exported: Option<&'a ExportedMessages>,
    pub(super) files: MaildirReader,
    pub(super) messages: Vec<SourceMessage>,
    pub(super) keywords: KeywordTable,
    /// Messages that are not selected.
    pub(super) not_selected: u64,
    /// The size of these messages.
    pub(super) not_selected_bytes: u64,
    /// The UIDs, and messages whose UIDLs an mbox cannot keep.
    pub(super) uids: Option<MaildirUids>,
    pub(super) uid_edit: UidEdit,
}

pub(super) struct SourceMessage {
    pub(super) entry: Entry,
    pub(super) size: u64,
    /// The sender in the From_ line that the manifest has.
    pub(super) sender: Option<Box<[u8]>>,
    /// The UID; 0 for none.
    pub(super) uid: u32,
}

impl<'a> SourceMaildir<'a> {
    /// Lists the messages that were not exported yet.
    pub(super) fn open(
        path: &'a Path,
        options: &ExportOptions<'a>,
        context: &Context<'_>,
    ) -> Result<(SourceMaildir<'a>, Report)> {
        let ExportOptions { exported, selection, .. } = *options;
        let files = MaildirReader::open(path, context.now)?;
        let (listing, recorded) = rayon::join(|| files.list(), || read_recorded(path, options.manifest));
        let (mut entries, mut findings) = (listing?.messages, Vec::new());
        entries.retain(|entry| !exported.is_some_and(|exported| exported.contains(path, entry)));
        let details = SourceDetails::collect(&files, &entries, context)?;
        let recorded = match recorded {
            Err(error @ Error::Manifest { .. }) => {
                let message = format!("{error}; the messages are in the order of their dates");
                findings.push(Finding::new(Code::ManifestDamaged, message));
                HashMap::new()
            }
            recorded => recorded?,
        };
        let SourceList { list, findings: damaged } = SourceList::read(path, options.uids)?;
        findings.extend(damaged);
        let listed: HashMap<&[u8], u32> =
            list.iter().flat_map(|list| &list.entries).map(|entry| (&*entry.name, entry.uid)).collect();
        let mut messages: Vec<(usize, SourceMessage)> = Vec::with_capacity(entries.len());
        let (mut not_selected, mut not_selected_bytes) = (0, 0);
        for entry in entries {
            let size = files.size(&entry);
            if !files.is_selected(&entry, selection)? {
                (not_selected, not_selected_bytes) = (not_selected + 1, not_selected_bytes + size);
                continue;
            }
            let recorded = recorded.get(entry.parsed().base);
            let (rank, sender) = recorded.map_or((usize::MAX, None), |r| (r.rank, r.sender.clone()));
            let uid = listed.get(entry.parsed().base).copied().unwrap_or(0);
            messages.push((rank, SourceMessage { size, entry, sender, uid }));
        }
        // Stable: messages of no source stay in the order of date and name. In an mbox, UIDs rise, and messages without
        // one come last.
        messages.sort_by_key(|(rank, message)| (message.uid.wrapping_sub(1), *rank));
        findings.extend(find_nested_folders(path)?);
        let report = Report { details, ..Report::new(path, findings) };
        let messages = messages.into_iter().map(|(_, message)| message).collect();
        let keywords = KeywordTable::read(path)?;
        let maildir = SourceMaildir {
            path,
            exported,
            files,
            messages,
            keywords,
            not_selected,
            not_selected_bytes,
            uids: list.as_ref().map(MaildirUids::of),
            uid_edit: UidEdit::Keep,
        };
        Ok((maildir, report))
    }

    /// Reads a message. It is not listed again in a later round, unless it was removed: it may come back.
    pub(super) fn read<'e>(
        &self,
        entry: &'e Entry,
        bytes: &mut Contents,
    ) -> Result<Result<FoundMessage<'e>, Finding>> {
        let read = self.files.read_or_explain(entry, bytes)?;
        let is_removed = read.as_ref().is_err_and(|finding| finding.code == Code::MessageExpunged);
        if let Some(exported) = self.exported.filter(|_| !is_removed) {
            exported.insert(self.path, entry);
        }
        Ok(read)
    }
}

/// A message as the manifest has it.
struct RecordedMessage {
    rank: usize,
    sender: Option<Box<[u8]>>,
}

/// Returns the messages of closed sections by name, ranked source after source, each in the order of its source. A
/// source that grew ranks where its last section is.
fn read_recorded(
    maildir: &Path,
    manifest: ManifestLocation<'_>,
) -> Result<HashMap<Vec<u8>, RecordedMessage>> {
    let manifest = match manifest {
        ManifestLocation::File(_) => Some(manifest.read_existing(maildir)?),
        ManifestLocation::InMaildir | ManifestLocation::None => manifest.read(maildir)?,
    };
    let Some(manifest) = manifest else { return Ok(HashMap::new()) };
    let manifest = manifest.parse()?;
    let (outlines, superseded) = (&manifest.sections, manifest.superseded(|_| ()));
    let mut order: Vec<usize> = (0..outlines.len()).filter(|&n| outlines[n].footer.is_some()).collect();
    order.sort_by_key(|&n| superseded[n]);
    let mut recorded = HashMap::new();
    for n in order {
        for message in outlines[n].names() {
            let rank = recorded.len();
            let line = message.from.0.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
            let sender = Some(from_line::parse(line).sender).filter(|s| !s.is_empty()).map(Box::from);
            recorded.entry(message.name.0).or_insert(RecordedMessage { rank, sender });
        }
    }
    Ok(recorded)
}

/// Reports the Maildir++ folders of a Maildir, and other mail in it.
pub(crate) fn find_nested_folders(maildir: &Path) -> Result<Option<Finding>> {
    let mut folders: Vec<String> =
        list::list_folders(maildir)?.iter().map(|name| escape(name.as_bytes())).collect();
    folders.extend(stray_mail(maildir).iter().map(|path| escape(path.as_os_str().as_bytes())));
    Ok((!folders.is_empty()).then(|| {
        let message = format!("its folders are not converted with it: {}", folders.join(", "));
        Finding::new(Code::FoldersLeft, message).with_hint("use mbox:DIR/ as the destination to include them")
    }))
}
