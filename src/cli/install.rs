//! `mailferry man` and `mailferry completions`: what packages and users install.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

use crate::cli::identity::{self, Paths};
use crate::cli::ui::Exit;
use crate::mailbox::fs::{Dir, files, parent_of};
use crate::mailbox::{Error, Result};

/// Modes of what users read, subject to the umask.
const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// Write the manual pages into a directory, or print mailferry(1)
///
/// The pages go into man1, man5 and man7 in DIR, where man(1) looks for them if DIR is in its path:
/// ~/.local/share/man, or /usr/local/share/man. Existing pages are replaced. Without DIR the overview goes to
/// standard output: mailferry man | man -l -
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Directory of manuals, such as ~/.local/share/man; created if missing
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
const PAGES: [ManualPage; 14] = pages! {
    "mailferry" '1',
    "mailferry-convert" '1',
    "mailferry-verify" '1',
    "mailferry-deliver" '1',
    "mailferry-inject" '1',
    "mailferry-inspect" '1',
    "mailferry-report" '1',
    "mailferry-bounce" '1',
    "mailferry-mbox" '5',
    "mailferry-maildir" '5',
    "mailferry-manifest" '5',
    "mailferry-relays" '5',
    "mailferry-findings" '7',
    "mailferry-qmail" '7',
};

/// Runs `mailferry man`.
pub(super) fn write_manual(args: &ManArgs) -> Exit {
    match &args.directory {
        None => print(PAGES[0].text.as_bytes()),
        Some(directory) => write_pages(directory).map_or_else(|error| fail(&error), |()| Exit::Done),
    }
}

/// Root acts as the user whose directory it is, as for a mailbox: the user could plant a link in it.
fn write_pages(directory: &Path) -> Result<()> {
    identity::take(&Paths {
        written: vec![directory],
        directory_mode: Some(DIRECTORY_MODE),
        ..Paths::default()
    })?;
    let directory = match directory.file_name() {
        Some(name) if !files::exists(directory) => {
            Dir::open(parent_of(directory))?.open_or_create_dir(name, DIRECTORY_MODE)?.0
        }
        _ => Dir::open(directory)?,
    };
    for page in &PAGES {
        let section = format!("man{}", page.section);
        let (section, _) = directory.open_or_create_dir(section.as_ref(), DIRECTORY_MODE)?;
        let name = format!("{}.{}", page.name, page.section);
        section.write_atomic(&section, name.as_ref(), page.text.as_bytes(), FILE_MODE)?;
    }
    Ok(())
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
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(&Error::io("write", "standard output")(error))
        }
        _ => Exit::Done,
    }
}

fn fail(error: &Error) -> Exit {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    // If standard error is closed, the exit code remains.
    let _ = writeln!(io::stderr(), "mailferry: {error}{hint}");
    Exit::of(error)
}
