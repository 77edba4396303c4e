//! `.qmail` lines that name a program of qmail, where no such program is installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use super::support::*;

const MESSAGE: &str = "Received: x\nSubject: s\n\nbody\n";

/// A home directory with a Maildir and a `.qmail` file, and a queue program that is not the default.
struct Account {
    scratch: tempfile::TempDir,
}

impl Account {
    fn with(lines: &str) -> Account {
        let account = Account { scratch: scratch() };
        for dir in ["tmp", "new", "cur"] {
            fs::create_dir_all(account.path("home/Maildir").join(dir)).unwrap();
        }
        fs::create_dir(account.path("tmp")).unwrap();
        fs::write(account.path("home/.qmail-list"), lines).unwrap();
        let dir = account.scratch.path().display();
        script(&account.path("queue"), &format!("cd {dir} || exit 1\ncat > message; cat <&1 > envelope"));
        account
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = mailferry(["deliver", "--dot-qmail", "--home"]);
        command.arg(self.path("home")).args(options).env("TMPDIR", self.path("tmp"));
        command.arg(format!("--via=queue:{}", self.path("queue").display()));
        // A forward that does not go where --via says fails.
        command.env("QMAILQUEUE", "/nonexistent/queue");
        command
    }

    fn deliver(&self) -> Run {
        let options = ["-f", "s@x.example", "-r", "joe-list@h.example"];
        let run = run_with_stdin(self.command(&options), MESSAGE);
        assert_eq!(names(&self.path("tmp")), [""; 0], "files are left in $TMPDIR");
        run
    }

    fn mail(&self) -> usize {
        names(&self.path("home/Maildir/new")).len()
    }

    fn queued(&self) -> Option<(String, String)> {
        let message = fs::read_to_string(self.path("message")).ok()?;
        Some((message, fs::read_to_string(self.path("envelope")).unwrap().replace('\0', " ")))
    }
}

#[test]
fn lines_that_refuse_mail_refuse_it() {
    for line in [
        "|bouncesaying \"No such user (#5.1.1)\"",
        "| bouncesaying 'No such user (#5.1.1)'",
        "|test -z x || bouncesaying 'No such user (#5.1.1)'",
        "|exec bouncesaying 'No such user (#5.1.1)'",
        "|cat >/dev/null; bouncesaying 'No such user (#5.1.1)' true",
        "|if grep -q Subject; then bouncesaying 'No such user (#5.1.1)'; fi",
        "|bouncesaying 'No such user (#5.1.1)' grep -q '^Subject: s'",
        "|env SOME=thing bouncesaying 'No such user (#5.1.1)'",
        "|(exit 3) || echo 'No such user (#5.1.1)' | xargs -d '\\n' bouncesaying || exit 100",
        "|PATH=/opt/bin:$PATH; bouncesaying 'No such user (#5.1.1)'",
    ] {
        let account = Account::with(&format!("./Maildir/\n{line}\n|touch went-on\n"));
        account.deliver().exits(69).complains(&["5.3.0 ", "exit 100", "No such user (#5.1.1)"]);
        assert_eq!(account.mail(), 1, "{line}");
        assert!(!account.path("home/went-on").exists(), "{line}");
    }
    // Plesk's way to refuse all mail.
    let account = Account::with("|true\n|bouncesaying \"This address no longer accepts mail.\"\n");
    account.deliver().exits(69).complains(&["This address no longer accepts mail."]);
}

#[test]
fn lines_that_let_mail_pass_let_it_pass() {
    for line in [
        "|bouncesaying 'No' false",
        "|except false",
        "|condredirect new@x.example grep -q '^X-Spam: yes'",
        "|except condredirect new@x.example true",
        "|except bouncesaying 'No' true",
        "|preline cat > got",
        "|except except sh -c 'except false'; true",
    ] {
        let account = Account::with(&format!("{line}\n./Maildir/\n"));
        account.deliver().exits(0);
        assert_eq!(account.mail(), 1, "{line}");
    }
    let account = Account::with("|preline -d cat > got\n");
    account.deliver().exits(0);
    let got = fs::read_to_string(account.path("home/got")).unwrap();
    assert!(got.starts_with("From s@x.example ") && got.contains("\nReturn-Path: <s@x.example>\n"), "{got}");
    assert!(got.ends_with(MESSAGE), "{got}");
    Account::with("|except true\n").deliver().exits(69);
    Account::with("|except sh -c 'exit 111'\n").deliver().exits(75);
}

#[test]
fn forwards_of_a_line_go_where_other_forwards_go() {
    let account = Account::with("|forward \"$EXT@new.example\" b@x.example\n./Maildir/\n");
    account.deliver().exits(0);
    let message = format!("Delivered-To: joe-list@h.example\n{MESSAGE}");
    let envelope = "Fs@x.example Tlist@new.example Tb@x.example  ".to_owned();
    assert_eq!((account.queued(), account.mail()), (Some((message.clone(), envelope)), 1));

    // It ends the delivery.
    let account = Account::with("|condredirect user-spam@x grep -q '^Subject: s'\n./Maildir/\n");
    account.deliver().exits(0);
    assert_eq!(
        (account.queued(), account.mail()),
        (Some((message, "Fs@x.example Tuser-spam@x  ".into())), 0)
    );

    let account = Account::with("|forward a@b\n./Maildir/\n");
    script(&account.path("queue"), "cat >/dev/null; cat <&1 >/dev/null; exit 53");
    account.deliver().exits(75).complains(&["forward: fatal: qq write error or disk full (#4.3.0)"]);
}

#[test]
fn a_program_that_is_installed_comes_first() {
    let account = Account::with("|bouncesaying 'No'\n./Maildir/\n");
    fs::create_dir(account.path("bin")).unwrap();
    script(&account.path("bin/bouncesaying"), "echo \"$1\" > said");
    let path = format!("{}:/usr/bin:/bin", account.path("bin").display());
    let options = ["-f", "s@x.example", "-r", "joe-list@h.example"];
    let mut command = account.command(&options);
    run_with_stdin(
        {
            command.env("PATH", &path);
            command
        },
        MESSAGE,
    )
    .exits(0);
    assert_eq!(fs::read_to_string(account.path("home/said")).unwrap(), "No\n");

    let explained = |path: &str| {
        let mut command = account.command(&[&options[..], &["-n"]].concat());
        command.env("PATH", path);
        run(command).exits(0).text()
    };
    let own = "; bouncesaying is mailferry's own, because $PATH has none";
    assert!(!explained(&path).contains(own));
    assert!(explained("/usr/bin:/bin").contains(&format!("line 1: runs bouncesaying 'No'{own}\n")));
}

#[test]
fn a_session_refuses_for_the_recipient_of_the_line() {
    let account = Account::with("|bouncesaying \"No such user (#5.1.1)\"\n");
    fs::write(account.path("home/.qmail-ok"), "|except false\n./Maildir/\n").unwrap();
    let mut command = mailferry(["deliver", "--dot-qmail", "--protocol=lmtp", "--home"]);
    command.arg(account.path("%u")).env("TMPDIR", account.path("tmp"));
    let session = "LHLO there\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<home-list@h.example>\r\n\
                   RCPT TO:<home-ok@h.example>\r\nDATA\r\nSubject: s\r\n\r\ntext\r\n.\r\nQUIT\r\n";
    let output = run_with_stdin(command, session).exits(0).text();
    let replies: Vec<&str> = output.lines().rev().take(3).collect();
    assert!(replies[2].starts_with("554 5.3.0 ") && replies[2].contains("No such user (#5.1.1)"), "{output}");
    assert!(replies[1].starts_with("250 "), "{output}");
    assert_eq!(account.mail(), 1);
    assert_eq!(names(&account.path("tmp")), [""; 0]);
}

#[test]
fn the_link_qmail_local_runs_them_too() {
    let account = Account::with("|bouncesaying \"No such user (#5.1.1)\"\n");
    symlink(BINARY, account.path("qmail-local")).unwrap();
    let home = account.path("home");
    let args = ["joe", home.to_str().unwrap(), "joe-list", "-", "list", "h", "s@x", "./Maildir/"];
    let run = run_with_stdin(wrapped("exec \"$@\"", [account.path("qmail-local")], args), MESSAGE);
    assert_eq!((run.code, run.stderr.as_str()), (Some(100), "No such user (#5.1.1)\n"));
}
