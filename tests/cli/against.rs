//! Is it the same mail? What convert has written is; and any two mailboxes at all can be compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mailferry::convert::{Phase, Progress};
use mailferry::mailbox::lock::Wanted;
use mailferry::mailbox::mbox::read::{self, Ask};
use mailferry::mailbox::mbox::watch::Watch;
use mailferry::mailbox::source::{Source, Spooling};
use mailferry::verify::against::{Mailbox, Options, Verdict, compare};

use crate::support::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

struct Nobody;

impl Progress for Nobody {
    fn begin(&self, _: Phase, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
}

/// Calls `with` with the mailbox at this path; None where there is none.
fn opened<T>(path: &Path, with: impl FnOnce(Mailbox<'_>) -> T) -> Option<T> {
    if path.is_dir() {
        return Some(with(Mailbox::Maildir(path)));
    }
    let lock = Wanted { methods: vec![], timeout: Duration::ZERO, pid: 1, host: "h".into() };
    let spool = std::env::temp_dir();
    let spooling = Spooling { dir: &spool, limit: None, interrupted: &GO_ON, progress: &|_| () };
    let source = Source::open(path, &lock, &spooling).unwrap();
    let mbox = read::read(source.text(), &Ask::default(), Watch::nobody()).ok()?;
    Some(with(Mailbox::Mbox { source: &source, mbox: &mbox }))
}

/// The verdict and what was told; None where one of the two is no mailbox.
fn compared(here: &Path, there: &Path) -> Option<(Verdict, Vec<String>)> {
    let mut told = Vec::new();
    let mut tell = |difference: mailferry::verify::against::Difference| {
        told.push(difference.finding("here", "there").message.into_owned())
    };
    let options = Options { metadata: true, now: 1_900_000_000, from_zone: None, interrupted: &GO_ON };
    let verdict = opened(here, |here| {
        opened(there, |there| compare(&[here], &[there], &options, &Nobody, &mut tell).unwrap())
    });
    Some((verdict??, told))
}

fn hostile() -> Option<Vec<PathBuf>> {
    let hard = fs::read_dir(shared("hard")?).unwrap().map(|file| file.unwrap().path());
    Some(hard.filter(|path| path.extension().is_some_and(|e| e == "mbox")).collect())
}

#[test]
fn what_was_converted_is_the_same_mail_and_a_lost_message_is_found() {
    let Some(files) = hostile() else { return };
    assert!(files.len() > 20, "{} files", files.len());
    for file in files {
        let scratch = scratch();
        let maildir = scratch.path().join("Maildir");
        // The place may be one where nobody may write.
        let args = [Path::new("--lock=none").as_os_str(), file.as_os_str(), maildir.as_os_str()];
        if run(convert_command(args)).code != Some(0) {
            continue;
        }
        let path = file.display();
        let (verdict, told) = compared(&file, &maildir).unwrap();
        assert_eq!((verdict.same, verdict.rewritten, &told[..]), (verdict.here, 0, &[][..]), "{path}");
        let (verdict, told) = compared(&maildir, &file).unwrap();
        assert_eq!((verdict.same, verdict.rewritten, &told[..]), (verdict.there, 0, &[][..]), "{path}");
        for message in messages(&maildir) {
            let lost = maildir.join(&message.path);
            fs::rename(&lost, scratch.path().join("lost")).unwrap();
            let (verdict, told) = compared(&file, &maildir).unwrap();
            assert_eq!((verdict.missing, verdict.extra, told.len()), (1, 0, 1), "{path}: {told:?}");
            fs::rename(scratch.path().join("lost"), &lost).unwrap();
        }
    }
}

#[test]
fn any_two_hostile_mailboxes_can_be_compared_and_every_message_counts_once() {
    let Some(files) = hostile() else { return };
    for here in &files {
        for there in &files {
            // The sums are asserted inside.
            let Some((verdict, told)) = compared(here, there) else { continue };
            let pairs = verdict.here - verdict.missing;
            assert_eq!(pairs, verdict.there - verdict.extra);
            assert!(verdict.same == pairs && verdict.missing + verdict.extra == 0 || !told.is_empty());
            assert!(here != there || told.is_empty(), "{}: {told:?}", here.display());
        }
    }
}
