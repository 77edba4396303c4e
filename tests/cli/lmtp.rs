//! LMTP on standard input: the MTA gets an outcome for each recipient.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::*;

/// Users of one domain, each with an empty Maildir.
pub(crate) struct Domain(TempDir);

impl Domain {
    pub(crate) fn of(users: &[&str]) -> Domain {
        let domain = Domain(scratch());
        users.iter().for_each(|user| domain.build(&format!("{user}/Maildir")));
        domain
    }

    fn build(&self, maildir: &str) {
        for place in ["tmp", "new", "cur"] {
            fs::create_dir_all(self.path(maildir).join(place)).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("h.example").join(name)
    }

    /// Returns a command for the mailboxes `%d/%u/Maildir/`, with options.
    fn command(&self, options: &[&str]) -> Command {
        self.command_for("%d/%u/Maildir/", options)
    }

    fn command_for(&self, template: &str, options: &[&str]) -> Command {
        mailferry(self.arguments("lmtp", template, options))
    }

    /// Returns the arguments of mailferry for a session.
    pub(crate) fn arguments(&self, protocol: &str, template: &str, options: &[&str]) -> Vec<String> {
        let mailbox = format!("--mailbox={}/{template}", self.0.path().display());
        let session = ["deliver", "--protocol", protocol, &mailbox];
        session.iter().chain(options).map(|word| (*word).to_owned()).collect()
    }

    /// Returns the messages in the Maildir of a user, and asserts that nothing is half-done.
    #[track_caller]
    fn mail(&self, user: &str) -> Vec<String> {
        let maildir = self.path(user).join("Maildir");
        assert_eq!(fs::read_dir(maildir.join("tmp")).unwrap().count(), 0, "{user}");
        messages(&maildir).into_iter().map(|m| String::from_utf8(m.bytes).unwrap()).collect()
    }
}

/// Ends each line of a client with CRLF.
fn wire(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Returns the replies to a whole session sent at once, without the parts that vary between runs.
fn replies(run: &Run) -> Vec<String> {
    let text = run.text();
    assert!(text.ends_with("\r\n"), "{run:?}");
    let line = |line: &str| match line.split_once("/new/") {
        Some((_, name)) => format!("250 2.0.0 NEW {}", name.len() > 40),
        None => line.to_owned(),
    };
    text.split_terminator("\r\n").map(line).collect()
}

/// Returns the replies after those to LHLO.
#[track_caller]
fn later_replies(run: &Run) -> Vec<String> {
    let all = replies(run);
    let start = all.iter().position(|line| line.starts_with("250 SIZE")).expect("LHLO was answered");
    all[start + 1..].to_vec()
}

#[test]
fn nobody_is_called_like_the_lock_of_a_mailbox() {
    let domain = Domain::of(&["x"]);
    let session = "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe.lock@h.example>\nDATA\nx\n.\nQUIT\n";
    fs::write(domain.path("joe.lock"), "").unwrap();
    let run = run_with_stdin(domain.command_for("%d/%u", &[]), wire(session)).exits(0);
    assert!(later_replies(&run)[1].starts_with("550 5.1.3"));
}

#[test]
fn root_delivers_into_nothing_that_a_user_can_turn_elsewhere() {
    use std::os::unix::fs::{chown, lchown, symlink};
    if !rustix::process::geteuid().is_root() {
        skip!("not root");
    }
    const NOBODY: Option<u32> = Some(65534);
    let session = "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nQUIT\n";
    let refused = |domain: &Domain, template: &str| {
        let run = run_with_stdin(domain.command_for(template, &[]), wire(session)).exits(0);
        let reply = later_replies(&run)[1].clone();
        assert!(reply.starts_with("451 4.3.5") && reply.contains("--dot-qmail"), "{reply}");
    };
    let domain = Domain::of(&["joe"]);
    chown(domain.path("joe/Maildir"), NOBODY, None).unwrap();
    refused(&domain, "%d/%u/Maildir/");
    chown(domain.path("joe/Maildir"), Some(0), None).unwrap();
    // The user's link to a file of root.
    fs::write(domain.path("secret"), "").unwrap();
    symlink("secret", domain.path("joe.mbox")).unwrap();
    lchown(domain.path("joe.mbox"), NOBODY, None).unwrap();
    refused(&domain, "%d/%u.mbox");
    fs::remove_dir(domain.path("joe/Maildir/new")).unwrap();
    symlink("/", domain.path("joe/Maildir/new")).unwrap();
    lchown(domain.path("joe/Maildir/new"), NOBODY, None).unwrap();
    refused(&domain, "%d/%u/Maildir/");
}

const SESSION: &str = "LHLO mx\nMAIL FROM:<ann@a.example>\nRCPT TO:<joe@h.example>\nRCPT TO:<nobody@h.example>\n\
                       RCPT TO:<Eve@H.Example>\nDATA\nSubject: x\n\n.. dots\n...\nlast\n.\nQUIT\n";

#[test]
fn each_recipient_has_the_message_and_a_reply() {
    let domain = Domain::of(&["joe", "eve"]);
    let run = run_with_stdin(domain.command(&[]), wire(SESSION)).exits(0);
    assert_eq!(run.stderr, "");
    let nobody = format!("550 5.1.1 {}/: there is no such mailbox", domain.path("nobody/Maildir").display());
    assert_eq!(
        later_replies(&run),
        [
            "250 2.1.0 ok",
            "250 2.1.5 ok",
            &nobody,
            "250 2.1.5 ok",
            "354 end with a dot on a line by itself",
            "250 2.0.0 NEW true",
            "250 2.0.0 NEW true",
            "221 2.0.0 bye",
        ]
    );
    let mail = |to: &str| {
        format!("Return-Path: <ann@a.example>\nDelivered-To: {to}\nSubject: x\n\n. dots\n..\nlast\n")
    };
    assert_eq!(domain.mail("joe"), [mail("joe@h.example")]);
    assert_eq!(domain.mail("eve"), [mail("Eve@H.Example")]);
}

#[test]
fn a_problem_of_one_mailbox_is_reported_for_it_alone() {
    let domain = Domain::of(&["joe", "eve", "odd"]);
    fs::remove_dir(domain.path("odd/Maildir/new")).unwrap();
    let session = "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nRCPT TO:<odd@h.example>\nRCPT TO:<eve@h.example>\n\
                   DATA\nx: y\n.\nMAIL FROM:<>\nRCPT TO:<eve@h.example>\nDATA\nx: z\n.\nQUIT\n";
    let run = run_with_stdin(domain.command(&[]), wire(session)).exits(0);
    let codes: Vec<String> = later_replies(&run).iter().map(|line| line[..9].to_owned()).collect();
    let want = "250 2.1.0,250 2.1.5,250 2.1.5,250 2.1.5,354 end w,250 2.0.0,451 4.3.5,250 2.0.0,\
                250 2.1.0,250 2.1.5,354 end w,250 2.0.0,221 2.0.0";
    assert_eq!(codes.join(","), want);
    assert_eq!(domain.mail("joe"), ["Return-Path: <>\nDelivered-To: joe@h.example\nx: y\n"]);
    assert_eq!(domain.mail("eve").len(), 2);
    assert_eq!(fs::read_dir(domain.path("odd/Maildir/tmp")).unwrap().count(), 0);
}

#[test]
fn it_does_not_matter_how_a_session_is_divided() {
    let domain = Domain::of(&["joe", "eve"]);
    let expected = replies(&run_with_stdin(domain.command(&[]), wire(SESSION)).exits(0));
    let child = start(domain.command(&[]));
    for byte in wire(SESSION) {
        child.stdin.as_ref().unwrap().write_all(&[byte]).unwrap();
    }
    assert_eq!(replies(&Run::of(child.wait_with_output().unwrap()).exits(0)), expected);
    // Again with a client that waits for each reply.
    let mut child = start(domain.command(&[]));
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut replies_read = reply(&mut from);
    let commands = SESSION.split_inclusive('\n');
    for line in commands.clone().take(6) {
        to.write_all(&wire(line)).unwrap();
        replies_read += &reply(&mut from);
    }
    let rest: String = commands.skip(6).collect();
    to.write_all(&wire(&rest)).unwrap();
    from.read_to_string(&mut replies_read).unwrap();
    let run = Run { code: child.wait().unwrap().code(), stdout: replies_read.into(), stderr: String::new() };
    assert_eq!(replies(&run.exits(0)), expected);
    assert_eq!((domain.mail("joe").len(), domain.mail("eve").len()), (3, 3));
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads one reply, of one line or several.
fn reply(from: &mut impl Read) -> String {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte)
            .unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&text)));
        text.push(byte[0]);
        let line = text.rsplitn(3, |&b| b == b'\n').nth(1).unwrap_or_default();
        if byte == [b'\n'] && line.get(3) == Some(&b' ') {
            return String::from_utf8(text).unwrap();
        }
    }
}

#[test]
fn a_session_cut_anywhere_delivers_no_partial_message() {
    let session = wire(
        "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\na: b\n\n..\n.\nMAIL FROM:<>\nRCPT TO:<eve@h.example>\n\
         DATA\nc: d\n.\nQUIT\n",
    );
    let ends: Vec<usize> = (0..session.len()).filter(|&n| session[..n].ends_with(b"\r\n.\r\n")).collect();
    for cut in 0..=session.len() {
        let domain = Domain::of(&["joe", "eve"]);
        let run = run_with_stdin(domain.command(&[]), &session[..cut]);
        let promised = replies(&run).iter().filter(|line| line.contains("NEW true")).count();
        let (joe, eve) = (domain.mail("joe"), domain.mail("eve"));
        let expected = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(
            (joe.len(), eve.len(), promised),
            (expected.min(1), expected / 2, expected),
            "cut at {cut}"
        );
        assert!(joe.iter().all(|text| text.ends_with("\na: b\n\n.\n")), "{joe:?}");
        assert!(eve.iter().all(|text| text.ends_with("\nc: d\n")), "{eve:?}");
        // In the middle of a command or message, or between two messages.
        let before = &session[..cut];
        let is_between = cut == 0
            || before.ends_with(b"mx\r\n")
            || before.ends_with(b"\r\n.\r\n")
            || before.ends_with(b"QUIT\r\n");
        assert_eq!(run.code, Some(if is_between { 0 } else { 75 }), "cut at {cut}");
    }
}

#[test]
fn no_name_leads_out_of_the_template() {
    let domain = Domain::of(&["joe"]);
    let inbox = domain.0.path().join("Maildir");
    for place in ["tmp", "new", "cur"] {
        fs::create_dir_all(inbox.join(place)).unwrap();
    }
    let before = tree(domain.0.path());
    for (address, status) in [
        ("..@h.example", "550 5.1.3"),
        ("joe@..", "501 5.1.3"),
        ("\"../h.example/joe\"@h.example", "550 5.1.3"),
        ("../h.example/joe@h.example", "550 5.1.3"),
        (".joe@h.example", "550 5.1.3"),
        ("\"joe\\\u{0}\"@h.example", "501 5.1.3"),
        ("joe", "550 5.1.3"),
    ] {
        let session = format!("LHLO mx\nMAIL FROM:<>\nRCPT TO:<{address}>\nDATA\nQUIT\n");
        let run = run_with_stdin(domain.command(&["--create"]), wire(&session)).exits(0);
        let replies_read = later_replies(&run);
        assert!(
            replies_read[1].starts_with(status) && replies_read[2].starts_with("503 5.5.1"),
            "{address}: {replies_read:?}"
        );
    }
    assert_eq!(tree(domain.0.path()), before);
}

#[test]
fn an_extension_is_a_folder_or_a_part_of_the_name() {
    let domain = Domain::of(&["joe", "joe-lists"]);
    domain.build("joe/Maildir/.lists");
    let reply_to = |template: &str, options: &[&str], address: &str| {
        let session = format!("LHLO mx\nMAIL FROM:<>\nRCPT TO:<{address}@h.example>\nDATA\nx: y\n.\nQUIT\n");
        let run = run_with_stdin(domain.command_for(template, options), wire(&session)).exits(0);
        let replies_read = run.text();
        let at = |what: &str| {
            replies_read
                .find(what)
                .map(|at| replies_read[at + what.len()..].split("/new/").next().unwrap().to_owned())
        };
        at("2.0.0 ").filter(|path| path.starts_with('/')).or_else(|| at("\n550 ")).unwrap()
    };
    let here = |name: &str| domain.path(name).display().to_string();
    let folders = "%d/%u/Maildir/.%e/";
    assert_eq!(reply_to(folders, &[], "joe"), here("joe/Maildir"));
    assert_eq!(reply_to(folders, &[], "joe-Lists"), here("joe/Maildir/.lists"));
    assert!(reply_to(folders, &[], "joe-other").starts_with("5.1.1 "));
    assert!(reply_to(folders, &[], "joe-..").starts_with("5.1.3 "));
    // Without a place in the template, the extension is part of the name.
    assert_eq!(reply_to("%d/%u/Maildir/", &[], "joe-lists"), here("joe-lists/Maildir"));
}

#[test]
fn a_map_sets_recipients_and_mailboxes() {
    let domain = Domain::of(&["joe", "rest"]);
    let map = domain.0.path().join("map");
    let at = |name: &str| domain.path(name).display().to_string();
    let text = format!(
        "# people\nJoe@h.example  maildir:{}\nmissing@h.example {}/\n@other.example {}/Maildir/\n@h.example {}/%u/Maildir/\n",
        at("joe/Maildir"),
        at("gone"),
        at("rest"),
        domain.0.path().join("h.example").display(),
    );
    fs::write(&map, text).unwrap();
    let speak = |session: &str| {
        let mut command = mailferry(["deliver", "--protocol", "lmtp", "--recipient-map"]);
        command.arg(&map);
        run_with_stdin(command, wire(session))
    };
    let run = speak(
        "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nRCPT TO:<anybody@other.example>\nRCPT TO:<rest@H.example>\n\
         RCPT TO:<anybody@h.example>\nRCPT TO:<missing@h.example>\nRCPT TO:<joe@third.example>\nDATA\nx: y\n.\nQUIT\n",
    );
    let codes: Vec<String> = later_replies(&run).iter().map(|line| line[..9].to_owned()).collect();
    let want = "250 2.1.0,250 2.1.5,250 2.1.5,250 2.1.5,550 5.1.1,451 4.3.5,550 5.1.1,354 end w,250 2.0.0,250 2.0.0,\
                250 2.0.0,221 2.0.0";
    assert_eq!(codes.join(","), want);
    assert_eq!((domain.mail("joe").len(), domain.mail("rest").len()), (1, 2));

    fs::write(&map, "joe@h.example /x\njoe /y\n").unwrap();
    let run =
        speak("LHLO mx\n").exits(75).complains(&["4.3.5 ", "map: line 2: joe: an address contains an @"]);
    assert!(run.text().starts_with("421 4.3.5 ") && run.text().lines().count() == 1, "{run:?}");
}

#[test]
fn what_is_missing_is_a_missing_recipient_unless_all_is_missing() {
    let domain = Domain::of(&["joe"]);
    let rcpt = "LHLO mx\nMAIL FROM:<>\nRCPT TO:<eve@h.example>\nQUIT\n";
    let reply_to = |command: Command| later_replies(&run_with_stdin(command, wire(rcpt)).exits(0))[1].clone();
    assert!(reply_to(domain.command(&[])).starts_with("550 5.1.1 "));
    assert!(reply_to(domain.command_for("gone/%d/%u/", &[])).starts_with("451 4.3.0 "));
    assert!(reply_to(domain.command_for("gone/%d/%u/", &["--create"])).starts_with("451 4.3.0 "));
    // A mount point can come back.
    std::os::unix::fs::symlink("/nonexistent/eve", domain.path("eve")).unwrap();
    assert!(reply_to(domain.command(&[])).starts_with("451 4.3.0 "));
}

#[test]
fn a_missing_directory_is_created_on_request() {
    let domain = Domain(scratch());
    let session = |address: &str| {
        wire(&format!("LHLO mx\nMAIL FROM:<>\nRCPT TO:<{address}@h.example>\nDATA\nx: y\n.\nQUIT\n"))
    };
    for (template, address) in
        [("%d/%u/Maildir/.%e/", "joe-a.b"), ("%d/%u/Maildir/", "eve"), ("%d/box/%u", "ann")]
    {
        let run = run_with_stdin(domain.command_for(template, &["--create"]), session(address)).exits(0);
        // The existing files do not determine what the mailbox of ann should be.
        let want = if address == "ann" { "451 4.3.5 " } else { "250 2.1.5 ok" };
        assert!(later_replies(&run)[1].starts_with(want), "{run:?}");
    }
    assert_eq!(domain.mail("eve").len(), 1);
    assert_eq!(domain.mail("joe"), [""; 0]);
    let folder = domain.path("joe/Maildir/.a.b");
    assert!(messages(&folder).len() == 1 && folder.join("maildirfolder").is_file());
    let mut command = mailferry(["deliver", "--protocol", "lmtp", "--create"]);
    command.arg(format!("--mailbox=mbox:{}/%d/box/%u", domain.0.path().display()));
    let run = run_with_stdin(command, session("ann")).exits(0);
    let mbox = fs::read_to_string(domain.path("box/ann")).unwrap();
    assert!(mbox.starts_with("From MAILER-DAEMON ") && mbox.ends_with("\nx: y\n\n"), "{mbox:?} {run:?}");
}

#[test]
fn only_the_recipient_over_quota_is_refused() {
    let domain = Domain::of(&["joe", "eve"]);
    fs::write(domain.path("joe/Maildir/maildirsize"), "10S\n").unwrap();
    let session =
        "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nRCPT TO:<eve@h.example>\nDATA\nx: y\n.\nQUIT\n";
    for (options, want) in [(&[][..], "552 5.2.2 "), (&["--quota-temp"], "452 4.2.2 ")] {
        let replies_read = later_replies(&run_with_stdin(domain.command(options), wire(session)).exits(0));
        assert!(
            replies_read[4].starts_with(want) && replies_read[5] == "250 2.0.0 NEW true",
            "{replies_read:?}"
        );
    }
    assert_eq!((domain.mail("joe").len(), domain.mail("eve").len()), (0, 2));
}

#[test]
fn a_message_too_large_is_refused_within_the_session() {
    let domain = Domain::of(&["joe"]);
    let session = format!(
        "LHLO mx\nMAIL FROM:<> SIZE=1001\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\n{}\n.\n\
         MAIL FROM:<> SIZE=1000 BODY=8BITMIME\nRCPT TO:<joe@h.example>\nDATA\nx: y\n.\nQUIT\n",
        "x".repeat(1000)
    );
    let run = run_with_stdin(domain.command(&["--max-size", "1000"]), wire(&session)).exits(0);
    assert!(run.text().contains("\r\n250 SIZE 1000\r\n"));
    let codes: Vec<String> = later_replies(&run).iter().map(|line| line[..9].to_owned()).collect();
    let want =
        "552 5.3.4,250 2.1.0,250 2.1.5,354 end w,552 5.3.4,250 2.1.0,250 2.1.5,354 end w,250 2.0.0,221 2.0.0";
    assert_eq!(codes.join(","), want);
    assert_eq!(domain.mail("joe").len(), 1);
}

#[test]
fn a_message_of_100_mb_and_an_endless_line_take_little_memory() {
    let domain = Domain::of(&["joe", "eve"]);
    for is_one_line in [false, true] {
        let mut child = start(domain.command(&["--spool-dir", domain.0.path().to_str().unwrap()]));
        let mut to = child.stdin.take().unwrap();
        let greeting =
            "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nRCPT TO:<eve@h.example>\nDATA\nx: y\n\n";
        to.write_all(&wire(greeting)).unwrap();
        let end = if is_one_line { "x" } else { "\n" };
        let line = wire(&format!("{}{end}", ". 234567".repeat(9)));
        let chunk = line.repeat((1 << 20) / line.len());
        for _ in 0..100 {
            to.write_all(&chunk).unwrap();
        }
        to.write_all(b"\r\n.\r\n").unwrap();
        let mut from = child.stdout.take().unwrap();
        // Greeting, LHLO, MAIL, RCPT twice, DATA, and the two outcomes.
        let replies_read: Vec<String> = (0..8).map(|_| reply(&mut from)).collect();
        assert!(
            replies_read[6].starts_with("250 2.0.0") && replies_read[7].starts_with("250 2.0.0"),
            "{replies_read:?}"
        );
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        note!("peak memory of an LMTP session with 100 MB: {kib} KiB");
        assert!(kib < 64 << 10, "{kib} KiB");
        drop(to);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    for user in ["joe", "eve"] {
        let maildir = domain.path(user).join("Maildir");
        let sizes: Vec<u64> = messages(&maildir).iter().map(|m| m.bytes.len() as u64).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|&size| size > 95 << 20), "{sizes:?}");
    }
}

#[test]
fn a_signal_while_a_message_comes_in_leaves_nothing() {
    let domain = Domain::of(&["joe"]);
    let mut child = start(domain.command(&[]));
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    to.write_all(&wire("LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\nhalf a mess")).unwrap();
    let replies_read: Vec<String> = (0..5).map(|_| reply(&mut from)).collect();
    assert!(replies_read[4].starts_with("354 "), "{replies_read:?}");
    let kill = Command::new("/bin/kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert!(reply(&mut from).starts_with("421 4.3.2 "));
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(domain.mail("joe"), [""; 0]);
}

#[test]
fn a_socket_gets_only_replies() {
    let domain = Domain::of(&["joe"]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let end = || Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
    let mut command = domain.command(&[]);
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop((command, theirs));
    (&ours).write_all(&wire("LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\nhalf")).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut replies_read = String::new();
    (&ours).read_to_string(&mut replies_read).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(replies_read.ends_with("354 end with a dot on a line by itself\r\n"), "{replies_read:?}");
}

#[test]
fn a_missing_spool_is_reported_after_the_message() {
    let domain = Domain::of(&["joe"]);
    let session = format!(
        "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\n{}.\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\nx: y\n.\nQUIT\n",
        "0123456789\n".repeat(1 << 20)
    );
    let run = run_with_stdin(domain.command(&["--spool-dir", "/nonexistent"]), wire(&session)).exits(0);
    let replies_read = later_replies(&run);
    assert!(
        replies_read[3].starts_with("451 4.3") && replies_read[7] == "250 2.0.0 NEW true",
        "{replies_read:?}"
    );
    assert_eq!(domain.mail("joe").len(), 1);
}

#[test]
fn an_option_that_does_not_apply_to_a_session_is_refused() {
    let domain = Domain::of(&["joe"]);
    for options in [&["-n"][..], &["--json"], &["-f", "x"], &["-r", "x"], &["/tmp/x/"], &["--map", "x"]] {
        let run = run_with_stdin(domain.command(options), "").exits(75);
        assert!(run.stdout.is_empty() && run.stderr.contains("cannot be used with"), "{run:?}");
    }
    run(mailferry(["deliver", "--protocol", "lmtp"])).exits(75);
    let unknown = run_with_stdin(domain.command_for("%x/", &[]), "").exits(75);
    assert!(unknown.text().starts_with("421 4.3.5 --mailbox: %x is unknown"), "{unknown:?}");
    for (word, reply) in
        [("EHLO mx", "500 5.5.1 this is LMTP: send LHLO"), ("HELO mx", "500 5.5.1 this is LMTP: send LHLO")]
    {
        let run = run_with_stdin(domain.command(&[]), wire(&format!("{word}\n"))).exits(0);
        assert_eq!(replies(&run)[1], reply);
    }
}

/// As inetd does: a process per connection, with the socket as its standard input and output.
#[test]
fn postfixs_own_client_hands_over_all_it_has() {
    let domain = Domain::of(&["joe"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options =
        ["-L", "-s", "4", "-m", "40", "-r", "3", "-l", "5000", "-f", "ann@a.example", "-t", "joe@h.example"];
    let client = Command::new("smtp-source").args(options).arg(format!("127.0.0.1:{port}")).spawn();
    let Ok(mut client) = client else { skip!("smtp-source is not here") };
    listener.set_nonblocking(true).unwrap();
    let mut sessions = Vec::new();
    let ended = loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                let stream = OwnedFd::from(stream);
                let mut command = domain.command_for("%d/joe/Maildir/", &[]);
                command.stdin(stream.try_clone().unwrap()).stdout(stream);
                sessions.push(command.spawn().unwrap());
            }
            Err(_) => match client.try_wait().unwrap() {
                Some(ended) => break ended,
                None => std::thread::sleep(std::time::Duration::from_millis(1)),
            },
        }
    };
    assert_eq!((ended.code(), sessions.len()), (Some(0), 40));
    for mut session in sessions {
        assert_eq!(session.wait().unwrap().code(), Some(0));
    }
    let mail = domain.mail("joe");
    assert_eq!(mail.len(), 120);
    // smtp-source names its recipients 1joe, 2joe and so on.
    let to =
        |text: &String| text.lines().find_map(|line| line.strip_prefix("Delivered-To: ").map(str::to_owned));
    assert!(mail.iter().all(|text| text.starts_with("Return-Path: <ann@a.example>\n") && to(text).is_some()));
    assert!(mail.iter().all(|text| text.len() > 5000 && !text.contains('\r')), "{:?}", mail[0]);
}

#[test]
fn pythons_client_finds_its_text_again() {
    let script = r#"
import smtplib, socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)
theirs.close()
client = smtplib.LMTP()
client.sock, client.file = ours, None
assert client.getreply()[0] == 220
client.ehlo("mx.example")  # It says LHLO.
assert client.has_extn("pipelining") and client.has_extn("8bitmime") and client.has_extn("size")
for text in [b"a: b\r\n\r\n.\r\n..\r\n.x\r\n\r\n", b"a: b\r\n\r\n\xe9\r\n"]:
    assert client.sendmail("", ["joe@h.example"], text) == {}
try:
    client.sendmail("ann@a.example", ["nobody@h.example"], b"x")
    sys.exit("nobody has mail")
except smtplib.SMTPRecipientsRefused as refused:
    code, why = refused.recipients["nobody@h.example"]
    assert code == 550 and why.startswith(b"5.1.1 "), why
client.quit()
sys.exit(child.wait())
"#;
    let domain = Domain::of(&["joe"]);
    let session = domain.command(&[]);
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(session.get_program()).args(session.get_args());
    if !have("python3", &["-c", ""]) {
        skip!("python3 is not here");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let maildir = domain.path("joe").join("Maildir");
    let mut bodies: Vec<Vec<u8>> = messages(&maildir).iter().map(|m| m.body().to_vec()).collect();
    bodies.sort();
    assert_eq!(bodies, [&b".\n..\n.x\n\n"[..], b"\xe9\n"]);
}

/// No mail bounces because of a typing error in the map, or because the map was cut off.
#[test]
fn a_damaged_map_accepts_no_mail() {
    let domain = Domain::of(&["joe"]);
    let map = domain.0.path().join("map");
    let maildir = domain.path("joe/Maildir").display().to_string();
    for who in [
        "joe@h.example:",
        "joe@h.example,",
        "<joe@h.example>",
        "\"joe\"@h.example",
        "joe@h.example.",
        "*@h.example",
        "#",
    ] {
        fs::write(&map, format!("{who} {maildir}/\n")).unwrap();
        let mut command = mailferry(["deliver", "--protocol", "lmtp", "--recipient-map"]);
        command.arg(&map);
        let run = run_with_stdin(command, wire("LHLO mx\nQUIT\n")).exits(75);
        assert!(run.text().starts_with("421 4.3.5 "), "{who}: {run:?}");
    }
}

#[test]
fn a_shared_mailbox_is_created_with_and_without_a_slash() {
    let domain = Domain::of(&[]);
    for (name, template) in [("one", "one/"), ("two", "two//"), ("three", "three")] {
        let prefix = if name == "three" { "maildir:" } else { "" };
        let mailbox = format!("--mailbox={prefix}{}/{template}", domain.0.path().display());
        let command = mailferry(["deliver", "--protocol", "lmtp", "--create", &mailbox]);
        let session = "LHLO mx\nMAIL FROM:<>\nRCPT TO:<joe@h.example>\nDATA\nSubject: x\n\nx\n.\nQUIT\n";
        run_with_stdin(command, wire(session)).exits(0);
        assert_eq!(messages(&domain.0.path().join(name)).len(), 1, "{template}");
    }
}

/// A client that only makes errors would hold one of the few connections for ever.
#[test]
fn a_session_with_nothing_but_errors_comes_to_an_end() {
    let domain = Domain::of(&["joe"]);
    for again in ["XYZZY\n", "RCPT TO:<joe@h.example>\n", "VRFY joe\n", "RSET\n", "LHLO mx\n"] {
        let session = format!("LHLO mx\n{}QUIT\n", again.repeat(2000));
        let run = run_with_stdin(domain.command(&[]), wire(&session)).exits(75);
        assert_eq!(replies(&run).last().unwrap(), "421 4.7.0 too many errors; closing");
        assert!(replies(&run).len() < 600, "{again}");
        run.complains(&["4.3.0", "too many errors"]);
    }
    // Some errors, and recipients that are gone, do not end it.
    let some = "XYZZY\nRCPT TO:<joe@h.example>\n".repeat(3) + "MAIL FROM:<>\n";
    let gone =
        "RCPT TO:<gone@h.example>\n".repeat(200) + "RCPT TO:<joe@h.example>\nDATA\nSubject: x\n\nx\n.\n";
    let session = format!("LHLO mx\n{}QUIT\n", (some + &gone).repeat(3));
    let run = run_with_stdin(domain.command(&[]), wire(&session)).exits(0);
    assert_eq!((replies(&run).last().unwrap().as_str(), domain.mail("joe").len()), ("221 2.0.0 bye", 3));
}
