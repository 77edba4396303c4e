//! Verification of Maildirs together: a message that moved from one to another is not gone.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{FileOptions, MessageFile, OpenFolder};
use super::folder_names::check_folder_names;
use super::maildir::{MaildirCheck, is_reachable};
use super::manifest::{self, CheckedManifests, FoundFiles, LoadedManifest, MaildirManifests, MessageFiles};
use super::options::VerifyOptions;
use super::repair::{REPAIR_COMMAND, repair_remedy};
use super::report::{FolderSummary, VerifyReport, raise_damage};
use crate::mailbox::fs::{archived, files};
use crate::mailbox::maildir::{Entry, FolderVersion, KeywordTable, MaildirReader, NoMessage};
use crate::mailbox::mbox::boundary_summary::BoundarySummary;
use crate::mailbox::{Code, Context, Error, Finding, Phase, Result};

/// Listings of all folders in search of a message, while messages move between folders.
const ROUNDS: usize = 5;

/// The outcome for one Maildir.
pub(crate) struct MaildirOutcome {
    pub path: PathBuf,
    pub report: Result<VerifyReport>,
}

/// Verifies one Maildir.
///
/// # Errors
/// [`Error::NotAMailbox`], [`Error::Io`] where directories cannot be listed, [`Error::Interrupted`].
pub(crate) fn verify_maildir(
    path: &Path,
    options: &VerifyOptions<'_>,
    context: &Context<'_>,
) -> Result<VerifyReport> {
    let outcomes = verify_maildirs(&[path.to_owned()], options, context)?;
    let no_maildir = || Err(Error::not_a_mailbox(path, "it is not a Maildir"));
    outcomes.into_iter().next().map_or_else(no_maildir, |outcome| outcome.report)
}

/// Verifies the Maildirs of a tree. A Maildir among the folders of an earlier one is verified with that one, and has no
/// outcome of its own.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn verify_maildirs(
    paths: &[PathBuf],
    options: &VerifyOptions<'_>,
    context: &Context<'_>,
) -> Result<Vec<MaildirOutcome>> {
    let mut run = Run {
        options,
        context,
        maildirs: Vec::new(),
        failed: Vec::new(),
        folders: Vec::new(),
        messages: Vec::new(),
    };
    run.find_maildirs(paths);
    run.check_messages()?;
    let (removed, found) = run.find_moved()?;
    let checked = run.check_manifests(&removed, found)?;
    let Run { maildirs, failed, folders, messages, .. } = run;
    let outcomes = maildirs.into_iter().zip(checked).map(|(maildir, checked)| {
        let (path, own) = (maildir.path.clone(), in_folders(&messages, &maildir.folders));
        let report = maildir.into_report(checked, &folders, own);
        MaildirOutcome { path, report }
    });
    Ok(outcomes.chain(failed).collect())
}

/// Returns the messages in these folders. They are sorted by folder.
fn in_folders<'a>(messages: &'a [MessageFile], folders: &Range<usize>) -> &'a [MessageFile] {
    let first = messages.partition_point(|message| message.folder() < folders.start);
    let end = messages.partition_point(|message| message.folder() < folders.end);
    &messages[first..end]
}

/// Returns the Maildir of a folder, by the position of the folder.
fn maildir_of(maildirs: &mut [Maildir], folder: usize) -> &mut Maildir {
    let n = maildirs.partition_point(|maildir| maildir.folders.end <= folder);
    &mut maildirs[n]
}

/// A Maildir with its folders, while it is verified.
struct Maildir {
    path: PathBuf,
    /// The positions of its folders among all folders, itself first.
    folders: Range<usize>,
    manifests: Vec<LoadedManifest>,
    file_options: FileOptions,
    check: MaildirCheck,
    /// The reason that it cannot be verified.
    error: Option<Error>,
}

struct Run<'a> {
    options: &'a VerifyOptions<'a>,
    context: &'a Context<'a>,
    maildirs: Vec<Maildir>,
    /// Maildirs that could not be opened.
    failed: Vec<MaildirOutcome>,
    /// The folders of all Maildirs.
    folders: Vec<PathBuf>,
    /// The messages of all folders.
    messages: Vec<MessageFile>,
}

impl Run<'_> {
    /// Finds the folders and the manifests of each Maildir.
    fn find_maildirs(&mut self, paths: &[PathBuf]) {
        let mut known = HashSet::new();
        for path in paths {
            if known.contains(path) {
                continue;
            }
            let (first, mut check) = (self.folders.len(), MaildirCheck::default());
            let found = check.find_folders(path).and_then(|found| {
                let manifests = manifest::load(&found, first, self.options, &mut check.findings)?;
                Ok((found, manifests, self.file_options(path)?))
            });
            match found {
                Ok((found, manifests, file_options)) => {
                    known.extend(found.iter().cloned());
                    self.folders.extend(found);
                    let (path, folders) = (path.clone(), first..self.folders.len());
                    self.maildirs.push(Maildir {
                        path,
                        folders,
                        manifests,
                        file_options,
                        check,
                        error: None,
                    });
                }
                Err(error) => self.failed.push(MaildirOutcome { path: path.clone(), report: Err(error) }),
            }
        }
        let hashes = self.maildirs.iter().any(|maildir| !maildir.manifests.is_empty());
        self.maildirs.iter_mut().for_each(|maildir| maildir.file_options.hashes = hashes);
    }

    fn file_options(&self, path: &Path) -> Result<FileOptions> {
        let root = files::metadata(path).map_err(Error::io("look at", path))?;
        Ok(FileOptions {
            depth: self.options.depth,
            owner: root.uid(),
            reachable: root.mode() & 0o001 != 0 && is_reachable(path)?,
            hashes: false,
            now: self.context.now,
        })
    }

    /// Lists all folders, and then checks their messages.
    fn check_messages(&mut self) -> Result<()> {
        let Run { folders, maildirs, messages, context, .. } = self;
        let mut listings = Vec::new();
        for maildir in maildirs {
            let Maildir { check, file_options, .. } = maildir;
            let list = |n: usize| check.list(&folders[n], file_options, context);
            match maildir.folders.clone().map(list).collect::<Result<Vec<_>>>() {
                Ok(listing) => listings.push((maildir, listing)),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => maildir.error = Some(error),
            }
        }
        // Before the files are opened, only their names give sizes.
        let size = |entry: &Entry| entry.parsed().field(b'S').unwrap_or(0);
        let entries = listings.par_iter().flat_map(|(_, listing)| listing.par_iter().flatten());
        context.events.begin(Phase::Reading, entries.map(size).sum());
        messages.reserve_exact(listings.iter().flat_map(|(_, listing)| listing).map(Vec::len).sum());
        for (maildir, listing) in listings {
            for (n, entries) in maildir.folders.clone().zip(listing) {
                match OpenFolder::open(n, &folders[n], &maildir.file_options, context.now) {
                    Ok(folder) => maildir.check.check_messages(&folder, entries, messages, context)?,
                    Err(error) => maildir.error = Some(error),
                }
            }
        }
        Ok(())
    }

    /// Looks for the messages that were removed from their folder since it was listed, and for those of the manifests
    /// that no listing has, and checks those that it finds. A message that was moved after its new folder and before
    /// its old one was listed is in neither listing. Returns the base names of messages that were removed, and the files
    /// of the manifests.
    fn find_moved(&mut self) -> Result<(HashSet<Vec<u8>>, FoundFiles)> {
        let mut files = self.find_files();
        let (listed, mut wanted) = (self.messages.len(), files.missing_names(self.manifests()));
        let mut removed = self.take_removed();
        wanted.extend(removed.iter().map(|(_, entry)| entry.parsed().base.to_vec()));
        for _ in 0..ROUNDS {
            if wanted.is_empty() {
                break;
            }
            let (before, found) = (self.versions(), self.list(&wanted)?);
            let with_wanted_name = self.messages.iter().filter(|m| wanted.contains(m.parsed().base));
            let known: HashSet<(usize, Vec<u8>)> =
                with_wanted_name.map(|m| (m.folder(), m.parsed().base.to_vec())).collect();
            for (n, mut entries) in found {
                entries.retain(|entry| !known.contains(&(n, entry.parsed().base.to_vec())));
                let Maildir { check, file_options, .. } = maildir_of(&mut self.maildirs, n);
                let Ok(folder) = OpenFolder::open(n, &self.folders[n], file_options, self.context.now) else {
                    continue;
                };
                let known = self.messages.len();
                check.check_messages(&folder, entries, &mut self.messages, self.context)?;
                self.messages[known..].iter().for_each(|message| {
                    wanted.remove(message.parsed().base);
                });
            }
            // Nothing moved while all folders were listed: what is not there is gone.
            if self.versions() == before {
                break;
            }
        }
        removed.append(&mut self.take_removed());
        removed.retain(|(_, entry)| wanted.contains(entry.parsed().base));
        removed.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
        removed.dedup_by(|(a, one), (b, other)| a == b && one.parsed().base == other.parsed().base);
        for (n, entry) in &removed {
            let finding = NoMessage::Removed.finding(entry.path(&self.folders[*n]));
            maildir_of(&mut self.maildirs, *n).check.findings.push(finding);
        }
        let mut names: HashSet<Vec<u8>> =
            removed.into_iter().map(|(_, entry)| entry.parsed().base.to_vec()).collect();
        // A message may be in several folders.
        if !names.is_empty() {
            self.messages.iter().for_each(|message| {
                names.remove(message.parsed().base);
            });
        }
        if self.messages.len() > listed {
            self.messages.sort_by_key(MessageFile::folder);
            files = self.find_files();
        }
        Ok((names, files))
    }

    fn find_files(&self) -> FoundFiles {
        FoundFiles::find(self.manifests(), &self.messages, self.options.depth)
    }

    fn manifests(&self) -> impl Iterator<Item = &LoadedManifest> {
        self.maildirs.iter().flat_map(|maildir| &maildir.manifests)
    }

    /// Returns the messages that were removed from a folder since it was listed, with its position.
    fn take_removed(&mut self) -> Vec<(usize, Entry)> {
        self.maildirs.iter_mut().flat_map(|maildir| std::mem::take(&mut maildir.check.removed)).collect()
    }

    /// Returns the versions of all folders. The check of a folder reports what cannot be read.
    fn versions(&self) -> Vec<Option<FolderVersion>> {
        let version = |folder: &PathBuf| MaildirReader::open_readable(folder, self.context.now)?.version();
        self.folders.iter().map(|folder| version(folder).ok()).collect()
    }

    /// Lists the messages with these base names in each folder.
    fn list(&self, wanted: &HashSet<Vec<u8>>) -> Result<Vec<(usize, Vec<Entry>)>> {
        let list = |folder: &PathBuf| MaildirReader::open_readable(folder, self.context.now)?.list();
        let mut found = Vec::new();
        for (n, folder) in self.folders.iter().enumerate() {
            self.context.cancel.check()?;
            let Ok(listing) = list(folder) else { continue };
            let mut entries = listing.messages;
            entries.retain(|entry| wanted.contains(entry.parsed().base));
            if !entries.is_empty() {
                found.push((n, entries));
            }
        }
        Ok(found)
    }

    /// Compares the messages with the manifests of all Maildirs. Returns the outcome for each Maildir.
    fn check_manifests(
        &mut self,
        removed: &HashSet<Vec<u8>>,
        found: FoundFiles,
    ) -> Result<Vec<CheckedManifests>> {
        for Maildir { path, manifests, check, error, .. } in &mut self.maildirs {
            let listed = check.check_folder_list(path, manifests);
            *error = error.take().or(listed.err());
        }
        let is_needed = self.manifests().next().is_some();
        let mut keywords = vec![KeywordTable::default(); self.folders.len()];
        for maildir in self.maildirs.iter_mut().filter(|_| is_needed) {
            for n in maildir.folders.clone() {
                match KeywordTable::read(&self.folders[n]) {
                    Ok(table) => keywords[n] = table,
                    Err(error) => maildir.error = Some(error),
                }
            }
        }
        let manifests: Vec<MaildirManifests<'_>> = self.maildirs.iter().map(Maildir::manifests).collect();
        let files = MessageFiles { folders: &self.folders, messages: &mut self.messages, keywords, removed };
        manifest::check(&manifests, files, found, self.options, self.context)
    }
}

impl Maildir {
    fn manifests(&self) -> MaildirManifests<'_> {
        let is_lost = |finding: &Finding| matches!(finding.code, Code::ManifestDamaged | Code::ManifestGone);
        MaildirManifests {
            root: &self.path,
            folders: self.folders.clone(),
            manifests: &self.manifests,
            is_lost: self.check.findings.iter().any(is_lost),
        }
    }

    /// Checks the Maildir as a whole, and returns its report.
    fn into_report(
        self,
        checked: CheckedManifests,
        folders: &[PathBuf],
        messages: &[MessageFile],
    ) -> Result<VerifyReport> {
        let Maildir { path, folders: own, mut check, error, .. } = self;
        error.map_or(Ok(()), Err)?;
        check.check_duplicates(folders, messages);
        check.check_maildirsize(&path, folders, messages)?;
        check.findings.extend(check_folder_names(&path)?);
        check.findings.extend(checked.findings);
        check.findings.extend(messages.iter().filter(|m| !m.matches).filter_map(|m| {
            let message = "a From_ line with a header after it: a second message may be in this file";
            Some(Finding::at(Code::MessageFromInside, m.inner_message()?, message).in_file(m.path(folders)))
        }));
        let MaildirCheck { mut findings, mut steps, refused, .. } = check;
        findings.extend(
            refused.into_iter().map(|error| Finding::from(&error).in_file(error.path().unwrap_or(&path))),
        );
        raise_damage(&mut findings);
        findings.sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
        // The mailbox is repaired, not a file in it.
        for finding in findings.iter_mut().filter(|finding| finding.hint.as_deref() == Some(REPAIR_COMMAND)) {
            finding.hint = Some(repair_remedy(&path).into());
        }
        if archived::is_member(&path) {
            steps.clear();
        }
        let folders = summarize(&folders[own.clone()], own.start, messages);
        Ok(VerifyReport {
            path,
            folders,
            findings,
            steps,
            sources: checked.sources,
            boundaries: BoundarySummary::default(),
        })
    }
}

/// Counts the messages of each folder. The first folder is at the position `first` among all.
fn summarize(folders: &[PathBuf], first: usize, messages: &[MessageFile]) -> Vec<FolderSummary> {
    let new = |path: &PathBuf| FolderSummary { path: path.clone(), messages: 0, bytes: 0, variant: None };
    let mut summaries: Vec<FolderSummary> = folders.iter().map(new).collect();
    for message in messages {
        summaries[message.folder() - first].messages += 1;
        summaries[message.folder() - first].bytes += message.size;
    }
    summaries
}
