//! Real mailboxes from the test suites of fifty projects, in `../shared/corpus`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::*;

/// Mailboxes in which mailferry counts differently from the reference, with the reason.
pub(crate) const DEVIATIONS: [(&str, u64); 1] = [
    // Upstream counts 13: its parser requires a blank line before a separator. The dated From_ line at line
    // 825 has none, and its Received field has the same second. It is a message, so 14.
    ("mail-mbox-messageparser/mailboxes/mailarc-1.txt", 14),
];

#[test]
fn real_mailboxes_have_as_many_messages_as_upstream_counts() {
    let (Some(archive), Some(table)) = (shared("corpus/open.tar.zst"), shared("corpus/EXPECTED.tsv")) else {
        return;
    };
    let scratch = scratch();
    let unpacked = scratch.path().join("corpus");
    let packed = zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    tar::Archive::new(packed).unpack(&unpacked).unwrap();
    let files: Vec<PathBuf> =
        tree(&unpacked).into_iter().filter(|(_, l)| !l.digest.is_empty()).map(|(path, _)| path).collect();
    assert!(files.len() > 1000, "{} files", files.len());

    let expected = expected(&fs::read_to_string(table).unwrap());
    assert!(expected.len() > 300, "{} counts", expected.len());
    let counts = Mutex::new(HashMap::new());
    each_in_parallel(&files, |file| {
        let found = read(&unpacked.join(file), &scratch.path().join("Maildir"));
        counts.lock().unwrap().insert(file.to_str().unwrap().to_owned(), found);
    });

    let counts = counts.into_inner().unwrap();
    let mut wrong: Vec<String> = Vec::new();
    for (file, count) in &expected {
        let deviation = DEVIATIONS.iter().find(|(name, _)| name == file).map(|(_, ours)| *ours);
        // A refusal is not a count; it reports that there is no mail.
        let found = counts.get(file).unwrap_or_else(|| panic!("{file} is not in the archive")).unwrap_or(0);
        if found != deviation.unwrap_or(*count) {
            wrong.push(format!("{file}: {found} messages, not {count}"));
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the counts that are reliable enough to be required.
pub(crate) fn expected(table: &str) -> HashMap<String, u64> {
    let rows = table.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| matches!(row[3], "upstream-test" | "consensus" | "derived-oracle"))
        .map(|row| (row[0].to_owned(), row[1].parse().unwrap_or_else(|_| panic!("{row:?}"))))
        .collect()
}

fn each_in_parallel(files: &[PathBuf], work: impl Fn(&Path) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(file);
                }
            });
        }
    });
}

/// Returns the number of messages, or None if the file is refused.
fn read(file: &Path, maildir: &Path) -> Option<u64> {
    let run =
        run(convert_command([OsStr::new("-n"), OsStr::new("-j1"), file.as_os_str(), maildir.as_os_str()]));
    assert!(!run.stderr.contains("a bug in mailferry"), "{file:?}: {}", run.stderr);
    assert!(matches!(run.code, Some(0..=3)), "{file:?}: {run:?}");
    let summary = run.summary();
    match run.code {
        Some(3) => {
            assert!(run.complaints().contains(&"not-a-mailbox".to_owned()), "{file:?}: {}", run.stderr);
            None
        }
        _ => {
            let size = fs::metadata(file).unwrap().len();
            let compressed = size > 0 && count(&summary, "bytes_source") != size;
            assert!(!compressed || is_packed(file), "{file:?}: {summary}");
            Some(count(&summary, "messages_found"))
        }
    }
}

fn is_packed(file: &Path) -> bool {
    matches!(
        fs::read(file).unwrap()[..],
        [0x1f, 0x8b, ..] | [b'B', b'Z', b'h', ..] | [0xfd, b'7', ..] | [0x28, 0xb5, ..] | [b'P', b'K', ..]
    )
}
