//! The recipes in docs/: a heading, and the code blocks below it. Some begin with the path of a file.

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
pub(crate) fn blocks(heading: &str) -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let guides =
        ["admin.md", "deliver.md", "send.md"].map(|name| std::fs::read_to_string(docs.join(name)).unwrap());
    let section = |level: &str| {
        let title = format!("\n{level} {heading}\n");
        let (_, rest) = guides.iter().find_map(|guide| guide.split_once(&title))?;
        let rest = if level == "###" { rest.split("\n### ").next()? } else { rest };
        rest.split("\n## ").next()
    };
    let section = section("##").or_else(|| section("###"));
    let section = section.unwrap_or_else(|| panic!("docs/ has no recipe {heading:?}"));
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("the line with the language").1.to_owned()).collect()
}
