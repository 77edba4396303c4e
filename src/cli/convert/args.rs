//! Arguments of `mailferry convert`, and the options of each job that they give.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;

use super::applies::GivenOptions;
use super::parents;
use crate::cli::args::CommonArgs;
use crate::cli::folders::FolderArgs;
use crate::cli::identity::{self, Owner, Paths};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::open::{OpenArgs, Opener};
use crate::cli::ui::exit;
use crate::convert::export::OutputMode;
use crate::convert::restore::{RestoreOptions, RestoreTarget, SourceSelector};
use crate::convert::{
    Dedupe, DestinationOptions, Eol, ExportOptions, Headers, ImportOptions, Input, RenderOptions,
};
use crate::mailbox::fs::Modes;
use crate::mailbox::maildir::Fsync;
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::mbox::{ReadOptions, boundary_list};
use crate::mailbox::message::Origin;
use crate::mailbox::message::{DeletedPolicy, LabelPolicy};
use crate::mailbox::tree::Layout;
use crate::mailbox::{Error, Result};

/// Convert mboxes into a Maildir, in parallel and durably, and back
///
/// A SOURCE is an mbox (mboxo, mboxrd, mboxcl, mboxcl2 or MMDF; found out by content, or named by a
/// prefix such as mboxrd:PATH), compressed or not, or - for standard input; or it is a Maildir. The
/// DESTINATION is of the other kind unless a prefix says otherwise (maildir:PATH copies a Maildir, names and
/// flags and all); an mbox is written as mboxrd, or as the prefix says (mboxcl2:PATH), and to standard output
/// for -. A new Maildir or mbox is built beside its
/// name and appears whole; into an existing Maildir each message is moved, never over another name; an
/// existing file is left alone without --append or --force. When the command returns 0, all of it is on
/// stable storage. Sources are never changed.
///
/// A SOURCE that is any other directory is a tree: each mailbox in it (mboxes, Maildirs, directories of messages;
/// the directories of Thunderbird, KMail, Apple Mail and MH among them) becomes a folder of the DESTINATION, which
/// is a Maildir with folders, with --layout fs a directory of Maildirs, or with mbox:PATH/ a directory of mboxes. A
/// Maildir with folders is a tree, too, where the DESTINATION is a directory. Several sources go into one tree; an
/// mbox among them is INBOX. What is no mail is passed over and counted (-v lists it); where there may be mail that
/// could not be read, the rest is converted and the exit code is 1. Subscriptions come along, and names that a layout
/// cannot say are escaped and told: mailferry-maildir(5).
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct ConvertArgs {
    // First: clap takes the options out of the matches as it fills the fields.
    #[command(flatten)]
    pub(super) given: GivenOptions,
    /// Sources, then the destination
    #[arg(required = true, num_args = 1.., value_names = ["SOURCE", "DESTINATION"])]
    pub(super) mailboxes: Vec<OsString>,
    /// Write nothing, report what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// When to flush: once for all, each message, or not at all
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Fsync::Batch)]
    pub(super) fsync: Fsync,
    /// Line ends of the messages written
    #[arg(long, value_enum, value_name = "EOL", default_value_t = Eol::Keep)]
    pub(super) eol: Eol,
    /// What becomes of a user's own labels in X-Gmail-Labels, as Google Takeout writes it
    #[arg(long, value_enum, value_name = "AS", default_value_t = LabelPolicy::Keywords)]
    pub(super) labels: LabelPolicy,
    /// What becomes of messages that a mailer has marked as deleted
    #[arg(long, value_enum, value_name = "HOW", default_value_t = DeletedPolicy::Flag)]
    pub(super) deleted: DeletedPolicy,
    /// The fields that only mailers write, Status, X-Keywords, X-Mozilla-Status, Content-Length and the like
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Headers::Keep)]
    pub(super) headers: Headers,
    /// The received date is looked for here first
    #[arg(long, value_enum, value_name = "ORIGIN", default_value_t = Origin::FromLine)]
    pub(super) date: Origin,
    /// Zone of From_ lines that name none: +0100, UTC, Europe/Berlin; default: what the Received
    /// fields show, else UTC
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub(super) from_zone: Option<jiff::tz::TimeZone>,
    /// The last part of the names
    #[arg(long, value_name = "WORD", default_value = "mailferry")]
    pub(super) host: String,
    /// What stands before the flags in a name: some file systems cannot say the colon
    #[arg(long, value_name = "CHAR", default_value = ":", value_parser = [":", ";", "!"])]
    pub(super) info_sep: String,
    /// Decide boundaries as this list says, which inspect --boundaries printed and you edited
    #[arg(long, value_name = "FILE")]
    pub(super) boundaries: Option<PathBuf>,
    /// Its text.
    #[arg(skip)]
    pub(super) boundary_list: Vec<u8>,
    /// Leave messages out that are there already: the same content (less Status and the like), or the
    /// same Message-ID
    #[arg(long, value_enum, value_name = "BY")]
    pub(super) dedupe: Option<Dedupe>,
    /// Treat this path as a new mailbox, even if it was converted before
    #[arg(long)]
    pub(super) new_source: bool,
    /// Keep the manifest in this file; default: mailferry.manifest in the Maildir
    #[arg(long, value_name = "PATH", conflicts_with = "no_manifest")]
    pub(super) manifest: Option<PathBuf>,
    /// Keep no manifest: --exact, growth and deletions are not known to later runs then
    #[arg(long)]
    pub(super) no_manifest: bool,
    /// Give a source back byte for byte, from a Maildir and its manifest, into a file or -
    #[arg(long, conflicts_with_all = ["dedupe", "new_source", "no_manifest", "boundaries", "dry_run"])]
    pub(super) exact: bool,
    /// With --exact: which source, by its path or its number
    #[arg(long, value_name = "PATH|N", requires = "exact")]
    pub(super) source: Option<OsString>,
    /// Into an mbox, and with --exact: replace a file that exists
    #[arg(long)]
    pub(super) force: bool,
    /// Into an mbox: write behind what is there, under its locks; on any error it is cut back
    #[arg(long, conflicts_with_all = ["force", "exact"])]
    pub(super) append: bool,
    /// Act as this user, and group; needs root for another user. The destination must be the user's, or
    /// missing in a directory of root's
    #[arg(long, value_name = "USER[:GROUP]", value_parser = identity::parse_owner)]
    pub(super) owner: Option<Owner>,
    /// Mode of the files that are made; who may read them may enter their directories
    #[arg(long, value_name = "OCTAL", value_parser = parse_mode, default_value = "600")]
    pub(super) mode: u32,
    /// Create missing directories above the destination; they are removed again if nothing is written
    #[arg(short = 'p', long)]
    pub(super) parents: bool,
    /// Of mboxes that are in use: hold the locks only while each is opened; what others append meanwhile is
    /// left for the next run
    #[arg(long, conflicts_with = "exact", help_heading = "Source")]
    pub(super) live: bool,
    #[command(flatten)]
    pub(super) tree: TreeArgs,
    #[command(flatten)]
    pub(super) open: OpenArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry convert inbox.mbox ~/Maildir
  zcat old.gz | mailferry convert - ~/Maildir/.Old
  mailferry convert -n archive.mbox.zst ~/Maildir
  mailferry convert ~/Mail ~/Maildir
  mailferry convert --labels folders Takeout.mbox ~/Maildir
  mailferry convert ~/Maildir out.mbox
  mailferry convert ~/Maildir mbox:~/Mail/
  mailferry convert ~/Maildir maildir:/backup/Maildir
  mailferry convert --append ~/Maildir/.Old mboxcl2:archive
  mailferry convert --exact ~/Maildir inbox.mbox

{}",
        exit::HELP
    )
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => Err(format!(
            "{text} is no mode of mail: its owner must be able to read and write it, and nobody runs it; for example 640"
        )),
    }
}

fn parse_zone(text: &str) -> Result<jiff::tz::TimeZone, String> {
    let zone = match jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(text) {
        Ok(zone) => Ok(zone),
        // +0100 without the colon is what mail writes.
        Err(first) => match text.len() {
            5 => jiff::fmt::temporal::DateTimeParser::new()
                .parse_time_zone(format!("{}:{}", &text[..3], &text[3..]))
                .map_err(|_| first),
            _ => Err(first),
        },
    };
    zone.map_err(|e| e.to_string())
}

/// Where the folders of a tree go.
#[derive(Args, Debug)]
pub(super) struct TreeArgs {
    /// How folders lie in the destination: maildir++ (.A.B beside cur/) or fs (A/B)
    #[arg(long, value_enum, value_name = "LAYOUT", help_heading = "Trees")]
    pub(super) layout: Option<Layout>,
    #[command(flatten)]
    pub(super) folders: FolderArgs,
    /// Read the sources from this file, one a line, or - for standard input
    #[arg(long, value_name = "FILE", help_heading = "Trees")]
    pub(super) files_from: Option<PathBuf>,
    /// With --files-from: a NUL ends each name, as find -print0 writes them
    #[arg(short = '0', long, requires = "files_from", help_heading = "Trees")]
    pub(super) null: bool,
}

impl TreeArgs {
    /// Reads the names of sources in the file of `--files-from`.
    pub(super) fn read_files_from(&self) -> Result<Vec<OsString>> {
        let Some(file) = &self.files_from else { return Ok(Vec::new()) };
        let mut text = Vec::new();
        let read = match file.as_os_str() == "-" {
            true => std::io::stdin().read_to_end(&mut text).map(drop),
            false => {
                text = identity::read_option_file(file)?;
                Ok(())
            }
        };
        read.map_err(Error::io("read", file))?;
        let end = if self.null { 0 } else { b'\n' };
        let names = text.split(|&b| b == end).filter(|name| !name.is_empty());
        Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
    }

    pub(super) fn is_used(&self) -> bool {
        self.layout.is_some() || self.folders.is_used() || self.folders.follow
    }
}

/// The mailboxes of a command line.
#[derive(Debug)]
pub(super) struct Mailboxes {
    pub(super) sources: Vec<MailboxArg>,
    /// In a dry run with `--parents` its first missing directory, in place of what would be in it.
    pub(super) destination: MailboxArg,
    /// The destination as the user named it.
    pub(super) named: MailboxArg,
}

impl ConvertArgs {
    pub(super) fn mailboxes(&self) -> Result<Mailboxes> {
        let mut sources = MailboxArg::parse_all(&self.mailboxes)?;
        let mut destination = sources.pop().unwrap_or_else(|| unreachable!("clap requires two"));
        let named = destination.clone();
        if self.parents && self.dry_run && !destination.is_standard_stream() {
            destination.path = parents::first_missing(&named.path);
        }
        Ok(Mailboxes { sources, destination, named })
    }

    /// Reads the files that options name, and takes the identity for the mailboxes.
    pub(super) fn take_identity<'m>(&mut self, mailboxes: &'m Mailboxes) -> Result<()> {
        if let Some(path) = &self.boundaries {
            self.boundary_list = identity::read_option_file(path)?;
        }
        let Mailboxes { sources, destination, .. } = mailboxes;
        let path = |mailbox: &'m MailboxArg| (!mailbox.is_standard_stream()).then_some(&*mailbox.path);
        let is_directory = match destination.format {
            Some(Format::Maildir) => true,
            Some(_) => destination.is_directory(),
            None => !sources.iter().all(|source| identity::is_maildir(&source.path)),
        };
        identity::take(&Paths {
            written: path(destination).into_iter().collect(),
            read: sources.iter().filter_map(path).chain(self.manifest.as_deref()).collect(),
            owner: self.owner,
            directory_mode: (is_directory && !self.dry_run).then(|| self.modes().dir_mode()),
            parents_mode: (self.parents && !self.dry_run).then(|| self.modes().dir_mode()),
            locks: true,
        })
    }

    pub(super) fn modes(&self) -> Modes {
        Modes { files: Some(self.mode) }
    }

    fn manifest(&self) -> ManifestLocation<'_> {
        match self.no_manifest {
            true => ManifestLocation::None,
            false => ManifestLocation::named(self.manifest.as_deref()),
        }
    }

    pub(super) fn import_options<'a>(&'a self, destination: &'a Path) -> ImportOptions<'a> {
        ImportOptions {
            destination: self.maildir_options(destination),
            render: RenderOptions {
                eol: self.eol,
                headers: self.headers,
                deleted: self.deleted,
                labels: self.labels,
            },
            dedupe: self.dedupe.unwrap_or_default(),
            from_zone: self.from_zone.clone(),
            // The From_ line comes first anyway.
            date: Some(self.date).filter(|&date| date != Origin::FromLine),
            new_source: self.new_source,
            siblings: &[],
        }
    }

    pub(super) fn maildir_options<'a>(&'a self, path: &'a Path) -> DestinationOptions<'a> {
        DestinationOptions {
            path,
            manifest: self.manifest(),
            fsync: self.fsync,
            info_separator: self.info_sep.as_bytes()[0],
            dry_run: self.dry_run,
            modes: self.modes(),
            sync_group: None,
            folder: None,
        }
    }

    /// Returns the options of an export; `stdout` is where `-` goes.
    pub(super) fn export_options<'a>(
        &'a self,
        destination: &'a MailboxArg,
        stdout: &'a Mutex<std::io::Stdout>,
    ) -> ExportOptions<'a> {
        ExportOptions {
            destination: &destination.path,
            variant: destination.variant(),
            output: match () {
                () if destination.is_standard_stream() => OutputMode::Stream(stdout),
                () if self.append => OutputMode::Append,
                () if self.force => OutputMode::Replace,
                () => OutputMode::New,
            },
            eol: self.eol,
            from_zone: self.from_zone.clone(),
            manifest: self.manifest(),
            fsync: self.fsync,
            modes: self.modes(),
            dry_run: self.dry_run,
        }
    }

    /// Returns the options of `--exact`; `stdout` is where `-` goes.
    pub(super) fn restore_options<'a>(
        &'a self,
        maildir: &'a Path,
        destination: &'a MailboxArg,
        stdout: &'a Mutex<std::io::Stdout>,
    ) -> RestoreOptions<'a> {
        let parse = |source: &OsString| match source.to_str().and_then(|text| text.parse().ok()) {
            Some(number) => SourceSelector::Number(number),
            None => SourceSelector::Path(source.into()),
        };
        RestoreOptions {
            maildir,
            manifest: self.manifest(),
            source: self.source.as_ref().map(parse),
            target: match destination.is_standard_stream() {
                true => RestoreTarget::Stream(stdout),
                false => RestoreTarget::File { path: &destination.path, replace: self.force },
            },
        }
    }

    /// Opens an mbox, and reads the list of `--boundaries`.
    pub(super) fn open(&self, mailbox: &MailboxArg, opener: &Opener<'_>) -> Result<Input> {
        let mut source = opener.open(mailbox)?;
        let lock_findings = source.take_findings();
        let overrides = match &self.boundaries {
            None => Default::default(),
            Some(path) => boundary_list::parse(&self.boundary_list, path, source.text())?,
        };
        let read_options = ReadOptions { variant: mailbox.variant(), overrides, ..ReadOptions::default() };
        Ok(Input::new(source, &mailbox.path, read_options, lock_findings))
    }
}
