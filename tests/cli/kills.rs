//! Conversions killed at random moments: nothing partial is visible, and the same command completes the
//! conversion as if nothing had happened. `faults.rs` kills at chosen system calls. Here the run is as in
//! use: all cores, no tracer, the usual locks.

use crate::random_kills::RandomKills;
use crate::support::*;
use crate::trial::{Conversion, a_maildir, a_numbered_maildir, labelled, mixed, nothing, numbered};

#[test]
fn a_killed_conversion_is_completed_by_the_same_command() {
    let (messages, rounds) = (3200, samples(2, 12, 200));
    let by_labels = &["--labels=folders"][..];
    for (what, options, mail, before) in [
        ("into a new Maildir", &[][..], mixed(messages), nothing()),
        ("into an existing Maildir", &[], mixed(messages), a_maildir()),
        ("into a Maildir with UIDs", &["--uid-format=both"], numbered(messages, 11), a_numbered_maildir()),
        ("into the folders of a new Maildir", by_labels, labelled(messages), nothing()),
        ("into the folders of an existing Maildir", by_labels, labelled(messages), a_maildir()),
    ] {
        let conversion = Conversion::with(what, options, mail, messages.into(), before);
        let undisturbed = conversion.trial();
        let mut kills = RandomKills::of(what, || undisturbed.again());
        while let Some(n) = kills.next_round(rounds) {
            let trial = conversion.trial();
            // Sometimes twice: what the first kill left is there in the second run.
            for _ in 0..if n % 4 == 0 { 2 } else { 1 } {
                kills.kill(trial.command::<&str>(&[], &[]));
                trial.is_harmless();
            }
            trial.again();
            trial.is_complete();
            trial.leaves_nothing();
            trial.restores();
        }
        kills.report();
    }
}
