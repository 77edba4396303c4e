//! Killed at any instant, a conversion leaves nothing half visible, and the same command completes it
//! as if nothing had happened. `faults.rs` kills at chosen system calls; here the instants are random
//! and the run is as it is in use: all cores, no tracer, the usual locks.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::*;
use crate::undisturbed::{Conversion, Ground, a_maildir, labelled, mixed, nothing, random};

#[test]
fn a_conversion_killed_at_any_moment_is_completed_by_the_same_command() {
    let (messages, kills) = if full() { (3200, 200) } else { (3200, 12) };
    let by_labels = &["--labels=folders"][..];
    for (what, options, mail, before) in [
        ("into a new Maildir", &[][..], mixed(messages), nothing()),
        ("into an existing Maildir", &[], mixed(messages), a_maildir()),
        ("into the folders of a new Maildir", by_labels, labelled(messages), nothing()),
        ("into the folders of an existing Maildir", by_labels, labelled(messages), a_maildir()),
    ] {
        let conversion = Conversion::with(what, options, mail, messages.into(), before);
        let time = undisturbed(&conversion);
        let (mut tried, mut caught) = (0, 0);
        for n in 0..kills {
            let ground = conversion.ground();
            // Now and then twice, so that what the first one left is in the way of the second one.
            for time_of in if n % 4 == 0 { &["first", "second"][..] } else { &["first"] } {
                let instant = random(&format!("{what} {time_of}"), n, time.as_micros() as u64);
                tried += 1;
                caught += usize::from(killed_after(&ground, Duration::from_micros(instant)));
                ground.is_harmless();
            }
            ground.again();
            ground.is_whole();
            ground.leaves_nothing();
            ground.comes_back();
        }
        said(&format!("{caught} of {tried} kills {what} came in time"));
        assert!(caught * 2 > tried, "only {caught} of {tried} kills came in time");
    }
}

/// How long it takes.
fn undisturbed(conversion: &Conversion) -> Duration {
    let times = (0..3).map(|_| {
        let ground = conversion.ground();
        let started = Instant::now();
        ground.again();
        started.elapsed()
    });
    times.min().unwrap_or_default()
}

/// Runs it and kills it after this time. Returns whether that was in time.
fn killed_after(ground: &Ground<'_>, instant: Duration) -> bool {
    let mut command = ground.command::<&str>(&[], &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(instant);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), None | Some(0)), "{status}");
    status.code().is_none()
}
