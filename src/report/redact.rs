//! A report without names, addresses, subjects, hosts and lines of mail, for people who may not see them.
//!
//! Codes, counts, offsets, dates and hashes stay.

use std::collections::BTreeMap;

use super::{FindingRow, RunReport};
use crate::mailbox::Code;

/// Numbers for names. The same name has the same number everywhere in a report.
struct Numbers {
    noun: &'static str,
    known: BTreeMap<String, usize>,
}

impl Numbers {
    fn new(noun: &'static str) -> Numbers {
        Numbers { noun, known: BTreeMap::new() }
    }

    /// Returns the number of a name with its noun, as `folder 3`.
    fn of(&mut self, name: &str) -> String {
        let next = self.known.len() + 1;
        let number = *self.known.entry(name.to_owned()).or_insert(next);
        format!("{} {number}", self.noun)
    }
}

/// The names of the files of a run.
struct Files {
    sources: Numbers,
    others: Numbers,
}

impl Files {
    /// Returns `source 2` for a source, `source 2, file 7` for a file in it, and `file 7` for another.
    fn of(&mut self, path: &str) -> String {
        // The longest path that contains this one ends at a slash, or at the end of an archive's name.
        let ends = path.char_indices().rev().filter(|(_, c)| "/!".contains(*c)).map(|(at, _)| at);
        let source = std::iter::once(path.len())
            .chain(ends)
            .find(|&end| self.sources.known.contains_key(&path[..end]));
        match source {
            Some(end) if end == path.len() => self.sources.of(path),
            Some(end) => format!("{}, {}", self.sources.of(&path[..end]), self.others.of(path)),
            None => self.others.of(path),
        }
    }
}

impl RunReport {
    /// Leaves out the names and the mail of the user.
    pub(crate) fn redact(&mut self) {
        let mut files = Files { sources: Numbers::new("source"), others: Numbers::new("file") };
        let mut folders = Numbers::new("folder");
        let mut manifests = Numbers::new("manifest");
        self.redacted = true;
        self.host.clear();
        self.command_line.clear();
        // The sentence and the command name mailboxes.
        self.verdict.clear();
        self.proof = None;
        self.destination = self.destination.take().map(|_| "destination".to_owned());
        for source in &mut self.sources {
            source.path = files.sources.of(&source.path);
        }
        for row in self.folders.iter_mut().filter(|row| row.folder != "INBOX") {
            row.folder = folders.of(&row.folder);
        }
        for line in &mut self.doubtful {
            line.path = files.of(&line.path);
            line.line.clear();
            line.before.clear();
            line.after.clear();
        }
        for row in &mut self.findings {
            row.redact();
            for example in &mut row.examples {
                example.path = example.path.take().map(|path| files.of(&path));
                // It may quote mail or name a file.
                example.message.clear();
            }
        }
        for message in &mut self.largest {
            message.path = files.of(&message.path);
            message.from.clear();
            message.subject.clear();
        }
        for row in &mut self.manifests {
            row.path = manifests.of(&row.path);
        }
    }
}

impl FindingRow {
    /// Replaces the remedy, which may be a command with a name, by that of the manual.
    fn redact(&mut self) {
        let code = Code::ALL.iter().find(|code| code.name() == self.code);
        self.remedy = code.and_then(|code| code.advice().hint());
    }
}
