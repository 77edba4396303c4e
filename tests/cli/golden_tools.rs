//! Recorded behaviour of qmail's small programs, compared with mailferry under their names.
//!
//! The records may not be copied here; see `support::shared`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::golden::{bytes, compare_cases, records, same_text, set_mode};
use super::support::*;

#[test]
fn called_by_their_names_it_does_what_qmails_small_programs_did() {
    let Some(mut cases) = records("golden/tools.jsonl") else { return };
    // tests/cli/golden_inject.rs compares sendmail.
    cases.retain(|case| case["program"] != "sendmail");
    assert!(cases.len() > 20, "{}", cases.len());
    compare_cases("golden/tools.jsonl", &cases, &[], |case| compare(case, Called::ByLink));
    // Without a link nothing else changes.
    for case in &cases {
        compare(case, Called::ByFirstArgument).unwrap();
    }
}

#[test]
fn called_maildir2mbox_it_does_what_maildir2mbox_did() {
    let Some(cases) = records("golden/maildir2mbox.jsonl") else { return };
    let differences = [
        (11, "an mbox without a final newline: the From_ line is glued to the last line"),
        (12, "a last line without newline is lost"),
        (14, "the same"),
    ];
    compare_cases("golden/maildir2mbox.jsonl", &cases, &differences, |case| compare(case, Called::ByLink));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Called {
    ByLink,
    ByFirstArgument,
}

/// A working directory, links, and a queue program that stores its input.
pub(super) struct Workshop {
    scratch: tempfile::TempDir,
}

impl Workshop {
    pub(super) fn new(queue_exit: i64) -> Workshop {
        let scratch = scratch();
        let workshop = Workshop { scratch };
        for dir in ["w", "bin"] {
            fs::create_dir(workshop.path(dir)).unwrap();
        }
        let take = "cat > queued_message; cat <&1 > queued_envelope";
        let dir = workshop.scratch.path().display();
        script(&workshop.path("queue"), &format!("cd {dir}; {take}; exit {queue_exit}"));
        workshop
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Creates a link to mailferry with the name of a program.
    pub(super) fn link(&self, name: &str) -> PathBuf {
        let link = self.path("bin").join(name);
        if !link.exists() {
            symlink(BINARY, &link).unwrap();
        }
        link
    }

    fn command(&self, name: &str, called: Called, args: &[String]) -> Command {
        let mut program = match called {
            Called::ByLink => vec![self.link(name)],
            Called::ByFirstArgument => vec![BINARY.into(), name.into()],
        };
        program.extend(args.iter().map(PathBuf::from));
        let mut command = wrapped::<_, &str>("exec \"$@\"", program, []);
        command.current_dir(self.path("w")).env("QMAILQUEUE", self.path("queue"));
        command
    }
}

/// Runs one case. The error is the first difference.
fn compare(case: &Value, called: Called) -> Result<(), String> {
    let workshop = Workshop::new(case["queue_exit"].as_i64().unwrap_or(0));
    let work = workshop.path("w");
    let here = |text: &str| text.replace("@W@", work.to_str().unwrap());
    for (name, file) in case["files"].as_object().unwrap() {
        put(&work.join(name), file);
    }
    prepare(case, &work);
    let args: Vec<String> =
        case["argv"].as_array().unwrap().iter().map(|arg| here(arg.as_str().unwrap())).collect();
    let mut command = workshop.command(case["program"].as_str().unwrap(), called, &args);
    for (name, value) in case["env"].as_object().unwrap() {
        command.env(name, here(value.as_str().unwrap()));
    }
    // qmail-local passes a file.
    let stdin = workshop.path("stdin");
    fs::write(&stdin, bytes(&case["stdin"])).unwrap();
    command.stdin(Stdio::from(fs::File::open(&stdin).unwrap()));
    let run = Run::of(command.output().unwrap());

    let code = |code: Option<i64>| format!("{code:?}");
    same_text("exit code", &code(run.code.map(i64::from)), &code(case["rc"].as_i64()))?;
    let recorded = |key: &str| here(&String::from_utf8_lossy(&bytes(&case[key])));
    same_text("stdout", &run.text(), &recorded("stdout"))?;
    same_text("stderr", &without_process(&run.stderr), &without_process(&recorded("stderr")))?;
    let queued = |name| fs::read(workshop.path(name)).map(|b| String::from_utf8_lossy(&b).into_owned());
    let want = |key: &str| case[key].as_object().map(|_| recorded(key)).unwrap_or_default();
    same_text("queued message", &queued("queued_message").unwrap_or_default(), &want("queued_message"))?;
    let envelope = case["queued_envelope"].as_array().map(|parts| {
        let parts: Vec<&str> = parts.iter().map(|part| part.as_str().unwrap()).collect();
        parts.join("\0")
    });
    same_text("envelope", &queued("queued_envelope").unwrap_or_default(), &envelope.unwrap_or_default())?;
    let got: BTreeMap<String, String> = tree_of(&work);
    let mut wanted = BTreeMap::new();
    for (name, entry) in case["tree_after"].as_object().unwrap() {
        let mode = entry["mode"].as_str().unwrap().trim_start_matches("0o");
        let content = if name.ends_with('/') { Vec::new() } else { bytes(entry) };
        wanted.insert(name.replace("@TMP@", "/tmp"), format!("{mode} {}", content.escape_ascii()));
    }
    same_text("files", &format!("{got:#?}"), &format!("{wanted:#?}"))
}

/// Creates what the record does not list: the directory that maildirmake finds, and the Maildir.
fn prepare(case: &Value, work: &Path) {
    if case["program"] == "maildir2mbox" {
        let has_tmp = case["name"] != "no tmp directory";
        for dir in ["new", "cur", "tmp"].iter().filter(|dir| **dir != "tmp" || has_tmp) {
            fs::create_dir_all(work.join("md").join(dir)).unwrap();
        }
    }
    if case["name"] == "exists" {
        fs::create_dir(work.join("Maildir")).unwrap();
    }
}

fn put(path: &Path, file: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes(file)).unwrap();
    set_mode(path, 0o644);
    if let Some(seconds) = file["mtime"].as_u64() {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

/// Replaces the process in `qp N`.
fn without_process(text: &str) -> String {
    match text.split_once(": qp ") {
        Some((name, number)) if number.trim_end().bytes().all(|b| b.is_ascii_digit()) => {
            format!("{name}: qp N\n")
        }
        _ => text.into(),
    }
}

/// Returns the mode and content of each file, and of each empty directory, as the records have them.
fn tree_of(root: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let mut tree = BTreeMap::new();
    for name in paths(root) {
        let path = root.join(&name);
        if path.is_file() {
            tree.insert(name, format!("{:o} {}", mode(&path), fs::read(&path).unwrap().escape_ascii()));
        } else if fs::read_dir(&path).unwrap().next().is_none() {
            tree.insert(format!("{name}/"), format!("{:o} ", mode(&path)));
        }
    }
    if tree.is_empty() {
        tree.insert("./".into(), format!("{:o} ", mode(root)));
    }
    tree
}

/// Postfix passes a pipe. Nothing can be read twice from it.
#[test]
fn condredirect_forwards_from_a_pipe() {
    let workshop = Workshop::new(0);
    let args = ["new@a.example", "cat"].map(String::from);
    let mut command = workshop.command("condredirect", Called::ByLink, &args);
    command.envs([("SENDER", "s@x.example"), ("DTLINE", "Delivered-To: joe@h.example\n")]);
    let run = run_with_stdin(command, "Subject: x\n\nbody\n").exits(99);
    assert_eq!(run.text(), "Subject: x\n\nbody\n");
    let queued = fs::read_to_string(workshop.path("queued_message")).unwrap();
    assert_eq!(queued, "Delivered-To: joe@h.example\nSubject: x\n\nbody\n");
}

#[test]
fn without_links_they_run_each_other() {
    let workshop = Workshop::new(0);
    let words = ["bouncesaying", "No (#5.7.1)", "true"].map(String::from);
    for (args, code) in [(&words[..1], 0), (&words[..2], 0), (&words[..], 0)] {
        let run = run(workshop.command("except", Called::ByFirstArgument, args)).exits(code);
        assert_eq!(run.stderr.contains("No (#5.7.1)"), args.len() > 1, "{}", run.stderr);
    }
}

/// A part of a message must not pass for the message.
#[test]
fn preline_gives_no_program_a_part_of_a_message() {
    let workshop = Workshop::new(0);
    let args = ["sh", "-c", "cat > got; touch done"].map(String::from);
    let mut command = workshop.command("preline", Called::ByLink, &args);
    command.envs([("UFLINE", "U\n"), ("RPLINE", "R\n"), ("DTLINE", "D\n")]);
    // A directory can be opened, and not read.
    command.stdin(Stdio::from(fs::File::open("/").unwrap()));
    let run = Run::of(command.output().unwrap()).exits(111);
    assert_eq!(run.stderr, "preline: fatal: unable to read message: is a directory\n");
    assert!(!workshop.path("w/done").exists());
}

#[test]
fn called_qmail_qmqpc_it_does_what_qmail_qmqpc_did() {
    let Some(mut cases) = records("golden/wire.jsonl") else { return };
    cases.retain(|case| case["program"] == "qmail-qmqpc");
    assert!(cases.len() > 5, "{}", cases.len());
    compare_cases("golden/wire.jsonl, qmail-qmqpc", &cases, &[], compare_qmqpc);
}

/// qmail-qmqpc takes the D of the second reply for a refusal, and the K of the third for an acceptance.
#[test]
fn qmail_qmqpc_reads_only_netstrings() {
    for reply in ["hello D", "5:hello,D", "2:xK,", "18:Kok", "01:K,"] {
        let (code, _) = qmqpc(b"x\n", b"Fs@x\0Ta@b\0\0", Some("127.0.0.1"), Some(reply.into()));
        assert_eq!(code, Some(74), "{reply}");
    }
}

fn compare_qmqpc(case: &Value) -> Result<(), String> {
    let hex = |key: &str| {
        let text = case[key].as_str()?;
        Some(data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap())
    };
    let (message, envelope) = (hex("message_hex").unwrap(), hex("envelope_hex").unwrap());
    // Without a listener nothing is received.
    let reply = hex("sent_by_client_hex").map(|_| hex("reply_hex").unwrap_or_default());
    let (code, received) = qmqpc(&message, &envelope, case["qmqpservers"].as_str(), reply);
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    same_text("exit code", &format!("{code:?}"), &format!("{:?}", case["rc"].as_i64().map(|n| n as i32)))?;
    same_text("sent", &text(&received), &text(&hex("sent_by_client_hex").unwrap_or_default()))
}

/// Runs it with servers at a port of 127.0.0.1, where a peer gives a reply or nothing listens. Returns the exit code and
/// what it sent.
fn qmqpc(
    message: &[u8],
    envelope: &[u8],
    servers: Option<&str>,
    reply: Option<Vec<u8>>,
) -> (Option<i32>, Vec<u8>) {
    let workshop = Workshop::new(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    fs::create_dir(workshop.path("control")).unwrap();
    if let Some(servers) = servers {
        // The listener keeps its port, which nothing else can then have at the other addresses of this machine.
        let servers =
            if reply.is_none() { servers.replace("127.0.0.1", "127.0.0.3") } else { servers.into() };
        let lines: String = servers.lines().map(|server| format!("{server}:{port}\n")).collect();
        fs::write(workshop.path("control/qmqpservers"), lines).unwrap();
    }
    for (name, content) in [("stdin", message), ("envelope", envelope)] {
        fs::write(workshop.path(name), content).unwrap();
    }
    let mut command = workshop.command("qmail-qmqpc", Called::ByLink, &[]);
    command.env("QMAILHOME", workshop.path(""));
    let file = |name: &str| Stdio::from(fs::File::open(workshop.path(name)).unwrap());
    command.stdin(file("stdin")).stdout(file("envelope")).stderr(Stdio::piped());
    let Some(reply) = reply else {
        return (command.spawn().unwrap().wait().unwrap().code(), Vec::new());
    };
    let child = command.spawn().unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    // The request is a netstring.
    let mut received = Vec::new();
    let mut total = None;
    while total.is_none_or(|total| received.len() < total) {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
        if byte == *b":" && total.is_none() {
            let length: usize =
                std::str::from_utf8(&received[..received.len() - 1]).unwrap().parse().unwrap();
            total = Some(received.len() + length + 1);
        }
    }
    connection.write_all(&reply).unwrap();
    drop(connection);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    (output.status.code(), received)
}
