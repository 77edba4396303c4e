//! The recipes in docs/deliver.md and docs/send.md: a heading, and the code blocks below it that begin with a path.

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
    assert!(!files.is_empty(), "no file under {heading:?}");
    files
}

/// Returns all code blocks of the recipe under this heading.
pub(super) fn blocks(heading: &str) -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let guides = ["deliver.md", "send.md"].map(|name| std::fs::read_to_string(docs.join(name)).unwrap());
    let (_, section) = guides
        .iter()
        .find_map(|guide| guide.split_once(&format!("\n## {heading}\n")))
        .unwrap_or_else(|| panic!("docs/deliver.md and docs/send.md have no recipe {heading:?}"));
    let section = section.split("\n## ").next().expect("one part at least");
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("the line with the language").1.to_owned()).collect()
}
