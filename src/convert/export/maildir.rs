//! A Maildir as the source of an export.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::maildir_uids::{MaildirUids, UidEdit};
use super::options::{ExportOptions, ExportedMessages};
use crate::convert::{Report, SourceDetails, SourceList};
use crate::mailbox::maildir::{BaseIndex, Entry, FoundMessage, KeywordTable, MaildirReader, list};
use crate::mailbox::manifest::{ManifestFile, ManifestLocation, MessageName};
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
    /// The From_ lines in the manifest.
    from_lines: Option<Box<[u8]>>,
    /// The UID; 0 for none.
    pub(super) uid: u32,
}

impl SourceMessage {
    /// Returns the sender in the From_ line that the manifest has.
    pub(super) fn recorded_sender(&self) -> Option<&[u8]> {
        let line = self.from_lines.as_ref()?.split_inclusive(|&b| b == b'\n').next()?;
        Some(from_line::parse(line).sender).filter(|sender| !sender.is_empty())
    }
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
        let manifest = OnceLock::new();
        let (listing, recorded) =
            rayon::join(|| files.list(), || read_recorded(path, options.manifest, &manifest));
        let (mut entries, mut findings) = (listing?.messages, Vec::new());
        entries.retain(|entry| !exported.is_some_and(|exported| exported.contains(path, entry)));
        let details = SourceDetails::collect(&files, &entries, context)?;
        let recorded = match recorded {
            Err(error @ Error::Manifest { .. }) => {
                let message = format!("{error}; the messages are in the order of their dates");
                findings.push(Finding::new(Code::ManifestDamaged, message));
                Vec::new()
            }
            recorded => recorded?,
        };
        let SourceList { list, findings: damaged } = SourceList::read(path, options.uids)?;
        findings.extend(damaged);
        let listed: HashMap<&[u8], u32> =
            list.iter().flat_map(|list| &list.entries).map(|entry| (&*entry.name, entry.uid)).collect();
        let ranks = rank(&entries, &recorded);
        let examine = |(entry, rank): (Entry, usize)| {
            let size = files.size(&entry);
            if !files.is_selected(&entry, selection)? {
                return Ok((rank, Err(size)));
            }
            let from_lines = recorded.get(rank).map(|message| Box::from(&*message.from.0));
            let uid = listed.get(entry.parsed().base).copied().unwrap_or(0);
            Ok((rank, Ok(SourceMessage { size, entry, from_lines, uid })))
        };
        let examined: Vec<(usize, Result<SourceMessage, u64>)> =
            entries.into_par_iter().zip(ranks).map(examine).collect::<Result<_>>()?;
        let mut messages: Vec<(usize, SourceMessage)> = Vec::with_capacity(examined.len());
        let (mut not_selected, mut not_selected_bytes) = (0, 0);
        for (rank, examined) in examined {
            match examined {
                Ok(message) => messages.push((rank, message)),
                Err(size) => {
                    (not_selected, not_selected_bytes) = (not_selected + 1, not_selected_bytes + size);
                }
            }
        }
        // Stable: messages of no source stay in the order of date and name. In an mbox, UIDs rise, and messages without
        // one come last.
        messages.par_sort_by_key(|(rank, message)| (message.uid.wrapping_sub(1), *rank));
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

/// Reads the manifest, and returns the messages of closed sections: source after source, each in the order of its
/// source. A source that grew is where its last section is.
fn read_recorded<'m>(
    maildir: &Path,
    location: ManifestLocation<'_>,
    manifest: &'m OnceLock<ManifestFile>,
) -> Result<Vec<MessageName<'m>>> {
    let read = match location {
        ManifestLocation::File(_) => Some(location.read_existing(maildir)?),
        ManifestLocation::InMaildir | ManifestLocation::None => location.read(maildir)?,
    };
    let Some(read) = read else { return Ok(Vec::new()) };
    let manifest = manifest.get_or_init(|| read).parse()?;
    let (outlines, superseded) = (&manifest.sections, manifest.superseded(|_| ()));
    let mut order: Vec<usize> = (0..outlines.len()).filter(|&n| outlines[n].footer.is_some()).collect();
    order.sort_by_key(|&n| superseded[n]);
    Ok(order.into_iter().flat_map(|n| outlines[n].names()).collect())
}

/// Returns the number of the first record of each listed message; `usize::MAX` for none.
fn rank(entries: &[Entry], recorded: &[MessageName<'_>]) -> Vec<usize> {
    let ranks: Vec<AtomicUsize> = entries.iter().map(|_| AtomicUsize::new(usize::MAX)).collect();
    if !recorded.is_empty() {
        let index = BaseIndex::of(entries);
        recorded.par_iter().enumerate().for_each(|(rank, message)| {
            for number in index.find(entries, &message.name.0) {
                ranks[number].fetch_min(rank, Ordering::Relaxed);
            }
        });
    }
    ranks.into_iter().map(AtomicUsize::into_inner).collect()
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
