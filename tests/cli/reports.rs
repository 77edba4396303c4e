//! `--report`: what a file about a run has, and where it is written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::*;

/// A directory with copies of the fixtures, in which commands run.
struct Scene(TempDir);

impl Scene {
    fn new() -> Scene {
        let scene = Scene(scratch());
        for name in ["inbox.mbox", "takeout.mbox", "broken.mbox", "glued.mbox", "mmdf.mbox"] {
            fs::copy(fixture(name), scene.path(name)).unwrap();
        }
        for name in ["thunderbird", "pine", "dovecot"] {
            copy_tree(&fixture("trees").join(name), &scene.path(name));
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// Runs the words of a command in the directory.
    fn run(&self, words: &str) -> Run {
        let mut command = mailferry(words.split(' '));
        command.current_dir(self.0.path());
        run(command)
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &copy);
        } else {
            fs::copy(&path, copy).unwrap();
        }
    }
}

/// Adds up a number of each row.
fn sum(report: &Value, list: &str, key: &str) -> u64 {
    report[list].as_array().unwrap().iter().map(|row| count(row, key)).sum()
}

/// Asserts that a report agrees with the summary of the same run.
#[track_caller]
fn agrees(report: &Value, summary: &Value) {
    for key in ["command", "command_line", "version", "host", "exit", "start", "destination"] {
        assert_eq!(report[key], summary[key], "{key}");
    }
    for (part, key) in [
        ("source", "bytes_source"),
        ("messages", "bytes_messages"),
        ("from_lines", "bytes_from_lines"),
        ("quoting", "bytes_quoting"),
        ("separators", "bytes_separators"),
        ("junk", "bytes_junk"),
        ("not_reached", "bytes_not_reached"),
    ] {
        assert_eq!(report["bytes"][part], summary[key], "{key}");
    }
    let flow = ["found", "written", "already_present", "duplicates", "skipped", "not_selected"];
    let has_labels = summary["command_line"].as_array().unwrap().iter().any(|word| word == "--labels");
    // A message with several labels is in several folders.
    for key in flow.into_iter().filter(|_| !has_labels) {
        let in_summary = if key == "found" { "messages_found" } else { key };
        assert_eq!(sum(report, "folders", key), count(summary, in_summary), "{key}");
    }
    assert_eq!(sum(report, "sources", "bytes"), count(summary, "bytes_source"));
    assert_eq!(sum(report, "sources", "messages"), count(summary, "messages_found"));
    for list in ["years", "sizes"] {
        assert_eq!(sum(report, list, "messages"), count(summary, "messages_found"), "{list}");
        assert_eq!(sum(report, list, "bytes"), count(summary, "bytes_messages"), "{list}");
    }
    assert_eq!(sum(report, "date_origins", "messages"), count(summary, "messages_found"));
    for severity in ["error", "warning"] {
        let rows = report["findings"].as_array().unwrap().iter();
        let counts: u64 = rows.filter(|row| row["severity"] == severity).map(|row| count(row, "count")).sum();
        assert_eq!(counts, count(summary, &format!("{severity}s")), "{severity}");
    }
}

#[test]
fn a_report_adds_up_to_what_the_command_reports() {
    let scene = Scene::new();
    fs::create_dir(scene.path("pack")).unwrap();
    for (words, code) in [
        ("inbox.mbox A", 0),
        // Again: there is nothing to do, and the report is as complete.
        ("inbox.mbox A", 0),
        ("takeout.mbox B", 0),
        ("--labels folders takeout.mbox C", 0),
        ("--split year inbox.mbox D", 0),
        ("--since 2000 inbox.mbox E", 0),
        ("broken.mbox F", 1),
        ("glued.mbox mmdf.mbox G", 0),
        ("thunderbird H", 0),
        ("thunderbird H", 0),
        ("pine dovecot mbox:I/", 0),
        ("A maildir:J", 0),
        ("A K.mbox", 0),
        ("H L/", 0),
        ("A eml:M", 0),
        ("mboxrd:inbox.mbox mboxcl2:N.mbox", 0),
    ] {
        let run = scene.run(&format!("convert --json --report r.json {words}")).exits(code);
        let report = scene.json("r.json");
        agrees(&report, &run.summary());
        let mode = fs::metadata(scene.path("r.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{words}");
    }
}

#[test]
fn a_report_has_the_hashes_and_the_command_that_prove_it() {
    let scene = Scene::new();
    scene.run("convert --report r.json inbox.mbox Maildir").exits(0);
    let report = scene.json("r.json");
    let hash = |path: &str| blake3::hash(&fs::read(scene.path(path)).unwrap()).to_hex().to_string();
    assert_eq!(report["sources"][0]["blake3"], hash("inbox.mbox"));
    assert_eq!(report["manifests"][0]["path"], "Maildir/mailferry.manifest");
    assert_eq!(report["manifests"][0]["blake3"], hash("Maildir/mailferry.manifest"));
    let proof = report["proof"].as_str().unwrap();
    scene.run(proof.strip_prefix("mailferry ").unwrap()).exits(0);
    // A tree has a manifest for each folder, and one with their list.
    scene.run("convert --report r.json thunderbird Tree").exits(0);
    let report = scene.json("r.json");
    let manifests = report["manifests"].as_array().unwrap();
    assert!(manifests.len() > 3, "{manifests:?}");
    for row in manifests {
        assert_eq!(row["blake3"], hash(row["path"].as_str().unwrap()));
    }
    assert_eq!(report["sources"][0]["blake3"], hash(report["sources"][0]["path"].as_str().unwrap()));
}

#[test]
fn a_report_shows_the_lines_that_a_person_should_look_at() {
    let scene = Scene::new();
    scene.run("convert --report r.json broken.mbox Maildir").exits(1);
    let report = scene.json("r.json");
    let lines = report["doubtful"].as_array().unwrap();
    let prose = lines
        .iter()
        .find(|line| line["line"] == "From here on only prose follows, though the next line has a colon.");
    let prose = prose.unwrap_or_else(|| panic!("{lines:#?}"));
    assert_eq!(prose["is_separator"], false);
    assert_eq!(prose["before"], serde_json::json!(["This body is longer than its header says.", ""]));
    assert_eq!(prose["after"][0], "Note: nobody sent this.");
    let largest = &report["largest"][0];
    assert!(count(largest, "bytes") >= count(&report["largest"][1], "bytes"));
    assert!(largest["from"].as_str().unwrap().contains("@example.org"), "{largest}");
}

#[test]
fn a_report_in_csv_has_a_line_for_each_folder() {
    let scene = Scene::new();
    scene.run("convert --report r.csv thunderbird Maildir").exits(0);
    let expected = "\
folder,found,written,already_present,duplicates,skipped,not_selected\r
INBOX,3,3,0,0,0,0\r
INBOX/Travel,1,1,0,0,0,0\r
Sent,1,1,0,0,0,0\r
Trash,0,0,0,0,0,0\r
";
    assert_eq!(scene.text("r.csv"), expected);
}

#[test]
fn a_report_in_text_has_the_same_contents() {
    let scene = Scene::new();
    scene.run("convert --report r.json broken.mbox A").exits(1);
    scene.run("convert --report r.txt broken.mbox B").exits(1);
    let (report, text) = (scene.json("r.json"), scene.text("r.txt"));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text_words = words(&text);
    for row in report["findings"].as_array().unwrap() {
        let code = row["code"].as_str().unwrap();
        assert!(text.contains(code), "{code}");
        for example in row["examples"].as_array().unwrap() {
            let message = example["message"].as_str().unwrap();
            assert!(text_words.contains(&words(message)), "{message}");
        }
    }
    assert!(text.contains(report["sources"][0]["blake3"].as_str().unwrap()));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_report_is_refused_before_anything_is_read() {
    let scene = Scene::new();
    for (report, code, words) in [
        ("r.xml", 2, "--report: invalid value r.xml"),
        ("r", 2, "--report: invalid value r"),
        ("missing/r.json", 3, "missing: no such directory for the report"),
        ("thunderbird/r.json", 2, "--report: thunderbird/r.json is in thunderbird"),
    ] {
        let command = format!("convert --report {report} thunderbird Maildir");
        scene.run(&command).exits(code).complains(&[words]);
        assert!(!scene.path("Maildir").exists(), "{report}");
    }
    fs::create_dir(scene.path("d.json")).unwrap();
    scene.run("convert --report d.json inbox.mbox Maildir").exits(3).complains(&["is a directory"]);
    fs::copy(scene.path("inbox.mbox"), scene.path("mail.txt")).unwrap();
    for words in [
        "mail.txt Maildir",
        "inbox.mbox mbox:mail.txt --force",
        "inbox.mbox mbox:./d.json/../mail.txt --force",
    ] {
        let run = scene.run(&format!("convert --report mail.txt {words}"));
        run.exits(2).complains(&["--report: "]);
        same(
            &fs::read(scene.path("mail.txt")).unwrap(),
            &fs::read(fixture("inbox.mbox")).unwrap(),
            "the mailbox",
        );
    }
    let run = scene.run("convert -n --report r.json inbox.mbox Maildir");
    run.exits(2).complains(&["--dry-run: cannot be used with --report"]);
    assert!(!scene.path("r.json").exists());
}

#[test]
fn a_run_that_fails_leaves_its_report() {
    let scene = Scene::new();
    fs::write(scene.path("r.json"), "old").unwrap();
    fs::write(scene.path("holiday.jpg"), b"\xff\xd8\xff\xe0\0\x10JFIF\0\0\0").unwrap();
    let run = scene.run("convert --json --report r.json inbox.mbox holiday.jpg Maildir").exits(3);
    let (report, summary) = (scene.json("r.json"), run.summary());
    assert_eq!(report["exit"], 3);
    assert_eq!(report["bytes"]["not_reached"], summary["bytes_not_reached"]);
    assert_eq!(sum(&report, "sources", "bytes"), count(&summary, "bytes_source"));
    let verdict = report["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("The conversion did not finish: holiday.jpg"), "{verdict}");
    assert_eq!(report["findings"][0]["severity"], "error");
    scene.run("convert --report r.txt missing.mbox Maildir").exits(3);
    assert!(scene.text("r.txt").contains("missing.mbox"));
}

#[test]
fn a_page_in_html_has_no_script_and_loads_nothing() {
    let scene = Scene::new();
    scene.run("convert --report r.html broken.mbox Maildir").exits(1);
    let page = scene.text("r.html");
    assert!(page.starts_with("<!DOCTYPE html>"), "{}", &page[..100.min(page.len())]);
    for word in ["mbox-from-in-body", "From here on only prose follows"] {
        assert!(page.contains(word), "{word}");
    }
    for word in ["<script", "http://", "https://", "<img", "<link", "javascript:"] {
        assert!(!page.to_lowercase().contains(word), "{word}");
    }
}

/// A message whose sender, subject and lines try to leave their place on a page.
fn hostile_mail(n: u32) -> String {
    format!(
        "From <script>@example.org Mon Mar  2 08:15:00 1998\n\
         From: \"</td><script>alert({n})</script>\" <x@example.org>\n\
         Subject: <img src=x onerror=alert({n})> \u{202e}gnp.exe\u{202c} \u{1b}[2J \u{0}\n\
         \n\
         body\n\
         \n\
         From <b>\u{202e}</b> & \u{7} prose <iframe>\n\
         Note: <script>\n\
         \n"
    )
}

#[test]
fn what_strangers_wrote_is_inert_in_every_format() {
    let scene = Scene::new();
    fs::create_dir(scene.path("tree")).unwrap();
    let name = "<script>alert(1)<\u{202e}script>\u{1b}[31m,\"=x";
    fs::write(scene.path("tree").join(name), hostile_mail(1) + &hostile_mail(2)).unwrap();
    fs::write(scene.path("tree/=HYPERLINK(1)"), mail(1)).unwrap();
    for extension in ["html", "json", "csv", "txt"] {
        scene.run(&format!("convert --report r.{extension} tree Maildir-{extension}")).exits(0);
        let text = scene.text(&format!("r.{extension}"));
        let is_harmful =
            |c: char| c.is_control() && !"\n\r".contains(c) || ('\u{202a}'..='\u{202e}').contains(&c);
        assert_eq!(text.chars().find(|c| is_harmful(*c)), None, "{extension}");
        match extension {
            "html" => {
                for tag in ["<script", "<img", "<iframe", "<b>"] {
                    assert!(!text.contains(tag), "{tag}");
                }
                assert!(text.contains("&lt;script&gt;"));
            }
            "csv" => assert!(text.lines().all(|line| !line.starts_with(['=', '+', '@'])), "{text}"),
            _ => {}
        }
    }
}

#[test]
fn a_redacted_report_names_nobody_and_quotes_nothing() {
    let scene = Scene::new();
    for extension in ["html", "json", "csv", "txt"] {
        for (n, words) in ["broken.mbox", "thunderbird", "takeout.mbox inbox.mbox"].iter().enumerate() {
            let report = format!("r{n}.{extension}");
            let maildir = format!("M{n}-{extension}");
            scene.run(&format!("convert --redact --report {report} {words} {maildir}"));
            let text = scene.text(&report);
            for word in [
                "example.org",
                "lindqvist",
                "ada",
                "bertil",
                "brandt",
                "carmen",
                "ruiz",
                "dilip",
                "rao",
                "eeva",
                "korhonen",
                "library",
                "catalogue",
                "envelope",
                "blank line before me",
                "prose",
                "travel",
                "thunderbird",
                "takeout",
                "inbox.mbox",
                "broken.mbox",
                &maildir.to_lowercase(),
                "mailferry-test",
            ] {
                let has_word = text
                    .to_lowercase()
                    .split(|c: char| !c.is_alphanumeric() && !"-. ".contains(c))
                    .any(|part| part == word || word.len() > 4 && part.contains(word));
                assert!(!has_word, "{report}: {word}\n{text}");
            }
        }
    }
    // What remains still adds up.
    let report = scene.json("r1.json");
    assert_eq!(sum(&report, "folders", "found"), sum(&report, "years", "messages"));
    scene.run("convert --redact inbox.mbox X").exits(2);
}

#[test]
fn verify_writes_its_verdict_and_findings() {
    let scene = Scene::new();
    scene.run("convert -q inbox.mbox Maildir").exits(0);
    scene.run("convert -q thunderbird Tree").exits(0);
    for (words, code) in [
        ("Maildir", 0),
        ("Tree", 0),
        ("broken.mbox", 1),
        ("thunderbird", 0),
        ("inbox.mbox glued.mbox", 1),
        ("--against inbox.mbox Maildir", 0),
        ("--against glued.mbox Maildir", 1),
        ("missing", 3),
    ] {
        let run = scene.run(&format!("verify --json --report r.json {words}")).exits(code);
        let (report, summary) = (scene.json("r.json"), run.json().pop().unwrap());
        for key in ["command", "verdict", "exit", "host", "version", "command_line"] {
            assert_eq!(report[key], summary[key], "{words}: {key}");
        }
        for severity in ["error", "warning"] {
            let rows = report["findings"].as_array().unwrap().iter();
            let counts = rows.filter(|row| row["severity"] == severity).map(|row| count(row, "count"));
            assert_eq!(counts.sum::<u64>(), count(&summary, &format!("{severity}s")), "{words}: {severity}");
        }
        if !words.starts_with("--against") && code != 3 {
            assert_eq!(sum(&report, "sources", "messages"), count(&summary, "messages_found"), "{words}");
            assert_eq!(sum(&report, "folders", "found"), count(&summary, "messages_found"), "{words}");
        }
        if words == "Maildir" {
            let manifest = fs::read(scene.path("Maildir/mailferry.manifest")).unwrap();
            assert_eq!(report["manifests"][0]["blake3"], blake3::hash(&manifest).to_hex().to_string());
            assert_eq!(sum(&report, "years", "messages"), 8);
        }
        if words == "broken.mbox" {
            assert!(!report["doubtful"].as_array().unwrap().is_empty(), "{report}");
        }
    }
    for extension in ["html", "csv", "txt"] {
        scene.run(&format!("verify --report r.{extension} Maildir")).exits(0);
        assert!(scene.text(&format!("r.{extension}")).contains("Maildir"), "{extension}");
    }
    scene.run("verify --report Maildir/r.txt Maildir").exits(2).complains(&["--report: "]);
    scene.run("verify -n --repair --report r.txt Maildir").exits(2);
}

#[test]
fn forty_megabytes_of_findings_make_a_small_page() {
    let scene = Scene::new();
    let message = "From ada@example.org Mon Mar  2 08:14:00 1998\nSubject: x\n\nbody\n";
    // Each separator without a blank line is a finding.
    fs::write(scene.path("many.mbox"), message.repeat(190_000)).unwrap();
    let run = scene.run("verify --json --report r.html many.mbox").exits(0);
    assert!(run.stdout.len() > 40 << 20, "{}", run.stdout.len());
    let page = scene.text("r.html");
    assert!(page.len() < 2 << 20, "{}", page.len());
    assert!(page.contains("189,999"), "the page does not say how many there are");
    for extension in ["json", "txt"] {
        scene.run(&format!("verify -q --report r.{extension} many.mbox")).exits(0);
        assert!(scene.text(&format!("r.{extension}")).len() < 2 << 20, "{extension}");
    }
}

#[test]
fn an_interrupted_run_leaves_its_report() {
    let scene = Scene::new();
    let mut command = mailferry(["convert", "--report", "r.json", "-", "Maildir"]);
    command.current_dir(scene.0.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // It waits for the mail, which does not come.
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take();
    wait_for("it to catch the signal", || catches(&child, Signal::TERM));
    send(&child, Signal::TERM);
    Run::of(child.wait_with_output().unwrap()).exits(4);
    drop(stdin);
    let report = scene.json("r.json");
    assert_eq!(report["exit"], 4);
    assert_eq!(report["sources"][0]["path"], "-");
    assert!(report["verdict"].as_str().unwrap().contains("interrupted"), "{report}");
}

/// The user whose mailboxes root works on.
const JOE: u32 = 24011;

#[test]
fn root_writes_a_report_of_a_users_mailbox_into_a_directory_of_roots() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can work in the tree of another user");
    }
    let scene = Scene::new();
    fs::create_dir_all(scene.path("home")).unwrap();
    fs::create_dir_all(scene.path("reports")).unwrap();
    fs::set_permissions(scene.path("reports"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(fixture("inbox.mbox"), scene.path("home/inbox")).unwrap();
    for path in ["home", "home/inbox"] {
        chown(scene.path(path), Some(JOE), Some(JOE)).unwrap();
    }
    for command in [
        "convert --report reports/r.json home/inbox home/Maildir",
        "verify --report reports/r.json home/Maildir",
    ] {
        scene.run(command).exits(0);
        let meta = fs::metadata(scene.path("reports/r.json")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o600), "{command}");
        assert_eq!(count(&scene.json("reports/r.json"), "exit"), 0);
        assert_eq!(fs::metadata(scene.path("home/Maildir")).unwrap().uid(), JOE);
        fs::remove_file(scene.path("reports/r.json")).unwrap();
    }
    // In the user's own directory the report is the user's, and a link of the user's leads nowhere.
    scene.run("verify --report home/r.json home/Maildir").exits(0);
    assert_eq!(fs::metadata(scene.path("home/r.json")).unwrap().uid(), JOE);
    fs::write(scene.path("reports/secret.json"), "secret").unwrap();
    symlink(scene.path("reports/secret.json"), scene.path("home/link.json")).unwrap();
    symlink(scene.path("reports"), scene.path("home/reports")).unwrap();
    for path in ["home/link.json", "home/reports"] {
        lchown(scene.path(path), Some(JOE), Some(JOE)).unwrap();
    }
    for report in ["home/link.json", "home/reports/secret.json", "home/reports/new.json"] {
        let run = scene.run(&format!("verify --report {report} home/Maildir"));
        assert_eq!(run.code, Some(3), "{report}: {}", run.stderr);
    }
    assert_eq!(scene.text("reports/secret.json"), "secret");
    assert_eq!(names(&scene.path("reports")), ["secret.json"]);
}
