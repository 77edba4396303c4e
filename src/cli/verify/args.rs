//! Arguments of `mailferry verify`, and whether they go together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::CommonArgs;
use crate::cli::compare;
use crate::cli::folders::FolderArgs;
use crate::cli::identity::{self, Paths};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::open::{OpenArgs, Opener};
use crate::cli::run_report::{ReportArgs, ReportWriter, RunReportFile};
use crate::cli::sandbox::{SandboxArgs, SandboxPaths};
use crate::cli::ui::{ProgressDisplay, exit};
use crate::mailbox::fs::files;
use crate::mailbox::maildir::detect::{DirectoryKind, detect};
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::{Cancel, Error, Result};
use crate::verify;

/// Check mailboxes for damage, and that converted mail is complete
///
/// In an mbox: where messages begin, wrong lengths, junk, NULs, damaged headers, a truncated end. In a Maildir and its
/// folders: directories, modes, names, sizes, tmp/, the quota. With a manifest: whether each converted message is
/// unchanged, moved, re-flagged, changed or gone, even without the source. In any other directory: every mailbox.
/// Only --repair changes anything.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct VerifyArgs {
    /// mbox, Maildir or directory of mailboxes; - is standard input
    #[arg(required = true, value_name = "MAILBOX")]
    pub(super) mailboxes: Vec<OsString>,
    /// Check the structure only, not the contents of messages
    #[arg(long)]
    pub(super) quick: bool,
    /// Compare with the mail in OTHER, message by message
    ///
    /// The formats may differ. Several mailboxes are taken together. If both sides have folders, each folder is
    /// compared; a single mailbox is compared with all folders together. The options for folders are as for convert.
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["quick", "manifest", "source", "repair"])]
    pub(super) against: Option<OsString>,
    #[command(flatten)]
    pub(super) compare: compare::CompareArgs,
    /// Manifest of the Maildir [default: mailferry.manifest in it]
    #[arg(long, value_name = "PATH")]
    pub(super) manifest: Option<PathBuf>,
    /// Present path of the converted source [default: as in the manifest]
    #[arg(long, value_name = "PATH")]
    pub(super) source: Option<PathBuf>,
    /// Fix what can be fixed without touching a message
    ///
    /// Creates missing directories, corrects modes, and adds a missing newline or blank line at the end of an mbox.
    /// Stale files in tmp/ are moved to mailferry-lost/.
    #[arg(long)]
    pub(super) repair: bool,
    /// Write nothing; with --repair, report what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) folders: FolderArgs,
    #[command(flatten)]
    pub(super) open: OpenArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry verify inbox.mbox
  mailferry verify ~/Maildir
  mailferry verify --quick --strict ~/Maildir archive/*.mbox
  mailferry verify --against old.mbox ~/Maildir
  mailferry verify --against ~/Maildir --metadata ~/Mail
  mailferry verify --against ~/Maildir --map 'Sent Items=Sent' ~/Mail
  mailferry verify --repair -n ~/Maildir

{}",
        exit::HELP
    )
}

impl VerifyArgs {
    /// Opens without a dot-lock: verify leaves no trace, not even for a moment.
    pub(super) fn opener<'a>(&'a self, cancel: &'a Cancel, display: &'a ProgressDisplay) -> Opener<'a> {
        self.open.opener(cancel, display, true)
    }

    pub(super) fn mailboxes(&self) -> Result<Vec<MailboxArg>> {
        MailboxArg::parse_all(&self.mailboxes)
    }

    /// Checks what clap cannot: whether the options apply to the mailboxes.
    pub(super) fn check(&self) -> Result<()> {
        let mailboxes = self.mailboxes()?;
        let other = self.against.as_deref().map(MailboxArg::parse).transpose()?;
        self.take_identity(&mailboxes, other.as_ref())?;
        if mailboxes.iter().chain(&other).filter(|mailbox| mailbox.is_standard_stream()).count() > 1 {
            return Err(Error::usage("-", "standard input can be read only once"));
        }
        // The rest of a Maildir is reported when it is its turn.
        let is_tree = |mailbox: &MailboxArg| mailbox.is_tree().unwrap_or(false);
        let is_many = mailboxes.len() > 1 || mailboxes.iter().any(is_tree);
        for (option, path) in [("--manifest", &self.manifest), ("--source", &self.source)] {
            if path.is_some() && is_many {
                return Err(Error::usage(option, "is for one mailbox; verify them one by one"));
            }
            if path.is_some() && mailboxes.iter().any(is_mbox) {
                return Err(Error::usage(option, "is for a Maildir with a manifest"));
            }
        }
        if self.source.is_some() {
            self.check_source(&mailboxes)?;
        }
        if self.repair && mailboxes.iter().any(MailboxArg::is_standard_stream) {
            return Err(Error::usage("--repair", "standard input cannot be repaired"));
        }
        if self.against.is_some() {
            return Ok(());
        }
        match &self.folders {
            FolderArgs { into: Some(_), .. } => Err(Error::usage("--into", "is for --against")),
            FolderArgs { map, .. } if !map.is_empty() => Err(Error::usage("--map", "is for --against")),
            FolderArgs { follow: true, .. } if !mailboxes.iter().any(is_tree) => {
                Err(Error::usage("--follow", "is for directories of mailboxes"))
            }
            _ => Ok(()),
        }
    }

    /// Opens the directory of the report, and refuses a report in what the command reads.
    pub(super) fn open_report(&self, writer: ReportWriter) -> Result<RunReportFile> {
        let mut mailboxes = self.mailboxes()?;
        mailboxes.extend(self.against.as_deref().map(MailboxArg::parse).transpose()?);
        let named = [&self.manifest, &self.source].into_iter().flatten().map(PathBuf::as_path);
        writer.open(mailboxes.iter().map(|mailbox| &*mailbox.path).chain(named))
    }

    /// Enters the sandbox, and starts the workers in it.
    pub(super) fn set_up(&self) -> Result<()> {
        let mut paths = SandboxPaths::new(&self.open.spool_directory());
        let mut manifests: Vec<PathBuf> = self.manifest.iter().cloned().collect();
        for mailbox in self.mailboxes()? {
            manifests.extend(match self.repair && !self.dry_run {
                true => paths.repair_mailbox(&mailbox),
                false => paths.read_mailbox(&mailbox),
            });
        }
        match &self.against {
            Some(other) => drop(paths.read_mailbox(&MailboxArg::parse(other)?)),
            None if self.quick => {}
            None => manifests.iter().for_each(|manifest| paths.read_sources(manifest)),
        }
        [&self.manifest, &self.source].into_iter().flatten().for_each(|path| paths.read(path));
        paths.enter(self.sandbox, self.common.verbose);
        self.common.set_up_workers()
    }

    fn take_identity(&self, mailboxes: &[MailboxArg], other: Option<&MailboxArg>) -> Result<()> {
        let paths = |mailbox: &'_ MailboxArg| !mailbox.is_standard_stream();
        let mut written: Vec<&Path> =
            mailboxes.iter().filter(|mailbox| paths(mailbox)).map(|mailbox| &*mailbox.path).collect();
        let repairs = self.repair && !self.dry_run;
        let read = if repairs { Vec::new() } else { std::mem::take(&mut written) };
        let other = other.filter(|mailbox| paths(mailbox)).map(|mailbox| &*mailbox.path);
        let named = [self.manifest.as_deref(), self.source.as_deref()].into_iter().flatten();
        let read = read.into_iter().chain(other).chain(named).collect();
        identity::take(&Paths { written, read, locks: repairs, ..Paths::default() })
    }

    /// Checks that the source is compared with a manifest.
    fn check_source(&self, mailboxes: &[MailboxArg]) -> Result<()> {
        if self.quick {
            return Err(Error::usage("--source", "cannot be used with --quick"));
        }
        if self.manifest.is_some() {
            return Ok(());
        }
        for mailbox in mailboxes.iter().filter(|mailbox| detect(&mailbox.path) == DirectoryKind::Maildir) {
            let folders = verify::maildir::list_folders(&mailbox.path)?;
            if !folders.iter().any(|folder| ManifestLocation::InMaildir.exists(folder)) {
                return Err(Error::usage("--source", "is for a Maildir with a manifest"));
            }
        }
        Ok(())
    }
}

/// Reports whether an argument is standard input or a file.
fn is_mbox(mailbox: &MailboxArg) -> bool {
    let is_maildir = mailbox.format == Some(Format::Maildir);
    mailbox.is_standard_stream()
        || !is_maildir && files::exists(&mailbox.path) && !files::is_dir(&mailbox.path)
}
