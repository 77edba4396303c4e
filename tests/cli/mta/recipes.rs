//! The recipes in README.md: a heading, and the code blocks below it that begin with a path.

use std::path::Path;

/// Returns the files of the recipe under this heading: the path in the block's first line, and the block.
pub(super) fn files(heading: &str) -> Vec<(String, String)> {
    let files: Vec<_> = blocks(heading)
        .into_iter()
        .filter_map(|block| {
            let path = block.lines().next()?.strip_prefix("# /")?;
            Some((format!("/{path}"), block))
        })
        .collect();
    assert!(!files.is_empty(), "no file under {heading:?} in README.md");
    files
}

/// Returns all code blocks of the recipe under this heading.
pub(super) fn blocks(heading: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("README.md has no recipe {heading:?}"));
    let section =
        section.split("\n## ").next().and_then(|s| s.split("\n### ").next()).expect("one part at least");
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("the line with the language").1.to_owned()).collect()
}
