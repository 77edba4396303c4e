//! Faults in a conversion: each system call that touches the destination fails, or the process is killed at
//! it. The exit code is correct, nothing partial is visible, and the same command completes the conversion.
//!
//! The calls come from a trace and not from a list, so that a new call is tested as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::strace::{Call, FAULTS, Fault, Point, point, points};
use crate::support::*;
use crate::trial::{
    Conversion, Trial, a_maildir, a_numbered_maildir, labelled, mixed, nothing, numbered, random,
};

const MESSAGES: u64 = 100;
const ONE_WORKER: &str = "-j1";

/// A run with a fault.
struct Case<'a> {
    conversion: &'a Conversion,
    jobs: &'static str,
    fault: Fault,
    /// For a full disk all calls from here on that take space; for other faults one call.
    points: Vec<Point>,
}

/// How the runs ended.
#[derive(Debug, Default)]
struct Tally {
    completed: u32,
    reported: u32,
    killed: u32,
    missed: u32,
}

#[test]
fn a_fault_at_any_system_call_is_harmless() {
    if !have_strace() {
        return;
    }
    let mail = mixed(MESSAGES as u32);
    let new = Conversion::new("into a new Maildir", mail.clone(), MESSAGES, nothing());
    let existing = Conversion::new("into an existing Maildir", mail, MESSAGES, a_maildir());
    // Runs that continue where a killed one ended.
    let staged = new.continued("into a stage that a kill left", killed_midway(&new, "writev"));
    let ready = new.continued("into a stage all but published", killed_midway(&new, "renameat2"));
    let begun =
        existing.continued("into a Maildir half filled by a kill", killed_midway(&existing, "renameat2"));
    every_fault_in(&[&new, &existing, &staged, &ready, &begun]);
}

#[test]
fn a_fault_with_several_folders_is_harmless() {
    if !have_strace() {
        return;
    }
    let by_labels = |what, before| {
        Conversion::with(what, &["--labels=folders"], labelled(MESSAGES as u32), MESSAGES, before)
    };
    let new = by_labels("into the folders of a new Maildir", nothing());
    let existing = by_labels("into the folders of an existing Maildir", a_maildir());
    let staged = new.continued("into the folders of a stage that a kill left", killed_midway(&new, "linkat"));
    let begun =
        existing.continued("into folders half filled by a kill", killed_midway(&existing, "renameat2"));
    every_fault_in(&[&new, &existing, &staged, &begun]);
}

#[test]
fn a_fault_while_uids_are_kept_is_harmless() {
    if !have_strace() {
        return;
    }
    let mail = numbered(MESSAGES as u32, 11);
    let new = Conversion::new("with UIDs into a new Maildir", mail.clone(), MESSAGES, nothing());
    let first = Conversion::new("with UIDs into a Maildir without", mail.clone(), MESSAGES, a_maildir());
    let more = Conversion::new("with UIDs into a Maildir with some", mail, MESSAGES, a_numbered_maildir());
    let staged = new.continued("with UIDs into a stage", killed_midway(&new, "renameat2"));
    let begun = more.continued("with UIDs after a kill", killed_midway(&more, "renameat2"));
    let both = Conversion::with(
        "with both lists of UIDs",
        &["--uid-format=both"],
        numbered(MESSAGES as u32, 11),
        MESSAGES,
        a_numbered_maildir(),
    );
    let rest = both.continued("with both lists of UIDs after a kill", killed_midway(&both, "renameat2"));
    every_fault_in(&[&new, &first, &more, &staged, &begun, &both, &rest]);
}

fn every_fault_in(conversions: &[&Conversion]) {
    let traces: Vec<_> = conversions.iter().map(|c| (*c, trace(&c.trial()))).collect();
    let points: Vec<_> = traces.iter().map(|(conversion, calls)| (*conversion, points(calls))).collect();
    let all = points.iter().map(|(_, points)| points.len()).sum::<usize>();
    let mut cases = Vec::new();
    for (conversion, points) in &points {
        cases.extend(one_by_one(conversion, points));
    }
    for (conversion, calls) in &traces {
        cases.extend(full_disks(conversion, calls));
    }
    for (conversion, points) in &points {
        cases.extend(with_several_workers(conversion, points));
    }
    let (done, failed) = try_all(&cases);
    note!(
        "{all} system calls at the destination, {} faults tried: {} runs reported it, {} completed anyway, \
         {} were killed, {} ended before it",
        cases.len(),
        done.reported,
        done.completed,
        done.killed,
        done.missed
    );
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
    let (tried, reported, killed) = samples((100, 40, 10), (500, 200, 50), (500, 200, 50));
    assert!(all > 1000 && cases.len() > tried, "{all} points, {} cases", cases.len());
    assert!(
        done.reported > reported && done.killed > killed && done.missed < 10 + all as u32 / 10,
        "{done:?}"
    );
}

/// Returns every fault at every point. In a sample it returns one fault at some of the points, and at fewer
/// of those that occur once per message.
fn one_by_one<'a>(conversion: &'a Conversion, points: &[Point]) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for (n, point) in points.iter().enumerate() {
        let of_a_message = point.operand.contains(",S=");
        let apart = if of_a_message { samples(215, 43, 1) } else { samples(25, FAULTS.len(), 1) };
        let faults = FAULTS.into_iter().enumerate().filter(|(k, _)| (n + 9 * k) % apart == 0);
        cases.extend(faults.map(|(_, fault)| Case {
            conversion,
            jobs: ONE_WORKER,
            fault,
            points: vec![point.clone()],
        }));
    }
    cases
}

/// Returns runs with a disk that is full from some call on.
fn full_disks<'a>(conversion: &'a Conversion, calls: &[Call]) -> Vec<Case<'a>> {
    let takers = (0..calls.len()).filter(|n| calls[*n].takes_space);
    let takers: Vec<Point> = takers.map(|n| point(calls, n)).collect();
    let from =
        |n: usize| Case { conversion, jobs: ONE_WORKER, fault: Fault::Full, points: takers[n..].to_vec() };
    (0..takers.len()).step_by(samples(145, 29, 1)).map(from).collect()
}

/// Returns runs with four workers, where the order of the calls varies.
fn with_several_workers<'a>(conversion: &'a Conversion, points: &[Point]) -> Vec<Case<'a>> {
    let cases = samples(3, 12, 400);
    let some = |n| {
        let point = points[random(conversion.what, n, points.len() as u64) as usize].clone();
        let fault = FAULTS[random("fault", n, FAULTS.len() as u64) as usize];
        Case { conversion, jobs: "-j4", fault, points: vec![point] }
    };
    (0..cases).map(some).collect()
}

/// Runs two cases at a time. Returns a line for each case that breaks a promise.
fn try_all(cases: &[Case<'_>]) -> (Tally, Vec<String>) {
    let (next, tally) = (AtomicUsize::new(0), Mutex::default());
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tried = catch_unwind(AssertUnwindSafe(|| case.run(&tally)));
            if let Err(panic) = tried {
                let formatted = panic.downcast_ref::<String>().map(String::as_str);
                let why = formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
                failed.lock().unwrap().push(format!("{}: {why}", case.what()));
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    (tally.into_inner().unwrap(), failed.into_inner().unwrap())
}

impl Case<'_> {
    fn what(&self) -> String {
        let Point { call, operand, nth, .. } = &self.points[0];
        format!("{:?} at {call} {nth} of {operand}, {}, {}", self.fault, self.conversion.what, self.jobs)
    }

    fn run(&self, tally: &Mutex<Tally>) {
        let trial = self.conversion.trial();
        let (run, log) = self.disturb(&trial);
        let faults = log.matches("(INJECTED)").count();
        let new = trial.is_harmless();
        let tally_of = |count: fn(&mut Tally) -> &mut u32| *count(&mut tally.lock().unwrap()) += 1;
        match run.code {
            None => {
                assert!(self.fault == Fault::Kill && log.contains("killed by SIGKILL"), "{run:?}");
                tally_of(|tally| &mut tally.killed);
            }
            Some(code) => {
                let happened = faults > 0;
                let is_certain = self.jobs == ONE_WORKER && !self.is_a_matter_of_time();
                assert!(happened || !is_certain, "nothing was injected: {log}");
                let summary = run.summary();
                assert_eq!(count(&summary, "written"), new, "{summary}");
                // Two faults may hit both the work and the cleanup.
                if faults < 2 || self.fault == Fault::Full {
                    trial.leaves_nothing();
                }
                if new == 0 {
                    trial.rolls_back_manifest();
                    if faults < 2 {
                        trial.adds_no_folder();
                    }
                }
                if code == 0 {
                    assert!(!happened || !self.must_be_reported(), "it was not reported");
                    assert_eq!(run.stderr, "");
                    trial.is_complete();
                    tally_of(if happened { |tally| &mut tally.completed } else { |tally| &mut tally.missed });
                } else {
                    let run = run.exits(3).complains(&[trial.dest().to_str().unwrap()]);
                    // Without this call it cannot be known that the destination is a Maildir.
                    let Point { call, operand, .. } = &self.points[0];
                    let name = operand.rsplit('/').next().unwrap_or_default();
                    let is_unknown = call == "newfstatat"
                        && !name.starts_with("mailferry.")
                        && !name.starts_with("dovecot");
                    let complaints = run.complaints();
                    let is_refused = is_unknown && complaints == ["destination-refused"];
                    assert!(complaints == ["io-error"] || is_refused, "{run:?}");
                    tally_of(|tally| &mut tally.reported);
                }
            }
        }
        trial.again();
        trial.is_complete();
        trial.leaves_nothing();
        trial.restores();
    }

    /// Tells whether the call depends on time: lines of the manifest are written when the disk has caught up.
    fn is_a_matter_of_time(&self) -> bool {
        let Point { call, operand, nth, .. } = &self.points[0];
        // A directory that changed a moment ago is listed once more.
        let is_listing = ["getdents64", "openat", "fstat", "fstatfs", "statx", "close"].contains(&&call[..])
            && ["/new", "/cur"].iter().any(|directory| operand.ends_with(directory));
        is_listing || call == "write" && operand.ends_with(MANIFEST) && *nth > 1
    }

    /// Tells whether no run may succeed with this fault: without the call mail would be missing, or not
    /// durable. (A stage whose manifest cannot be opened is created again.)
    fn must_be_reported(&self) -> bool {
        let Point { call, operand, is_attempt, .. } = &self.points[0];
        let calls = ["fsync", "linkat", "mkdirat", "renameat2", "syncfs", "utimensat", "write", "writev"];
        // Whether a directory is a Maildir is decided by what can be listed of cur/ and new/.
        let name = operand.rsplit('/').next().unwrap_or_default();
        let is_optional = ["mailferry.manifest", "cur", "new"].contains(&name);
        let needed = calls.contains(&&call[..]) || (call == "openat" && !is_optional);
        // A lock file can also be created without a link.
        let is_lock = call == "linkat" && operand.ends_with(".lock");
        self.fault != Fault::Error("EINTR") && needed && !is_attempt && !is_lock
    }

    /// Runs the conversion with the fault. Returns the run and the log of strace.
    fn disturb(&self, trial: &Trial<'_>) -> (Run, String) {
        let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
        for point in &self.points {
            let first = calls.entry(&point.call).or_insert(point.nth);
            *first = point.nth.min(*first);
        }
        let names: Vec<&str> = calls.keys().copied().collect();
        let mut options = vec!["-e".to_owned(), format!("trace={}", names.join(","))];
        for (call, first) in calls {
            options.extend(["-e".to_owned(), self.fault.injected(call, first)]);
        }
        let operands: BTreeSet<_> = self.points.iter().map(|point| trial.here(&point.operand)).collect();
        options.extend(operands.into_iter().flat_map(|operand| ["-P".to_owned(), operand]));
        traced(trial, self.jobs, &options)
    }
}

/// Runs the conversion under strace.
fn traced(trial: &Trial<'_>, jobs: &str, options: &[String]) -> (Run, String) {
    let log = trial.aside("log");
    let strace = ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap()].map(str::to_owned);
    let run = run(trial.command(&[&strace[..], options].concat(), &[jobs]));
    (run, fs::read_to_string(log).unwrap())
}

/// Returns the destination as left by a run that was killed at the middle one of its calls of this name.
fn killed_midway(conversion: &Conversion, call: &str) -> TempDir {
    let mut points = points(&trace(&conversion.trial()));
    points.retain(|point| point.call == call);
    let points = vec![points.swap_remove(points.len() / 2)];
    let trial = conversion.trial();
    let case = Case { conversion, jobs: ONE_WORKER, fault: Fault::Kill, points };
    assert_eq!(case.disturb(&trial).0.code, None);
    trial.leave()
}

/// Returns all system calls of a run without faults that touch the destination.
fn trace(trial: &Trial<'_>) -> Vec<Call> {
    let (run, log) = traced(trial, ONE_WORKER, &[]);
    run.exits(0);
    let calls = log.lines().filter_map(|line| Call::parse(line, &trial.dest()));
    calls.filter(|call| call.is_at_destination() && !call.is_check).collect()
}
