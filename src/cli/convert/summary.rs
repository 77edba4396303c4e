//! The lines at the end of the report of a conversion, for the user to keep.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::ConvertArgs;
use crate::convert::{DateRange, MailStats, Totals, UidCounts, UidFormat};
use crate::mailbox::display_path;
use crate::mailbox::mbox::Variant;
use crate::mailbox::text::{duration, grouped, grouped_plural, human_size, rough_duration, shell_quote};

/// What a conversion wrote, or in a dry run would write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// A Maildir; the number of folders, if they were converted as such.
    Maildir(Option<u64>),
    /// A directory with so many Maildirs.
    Maildirs(u64),
    Mbox(Variant),
    /// A directory with so many mboxes.
    Mboxes(u64),
    /// A directory of files with one message each; the number of folders, if they were converted as such.
    Files(Option<u64>),
    /// An mbox on standard output.
    Stream(Variant),
}

/// The end of a report.
pub(super) struct Summary<'a> {
    pub(super) args: &'a ConvertArgs,
    pub(super) totals: &'a Totals,
    pub(super) written: Written,
    /// The destination as the user named it.
    pub(super) destination: &'a Path,
    /// Bytes that are free at the destination, if that is known.
    pub(super) free: Option<u64>,
    /// Seconds that the run took.
    pub(super) seconds: f64,
    /// Something was reported as an error.
    pub(super) has_errors: bool,
}

impl Summary<'_> {
    /// Returns the lines before that with the next command. The first one has the form that the manual documents.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.sentence()];
        if self.totals.written > 0 {
            lines.push(mail_line(self.totals, self.has_deleted_choice()));
        }
        lines.extend(self.assumptions());
        lines.extend(self.uid_line());
        lines.push(self.destination_line());
        lines
    }

    /// Returns the line with the bytes of the sources by kind.
    pub(super) fn byte_line(&self) -> String {
        let bytes = &self.totals.bytes;
        let terms = [
            (bytes.messages, "messages"),
            (bytes.from_lines, "From_ lines"),
            (bytes.quoting, "quoting"),
            (bytes.separators, "separators"),
            (bytes.junk, "junk"),
        ];
        let terms: Vec<String> = terms.iter().map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
        format!("bytes: {} = {}", grouped(self.totals.bytes_source), terms.join(" + "))
    }

    pub(super) fn sentence(&self) -> String {
        let Totals { messages_found, written, already_present, duplicates, skipped, not_selected, .. } =
            *self.totals;
        let verb = if self.args.dry_run { "would be written" } else { "written" };
        let found = grouped_plural(messages_found, "message");
        let mut sentence = format!("{found} found, {} {verb}", grouped(written));
        for (count, what) in [
            (already_present, "already there"),
            (duplicates, if duplicates == 1 { "duplicate left out" } else { "duplicates left out" }),
            (skipped, "skipped"),
            (not_selected, "not selected"),
        ] {
            if count > 0 {
                sentence.push_str(&format!(", {} {what}", grouped(count)));
            }
        }
        format!("{sentence}; every byte of {} accounted for.", grouped(self.totals.bytes_source))
    }

    /// Reports whether the user could have decided otherwise about messages that are marked as deleted.
    fn has_deleted_choice(&self) -> bool {
        !self.args.given.has("deleted") && self.totals.bytes.from_lines > 0
    }

    fn assumptions(&self) -> Vec<String> {
        let Totals { links, line_ends_changed, written, mail, .. } = *self.totals;
        let mut lines = Vec::new();
        if links > 0 {
            let links = grouped_plural(links, "link");
            lines.push(format!("Messages with several labels are in each of their folders, by {links}."));
        }
        if line_ends_changed > 0 {
            let verb = if line_ends_changed == 1 { "was" } else { "were" };
            lines.push(format!("{} {verb} changed.", grouped_plural(line_ends_changed, "line end")));
        }
        let were = |count: u64| if count == 1 { "was" } else { "were" };
        for (count, what) in [
            (mail.deleted_skipped, "left out (--deleted skip)"),
            (mail.deleted_kept, "kept like any other (--deleted keep)"),
        ] {
            if count > 0 {
                let marked = format!("{} marked as deleted", grouped_plural(count, "message"));
                lines.push(format!("{marked} {} {what}.", were(count)));
            }
        }
        if written > 0 {
            for (count, zone) in [
                (mail.zones_assumed, "taken as UTC (--from-zone names another zone)"),
                (mail.zones_inferred, "dated by the zone that the Received fields show"),
            ] {
                if count > 0 {
                    let dates = format!("{} without a zone", grouped_plural(count, "date"));
                    lines.push(format!("{dates} {} {zone}.", were(count)));
                }
            }
        }
        lines
    }

    /// Says what clients notice.
    fn uid_line(&self) -> Option<String> {
        let UidCounts { kept, changed } = self.totals.uids;
        match (kept, changed) {
            (0, 0) => None,
            // Courier's POP3 server numbers messages by itself.
            (_, 0) if self.args.uid_format == UidFormat::Courier => {
                Some("UIDs kept: IMAP clients download nothing again; POP3 clients do.".to_owned())
            }
            (_, 0) => Some("UIDs kept: IMAP and POP3 clients download nothing again.".to_owned()),
            (kept, changed) => Some(format!(
                "{} kept; clients download {} again.",
                grouped_plural(kept, "UID"),
                grouped_plural(changed, "message")
            )),
        }
    }

    /// Names the destination, its folders, and the time; in a dry run the space and the time that the run will take.
    fn destination_line(&self) -> String {
        let destination = match self.written {
            Written::Stream(_) => "standard output".to_owned(),
            _ => shell_quote(self.destination),
        };
        let kind = match self.written {
            Written::Maildir(None) => "a Maildir".to_owned(),
            Written::Maildir(Some(folders)) => {
                format!("a Maildir with {}", grouped_plural(folders, "folder"))
            }
            Written::Maildirs(count) => format!("a directory with {}", grouped_plural(count, "Maildir")),
            Written::Files(None) => "a directory of .eml files".to_owned(),
            Written::Files(Some(folders)) => {
                format!("a directory of .eml files in {}", grouped_plural(folders, "folder"))
            }
            Written::Mboxes(1) => "a directory with 1 mbox".to_owned(),
            Written::Mboxes(count) => format!("a directory with {} mboxes", grouped(count)),
            Written::Mbox(variant) | Written::Stream(variant) => format!("an mbox ({variant})"),
        };
        if !self.args.dry_run {
            return format!("{destination} is {kind}; done in {}.", duration(self.seconds));
        }
        let free = self.free.map(|free| format!(" ({} are free)", human_size(free))).unwrap_or_default();
        let needed = human_size(self.totals.bytes_needed);
        let time = rough_duration(self.estimate());
        format!("{destination} would be {kind}; that needs {needed}{free} and {time}.")
    }

    /// Estimates the seconds that a run takes: those of this dry run, and those of writing to a local disk.
    pub(super) fn estimate(&self) -> f64 {
        const SECONDS_PER_FILE: f64 = 30e-6;
        const SECONDS_PER_BYTE: f64 = 4e-9;
        let files = self.totals.written as f64;
        self.seconds + files * SECONDS_PER_FILE + self.totals.bytes_needed as f64 * SECONDS_PER_BYTE
    }

    /// Names the command that comes next.
    pub(super) fn next_line(&self) -> Option<String> {
        if self.has_errors {
            let again = "See the errors above; the same command again writes only what is missing.";
            return Some(again.to_owned());
        }
        if self.args.dry_run {
            return Some(format!("Do it: {}", command_line(std::env::args_os(), is_dry_run)));
        }
        self.proof().map(|command| format!("Check it any time: {command}"))
    }

    /// Returns the command that checks the conversion later.
    pub(super) fn proof(&self) -> Option<String> {
        let destination = shell_quote(self.destination);
        let against = || {
            let sources = self.args.mailboxes.split_last()?.1;
            let is_stdin = sources.iter().any(|source| source == "-");
            let sources: Vec<String> = sources.iter().map(|source| shell_quote(Path::new(source))).collect();
            let split = if self.args.split.is_some() { " --split year" } else { "" };
            let command = || format!("mailferry verify {} --against {destination}{split}", sources.join(" "));
            (!is_stdin).then(command)
        };
        match self.written {
            Written::Stream(_) => None,
            // The mbox has other mail too.
            Written::Mbox(_) if self.args.append => None,
            Written::Maildir(_) | Written::Maildirs(_) if !self.args.no_manifest => {
                Some(format!("mailferry verify {destination}"))
            }
            _ => against(),
        }
    }

    /// Returns the keys of the summary in JSON.
    pub(super) fn json(&self) -> Map<String, Value> {
        let Totals { mail, written, bytes_needed, .. } = *self.totals;
        let time = |date: fn(DateRange) -> i64| {
            mail.dates.and_then(|dates| Timestamp::from_second(date(dates)).ok()).map(|time| time.to_string())
        };
        let keys = json!({
            "destination": display_path(self.destination),
            "read": mail.read,
            "unread": written - mail.read,
            "flagged": mail.flagged,
            "deleted": mail.trashed,
            "oldest": time(|dates| dates.first),
            "newest": time(|dates| dates.last),
            "zones_assumed": mail.zones_assumed,
            "zones_inferred": mail.zones_inferred,
        });
        let dry_run = json!({
            "bytes_needed": bytes_needed,
            "bytes_free": self.free,
            "seconds_estimated": (self.estimate() * 10.0).ceil() / 10.0,
        });
        let all = [Some(keys), self.args.dry_run.then_some(dry_run)];
        let all = all.into_iter().flatten().filter_map(|keys| keys.as_object().cloned());
        all.flatten().collect()
    }
}

/// Returns the line with the flags and the dates of what was written.
fn mail_line(totals: &Totals, has_choice: bool) -> String {
    let MailStats { read, flagged, trashed, dates, .. } = totals.mail;
    let mut line = format!("{} read, {} unread", grouped(read), grouped(totals.written - read));
    if flagged > 0 {
        line.push_str(&format!(", {} flagged", grouped(flagged)));
    }
    if trashed > 0 {
        let choice = if has_choice { " (--deleted skip leaves them out)" } else { "" };
        line.push_str(&format!(", {} deleted{choice}", grouped(trashed)));
    }
    if let Some(DateRange { first, last }) = dates {
        let (first, last) = (day(first), day(last));
        line.push_str(&match first == last {
            true => format!("; {first}"),
            false => format!("; {first} to {last}"),
        });
    }
    line + "."
}

/// Formats a day in the time zone of the user.
fn day(epoch: i64) -> String {
    let time = Timestamp::from_second(epoch).map(|time| TimeZone::system().to_datetime(time));
    time.map_or_else(|_| epoch.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// Returns a command line without the words of which `is_left_out` leaves nothing.
fn command_line(
    words: impl Iterator<Item = OsString>,
    without: impl Fn(&OsStr) -> Option<OsString>,
) -> String {
    let words = words.skip(1).filter_map(|word| without(&word));
    let words: Vec<String> = words.map(|word| shell_quote_option(&word)).collect();
    format!("mailferry {}", words.join(" "))
}

/// Quotes a word that may be an option, which a path never is.
fn shell_quote_option(word: &OsStr) -> String {
    match word.to_str() {
        Some(option) if option.starts_with('-') || option.contains(':') => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,=:@".contains(c);
            match option.chars().all(is_plain) {
                true => option.to_owned(),
                false => format!("'{}'", option.replace('\'', r"'\''")),
            }
        }
        _ => shell_quote(Path::new(word)),
    }
}

/// Takes the option for a dry run out of a word.
fn is_dry_run(word: &OsStr) -> Option<OsString> {
    let Some(text) = word.to_str() else { return Some(word.to_owned()) };
    if text == "--dry-run" {
        return None;
    }
    let is_cluster = text.len() > 1
        && text
            .strip_prefix('-')
            .is_some_and(|letters| letters.chars().all(|letter| "nqv0".contains(letter)));
    match is_cluster {
        true => Some(text.replace('n', "")).filter(|left| left != "-").map(OsString::from),
        false => Some(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_a_dry_run_is_printed_without_its_option() {
        for (words, expected) in [
            (&["convert", "-n", "a b", "mbox:out"][..], "mailferry convert 'a b' mbox:out"),
            (&["convert", "-vn", "--into=Old Mail", "a", "b"], "mailferry convert -v '--into=Old Mail' a b"),
            (&["convert", "--dry-run", "-", "b"], "mailferry convert - b"),
        ] {
            let words = ["/usr/bin/mailferry"].iter().chain(words).map(OsString::from);
            assert_eq!(command_line(words, is_dry_run), expected);
        }
    }
}
