//! The recipes without a mail server: a systemd socket, fetchmail, cron, a loop.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::recipes;
use super::sandbox::{JOE, Sandbox, VMAIL};
use crate::support::*;

const SYSTEMD: &str = "systemd, a socket for LMTP";

const MESSAGE: &str = "From: ada@example.com\nSubject: number 1\n\nbody\n";

/// Returns the command line of the crontab as cron passes it to the shell: `\%` is `%`. Text after another
/// `%` would be standard input.
fn as_cron_does(crontab: &str) -> String {
    let line = crontab.lines().find(|line| !line.starts_with('#')).unwrap();
    let command = line.splitn(6, ' ').nth(5).unwrap();
    assert!(!command.replace("\\%", "").contains('%'), "cron ends the command at a bare %");
    command.replace("\\%", "%")
}

#[test]
fn the_output_of_a_cron_job_becomes_a_message() {
    let Some(sandbox) = Sandbox::new() else { return };
    let maildir = sandbox.maildir("/home/joe/Maildir", JOE);
    let line = as_cron_does(&recipes::blocks("cron")[0]);
    let job = |script: &str| {
        sandbox.write("/home/joe/bin/nightly-job", format!("#!/bin/sh\n{script}\n"));
        sandbox.sh("chmod 755 /home/joe/bin/nightly-job");
        let mut command = sandbox.command_as(JOE, ["/bin/sh", "-c", &line]);
        command.env("PATH", "/home/joe/bin:/usr/local/bin:/usr/bin:/bin");
        run(command).exits(0);
        messages(&maildir)
    };
    assert!(job("exit 1").is_empty());
    let all = job("echo 'From here: 100%'; echo complaint >&2; exit 3");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].subject(), "nightly-job");
    assert_eq!(all[0].body(), b"From here: 100%\ncomplaint\n");
}

#[test]
fn a_loop_over_files_removes_only_delivered_mail() {
    let Some(sandbox) = Sandbox::new() else { return };
    let script = &recipes::blocks("A loop over files")[0];
    let maildir = sandbox.path("/home/joe/Maildir");
    for name in ["one", "two", "-dash"] {
        sandbox.write(Path::new("/home/joe/spool").join(name), MESSAGE.replace("number 1", name));
    }
    sandbox.write("/home/joe/spool/empty", "");
    sandbox.write("/home/joe/kept/one", MESSAGE.replace("number 1", "one"));
    sandbox.sh("mkdir /home/joe/refused; chown -R joe:joe /home/joe");
    let go = || run(sandbox.command_as(JOE, ["/bin/sh", "-c", script])).exits(0);
    let spool = || names(&sandbox.path("/home/joe/spool"));
    // Without the Maildir every message can be retried, except the empty one, which is not a message.
    assert_eq!(go().text().matches(": later").count(), 3);
    assert_eq!(spool(), ["-dash", "one", "two"]);
    assert_eq!(names(&sandbox.path("/home/joe/refused")), ["empty"]);
    sandbox.maildir("/home/joe/Maildir", JOE);
    go();
    assert!(spool().is_empty());
    sandbox.sh("cp /home/joe/kept/one /home/joe/spool/again; chown joe /home/joe/spool/again");
    go();
    assert!(spool().is_empty());
    let mut subjects: Vec<_> = messages(&maildir).iter().map(Message::subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["-dash", "one", "two"]);
}

/// fetchmail gets its mail from Dovecot's imap on a pipe, as from `ssh host imap`.
#[test]
fn fetchmail_leaves_on_the_server_what_was_not_delivered() {
    if !["/usr/bin/fetchmail", "/usr/lib/dovecot/imap"].iter().all(|program| Path::new(program).exists()) {
        skip!("fetchmail or Dovecot is not here");
    }
    let Some(sandbox) = Sandbox::new() else { return };
    let server = sandbox.maildir("/home/joe/server", JOE);
    let body = "8-bit \u{e4}\n.\n..dots\nFrom here\n>From there\n\nend\n";
    fs::write(
        server.join("new/1.1.host"),
        format!("Return-Path: <ada@example.com>\n{}", MESSAGE.replace("body\n", body)),
    )
    .unwrap();
    fs::write(server.join("new/2.2.host"), MESSAGE.replace("number 1", "number 2")).unwrap();
    sandbox.write(
        "/home/joe/imap",
        "#!/bin/sh\nexec env USER=joe HOME=/home/joe /usr/lib/dovecot/imap -o mail_location=maildir:/home/joe/server \
         -o log_path=/home/joe/dovecot.log -o stats_writer_socket_path=\n",
    );
    sandbox.sh("chmod 755 /home/joe/imap; mkdir -p /etc/dovecot; : > /etc/dovecot/dovecot.conf");
    let recipe = &recipes::files("fetchmail")[0];
    let piped = recipe
        .1
        .replace("protocol imap", "protocol imap plugin \"/home/joe/imap\" auth ssh")
        .replace("password secret", "password secret sslproto ''");
    assert_ne!(piped, recipe.1);
    sandbox.write(&recipe.0, piped);
    sandbox.sh("chown -R joe:joe /home/joe; chmod 600 /home/joe/.fetchmailrc");
    let fetch = || run(sandbox.command_as(JOE, ["fetchmail", "--nosyslog", "--invisible"]));
    let waiting = || messages_anywhere(&server);
    let first = fetch();
    assert!(first.stderr.contains("nonzero status 75"), "{first:?}");
    assert_eq!(waiting(), 2, "{first:?}");
    let maildir = sandbox.maildir("/home/joe/Maildir", JOE);
    let second = fetch();
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(waiting(), 0);
    let all = messages(&maildir);
    assert_eq!(all.len(), 2);
    let one = all.iter().find(|m| m.subject() == "number 1").unwrap();
    assert_eq!(one.field("Return-Path").as_deref(), Some("<ada@example.com>"));
    assert_eq!(String::from_utf8_lossy(one.body()), body);
}

fn messages_anywhere(maildir: &Path) -> usize {
    ["new", "cur"].map(|place| fs::read_dir(maildir.join(place)).unwrap().count()).iter().sum()
}

#[test]
fn the_systemd_units_are_sound_and_confined() {
    if !have("systemd-analyze", &["--version"]) {
        skip!("systemd-analyze is not here");
    }
    let Some(sandbox) = Sandbox::new() else { return };
    let files = recipes::files(SYSTEMD);
    for (path, text) in &files {
        sandbox.write(path, text);
    }
    let units: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    let mut verify = sandbox.command(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]);
    verify.args(&units);
    let verified = run(verify).exits(0);
    assert_eq!(verified.stderr, "", "systemd-analyze verify");
    let service = units.iter().find(|unit| unit.ends_with(".service")).unwrap();
    let security = run(sandbox.command(["systemd-analyze", "security", "--offline=true", service]));
    let verdict = security.text();
    // Without confinement this is about 9. What remains exposed is the mail itself.
    let exposure = verdict.split("exposure level for ").nth(1).and_then(|replies| replies.split(' ').nth(1));
    let exposure: f32 = exposure.unwrap_or_else(|| panic!("{verdict}{}", security.stderr)).parse().unwrap();
    assert!(exposure < 1.0, "{verdict}");
}

/// Returns the value of this key in the unit of the recipe.
fn of_unit(unit: &str, key: &str) -> String {
    let files = recipes::files(SYSTEMD);
    let (_, text) = files.iter().find(|(path, _)| path.ends_with(unit)).unwrap();
    text.lines().find_map(|line| line.strip_prefix(key)).unwrap().replace("%%", "%")
}

fn session() -> String {
    format!(
        "LHLO x\r\nMAIL FROM:<ada@example.com>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n{}.\r\nQUIT\r\n",
        MESSAGE.replace('\n', "\r\n")
    )
}

/// As systemd starts it, with systemd's own test program: a process per connection on its socket.
#[test]
fn a_connection_to_the_systemd_socket_delivers() {
    if !have("systemd-socket-activate", &["--version"]) {
        skip!("systemd-socket-activate is not here");
    }
    let Some(sandbox) = Sandbox::new() else { return };
    let maildir = sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    let socket = of_unit(".socket", "ListenStream=");
    let start = of_unit(".service", "ExecStart=");
    // The unit has User=vmail, which only systemd itself applies.
    let start = format!(
        "exec systemd-socket-activate --accept --inetd --listen={socket} \
         setpriv --reuid=vmail --regid=vmail --clear-groups {start}"
    );
    fs::create_dir_all(sandbox.path(&socket).parent().unwrap()).unwrap();
    let mut server = sandbox.command(["/bin/sh", "-c", &start]).stderr(Stdio::null()).spawn().unwrap();
    let mut stream = sandbox.until("the socket", || UnixStream::connect(sandbox.path(&socket)).ok());
    stream.write_all(session().as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(replies.lines().last().unwrap().starts_with("221 "), "{replies}");
    let all = messages(&maildir);
    assert_eq!(all.len(), 1, "{replies}");
    assert_eq!(all[0].body(), b"body\n");
}

/// A system call that the unit forbids would end the delivery.
#[test]
fn the_systemd_unit_forbids_nothing_that_a_delivery_does() {
    if !have("systemd-analyze", &["--version"]) || !have_strace() {
        skip!("systemd-analyze is not here");
    }
    let Some(sandbox) = Sandbox::new() else { return };
    let maildir = sandbox.maildir("/var/vmail/example.org/joe", VMAIL);
    sandbox.write("/var/vmail/example.org/joe/maildirsize", "9000S\n0 0\n");
    sandbox.sh("chown vmail /var/vmail/example.org/joe/maildirsize");
    let start = of_unit(".service", "ExecStart=");
    let traced = format!("exec strace -f -qq -o /var/tmp/calls {start}");
    run_with_stdin(sandbox.command_as(VMAIL, ["/bin/sh", "-c", &traced]), session()).exits(0);
    assert_eq!(messages(&maildir).len(), 1);
    let calls = fs::read_to_string(sandbox.path("/var/tmp/calls")).unwrap();
    // The process id, then the call.
    let calls_made: BTreeSet<&str> = calls
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('('))
        .map(|call| call.0)
        .collect();
    let allowed = of_unit(".service", "SystemCallFilter=");
    let denied = of_unit(".service", "SystemCallFilter=~");
    let (allowed, denied) = (system_calls(&allowed), system_calls(&denied));
    assert!(calls_made.len() > 10 && allowed.len() > 100 && denied.len() > 20, "{calls_made:?}");
    let forbidden: Vec<_> =
        calls_made.into_iter().filter(|call| !allowed.contains(*call) || denied.contains(*call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

/// Returns the system calls in a list of them and of sets, and in the sets that these include.
fn system_calls(sets: &str) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for set in sets.split(' ') {
        if !set.starts_with(['@', '~']) {
            calls.insert(set.to_owned());
            continue;
        }
        let list = Command::new("systemd-analyze").args(["syscall-filter", set]).output().unwrap();
        // The first line is the set itself.
        for line in String::from_utf8(list.stdout).unwrap().lines().skip(1).map(str::trim) {
            match line.chars().next() {
                Some('@') => calls.extend(system_calls(line)),
                Some('#') | None => {}
                Some(_) => _ = calls.insert(line.to_owned()),
            }
        }
    }
    calls
}
