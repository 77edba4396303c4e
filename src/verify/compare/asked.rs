//! Changes that a conversion made on request, as the manifests say.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::mailbox::manifest::{ManifestLocation, SectionHeader};
use crate::mailbox::message::{DeletedPolicy, LabelPolicy};
use crate::mailbox::message::{Eol, Headers};

/// Changes that conversions made on request.
#[derive(Debug, Default)]
pub(crate) struct AskedChanges {
    /// The policy for a user's own Gmail labels.
    pub labels: LabelPolicy,
    /// The policy for messages that are marked as deleted.
    pub deleted: DeletedPolicy,
    /// [`Headers::Strip`] if fields that readers rewrite were removed; they are not compared then.
    pub headers: Headers,
    /// The line ends that were written.
    eol: Eol,
    /// Maildirs in which all messages have these line ends.
    maildirs: HashSet<PathBuf>,
}

impl AskedChanges {
    /// Reads the manifests of these Maildirs. An unreadable manifest is skipped: verify without --against reports its
    /// damage.
    pub(crate) fn read<'a>(maildirs: impl Iterator<Item = &'a Path>) -> AskedChanges {
        let manifests = maildirs.filter_map(|maildir| {
            let manifest = ManifestLocation::InMaildir.read(maildir).ok()??;
            Some((maildir, manifest.headers()))
        });
        let manifests: Vec<(&Path, Vec<SectionHeader>)> = manifests.collect();
        let headers: Vec<&SectionHeader> = manifests.iter().flat_map(|(_, headers)| headers).collect();
        // The policy of the conversion if all manifests agree, or else the default of convert.
        let same = |word: fn(&SectionHeader) -> Option<&str>| {
            let first = headers.first().and_then(|header| word(header));
            first.filter(|_| headers.iter().all(|header| word(header) == first))
        };
        let eols: BTreeSet<&str> =
            headers.iter().map(|header| &*header.eol).filter(|eol| *eol != "keep").collect();
        let eol = match eols.iter().copied().collect::<Vec<_>>()[..] {
            [] => Eol::Keep,
            ["crlf"] => Eol::Crlf,
            // Where conversions differ, both sides are compared with LF.
            _ => Eol::Lf,
        };
        let has_eol = |headers: &Vec<SectionHeader>| {
            !headers.is_empty() && headers.iter().all(|header| header.eol == eol.name())
        };
        let maildirs =
            manifests.iter().filter(|(_, headers)| has_eol(headers)).map(|(path, _)| path.to_path_buf());
        AskedChanges {
            labels: match same(|header| header.labels.as_deref()) {
                Some("ignore") => LabelPolicy::Ignore,
                Some("folders") => LabelPolicy::Folders,
                Some("first") => LabelPolicy::First,
                _ => LabelPolicy::Keywords,
            },
            deleted: match same(|header| header.deleted.as_deref()) {
                Some("keep") => DeletedPolicy::Keep,
                Some("skip") => DeletedPolicy::Skip,
                _ => DeletedPolicy::Flag,
            },
            headers: match headers.iter().any(|header| header.headers.as_deref() == Some("strip")) {
                true => Headers::Strip,
                false => Headers::Keep,
            },
            eol,
            maildirs: maildirs.collect(),
        }
    }

    /// Returns the line ends to give to the messages of a Maildir, so that both sides have the same.
    pub(super) fn eol_of_maildir(&self, maildir: &Path) -> Eol {
        if self.maildirs.contains(maildir) { Eol::Keep } else { self.eol }
    }

    /// Returns the line ends to give to the messages of a source.
    pub(super) fn eol_of_source(&self) -> Eol {
        self.eol
    }

    /// Returns the options that changed bytes.
    pub(super) fn options(&self) -> &'static str {
        match (self.eol, self.headers) {
            (Eol::Keep, _) => "--headers",
            (_, Headers::Keep) => "--eol",
            (_, Headers::Strip) => "--eol and --headers",
        }
    }
}
