//! qmail's control files, as far as they complete addresses.

use std::io::ErrorKind;
use std::path::Path;

use super::Domains;
use crate::mailbox::{Error, Result};

/// The first lines of the control files; `None` for missing files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ControlFiles {
    /// The name of this machine, the default for the others.
    pub(crate) me: Option<Vec<u8>>,
    /// `defaulthost`.
    pub(crate) default_host: Option<Vec<u8>>,
    /// `defaultdomain`.
    pub(crate) default_domain: Option<Vec<u8>>,
    /// `plusdomain`.
    pub(crate) plus_domain: Option<Vec<u8>>,
    /// `idhost`.
    pub(crate) id_host: Option<Vec<u8>>,
}

impl ControlFiles {
    /// Reads the files in `directory`.
    pub(crate) fn read(directory: &Path) -> Result<ControlFiles> {
        let line = |name: &str| first_line(&directory.join(name));
        Ok(ControlFiles {
            me: line("me")?,
            default_host: line("defaulthost")?,
            default_domain: line("defaultdomain")?,
            plus_domain: line("plusdomain")?,
            id_host: line("idhost")?,
        })
    }

    /// Applies qmail-inject's defaults: `me`, or else the name of the missing file.
    pub(crate) fn into_qmail_domains(self) -> Domains {
        let or_me = |line: Option<Vec<u8>>, name: &[u8]| {
            line.or_else(|| self.me.clone()).unwrap_or_else(|| name.to_vec())
        };
        Domains {
            default_host: or_me(self.default_host, b"defaulthost"),
            default_domain: Some(or_me(self.default_domain, b"defaultdomain")),
            plus_domain: Some(or_me(self.plus_domain, b"plusdomain")),
            id_host: or_me(self.id_host, b"idhost"),
        }
    }

    /// Applies defaults from `me`, or else from `host`, the name of this machine.
    ///
    /// The default domain is what follows the first dot of `host`. A host without a dot has none.
    pub(crate) fn into_domains_for_host(self, host: &[u8]) -> Domains {
        let domain = match &self.me {
            Some(me) => Some(me.clone()),
            None => memchr::memchr(b'.', host).map(|dot| host[dot + 1..].to_vec()),
        };
        let me = self.me.unwrap_or_else(|| host.to_vec());
        Domains {
            default_host: self.default_host.unwrap_or_else(|| me.clone()),
            default_domain: self.default_domain.or_else(|| domain.clone()),
            plus_domain: self.plus_domain.or(domain),
            id_host: self.id_host.unwrap_or(me),
        }
    }
}

fn first_line(path: &Path) -> Result<Option<Vec<u8>>> {
    let text = read_if_exists(path)?;
    let line = |text: Vec<u8>| {
        let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
        trim_end_blanks(line).to_vec()
    };
    Ok(text.map(line))
}

/// Reads a list of entries, one per line. Blank lines and lines that start with `#` are skipped, and a missing file is
/// an empty list.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = read_if_exists(path)?.unwrap_or_default();
    let lines = text.split(|&b| b == b'\n').map(trim_end_blanks);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(<[u8]>::to_vec).collect())
}

fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(Error::io("read", path)),
    }
}

/// Removes blanks at the end. Those at the start count, as in qmail.
fn trim_end_blanks(line: &[u8]) -> &[u8] {
    let length = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |last| last + 1);
    &line[..length]
}
