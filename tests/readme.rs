//! The guides (README.md and docs/): every console block works, the output in it is what the program prints, and no
//! link is broken. `UPDATE=1 cargo test --test readme` writes the present output into the guides.
#![allow(missing_docs, clippy::disallowed_methods)]

use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the scratch directory of a block is said to be.
const HOME: &str = "/home/joe";
/// Ends the output of each command, and is followed by its exit code.
const MARK: char = '\u{1e}';

/// A `console` block: commands that begin with `$ `, each with its output below it.
///
/// The block runs at the top of the sources, as far as `tests/` is concerned. A comment `<!-- setup: COMMAND -->` in
/// the line before it runs first. If no command shows output, then none is compared.
struct Block<'a> {
    setup: Option<&'a str>,
    commands: Vec<Step<'a>>,
    /// The lines between the fences.
    range: Range<usize>,
}

struct Step<'a> {
    command: &'a str,
    output: String,
}

impl Block<'_> {
    /// Returns the blocks of a guide.
    fn all(guide: &str) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut at = 0;
        while let Some(found) = guide[at..].find("```console\n") {
            let fence = at + found;
            let start = fence + "```console\n".len();
            let end = start + guide[start..].find("```").expect("the block ends");
            let above = guide[..fence].trim_end().lines().next_back().unwrap_or_default();
            let setup = above.strip_prefix("<!-- setup: ").and_then(|text| text.strip_suffix(" -->"));
            let mut commands: Vec<Step<'_>> = Vec::new();
            for line in guide[start..end].lines() {
                match (line.strip_prefix("$ "), commands.last_mut()) {
                    (Some(command), _) => commands.push(Step { command, output: String::new() }),
                    (None, Some(step)) => step.output += &format!("{line}\n"),
                    (None, None) => panic!("output before the first command: {line}"),
                }
            }
            blocks.push(Block { setup, commands, range: start..end });
            at = end + "```".len();
        }
        blocks
    }

    /// Runs the commands and returns the outputs. Fails if a command fails, unless the next one prints its exit code.
    fn run(&self) -> Vec<String> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().canonicalize().unwrap();
        symlink(top.join("tests"), dir.join("tests")).unwrap();
        std::fs::create_dir(dir.join("target")).unwrap();
        let mut script = format!("exec 2>&1; umask 022; {}\n", self.setup.unwrap_or(":"));
        for step in &self.commands {
            // A release build of the present test would take minutes.
            let command = step.command.replace("cargo run --release -- ", "mailferry ");
            // This command runs the present test. CI runs it from README.
            let command = if command == "cargo test --locked" { ":".to_owned() } else { command };
            // The next command finds the exit code.
            script += &format!("{command}\nstatus=$?; printf '{MARK}%s{MARK}' $status; (exit $status)\n");
        }
        let programs = Path::new(env!("CARGO_BIN_EXE_mailferry")).parent().unwrap();
        let run = Command::new("bash")
            .args(["-o", "pipefail", "-c", &script])
            .current_dir(&dir)
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()))
            .env("HOME", &dir)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout).replace(dir.to_str().unwrap(), HOME);
        // A canonical path leads through the link.
        let text = text.replace(top.to_str().unwrap(), HOME);
        let mut parts = text.split(MARK);
        let outputs: Vec<(String, String)> =
            std::iter::from_fn(|| Some((parts.next()?.into(), parts.next()?.into())))
                .take(self.commands.len())
                .collect();
        assert_eq!(outputs.len(), self.commands.len(), "{:?} ended early: {text}", self.commands[0].command);
        for (n, (step, (output, code))) in self.commands.iter().zip(&outputs).enumerate() {
            let shows_code = self.commands.get(n + 1).is_some_and(|next| next.command == "echo $?");
            assert!(code == "0" || shows_code, "{}: exit code {code}\n{output}", step.command);
        }
        outputs.into_iter().map(|(output, _)| steady(&output)).collect()
    }

    fn shows_output(&self) -> bool {
        self.commands.iter().any(|step| !step.output.is_empty())
    }

    /// Returns the block with these outputs.
    fn with(&self, outputs: &[String]) -> String {
        let steps = self.commands.iter().zip(outputs);
        steps.map(|(step, output)| format!("$ {}\n{output}", step.command)).collect()
    }
}

/// Replaces what differs from run to run: times and free space.
fn steady(output: &str) -> String {
    let varying =
        [("done in ", " s.", "0.1"), (" that needs ", " (", "88 kB"), ("kB (", " are free", "64 GB")];
    let lines = output.split_inclusive('\n').map(|line| {
        varying.iter().fold(line.to_owned(), |line, (before, after, value)| {
            let parts =
                line.split_once(before).and_then(|(head, rest)| Some((head, rest.split_once(after)?.1)));
            parts.map_or(line.clone(), |(head, tail)| format!("{head}{before}{value}{after}{tail}"))
        })
    });
    lines.collect()
}

/// Returns README.md, SECURITY.md and the pages in docs/.
fn guides() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guides = vec![top.join("README.md"), top.join("SECURITY.md")];
    for directory in ["docs", "docs/migrate"] {
        let entries = std::fs::read_dir(top.join(directory)).unwrap().map(|entry| entry.unwrap().path());
        guides.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    guides.sort();
    guides
}

/// Returns the anchor of each heading, as a server for Markdown makes it.
fn anchors(guide: &str) -> Vec<String> {
    let headings = guide.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let anchor =
        |heading: &str| heading.trim_start_matches(['#', ' ']).to_lowercase().chars().filter(kept).collect();
    headings
        .map(|heading| {
            let text: String = anchor(heading);
            text.replace(' ', "-")
        })
        .collect()
}

#[test]
fn no_link_of_a_guide_is_broken() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| top.join(name));
    for guide in guides().into_iter().chain(others) {
        let text = std::fs::read_to_string(&guide).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (target, _) in targets.filter(|(target, _)| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { guide.clone() } else { guide.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target}", guide.display());
            if !anchor.is_empty() {
                let anchors = anchors(&std::fs::read_to_string(&path).unwrap());
                assert!(anchors.iter().any(|one| one == anchor), "{}: {target}", guide.display());
            }
        }
    }
}

#[test]
fn every_console_block_works_and_prints_what_it_shows() {
    let mut count = 0;
    for guide in guides() {
        let text = std::fs::read_to_string(&guide).unwrap();
        let mut updated = text.clone();
        for block in Block::all(&text).iter().rev() {
            let outputs = block.run();
            count += 1;
            if !block.shows_output() {
                continue;
            }
            if std::env::var_os("UPDATE").is_some() {
                updated.replace_range(block.range.clone(), &block.with(&outputs));
            } else {
                for (step, output) in block.commands.iter().zip(&outputs) {
                    let (path, remedy) = (guide.display(), "UPDATE=1 cargo test --test readme");
                    assert!(
                        step.output == *output,
                        "{path} shows for $ {}\n{}and it prints\n{output}{remedy}",
                        step.command,
                        step.output
                    );
                }
            }
        }
        if updated != text {
            std::fs::write(&guide, updated).unwrap();
        }
    }
    assert!(count > 8, "the blocks were not found");
}
