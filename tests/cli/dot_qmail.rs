//! `deliver --dot-qmail`: the route of an address, and delivery along it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use rustix::process::Signal;

use crate::support::*;

/// A home directory with a Maildir, and a queue program.
struct Account {
    scratch: tempfile::TempDir,
}

const MESSAGE: &str = "Received: x\nSubject: s\n\nFrom here\n";

impl Account {
    fn new() -> Account {
        let account = Account { scratch: scratch() };
        for place in ["tmp", "new", "cur"] {
            fs::create_dir_all(account.home().join("Maildir").join(place)).unwrap();
        }
        account.queue("exit 0");
        account
    }

    /// Creates it with these files.
    fn with(files: &[(&str, &str)]) -> Account {
        let account = Account::new();
        files.iter().for_each(|(name, text)| account.file(name, text));
        account
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.home().join(name), text).unwrap();
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.home().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Installs a queue program that stores its input and then runs this.
    fn queue(&self, then: &str) {
        let dir = self.scratch.path().display();
        script(
            &self.path("queue"),
            &format!("cd {dir} || exit 1\ncat > message; cat <&1 > envelope\n{then}"),
        );
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = mailferry(["deliver", "--dot-qmail", "--home"]);
        command.arg(self.home()).args(options).env("QMAILQUEUE", self.path("queue"));
        command
    }

    /// Delivers to joe-list@h.example, from s@x.example.
    fn deliver(&self, options: &[&str]) -> Run {
        self.deliver_to("joe-list@h.example", options)
    }

    fn deliver_to(&self, recipient: &str, options: &[&str]) -> Run {
        let all = [&["-f", "s@x.example", "-r", recipient], options].concat();
        run_with_stdin(self.command(&all), MESSAGE)
    }

    /// Asserts what `-n` prints, with HOME for the home directory.
    #[track_caller]
    fn explains(&self, recipient: &str, options: &[&str], code: i32, want: Expect) {
        let all = [&["-n", "-f", "s@x.example", "-r", recipient], options].concat();
        let before = tree(&self.home());
        let run = run(self.command(&all)).exits(code);
        assert_eq!(tree(&self.home()), before, "-n changes nothing");
        // The summary has the duration.
        let text = run.text() + &run.stderr;
        let lines = text.lines().filter(|line| !line.contains("\"type\":\"summary\""));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        want.assert_eq(&text.replace(self.home().to_str().unwrap(), "HOME"));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home().join(name)).unwrap()
    }

    fn queued(&self) -> (String, String) {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        (read("message"), read("envelope").replace('\0', " "))
    }

    fn mail(&self) -> Vec<Message> {
        messages(&self.home().join("Maildir"))
    }
}

#[test]
fn forwards_go_last_and_in_one_message() {
    let account = Account::with(&[(
        ".qmail-list",
        "# all of them\n&one@x.example\n./Maildir/\n./box\n|cat > got; env > vars; pwd > where\ntwo@x.example\n",
    )]);
    account.deliver(&[]).exits(0);
    let top = "Return-Path: <s@x.example>\nDelivered-To: joe-list@h.example\n";
    assert_eq!(account.mail()[0].bytes, format!("{top}{MESSAGE}").as_bytes());
    let mbox = account.read("box");
    let quoted = MESSAGE.replace("\nFrom", "\n>From");
    assert!(
        mbox.starts_with("From s@x.example ") && mbox.ends_with(&format!("\n{top}{quoted}\n")),
        "{mbox:?}"
    );
    assert_eq!(account.read("got"), MESSAGE);
    assert_eq!(account.read("where").trim_end(), account.home().to_str().unwrap());
    let vars = account.read("vars");
    for var in ["USER=joe", "EXT=list", "LOCAL=joe-list", "HOST2=h", "SENDER=s@x.example"] {
        assert!(vars.lines().any(|line| line == var), "{var} is not in {vars}");
    }
    let want = format!("Delivered-To: joe-list@h.example\n{MESSAGE}");
    assert_eq!(account.queued(), (want, "Fs@x.example Tone@x.example Ttwo@x.example  ".into()));
    assert_eq!(fs::metadata(account.home().join("box")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_route_is_explained_and_not_taken() {
    let account = Account::with(&[
        (
            ".qmail-list-default",
            "# hello\n|preline cmd\n\n./Maildir/\n/var/mail/x\n&a@b.example\n+list\nc@d\r\n+what\n",
        ),
        (".qmail-list-bob-owner", ""),
        (".qmail", ""),
    ]);
    account.explains(
        "joe-List-Bob@h.example",
        &[],
        0,
        expect![[r#"
        HOME/.qmail-list-bob: there is none
        HOME/.qmail-list-default: taken
        `default` stands for `Bob`
        forwarded mail has the sender `joe-List-Bob-owner@h.example`
        line 1: a comment
        line 2: runs preline cmd; preline is mailferry's own, because $PATH has none
        line 3: blank
        line 4: into the Maildir HOME/Maildir/
        line 5: into the mbox /var/mail/x
        line 6: forwards to a@b.example
        line 7: from here on only forwards
        line 8: forwards to c@d\r; it ends in CR: save the file with LF line ends
        line 9: unknown; skipped
    "#]],
    );
    account.explains(
        "joe@h.example",
        &["./Maildir/"],
        0,
        expect![[r#"
        HOME/.qmail: taken
        it is empty: the default delivery
        line 1: into the Maildir HOME/Maildir/
    "#]],
    );
    account.explains(
        "joe-other@h.example",
        &[],
        67,
        expect![[r#"
        HOME/.qmail-other: there is none
        HOME/.qmail-default: there is none
        5.1.1 no mailbox here by that name: HOME has no .qmail-default
    "#]],
    );
    account.set_mode(".qmail-list-default", 0o744);
    account.explains("joe-list-@h.example", &[], 75, expect![[r#"
        HOME/.qmail-list-: there is none
        HOME/.qmail-list-default: taken
        4.3.5 HOME/.qmail-list-default: line 2: a program, where only forwards are allowed (the file is executable, or +list is above)
    "#]]);
    account.set_mode(".", 0o1755);
    account.file(".qmail-x", "&you@there");
    account.explains(
        "joe+x@h.example",
        &["--delimiter=+"],
        0,
        expect![[r#"
        HOME/.qmail-x: taken
        line 1: forwards to you@there
        the home directory is sticky: until chmod -t all of this waits
    "#]],
    );
    account.explains("joe+x@h.example", &["--delimiter=+", "--json"], 0, expect![[r#"
        {"message":"taken","path":"HOME/.qmail-x","taken":true,"type":"tried"}
        {"does":"forward","file":"HOME/.qmail-x","line":1,"message":"forwards to you@there","type":"instruction","what":"you@there"}
    "#]]);
}

#[test]
fn an_address_without_a_file_is_refused() {
    let account = Account::with(&[(".qmail", "")]);
    account.deliver(&[]).exits(67).complains(&["5.1.1 ", ".qmail-default"]);
    account.deliver_to("joe@h.example", &[]).exits(0);
    assert_eq!(account.mail().len(), 1);
    fs::remove_file(account.home().join(".qmail")).unwrap();
    account.deliver_to("joe@h.example", &["mbox:box", "./Maildir/"]).exits(0);
    assert_eq!(account.mail().len(), 2);
    assert!(account.read("box").contains("Delivered-To: joe@h.example\n"));
    // A missing mailbox is not created.
    fs::remove_dir_all(account.home().join("Maildir")).unwrap();
    account.deliver_to("joe@h.example", &[]).exits(75).complains(&["4.3.5 ", "Maildir"]);
    account.deliver_to("joe@h.example", &["--create"]).exits(0);
    assert_eq!(account.mail().len(), 1);
}

#[test]
fn exit_codes_of_programs_are_understood() {
    for (code, exit, status) in [
        (64, 69, "5.3.0"),
        (77, 69, "5.3.0"),
        (100, 69, "5.3.0"),
        (112, 69, "5.3.0"),
        (1, 75, "4.3.0"),
        (67, 75, "4.3.0"),
        (75, 75, "4.3.0"),
        (111, 75, "4.3.0"),
        (127, 75, "4.3.0"),
    ] {
        let text = format!("|echo; echo 'No thanks'; echo really >&2; exit {code}\n./Maildir/\n");
        let account = Account::with(&[(".qmail-list", &text)]);
        let first = [status, ".qmail-list: line 1", &format!("exit {code}"), "No thanks / really"];
        let run = account.deliver(&[]).exits(exit).complains(&first);
        assert!(run.stderr.starts_with(status), "{}", run.stderr);
        let codes = if exit == 69 { 100 } else { 111 };
        account.deliver(&["--exit-codes", "qmail"]).exits(codes);
        assert!(account.mail().is_empty());
    }
    let account = Account::with(&[(".qmail-list", "|kill -9 $$\n")]);
    account.deliver(&[]).exits(75).complains(&["4.3.0 ", "signal 9"]);
    let account = Account::with(&[(".qmail-list", "&a@b\n|exit 99\n&c@d\n./Maildir/\n")]);
    account.deliver(&[]).exits(0);
    assert!(account.mail().is_empty());
    assert_eq!(account.queued().1, "Fs@x.example Ta@b  ");
}

#[test]
fn a_forward_has_the_result_of_the_queue_program() {
    let account = Account::with(&[(".qmail-list", "&a@b\n")]);
    for (then, exit, words) in [
        ("exit 31", 69, "5.3.0 unable to forward"),
        ("exit 71", 75, "4.3.0 unable to forward"),
        ("printf 'Dgo away (#5.7.1)' >&6; exit 82", 69, "go away (#5.7.1)"),
        ("printf 'Zlater (#4.7.1)' >&6; exit 82", 75, "later (#4.7.1)"),
        ("kill -9 $$", 75, "crashed"),
        // An MTA uses the first line, and complains() accepts only one.
        ("echo 5.7.1 upstream said so >&2; exit 71", 75, "(#4.3.0); it said: 5.7.1 upstream said so"),
    ] {
        account.queue(then);
        account.deliver(&[]).exits(exit).complains(&[words]);
    }
    // The queue program must not run.
    script(&account.path("queue"), "exit 0");
    account.deliver(&[]).exits(75).complains(&["4.3.0 ", "read error"]);
    fs::remove_file(account.path("queue")).unwrap();
    account.deliver(&[]).exits(75).complains(&["4.3.0 ", "unable to run"]);
    account.queue("exit 0");
    fs::rename(account.path("queue"), account.path("other")).unwrap();
    account.deliver(&["--via", &format!("queue:{}", account.path("other").display())]).exits(0);
    account.deliver(&["--via", "smtp://h/path"]).exits(75).complains(&["4.3.5 ", "smtp://h/path"]);
    account.deliver(&["--via", "mbox:m"]).exits(75).complains(&["4.3.5 ", "mbox:m"]);
}

#[test]
fn a_list_sends_bounces_to_its_owner() {
    let account = Account::with(&[(".qmail-list", "&a@b\n"), (".qmail-list-owner", "./Maildir/\n")]);
    let sender = |account: &Account| account.queued().1.split(' ').next().unwrap().to_owned();
    account.deliver(&[]).exits(0);
    assert_eq!(sender(&account), "Fjoe-list-owner@h.example");
    account.file(".qmail-list-owner-default", "./Maildir/\n");
    account.deliver(&[]).exits(0);
    assert_eq!(sender(&account), "Fjoe-list-owner-@h.example-@[]");
    account.deliver(&["-f", ""]);
    let bounce = run_with_stdin(account.command(&["-f", "", "-r", "joe-list@h.example"]), MESSAGE);
    bounce.exits(0);
    assert_eq!(sender(&account), "F");
}

#[test]
fn mail_does_not_go_round_in_circles() {
    let account = Account::with(&[(".qmail-list", "&joe-list@h.example\n")]);
    // A mail system that delivers at once, and adds no Received fields.
    account.queue(&format!(
        "{BINARY} deliver --dot-qmail --home {} -f s@x.example -r joe-list@h.example < message 2> said\n\
         echo $? >> codes; exit 31",
        account.home().display()
    ));
    account.deliver(&[]).exits(69);
    assert_eq!(fs::read_to_string(account.path("codes")).unwrap(), "69\n");
    let output = fs::read_to_string(account.path("said")).unwrap();
    assert!(output.starts_with("5.4.6 ") && output.contains("joe-list@h.example"), "{output}");
}

#[test]
fn a_file_that_anyone_may_write_is_not_trusted() {
    let account = Account::with(&[(".qmail-list", "./Maildir/\n")]);
    if rustix::process::geteuid().is_root() {
        // Root trusts even less.
        assert!(Command::new("chown").args(["-R", "65534"]).arg(account.home()).status().unwrap().success());
    }
    account.set_mode(".", 0o757);
    account.deliver(&[]).exits(75).complains(&["4.3.5 ", "chmod o-w"]);
    account.set_mode(".", 0o1755);
    account.deliver(&[]).exits(75).complains(&["4.3.0 ", "sticky"]);
    account.set_mode(".", 0o775);
    account.set_mode(".qmail-list", 0o646);
    account.deliver(&[]).exits(75).complains(&["4.3.5 ", ".qmail-list", "chmod o-w"]);
    account.set_mode(".qmail-list", 0o664);
    account.deliver(&[]).exits(0);
    assert_eq!(account.mail().len(), 1);
}

#[test]
fn a_file_that_is_too_large_is_not_read_to_its_end() {
    let account = Account::with(&[(".qmail-list", "")]);
    let file = fs::File::options().write(true).open(account.home().join(".qmail-list")).unwrap();
    file.set_len(1 << 40).unwrap();
    account.deliver(&[]).exits(75).complains(&["4.3.5 ", ".qmail-list", "1 MiB"]);
}

#[test]
fn a_file_that_may_not_be_followed_is_not_begun() {
    for (text, mode, words) in [
        ("./Maildir/\n+list\n|cat\n", 0o644, "line 3"),
        ("&a@b\n./Maildir/\n", 0o744, "line 2"),
        ("\n./Maildir/\n", 0o644, "line 1"),
        ("./Maildir/\n&a\0b\n", 0o644, "line 2"),
    ] {
        let account = Account::with(&[(".qmail-list", text)]);
        account.set_mode(".qmail-list", mode);
        account.deliver(&[]).exits(75).complains(&["4.3.5 ", words]);
        assert!(account.mail().is_empty() && !account.path("message").exists());
    }
}

#[test]
fn a_slow_program_is_killed_with_its_children() {
    let account = Account::with(&[(".qmail-list", "|sleep 600 & echo $! > pid; wait\n./Maildir/\n")]);
    account.deliver(&["--program-timeout=5"]).exits(75).complains(&["4.3.0 ", "line 1", "too long"]);
    is_gone(&account.home().join("pid"));
    assert!(account.mail().is_empty());
}

#[test]
fn a_signal_ends_the_program_too() {
    let account = Account::with(&[(".qmail-list", "|sleep 600 & echo $! > new; mv new pid; wait\n")]);
    let mut command = account.command(&["-f", "s@x.example", "-r", "joe-list@h.example"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(MESSAGE.as_bytes()).unwrap();
    let pid = account.home().join("pid");
    wait_for("the program to start", || pid.exists());
    send(&child, Signal::TERM);
    let run = Run::of(child.wait_with_output().unwrap()).exits(75);
    assert!(run.stderr.starts_with("4.3.2 "), "{}", run.stderr);
    is_gone(&pid);
}

/// Waits until the process whose id a file holds is gone. A zombie counts as gone: init has only to reap it.
fn is_gone(file: &Path) {
    let pid: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    wait_for("the program to end", || stat().is_none_or(|stat| stat.contains(") Z ")));
}

#[test]
fn a_program_need_not_read_and_may_write_as_it_likes() {
    let large = [MESSAGE.as_bytes(), &b"x".repeat(10_000_000)].concat();
    for line in [
        "|true",
        "|exec <&-; head -c 1000000 /dev/zero",
        "|head -c 1000000 /dev/zero >&2; cat > got",
        "|exec >&- 2>&-; cat > got",
        // A process that stays in the background with the pipe open.
        "|sleep 3 &",
    ] {
        let account = Account::with(&[(".qmail-list", &format!("{line}\n"))]);
        let command = account.command(&["-f", "s@x.example", "-r", "joe-list@h.example"]);
        run_with_stdin(command, large.clone()).exits(0);
        if line.ends_with("got") {
            same(&fs::read(account.home().join("got")).unwrap(), &large, line);
        }
    }
}

#[test]
fn every_program_gets_the_complete_message() {
    let account = Account::with(&[(".qmail-list", "|head -1 > one\n|cat > two\n|echo $SENDER > sender\n")]);
    // The sender that an MTA puts on top of the message is the envelope sender, and not part of the message.
    let mbox = format!("From s@x.example Sat Feb  3 04:05:06 2001\n{MESSAGE}");
    run_with_stdin(account.command(&["-r", "joe-list@h.example"]), mbox).exits(0);
    assert_eq!(account.read("one"), "Received: x\n");
    assert_eq!(account.read("two"), MESSAGE);
    assert_eq!(account.read("sender"), "s@x.example\n");
}

#[test]
fn the_recipient_is_found_where_mail_systems_put_it() {
    for environment in [
        &[("RECIPIENT", "joe-list@h.example")][..],
        &[("LOCAL", "joe-list"), ("DOMAIN", "h.example")],
        &[("LOCAL", "joe-list"), ("HOST", "h.example")],
        &[("LOCAL_PART", "joe"), ("LOCAL_PART_SUFFIX", "-list"), ("DOMAIN", "h.example")],
        &[("RECIPIENT", "joe-list@h.example"), ("USER", "joe")],
        // Variables of the user who started the mail system.
        &[("RECIPIENT", "joe-list@h.example"), ("USER", "root")],
    ] {
        let account = Account::with(&[(".qmail-list", "|printf '%s %s %s' $USER $RECIPIENT $EXT > got\n")]);
        let mut command = account.command(&[]);
        command.envs(environment.iter().copied());
        run_with_stdin(command, MESSAGE).exits(0);
        assert_eq!(account.read("got"), "joe joe-list@h.example list");
    }
    // In a domain that belongs to joe, the whole local part is the extension.
    let account = Account::with(&[(".qmail-sales-default", "|printf '%s %s' $EXT $DEFAULT > got\n")]);
    account.deliver_to("sales-eu@joe.example", &["--user=joe"]).exits(0);
    assert_eq!(account.read("got"), "sales-eu eu");
    account.deliver_to("joe+sales-eu@joe.example", &["--delimiter=+"]).exits(0);
    run_with_stdin(account.command(&[]), MESSAGE).exits(75).complains(&["4.3.5 ", "recipient"]);
}

#[test]
fn root_becomes_the_owner_of_the_home_before_it_looks_inside() {
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    const NOBODY: u32 = 65534;
    let account =
        Account::with(&[(".qmail-list", "./Maildir/\n./box\n|id -u > got; id -G >> got; touch made\n")]);
    for path in ["home", "home/Maildir", "home/Maildir/tmp", "home/Maildir/new", "home/.qmail-list"] {
        chown(account.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    account.deliver(&[]).exits(0);
    assert_eq!(account.read("got"), "65534\n65534\n");
    for path in [&account.home().join("made"), &account.home().join("box"), &account.mail()[0].path] {
        let meta = fs::metadata(path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY), "{}", path.display());
    }
    // A file that the owner may not read is not read for the owner.
    chown(account.home().join(".qmail-list"), Some(0), Some(0)).unwrap();
    account.set_mode(".qmail-list", 0o600);
    account.deliver(&[]).exits(75).complains(&["4.3.5 ", ".qmail-list", "permission denied"]);
}

#[test]
fn an_lmtp_session_takes_the_route_of_each_recipient() {
    let account = Account::with(&[
        (".qmail-list", "|cat > got; echo $SENDER $DEFAULT > sender\n"),
        (".qmail-full", "|echo 'no room'; exit 111\n"),
        (".qmail-no-default", "|echo 'go away'; exit 100\n"),
    ]);
    let home = account.path("%u");
    let mut command = mailferry(["deliver", "--dot-qmail", "--protocol=lmtp", "--delimiter", "+", "--home"]);
    command.arg(home).args(["--", "./Maildir/"]);
    let recipients = ["home+list", "home-nobody", "home-full", "home", "home-no-way", "stranger"];
    let mut session = "LHLO there\r\nMAIL FROM:<s@x.example>\r\n".to_owned();
    recipients.iter().for_each(|name| session += &format!("RCPT TO:<{name}@h.example>\r\n"));
    session += "DATA\r\nSubject: s\r\n\r\ntext\r\n.\r\nQUIT\r\n";
    let output = run_with_stdin(command, session).exits(0).text();
    let replies: Vec<&str> = output.lines().filter(|line| line.as_bytes()[3] == b' ').collect();
    let status = |line: &&str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let statuses: Vec<String> = replies[2..].iter().map(status).collect();
    let want = [
        "250 2.1.0",
        "250 2.1.5",
        "550 5.1.1",
        "250 2.1.5",
        "250 2.1.5",
        "250 2.1.5",
        "550 5.1.1",
        "354 end",
        "250 2.0.0",
        "451 4.3.0",
        "250 2.0.0",
        "554 5.3.0",
        "221 2.0.0",
    ];
    assert_eq!(statuses.len(), want.len(), "{output}");
    for (statuses, want) in statuses.iter().zip(want) {
        assert_eq!(statuses.split(' ').next(), want.split(' ').next(), "{output}");
    }
    assert!(output.contains("4.3.0") && output.contains("no room") && output.contains("go away"), "{output}");
    assert_eq!(account.read("got"), "Subject: s\n\ntext\n");
    assert_eq!(account.read("sender"), "s@x.example\n");
    assert_eq!(account.mail().len(), 1);
}

#[test]
fn root_does_nothing_as_root_that_another_may_have_written() {
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    const NOBODY: u32 = 65534;
    let account = Account::with(&[(".qmail-list", "|id -u > got\n")]);
    let list = account.home().join(".qmail-list");
    let refused = |account: &Account, name: &str| {
        account.deliver(&[]).exits(75).complains(&["4.3.5 ", name, "root"]);
        assert!(!account.home().join("got").exists());
    };
    chown(&list, Some(NOBODY), Some(NOBODY)).unwrap();
    refused(&account, ".qmail-list");
    chown(&list, Some(0), Some(0)).unwrap();
    account.set_mode(".qmail-list", 0o664);
    refused(&account, ".qmail-list");
    account.set_mode(".qmail-list", 0o644);
    account.set_mode("", 0o775);
    refused(&account, "home");
    account.set_mode("", 0o755);
    // The user's link, and a directory of the user on the path.
    fs::rename(account.home(), account.path("real")).unwrap();
    std::os::unix::fs::symlink("real", account.home()).unwrap();
    std::os::unix::fs::lchown(account.home(), Some(NOBODY), None).unwrap();
    refused(&account, "home");
    std::os::unix::fs::lchown(account.home(), Some(0), None).unwrap();
    account.deliver(&[]).exits(0);
    assert_eq!(account.read("got"), "0\n");
}

#[test]
fn root_becomes_the_account_that_is_named() {
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    let account = Account::with(&[(".qmail", "|id -u > got\n"), ("got", "")]);
    chown(account.home().join("got"), Some(65534), None).unwrap();
    account.deliver_to("nobody@h.example", &["--user", "nobody"]).exits(0);
    assert_eq!(account.read("got"), "65534\n");
    // The home belongs to another user, and its name is that of an account by chance.
    chown(account.home(), Some(54321), Some(54321)).unwrap();
    chown(account.home().join("got"), Some(54321), None).unwrap();
    account.deliver_to("nobody@h.example", &["--user", "nobody"]).exits(0);
    assert_eq!(account.read("got"), "54321\n");
    // The owner has no account, and the group is root's.
    chown(account.home(), Some(54321), Some(0)).unwrap();
    for options in [&["--user", "nobody"][..], &[]] {
        account.deliver_to("nobody@h.example", options).exits(75).complains(&["4.3.5 ", "group"]);
    }
}

#[test]
fn a_program_does_not_outlive_a_delivery_that_is_killed() {
    let account = Account::with(&[(".qmail", "|echo $$ > new; mv new pid; while :; do sleep 0.1; done\n")]);
    let mut command = account.command(&["-r", "joe@h.example"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(MESSAGE.as_bytes()).unwrap();
    let pid = account.home().join("pid");
    wait_for("the program to start", || pid.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    is_gone(&pid);
}

#[test]
fn programs_of_a_user_have_nothing_of_roots() {
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    let account =
        Account::with(&[(".qmail", "|env > got; ls /proc/$$/fd > open\n"), ("got", ""), ("open", "")]);
    let _ =
        ["", "got", "open"].map(|name| chown(account.home().join(name), Some(65534), Some(65534)).unwrap());
    let mut command = Command::new("/bin/sh");
    let ours = account.command(&["-r", "joe@h.example"]);
    command
        .args(["-c", "exec 7</dev/null; exec \"$0\" \"$@\""])
        .arg(ours.get_program())
        .args(ours.get_args());
    command.env_clear().env("SECRET", "x").env("LD_LIBRARY_PATH", "/x").env("TZ", "UTC");
    run_with_stdin(command, MESSAGE).exits(0);
    let got = account.read("got");
    let has = |line: &str| got.lines().any(|got| got == line);
    assert!(has("TZ=UTC") && has("LOGNAME=nobody") && has("SHELL=/bin/sh") && has("USER=joe"), "{got}");
    assert!(!got.contains("SECRET") && !got.contains("LD_LIBRARY"), "{got}");
    assert!(!account.read("open").lines().any(|fd| fd == "7"));
}

/// The LMTP server adds a Received field. A Delivered-To above it comes from this delivery, with and without
/// Postfix.
#[test]
fn what_the_peer_wrote_of_this_delivery_is_no_loop() {
    let session = "LHLO there\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<home@h.example>\r\nDATA\r\n\
                   Delivered-To: home@h.example\r\nReceived: from a by b\r\nSubject: s\r\n\r\ntext\r\n.\r\nQUIT\r\n";
    for options in [&[][..], &["--from-mta"]] {
        let account = Account::new();
        let mut command = mailferry(["deliver", "--dot-qmail", "--protocol=lmtp", "--home"]);
        command.arg(account.path("%u")).args(options).args(["--", "./Maildir/"]);
        let output = run_with_stdin(command, session).exits(0).text();
        assert_eq!(account.mail().len(), 1, "{output}");
    }
}

/// The owner can fix it: nothing bounces, and no mailbox is created that the owner does not read.
#[test]
fn a_file_with_the_line_ends_of_another_system_has_mail_wait() {
    for line in ["./Maildir/", "./mbox", "&a@b.example", "|true"] {
        let account = Account::with(&[(".qmail-list", &format!("# mine\r\n{line}\r\n"))]);
        let before = tree(&account.home());
        account.deliver(&[]).exits(75).complains(&["4.3.5 ", ".qmail-list: line 2", "CR"]);
        assert_eq!(tree(&account.home()), before, "{line:?}");
    }
}

/// qmail-local creates no lock file, and users cannot create files in spool directories.
#[test]
fn the_link_writes_a_spool_file_without_a_lock_file() {
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    let account = Account::new();
    let spool = account.path("spool");
    fs::create_dir(&spool).unwrap();
    fs::write(spool.join("joe"), "").unwrap();
    for path in [&spool.join("joe"), &account.home()] {
        chown(path, Some(65534), Some(65534)).unwrap();
    }
    fs::set_permissions(account.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let link = account.path("qmail-local");
    copy_binary(&link);
    let line = spool.join("joe");
    let program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", link.to_str().unwrap()];
    let home = account.home();
    let args = ["joe", home.to_str().unwrap(), "joe", "", "", "h", "s@x", line.to_str().unwrap()];
    let command = wrapped("exec \"$@\"", program, args);
    run_with_stdin(command, MESSAGE).exits(0);
    assert!(fs::read_to_string(&line).unwrap().contains("\nDelivered-To: joe@h\n"));
    assert_eq!(names(&spool), ["joe"]);
}

/// Homes of several users for one LMTP session. As root each has a user of its own.
struct Village {
    scratch: tempfile::TempDir,
}

impl Village {
    fn of(users: &[(&str, &str)]) -> Village {
        let scratch = scratch();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(scratch.path().join("shared")).unwrap();
        fs::set_permissions(scratch.path().join("shared"), fs::Permissions::from_mode(0o1777)).unwrap();
        let shared = scratch.path().join("shared");
        for (n, (user, file)) in users.iter().enumerate() {
            let home = scratch.path().join(user);
            let maildir =
                ["Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur"].map(|name| home.join(name));
            maildir.iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
            fs::write(home.join(".qmail"), file.replace("SHARED", shared.to_str().unwrap())).unwrap();
            for path in maildir.iter().chain([&home, &home.join(".qmail")]) {
                if rustix::process::geteuid().is_root() {
                    chown(path, Some(24_100 + n as u32), Some(24_100 + n as u32)).unwrap();
                }
            }
        }
        Village { scratch }
    }

    /// Sends a message to these recipients. Returns the codes of the replies to it.
    fn deliver(&self, recipients: &[&str]) -> Vec<String> {
        let mut command = mailferry(["deliver", "--dot-qmail", "--protocol=lmtp", "--program-timeout=120"]);
        command.arg("--home").arg(self.scratch.path().join("%u"));
        let to: String = recipients.iter().map(|user| format!("RCPT TO:<{user}@h.example>\r\n")).collect();
        let session = format!(
            "LHLO there\r\nMAIL FROM:<s@x.example>\r\n{to}DATA\r\nSubject: s\r\n\r\ntext\r\n.\r\nQUIT\r\n"
        );
        let output = run_with_stdin(command, session).exits(0).text();
        let lines: Vec<&str> = output.lines().skip_while(|line| !line.starts_with("354 ")).skip(1).collect();
        assert_eq!(lines.len(), recipients.len() + 1, "{output}");
        lines[..recipients.len()].iter().map(|line| line[..3].to_owned()).collect()
    }

    /// Reports whether a user has the message once, and unchanged.
    fn has_the_message(&self, user: &str) -> bool {
        let mail = messages(&self.scratch.path().join(user).join("Maildir"));
        mail.len() == 1 && mail[0].bytes.ends_with(b"\nSubject: s\n\ntext\n")
    }

    fn mail(&self, user: &str) -> usize {
        names(&self.scratch.path().join(user).join("Maildir/new")).len()
    }
}

/// The attacks of one recipient's program on the deliveries to the others.
#[test]
fn no_program_stops_or_delays_the_mail_of_others() {
    let parent = "read -r _ _ _ session _ < /proc/$PPID/stat";
    let attacks = [
        // It ends when the others have their mail; if it delayed them, its time limit of 120 seconds would pass.
        "until test -e SHARED/ann && test -e SHARED/eve; do sleep 0.05; done".to_owned(),
        // Its message is a file of its own.
        "echo changed > /proc/self/fd/0; echo changed >&0; exit 0".to_owned(),
        "kill -STOP $PPID; sleep 60".to_owned(),
        "trap '' TERM HUP; kill -STOP $PPID; sleep 60".to_owned(),
        "kill -STOP $PPID; kill -CONT $PPID; kill -STOP $PPID; sleep 60".to_owned(),
        "kill -KILL $PPID; sleep 60".to_owned(),
        "kill -TERM $PPID; sleep 60".to_owned(),
        "yes | head -c 50000000; yes >&2 & kill -STOP $PPID; sleep 60".to_owned(),
        // Only a process of root is beyond a user's signals.
        format!("{parent}; kill -STOP $session; kill -KILL $session; kill -STOP $PPID"),
        "kill -STOP -1".to_owned(),
    ];
    let is_root = rustix::process::geteuid().is_root();
    for (n, attack) in attacks.iter().enumerate().filter(|(n, _)| is_root || *n < 8) {
        let done = |user: &str| format!("./Maildir/\n|touch SHARED/{user}\n");
        let village =
            Village::of(&[("joe", &format!("|{attack}\n")), ("ann", &done("ann")), ("eve", &done("eve"))]);
        let started = Instant::now();
        let codes = village.deliver(&["ann", "joe", "eve"]);
        // A delivery that is stopped would be noticed at the time limit of the session, after 150 seconds.
        assert!(started.elapsed() < Duration::from_secs(100), "{attack}");
        let of_joe = if n < 2 { "250" } else { "451" };
        assert_eq!(codes, ["250", of_joe, "250"], "{attack}");
        for user in ["ann", "eve"] {
            assert!(village.has_the_message(user), "{user}: {attack}");
        }
    }
}

#[test]
fn the_addresses_of_one_user_are_delivered_one_after_the_other() {
    let program = "./Maildir/\n|mkdir SHARED/lock || exit 100; sleep 0.1; rmdir SHARED/lock\n";
    let village = Village::of(&[("joe", program)]);
    assert_eq!(village.deliver(&["joe", "joe", "joe"]), ["250"; 3]);
    assert_eq!(village.mail("joe"), 3);
}

/// With /dev/tty a user's program could type into root's shell, or ask for a password.
#[test]
fn a_program_does_not_reach_the_terminal() {
    if !have("script", &["--version"]) {
        skip!("script(1) is not here");
    }
    let account = Account::with(&[
        (".qmail", "|(: < /dev/tty); echo $? > opened; ls -l /proc/$$/fd > open\n"),
        ("message", MESSAGE),
        ("opened", ""),
        ("open", ""),
    ]);
    if rustix::process::geteuid().is_root() {
        for name in ["", "opened", "open"] {
            chown(account.home().join(name), Some(65534), Some(65534)).unwrap();
        }
    }
    let command = account.command(&["-r", "joe@h.example"]);
    let words: Vec<&str> = command.get_args().skip(5).map(|word| word.to_str().unwrap()).collect();
    let line = format!("{} < {}", words.join(" "), account.home().join("message").display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
    run(script).exits(0);
    assert_ne!(account.read("opened"), "0\n");
    assert!(!account.read("open").contains("/dev/pts/"), "{}", account.read("open"));
}

/// qmail-lspawn starts qmail-local as the user. Root that starts it by hand becomes the user all the same.
#[test]
fn qmail_local_runs_no_program_of_a_user_as_root() {
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    let account = Account::with(&[(".qmail", "|id -u > got\n"), ("got", "")]);
    let link = account.path("qmail-local");
    std::os::unix::fs::symlink(BINARY, &link).unwrap();
    let deliver = || {
        let mut command = Command::new(&link);
        command.arg("joe").arg(account.home()).args([
            "joe",
            "",
            "",
            "h.example",
            "s@x.example",
            "./Maildir/",
        ]);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        run_with_stdin(command, MESSAGE)
    };
    for name in ["", ".qmail", "got"] {
        chown(account.home().join(name), Some(65534), Some(65534)).unwrap();
    }
    assert_eq!(deliver().exits(0).text(), "did 0+0+1\n");
    assert_eq!(account.read("got"), "65534\n");
    // In a home of root's, a file that a user may have written is not followed.
    chown(account.home(), Some(0), Some(0)).unwrap();
    deliver().exits(111);
    assert_eq!(account.read("got"), "65534\n");
}
