//! Helpers that run the binary and check its results.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mailferry");

/// No command may hang. The limit is long because the machine may be busy.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Returns the command `mailferry ARGS…` in an environment that is the same everywhere.
pub(crate) fn mailferry<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    wrapped("exec \"$@\"", [BINARY], args)
}

/// Returns a command that a shell script starts as `"$@"`.
pub(crate) fn wrapped<P: AsRef<OsStr>, S: AsRef<OsStr>>(
    script: &str,
    program: impl IntoIterator<Item = P>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    // In the background or with nohup the tests ignore signals, and their children inherit that.
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal", "/bin/sh", "-c", &format!("umask 022; {script}"), "sh"]);
    command.args(program).args(args);
    command.env_clear().envs([
        ("HOME", "/nonexistent"),
        ("TZ", "UTC"),
        ("LANG", "C"),
        ("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"),
    ]);
    // Spool files go where the tests' own temporary files go.
    command.env("TMPDIR", std::env::temp_dir()).stdin(Stdio::null());
    command
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code, or None after a signal.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Run {
    finish(assert_cmd::Command::from_std(command))
}

/// Runs a command with a terminal of this width as its output. `stdout` is what the terminal received, with LF line ends.
pub(crate) fn run_on_terminal(mut command: Command, columns: u16) -> Run {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let terminal = ptsname(&screen, Vec::new()).unwrap();
    let terminal = fs::File::options().read(true).write(true).open(terminal.to_str().unwrap()).unwrap();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&screen, size).unwrap();
    let mut child = command.stdout(terminal.try_clone().unwrap()).stderr(terminal).spawn().unwrap();
    // The command has the only copies of the terminal, so that reading ends with it.
    drop(command);
    let mut received = Vec::new();
    // Reading from a terminal that nobody has open any more is an error on Linux.
    let _ = fs::File::from(screen).read_to_end(&mut received);
    let code = child.wait().unwrap().code();
    let stdout = String::from_utf8(received).unwrap().replace("\r\n", "\n").into_bytes();
    Run { code, stdout, stderr: String::new() }
}

/// Runs a command to its end, with these bytes on standard input.
pub(crate) fn run_with_stdin(command: Command, input: impl Into<Vec<u8>>) -> Run {
    let mut command = assert_cmd::Command::from_std(command);
    command.write_stdin(input);
    finish(command)
}

fn finish(mut command: assert_cmd::Command) -> Run {
    Run::of(command.timeout(TIME_LIMIT).output().expect("the command runs"))
}

impl Run {
    pub(crate) fn of(output: std::process::Output) -> Run {
        let stderr = String::from_utf8(output.stderr).expect("messages are text");
        Run { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "stderr: {}\nstdout: {}", self.stderr, self.text());
        self
    }

    /// Asserts that standard error is one line with all these words in it.
    #[track_caller]
    pub(crate) fn complains(self, words: &[&str]) -> Run {
        assert!(self.stderr.ends_with('\n') && self.stderr.lines().count() == 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {:?}", self.stderr);
        }
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn last_line(&self) -> String {
        self.text().lines().last().unwrap_or_default().to_owned()
    }

    /// Asserts that a line of the report is this one.
    #[track_caller]
    pub(crate) fn has_line(&self, line: &str) {
        assert!(self.text().lines().any(|other| other == line), "{line:?} is not in\n{}", self.text());
    }

    /// Returns the report of `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        self.text().lines().map(parse).collect()
    }

    /// Returns the one summary of a conversion. It asserts for every run that the summary is the last line
    /// and that its sums balance.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let mut report = self.json();
        let summary = report.pop().unwrap_or_else(|| panic!("no report; stderr: {}", self.stderr));
        assert_eq!(summary["type"], "summary");
        let is_part = |object: &Value| object["type"] == "finding" || object["type"] == "account";
        assert!(report.iter().all(is_part), "one summary, and last");
        let sum = |keys: &[&str]| keys.iter().map(|key| count(&summary, key)).sum::<u64>();
        let messages = sum(&["written", "already_present", "duplicates", "skipped", "not_selected"]);
        assert_eq!(count(&summary, "messages_found"), messages, "{summary}");
        let bytes = sum(&[
            "bytes_messages",
            "bytes_from_lines",
            "bytes_quoting",
            "bytes_separators",
            "bytes_junk",
            "bytes_not_reached",
        ]);
        assert_eq!(count(&summary, "bytes_source"), bytes, "{summary}");
        summary
    }

    /// Returns the findings of `--json`.
    #[track_caller]
    pub(crate) fn findings(&self) -> Vec<Value> {
        self.json().into_iter().filter(|object| object["type"] == "finding").collect()
    }

    /// Returns the codes of all warnings and errors, sorted, without duplicates.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let findings = self.findings();
        let codes = findings.iter().filter(|f| f["severity"] != "info").map(|f| &f["code"]);
        let mut codes: Vec<String> = codes.map(|c| c.as_str().unwrap().to_owned()).collect();
        codes.sort();
        codes.dedup();
        codes
    }
}

#[track_caller]
pub(crate) fn count(summary: &Value, key: &str) -> u64 {
    summary[key].as_u64().unwrap_or_else(|| panic!("no count {key} in {summary}"))
}

/// Runs `mailferry convert --json OPTIONS… SOURCE… DESTINATION`, which must succeed.
#[track_caller]
pub(crate) fn convert<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    run(convert_command(args)).exits(0)
}

/// Runs the same where a source has junk, which is left out: exit 1.
pub(crate) fn convert_junk<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let run = run(convert_command(args)).exits(1);
    let is_junk = |finding: &Value| finding["severity"] != "error" || finding["code"] == "mbox-junk";
    assert!(run.findings().iter().all(is_junk), "{run:?}");
    run
}

pub(crate) fn convert_command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = mailferry(["convert", "--json"]);
    command.args(args);
    command
}

/// Returns where scratch directories are created. That is in memory if there is space and TMPDIR is not set:
/// ext4 is slow to create files after thousands were removed.
fn scratch_root() -> PathBuf {
    const SPACE: u64 = 2 << 30;
    let memory = PathBuf::from("/dev/shm");
    let has_space = |stat: rustix::fs::StatVfs| stat.f_bavail * stat.f_frsize > SPACE;
    if std::env::var_os("TMPDIR").is_none() && rustix::fs::statvfs(&memory).is_ok_and(has_space) {
        return memory;
    }
    std::env::temp_dir()
}

/// Creates a scratch directory that every user may enter.
pub(crate) fn scratch() -> TempDir {
    scratch_in(&scratch_root())
}

pub(crate) fn scratch_in(root: &Path) -> TempDir {
    tempfile::Builder::new()
        .prefix("mailferry-test-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(root)
        .expect("a scratch directory")
}

/// Creates a scratch directory with one file, and returns the file's path.
pub(crate) fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let scratch = scratch();
    let path = scratch.path().join(name);
    fs::write(&path, content).unwrap();
    (scratch, path)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Converts a fixture in place. A lock file would disturb other tests, and the directory may be read-only.
#[track_caller]
pub(crate) fn convert_fixture(name: &str, maildir: &Path) -> Run {
    let args =
        [OsStr::new("--lock=none"), fixture(name).as_os_str(), maildir.as_os_str()].map(OsStr::to_owned);
    if name == "broken.mbox" { convert_junk(args) } else { convert(args) }
}

/// The state of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileState {
    pub mode: u32,
    /// Seconds and nanoseconds; 0 for a directory, whose mtime changes with its contents.
    pub mtime: (i64, i64),
    pub inode: u64,
    /// SHA-256; empty for a directory.
    pub digest: String,
}

/// Returns everything in and below a directory, by relative path.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let state = if meta.is_dir() {
                open.push(path.clone());
                FileState { mode: meta.mode(), mtime: (0, 0), inode: meta.ino(), digest: String::new() }
            } else {
                let digest = if meta.is_file() { sha256(&fs::read(&path).unwrap()) } else { "other".into() };
                let mtime = (meta.mtime(), meta.mtime_nsec());
                FileState { mode: meta.mode(), mtime, inode: meta.ino(), digest }
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), state);
        }
    }
    all
}

/// Returns the tree without inodes and without the creation times of folders: what two runs of one conversion
/// have in common.
pub(crate) fn tree_alike(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut tree = tree(root);
    for (path, state) in &mut tree {
        state.inode = 0;
        if path.ends_with("maildirfolder") {
            state.mtime = (0, 0);
        }
    }
    tree
}

/// Returns that without manifests, which name their source.
pub(crate) fn mail_alike(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut tree = tree_alike(root);
    tree.retain(|path, _| path.file_name() != Some(OsStr::new("mailferry.manifest")));
    tree
}

/// Returns the tree without the mtime of a manifest, which changes when a run appends to it and rolls back.
pub(crate) fn lasting(root: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut tree = tree(root);
    for (path, state) in &mut tree {
        if path.ends_with("mailferry.manifest") {
            state.mtime = (0, 0);
        }
    }
    tree
}

/// Waits until a condition holds. The outcome of a test must not depend on the time that this takes.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIME_LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Tells whether a process sleeps while it has this file open, which means that it waits for a lock.
pub(crate) fn sleeps_with(child: &Child, file: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let fds = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let is_open =
        fds.map(|fd| fs::read_link(fd.path())).any(|target| target.is_ok_and(|target| target == file));
    is_open && fs::read_to_string(process.join("status")).is_ok_and(|status| status.contains("\nState:\tS"))
}

/// Tells whether a process catches a signal.
pub(crate) fn catches(child: &Child, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    let caught = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
    // The shell that starts it may also catch some.
    status.starts_with("Name:\tmailferry\n") && caught & 1 << (signal.as_raw() - 1) != 0
}

pub(crate) fn send(child: &Child, signal: Signal) {
    // SAFETY is std's: the child has not been waited for.
    rustix::process::kill_process(Pid::from_child(child), signal).unwrap();
}

/// Returns the relative paths in and below a directory, sorted.
pub(crate) fn paths(root: &Path) -> Vec<String> {
    tree(root).keys().map(|path| path.to_str().unwrap().to_owned()).collect()
}

/// A message file of a Maildir with its name parsed. The code shares nothing with the program.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub path: PathBuf,
    pub subdir: &'static str,
    pub name: String,
    pub epoch: i64,
    pub unique: String,
    pub host: String,
    pub size: u64,
    pub wire_size: u64,
    pub flags: Option<String>,
    pub bytes: Vec<u8>,
    pub meta: fs::Metadata,
}

/// Returns all messages of a Maildir written with the default `--info-sep`, in the order of their names.
pub(crate) fn messages(maildir: &Path) -> Vec<Message> {
    let mut all: Vec<Message> =
        ["new", "cur"].into_iter().flat_map(|subdir| in_subdir(maildir, subdir)).collect();
    all.sort_by(|a, b| (&a.name, a.subdir).cmp(&(&b.name, b.subdir)));
    all
}

fn in_subdir(maildir: &Path, subdir: &'static str) -> Vec<Message> {
    let entries = fs::read_dir(maildir.join(subdir)).unwrap();
    entries.map(|entry| Message::of(entry.unwrap().path(), subdir)).collect()
}

impl Message {
    fn of(path: PathBuf, subdir: &'static str) -> Message {
        let name = std::str::from_utf8(path.file_name().unwrap().as_bytes()).unwrap().to_owned();
        let (base, flags) = match name.split_once(":2,") {
            Some((base, flags)) => (base, Some(flags.to_owned())),
            None => (&name[..], None),
        };
        let parsed = || {
            let (head, sizes) = base.split_once(",S=")?;
            let (size, wire_size) = sizes.split_once(",W=")?;
            let mut parts = head.splitn(3, '.');
            Some((
                parts.next()?.parse().ok()?,
                parts.next()?.to_owned(),
                parts.next()?.to_owned(),
                size.parse().ok()?,
                wire_size.parse().ok()?,
            ))
        };
        let (epoch, unique, host, size, wire_size) =
            parsed().unwrap_or_else(|| panic!("{name:?} is no name as the manual promises"));
        let (bytes, meta) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap());
        Message { path, subdir, epoch, unique, host, size, wire_size, flags, bytes, meta, name }
    }

    /// Returns its name up to the info.
    pub(crate) fn base(&self) -> &str {
        self.name.split(":2,").next().expect("split gives one part at least")
    }

    /// Returns the value of the first header field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(self.header());
        let prefix = format!("{}:", name.to_ascii_lowercase());
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with(&prefix))?;
        Some(line[prefix.len()..].trim().to_owned())
    }

    pub(crate) fn subject(&self) -> String {
        self.field("Subject").unwrap_or_default()
    }

    /// Returns the header, up to the empty line.
    fn header(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() - self.body().len()]
    }

    /// Returns the body after the first empty line, which ends in LF, CRLF or CR.
    pub(crate) fn body(&self) -> &[u8] {
        let ends = [&b"\n\n"[..], b"\n\r\n", b"\r\r"];
        if self.bytes.starts_with(b"\n") {
            return &self.bytes[1..];
        }
        let find =
            |end: &&[u8]| self.bytes.windows(end.len()).position(|w| w == *end).map(|at| at + end.len());
        match ends.iter().filter_map(find).min() {
            Some(at) => &self.bytes[at..],
            None => &[],
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a file or directory of the shared mail. Skips the test if there is none.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = std::env::var_os("MAILFERRY_SHARED").map_or_else(default, PathBuf::from);
    if root.is_dir() {
        return Some(root.join(path));
    }
    skip!("../shared is not here");
}

/// Returns from a test that cannot run here, or from its helper with `None` or `false`, and reports why.
macro_rules! skip {
    ($($why:tt)*) => { return $crate::support::skipped(&format!($($why)*)) };
}
pub(crate) use skip;

/// Reports a skipped test, so that it does not look like a passed one. `.ci/run` counts the lines of the file
/// that MAILFERRY_SKIPS names.
pub(crate) fn skipped<T: Default>(why: &str) -> T {
    let thread = std::thread::current();
    note!("skipped: {why} ({})", thread.name().unwrap_or_default());
    if let Some(list) = std::env::var_os("MAILFERRY_SKIPS") {
        let mut list = fs::File::options().append(true).create(true).open(list).expect("a file to append to");
        list.write_all(format!("{why}\n").as_bytes()).expect("the list can be written");
    }
    T::default()
}

/// Prints a line to standard error. The test harness captures what eprintln! writes, but not this.
macro_rules! note {
    ($($line:tt)*) => {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{}\n", format_args!($($line)*)).as_bytes());
    };
}
pub(crate) use note;

/// Chooses a number of samples: for `cargo test`, for `.ci/run` (MAILFERRY_SAMPLES=ci) and for `.ci/full`
/// (MAILFERRY_FULL), where a campaign takes hours.
pub(crate) fn samples<T>(test: T, ci: T, full: T) -> T {
    let is_set = |name| std::env::var_os(name).is_some();
    match (is_set("MAILFERRY_FULL"), is_set("MAILFERRY_SAMPLES")) {
        (true, _) => full,
        (false, true) => ci,
        (false, false) => test,
    }
}

/// Tells whether `.ci/full` runs all samples of a campaign.
pub(crate) fn full() -> bool {
    samples(false, false, true)
}

/// Returns an mbox of this many small messages, all different.
pub(crate) fn many(count: u32) -> Vec<u8> {
    let mut mbox = Vec::new();
    for n in 0..count {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        mbox.extend_from_slice(
            format!(
                "From ada@example.org Mon Mar  2 {hour:02}:{minute:02}:{second:02} 1998\n\
                 From: Ada <ada@example.org>\nSubject: number {n}\nStatus: RO\n\n{}\n\n",
                "word ".repeat(n as usize % 90)
            )
            .as_bytes(),
        );
    }
    mbox
}

/// Returns a message without the blank line after it. Some have a quoted line, some another Status.
pub(crate) fn mail(n: u32) -> String {
    mail_with(n, if n.is_multiple_of(2) { "Status: RO\n" } else { "" })
}

/// Returns a message with these fields, which its mail program rewrites.
pub(crate) fn mail_with(n: u32, status: &str) -> String {
    let quoted = if n.is_multiple_of(3) { ">From here on prose\n" } else { "" };
    // As long as the header of mail that has travelled: the rewritten fields are not at the beginning.
    let way = format!("Received: by {} for ada\n", "x".repeat(250));
    format!(
        "From ada@example.org Mon Mar  2 08:{:02}:{:02} 1998\n{way}From: Ada <ada@example.org>\n\
         Message-ID: <{n}@example.org>\n{status}Subject: number {n}\n\n{quoted}text {n}\n",
        n / 60 % 60,
        n % 60
    )
}

/// Spellings of a path. The directory has the link `link` to itself.
const SPELLINGS: [&str; 6] =
    ["{dir}/{name}", "{name}", "./{name}", "../{base}/{name}", "link/{name}", "{name}/"];

/// Returns a spelling of the path of a directory or file in this directory, from which the program is run. Only
/// that of a directory may end in a slash.
pub(crate) fn spelled(dir: &Path, name: &str, nth: usize, is_dir: bool) -> PathBuf {
    let (base, dir) = (dir.file_name().unwrap().to_str().unwrap(), dir.to_str().unwrap());
    let spelling = SPELLINGS[nth % (SPELLINGS.len() - usize::from(!is_dir))];
    spelling.replace("{dir}", dir).replace("{base}", base).replace("{name}", name).into()
}

pub(crate) const MANIFEST: &str = "mailferry.manifest";

/// A scratch directory with a Maildir that conversions write to.
pub(crate) struct Setup {
    pub scratch: TempDir,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        Setup { scratch: scratch() }
    }

    /// Writes a file, new or again.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.path("Maildir")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.maildir().join(MANIFEST)
    }

    /// Runs `convert OPTIONS… SOURCES… Maildir`, whatever the result.
    pub(crate) fn try_convert(&self, options: &[&str], sources: &[&Path]) -> Run {
        let mut command = convert_command(["--lock=none"]);
        command.args(options).args(sources).arg(self.maildir());
        run(command)
    }

    /// Returns how many messages were written, already present and duplicates.
    #[track_caller]
    pub(crate) fn convert(&self, options: &[&str], sources: &[&Path]) -> [u64; 3] {
        let run = self.try_convert(options, sources);
        let has_junk = run.complaints().contains(&"mbox-junk".to_owned());
        let summary = run.exits(i32::from(has_junk)).summary();
        ["written", "already_present", "duplicates"].map(|key| count(&summary, key))
    }

    pub(crate) fn try_exact(&self, options: &[&OsStr]) -> Run {
        let mut command = convert_command(["--exact"]);
        command.args(options).args([self.maildir(), self.path("back")]);
        run(command)
    }

    /// Runs `convert --exact`, which must succeed.
    #[track_caller]
    pub(crate) fn exact(&self, options: &[&OsStr]) -> Vec<u8> {
        self.try_exact(options).exits(0);
        let bytes = fs::read(self.path("back")).unwrap();
        fs::remove_file(self.path("back")).unwrap();
        bytes
    }

    /// Asserts that a source is restored as the file is now.
    #[track_caller]
    pub(crate) fn restores(&self, source: &Path) {
        let got = self.exact(&["--source".as_ref(), source.as_os_str()]);
        same(&got, &fs::read(source).unwrap(), &source.display().to_string());
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        messages(&self.maildir())
    }

    pub(crate) fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self.messages().iter().map(Message::subject).collect();
        subjects.sort();
        subjects
    }

    /// Returns the message `number n`.
    #[track_caller]
    pub(crate) fn message(&self, n: u32) -> Message {
        let subject = format!("number {n}");
        self.messages().into_iter().find(|m| m.subject() == subject).expect("it is there")
    }
}

#[track_caller]
pub(crate) fn same(got: &[u8], expected: &[u8], what: &str) {
    let differs = || got.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        got == expected,
        "{what}: {} bytes, not {}; they differ at {:?}",
        got.len(),
        expected.len(),
        differs()
    );
}

/// Returns the files without the manifest, which may have grown.
pub(crate) fn mail_files(maildir: &Path) -> Vec<(PathBuf, FileState)> {
    tree(maildir).into_iter().filter(|(path, _)| path.parent() != Some(Path::new(""))).collect()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Tells whether a command works here.
pub(crate) fn have(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Runs mailferry with a file on standard input. Returns the exit code and the peak memory in KiB.
pub(crate) fn peak_memory(command: &[&str], input: &Path) -> (i32, u64) {
    let script = "import resource, subprocess, sys\n\
                  code = subprocess.run(sys.argv[2:], stdin=open(sys.argv[1]), stdout=subprocess.DEVNULL).returncode\n\
                  print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output =
        Command::new("python3").args(["-c", script]).arg(input).arg(BINARY).args(command).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (code, memory) = text.trim().split_once(' ').unwrap_or_else(|| panic!("{text:?}"));
    (code.parse().unwrap(), memory.parse().unwrap())
}

/// Tells whether strace works here.
pub(crate) fn have_strace() -> bool {
    if !have("strace", &["-f", "-o", "/dev/null", "true"]) {
        skip!("strace does not work here");
    }
    true
}

/// Creates an executable shell script. A child writes it: a file that is open for writing cannot be executed,
/// and a child of another test has this process's open files until its exec.
pub(crate) fn script(path: &Path, text: &str) {
    let make = "cat > \"$0\" && chmod 755 \"$0\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", make]).arg(path);
    run_with_stdin(command, format!("#!/bin/sh\n{text}\n")).exits(0);
}

/// Copies the binary for a user who may not reach the original. A child copies it: see `script`.
pub(crate) fn copy_binary(to: &Path) {
    let mut command = Command::new("cp");
    command.arg(BINARY).arg(to);
    run(command).exits(0);
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A random number generator that gives the same everywhere (splitmix64).
pub(crate) struct Dice(pub u64);

impl Dice {
    /// Returns a number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}
