//! `mailferry verify --against`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use mailferry::mailbox::error::{Error, Result};
use mailferry::mailbox::manifest::{self, FILE_NAME, Head};
use mailferry::mailbox::mbox::read::{self, Ask, Mbox};
use mailferry::mailbox::mbox::status::{Deleted, Labels};
use mailferry::mailbox::mbox::watch::Watch;
use mailferry::mailbox::shown;
use mailferry::mailbox::source::Source;
use mailferry::verify::against::{self, Difference, Options, Verdict};
use mailferry::verify::maildir;
use serde_json::{Value, json};

use super::mailbox_arg::{Format, Mailbox};
use super::open::OpenArgs;
use super::progress::Watcher;
use super::report::{Reporter, Told, grouped};

/// Compares the mailboxes, taken together, with another one, and tells every difference. Returns the
/// verdict and its sentence.
pub fn compare(
    (mailboxes, other): (&[Mailbox], &Mailbox),
    wanted: Wanted,
    open: &OpenArgs,
    (watcher, interrupted): (&Watcher, &AtomicBool),
    reporter: &mut Reporter,
) -> Result<(Verdict, String)> {
    let read = |mailbox: &Mailbox| Opened::of(mailbox, open, watcher, interrupted);
    let here = mailboxes.iter().map(read).collect::<Result<Vec<_>>>()?;
    let there = [read(other)?];
    let (here_mboxes, there_mboxes) = (divided(&here, interrupted)?, divided(&there, interrupted)?);
    let (ours, theirs) = (side(&here, &here_mboxes), side(&there, &there_mboxes));
    let names = match mailboxes {
        [one] => (one.name(), other.name()),
        several => (format!("the {} mailboxes", several.len()), other.name()),
    };
    let (labels, deleted) = as_converted(here.iter().chain(&there));
    let options = Options {
        metadata: wanted.metadata,
        labels: wanted.labels.unwrap_or(labels),
        deleted: wanted.deleted.unwrap_or(deleted),
        now: super::convert::now(),
        from_zone: None,
        interrupted,
    };
    let mut told = Told::default();
    let mut tell = |difference: Difference| {
        let finding = difference.finding(&names.0, &names.1);
        reporter.finding(difference.path(), &finding, keys(&difference), &mut told);
    };
    let verdict = against::compare(&ours, &theirs, &options, watcher, &mut tell);
    reporter.untold(&other.path, told);
    let verdict = verdict?;
    let sentence = verdict.sentence(&names.0, &names.1, grouped);
    Ok((verdict, sentence))
}

/// What the user says of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whether flags and dates are compared.
    pub metadata: bool,
    /// What was made of labels; None: what the manifests say.
    pub labels: Option<Labels>,
    /// What was made of messages that are marked as deleted; likewise.
    pub deleted: Option<Deleted>,
}

/// What convert was told of labels and deleted messages, where all manifests of these mailboxes say the same;
/// else what it does when it is told nothing. A manifest that cannot be read says nothing here: that it is
/// damaged is for verify without --against to say.
fn as_converted<'a>(mailboxes: impl Iterator<Item = &'a Opened>) -> (Labels, Deleted) {
    let manifests = mailboxes.flat_map(|opened| &opened.folders).map(|folder| folder.join(FILE_NAME));
    let heads: Vec<Head> = manifests
        .filter_map(|path| std::fs::read(path).ok())
        .flat_map(|text| manifest::heads(&text))
        .collect();
    let same = |word: fn(&Head) -> Option<&str>| {
        let first = heads.first().and_then(word);
        first.filter(|_| heads.iter().all(|head| word(head) == first))
    };
    let labels = match same(|head| head.labels.as_deref()) {
        Some("ignore" | "folders" | "first") => Labels::Ignore,
        _ => Labels::Keywords,
    };
    let deleted = match same(|head| head.deleted.as_deref()) {
        Some("keep") => Deleted::Keep,
        Some("skip") => Deleted::Skip,
        _ => Deleted::Flag,
    };
    (labels, deleted)
}

/// What a difference has for programs beyond its finding.
fn keys(difference: &Difference) -> Value {
    let sighting = difference.sighting();
    let other = difference.here.as_ref().and(difference.there.as_ref());
    json!({
        "message_id": sighting.message_id,
        "subject": sighting.subject,
        "number": sighting.number,
        "other_path": other.map(|o| shown(&o.path)),
        "other_offset": other.and_then(|o| o.offset),
        "other_line": other.and_then(|o| o.line),
    })
}

/// A mailbox that is at hand: an mbox, or the folders of a Maildir.
struct Opened {
    path: PathBuf,
    source: Option<Source>,
    ask: Ask,
    folders: Vec<PathBuf>,
}

impl Opened {
    fn of(mailbox: &Mailbox, open: &OpenArgs, watcher: &Watcher, interrupted: &AtomicBool) -> Result<Opened> {
        let path = mailbox.path.clone();
        let ask = Ask { variant: mailbox.variant(), ..Ask::default() };
        let is_directory = path.is_dir() && !mailbox.is_standard_stream();
        Ok(if mailbox.format == Some(Format::Maildir) || is_directory {
            Opened { folders: maildir::folders(&path)?, source: None, ask, path }
        } else {
            // Looking leaves nothing behind, not even for a moment.
            let source = open.open(mailbox, interrupted, watcher, true)?;
            Opened { folders: Vec::new(), source: Some(source), ask, path }
        })
    }

    /// The messages of an mbox.
    fn divided(&self, interrupted: &AtomicBool) -> Result<Option<Mbox<'_>>> {
        let Some(source) = &self.source else { return Ok(None) };
        let watch = Watch { scanned: &|_| (), release: &|range| source.release(range), interrupted };
        let read = read::read(source.text(), &self.ask, watch);
        if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        read.map(Some).map_err(|not| Error::NotAMailbox {
            path: self.path.clone(),
            reason: not.reason,
            mend: not.mend,
        })
    }
}

fn divided<'a>(opened: &'a [Opened], interrupted: &AtomicBool) -> Result<Vec<Option<Mbox<'a>>>> {
    opened.iter().map(|opened| opened.divided(interrupted)).collect()
}

fn side<'a>(opened: &'a [Opened], mboxes: &'a [Option<Mbox<'a>>]) -> Vec<against::Mailbox<'a>> {
    let mut side = Vec::new();
    for (opened, mbox) in opened.iter().zip(mboxes) {
        match (&opened.source, mbox) {
            (Some(source), Some(mbox)) => side.push(against::Mailbox::Mbox { source, mbox }),
            _ => side.extend(opened.folders.iter().map(|f| against::Mailbox::Maildir(f))),
        }
    }
    side
}
