//! Concurrent deliveries into one mbox, a third of them killed at a random moment, while a reader uses the
//! same locks. No delivered message is missing, doubled or damaged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use crate::trial::random;

const DELIVERERS: usize = 16;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    Killed,
}

#[test]
fn killed_concurrent_deliveries_leave_an_mbox_intact() {
    let count = samples(1_000, 2_000, 20_000);
    let scratch = scratch();
    let path = scratch.path().join("inbox");
    let (next, ends) = (AtomicUsize::new(0), Mutex::new(vec![End::Killed; count]));
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| reads_along(&path, &over));
        let deliverers: Vec<_> = (0..DELIVERERS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return;
                        }
                        let end = deliver(&path, n);
                        ends.lock().unwrap()[n] = end;
                    }
                })
            })
            .collect();
        let done: Vec<_> = deliverers.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Relaxed);
        let reads = reader.join().unwrap();
        assert!(done.iter().all(Result::is_ok), "a deliverer has failed");
        reads
    });
    let ends = ends.into_inner().unwrap();
    let took = started.elapsed();
    // The next delivery closes what a killed one left, and removes its lock.
    run_with_stdin(command(&path), message(count)).exits(0);
    assert_eq!(names(scratch.path()), ["inbox"]);

    let (copies, partial) = found(&fs::read(&path).unwrap());
    let killed = ends.iter().filter(|end| **end == End::Killed).count();
    for (n, end) in ends.iter().enumerate() {
        let copies = copies.get(&n).copied().unwrap_or(0);
        match end {
            End::Delivered => assert_eq!(copies, 1, "message {n}, which was said to be delivered"),
            End::Killed => assert!(copies <= 1, "message {n}, which was killed"),
        }
    }
    assert!(partial.len() <= killed && partial.iter().all(|n| n.is_none_or(|n| ends[n] == End::Killed)));
    let there = copies.values().sum::<usize>() - 1 - (count - killed);
    note!(
        "{count} deliveries into one mbox by {DELIVERERS} at once in {took:.0?}: {} delivered, {killed} killed \
         ({there} of them after all was written, {} midway), read {reads} times",
        count - killed,
        partial.len()
    );
    // The machine decides how many kills come in time. Without some the test shows nothing.
    assert!(killed * 50 > count && reads > 0, "{killed} killed, {reads} reads");
    // mailferry's own reader finds the same messages.
    let listed = run(mailferry(["inspect", "--json", path.to_str().unwrap()])).exits(0);
    let listed = listed.json().iter().filter(|object| object["type"] == "message").count();
    assert_eq!(listed, copies.values().sum::<usize>() + partial.len());
}

/// Returns message n: small, or several pages, or more than one write.
fn message(n: usize) -> Vec<u8> {
    let words = match n % 200 {
        7 => 400_000,
        _ => random("size", n, 3000) as usize / if n.is_multiple_of(3) { 1 } else { 30 },
    };
    let mut mail = format!("Subject: number {n}\nFrom: ada@example.org\n\nFrom here on\n");
    for word in 0..words {
        mail.push_str(if word % 12 == 11 { "word\n" } else { "word " });
    }
    mail.push_str(&format!(">From number {n} the end"));
    mail.into_bytes()
}

fn command(path: &Path) -> Command {
    let mut command = Command::new(BINARY);
    let mailbox = format!("mbox:{}", path.display());
    command.args(["deliver", "--create", "--lock-timeout=600", &mailbox]).env_clear();
    command
}

/// Delivers message n. Every second delivery is killed; two of three kills come in time.
fn deliver(path: &Path, n: usize) -> End {
    let mut command = command(path);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A killed delivery may not read its input to the end.
    let _ = stdin.write_all(&message(n));
    drop(stdin);
    let killer = n % 2 == 1;
    if killer {
        // Some are killed at any moment, some while they hold the lock, which names its process.
        let (lock, ours) = (path.with_file_name("inbox.lock"), format!("{} ", child.id()));
        let has_lock = || fs::read_to_string(&lock).is_ok_and(|text| text.starts_with(&ours));
        let any_moment = n % 8 != 3 && n % 200 != 7;
        while !any_moment && !has_lock() && child.try_wait().unwrap().is_none() {}
        let most = if any_moment { 2_500 } else { 300 };
        std::thread::sleep(Duration::from_micros(random("kill", n, most)));
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    match output.status.code() {
        Some(0) => End::Delivered,
        None if killer => End::Killed,
        _ => panic!("message {n}: {output:?}"),
    }
}

/// Reads repeatedly, as a mail reader does: under a dot-lock and an fcntl lock. Existing bytes never change.
fn reads_along(path: &Path, over: &AtomicBool) -> usize {
    let lock = path.with_file_name("inbox.lock");
    let (mut before, mut reads) = (Vec::new(), 0);
    let mut took = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        // A larger mbox takes longer to read under the lock, so it is read less often.
        std::thread::sleep(Duration::from_millis(100).max(took * 10));
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut mine = false;
        while !mine && Instant::now() < deadline && !over.load(Ordering::Relaxed) {
            mine = File::options().write(true).create_new(true).open(&lock).is_ok();
            std::thread::sleep(Duration::from_micros(if mine { 0 } else { 300 }));
        }
        if !mine {
            continue;
        }
        let started = Instant::now();
        if let Ok(mut file) = File::open(path) {
            rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockShared).unwrap();
            let mut now = Vec::new();
            file.read_to_end(&mut now).unwrap();
            assert!(now.starts_with(&before), "what was there has changed");
            if reads % 8 == 0 {
                found(&now);
            }
            before = now;
            reads += 1;
        }
        fs::remove_file(&lock).unwrap();
        took = started.elapsed();
    }
    reads
}

/// Returns how often each message is there, and which are partial. Panics at anything else.
fn found(mbox: &[u8]) -> (BTreeMap<usize, usize>, Vec<Option<usize>>) {
    let text = std::str::from_utf8(mbox).unwrap();
    let starts: Vec<usize> = text
        .match_indices("From ")
        .filter(|(at, _)| *at == 0 || text.as_bytes()[at - 1] == b'\n')
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let (mut copies, mut partial) = (BTreeMap::new(), Vec::new());
    for (k, window) in starts.windows(2).enumerate() {
        let chunk = &text[window[0]..window[1]];
        let content = chunk.split_once('\n').map_or("", |(_, content)| content);
        let number = content.strip_prefix("Subject: number ").and_then(|rest| rest.split_once('\n'));
        let number = number.and_then(|(number, _)| number.parse().ok());
        let whole = number.map(|n| {
            let mail = String::from_utf8(message(n)).unwrap();
            format!("{}\n\n", mail.replace("\n>From ", "\n>>From ").replace("\nFrom ", "\n>From "))
        });
        let is_last = k + 2 == starts.len();
        match (&whole, number) {
            (Some(whole), Some(n)) if content == whole => *copies.entry(n).or_default() += 1,
            (Some(whole), n) => {
                // Cut off by a kill, and closed by the next delivery, if there was one.
                let cut = content.trim_end_matches('\n');
                assert!(whole.starts_with(cut), "message {n:?} is damaged: {cut:.200}");
                assert!(is_last || chunk.ends_with("\n\n"), "{n:?} is glued to");
                partial.push(n);
            }
            (None, _) => {
                let cut = content.trim_end_matches('\n');
                assert!(
                    "Subject: number ".starts_with(cut) || cut.starts_with("Subject: number "),
                    "{cut:.200}"
                );
                assert!(is_last || chunk.ends_with("\n\n"), "glued to: {chunk:.200}");
                partial.push(None);
            }
        }
    }
    (copies, partial)
}
