//! Commands that read mail restrict themselves to the paths that they need, and work in that sandbox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::*;

const MAIL: &str = "From ann@example.org Mon Jan  1 10:00:00 2001\nSubject: x\n\nbody\n\n";

/// A Maildir `M` with a folder that is a link, converted from the mbox `inbox`.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture(scratch());
        fs::write(fixture.path("inbox"), MAIL).unwrap();
        fs::create_dir(fixture.path("tree")).unwrap();
        fs::write(fixture.path("tree/archive"), MAIL).unwrap();
        let mut command = mailferry(["convert", "-q"]);
        command.args([fixture.path("inbox"), fixture.path("M")]);
        run(command).exits(0);
        for name in ["cur", "new", "tmp"] {
            fs::create_dir_all(fixture.path("elsewhere").join(name)).unwrap();
        }
        fs::write(fixture.path("elsewhere/maildirfolder"), "").unwrap();
        fs::write(fixture.path("elsewhere/cur/1.M1.h:2,S"), "Subject: linked\n\n").unwrap();
        symlink(fixture.path("elsewhere"), fixture.path("M/.linked")).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command with `-v` and a message on standard input.
    fn verbose(&self, args: &[&str]) -> Run {
        let mut command = mailferry(args);
        command.arg("-v").current_dir(self.0.path());
        run_with_stdin(command, "To: a@example.org\nSubject: new\n\nbody\n")
    }
}

fn has_sandbox(run: &Run) -> bool {
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("sandbox: ")).collect();
    assert_eq!(lines.len(), 1, "{}", run.stderr);
    lines[0].starts_with("sandbox: ") && lines[0].contains("Landlock ABI")
}

#[test]
fn each_command_works_in_its_sandbox_and_verbose_reports_it() {
    let fixture = Fixture::new();
    fs::write(fixture.path("M/maildirsize"), "100000S\n").unwrap();
    let is_supported = has_sandbox(&fixture.verbose(&["inspect", "M"]).exits(0));
    for (args, code) in [
        (&["verify", "M"][..], 0),
        (&["verify", "inbox"], 0),
        (&["verify", "tree"], 0),
        (&["verify", "--repair", "M"], 0),
        (&["verify", "M", "--against", "inbox"], 1),
        (&["inspect", "inbox"], 0),
        (&["inspect", "M", "1"], 0),
        (&["deliver", "M"], 0),
        (&["deliver", "--once", "M"], 0),
        (&["deliver", "M/.linked"], 0),
        (&["deliver", "inbox"], 0),
        (&["deliver", "--create", "maildir:N"], 0),
        (&["deliver", "--create", "--folder", "A.B", "M"], 0),
        (&["deliver", "--create", "mbox:fresh"], 0),
        (&["deliver", "M", "inbox", "N"], 0),
    ] {
        let run = fixture.verbose(args).exits(code);
        assert_eq!(has_sandbox(&run), is_supported, "{args:?}: {}", run.stderr);
        assert!(!run.stderr.contains("ermission denied"), "{args:?}: {}", run.stderr);
    }
    let without = fixture.verbose(&["verify", "--no-sandbox", "M"]).exits(0);
    assert!(without.stderr.contains("no sandbox: --no-sandbox"), "{}", without.stderr);
    if !is_supported {
        skip!("the kernel has no Landlock");
    }
}

#[test]
fn the_source_that_a_manifest_names_is_compared_wherever_it_is() {
    let fixture = Fixture::new();
    let elsewhere = scratch();
    let source = elsewhere.path().join("inbox");
    fs::write(&source, MAIL.replace("body", "another")).unwrap();
    let mut command = mailferry(["convert", "-q"]);
    command.args([&source, &fixture.path("M")]);
    run(command).exits(0);
    let verified = fixture.verbose(&["verify", "M"]).exits(0);
    assert_eq!(
        verified.text().matches("is the same as when it was converted").count(),
        2,
        "{}",
        verified.text()
    );
}

#[test]
fn a_command_that_runs_a_program_has_no_sandbox() {
    if !have_strace() {
        skip!("strace is not here");
    }
    let fixture = Fixture::new();
    fs::write(fixture.path(".qmail"), format!("|cat > {}\n", fixture.path("out").display())).unwrap();
    let home = fixture.path("").to_str().unwrap().to_owned();
    let program = fixture.path("sendmail");
    fs::write(&program, "#!/bin/sh\ncat > /dev/null\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let via = format!("sendmail:{}", program.display());
    let calls = |args: &[&str]| {
        let trace = fixture.path("trace");
        let strace = ["strace", "-f", "-o", trace.to_str().unwrap(), BINARY];
        let command = wrapped("exec \"$@\"", strace, args);
        run_with_stdin(command, "To: a@example.org\n\nx\n").exits(0);
        let trace = fs::read_to_string(Path::new(&trace)).unwrap();
        trace.lines().filter(|line| line.contains("landlock_") && !line.contains("ENOSYS")).count()
    };
    assert_eq!(calls(&["deliver", "--dot-qmail", "--home", &home, "-r", "joe@h.example"]), 0);
    assert_eq!(calls(&["inject", "--via", &via]), 0);
    let calls = calls(&["deliver", fixture.path("M").to_str().unwrap()]);
    note!("{calls} Landlock calls of a delivery");
}
