//! The structure of src/: no import cycle between files, no dependency upwards, and no wrong path in the guides.
//!
//! The test reads `use` lines and inline paths, follows re-exports, and leaves out test code. It is a scanner, not
//! a compiler: it does not see types that a macro or a method call brings in.
#![allow(missing_docs, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the top: a module may depend on its own row and on the rows below it.
const LAYERS: [&[&str]; 8] = [
    &["main", "cli", "facade", "parts", "promises"],
    &["convert", "verify", "inspect", "deliver", "inject", "accounts", "report", "bounce"],
    &["transport"],
    &["mailbox::tree"],
    &["mailbox::mbox", "mailbox::maildir"],
    &["mailbox::message", "mailbox::source", "mailbox::manifest"],
    &["mailbox::fs"],
    &[
        "mailbox::error",
        "mailbox::finding",
        "mailbox::text",
        "mailbox::context",
        "mailbox::member_path",
        "mailbox::reorder",
    ],
];

#[test]
fn no_files_import_each_other_in_a_cycle() {
    assert_eq!(Structure::of_src().cycles(), [[""; 0]; 0]);
}

#[test]
fn no_dependency_points_upwards() {
    assert_eq!(Structure::of_src().upward(), [""; 0]);
}

#[test]
fn every_file_that_the_guides_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for guide in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/security.md"] {
        let text = std::fs::read_to_string(root.join(guide)).unwrap();
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c);
        let words = text.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.'));
        let paths = words.filter(|word| word.len() > 3 && (word.ends_with(".rs") || word.ends_with('/')));
        let missing: Vec<&str> = paths
            .filter(|path| !["", "src", "tests"].iter().any(|base| root.join(base).join(path).exists()))
            .collect();
        assert_eq!(missing, [""; 0], "{guide}");
    }
}

#[test]
fn every_example_is_shorter_than_40_lines() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 40, "{}: {lines}", path.display());
    }
}

#[test]
fn a_planted_cycle_is_found() {
    let files = [
        ("lib.rs", "pub mod a; mod b;"),
        ("a/mod.rs", "mod inner; mod types; pub use types::Shared; use inner::run; #[cfg(test)] mod tests;"),
        // Shared is in types.rs, so this is not a cycle with mod.rs.
        ("a/inner.rs", "use super::Shared; pub fn run() { let text = \"crate::a::x\"; } // crate::a::x"),
        ("a/types.rs", "pub struct Shared;"),
        ("a/tests.rs", "use super::run; use crate::b;"),
        ("b.rs", "use crate::a::{self as other, Shared,}; #[cfg(test)] mod tests { use crate::c::C; }"),
    ];
    assert_eq!(Structure::of(files).cycles(), [[""; 0]; 0]);
    let inline = ("a/types.rs", "pub struct Shared(Vec<crate::a::inner::Run>);");
    assert_eq!(Structure::of(files.into_iter().chain([inline])).cycles(), [["a::inner", "a::types"]]);
    let imported = ("a/inner.rs", "use crate::b; fn run() { b::go::<'static>() }");
    let back = ("b.rs", "use crate::a; fn go() { a::inner::run() }");
    assert_eq!(Structure::of(files.into_iter().chain([imported, back])).cycles(), [["a::inner", "b"]]);
    let behind_a_feature = ("lib.rs", "#[cfg(any(feature = \"cli\", test))] mod a; mod b;");
    let all = files.into_iter().chain([imported, back, behind_a_feature]);
    assert_eq!(Structure::of(all).cycles(), [["a::inner", "b"]]);
}

#[test]
fn a_planted_upward_dependency_is_found() {
    let error = ("mailbox/error.rs", "use super::fs::Dir;");
    let files = [("mailbox/fs/mod.rs", "use crate::mailbox::error::Error; pub struct Dir;"), error];
    assert_eq!(Structure::of(files).upward(), ["mailbox::error -> mailbox::fs"]);
    assert_eq!(Structure::of([("odd.rs", "")]).upward(), ["odd is in no layer"]);
}

/// A path of identifiers, such as `crate::mailbox::fs`.
type Names = Vec<String>;

type Tokens<'a, 't> = std::iter::Peekable<std::slice::Iter<'a, &'t str>>;

/// The imports of a module.
#[derive(Default)]
struct Module {
    /// All paths, as written.
    paths: Vec<Names>,
    /// Names that `use` brings in, with the path of each.
    imports: BTreeMap<String, Names>,
    /// Names that `pub use` passes on.
    exports: BTreeMap<String, Names>,
    /// Child modules that are test code.
    tests: BTreeSet<String>,
}

/// Which file depends on which.
struct Structure {
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Structure {
    fn of_src() -> Structure {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        let mut open = vec![src.clone()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    files.push((
                        path.strip_prefix(&src).unwrap().to_owned(),
                        std::fs::read_to_string(&path).unwrap(),
                    ));
                }
            }
        }
        Structure::of(files)
    }

    fn of<P: Into<PathBuf>, T: AsRef<str>>(files: impl IntoIterator<Item = (P, T)>) -> Structure {
        let modules: BTreeMap<String, Module> = files
            .into_iter()
            .map(|(path, text)| (module_name(&path.into()), Module::parse(text.as_ref())))
            .collect();
        let is_test = |name: &str| {
            name == "promises"
                || name.match_indices("::").map(|(at, _)| at).chain([name.len()]).any(|end| {
                    let (parent, child) = name[..end].rsplit_once("::").unwrap_or(("", &name[..end]));
                    modules.get(parent).is_some_and(|module| module.tests.contains(child))
                })
        };
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, module) in modules.iter().filter(|(name, _)| !name.is_empty() && !is_test(name)) {
            let targets = module.paths.iter().filter_map(|path| resolve(&modules, name, path, 0));
            let targets = targets.filter(|target| target != name && !target.is_empty() && !is_test(target));
            edges.entry(name.clone()).or_default().extend(targets);
        }
        Structure { edges }
    }

    /// Groups of files that depend on each other.
    fn cycles(&self) -> Vec<Vec<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.edges.keys().map(|from| (from.as_str(), self.reachable(from))).collect();
        let mut groups: Vec<Vec<&str>> = Vec::new();
        for (from, targets) in &reach {
            if targets.contains(from) && !groups.iter().flatten().any(|name| name == from) {
                groups.push(targets.iter().copied().filter(|to| reach[to].contains(from)).collect());
            }
        }
        groups
    }

    fn reachable(&self, from: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = vec![from];
        while let Some(name) = open.pop() {
            for target in self.edges.get(name).into_iter().flatten() {
                if seen.insert(target.as_str()) {
                    open.push(target);
                }
            }
        }
        seen
    }

    /// Dependencies on a higher layer, and modules in none.
    fn upward(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (from, targets) in &self.edges {
            if from == "mailbox" {
                continue;
            }
            let Some(layer) = layer(from) else {
                wrong.push(format!("{from} is in no layer"));
                continue;
            };
            let higher =
                targets.iter().filter(|target| self::layer(target).is_some_and(|other| other < layer));
            wrong.extend(higher.map(|target| format!("{from} -> {target}")));
        }
        wrong
    }
}

fn layer(module: &str) -> Option<usize> {
    let is_in =
        |top: &&str| module.strip_prefix(*top).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    LAYERS.iter().position(|layer| layer.iter().any(is_in))
}

/// `mailbox/fs/mod.rs` is `mailbox::fs`; lib.rs has the empty name.
fn module_name(path: &Path) -> String {
    let name = path.with_extension("").to_str().unwrap().replace('/', "::");
    let name = name.strip_suffix("::mod").unwrap_or(&name);
    if name == "lib" { String::new() } else { name.to_owned() }
}

/// The module that defines the item of a path. None for another crate, and for a path that is only a module: what
/// is used of it has a path of its own. `depth` ends a circle of re-exports.
fn resolve(modules: &BTreeMap<String, Module>, from: &str, path: &[String], depth: usize) -> Option<String> {
    let mut full: Names = from.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut rest = path;
    let is_child = |name: &str| modules.contains_key(&[from, name].join("::"));
    match path.first()?.as_str() {
        "crate" | "mailferry" => (full, rest) = (Names::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                full.pop();
                rest = &rest[1..];
            }
        }
        name if is_child(name) => {}
        name => {
            let import = modules[from].imports.get(name).filter(|import| import[0] != name && depth < 8)?;
            return resolve(modules, from, &[import, &path[1..]].concat(), depth + 1);
        }
    }
    while let Some(name) = rest.first() {
        full.push(name.clone());
        if !modules.contains_key(&full.join("::")) {
            full.pop();
            break;
        }
        rest = &rest[1..];
    }
    let module = full.join("::");
    match modules.get(&module)?.exports.get(rest.first()?) {
        Some(export) if depth < 8 => {
            resolve(modules, &module, &[export, &rest[1..]].concat(), depth + 1).or(Some(module))
        }
        _ => Some(module),
    }
}

impl Module {
    fn parse(text: &str) -> Module {
        let mut module = Module::default();
        let tokens = tokens(text);
        let mut rest = &tokens[..];
        let mut is_public = false;
        while let [first, tail @ ..] = rest {
            rest = tail;
            match *first {
                "#" if is_test_attribute(tail) => {
                    let item = skip_attributes(first, tail);
                    if let ["mod", name, ";", ..] = item {
                        module.tests.insert((*name).to_owned());
                    }
                    rest = skip_item(item);
                }
                "pub" => {
                    is_public = true;
                    if let ["(", ..] = tail {
                        rest = &tail[tail.iter().position(|token| *token == ")").unwrap() + 1..];
                    }
                    continue;
                }
                // Not the `use<'a>` of a return type.
                "use" if tail[0] != "<" => {
                    let end = tail.iter().position(|token| *token == ";").unwrap();
                    module.import(&mut tail[..end].iter().peekable(), Names::new(), is_public);
                    rest = &tail[end..];
                }
                name if is_name(name) => {
                    let mut path = vec![name.to_owned()];
                    while let ["::", next, tail @ ..] = rest
                        && is_name(next)
                    {
                        path.push((*next).to_owned());
                        rest = tail;
                    }
                    if path.len() > 1 {
                        module.paths.push(path);
                    }
                }
                _ => {}
            }
            is_public = false;
        }
        module
    }

    /// Takes one tree of a `use`, such as `a::{self, b as c, d::*}`, up to the comma or brace after it.
    fn import(&mut self, tokens: &mut Tokens<'_, '_>, mut path: Names, is_public: bool) {
        let mut alias = None;
        while let Some(token) = tokens.next_if(|token| !matches!(**token, "," | "}")) {
            match *token {
                "{" => {
                    while tokens.next_if(|token| **token == "}").is_none() && tokens.peek().is_some() {
                        self.import(tokens, path.clone(), is_public);
                        tokens.next_if(|token| **token == ",");
                    }
                    return;
                }
                "as" => alias = tokens.next(),
                "::" => {}
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
        }
        if let Some(name) = alias.map(|name| (*name).to_owned()).or(path.last().cloned()) {
            self.add(path, &name, is_public);
        }
    }

    fn add(&mut self, path: Names, name: &str, is_public: bool) {
        if is_public {
            self.exports.insert(name.to_owned(), path.clone());
        } else {
            self.paths.push(path.clone());
        }
        self.imports.insert(name.to_owned(), path);
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// `[cfg(test)]`, `[cfg(any(test, fuzzing))]` and the like.
fn is_test_attribute(tokens: &[&str]) -> bool {
    let ["[", "cfg", "(", condition @ ..] = tokens else { return false };
    let end = condition.iter().position(|token| *token == "]").unwrap();
    let has = |word: &str| condition[..end].contains(&word);
    // A module behind a feature is more than test code.
    has("test") && !has("not") && !has("feature")
}

fn skip_attributes<'a, 't>(mut first: &'a &'t str, mut rest: &'a [&'t str]) -> &'a [&'t str] {
    while *first == "#" {
        rest = &rest[rest.iter().position(|token| *token == "]").unwrap() + 1..];
        (first, rest) = match rest {
            ["#", ..] => (&rest[0], &rest[1..]),
            _ => break,
        };
    }
    rest
}

/// Skips to the end of an item: a semicolon or a closing brace outside of brackets.
fn skip_item<'a, 't>(tokens: &'a [&'t str]) -> &'a [&'t str] {
    let is_use = tokens.iter().take(6).any(|token| *token == "use");
    let mut depth = 0;
    for (n, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (*token == ";" || *token == "}" && !is_use) {
            return &tokens[n + 1..];
        }
    }
    &[]
}

/// Names, `::` and single characters, without comments, strings and characters.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string_length(rest),
            'r' | 'b' if raw_string_length(rest).is_some() => raw_string_length(rest).unwrap(),
            'b' if rest.starts_with("b\"") => 1,
            '\'' => character_length(rest),
            _ => 0,
        };
        if length > 0 {
            rest = &rest[length..];
            continue;
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            _ if rest.starts_with("::") => 2,
            c if is_part(c) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    tokens
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = true;
    for (at, c) in text.char_indices() {
        if c == '"' && !is_escaped {
            return at + 1;
        }
        is_escaped = at > 0 && c == '\\' && !is_escaped;
    }
    text.len()
}

/// `r"…"`, `r#"…"#` and the same with `b`.
fn raw_string_length(text: &str) -> Option<usize> {
    let start = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let content = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - content.len() + content.find(&end)? + end.len())
}

/// A character literal; of a lifetime the quote alone.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => text[at + 1..].find('\'').map_or(1, |end| at + 2 + end),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
