//! Concurrent deliveries into one Maildir, a third of them killed at a random moment. Every message reported
//! as delivered is there once and complete, nothing else is left, and the quota's sum is correct.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::deliver_quota::{new_maildir, sums};
use crate::support::*;
use crate::trial::random;

const AT_ONCE: usize = 16;
/// Messages are smaller than a pipe, so that the test can write one before its delivery reads it.
const LARGEST: u64 = 30_000;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Exit(i32),
    Killed,
}

/// Returns message n: its number, then bytes that no other message has.
fn message(n: usize) -> Vec<u8> {
    let mut message = format!("Subject: {n}\n\n").into_bytes();
    let size = 40 + random("size", n, LARGEST);
    let mut words = blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof();
    let mut word = [0; 16];
    while (message.len() as u64) < size {
        words.fill(&mut word);
        writeln!(message, "{:032x}", u128::from_le_bytes(word)).unwrap();
    }
    message
}

/// Returns the number of a complete message.
fn number(bytes: &[u8]) -> Option<usize> {
    let line = bytes.strip_prefix(b"Subject: ")?.split(|&b| b == b'\n').next()?;
    let n = std::str::from_utf8(line).ok()?.parse().ok()?;
    (bytes == message(n)).then_some(n)
}

fn start(maildir: &Path, quota: &str, n: usize) -> Child {
    let mut command = mailferry(["deliver", "--quota", quota]);
    command.arg(maildir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&message(n)).unwrap();
    child
}

/// Kills it when its file is in tmp/, or a moment later: while it writes, waits for its turn, links or
/// counts.
fn kill_while_it_writes(child: &mut Child, maildir: &Path, n: usize) {
    let own = format!("P{}R", child.id());
    let is_there = || {
        let names = fs::read_dir(maildir.join("tmp")).unwrap().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().contains(&own))
    };
    while child.try_wait().unwrap().is_none() {
        if is_there() {
            let moment = Instant::now() + Duration::from_micros(random("moment", n, 600));
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            return child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Delivers this many messages, and returns how each delivery ended.
fn deliver_all(maildir: &Path, quota: &str, count: usize) -> Vec<End> {
    let next = AtomicUsize::new(0);
    let ends = Mutex::new(vec![End::Killed; count]);
    // Usual duration of a delivery, in microseconds.
    let usual = AtomicU64::new(20_000);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let started = Instant::now();
                    let mut child = start(maildir, quota, n);
                    // Some end before they are killed. About a third of all is killed in time.
                    match random("victim", n, 10) {
                        0..5 => {
                            let within = usual.load(Ordering::Relaxed);
                            std::thread::sleep(Duration::from_micros(random("moment", n, within)));
                            child.kill().unwrap();
                        }
                        5..8 => kill_while_it_writes(&mut child, maildir, n),
                        _ => {}
                    }
                    let output = child.wait_with_output().unwrap();
                    let end = output.status.code().map_or(End::Killed, End::Exit);
                    if end == End::Exit(0) {
                        let (took, before) =
                            (started.elapsed().as_micros() as u64, usual.load(Ordering::Relaxed));
                        usual.store((before * 7 + took) / 8, Ordering::Relaxed);
                    }
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    assert!(matches!(end, End::Killed | End::Exit(0 | 77)), "{end:?}: {stderr}");
                    ends.lock().unwrap()[n] = end;
                }
            });
        }
    });
    ends.into_inner().unwrap()
}

/// The contents of a Maildir afterwards.
struct After {
    maildir: PathBuf,
    /// How often each message is there.
    there: BTreeMap<usize, usize>,
    bytes: i64,
}

impl After {
    /// Reads the Maildir. Every file in new/ must be a complete message.
    fn of(maildir: &Path) -> After {
        let (mut there, mut bytes) = (BTreeMap::new(), 0);
        for file in fs::read_dir(maildir.join("new")).unwrap() {
            let path = file.unwrap().path();
            let content = fs::read(&path).unwrap();
            let n = number(&content)
                .unwrap_or_else(|| panic!("{path:?} is not complete: {} bytes", content.len()));
            *there.entry(n).or_default() += 1;
            bytes += content.len() as i64;
        }
        After { maildir: maildir.to_owned(), there, bytes }
    }

    #[track_caller]
    fn matches(&self, ends: &[End]) {
        let twice: Vec<_> = self.there.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "there twice: {twice:?}");
        for (n, end) in ends.iter().enumerate() {
            let is_there = self.there.contains_key(&n);
            assert!(is_there || *end != End::Exit(0), "message {n} was reported as delivered and is missing");
            assert!(!is_there || *end != End::Exit(77), "message {n} was refused and is there");
        }
        assert!(self.there.len() <= ends.len());
        let killed = ends.iter().filter(|end| **end == End::Killed).count();
        let left = fs::read_dir(self.maildir.join("tmp")).unwrap().count();
        assert!(left <= killed, "{left} files in tmp/, {killed} were killed");
        assert_eq!(fs::read_dir(self.maildir.join("cur")).unwrap().count(), 0);
    }

    /// Asserts that the sum is correct, unless the last process to change it was killed and left a mark.
    #[track_caller]
    fn agrees_with_quota(&self) {
        let text = fs::read_to_string(self.maildir.join("maildirsize")).unwrap();
        let (_, bytes, messages) = sums(&text);
        assert_eq!((bytes, messages), (self.bytes, self.there.len() as i64), "{text}");
        let mut verify = mailferry(["verify", "--json", "--quick"]);
        verify.arg(&self.maildir);
        let findings = run(verify).exits(0).findings();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    fn is_marked(&self) -> bool {
        self.maildir.join("mailferry.counting").exists()
    }
}

fn report(what: &str, ends: &[End], after: &After, started: Instant) {
    let times = |end: End| ends.iter().filter(|e| **e == end).count();
    let (safe, refused, killed) = (times(End::Exit(0)), times(End::Exit(77)), times(End::Killed));
    let left = fs::read_dir(after.maildir.join("tmp")).unwrap().count();
    note!(
        "{what}: {} deliveries, {AT_ONCE} at once: {safe} safe, {refused} refused, {killed} killed, of which {} had \
         delivered and {left} left a file in tmp/; {:.1} s",
        ends.len(),
        after.there.len() - safe,
        started.elapsed().as_secs_f64()
    );
    // The machine decides how many kills come in time. Without some the test shows nothing.
    assert!(killed * 50 > ends.len(), "too few were killed in time: {killed}");
}

#[test]
fn killed_concurrent_deliveries_leave_a_correct_sum() {
    let count = samples(1000, 1500, 20_000);
    let (scratch, started) = (scratch(), Instant::now());
    let maildir = scratch.path().join("Maildir");
    new_maildir(&maildir);
    let quota = "100000000000S,1000000C";
    let mut ends = deliver_all(&maildir, quota, count);
    let after = After::of(&maildir);
    after.matches(&ends);
    if !after.is_marked() {
        after.agrees_with_quota();
    }
    report("a large quota", &ends, &after, started);
    // The next delivery repairs what the last one left.
    let last = start(&maildir, quota, count).wait_with_output().unwrap();
    assert!(last.status.success());
    ends.push(End::Exit(0));
    let after = After::of(&maildir);
    after.matches(&ends);
    assert!(!after.is_marked());
    after.agrees_with_quota();
}

#[test]
fn concurrent_deliveries_fill_a_quota_and_never_exceed_it() {
    let count = samples(300, 300, 3000);
    let limit = count / 3;
    let (scratch, started) = (scratch(), Instant::now());
    let maildir = scratch.path().join("Maildir");
    new_maildir(&maildir);
    let quota = format!("{limit}C");
    let ends = deliver_all(&maildir, &quota, count);
    let after = After::of(&maildir);
    after.matches(&ends);
    report("a small quota", &ends, &after, started);
    assert_eq!(after.there.len(), limit);
    assert!(ends.contains(&End::Exit(77)));
    let last = start(&maildir, &quota, count).wait_with_output().unwrap();
    assert_eq!(last.status.code(), Some(77), "{last:?}");
    assert!(!after.is_marked());
    after.agrees_with_quota();
}
