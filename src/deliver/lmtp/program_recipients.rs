//! Recipients whose mail another program delivers: one process for each, with the message on its standard input.
//! So the rights of one user are never those of another, and what goes wrong with one does so alone.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::deliver::lmtp::Recipients;
use crate::deliver::lmtp::address::Address;
use crate::deliver::lmtp::template::{Parts, Template};
use crate::mailbox::context::Cancel;
use crate::mailbox::error::Error;
use crate::mailbox::text::escape;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::spool::SpooledMessage;

/// What is kept of what a program says: it has a line for us.
const KEPT: usize = 4096;
/// How often is looked whether the program has ended, or we are to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Who tells us to end tells our children for the most part, too (systemd, a terminal); a second signal would
/// have them end without cleaning up. So they have this long to end by themselves.
const BEFORE_TELLING: Duration = Duration::from_secs(2);
/// One that is told has this long; it gives its own programs two seconds.
const BEFORE_KILLING: Duration = Duration::from_secs(10);

/// Delivery by a program that takes `--home`, `--user`, `--recipient`, `--sender` and `-n`, and whose exit codes
/// are those of sysexits(3): `mailferry deliver --dot-qmail`.
#[derive(Debug)]
pub struct Programs<'a> {
    /// The program, and arguments that are the same for all.
    pub program: PathBuf,
    /// Before what is said of a recipient.
    pub arguments: Vec<OsString>,
    /// Behind it.
    pub last_arguments: Vec<OsString>,
    /// The home directory of a recipient.
    pub home: Template,
    /// Its user; `%u` is the longest beginning of the local part, up to a delimiter, that has a home.
    pub user: Template,
    /// What divides user and extension.
    pub delimiters: &'a [u8],
    /// How long a program has for one recipient; then it is killed.
    pub time: Duration,
    /// Set when we are to end: then the program is told to.
    pub cancel: &'a Cancel,
}

impl Recipients for Programs<'_> {
    /// Arguments.
    type Mailbox = Vec<OsString>;

    fn look_up(&mut self, recipient: &Address) -> Result<Vec<OsString>, Failure> {
        let has_home = |parts: &Parts| self.home.expand(parts).is_ok_and(|home| home.is_dir());
        let mut divided = Parts::longest_user_first(recipient, self.delimiters);
        let parts = if self.home.has_user() { divided.find(has_home) } else { None };
        let parts = parts.unwrap_or_else(|| Parts::of(recipient, self.delimiters));
        let home = self.home.expand(&parts)?;
        match std::fs::metadata(&home) {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(self.home.missing(&home));
            }
            Err(e) => return Err(Error::io("look up", &home)(e).into()),
        }
        let user = self.user.expand(&parts)?;
        let arguments = vec![
            joined("--home=", home.into_os_string()),
            joined("--user=", user.into_os_string()),
            joined("--recipient=", OsString::from_vec(recipient.to_bytes())),
        ];
        self.run(&arguments, &["-n".into()], Stdio::null())?;
        Ok(arguments)
    }

    fn deliver(
        &mut self,
        letter: &SpooledMessage,
        sender: Option<&Address>,
        recipient: &Address,
        arguments: &Vec<OsString>,
    ) -> Result<String, Failure> {
        let sender = OsString::from_vec(sender.map(Address::to_bytes).unwrap_or_default());
        self.run(arguments, &[joined("--sender=", sender)], letter.to_file(&[], 0)?.into())?;
        Ok(format!("delivered to {}", recipient.shown()))
    }
}

fn joined(option: &str, value: OsString) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(value);
    argument
}

impl Programs<'_> {
    /// Runs the program to its end.
    fn run(&self, recipient: &[OsString], more: &[OsString], stdin: Stdio) -> Result<(), Failure> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(recipient).args(more).args(&self.last_arguments);
        command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
        let failed = |action| Error::io(action, &self.program);
        let mut child = command.spawn().map_err(failed("run"))?;
        let attended = self.attend(&mut child);
        if !matches!(attended, Ok(Some(_))) {
            // It may be stopped, by those whose programs it runs: SIGKILL ends it even so.
            let _ = child.kill();
            let _ = child.wait();
        }
        let Some((status, said)) = attended.map_err(failed("wait for"))? else {
            return Err(Failure::new(FailureReason::TryAgain, "the delivery took too long and was killed"));
        };
        if status.success() { Ok(()) } else { Err(outcome(status, &said)) }
    }

    /// Waits for the program, and hears what it has to say; None when its time is up.
    fn attend(&self, child: &mut Child) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
        let started = Instant::now();
        let mut said = Vec::new();
        let mut stderr = child.stderr.take();
        if let Some(pipe) = &stderr {
            // What it started may hold the other end for longer than it lives.
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        let mut interrupted_at = None;
        let mut is_told = false;
        loop {
            let status = child.try_wait()?;
            if let Some(pipe) = &mut stderr
                && hear(pipe, &mut said)?
            {
                stderr = None;
            }
            if let Some(status) = status {
                return Ok(Some((status, said)));
            }
            let is_overdue = |since: Instant| since.elapsed() > BEFORE_TELLING + BEFORE_KILLING;
            if started.elapsed() > self.time || interrupted_at.is_some_and(is_overdue) {
                return Ok(None);
            }
            if self.cancel.is_requested() && !is_told {
                let since = *interrupted_at.get_or_insert_with(Instant::now);
                if since.elapsed() > BEFORE_TELLING
                    && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
                {
                    kill_process(pid, Signal::TERM)?;
                    is_told = true;
                }
            }
            match &stderr {
                Some(pipe) => {
                    let every = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
                    // A signal: the more reason to look.
                    let _ = poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&every));
                }
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

/// Takes what is there; whether that was the end.
fn hear(pipe: &mut ChildStderr, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; KEPT];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(n) => said.extend_from_slice(&buffer[..n.min(KEPT - said.len())]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// What an exit code and the first line on standard error say. The code decides whether trying again can help,
/// an enhanced status at the start of the line says more, where the two agree.
fn outcome(status: ExitStatus, said: &[u8]) -> Failure {
    let by_code = match status.code() {
        Some(65) => FailureReason::BadMessage,
        Some(67) => FailureReason::NoSuchMailbox,
        Some(69) => FailureReason::Refused,
        Some(77) => FailureReason::OverQuota,
        Some(_) | None => FailureReason::TryAgain,
    };
    let line = said.split(|&b| b == b'\n').next().unwrap_or_default().trim_ascii();
    if line.is_empty() {
        return Failure::new(by_code, format_args!("the delivery ended with {status} and said nothing"));
    }
    let (first, rest) = line.split_at(line.iter().position(|&b| b == b' ').unwrap_or(line.len()));
    let by_line = FailureReason::ALL.into_iter().find(|reason| reason.status().as_bytes() == first);
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

    use crate::deliver::lmtp::program_recipients::*;
    use crate::transport::spool::MessageSpool;

    /// Runs `script` for joe-lists@h.example, who has a home: what is said at RCPT, and after DATA.
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
        // Executed by sh, so that nobody is in the way who has just forked while it was written.
        fs::write(&program, format!("out={}/out\n{script}", dir.path().display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let home = [dir.path().as_os_str().as_encoded_bytes(), b"/%u"].concat();
        let mut programs = Programs {
            program: "/bin/sh".into(),
            arguments: vec![program.into()],
            last_arguments: vec!["--".into(), "./Maildir/".into()],
            home: Template::parse(&home).unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-",
            time,
            cancel,
        };
        let joe = Address { local: b"Joe-Lists".to_vec(), domain: Some(b"h.example".to_vec()) };
        let mut arriving = MessageSpool::new(dir.path(), None);
        arriving.push(b"text\n").unwrap();
        let letter = arriving.finish().unwrap();
        let found = programs.look_up(&joe);
        let outcome = found.clone().ok().map(|mailbox| {
            let _ = programs.deliver(&letter, None, &joe, &mailbox);
            programs.deliver(&letter, None, &joe, &mailbox)
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
    fn what_a_program_says_becomes_the_outcome() {
        use FailureReason::*;
        for (script, reason, text) in [
            ("echo '5.1.1 no such file' >&2; exit 67", NoSuchMailbox, "no such file"),
            ("echo '5.4.6 looping' >&2; exit 69", Looping, "looping"),
            ("echo 'go away' >&2; echo 'far away' >&2; exit 69", Refused, "go away"),
            ("echo '4.2.2 over quota' >&2; exit 75", OverQuotaForNow, "over quota"),
            // The code has the last word on whether to try again.
            ("echo '5.1.1 is wrong' >&2; exit 75", TryAgain, "5.1.1 is wrong"),
            ("echo '4.2.2 is wrong' >&2; exit 77", OverQuota, "4.2.2 is wrong"),
            ("exit 65", BadMessage, "said nothing"),
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
    fn who_has_no_home_is_nobody() {
        let mut programs = Programs {
            program: "/bin/false".into(),
            arguments: Vec::new(),
            last_arguments: Vec::new(),
            home: Template::parse(b"/usr/%u/nothing").unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-",
            time: Duration::from_secs(5),
            cancel: Cancel::never(),
        };
        let address = |local: &[u8]| Address { local: local.to_vec(), domain: None };
        assert_eq!(programs.look_up(&address(b"joe")).unwrap_err().reason, FailureReason::NoSuchMailbox);
        assert_eq!(programs.look_up(&address(b"../etc")).unwrap_err().reason, FailureReason::BadAddress);
        programs.home = Template::parse(b"/nonexistent/%u").unwrap();
        assert_eq!(programs.look_up(&address(b"joe")).unwrap_err().reason, FailureReason::TryAgain);
        assert!(!Path::new("/nonexistent").exists());
    }

    #[test]
    fn a_program_is_told_to_end_when_we_are() {
        let script = "trap 'echo 4.3.2 told >&2; exit 75' TERM; while :; do sleep 0.05; done";
        let (found, _, _) = delivered(script, Cancel::requested());
        assert_eq!(found.unwrap_err(), Failure::new(FailureReason::Interrupted, "told"));
    }

    #[test]
    fn a_program_that_is_stopped_has_its_time_like_any_other() {
        let (found, _, _) = delivered_within(Duration::from_millis(100), "kill -STOP $$", Cancel::never());
        let failure = found.unwrap_err();
        assert!(failure.reason == FailureReason::TryAgain && failure.text.contains("too long"), "{failure}");
    }

    #[test]
    fn a_users_name_may_have_a_delimiter_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let _ = ["mary", "mary-ann"].map(|user| fs::create_dir(dir.path().join(user)).unwrap());
        let mut programs = Programs {
            program: "/bin/true".into(),
            arguments: Vec::new(),
            last_arguments: Vec::new(),
            home: Template::parse(&[dir.path().as_os_str().as_encoded_bytes(), b"/%u"].concat()).unwrap(),
            user: Template::parse(b"%u").unwrap(),
            delimiters: b"-",
            time: Duration::from_secs(600),
            cancel: Cancel::never(),
        };
        let mut user_of = |local: &[u8]| {
            programs.look_up(&Address { local: local.to_vec(), domain: None }).unwrap()[1].clone()
        };
        assert_eq!(user_of(b"mary-ann"), "--user=mary-ann");
        assert_eq!(user_of(b"Mary-Ann-list-x"), "--user=mary-ann");
        assert_eq!(user_of(b"mary-anne"), "--user=mary");
    }
}
