//! Delivery by one process per recipient, with the message on its standard input. No user's rights and no user's
//! failures reach another.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::Recipients;
use super::address::EnvelopeAddress;
use super::template::{AddressParts, Template};
use crate::mailbox::{Cancel, Error, escape};
use crate::transport::{
    ChildPipes, Failure, FailureReason, OutputPipe, Process, ProcessEnd, ProcessLimits, Shutdown,
    SpooledMessage,
};

/// Bytes of standard error that are kept. The first line is the reply.
const STDERR_CAPTURED: usize = 4096;

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
    /// Time limit for one recipient.
    pub time_limit: Duration,
    pub cancel: &'a Cancel,
}

impl Recipients for ProgramRecipients<'_> {
    /// The arguments that name the recipient.
    type Mailbox = Vec<OsString>;

    fn look_up(&mut self, recipient: &EnvelopeAddress) -> Result<Vec<OsString>, Failure> {
        let has_home = |parts: &AddressParts| self.home.expand(parts).is_ok_and(|home| home.is_dir());
        let mut divided = AddressParts::longest_user_first(recipient, &self.delimiters);
        let parts = if self.home.has_user() { divided.find(has_home) } else { None };
        let parts = parts.unwrap_or_else(|| AddressParts::split(recipient, &self.delimiters));
        let home = self.home.expand(&parts)?;
        match std::fs::metadata(&home) {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(self.home.missing_error(&home));
            }
            Err(e) => return Err(Error::io("look up", &home)(e).into()),
        }
        let user = self.user.expand(&parts)?;
        let arguments = vec![
            joined("--home=", home.into_os_string()),
            joined("--user=", user.into_os_string()),
            joined("--recipient=", OsString::from_vec(recipient.to_bytes())),
        ];
        self.run(&arguments, "-n".into(), Stdio::null())?;
        Ok(arguments)
    }

    fn deliver(
        &mut self,
        message: &SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
        arguments: &Vec<OsString>,
    ) -> Result<String, Failure> {
        let sender = OsString::from_vec(sender.map(EnvelopeAddress::to_bytes).unwrap_or_default());
        self.run(arguments, joined("--sender=", sender), message.to_file(&[], 0)?.into())?;
        Ok(format!("delivered to {}", recipient.shown()))
    }
}

fn joined(option: &str, value: OsString) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(value);
    argument
}

impl ProgramRecipients<'_> {
    fn run(&self, recipient: &[OsString], last: OsString, stdin: Stdio) -> Result<(), Failure> {
        let failed = |action| Error::io(action, &self.program);
        let (stderr, writer) = OutputPipe::new(STDERR_CAPTURED).map_err(failed("run"))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(recipient).arg(last).args(&self.trailing_arguments);
        command.stdin(stdin).stdout(Stdio::null()).stderr(writer);
        let process = Process::start(command, Shutdown::AwaitCleanup).map_err(failed("run"))?;
        let mut pipes = ChildPipes { outputs: vec![stderr], ..ChildPipes::default() };
        let limits = ProcessLimits { time: self.time_limit, cancel: self.cancel };
        let status = match process.wait(limits, &mut pipes).map_err(failed("wait for"))? {
            ProcessEnd::Exit(0) => return Ok(()),
            ProcessEnd::Exit(code) => ExitStatus::from_raw(code << 8),
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
        return Failure::new(by_code, format_args!("the delivery ended with {status} and said nothing"));
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
    fn a_stopped_program_is_killed_at_its_time_limit() {
        let (found, _, _) = delivered_within(Duration::from_millis(100), "kill -STOP $$", Cancel::never());
        let failure = found.unwrap_err();
        assert!(failure.reason == FailureReason::TryAgain && failure.text.contains("too long"), "{failure}");
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
            programs.look_up(&EnvelopeAddress { local: local.to_vec(), domain: None }).unwrap()[1].clone()
        };
        assert_eq!(user_of(b"mary-ann"), "--user=mary-ann");
        assert_eq!(user_of(b"Mary-Ann-list-x"), "--user=mary-ann");
        assert_eq!(user_of(b"mary-anne"), "--user=mary");
    }
}
