//! QMTP and QMQP into real mailboxes: one outcome for each, or one for all.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::*;

/// Users `joe`, `ann` and `eve`, each with a Maildir.
struct Users(TempDir);

impl Users {
    fn new() -> Users {
        let users = Users(scratch());
        for user in ["joe", "ann", "eve"] {
            for place in ["tmp", "new", "cur"] {
                fs::create_dir_all(users.maildir(user).join(place)).unwrap();
            }
        }
        users
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.0.path().join(user)
    }

    /// Sends a QMQP message to these users.
    fn qmqp(&self, options: &[&str], message: &str, users: &[&str]) -> Run {
        let addresses: String = users.iter().map(|user| netstring(&format!("{user}@h.example"))).collect();
        let request = netstring(&[netstring(message), netstring("s@x.example"), addresses].concat());
        run_with_stdin(self.command("qmqp", options), request)
    }

    fn command(&self, protocol: &str, options: &[&str]) -> std::process::Command {
        let mut command = mailferry(["deliver", "--protocol", protocol]);
        if !options.iter().any(|option| option.contains("map")) {
            command.arg(format!("--mailbox={}/%u/", self.0.path().display()));
        }
        command.args(options);
        command
    }

    /// Returns the number of messages of each user, and asserts that nothing is half done.
    fn counts(&self) -> [usize; 3] {
        ["joe", "ann", "eve"].map(|user| {
            assert_eq!(names(&self.maildir(user).join("tmp")), [""; 0], "{user}");
            messages(&self.maildir(user)).len()
        })
    }
}

fn netstring(content: &str) -> String {
    format!("{}:{content},", content.len())
}

fn package(message: &str, users: &[&str]) -> String {
    let addresses: String = users.iter().map(|user| netstring(&format!("{user}@h.example"))).collect();
    [netstring(&format!("\n{message}")), netstring("s@x.example"), netstring(&addresses)].concat()
}

/// The reply of a session with one.
#[track_caller]
fn reply(run: &Run) -> String {
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    let (length, rest) = text.split_once(':').unwrap_or_else(|| panic!("{run:?}"));
    assert_eq!(rest.len(), length.parse::<usize>().unwrap() + 1, "{text}");
    rest.strip_suffix(',').unwrap().to_owned()
}

/// A socket that is closed with unread data resets the connection.
#[test]
fn a_peer_that_goes_on_after_an_error_reads_its_replies() {
    let users = Users::new();
    let (mut peer, ours) = UnixStream::pair().unwrap();
    let mut command = users.command("qmtp", &[]);
    command.stdin(OwnedFd::from(ours.try_clone().unwrap())).stdout(OwnedFd::from(ours));
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let garbage = "x".repeat(300_000);
    peer.write_all(format!("{}{garbage}", package("x", &["joe", "nobody"])).as_bytes()).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut replies = String::new();
    peer.read_to_string(&mut replies).expect("the connection is closed, not reset");
    let run = Run::of(child.wait_with_output().unwrap()).exits(75);
    assert!(replies.contains(":Kok: ") && replies.ends_with("(#5.1.1),"), "{replies}");
    assert!(run.stderr.contains("something other than the netstrings"), "{}", run.stderr);
    assert_eq!(users.counts(), [1, 0, 0]);
}

#[test]
fn a_qmqp_message_is_in_all_mailboxes_or_in_none() {
    let users = Users::new();
    assert!(reply(&users.qmqp(&[], "A: 1\n\nx\n", &["joe", "ann", "eve"]).exits(0)).starts_with("Kok: "));
    assert_eq!(users.counts(), [1, 1, 1]);
    // A mailbox over quota, one that does not exist, and one that cannot be written.
    fs::write(users.maildir("ann").join("maildirsize"), "10S\n").unwrap();
    assert!(reply(&users.qmqp(&[], "A: 1\n\nx\n", &["joe", "ann", "eve"]).exits(0)).ends_with("(#5.2.2)"));
    let run = users.qmqp(&["--quota-temp"], "A: 1\n\nx\n", &["joe", "ann", "eve"]).exits(0);
    assert!(reply(&run).starts_with('Z') && reply(&run).ends_with("(#4.2.2)"));
    assert!(reply(&users.qmqp(&[], "A: 1\n\nx\n", &["joe", "nobody"]).exits(0)).ends_with("(#5.1.1)"));
    fs::remove_dir(users.maildir("eve").join("tmp")).unwrap();
    fs::write(users.maildir("eve").join("tmp"), "").unwrap();
    assert!(reply(&users.qmqp(&[], "A: 1\n\nx\n", &["joe", "eve"]).exits(0)).starts_with('Z'));
    fs::remove_file(users.maildir("eve").join("tmp")).unwrap();
    fs::create_dir(users.maildir("eve").join("tmp")).unwrap();
    assert_eq!(users.counts(), [1, 1, 1]);
    // A message that was delivered to one of them before is refused for all.
    let loops = "Delivered-To: ann@h.example\n\nx\n";
    assert!(reply(&users.qmqp(&[], loops, &["joe", "ann"]).exits(0)).ends_with("(#5.4.6)"));
    assert_eq!(users.counts(), [1, 1, 1]);
}

#[test]
fn a_mailbox_of_several_recipients_has_a_copy_for_each() {
    let users = Users::new();
    fs::write(users.0.path().join("mbox"), "").unwrap();
    let map = users.0.path().join("map");
    let at = users.0.path().display();
    fs::write(&map, format!("joe@h.example {at}/joe/\nann@h.example {at}/joe/\n@h.example {at}/mbox\n"))
        .unwrap();
    let option = format!("--recipient-map={}", map.display());
    let run = users.qmqp(&[&option, "--lock-timeout=5"], "A: 1\n\nx\n", &["joe", "bob", "ann", "joe", "eve"]);
    assert!(reply(&run.exits(0)).starts_with("Kok: "));
    assert_eq!(users.counts(), [3, 0, 0]);
    let mbox = fs::read_to_string(users.0.path().join("mbox")).unwrap();
    let fields = |name: &str| mbox.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((fields("From s@x.example"), fields("Delivered-To: ")), (2, 2), "{mbox}");
}

/// Runs a session under strace, with a fault if there is one. Returns what it wrote, and its flushes, links and replies.
fn flushes(users: &Users, protocol: &str, fault: Option<&str>, input: String) -> (String, String) {
    let scratch = scratch();
    let log = scratch.path().join("log");
    let inject = fault.map(|fault| format!("inject={fault}"));
    let strace = ["strace", "-f", "-qq", "-y", "-o", log.to_str().unwrap()];
    let strace = strace.into_iter().chain(["-e", "trace=fsync,syncfs,linkat,write"]);
    let strace = strace.chain(inject.iter().flat_map(|inject| ["-e", inject])).chain([BINARY]);
    let mailbox = format!("--mailbox={}/%u/", users.0.path().display());
    let command = wrapped("exec \"$@\"", strace, ["deliver", "--protocol", protocol, &mailbox]);
    let run = run_with_stdin(command, input).exits(0);
    let log = fs::read_to_string(&log).unwrap();
    let name = |line: &str| {
        let call = line.split_whitespace().nth(1)?.split('(').next()?.to_owned();
        match &call[..] {
            "write" => line.contains("write(1<").then(|| "reply".to_owned()),
            _ => Some(call),
        }
    };
    let calls: Vec<String> = log.lines().filter_map(name).collect();
    (String::from_utf8(run.stdout).unwrap(), calls.join(" "))
}

#[test]
fn recipients_and_packages_that_came_together_share_a_flush() {
    let users = Users::new();
    let many: Vec<&str> = ["joe", "ann", "eve", "nobody"].repeat(5);
    let recipients: String = many.iter().map(|user| format!("RCPT TO:<{user}@h.example>\r\n")).collect();
    let message =
        format!("LHLO mx\r\nMAIL FROM:<s@x.example>\r\n{recipients}DATA\r\nA: 1\r\n\r\nx\r\n.\r\nQUIT\r\n");
    let (replies, calls) = flushes(&users, "lmtp", None, message);
    assert_eq!(replies.matches("/new/").count(), 15, "{replies}");
    let want = ["syncfs", &["linkat"; 15].join(" "), "syncfs", &["reply"; 15].join(" ")].join(" ");
    assert!(calls.contains(&want) && calls.matches("sync").count() == 2, "{calls}");
    assert_eq!(users.counts(), [5, 5, 5]);

    // One directory needs no flush of a file system. A package after a refusal waits for no other.
    let packages = |of: &[&str]| of.iter().map(|user| package("A: 1\n\nx\n", &[user])).collect::<String>();
    let input = packages(&["joe", "joe", "joe", "nobody", "ann"]);
    let (replies, calls) = flushes(&users, "qmtp", None, input);
    assert_eq!(replies.matches(":Kok: ").count(), 4, "{replies}");
    let want = "syncfs linkat linkat linkat fsync reply reply reply reply fsync linkat fsync reply";
    assert_eq!(calls, want);
    assert_eq!(users.counts(), [8, 6, 5]);
}

#[test]
fn a_flush_that_fails_does_so_for_all_who_share_it() {
    for fault in ["syncfs:error=EIO:when=1", "syncfs:error=EIO:when=2"] {
        let users = Users::new();
        let input = package("A: 1\n\nx\n", &["joe", "ann"]) + &package("B: 1\n\nx\n", &["eve"]);
        let (replies, _) = flushes(&users, "qmtp", Some(fault), input);
        assert_eq!(replies.matches(":Z").count(), 3, "{fault}: {replies}");
        assert_eq!(users.counts(), [0, 0, 0], "{fault}");
    }
}

/// The peer does not get the reply, and sends the message again.
#[test]
fn a_repeated_message_is_there_once_with_once() {
    let users = Users::new();
    for _ in 0..3 {
        users.qmqp(&["--once"], "A: 1\n\nx\n", &["joe", "ann"]).exits(0);
        run_with_stdin(users.command("qmtp", &["--once"]), package("B: 1\n\nx\n", &["joe", "ann"])).exits(0);
    }
    assert_eq!(users.counts(), [2, 2, 0]);
}

#[test]
fn while_no_mail_is_accepted_each_recipient_is_told_why() {
    let users = Users::new();
    fs::write(users.0.path().join("map"), "joe\n").unwrap();
    let option = format!("--recipient-map={}/map", users.0.path().display());
    let run = run_with_stdin(users.command("qmtp", &[&option]), package("x", &["joe", "ann"])).exits(75);
    let replies = String::from_utf8(run.stdout).unwrap();
    let is_each = replies.matches("line 1: joe: an address contains an @ (#4.3.5),").count() == 2;
    assert!(is_each && run.stderr.contains("line 1"), "{replies}");
    let run = users.qmqp(&[&option], "x", &["joe", "ann"]).exits(75);
    assert!(reply(&run).starts_with('Z') && reply(&run).ends_with("(#4.3.5)"), "{}", reply(&run));
}

/// Programs cannot be undone. A recipient that fails is reported, with the number of those who have the message.
#[test]
fn with_programs_one_reply_says_who_has_the_message() {
    let users = Users::new();
    for (user, line) in [("joe", "./Maildir/\n"), ("ann", "|exit 111\n"), ("eve", "|exit 100\n")] {
        for place in ["tmp", "new", "cur"] {
            fs::create_dir_all(users.maildir(user).join("Maildir").join(place)).unwrap();
        }
        fs::write(users.maildir(user).join(".qmail"), line).unwrap();
    }
    let home = format!("--home={}/%u", users.0.path().display());
    let send = |to: &[&str]| {
        let addresses: String = to.iter().map(|user| netstring(&format!("{user}@h.example"))).collect();
        let request = netstring(&[netstring("A: 1\n\nx\n"), netstring(""), addresses].concat());
        let command = mailferry(["deliver", "--protocol", "qmqp", "--dot-qmail", &home]);
        reply(&run_with_stdin(command, request).exits(0))
    };
    assert!(send(&["joe"]).starts_with("Kok: delivered to joe@h.example"));
    let temporary = send(&["eve", "joe", "ann"]);
    assert!(
        temporary.starts_with('Z') && temporary.contains("delivered to 1 other recipient"),
        "{temporary}"
    );
    let permanent = send(&["eve", "joe"]);
    assert!(
        permanent.starts_with('D') && permanent.contains("delivered to 1 other recipient"),
        "{permanent}"
    );
    assert!(send(&["joe", "nobody"]).ends_with("(#5.1.1)"));
    assert_eq!(messages(&users.maildir("joe").join("Maildir")).len(), 3);
}
