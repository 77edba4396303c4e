//! mailferry's own programs, for commands that name one which $PATH lacks.
//!
//! A command runs with links to mailferry at the end of its $PATH. So a program of the system always comes first, and the
//! shell, `exec`, and programs that run others find the links like any program. Shell functions would not do that.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Access;

use crate::mailbox::Result;
use crate::mailbox::fs::link_directory::LinkDirectory;
use crate::transport::NextHop;

/// The variable with the next hops of the programs that send mail, one URL a line.
pub(crate) const NEXT_HOPS: &str = "MAILFERRY_VIA";

/// The programs, and what they need to run.
#[derive(Debug, Clone)]
pub(crate) struct OwnPrograms {
    pub names: &'static [&'static str],
    /// mailferry, which acts by the name it is called by.
    pub executable: PathBuf,
    /// The directory for links.
    pub directory: PathBuf,
    /// The $PATH of the command.
    pub search_path: OsString,
    /// Where they send mail; the default if there are none.
    pub next_hops: Vec<NextHop>,
}

impl OwnPrograms {
    /// Returns the programs that a command names and $PATH lacks.
    pub(crate) fn named_in(&self, command: &[u8]) -> Vec<&'static str> {
        let is_named = |name: &&&str| names_program(command, name.as_bytes());
        self.names.iter().filter(is_named).filter(|name| !self.is_in_path(name)).copied().collect()
    }

    fn is_in_path(&self, name: &str) -> bool {
        let is_program = |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
        env::split_paths(&self.search_path).any(|directory| is_program(&directory.join(name)))
    }

    /// Returns what a command needs that names some of them. It lasts as long as the result.
    pub(crate) fn provide(&self, command: &[u8]) -> Result<Option<ProvidedPrograms>> {
        let names = self.named_in(command);
        if names.is_empty() {
            return Ok(None);
        }
        // One of them may run another.
        let links = LinkDirectory::create(&self.directory, self.names, &self.executable)?;
        let mut search_path = self.search_path.clone();
        search_path.push(":");
        search_path.push(links.path());
        let urls: Vec<Vec<u8>> = self.next_hops.iter().map(NextHop::to_url).collect();
        Ok(Some(ProvidedPrograms { _links: links, search_path, next_hops: urls.join(&b'\n') }))
    }
}

/// Links to mailferry, and the variables with which they work.
#[derive(Debug)]
pub(crate) struct ProvidedPrograms {
    _links: LinkDirectory,
    search_path: OsString,
    next_hops: Vec<u8>,
}

impl ProvidedPrograms {
    pub(crate) fn apply_to(&self, command: &mut Command) {
        command.env("PATH", &self.search_path);
        if !self.next_hops.is_empty() {
            command.env(NEXT_HOPS, OsString::from_vec(self.next_hops.clone()));
        }
    }
}

/// Reports whether a command has this word, which the shell may take for a program. A longer word or a path is another.
fn names_program(command: &[u8], name: &[u8]) -> bool {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"_-./@".contains(b);
    memchr::memmem::find_iter(command, name).any(|at| {
        let before = command[..at].last();
        let after = command.get(at + name.len());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_a_whole_word() {
        for (command, want) in [
            ("forward a@b", true),
            ("test x || forward a@b", true),
            ("a;forward", true),
            ("exec 'forward' a", true),
            ("/usr/bin/forward a", false),
            ("forward-all", false),
            ("./forward.sh", false),
            ("mail forward@x", false),
            ("", false),
        ] {
            assert_eq!(names_program(command.as_bytes(), b"forward"), want, "{command}");
        }
    }
}
