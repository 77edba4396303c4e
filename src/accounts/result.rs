//! The result of an account: what became of its last conversion, in a file of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the conversion of an account ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Exit code 0: all of its mail is there.
    Done,
    /// Exit code 1: it was finished, but mail was skipped, damaged or different.
    Flawed,
    /// Another exit code, or a signal.
    Failed,
    /// Exit code 4.
    Interrupted,
}

/// What became of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccountResult {
    /// Always `account`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The name in the list, escaped where it is not UTF-8.
    pub(crate) user: String,
    pub(crate) sources: Vec<String>,
    pub(crate) destination: String,
    pub(crate) owner: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) exit: Option<u8>,
    /// The signal that ended the process.
    pub(crate) signal: Option<i32>,
    /// The same command can succeed later without intervention.
    pub(crate) retry: bool,
    pub(crate) host: String,
    pub(crate) version: String,
    /// RFC 3339, in UTC.
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) seconds: f64,
    /// BLAKE3 of the account's sources, destination and owner, and of the options that decide what is written.
    pub(crate) command_hash: String,
    /// BLAKE3 of the names, sizes and times of the sources' files, before they were read.
    pub(crate) fingerprint: Option<String>,
    pub(crate) manifest: Option<ManifestHash>,
    /// How many findings there were of each code.
    pub(crate) findings: BTreeMap<String, u64>,
    /// The messages of the first errors.
    pub(crate) errors: Vec<String>,
    /// The last line of the conversion in JSON.
    pub(crate) summary: Option<Map<String, Value>>,
}

impl AccountResult {
    /// Parses the content of a file. Keys of later versions are left out.
    ///
    /// # Errors
    /// What is wrong, as a phrase.
    pub(crate) fn parse(text: &[u8]) -> Result<AccountResult, String> {
        let describe = |error: serde_json::Error| match error.is_eof() {
            true => "it is cut off".to_owned(),
            false => format!("it is no result of an account: {error}"),
        };
        let result: AccountResult = serde_json::from_slice(text).map_err(describe)?;
        match &*result.kind {
            "account" => Ok(result),
            kind => Err(format!("it is of the type {kind}, and no result of an account")),
        }
    }

    /// Returns the content of its file.
    pub(crate) fn to_line(&self) -> String {
        let text = serde_json::to_string(self);
        text.unwrap_or_else(|e| unreachable!("all keys are strings: {e}")) + "\n"
    }
}

/// A manifest and its BLAKE3 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestHash {
    pub(crate) path: String,
    pub(crate) blake3: String,
}
