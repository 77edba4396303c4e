//! Delivery by one process per recipient, with the message on its standard input. No user's rights and no user's
//! failures reach another.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::address::EnvelopeAddress;
use super::template::{AddressParts, Template};
use super::{AcceptedRecipient, Outcome, Recipients, SendReply, SessionEnd};
use crate::mailbox::fs::files;
use crate::mailbox::{Cancel, Error, escape};
use crate::transport::{
    ChildPipes, Failure, FailureReason, OutputPipe, Process, ProcessEnd, ProcessLimits, Shutdown,
    SpooledMessage, envelope,
};

/// Bytes of standard error that are kept. The first line is the reply.
const STDERR_CAPTURED: usize = 4096;

/// Time for the `-n` after RCPT, which runs no program. It is far below the 300 seconds that a peer waits.
const LOOK_UP_TIME: Duration = Duration::from_secs(30);
/// Deliveries at a time that have not taken long.
const AT_A_TIME: usize = 4;
/// The time after which a delivery is slow. The next one begins, so that the slow one holds up no other user.
const SLOW: Duration = Duration::from_secs(10);
/// Deliveries at a time, with the slow ones.
const MAX_AT_A_TIME: usize = 64;

/// Delivery by `mailferry deliver --dot-qmail`, or any program that takes `--home`, `--user`, `--recipient`,
/// `--sender` and `-n` and has the exit codes of sysexits(3).
#[derive(Debug)]
pub(crate) struct ProgramRecipients<'a> {
    pub program: PathBuf,
    /// Arguments before those of the recipient.
    pub arguments: Vec<OsString>,
    /// Arguments after those of the recipient.
    pub trailing_arguments: Vec<OsString>,
    pub home: Template,
    /// The home's user. `%u` is the longest start of the local part, up to a delimiter, that has a home.
    pub user: Template,
    /// Delimiters between user and extension.
    pub delimiters: Vec<u8>,
    /// Time limit for all recipients of a message that have the same home.
    pub time_limit: Duration,
    pub cancel: &'a Cancel,
}

/// The mailbox of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramMailbox {
    home: PathBuf,
    /// The arguments that name the recipient.
    arguments: Vec<OsString>,
}

impl Recipients for ProgramRecipients<'_> {
    type Mailbox = ProgramMailbox;

    fn look_up(&mut self, recipient: &EnvelopeAddress) -> Result<ProgramMailbox, Failure> {
        // The program would take the recipient from its environment.
        if recipient.to_bytes().is_empty() {
            return Err(Failure::new(FailureReason::BadAddress, "the address is empty"));
        }
        let has_home = |parts: &AddressParts| self.home.expand(parts).is_ok_and(|home| files::is_dir(&home));
        let mut divided = AddressParts::longest_user_first(recipient, &self.delimiters);
        let parts = if self.home.has_user() { divided.find(has_home) } else { None };
        let parts = parts.unwrap_or_else(|| AddressParts::split(recipient, &self.delimiters));
        let home = self.home.expand(&parts)?;
        match files::metadata(&home) {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(self.home.missing_error(&home));
            }
            Err(e) => return Err(Error::io("look up", &home)(e).into()),
        }
        let user = self.user.expand(&parts)?;
        let arguments = vec![
            joined("--home=", home.as_os_str()),
            joined("--user=", user.as_os_str()),
            joined("--recipient=", OsStr::from_bytes(&argument(recipient))),
        ];
        self.run(&arguments, "-n".into(), Stdio::null(), LOOK_UP_TIME)?;
        Ok(ProgramMailbox { home, arguments })
    }

    fn deliver(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
        mailbox: &ProgramMailbox,
    ) -> Outcome {
        let delivery = Delivery { message, sender: &sender_argument(sender), time: self.time_limit };
        self.deliver_one(&delivery, recipient, mailbox)
    }

    /// Delivers to several homes at a time: a user's program that is slow delays the replies after its own, but no
    /// other user's delivery. Deliveries into one home are not concurrent.
    fn deliver_all(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipients: &[AcceptedRecipient<ProgramMailbox>],
        reply: &mut SendReply<'_>,
    ) -> Result<(), SessionEnd> {
        let programs = &*self;
        let sender = &sender_argument(sender);
        let session_ended = &AtomicBool::new(false);
        let homes = group_by_home(recipients);
        let deliver_to_home = |home: usize, report: &mpsc::Sender<Report>| {
            let started = Instant::now();
            for &index in homes[home].iter().take_while(|_| !session_ended.load(Ordering::Relaxed)) {
                let time = programs.time_limit.saturating_sub(started.elapsed());
                let AcceptedRecipient { address, mailbox } = &recipients[index];
                let outcome = programs.deliver_one(&Delivery { message, sender, time }, address, mailbox);
                // After the end of the session no report is read.
                let _ = report.send(Report { home, index, outcome });
            }
        };
        let deliver_to_home = &deliver_to_home;
        thread::scope(|scope| {
            let (report, reports) = mpsc::channel();
            let mut waiting = 0..homes.len();
            let mut running: Vec<RunningHome> = Vec::new();
            let mut outcomes: Vec<Option<Outcome>> = recipients.iter().map(|_| None).collect();
            let mut next = 0;
            while next < recipients.len() {
                while may_start_another(&running)
                    && let Some(home) = waiting.next()
                {
                    let report = report.clone();
                    scope.spawn(move || deliver_to_home(home, &report));
                    let (started, left) = (Instant::now(), homes[home].len());
                    running.push(RunningHome { home, started, left });
                }
                // Without a report a delivery has become slow.
                let Ok(Report { home, index, outcome }) = reports.recv_timeout(until_slow(&running)) else {
                    continue;
                };
                outcomes[index] = Some(outcome);
                running.iter_mut().filter(|one| one.home == home).for_each(|one| one.left -= 1);
                running.retain(|one| one.left > 0);
                while let Some(outcome) = outcomes.get_mut(next).and_then(Option::take) {
                    next += 1;
                    reply(outcome).inspect_err(|_| session_ended.store(true, Ordering::Relaxed))?;
                }
            }
            Ok(())
        })
    }
}

/// The outcome of the recipient at `index`.
struct Report {
    home: usize,
    index: usize,
    outcome: Outcome,
}

/// A home with deliveries that have no outcome yet.
struct RunningHome {
    home: usize,
    started: Instant,
    left: usize,
}

fn may_start_another(running: &[RunningHome]) -> bool {
    let fast = running.iter().filter(|one| one.started.elapsed() < SLOW).count();
    fast < AT_A_TIME && running.len() < MAX_AT_A_TIME
}

/// The time until the next delivery becomes slow.
fn until_slow(running: &[RunningHome]) -> Duration {
    let fast = running.iter().filter_map(|one| SLOW.checked_sub(one.started.elapsed()));
    fast.min().unwrap_or(SLOW)
}

/// The positions of the recipients of each home, in the order of the first ones.
fn group_by_home(recipients: &[AcceptedRecipient<ProgramMailbox>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = HashMap::new();
    for (index, recipient) in recipients.iter().enumerate() {
        let group = *group_of.entry(&recipient.mailbox.home).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    groups
}

/// A message, and what is left of the time limit.
struct Delivery<'a> {
    message: &'a SpooledMessage,
    sender: &'a OsStr,
    time: Duration,
}

fn sender_argument(sender: Option<&EnvelopeAddress>) -> OsString {
    joined("--sender=", OsStr::from_bytes(&sender.map(argument).unwrap_or_default()))
}

/// Returns an address as an argument. The program takes quotes off, so one that seems to have them gets others.
fn argument(address: &EnvelopeAddress) -> Vec<u8> {
    let raw = address.to_bytes();
    if envelope::unquote(&raw) == raw { raw } else { envelope::quote(&raw) }
}

fn joined(option: &str, value: &OsStr) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(value);
    argument
}

impl ProgramRecipients<'_> {
    fn deliver_one(
        &self,
        delivery: &Delivery<'_>,
        recipient: &EnvelopeAddress,
        mailbox: &ProgramMailbox,
    ) -> Outcome {
        self.cancel.check()?;
        let Delivery { message, sender, time } = *delivery;
        if time.is_zero() {
            let text = "the deliveries to other addresses of this user took too long";
            return Err(Failure::new(FailureReason::TryAgain, text));
        }
        self.run(&mailbox.arguments, sender.to_owned(), message.to_file(&[], 0)?.into(), time)?;
        Ok(format!("delivered to {}", recipient.shown()))
    }

    fn run(
        &self,
        recipient: &[OsString],
        last: OsString,
        stdin: Stdio,
        time: Duration,
    ) -> Result<(), Failure> {
        let failed = |action| Error::io(action, &self.program);
        let (stderr, writer) = OutputPipe::new(STDERR_CAPTURED).map_err(failed("run"))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(recipient).arg(last).args(&self.trailing_arguments);
        command.stdin(stdin).stdout(Stdio::null()).stderr(writer);
        let process = Process::start(command, Shutdown::AwaitCleanup).map_err(failed("run"))?;
        let mut pipes = ChildPipes { outputs: vec![stderr], ..ChildPipes::default() };
        let limits = ProcessLimits { time, cancel: self.cancel };
        let status = match process.wait(limits, &mut pipes).map_err(failed("wait for it"))? {
            ProcessEnd::Exit(0) => return Ok(()),
            ProcessEnd::Exit(code) => ExitStatus::from_raw(code << 8),
            // No process ends by this signal: see Shutdown::AwaitCleanup.
            ProcessEnd::Signal(libc::SIGSTOP) => {
                let text = "another process stopped the delivery, so it was killed";
                return Err(Failure::new(FailureReason::TryAgain, text));
            }
            ProcessEnd::Signal(signal) => ExitStatus::from_raw(signal),
            ProcessEnd::TimeLimit | ProcessEnd::Interrupted => {
                let text = "the delivery took too long and was killed";
                return Err(Failure::new(FailureReason::TryAgain, text));
            }
        };
        let stderr = pipes.outputs.pop().map(OutputPipe::into_captured).unwrap_or_default();
        Err(failure(status, &stderr))
    }
}

/// The failure of a program by its exit code, which decides whether a retry can help, and by the first line of
/// standard error. An enhanced status code there is more precise, but must agree with the exit code.
fn failure(status: ExitStatus, stderr: &[u8]) -> Failure {
    let by_code = match status.code() {
        Some(65) => FailureReason::BadMessage,
        Some(67) => FailureReason::NoSuchMailbox,
        Some(69) => FailureReason::Refused,
        Some(77) => FailureReason::OverQuota,
        Some(_) | None => FailureReason::TryAgain,
    };
    let line = stderr.split(|&b| b == b'\n').next().unwrap_or_default().trim_ascii();
    if line.is_empty() {
        return Failure::new(by_code, format_args!("the delivery ended with {status} and no output"));
    }
    let (first, rest) = line.split_at(line.iter().position(|&b| b == b' ').unwrap_or(line.len()));
    let by_line = FailureReason::of_status(first);
    match by_line {
        Some(reason) if reason.is_temporary() == by_code.is_temporary() => {
            Failure::new(reason, escape(rest.trim_ascii()))
        }
        _ => Failure::new(by_code, escape(line)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::transport::spool::MessageSpool;

    /// Runs `script` for joe-lists@h.example, who has a home. Returns the outcomes of RCPT and DATA, and the output.
    fn delivered(
        script: &str,
        cancel: &Cancel,
    ) -> (Result<(), Failure>, Option<Result<String, Failure>>, String) {
        delivered_within(Duration::from_secs(600), script, cancel)
    }

    fn delivered_within(
        time: Duration,
        script: &str,
        cancel: &Cancel,
    ) -> (Result<(), Failure>, Option<Result<String, Failure>>, String) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("joe")).unwrap();
        let program = dir.path().join("program");
        // Run by sh: executing a file fails while another thread's child still has it open for writing.
        fs::write(&program, format!("out={}/out\n{script}", dir.path().display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let home = [dir.path().as_os_str().as_encoded_bytes(), b"/%u"].concat();
        let mut programs = ProgramRecipients {
            program: "/bin/sh".into(),
            arguments: vec![program.into()],
            trailing_arguments: vec!["--".into(), "./Maildir/".into()],
            home: Template::parse(&home).unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-".to_vec(),
            time_limit: time,
            cancel,
        };
        let joe = EnvelopeAddress { local: b"Joe-Lists".to_vec(), domain: Some(b"h.example".to_vec()) };
        let mut spool = MessageSpool::new(dir.path(), None);
        spool.push(b"text\n").unwrap();
        let message = spool.finish().unwrap();
        let found = programs.look_up(&joe);
        let outcome = found.clone().ok().map(|mailbox| {
            let _ = programs.deliver(&message, None, &joe, &mailbox);
            programs.deliver(&message, None, &joe, &mailbox)
        });
        let out = fs::read_to_string(dir.path().join("out")).unwrap_or_default();
        (found.map(drop), outcome, out.replace(dir.path().to_str().unwrap(), "DIR"))
    }

    #[test]
    fn a_program_gets_envelope_and_message_each_time() {
        let (found, outcome, out) = delivered("echo \"$@\" >> $out; cat >> $out", Cancel::never());
        assert!(found.is_ok() && outcome.unwrap().unwrap().contains("Joe-Lists@h.example"));
        let told = "--home=DIR/joe --user=joe --recipient=Joe-Lists@h.example";
        let last = "-- ./Maildir/";
        let each = format!("{told} --sender= {last}\ntext\n");
        assert_eq!(out, format!("{told} -n {last}\n{each}{each}"));
    }

    #[test]
    fn exit_code_and_first_line_become_the_outcome() {
        use FailureReason::*;
        for (script, reason, text) in [
            ("echo '5.1.1 no such file' >&2; exit 67", NoSuchMailbox, "no such file"),
            ("echo '5.4.6 looping' >&2; exit 69", Looping, "looping"),
            ("echo 'go away' >&2; echo 'far away' >&2; exit 69", Refused, "go away"),
            ("echo '4.2.2 over quota' >&2; exit 75", OverQuotaForNow, "over quota"),
            // The exit code decides whether to try again.
            ("echo '5.1.1 is wrong' >&2; exit 75", TryAgain, "5.1.1 is wrong"),
            ("echo '4.2.2 is wrong' >&2; exit 77", OverQuota, "4.2.2 is wrong"),
            ("exit 65", BadMessage, "no output"),
            ("exit 1", TryAgain, "exit status: 1"),
            ("kill -9 $$", TryAgain, "signal: 9"),
            ("yes >&2 & exec sleep 0.1", TryAgain, ""),
        ] {
            let ended = "case \"$*\" in *' -n '*) exit 0;; esac; cat > /dev/null";
            let (found, outcome, _) = delivered(&format!("{ended}\n{script}"), Cancel::never());
            assert!(found.is_ok());
            let Err(failure) = outcome.unwrap() else {
                assert!(script.starts_with("yes"), "{script}");
                continue;
            };
            assert!(failure.reason == reason && failure.text.contains(text), "{script}: {failure}");
            let (found, outcome, _) = delivered(script, Cancel::never());
            assert_eq!((found.map_err(|f| f.reason), outcome), (Err(reason), None));
        }
    }

    #[test]
    fn a_recipient_without_a_home_is_refused() {
        let mut programs = ProgramRecipients {
            program: "/bin/false".into(),
            arguments: Vec::new(),
            trailing_arguments: Vec::new(),
            home: Template::parse(b"/usr/%u/nothing").unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-".to_vec(),
            time_limit: Duration::from_secs(5),
            cancel: Cancel::never(),
        };
        let address = |local: &[u8]| EnvelopeAddress { local: local.to_vec(), domain: None };
        assert_eq!(programs.look_up(&address(b"joe")).unwrap_err().reason, FailureReason::NoSuchMailbox);
        assert_eq!(programs.look_up(&address(b"../etc")).unwrap_err().reason, FailureReason::BadAddress);
        programs.home = Template::parse(b"/nonexistent/%u").unwrap();
        assert_eq!(programs.look_up(&address(b"joe")).unwrap_err().reason, FailureReason::TryAgain);
        assert!(!Path::new("/nonexistent").exists());
    }

    #[test]
    fn a_cancelled_program_may_clean_up() {
        let script = "trap 'echo 4.3.2 told >&2; exit 75' TERM; while :; do sleep 0.05; done";
        let (found, _, _) = delivered(script, Cancel::requested());
        assert_eq!(found.unwrap_err(), Failure::new(FailureReason::Interrupted, "told"));
    }

    #[test]
    fn a_program_is_killed_at_its_time_limit() {
        let script = "case \"$*\" in *' -n '*) exit 0;; esac; exec sleep 600";
        let (found, outcome, _) = delivered_within(Duration::from_millis(100), script, Cancel::never());
        let failure = outcome.unwrap().unwrap_err();
        assert!(found.is_ok() && failure.reason == FailureReason::TryAgain, "{failure}");
        assert!(failure.text.contains("too long"), "{failure}");
    }

    /// Delivers to these users by `script`, whose $0 ends in the name of the home. Returns the outcomes.
    fn delivered_to_all(script: &str, users: &[&str]) -> Vec<Outcome> {
        delivered_to_all_within(Duration::from_secs(600), script, users)
    }

    fn delivered_to_all_within(time_limit: Duration, script: &str, users: &[&str]) -> Vec<Outcome> {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("cd {}; case \"$*\" in *' -n'*) exit 0;; esac\n{script}", dir.path().display());
        let mut programs = ProgramRecipients {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            trailing_arguments: Vec::new(),
            home: Template::parse(&[dir.path().as_os_str().as_encoded_bytes(), b"/%u"].concat()).unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-".to_vec(),
            time_limit,
            cancel: Cancel::never(),
        };
        let recipients: Vec<AcceptedRecipient<ProgramMailbox>> = users
            .iter()
            .map(|user| {
                let _ = fs::create_dir(dir.path().join(user.split('-').next().unwrap()));
                let address = EnvelopeAddress { local: user.as_bytes().to_vec(), domain: None };
                let mailbox = programs.look_up(&address).unwrap();
                AcceptedRecipient { address, mailbox }
            })
            .collect();
        let message = MessageSpool::new(dir.path(), None).finish().unwrap();
        let mut outcomes = Vec::new();
        let mut reply = |outcome| {
            outcomes.push(outcome);
            Ok(())
        };
        programs.deliver_all(&message, None, &recipients, &mut reply).unwrap();
        outcomes
    }

    #[test]
    fn a_slow_delivery_holds_up_no_other_user() {
        // The first user's ends when the last one's is done.
        let script = "case $0 in */joe) until test -e done; do sleep 0.01; done;; */eve) touch done;; esac";
        let outcomes = delivered_to_all(script, &["joe", "ann", "bob", "eve"]);
        let texts: Vec<String> = outcomes.into_iter().map(Result::unwrap).collect();
        assert_eq!(texts, ["joe", "ann", "bob", "eve"].map(|user| format!("delivered to {user}")));
    }

    #[test]
    fn deliveries_into_one_home_are_not_concurrent() {
        let script = "mkdir lock || exit 69; sleep 0.05; rmdir lock";
        let outcomes = delivered_to_all(script, &["joe", "joe-a", "joe", "joe-b"]);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    #[test]
    fn the_addresses_of_a_user_share_a_time_limit() {
        let script = "case $0 in */joe) exec sleep 600;; esac";
        let outcomes =
            delivered_to_all_within(Duration::from_millis(300), script, &["joe", "joe-a", "joe-b"]);
        let texts: Vec<String> = outcomes.into_iter().map(|outcome| outcome.unwrap_err().text).collect();
        assert!(texts[0].contains("was killed"), "{texts:?}");
        assert!(texts[1..].iter().all(|text| text.contains("other addresses of this user")), "{texts:?}");
    }

    #[test]
    fn only_slow_deliveries_make_room_for_more() {
        let long_ago = Instant::now().checked_sub(SLOW).unwrap();
        let running = |fast: usize, slow: usize| -> Vec<RunningHome> {
            let started = [vec![Instant::now(); fast], vec![long_ago; slow]].concat();
            started.into_iter().map(|started| RunningHome { home: 0, started, left: 1 }).collect()
        };
        assert!(may_start_another(&running(AT_A_TIME - 1, 0)) && !may_start_another(&running(AT_A_TIME, 0)));
        assert!(may_start_another(&running(0, AT_A_TIME)) && !may_start_another(&running(0, MAX_AT_A_TIME)));
        assert!(until_slow(&running(1, 9)) > Duration::from_secs(5));
    }

    #[test]
    fn a_user_that_stops_or_kills_a_delivery_loses_that_alone() {
        let script = "case $0 in */joe) kill -STOP $$;; */bob) kill -KILL $$;; esac";
        let outcomes = delivered_to_all(script, &["joe", "ann", "bob", "eve"]);
        let stopped = outcomes[0].as_ref().unwrap_err();
        assert!(stopped.text.contains("stopped the delivery"), "{stopped}");
        let is_temporary =
            |n: usize| outcomes[n].as_ref().is_err_and(|failure| failure.reason.is_temporary());
        assert!(
            is_temporary(0) && outcomes[1].is_ok() && is_temporary(2) && outcomes[3].is_ok(),
            "{outcomes:?}"
        );
    }

    #[test]
    fn the_program_reads_the_address_that_the_peer_sent() {
        for raw in ["joe@h", "\"joe\"@h", "<joe@h>", "a b@h", "\"@h", "joe", "@h", "a\\b@h", "\"a\"b@c@h"] {
            let sent = argument(&EnvelopeAddress::from_raw(raw.as_bytes()));
            assert_eq!(envelope::unquote(&sent), raw.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn a_user_name_may_contain_a_delimiter() {
        let dir = tempfile::tempdir().unwrap();
        let _ = ["mary", "mary-ann"].map(|user| fs::create_dir(dir.path().join(user)).unwrap());
        let mut programs = ProgramRecipients {
            program: "/bin/true".into(),
            arguments: Vec::new(),
            trailing_arguments: Vec::new(),
            home: Template::parse(&[dir.path().as_os_str().as_encoded_bytes(), b"/%u"].concat()).unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-".to_vec(),
            time_limit: Duration::from_secs(600),
            cancel: Cancel::never(),
        };
        let mut user_of = |local: &[u8]| {
            let address = EnvelopeAddress { local: local.to_vec(), domain: None };
            programs.look_up(&address).unwrap().arguments[1].clone()
        };
        assert_eq!(user_of(b"mary-ann"), "--user=mary-ann");
        assert_eq!(user_of(b"Mary-Ann-list-x"), "--user=mary-ann");
        assert_eq!(user_of(b"mary-anne"), "--user=mary");
    }
}
