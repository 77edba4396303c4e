//! `mailferry man` and `mailferry completions`: what packages and users install.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

use crate::cli::ui::Exit;

/// Write the manual pages into a directory, or print mailferry(1)
///
/// The pages go into man1, man5 and man7 in DIR, where man(1) looks for them if DIR is in its path:
/// ~/.local/share/man, or /usr/local/share/man. Existing pages are replaced. Without DIR the overview goes to
/// standard output: mailferry man | man -l -
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Directory of manuals, such as ~/.local/share/man; created if it is missing
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Print the completions for a shell
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// Shell that reads them
    #[arg(value_enum)]
    shell: Shell,
}

/// A page of the manual, in roff.
struct ManualPage {
    name: &'static str,
    section: char,
    text: &'static str,
}

macro_rules! pages {
    ($($name:literal $section:literal,)*) => {
        [$(ManualPage {
            name: $name,
            section: $section,
            text: include_str!(concat!("../../man/", $name, ".", $section)),
        },)*]
    };
}

/// The overview comes first.
const PAGES: [ManualPage; 10] = pages! {
    "mailferry" '1',
    "mailferry-convert" '1',
    "mailferry-verify" '1',
    "mailferry-deliver" '1',
    "mailferry-inject" '1',
    "mailferry-inspect" '1',
    "mailferry-mbox" '5',
    "mailferry-maildir" '5',
    "mailferry-manifest" '5',
    "mailferry-findings" '7',
};

/// Runs `mailferry man`.
pub(super) fn write_manual(args: &ManArgs) -> Exit {
    let Some(directory) = &args.directory else { return print(PAGES[0].text.as_bytes()) };
    for page in &PAGES {
        let directory = directory.join(format!("man{}", page.section));
        let path = directory.join(format!("{}.{}", page.name, page.section));
        if let Err(error) = write_page(&directory, &path, page.text) {
            return fail(&path, &error);
        }
    }
    Exit::Done
}

fn write_page(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(path, text)
}

/// Runs `mailferry completions`.
pub(super) fn print_completions(args: &CompletionsArgs, mut command: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mailferry", &mut script);
    print(&script)
}

/// Writes to standard output. A closed pipe is the reader's decision, and not an error.
fn print(text: &[u8]) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(Path::new("standard output"), &error),
        _ => Exit::Done,
    }
}

fn fail(path: &Path, error: &io::Error) -> Exit {
    // If standard error is closed, the exit code remains.
    let _ = writeln!(io::stderr(), "mailferry: {}: cannot write: {error}", path.display());
    Exit::CouldNotFinish
}
