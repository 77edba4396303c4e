//! qmail's control files, as far as they say what addresses are completed with.

use std::io::ErrorKind;
use std::path::Path;

use super::Domains;
use crate::mailbox::error::{Error, Result};

/// What the files say, and None for those that are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// `me`: the name of this machine, from which the others follow.
    pub me: Option<Vec<u8>>,
    /// `defaulthost`.
    pub default_host: Option<Vec<u8>>,
    /// `defaultdomain`.
    pub default_domain: Option<Vec<u8>>,
    /// `plusdomain`.
    pub plus_domain: Option<Vec<u8>>,
    /// `idhost`.
    pub id_host: Option<Vec<u8>>,
}

impl Control {
    /// Reads them in this directory.
    pub fn read(directory: &Path) -> Result<Control> {
        let line = |name: &str| first_line(&directory.join(name));
        Ok(Control {
            me: line("me")?,
            default_host: line("defaulthost")?,
            default_domain: line("defaultdomain")?,
            plus_domain: line("plusdomain")?,
            id_host: line("idhost")?,
        })
    }

    /// As qmail-inject: where neither they nor `me` say it, each is its own name.
    pub fn as_qmail(self) -> Domains {
        let or_me = |said: Option<Vec<u8>>, name: &[u8]| {
            said.or_else(|| self.me.clone()).unwrap_or_else(|| name.to_vec())
        };
        Domains {
            default_host: or_me(self.default_host, b"defaulthost"),
            default_domain: Some(or_me(self.default_domain, b"defaultdomain")),
            plus_domain: Some(or_me(self.plus_domain, b"plusdomain")),
            id_host: or_me(self.id_host, b"idhost"),
        }
    }

    /// Where `me` does not say it, this host's name does: all of it is the default host, and what follows its
    /// first dot the default domain. Of a name without a dot no domain is made up.
    pub fn or_host(self, host: &[u8]) -> Domains {
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
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
        Ok(text) => {
            let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
            Ok(Some(without_blanks_behind(line).to_vec()))
        }
    }
}

/// A line without the blanks at its end; those before it count.
pub fn without_blanks_behind(line: &[u8]) -> &[u8] {
    let length = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |last| last + 1);
    &line[..length]
}
