//! The hidden `generate` command: man pages and completions, written from the command line's own description.
//!
//! A test compares the files in the repository with its output.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

use crate::cli::ui::Exit;
use crate::mailbox::Code;

#[derive(Args, Debug)]
pub(super) struct GenerateArgs {
    /// Gets the directories man and completions
    directory: PathBuf,
}

/// A part of a man page that clap does not know.
pub(super) enum Section {
    /// The findings of `verify`.
    Findings,
    /// Text in roff.
    Roff(&'static str),
    /// README's recipes under this heading.
    Recipes(&'static str),
    /// The keys of the JSON summary.
    Summary(&'static [SummaryKey]),
}

/// A key of the JSON summary and its description in the manual.
pub(super) struct SummaryKey {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
}

/// Returns a [`SummaryKey`]; short, because each command has a dozen.
pub(super) const fn key(name: &'static str, meaning: &'static str) -> SummaryKey {
    SummaryKey { name, meaning }
}

/// Writes the pages of `command` and its subcommands; `sections` returns what follows the options of one.
pub(super) fn run(
    args: &GenerateArgs,
    command: clap::Command,
    sections: fn(&str) -> &'static [Section],
) -> Exit {
    match generate(&args.directory, command, sections) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("mailferry: {error:#}");
            Exit::CouldNotFinish
        }
    }
}

fn generate(
    directory: &Path,
    mut command: clap::Command,
    sections: fn(&str) -> &'static [Section],
) -> anyhow::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        clap_complete::generate_to(shell, &mut command.clone(), "mailferry", &completions)?;
    }
    command.build();
    write_page(&command, "mailferry", sections("mailferry"), &man)?;
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        let name = sub.get_name();
        write_page(sub, &format!("mailferry-{name}"), sections(name), &man)?;
    }
    Ok(())
}

fn write_page(
    command: &clap::Command,
    name: &str,
    sections: &[Section],
    directory: &Path,
) -> anyhow::Result<()> {
    let mut text = Vec::new();
    // Without a display name every page would have the title of the first. A date would change every day.
    let command = command.clone().display_name(name.to_owned());
    let source = format!("mailferry {}", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command).title(name.to_uppercase()).source(source).render(&mut text)?;
    sections.iter().for_each(|section| text.extend_from_slice(section.to_roff().as_bytes()));
    std::fs::write(directory.join(format!("{name}.1")), text)?;
    Ok(())
}

impl Section {
    fn to_roff(&self) -> String {
        match self {
            Section::Findings => findings(),
            Section::Roff(text) => (*text).to_owned(),
            Section::Recipes(heading) => recipes(heading),
            Section::Summary(keys) => summary(keys),
        }
    }
}

fn findings() -> String {
    let mut text = String::from(
        ".SH FINDINGS\nErrors count for the exit code, warnings do with\n.BR \\-\\-strict .\n\
         mailferry\\-formats(5) has the findings of all commands.\n",
    );
    for code in Code::ALL.iter().filter(|code| code.is_of_verify()) {
        text.push_str(&item(code.name(), code.severity().name(), code.meaning()));
    }
    text
}

fn summary(keys: &[SummaryKey]) -> String {
    let mut text = String::from(
        ".SH JSON\n\\-\\-json gives an object a finding (type, code, severity, path, message; offset, line and mend \
         where there are), then one summary:\n",
    );
    for SummaryKey { name, meaning } in keys {
        text.push_str(&item(name, "", meaning));
    }
    text
}

/// Returns README's recipes, which tests run exactly as printed.
fn recipes(heading: &str) -> String {
    let readme = include_str!("../../README.md");
    let after = readme.split_once(&format!("\n## {heading}\n")).expect("README has the recipes").1;
    let section = after.split("\n## ").next().expect("split gives one part at least");
    format!(".SH RECIPES\n{}", roff_of_markdown(section))
}

/// Converts paragraphs, headings, code blocks and code spans; README's recipes contain nothing else.
fn roff_of_markdown(text: &str) -> String {
    let mut page = String::new();
    let mut is_code = false;
    for line in text.lines() {
        // roff would read such a line as a request.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        match line.strip_prefix("```") {
            Some(_) => {
                page.push_str(if is_code { ".EE\n.RE\n" } else { ".RS 2\n.EX\n" });
                is_code = !is_code;
            }
            None if is_code => page.push_str(&format!("{guard}{}\n", roff(line))),
            None if line.is_empty() => page.push_str(".PP\n"),
            None => match line.strip_prefix("### ") {
                Some(heading) => page.push_str(&format!(".SS {}\n", roff(heading))),
                None => page.push_str(&format!("{guard}{}\n", spans(line))),
            },
        }
    }
    // Several requests for a paragraph add blank lines, and so does one before a heading.
    while page.contains(".PP\n.PP\n") {
        page = page.replace(".PP\n.PP\n", ".PP\n");
    }
    page = page.replace(".PP\n.SS", ".SS");
    page.trim_start_matches(".PP\n").trim_end_matches(".PP\n").to_owned()
}

/// Prints code spans in bold, the convention of man pages.
fn spans(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("\\fB{}\\fR", roff(part)) } else { roff(part) }).collect()
}

fn item(name: &str, kind: &str, meaning: &str) -> String {
    let kind = if kind.is_empty() { String::new() } else { format!(" \" (\" {kind} )") };
    format!(".TP\n.BR {}{kind}\n{}\n", roff(name), roff(meaning))
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('"', "\\(dq")
}
