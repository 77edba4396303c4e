//! Arguments of `mailferry inspect`, and whether they go together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::Args;

use crate::cli::args::{CommonArgs, number};
use crate::cli::mailbox_arg::MailboxArg;
use crate::cli::open::OpenArgs;
use crate::cli::sandbox::SandboxArgs;
use crate::cli::ui::exit;
use crate::inspect::{GroupBy, MessageRange};
use crate::mailbox::fs::files;
use crate::mailbox::{Error, Result, display_path};

/// Show what is in a mailbox, and why each message begins where it does
///
/// Without a number, list the messages: number, byte offset or file, length, received date and its
/// origin, flags, From, Subject, Message-ID, separated by tabs; a table on a terminal. A directory is
/// listed by mailbox.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct InspectArgs {
    /// An mbox, a Maildir, a directory of mailboxes, - for standard input, or FILE:LINE
    pub(super) mailbox: OsString,
    /// Write message N, or messages N to M, raw
    #[arg(value_name = "N[-M]")]
    pub(super) messages: Option<MessageRange>,
    /// With N: its bytes as in the mbox, with From_ line and quoting
    // In convert and verify, --source is a mailbox that was converted.
    #[arg(long = "stored", alias = "source", requires = "messages")]
    pub(super) source: bool,
    /// Print every line that could begin a message, and the decision about it
    #[arg(long, conflicts_with = "messages")]
    pub(super) boundaries: bool,
    /// Count messages, bytes, unread and flagged messages
    #[arg(long, conflicts_with_all = ["messages", "boundaries"], help_heading = "Counts")]
    pub(super) stats: bool,
    /// Group the counts; default: year
    #[arg(long, value_enum, value_name = "GROUP", requires = "stats", help_heading = "Counts")]
    pub(super) by: Option<GroupBy>,
    /// Show only the N largest groups
    #[arg(long, value_name = "N", value_parser = number(1..=1_000_000_usize), requires = "stats", help_heading = "Counts")]
    pub(super) top: Option<usize>,
    /// Show how many messages other readers see, and at which lines they differ
    #[arg(long, conflicts_with_all = ["messages", "boundaries", "stats"], help_heading = "Counts")]
    pub(super) second_opinion: bool,
    #[command(flatten)]
    pub(super) open: OpenArgs,
    #[command(flatten)]
    pub(super) sandbox: SandboxArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

fn help() -> String {
    format!(
        "\
Examples:
  mailferry inspect inbox.mbox
  mailferry inspect inbox.mbox 17 | less
  mailferry inspect inbox.mbox:1234
  mailferry inspect --stats --by sender --top 10 ~/Maildir
  mailferry inspect --boundaries inbox.mbox > list

{}",
        exit::HELP
    )
}

/// Parses the argument: a mailbox, or a file and a line in it as findings name them.
pub(super) fn parse_target(arg: &OsStr) -> Result<(MailboxArg, Option<u64>)> {
    if let Some((file, line)) = split_line(arg.as_bytes()).filter(|_| !files::exists(Path::new(arg)))
        && let Ok(mailbox) = MailboxArg::parse(OsStr::from_bytes(file))
        && files::exists(&mailbox.path)
        && !files::is_dir(&mailbox.path)
    {
        return Ok((mailbox, Some(line)));
    }
    Ok((MailboxArg::parse(arg)?, None))
}

/// Splits `FILE:LINE`.
fn split_line(arg: &[u8]) -> Option<(&[u8], u64)> {
    let colon = arg.iter().rposition(|&b| b == b':')?;
    let line = std::str::from_utf8(&arg[colon + 1..]).ok()?;
    let is_number = !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit());
    Some((&arg[..colon], line.parse().ok().filter(|_| is_number)?))
}

/// Checks that the options apply to the mailbox.
pub(super) fn check_options(args: &InspectArgs, mailbox: &MailboxArg, has_line: bool) -> Result<()> {
    let options = [
        (args.boundaries, "--boundaries"),
        (args.source, "--stored"),
        (args.second_opinion, "--second-opinion"),
        (args.messages.is_some(), "N"),
        (args.stats, "--stats"),
    ];
    let used = |names: &[&str]| options.iter().find(|(is_used, name)| *is_used && names.contains(name));
    let path = display_path(&mailbox.path);
    let for_mbox = ["--boundaries", "--stored", "--second-opinion"];
    if mailbox.is_tree()? {
        return match used(&[&for_mbox[..], &["N"]].concat()) {
            Some((_, option)) => Err(Error::usage(
                *option,
                format!("is for one mailbox, and {path} is a directory of mailboxes"),
            )),
            None => Ok(()),
        };
    }
    if mailbox.is_maildir()?
        && let Some((_, option)) = used(&for_mbox)
    {
        return Err(Error::usage(*option, format!("is for an mbox, and {path} is a Maildir")));
    }
    match options.iter().find(|(is_used, _)| *is_used && has_line) {
        Some((_, option)) => Err(Error::usage(*option, "is for a mailbox, and FILE:LINE names a line")),
        None => Ok(()),
    }
}
