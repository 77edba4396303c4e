//! A mailbox in use: a first run while other programs write to it, a second one under lock.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::support::*;

/// Appends a message as a delivery does: under a dot-lock and an fcntl lock, and in two halves.
fn append(mbox: &Path, n: u32) {
    let lock = mbox.with_extension("lock");
    while File::options().write(true).create_new(true).open(&lock).is_err() {
        std::thread::sleep(Duration::from_micros(200));
    }
    let mut file = File::options().append(true).open(mbox).unwrap();
    let exclusive = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::fcntl_lock(&file, exclusive).unwrap();
    let mail = format!("{}\n", mail(n));
    let (one, other) = mail.split_at(mail.len() / 2);
    file.write_all(one.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_micros(300));
    file.write_all(other.as_bytes()).unwrap();
    drop(file);
    fs::remove_file(lock).unwrap();
}

#[test]
fn with_concurrent_deliveries_each_message_is_converted_once() {
    let setup = Setup::new();
    const BEFORE: u32 = 4000;
    let mbox = setup.file("inbox", (0..BEFORE).map(|n| format!("{}\n", mail(n))).collect::<String>());
    let (stop, next) = (AtomicBool::new(false), AtomicU32::new(BEFORE));
    let convert = |options: &[&str]| {
        let mut command = convert_command(options);
        command.args([&mbox, &setup.maildir()]);
        run(command).exits(0)
    };
    let mut grew = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                append(&mbox, next.fetch_add(1, Ordering::Relaxed));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        // A panic must stop the deliveries.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..5 {
                let run = convert(&["--live"]);
                assert_eq!(run.complaints(), [""; 0]);
                grew += u32::from(run.findings().iter().any(|f| f["code"] == "source-growing"));
                let cut = setup
                    .messages()
                    .into_iter()
                    .find(|m| !m.bytes.ends_with(b"\n") || m.subject().is_empty());
                assert!(cut.is_none(), "{cut:?}");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(grew > 0, "nothing was delivered while a conversion ran: this has shown nothing");
    let all = next.load(Ordering::Relaxed);
    assert!(all > BEFORE);
    let summary = convert(&[]).summary();
    assert_eq!(count(&summary, "messages_found"), u64::from(all));
    let mut want: Vec<String> = (0..all).map(|n| format!("number {n}")).collect();
    want.sort();
    assert!(setup.subjects() == want, "each once");
    setup.restores(&mbox);
    assert_eq!(count(&convert(&[]).summary(), "written"), 0);
}

#[test]
fn live_holds_no_lock_and_is_for_mboxes() {
    let setup = Setup::new();
    let mbox = setup.file("inbox", many(3));
    // Opening the source still waits for the lock of another program.
    fs::write(setup.path("inbox.lock"), "1\n").unwrap();
    let mut command = convert_command(["--live", "--lock-timeout=0"]);
    command.args([&mbox, &setup.maildir()]);
    run(command).exits(3).complains(&["inbox", "locked"]);
    fs::remove_file(setup.path("inbox.lock")).unwrap();
    let refused = |args: &[&Path]| {
        let mut command = convert_command(["--live"]);
        command.args(args);
        run(command).exits(2).complains(&["--live", "is for mboxes"]);
    };
    refused(&[Path::new("-"), &setup.maildir()]);
    setup.convert(&[], &[&mbox]);
    refused(&[&setup.maildir(), &setup.path("out.mbox")]);
}
