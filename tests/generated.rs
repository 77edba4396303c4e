//! The manual describes the program: its options with their arguments and values, and its findings. The pages are
//! written by hand; a failure names the line that a page lacks, or has too much.

#![allow(missing_docs, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use mailferry::Code;
use serde_json::Value;

/// Commands without a page of their own.
const SMALL: [&str; 3] = ["man", "completions", "help"];

/// Returns the commands that have a page.
fn commands() -> Vec<String> {
    let help = mailferry(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && !SMALL.contains(name)).map(str::to_owned).collect()
}

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

/// Returns the pages that a text refers to as `mailferry-mbox(5)`, or as `.BR mailferry\-mbox (5)`.
fn references(text: &str) -> BTreeSet<String> {
    let text = plain(text);
    let ends = text.match_indices("mailferry").map(|(start, _)| {
        let name: String =
            text[start..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let rest = text[start + name.len()..].trim_start_matches(['`', '*', ' ']);
        let section =
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(section, _)| section);
        section.filter(|section| section.len() == 1).map(|section| format!("{name}.{section}"))
    });
    ends.flatten().collect()
}

#[test]
fn no_reference_to_a_page_or_guide_is_broken() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = ["man", "docs", "docs/migrate", "."].into_iter().flat_map(|directory| {
        let entries = std::fs::read_dir(top.join(directory)).unwrap().map(|entry| entry.unwrap().path());
        let is_text = |name: &str| directory == "man" || name.ends_with(".md");
        entries.filter(move |path| is_text(path.file_name().unwrap().to_str().unwrap())).collect::<Vec<_>>()
    });
    let mut found = 0;
    // The page that these pages replace is named in the changelog.
    for path in texts.filter(|path| !path.ends_with("CHANGELOG.md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for page in references(&text) {
            assert!(top.join("man").join(&page).is_file(), "{}: {page}", path.display());
            found += 1;
        }
        let guides = text.split([' ', '\n', '(', '`']).filter(|word| word.starts_with("docs/"));
        for guide in guides.filter_map(|word| word.find(".md").map(|end| &word[..end + 3])) {
            assert!(top.join(guide).is_file(), "{}: {guide}", path.display());
        }
    }
    assert!(found > 40, "{found}");
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
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let mut last = None;
    for item in section(page, "OPTIONS").split("\n.TP\n").skip(1) {
        let (head, text) = item.split_once('\n').unwrap_or((item, ""));
        let (head, text) = (plain(head), plain(text));
        match &last {
            // A value of the option above.
            Some(option) if !head.starts_with('-') => {
                *options.get_mut(option).unwrap() += &format!("\n{head}\n{text}")
            }
            _ => {
                options.insert(head.clone(), text);
                last = Some(head);
            }
        }
    }
    options.retain(|option, _| !option.contains("--help") && !option.contains("--version"));
    options
}

/// Returns the text of a section.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    // The line end stays: the first item may follow.
    let heading = format!("\n.SH {name}");
    let (_, after) = page.split_once(&heading).unwrap_or_else(|| panic!("a page lacks the section {name}"));
    after.find("\n.SH ").map_or(after, |end| &after[..end])
}

#[test]
fn a_page_has_every_option_with_its_argument() {
    for command in &commands() {
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

/// Returns the exit codes in a text: numbers at the start of a line, after `prefix`.
fn exit_codes(text: &str, prefix: &str) -> Vec<u8> {
    let first = |line: &str| line.strip_prefix(prefix)?.split_whitespace().next()?.parse().ok();
    let mut codes: Vec<u8> = text.lines().filter_map(first).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[test]
fn a_page_has_every_exit_status() {
    for command in &commands() {
        let help = mailferry(&[command, "--help"]);
        let codes = exit_codes(help.rsplit("Exit codes").next().unwrap(), "  ");
        let page = page_of(command);
        assert_eq!(
            exit_codes(section(&page, "EXIT STATUS"), ".B "),
            codes,
            "man/mailferry-{command}.1, EXIT STATUS"
        );
    }
}

/// Runs a command that prints JSON Lines, and adds the keys of its objects.
///
/// Findings are left out unless they are asked for: mailferry-findings(7) documents them.
fn add_keys(keys: &mut BTreeSet<String>, arguments: &[&str], directory: &Path, of_findings: bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailferry"));
    command.args(arguments).current_dir(directory).env("QMAILHOST", "example.org");
    let message = std::fs::File::open(directory.join("message")).unwrap();
    let output = command.stdin(message).output().unwrap();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let object: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {line}"));
        // mailferry-report(1) documents the results of accounts.
        if object["type"] != "account" && (object["type"] == "finding") == of_findings {
            add_object_keys(keys, &object);
        }
    }
}

/// Adds the keys of an object and of the objects in its lists.
fn add_object_keys(keys: &mut BTreeSet<String>, object: &Value) {
    let Value::Object(object) = object else { return };
    for (key, value) in object {
        keys.insert(key.clone());
        value.as_array().into_iter().flatten().for_each(|one| add_object_keys(keys, one));
    }
}

/// Returns the keys in the text of a page: the heads of items.
fn keys_in(text: &str) -> BTreeSet<String> {
    let items = text.split("\n.TP\n").skip(1);
    let heads = items.map(|item| plain(item.split('\n').next().unwrap()));
    let names = |head: String| {
        let words =
            head.trim_start_matches(".BR ").trim_start_matches(".B ").replace("\", \"", "").replace('"', "");
        words.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    heads.flat_map(names).collect()
}

fn check_keys(name: &str, keys: &BTreeSet<String>) {
    let on_page = keys_in(section(&page(name), "JSON"));
    let lacks: Vec<_> = keys.difference(&on_page).collect();
    assert!(lacks.is_empty(), "man/{name}, JSON: lacks {lacks:?}");
    let extra: Vec<_> = on_page.difference(keys).collect();
    assert!(extra.is_empty(), "man/{name}, JSON: has {extra:?}, which the program has not");
}

#[test]
fn a_page_has_every_key_of_the_report() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let (inbox, tree) = (fixtures.join("inbox.mbox"), fixtures.join("trees/thunderbird"));
    let (inbox, tree) = (inbox.to_str().unwrap(), tree.to_str().unwrap());
    let broken = fixtures.join("broken.mbox");
    let (broken, broken_line) = (broken.to_str().unwrap(), &*format!("{}:22", broken.display()));
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("message"), "From: a@example.org\nTo: b@example.org\n\nx\n").unwrap();
    std::fs::write(scratch.path().join("accounts"), "ada\n").unwrap();
    std::fs::write(scratch.path().join(".qmail"), "./Maildir/\n").unwrap();
    let route =
        ["deliver", "--json", "-n", "--dot-qmail", "--home", ".", "--user", "b", "-r", "b@example.org"];
    std::fs::write(scratch.path().join("list"), format!("joe\t{broken}\tJoe\neve\t{inbox}\n")).unwrap();
    let mut convert_accounts = Command::new(env!("CARGO_BIN_EXE_mailferry"));
    convert_accounts.args(["convert", "-q", "--accounts", "list", "--results", "results", "Eve"]);
    convert_accounts.current_dir(scratch.path()).output().unwrap();
    let runs: [(&str, &[&[&str]]); 6] = [
        (
            "convert",
            &[
                &["convert", "--json", inbox, "Maildir"],
                &["convert", "--json", tree, "Tree"],
                &["convert", "--json", "-n", inbox, "new"],
                &["convert", "--json", "--exact", "Maildir", "exact.mbox"],
                &["convert", "--json", "--accounts", "accounts", inbox, "%u"],
            ],
        ),
        ("verify", &[&["verify", "--json", "Maildir"]]),
        (
            "inspect",
            &[
                &["inspect", "--json", "Maildir"],
                &["inspect", "--json", inbox],
                &["inspect", "--json", "--boundaries", inbox],
                &["inspect", "--json", tree],
                &["inspect", "--json", "--stats", inbox],
                &["inspect", "--json", "--second-opinion", broken],
                &["inspect", "--json", broken_line],
            ],
        ),
        ("deliver", &[&["deliver", "--json", "Maildir/"], &route]),
        ("inject", &[&["inject", "--json", "--via", "maildir:Maildir"]]),
        ("report", &[&["report", "--json", "results"]]),
    ];
    for (command, runs) in runs {
        let mut keys = BTreeSet::new();
        runs.iter().for_each(|arguments| add_keys(&mut keys, arguments, scratch.path(), false));
        check_keys(&format!("mailferry-{command}.1"), &keys);
    }
    let bounced = tempfile::tempdir().unwrap();
    std::fs::copy(fixtures.join("bounces/dsn.eml"), bounced.path().join("message")).unwrap();
    let mut keys = BTreeSet::new();
    add_keys(&mut keys, &["bounce"], bounced.path(), false);
    check_keys("mailferry-bounce.1", &keys);
    let mut keys = BTreeSet::new();
    for arguments in
        [&["verify", "--json", broken] as &[&str], &["verify", "--json", "--against", inbox, broken]]
    {
        add_keys(&mut keys, arguments, scratch.path(), true);
    }
    check_keys("mailferry-findings.7", &keys);
}

/// Returns the commands that a text shows: in roff below EXAMPLES, in Markdown in code.
fn examples(text: &str) -> Vec<String> {
    let is_command = |line: &&str| line.starts_with("mailferry ");
    if !text.contains("\n.SH EXAMPLES\n") {
        let code = text.split('`').skip(1).step_by(2);
        return code.filter(is_command).map(str::to_owned).collect();
    }
    let joined = section(text, "EXAMPLES").replace("\\e\n", " ");
    joined.lines().filter(is_command).map(|line| plain(line).replace("\\(aq", "'")).collect()
}

#[test]
fn the_options_in_examples_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for directory in ["man", "docs", "docs/migrate", "."] {
        for entry in std::fs::read_dir(top.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() || directory != "man" && !name.ends_with(".md") || name == "CHANGELOG.md" {
                continue;
            }
            for example in examples(&std::fs::read_to_string(&path).unwrap()) {
                let command = example.split(['|', '<', '>']).next().unwrap();
                // With --help the command checks its options, and does nothing.
                let script = format!("{} --help", command.trim_end().trim_end_matches("..."));
                let run =
                    Command::new("bash").args(["-c", &script]).env("PATH", programs()).output().unwrap();
                let errors = String::from_utf8_lossy(&run.stderr);
                assert!(run.status.success(), "{}: {example}: {errors}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} examples were found");
}

fn programs() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_mailferry"));
    format!("{}:/usr/bin:/bin", program.parent().unwrap().display())
}

#[test]
fn the_page_of_the_manifest_has_every_key() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let scratch = tempfile::tempdir().unwrap();
    let documented = keys_in(&page("mailferry-manifest.5"));
    let options = ["--eol", "crlf", "--headers", "strip", "--labels", "folders"];
    for (n, source) in ["inbox.mbox", "broken.mbox", "takeout.mbox", "trees/pine/mail"].iter().enumerate() {
        let maildir = scratch.path().join(n.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailferry"));
        command.args(["convert", "-q"]).args(&options[..if n == 3 { 2 } else { 6 }]);
        command.arg(fixtures.join(source)).arg(&maildir).output().unwrap();
        for line in std::fs::read_to_string(maildir.join("mailferry.manifest")).unwrap().lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            for key in object.as_object().unwrap().keys() {
                assert!(documented.contains(key), "man/mailferry-manifest.5 lacks {key}: {line}");
            }
        }
    }
}

/// Returns a text with the lines between two marks replaced.
fn with_list(text: &str, [begin, end]: [&str; 2], list: &str) -> String {
    let begin = text.find(begin).unwrap_or_else(|| panic!("the mark {begin} is missing"));
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = begin + text[begin..].find(end).unwrap_or_else(|| panic!("the mark {end} is missing"));
    [&text[..begin], list, &text[end..]].concat()
}

/// Returns roff with a sentence per line, none longer than 79 bytes.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('"', "\\(dq");
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + word.len() > 78 || last.ends_with('.') {
            lines.push(word.to_owned());
        } else {
            last.push(' ');
            last.push_str(word);
        }
    }
    lines.join("\n")
}

/// Returns an item of mailferry-findings(7).
fn roff_item(code: Code) -> String {
    let (name, severity) = (code.name().replace('-', "\\-"), code.severity().name());
    let [meaning, cause, remedy] = [
        code.meaning().to_owned(),
        format!("Cause: {}", code.advice().cause),
        format!("What to do: {}", code.advice().remedy),
    ]
    .map(|text| roff(&text));
    format!(".TP\n.BR {name} \" (\" {severity} )\n{meaning}\n.br\n{cause}\n.br\n{remedy}\n")
}

/// Returns an item of docs/findings.md.
fn markdown_item(code: Code) -> String {
    let (name, severity, meaning) = (code.name(), code.severity().name(), code.meaning());
    // A page in HTML would take the > of a quoted line for a tag, and the _ of From_ for a mark.
    let [meaning, cause, remedy] = [meaning, code.advice().cause, code.advice().remedy]
        .map(|text| text.replace('_', "\\_").replace('>', "\\>"));
    format!("### {name}\n\n**{severity}**: {meaning}\n\n- Cause: {cause}\n- What to do: {remedy}\n\n")
}

/// Returns the lines of roff as one line of Markdown: what a page prints in bold or italics is code.
fn markdown(roff: &str) -> String {
    let words = roff.lines().map(|line| match line.split_once(' ') {
        Some((".B" | ".I", text)) => format!("`{}`", text.trim_matches('"')),
        // Every other argument has the other font.
        Some((".BR" | ".IR", text)) => {
            let arguments = text.split('"').enumerate().flat_map(|(n, part)| match n % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            });
            let fonts = arguments.enumerate().map(|(n, word)| match n % 2 {
                0 => format!("`{word}`"),
                _ => word.to_owned(),
            });
            fonts.collect()
        }
        _ => line.to_owned(),
    });
    plain(&words.collect::<Vec<_>>().join(" ")).replace("\\(aq", "'")
}

/// Returns the section JSON of a page in Markdown: its paragraphs, and a table for the items of each.
fn markdown_of_json(command: &str) -> String {
    let mut text = format!("### {command}\n");
    let page = page_of(command);
    for paragraph in section(&page, "JSON").trim_start().split("\n.PP\n") {
        let mut items = paragraph.split(".TP\n");
        text += &format!("\n{}\n", markdown(items.next().unwrap().trim_end()));
        for (n, item) in items.enumerate() {
            let (head, meaning) = item.split_once('\n').unwrap_or((item, ""));
            text += if n == 0 { "\n| key | meaning |\n|---|---|\n" } else { "" };
            text += &format!("| {} | {} |\n", markdown(head), markdown(meaning.trim_end()));
        }
    }
    text + "\n"
}

#[test]
fn the_lists_of_findings_and_keys_are_those_of_the_program() {
    let roff = Code::ALL.iter().map(|code| roff_item(*code)).collect::<String>();
    let [of_verify, others] = [true, false].map(|is_of_verify| {
        let codes = Code::ALL.iter().filter(|code| code.is_of_verify() == is_of_verify);
        codes.map(|code| markdown_item(*code)).collect::<String>()
    });
    let markdown = format!("## In mailboxes\n\n{of_verify}## In a run\n\n{others}");
    let keys = commands().iter().map(|command| markdown_of_json(command)).collect::<String>();
    let lists = [
        ("docs/json.md", ["<!-- made by", "<!-- end"], keys),
        ("man/mailferry-findings.7", [".\\\" made by", ".\\\" end"], roff),
        ("docs/findings.md", ["<!-- made by", "<!-- end"], markdown),
    ];
    for (path, marks, list) in lists {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&file).unwrap();
        compare_or_update(path, &with_list(&text, marks, &list));
    }
}

#[test]
fn the_completions_are_those_of_the_program() {
    for (shell, name) in [
        ("bash", "mailferry.bash"),
        ("elvish", "mailferry.elv"),
        ("fish", "mailferry.fish"),
        ("powershell", "_mailferry.ps1"),
        ("zsh", "_mailferry"),
    ] {
        compare_or_update(&format!("completions/{name}"), &mailferry(&["completions", shell]));
    }
}

/// Compares a file of the repository with the text that it must have, or writes it.
fn compare_or_update(path: &str, updated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, updated).unwrap();
    } else {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(text == updated, "{path} is out of date: UPDATE=1 cargo test --test generated");
    }
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
        for command in &commands() {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("from-zone"), "{shell}");
    }
}
