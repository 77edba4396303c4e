//! The manual describes the program: its options with their arguments and values, and its findings. The pages are
//! written by hand; a failure names the line that a page lacks, or has too much.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailferry::Code;

const COMMANDS: [&str; 5] = ["convert", "verify", "deliver", "inject", "inspect"];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn page_of(command: &str) -> String {
    page(&format!("mailferry-{command}.1"))
}

/// Runs mailferry and returns its standard output.
fn mailferry(arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_mailferry")).args(arguments).output().unwrap();
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// Returns text without fonts and escapes.
fn plain(roff: &str) -> String {
    let fonts = ["\\fB", "\\fI", "\\fR", "\\&"];
    fonts.iter().fold(roff.to_owned(), |text, font| text.replace(font, "")).replace("\\-", "-")
}

/// Returns the options in `--help`, as `-j, --jobs N`, with their values.
fn options_in_help(command: &str) -> BTreeMap<String, Vec<String>> {
    let help = mailferry(&[command, "--help"]);
    let mut options: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = None;
    for line in help.lines().map(str::trim) {
        if line.starts_with('-') && !line.starts_with("- ") {
            let option = line.replace(['<', '>'], "");
            options.insert(option.clone(), Vec::new());
            last = Some(option);
        } else if let (Some(value), Some(option)) = (line.strip_prefix("- "), &last) {
            let value = value.split(':').next().unwrap().trim();
            options.get_mut(option).unwrap().push(value.to_owned());
        }
    }
    options.retain(|option, _| !option.contains("--help") && !option.contains("--version"));
    options
}

/// Returns the options on a page, each with the text below it.
fn options_on_page(page: &str) -> BTreeMap<String, String> {
    let items = page.split("\n.TP\n").skip(1).filter_map(|item| item.split_once('\n'));
    let options = items.map(|(head, text)| (plain(head), plain(text)));
    let options = options.filter(|(head, _)| head.starts_with('-'));
    options.filter(|(head, _)| !head.contains("--help") && !head.contains("--version")).collect()
}

#[test]
fn a_page_has_every_option_with_its_argument() {
    for command in COMMANDS {
        let (help, page) = (options_in_help(command), options_on_page(&page_of(command)));
        let names = |options: Vec<&String>| options.into_iter().cloned().collect::<Vec<_>>();
        let (in_help, on_page) = (names(help.keys().collect()), names(page.keys().collect()));
        let lacks: Vec<_> = in_help.iter().filter(|option| !on_page.contains(option)).collect();
        assert!(lacks.is_empty(), "man/mailferry-{command}.1 lacks {lacks:?}");
        let extra: Vec<_> = on_page.iter().filter(|option| !in_help.contains(option)).collect();
        assert!(extra.is_empty(), "man/mailferry-{command}.1 has {extra:?}, which the program has not");
        for (option, values) in &help {
            let text = &page[option];
            let is_word = |value: &String| text.split([' ', '\n', ',', ':', '.']).any(|word| word == value);
            let lacks: Vec<_> = values.iter().filter(|value| !is_word(value)).collect();
            assert!(lacks.is_empty(), "man/mailferry-{command}.1, {option}: lacks the values {lacks:?}");
        }
    }
}

#[test]
fn the_manual_has_every_finding() {
    let page = page("mailferry-findings.7");
    let items: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            format!(".TP\n.BR {} \" (\" {} )\n", code.name().replace('-', "\\-"), code.severity().name())
        })
        .collect();
    for (code, item) in Code::ALL.iter().zip(&items) {
        assert!(page.contains(item), "man/mailferry-findings.7 lacks\n{item}{}", code.meaning());
    }
    assert_eq!(page.matches("\n.TP\n").count(), items.len(), "the page has another finding");
}

#[test]
fn man_writes_every_page() {
    let scratch = tempfile::tempdir().unwrap();
    mailferry(&["man", scratch.path().join("man").to_str().unwrap()]);
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let section = name.rsplit('.').next().unwrap();
        let written: PathBuf =
            [scratch.path(), Path::new("man"), Path::new(&format!("man{section}"))].iter().collect();
        let written = std::fs::read_to_string(written.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(written, page(&name));
        let version = format!("\"mailferry {}\"", env!("CARGO_PKG_VERSION"));
        assert!(written.contains(&version), "{name}: the line .TH lacks {version}");
    }
    assert_eq!(mailferry(&["man"]), page("mailferry.1"));
}

#[test]
fn completions_have_the_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = mailferry(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("from-zone"), "{shell}");
    }
}
