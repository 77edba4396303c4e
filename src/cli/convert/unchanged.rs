//! Whether an account is as an earlier run left it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::Mailboxes;
use crate::mailbox::fs::files;
use crate::mailbox::fs::fingerprint::fingerprint;
use crate::mailbox::manifest::FILE_NAME;
use crate::mailbox::{Cancel, Result, display_path};

/// The sources of an account, before they are read, and its destination.
pub(super) struct AccountState<'a> {
    /// The hash of the sources.
    sources: blake3::Hash,
    destination: &'a Path,
}

impl AccountState<'_> {
    pub(super) fn read<'a>(
        mailboxes: &'a Mailboxes,
        follow: bool,
        cancel: &Cancel,
    ) -> Result<AccountState<'a>> {
        let mut hasher = blake3::Hasher::new();
        for source in &mailboxes.sources {
            hasher.update(fingerprint(&source.path, follow, cancel)?.as_bytes());
        }
        Ok(AccountState { sources: hasher.finalize(), destination: &mailboxes.destination.path })
    }

    /// Returns the hash over the sources as they were, and the destination's manifest as it is now. A destination without
    /// one is only there or not.
    pub(super) fn fingerprint(&self) -> String {
        let manifest = fingerprint(&self.manifest(), false, Cancel::never()).ok();
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.sources.as_bytes());
        hasher.update(manifest.as_ref().map_or(&[], |hash| hash.as_bytes()));
        hasher.update(&[u8::from(files::exists(self.destination))]);
        hasher.finalize().to_hex().to_string()
    }

    fn manifest(&self) -> PathBuf {
        self.destination.join(FILE_NAME)
    }

    /// Returns the keys of the summary in JSON.
    pub(super) fn keys(&self) -> Value {
        let path = self.manifest();
        let hash = || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(files::open(&path).ok()?).ok()?;
            Some(json!({ "path": display_path(&path), "blake3": hasher.finalize().to_hex().to_string() }))
        };
        json!({ "fingerprint": self.fingerprint(), "manifest": hash() })
    }
}
