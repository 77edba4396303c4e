//! Namespaces for programs that need a whole machine. `/etc`, `/home`, `/run`, `/srv` and `/var` belong to the test,
//! with accounts of its own and the binary as `/usr/local/bin/mailferry`. The processes see only each other,
//! and their only network is the loopback device. So a recipe runs unchanged, and the machine is not touched.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::support::*;

/// User ids in the range of a distribution's user accounts.
pub(super) const JOE: u32 = 61_001;
pub(crate) const VMAIL: u32 = 61_002;
const EXIM: u32 = 61_003;

const ACCOUNTS: [(&str, u32, &str); 3] =
    [("joe", JOE, "/home/joe"), ("vmail", VMAIL, "/var/vmail"), ("Debian-exim", EXIM, "/var/spool/exim4")];

/// Files of /etc that programs and the C library need.
const COPIED: [&str; 9] = [
    "alternatives",
    "passwd",
    "group",
    "nsswitch.conf",
    "services",
    "protocols",
    "ld.so.cache",
    "ld.so.conf",
    "postfix",
];

const NAMESPACES: [&str; 5] = ["--mount", "--pid", "--net", "--ipc", "--uts"];

/// Time limit for anything that ends by itself. The machine may be busy.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The first process: it sets up the namespaces. When its standard input closes, however the test ended, it
/// exits and the kernel kills all other processes in them.
const INIT: &str = r#"
set -e
root=$1 mailferry=$2 exim=$3
# Only now: before, this is still the number that the others know.
read -r me rest </proc/self/stat
mount -t proc proc /proc
ip link set lo up
hostname mx.example.org
for place in etc home run srv var; do
    mount --bind "$root/$place" "/$place"
done
mount --bind "$root/bin" /usr/local/bin
: >/usr/local/bin/mailferry
mount --bind "$mailferry" /usr/local/bin/mailferry
if [ -n "$exim" ]; then
    : >/usr/local/bin/exim4
    mount --bind "$exim" /usr/local/bin/exim4
fi
echo "$me"
# Nothing is to hold what the test has to remove.
cd /
exec 3<&0 </dev/null
# The shell reaps the processes whose parents have ended: a zombie looks alive.
cat <&3 >/dev/null
exit
"#;

pub(crate) struct Sandbox {
    first: Child,
    /// The namespaces exist while this is open.
    life: Option<ChildStdin>,
    /// The first process, by its id outside.
    number: u32,
    _root: TempDir,
}

impl Sandbox {
    /// Skips the test if namespaces are not available.
    pub(crate) fn new() -> Option<Sandbox> {
        if !rustix::process::geteuid().is_root() {
            skip!("not root: no world of its own for a mail server");
        }
        let root = scratch();
        furnish(root.path());
        let mut first = Command::new("unshare")
            .args(NAMESPACES)
            .args(["--fork", "--kill-child", "--propagation", "private"])
            .args(["/bin/sh", "-c", INIT, "sh"])
            .args([root.path(), Path::new(BINARY), &exim().unwrap_or_default()])
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is on every Debian");
        let mut ready = String::new();
        BufReader::new(first.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let number = ready.trim().parse().expect("the first process is ready; what it lacks is on stderr");
        let life = first.stdin.take();
        Some(Sandbox { first, life, number, _root: root })
    }

    /// Returns the path outside for a path in the namespaces, with mounts.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.number.to_string()).join("root").join(inside)
    }

    /// Returns the handle of the network namespace.
    pub(super) fn network(&self) -> PathBuf {
        Path::new("/proc").join(self.number.to_string()).join("ns/net")
    }

    /// Writes a file, and its directories; owned by root and readable to all.
    pub(crate) fn write(&self, inside: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    /// Creates a Maildir of this user. The directories on the path belong to the user too.
    pub(crate) fn maildir(&self, inside: impl AsRef<Path>, user: u32) -> PathBuf {
        let path = self.path(inside);
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        let above =
            path.ancestors().take_while(|a| ["/home", "/var/vmail"].iter().all(|top| *a != self.path(top)));
        for directory in above.map(Path::to_owned).chain(["tmp", "new", "cur"].map(|part| path.join(part))) {
            chown(directory, Some(user), Some(user)).unwrap();
        }
        path
    }

    /// Returns a command in the namespaces, as root with a short environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command_as(0, args)
    }

    /// Returns a command as one of the users, in the home directory, with the variables that login(1) sets.
    pub(crate) fn command_as<S: AsRef<OsStr>>(
        &self,
        user: u32,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let home = ACCOUNTS.iter().find(|(_, id, _)| *id == user).map_or("/", |(_, _, home)| home);
        let mut command = Command::new("/usr/bin/env");
        command.args(["--default-signal", "nsenter"]).args(NAMESPACES).arg("--target");
        command.arg(self.number.to_string()).args(["timeout", "-k", "5", "120"]);
        command.args(["setpriv", "--clear-groups"]);
        command.args(["--reuid", &user.to_string(), "--regid", &user.to_string()]);
        command.args(["env", "-C", home]).args(args);
        command.env_clear().envs([("LANG", "C"), ("TZ", "UTC"), ("HOME", home)]);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").stdin(Stdio::null());
        command
    }

    /// Runs a script as root, which must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        run(self.command(["/bin/sh", "-e", "-c", script])).exits(0).text()
    }

    /// Returns the processes that run a program of this name, by their ids outside.
    pub(crate) fn processes(&self, program: &str) -> Vec<Pid> {
        let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
        let here = namespace(&Path::new("/proc").join(self.number.to_string()));
        let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let all = entries.filter(|process| {
            let runs = fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with(program));
            runs && namespace(process) == here
        });
        let numbers = all.filter_map(|process| process.file_name()?.to_str()?.parse().ok());
        numbers.filter_map(Pid::from_raw).collect()
    }

    /// Mounts the binary again.
    pub(crate) fn mount_binary(&self) {
        let mut mount = Command::new("nsenter");
        mount.args(["--mount", "--target", &self.number.to_string()]);
        mount.args(["mount", "--bind", BINARY, "/usr/local/bin/mailferry"]);
        run(mount).exits(0);
    }

    /// Waits until `look` returns a value.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < TIME_LIMIT, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.life.take());
        let _ = self.first.wait();
    }
}

/// Creates the directories and accounts.
fn furnish(root: &Path) {
    for place in [
        "bin",
        "etc/exim4",
        "home/joe",
        "run",
        "srv",
        "var/spool/postfix",
        "var/spool/exim4",
        "var/lib/postfix",
        "var/log/exim4",
        "var/mail",
        "var/tmp",
        "var/vmail",
    ] {
        fs::create_dir_all(root.join(place)).unwrap();
    }
    for name in COPIED.iter().filter(|name| Path::new("/etc").join(name).exists()) {
        let from = Path::new("/etc").join(name);
        assert!(have("cp", &["-a", from.to_str().unwrap(), root.join("etc").to_str().unwrap()]));
    }
    for (file, line) in [("passwd", user_line as fn(&(&str, u32, &str)) -> String), ("group", group_line)] {
        let path = root.join("etc").join(file);
        let theirs = fs::read_to_string(&path).unwrap();
        let kept =
            theirs.lines().filter(|l| ACCOUNTS.iter().all(|(name, ..)| !l.starts_with(&format!("{name}:"))));
        let lines: Vec<String> = kept.map(str::to_owned).chain(ACCOUNTS.iter().map(line)).collect();
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost mx.example.org mail.example.org\n").unwrap();
    for (place, user) in
        [("home/joe", JOE), ("var/vmail", VMAIL), ("var/spool/exim4", EXIM), ("var/log/exim4", EXIM)]
    {
        chown(root.join(place), Some(user), Some(user)).unwrap();
    }
    for (place, mode) in [("var/tmp", 0o1777), ("home/joe", 0o700)] {
        fs::set_permissions(root.join(place), fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn user_line((name, id, home): &(&str, u32, &str)) -> String {
    format!("{name}:x:{id}:{id}::{home}:/bin/sh")
}

fn group_line((name, id, _): &(&str, u32, &str)) -> String {
    format!("{name}:x:{id}:")
}

/// Returns the path of Exim, installed or unpacked by `.ci/run`.
pub(super) fn exim() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/exim/usr/sbin/exim4");
    [PathBuf::from("/usr/sbin/exim4"), unpacked].into_iter().find(|path| path.exists())
}
