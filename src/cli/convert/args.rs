//! Arguments of `mailferry convert`, and the options of each job that they give.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::applies::GivenOptions;
use super::{dates, parents};
use crate::accounts::shard::Shard;
use crate::cli::args::{CommonArgs, number};
use crate::cli::folders::FolderArgs;
use crate::cli::identity::{self, Owner, Paths};
use crate::cli::mailbox_arg::{Format, MailboxArg};
use crate::cli::open::{OpenArgs, Opener};
use crate::cli::run_report::{ReportArgs, ReportWriter, RunReportFile};
use crate::cli::ui::exit;
use crate::convert::USUAL_HOST;
use crate::convert::export::OutputMode;
use crate::convert::restore::{RestoreOptions, RestoreTarget, SourceSelector};
use crate::convert::{
    Dedupe, DestinationOptions, ExportOptions, ImportOptions, Input, RenderOptions, SplitOptions, UidFormat,
    UidOptions, UidPolicy,
};
use crate::mailbox::fs::Modes;
use crate::mailbox::maildir::Fsync;
use crate::mailbox::manifest::ManifestLocation;
use crate::mailbox::mbox::{ReadOptions, boundary_list};
use crate::mailbox::message::{DeletedPolicy, Eol, Headers, LabelPolicy, Origin, Selection};
use crate::mailbox::tree::Layout;
use crate::mailbox::{Error, Result};

/// Convert mboxes to Maildir and back, or one mailbox into another
///
/// A SOURCE is an mbox, a Maildir, or - for an mbox on standard input. The variant of an mbox is detected, unless a
/// prefix such as mboxcl2:PATH names it, and so is compression. A DESTINATION is of the other format, unless a prefix
/// names one: maildir:PATH copies a Maildir, and mbox:PATH writes mboxrd.
///
/// A SOURCE that is any other directory is a tree. Each mailbox in it becomes a folder of the DESTINATION: of a
/// Maildir, with --layout fs of a directory of Maildirs, with mbox:PATH/ of a directory of mboxes. Several sources go
/// into one tree. Files without mail are counted, and -v lists them.
///
/// Sources are never changed. A new Maildir or mbox appears complete, under its final name. In a Maildir that exists,
/// messages are added and none is replaced. An existing mbox is an error, unless the options say otherwise. When the
/// command exits with 0, everything is on stable storage. The same command again writes only what is new.
#[derive(Args, Debug)]
#[command(
    override_usage = "mailferry convert [OPTIONS] <SOURCE>... <DESTINATION>",
    help_template = TEMPLATE,
    after_help = SHORT_HELP,
    after_long_help = long_help()
)]
pub(crate) struct ConvertArgs {
    // First: clap takes the options out of the matches as it fills the fields.
    #[command(flatten)]
    pub(super) given: GivenOptions,
    /// Sources, then the destination
    #[arg(num_args = 0.., value_name = "MAILBOX", hide = true)]
    pub(super) mailboxes: Vec<OsString>,
    /// Write nothing; report what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// When to flush: once for all messages, after each, or never
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Fsync::Batch, hide_short_help = true, help_heading = DESTINATION)]
    pub(super) fsync: Fsync,
    /// Line ends of the messages written
    #[arg(long, value_enum, value_name = "EOL", default_value_t = Eol::Keep, hide_short_help = true, help_heading = MESSAGES)]
    pub(super) eol: Eol,
    /// Use of Gmail's labels
    ///
    /// Google Takeout writes them into X-Gmail-Labels. Gmail's own labels, such as Starred and Sent, always become
    /// flags and folders.
    #[arg(long, value_enum, value_name = "AS", default_value_t = LabelPolicy::Keywords, help_heading = MESSAGES)]
    pub(super) labels: LabelPolicy,
    /// Treatment of messages marked as deleted
    ///
    /// A mail program may expunge messages with the flag T.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = DeletedPolicy::Flag, help_heading = MESSAGES)]
    pub(super) deleted: DeletedPolicy,
    /// Treatment of fields that only mail programs use, such as Status
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Headers::Keep, hide_short_help = true, help_heading = MESSAGES)]
    pub(super) headers: Headers,
    /// Where the received date is looked for first
    #[arg(long, value_enum, value_name = "ORIGIN", default_value_t = Origin::FromLine, hide_short_help = true, help_heading = MESSAGES)]
    pub(super) date: Origin,
    /// Time zone of From_ lines without one
    ///
    /// For example Europe/Berlin or +0100. The default is the zone that the Received fields show, or else UTC.
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, hide_short_help = true, help_heading = MESSAGES)]
    pub(super) from_zone: Option<jiff::tz::TimeZone>,
    /// Only messages received on this day or later
    ///
    /// DATE is YYYY, YYYY-MM or YYYY-MM-DD: the first moment of that year, month or day in the time zone of $TZ. Other
    /// messages are counted as not selected. A later run with another selection, or with none, adds them.
    #[arg(long, value_name = "DATE", value_parser = dates::parse, help_heading = MESSAGES)]
    pub(super) since: Option<i64>,
    /// Only messages received before this day
    #[arg(long, value_name = "DATE", value_parser = dates::parse, help_heading = MESSAGES)]
    pub(super) before: Option<i64>,
    /// Spread messages over folders or mboxes: year
    ///
    /// With year, a message received in 2015 goes into the folder 2015 of the Maildir, or into the mbox DIR/2015 of
    /// mbox:DIR/. A message without a real date goes into undated. Years begin at midnight in the time zone of $TZ.
    #[arg(long, value_name = "BY", value_parser = dates::parse_split, help_heading = MESSAGES)]
    pub(super) split: Option<jiff::tz::TimeZone>,
    /// Last part of the file names of messages
    #[arg(long, value_name = "WORD", value_parser = NonEmptyStringValueParser::new(), default_value = USUAL_HOST, hide_short_help = true, help_heading = DESTINATION)]
    pub(super) host: String,
    /// Character before the flags in a file name, where a colon is impossible
    #[arg(long, value_name = "CHAR", default_value = ":", value_parser = [":", ";", "!"], hide_short_help = true, help_heading = DESTINATION)]
    pub(super) info_sep: String,
    /// Edited list of inspect --boundaries that decides where messages begin
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = SOURCE)]
    pub(super) boundaries: Option<PathBuf>,
    /// Its text.
    #[arg(skip)]
    pub(super) boundary_list: Vec<u8>,
    /// Leave out messages that the destination has already
    ///
    /// With content, fields that mail programs rewrite are ignored. Each message left out is reported with its twin.
    #[arg(long, value_enum, value_name = "BY", help_heading = MESSAGES)]
    pub(super) dedupe: Option<Dedupe>,
    /// Treat this path as a new mailbox, even if it was converted before
    ///
    /// The source is not compared with what its path had in earlier runs. A folder of the destination that was deleted
    /// since is created again; single messages that were deleted do not come back.
    #[arg(long, hide_short_help = true, help_heading = SOURCE)]
    pub(super) new_source: bool,
    /// File of the manifest; default: mailferry.manifest in the Maildir
    #[arg(long, value_name = "PATH", conflicts_with = "no_manifest", hide_short_help = true, help_heading = DESTINATION)]
    pub(super) manifest: Option<PathBuf>,
    /// Write no manifest; later runs cannot continue, and --exact cannot restore
    #[arg(long, hide_short_help = true, help_heading = DESTINATION)]
    pub(super) no_manifest: bool,
    /// Restore a source byte for byte from a Maildir and its manifest
    #[arg(long, conflicts_with_all = ["dedupe", "new_source", "no_manifest", "boundaries", "dry_run"])]
    pub(super) exact: bool,
    /// Source to restore, by its path or number, if there are several
    #[arg(long, value_name = "PATH|N", requires = "exact", hide_short_help = true)]
    pub(super) source: Option<OsString>,
    /// Replace an existing file
    #[arg(long)]
    pub(super) force: bool,
    /// Append to an existing mbox under its locks; undone on error
    #[arg(long, conflicts_with_all = ["force", "exact"])]
    pub(super) append: bool,
    /// Treatment of the UIDs by which IMAP and POP3 clients know messages
    ///
    /// They are in X-UID fields and in the lists of Dovecot and Courier. With others, clients download all mail again.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = UidPolicy::Keep, hide_short_help = true, help_heading = MESSAGES)]
    pub(super) uids: UidPolicy,
    /// List of UIDs to write
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = UidFormat::Dovecot, hide_short_help = true, help_heading = DESTINATION)]
    pub(super) uid_format: UidFormat,
    /// Owner (and group) of everything created; needs root for another user
    ///
    /// The command acts as this user. The destination must be the user's, or be missing in a directory of root's.
    #[arg(long, value_name = "USER[:GROUP]", value_parser = identity::parse_owner, hide_short_help = true, help_heading = DESTINATION)]
    pub(super) owner: Option<Owner>,
    /// Mode of the files created; their readers may enter the directories
    #[arg(long, value_name = "OCTAL", value_parser = parse_mode, default_value = "600", hide_short_help = true, help_heading = DESTINATION)]
    pub(super) mode: u32,
    /// Create missing directories above the destination
    ///
    /// They are removed again if nothing is written.
    #[arg(short = 'p', long)]
    pub(super) parents: bool,
    /// Hold the locks of mboxes in use only while each is opened
    ///
    /// What is appended meanwhile is left for the next run.
    #[arg(long, conflicts_with = "exact", hide_short_help = true, help_heading = SOURCE)]
    pub(super) live: bool,
    #[command(flatten)]
    pub(super) tree: TreeArgs,
    #[command(flatten)]
    pub(super) accounts: AccountArgs,
    /// The state of an account after an earlier run, or - if there was none.
    ///
    /// The summary in JSON gets the new one. If it is the same, nothing is done.
    #[arg(long, hide = true)]
    pub(super) fingerprint: Option<String>,
    #[command(flatten)]
    pub(super) open: OpenArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

const MESSAGES: &str = "Messages";
const SOURCE: &str = "Source";
const DESTINATION: &str = "Destination";

/// clap would show the sources and the destination as one list.
const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

Arguments:
  <SOURCE>...    mbox, Maildir or directory with mailboxes; - is standard input
  <DESTINATION>  Maildir, mbox or directory; - is standard output

{all-args}{after-help}";

const SHORT_HELP: &str = "\
Examples:
  mailferry convert -n inbox.mbox ~/Maildir      see what would be done
  mailferry convert ~/Mail ~/Maildir             a tree, folder by folder
  mailferry convert ~/Maildir out.mbox           back";

fn long_help() -> String {
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
  mailferry convert inbox.mbox eml:letters
  mailferry convert --append ~/Maildir/.Old mboxcl2:archive
  mailferry convert --exact ~/Maildir inbox.mbox

{}",
        exit::HELP
    )
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => Err("octal, owner rw, no execute bits, such as 640".to_owned()),
    }
}

fn parse_zone(text: &str) -> Result<jiff::tz::TimeZone, String> {
    // +0100 without the colon is what mail writes.
    let with_colon = match text.as_bytes() {
        [b'+' | b'-', digits @ ..] if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit) => {
            format!("{}:{}", &text[..3], &text[3..])
        }
        _ => text.to_owned(),
    };
    let zone = jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(with_colon).ok();
    let is_of_a_day = |zone: &jiff::tz::TimeZone| match zone.to_fixed_offset() {
        Ok(offset) => offset.seconds().abs() < 24 * 3600,
        Err(_) => true,
    };
    zone.filter(is_of_a_day).ok_or_else(|| match jiff::tz::db().is_definitively_empty() {
        true => "an offset such as +0100, or UTC; this system has no names of zones".to_owned(),
        false => "a name such as Europe/Berlin, an offset such as +0100, or UTC".to_owned(),
    })
}

/// Where the folders of a tree go.
#[derive(Args, Debug)]
pub(super) struct TreeArgs {
    /// Directories of folders: .A.B in the Maildir, or A/B [default: maildir++]
    #[arg(long, value_enum, value_name = "LAYOUT", hide_short_help = true, help_heading = "Trees")]
    pub(super) layout: Option<Layout>,
    #[command(flatten)]
    pub(super) folders: FolderArgs,
    /// File with a source on each line; - is standard input
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = "Trees")]
    pub(super) files_from: Option<PathBuf>,
    /// Names in that file end with a NUL, as find -print0 writes them
    #[arg(short = '0', long, requires = "files_from", hide_short_help = true, help_heading = "Trees")]
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

/// Many accounts in one run.
#[derive(Args, Debug)]
pub(super) struct AccountArgs {
    /// List of accounts to convert, each in a process of its own
    ///
    /// A line has a user, a source, a destination and an owner, with tabs between them, or is a JSON object with these
    /// keys. What a line does not have comes from the command line, where %u is the user and %h the home. - is standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exact", "source", "boundaries", "manifest", "files_from", "report", "append"], hide_short_help = true, help_heading = "Accounts")]
    pub(super) accounts: Option<PathBuf>,
    /// Convert only the accounts of this share: 3/16, or auto in a job array
    ///
    /// With auto, Slurm and Kubernetes say which task this is.
    #[arg(long, value_name = "I/N", requires = "accounts", value_parser = parse_shard, hide_short_help = true, help_heading = "Accounts")]
    pub(super) shard: Option<Shard>,
    /// Directory with a result for each account
    ///
    /// The same command again leaves out accounts that are done and unchanged. Several machines can share it.
    #[arg(
        long,
        value_name = "DIR",
        requires = "accounts",
        hide_short_help = true,
        help_heading = "Accounts"
    )]
    pub(super) results: Option<PathBuf>,
    /// Start no more accounts after more than N have failed
    #[arg(long, value_name = "N", requires = "accounts", value_parser = number(0..=1_000_000_000_u64), hide_short_help = true, help_heading = "Accounts")]
    pub(super) max_failures: Option<u64>,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    match text {
        "auto" => Shard::from_environment(|name| std::env::var(name).ok()),
        text => Shard::parse(text),
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
        let (destination, sources) =
            self.mailboxes.split_last().unwrap_or_else(|| unreachable!("clap requires two"));
        let (sources, mut destination) =
            (MailboxArg::parse_all(sources)?, MailboxArg::parse_destination(destination)?);
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
            Some(Format::Maildir | Format::Eml) => true,
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

    /// Opens the directory of the report, and refuses a report in what the command reads or writes.
    pub(super) fn open_report(&self, writer: ReportWriter, mailboxes: &Mailboxes) -> Result<RunReportFile> {
        let Mailboxes { sources, named, .. } = mailboxes;
        let lists = [&self.manifest, &self.boundaries, &self.tree.files_from];
        let lists = lists.into_iter().flatten().map(PathBuf::as_path);
        writer.open(sources.iter().chain([named]).map(|mailbox| &*mailbox.path).chain(lists))
    }

    pub(super) fn split(&self) -> Option<SplitOptions> {
        self.split.clone().map(|zone| SplitOptions { zone, base: Vec::new() })
    }

    /// Returns the option that makes folders of one mbox.
    pub(super) fn folders_option(&self) -> Option<&'static str> {
        match () {
            () if self.labels.are_folders() => Some("--labels"),
            () if self.split.is_some() => Some("--split"),
            () => None,
        }
    }

    pub(super) fn selection(&self) -> Selection {
        Selection { since: self.since, before: self.before }
    }

    pub(super) fn modes(&self) -> Modes {
        Modes { files: Some(self.mode) }
    }

    pub(super) fn manifest(&self) -> ManifestLocation<'_> {
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
            selection: self.selection(),
            split: self.split(),
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
            uids: UidOptions { policy: self.uids, format: self.uid_format },
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
                () if destination.format == Some(Format::Eml) => OutputMode::Files,
                () if destination.is_standard_stream() => OutputMode::Stream(stdout),
                () if self.append => OutputMode::Append,
                () if self.force => OutputMode::Replace,
                () => OutputMode::New,
            },
            selection: self.selection(),
            split: self.split.clone(),
            eol: self.eol,
            from_zone: self.from_zone.clone(),
            manifest: self.manifest(),
            exported: None,
            fsync: self.fsync,
            sync_group: None,
            modes: self.modes(),
            dry_run: self.dry_run,
            uids: self.uids,
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
