//! Hidden: man pages and completions from the command line's own description, so that they cannot
//! say anything else. A test holds the files that are checked in against this.

use std::path::{Path, PathBuf};

use crate::verify;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, exit::Exit};

/// Where to.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Gets the directories man and completions
    directory: PathBuf,
}

/// Runs the command.
pub fn run(args: &GenerateArgs) -> Exit {
    match generate(&args.directory) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("mailferry: {error:#}");
            Exit::CouldNotFinish
        }
    }
}

fn generate(directory: &Path) -> anyhow::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let mut command = Cli::command();
    command.build();
    page(&command, "mailferry", "", &man)?;
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        let more = match sub.get_name() {
            "verify" => verify_tables(),
            "deliver" => {
                let summary = summary_table(super::deliver::SUMMARY);
                [super::dot_qmail::MANUAL, &recipes("Recipes for delivery"), &summary].concat()
            }
            "inject" => recipes("Recipes for sending") + &summary_table(super::inject::SUMMARY),
            _ => String::new(),
        };
        page(sub, &format!("mailferry-{}", sub.get_name()), &more, &man)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        clap_complete::generate_to(shell, &mut Cli::command(), "mailferry", &completions)?;
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str, more: &str, directory: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    // The binary's own name would give every page the title of the first; the date would change by
    // the day.
    let command = command.clone().display_name(name.to_owned());
    let source = format!("mailferry {}", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command).title(name.to_uppercase()).source(source).render(&mut text)?;
    text.extend_from_slice(more.as_bytes());
    std::fs::write(directory.join(format!("{name}.1")), text)?;
    Ok(())
}

/// What verify can find and what its summary holds, as sections of its page.
fn verify_tables() -> String {
    let mut text = String::from(
        ".SH FINDINGS\nErrors count for the exit code, warnings do with\n.BR \\-\\-strict .\n\
         mailferry\\-formats(5) has the findings of all commands.\n",
    );
    for code in verify::CODES {
        text.push_str(&item(code.name(), code.severity().name(), code.meaning()));
    }
    text.push_str(&summary_table(super::verify::SUMMARY));
    text
}

fn summary_table(keys: &[(&str, &str)]) -> String {
    let mut text = String::from(
        ".SH JSON\n\\-\\-json gives an object a finding (type, code, severity, path, message; offset, line and mend \
         where there are), then one summary:\n",
    );
    for (key, meaning) in keys {
        text.push_str(&item(key, "", meaning));
    }
    text
}

/// README's recipes under this heading, which tests run as they stand there.
fn recipes(heading: &str) -> String {
    let readme = include_str!("../../README.md");
    let after = readme.split_once(&format!("\n## {heading}\n")).expect("README has the recipes").1;
    let section = after.split("\n## ").next().expect("split gives one part at least");
    format!(".SH RECIPES\n{}", roff_of_markdown(section))
}

/// Paragraphs, headings, code and bold, which is all that README has there.
fn roff_of_markdown(text: &str) -> String {
    let mut page = String::new();
    let mut is_code = false;
    for line in text.lines() {
        // A line of text that begins so would be a request.
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
    // One is enough, and before a heading none.
    while page.contains(".PP\n.PP\n") {
        page = page.replace(".PP\n.PP\n", ".PP\n");
    }
    page = page.replace(".PP\n.SS", ".SS");
    page.trim_start_matches(".PP\n").trim_end_matches(".PP\n").to_owned()
}

/// Code in bold, as manual pages have it.
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
