//! Generated files are up to date: manual pages and completions match the command line, and the manual page
//! on formats has every finding.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use mailferry::Code;

const REMEDY: &str = "cargo run --locked -- generate .";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the generated files of a directory.
fn files(directory: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}; {REMEDY}", directory.display()));
    let by_hand = |name: &OsString| name == "mailferry-formats.5";
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !by_hand(name))
        .collect()
}

#[test]
fn pages_and_completions_are_those_of_this_command_line() {
    let fresh = tempfile::tempdir().unwrap();
    assert_cmd::Command::cargo_bin("mailferry").unwrap().arg("generate").arg(fresh.path()).assert().success();
    for kind in ["man", "completions"] {
        let (checked_in, fresh) = (files(&root().join(kind)), files(&fresh.path().join(kind)));
        let names = |files: &BTreeMap<OsString, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&checked_in), names(&fresh), "the files of {kind}/: {REMEDY}");
        for (name, text) in &fresh {
            assert!(checked_in[name] == *text, "{kind}/{} is out of date: {REMEDY}", name.display());
        }
    }
}

#[test]
fn every_finding_is_in_the_manual() {
    let page = std::fs::read_to_string(root().join("man/mailferry-formats.5")).unwrap();
    let list = page.split(".SH FINDINGS").nth(1).unwrap();
    let items: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            format!(".TP\n.BR {} \" (\" {} )\n", code.name().replace('-', "\\-"), code.severity().name())
        })
        .collect();
    for (code, item) in Code::ALL.iter().zip(&items) {
        assert!(list.contains(item), "man/mailferry-formats.5 lacks\n{item}{}", code.meaning());
    }
    assert_eq!(list.matches("\n.TP\n").count(), items.len(), "the page has another finding");
}
