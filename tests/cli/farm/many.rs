//! Many accounts over Slurm and over GNU parallel, with processes that are killed at random.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::accounts::Accounts;
use super::slurm::Slurm;
use super::{MOVE, impatient};
use crate::mta::recipes;
use crate::mta::sandbox::Sandbox;
use crate::support::*;

/// A run in which no process starts or ends for so long hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Programs that distribute the shards.
enum Engine<'a> {
    Slurm(Slurm<'a>),
    Parallel,
}

impl Engine<'_> {
    /// Starts the recipe. Returns a function that tells whether it has ended.
    fn start<'a>(&'a self, sandbox: &'a Sandbox) -> Box<dyn FnMut() -> bool + 'a> {
        match self {
            Engine::Slurm(slurm) => {
                let script = format!("{MOVE}/job");
                sandbox.write(&script, impatient(&recipes::blocks("Slurm")[0]));
                let job = slurm.submit(&script);
                Box::new(move || slurm.has_ended(&job))
            }
            Engine::Parallel => {
                let script = format!("{MOVE}/run");
                sandbox.write(&script, impatient(&recipes::blocks("GNU parallel")[0]));
                // Its state belongs into the sandbox, and so does the run, which may last.
                sandbox.sh(&format!(
                    "rm -f {MOVE}/ended
                    {{ HOME={MOVE} setsid sh {script} || :; touch {MOVE}/ended; }} >{MOVE}/out 2>&1 </dev/null &"
                ));
                Box::new(|| sandbox.path(MOVE).join("ended").exists())
            }
        }
    }
}

/// Runs the recipe to its end. Kills this many processes at random, parents as well as children. Returns how many
/// kills came in time.
fn run_engine(engine: &Engine<'_>, sandbox: &Sandbox, kills: usize, dice: &mut Dice) -> usize {
    let mut has_ended = engine.start(sandbox);
    let (mut killed, mut known, mut last) = (0, HashSet::<Pid>::new(), Instant::now());
    loop {
        let processes = sandbox.processes("mailferry");
        if processes.is_empty() && has_ended() {
            return killed;
        }
        if processes.iter().any(|pid| !known.contains(pid)) {
            last = Instant::now();
            // Not each time, because the first of them is always a parent. One that has ended meanwhile counts as not
            // killed.
            let is_killed = killed < kills
                && dice.roll(4) == 0
                && rustix::process::kill_process(processes[dice.roll(processes.len())], Signal::KILL).is_ok();
            killed += usize::from(is_killed);
            // The next kill waits for a process that starts later, so that the run gets on.
            known = processes.into_iter().collect();
        }
        assert!(
            last.elapsed() < TIME_LIMIT,
            "the run hangs: {}",
            sandbox.sh("ps -eo pid,ppid,stat,wchan:20,args")
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Asserts that the report names the accounts with a fault, and no others. Returns its summary.
#[track_caller]
fn reports_faults(accounts: &Accounts<'_>) -> Value {
    let (rows, summary) = accounts.report();
    assert!(rows.iter().all(|row| row["outcome"] == "failed"), "{rows:?}");
    let mut got: Vec<_> = rows.iter().map(|row| row["user"].as_str().unwrap().to_owned()).collect();
    got.sort();
    let expected = accounts.names(|account| account.fault.is_some());
    assert_eq!(got, expected, "{summary:#}");
    assert_eq!(count(&summary, "done"), (accounts.all.len() - expected.len()) as u64);
    summary
}

fn converts_each_account_once(sandbox: &Sandbox, engine: &Engine<'_>) {
    let (count_of, largest) = (samples(60, 150, 2_000), samples(100, 300, 3_000));
    let mut accounts = Accounts::new(sandbox, count_of, largest);
    let mut dice = Dice(20);
    let kills = samples(10, 20, 200);
    let killed: usize = (0..2).map(|_| run_engine(engine, sandbox, kills, &mut dice)).sum();
    note!("{count_of} accounts: {killed} processes killed in two runs");
    assert!(killed > 0);
    // A child may outlive its parent and an engine that no longer waits for it. The next run waits for its claim.
    run_engine(engine, sandbox, 0, &mut dice);
    accounts.check();
    let report = reports_faults(&accounts);
    let [messages, bytes] = accounts.verified();
    let failed = accounts.failed_bytes();
    let totals = [count(&report, "in_place"), count(&report, "bytes_messages") - failed];
    assert_eq!(totals, [messages, bytes]);

    // The recipe of the night names the Maildirs that are missing.
    let bad = sandbox
        .sh(&recipes::blocks("The night of the move")[0].replace("-q \"$1\"", "-q \"$1\" 2>/dev/null"));
    let mut bad: Vec<&str> = bad.lines().collect();
    bad.sort_unstable();
    let failed = accounts.names(|account| account.fault.is_some());
    let expected: Vec<String> = failed.iter().map(|name| format!("/home/{name}/Maildir")).collect();
    assert_eq!(bad, expected);

    // A run of all accounts on one machine names the same ones, and converts those that are unlocked.
    let script = impatient(recipes::blocks("One machine")[0].lines().next().unwrap());
    let all = || run(sandbox.command(["sh", "-c", &script])).exits(1);
    let named = |run: &Run| {
        let mut named: Vec<String> = run
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("mailferry: ")?.split(':').next())
            .map(str::to_owned)
            .collect();
        named.sort();
        named
    };
    assert_eq!(named(&all()), accounts.names(|account| account.fault.is_some()));
    accounts.unlock();
    assert_eq!(named(&all()), accounts.names(|account| account.fault.is_some()));
    accounts.check();
    reports_faults(&accounts);
}

#[test]
fn slurm_converts_each_account_once_despite_kills() {
    let Some(sandbox) = Sandbox::new() else { return };
    let Some(slurm) = Slurm::start(&sandbox) else { return };
    converts_each_account_once(&sandbox, &Engine::Slurm(slurm));
}

#[test]
fn parallel_converts_each_account_once_despite_kills() {
    let Some(sandbox) = Sandbox::new() else { return };
    if !have("parallel", &["--version"]) {
        skip!("GNU parallel is not here");
    }
    converts_each_account_once(&sandbox, &Engine::Parallel);
}
