//! Every console block of README.md and of docs/ works, and no link between the guides is broken.
#![allow(missing_docs)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the `console` blocks, each a list of commands.
fn blocks(readme: &str) -> Vec<Vec<&str>> {
    let inside = readme.split("```").skip(1).step_by(2).filter_map(|b| b.strip_prefix("console\n"));
    inside.map(|block| block.lines().filter_map(|line| line.strip_prefix("$ ")).collect()).collect()
}

/// Returns README.md and the pages that it links to.
fn guides() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(top.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    [top.join("README.md"), top.join("SECURITY.md")].into_iter().chain(docs).collect()
}

#[test]
fn no_link_of_a_guide_is_broken() {
    for guide in guides() {
        let text = std::fs::read_to_string(&guide).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (target, _) in targets.filter(|(target, _)| !target.starts_with("http")) {
            let path = guide.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(path.exists(), "{}: {target}", guide.display());
        }
    }
}

#[test]
fn every_console_block_works_as_it_stands() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts: Vec<String> = guides().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let blocks: Vec<Vec<&str>> = texts.iter().flat_map(|text| blocks(text)).collect();
    assert!(blocks.len() > 8, "the blocks were not found");
    let programs = Path::new(env!("CARGO_BIN_EXE_mailferry")).parent().unwrap();
    for block in blocks {
        // This command runs the present test. CI runs it from README.
        if block == ["cargo test --locked"] {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        symlink(top.join("tests"), dir.path().join("tests")).unwrap();
        std::fs::create_dir(dir.path().join("target")).unwrap();
        for command in block {
            let command =
                command.replace(" --quiet --", " --").replace("cargo run --release --", "mailferry");
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
            let run = Command::new("bash")
                .args(["-o", "pipefail", "-c", &command])
                .current_dir(dir.path())
                .env_clear()
                .env("PATH", path)
                .env("HOME", dir.path())
                .output()
                .unwrap();
            let output = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success(), "{command}\n{output}{}", String::from_utf8_lossy(&run.stderr));
            assert!(!output.contains("failed with"), "{command}\n{output}");
        }
    }
}
