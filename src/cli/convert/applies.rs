//! The table of options: which jobs take each of them.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};

use crate::mailbox::{Error, Result};

/// A set of jobs.
pub(super) type Jobs = u16;

/// mboxes into a Maildir.
pub(super) const IMPORT: Jobs = 1;
/// A Maildir into another one.
pub(super) const COPY: Jobs = 1 << 1;
/// mboxes into an mbox. With Maildirs among them it is both kinds of export.
pub(super) const EXPORT_MBOX: Jobs = 1 << 2;
/// Maildirs into an mbox.
pub(super) const EXPORT_MAILDIR: Jobs = 1 << 3;
/// An export to standard output.
pub(super) const STREAM: Jobs = 1 << 4;
/// `--exact`.
pub(super) const RESTORE: Jobs = 1 << 5;
/// A tree into Maildirs.
pub(super) const TREE_IMPORT: Jobs = 1 << 6;
/// A tree of nothing but Maildirs, into Maildirs.
pub(super) const TREE_COPY: Jobs = 1 << 7;
/// A tree into mboxes.
pub(super) const TREE_EXPORT: Jobs = 1 << 8;
/// Any tree.
pub(super) const TREE: Jobs = TREE_IMPORT | TREE_COPY | TREE_EXPORT;

const TO_MAILDIR: Jobs = IMPORT | COPY | TREE_IMPORT | TREE_COPY;
const TO_MBOX_FILE: Jobs = EXPORT_MBOX | EXPORT_MAILDIR | TREE_EXPORT;
const TO_MBOX: Jobs = TO_MBOX_FILE | STREAM;
const TO_FILES: Jobs = TO_MAILDIR | TO_MBOX_FILE;
const PLANNED: Jobs = IMPORT | TREE_IMPORT;
const FROM_MBOX: Jobs = PLANNED | EXPORT_MBOX | STREAM | TREE_EXPORT;

/// The jobs that take each option. One without a row is for all of them.
const TAKEN_BY: &[(&str, Jobs)] = &[
    ("dry_run", TO_MAILDIR | TO_MBOX),
    ("fsync", TO_FILES),
    ("eol", PLANNED | TO_MBOX),
    ("labels", PLANNED),
    ("deleted", PLANNED),
    ("headers", PLANNED),
    ("date", PLANNED),
    ("from_zone", FROM_MBOX),
    ("host", TO_MAILDIR),
    ("info_sep", TO_MAILDIR),
    ("boundaries", IMPORT | EXPORT_MBOX | STREAM),
    ("dedupe", PLANNED),
    ("since", TO_MAILDIR | TO_MBOX),
    ("before", TO_MAILDIR | TO_MBOX),
    ("split", IMPORT | COPY | TREE),
    ("new_source", PLANNED),
    ("manifest", IMPORT | COPY | EXPORT_MAILDIR | STREAM | RESTORE),
    ("no_manifest", TO_MAILDIR | EXPORT_MAILDIR | TREE_EXPORT | STREAM),
    ("source", RESTORE),
    ("force", TO_MBOX_FILE | RESTORE),
    ("append", TO_MBOX_FILE),
    ("uids", TO_MAILDIR | TO_MBOX),
    ("uid_format", TO_MAILDIR),
    ("owner", TO_FILES),
    ("parents", TO_FILES | RESTORE),
    ("mode", TO_FILES),
    ("live", FROM_MBOX),
    ("layout", TO_MAILDIR),
    ("into", TREE),
    ("map", TREE),
    ("follow", TREE),
    ("lock", FROM_MBOX | EXPORT_MAILDIR | TREE_COPY),
    ("lock_timeout", TO_MAILDIR | TO_MBOX),
    ("spool_dir", FROM_MBOX | TREE_COPY),
    ("spool_limit", FROM_MBOX | TREE_COPY),
];

/// The others: what every job takes.
#[cfg(test)]
const FOR_ALL: [&str; 18] = [
    "mailboxes",
    "accounts",
    "shard",
    "results",
    "max_failures",
    "fingerprint",
    "exact",
    "files_from",
    "null",
    "json",
    "quiet",
    "verbose",
    "strict",
    "color",
    "progress",
    "jobs",
    "report",
    "redact",
];

/// The options on the command line, as opposed to those that have their defaults.
#[derive(Debug, Default)]
pub(super) struct GivenOptions(Vec<GivenOption>);

#[derive(Debug)]
struct GivenOption {
    id: String,
    values: Vec<OsString>,
}

impl FromArgMatches for GivenOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<GivenOptions, clap::Error> {
        let ids = matches.ids().map(|id| id.as_str());
        let given = ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
        let values = |id| matches.get_raw(id).into_iter().flatten().map(OsStr::to_owned).collect();
        let given = given.map(|id| GivenOption { id: id.to_owned(), values: values(id) });
        Ok(GivenOptions(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = GivenOptions::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for GivenOptions {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl GivenOptions {
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|given| given.id == id)
    }

    /// Returns the words of the options that `is_taken` by their ids, each as one word.
    pub(super) fn words(&self, command: &Command, is_taken: impl Fn(&str) -> bool) -> Vec<OsString> {
        let mut words = Vec::new();
        for GivenOption { id, values } in self.0.iter().filter(|given| is_taken(&given.id)) {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id.as_str());
            let Some((arg, long)) = arg.and_then(|arg| Some((arg, arg.get_long()?))) else { continue };
            match arg.get_action().takes_values() {
                false => words.push(format!("--{long}").into()),
                true => words.extend(values.iter().map(|value| {
                    let mut word = OsString::from(format!("--{long}="));
                    word.push(value);
                    word
                })),
            }
        }
        words
    }

    /// Refuses an option that none of `jobs` takes.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(super) fn check(&self, jobs: Jobs) -> Result<()> {
        let refused = |(id, taken): &&(&str, Jobs)| taken & jobs == 0 && self.has(id);
        match TAKEN_BY.iter().find(refused) {
            None => Ok(()),
            Some((id, taken)) => {
                Err(Error::usage(format!("--{}", id.replace('_', "-")), reason(id, *taken, jobs)))
            }
        }
    }
}

/// Says why an option that is for the jobs `taken` is not for `jobs`.
fn reason(id: &str, taken: Jobs, jobs: Jobs) -> &'static str {
    match (id, jobs) {
        _ if taken == RESTORE => "is for --exact",
        (_, RESTORE) => "cannot be used with --exact, which restores the bytes that were converted",
        (_, STREAM) => "is for a file, and the destination is standard output",
        ("manifest", TREE) => "is not for folders: each folder keeps its own; convert that mailbox by itself",
        ("split", _) => "writes an mbox for each year; name a directory, as mbox:DIR/",
        ("boundaries", TREE) => "is not for folders: it is for one mbox; convert that mailbox by itself",
        _ if jobs & TO_MAILDIR != 0 && taken & TO_MAILDIR == 0 => {
            "is for an mbox; a Maildir is only added to"
        }
        _ if jobs & TO_MAILDIR != 0 => "is for an mbox as the source; a Maildir is copied as it is",
        _ if taken & TO_MBOX == 0 => "is for what goes into a Maildir, not into an mbox",
        (_, EXPORT_MAILDIR) => "is for an mbox as the source",
        _ => "is for a Maildir as the source",
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::super::args::ConvertArgs;
    use super::*;

    fn given(options: &[(&str, &[&str])]) -> GivenOptions {
        let option = |(id, values): &(&str, &[&str])| GivenOption {
            id: (*id).to_owned(),
            values: values.iter().map(OsString::from).collect(),
        };
        GivenOptions(options.iter().map(option).collect())
    }

    #[test]
    fn the_words_of_options_are_those_that_were_given() {
        let command = ConvertArgs::augment_args(Command::new("convert"));
        let words = ["convert", "-qp", "--map", "a=b", "--map=c=d", "--from-zone=+0100", "x", "y"];
        let matches = command.clone().get_matches_from(words);
        let given = GivenOptions::from_arg_matches(&matches).unwrap();
        let words = given.words(&command, |id| id != "quiet");
        assert_eq!(words, ["--parents", "--map=a=b", "--map=c=d", "--from-zone=+0100"]);
    }

    #[test]
    fn every_option_has_a_row() {
        let command = ConvertArgs::augment_args(Command::new("convert"));
        let mut ids: Vec<_> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
        let mut rows: Vec<_> = TAKEN_BY.iter().map(|(id, _)| *id).chain(FOR_ALL).collect();
        ids.sort_unstable();
        rows.sort_unstable();
        assert_eq!(ids, rows);
    }

    #[test]
    fn an_option_that_does_not_apply_is_named_first() {
        let refused = |id: &str, jobs| given(&[(id, &[])]).check(jobs).map_err(|e| e.to_string());
        assert_eq!(refused("append", EXPORT_MBOX), Ok(()));
        assert_eq!(refused("manifest", EXPORT_MBOX | EXPORT_MAILDIR), Ok(()));
        for (id, jobs, words) in [
            ("append", IMPORT, "--append: is for an mbox;"),
            ("info_sep", EXPORT_MBOX, "--info-sep: is for what goes into a Maildir"),
            ("eol", COPY, "--eol: is for an mbox as the source;"),
            ("eol", RESTORE, "--eol: cannot be used with --exact"),
            ("owner", STREAM, "--owner: is for a file"),
            ("manifest", TREE, "--manifest: is not for folders: each"),
            ("layout", TREE_EXPORT, "--layout: is for what goes into a Maildir"),
            ("boundaries", EXPORT_MAILDIR, "--boundaries: is for an mbox as the source"),
        ] {
            assert!(refused(id, jobs).unwrap_err().starts_with(words), "{:?}", refused(id, jobs));
        }
    }
}
