//! The environment and the control files that qmail-inject reads (qmail-inject(8), ENVIRONMENT VARIABLES).

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::clock;
use super::identity::current_account_name;
use crate::inject::control::{self, ControlFiles};
use crate::inject::{Author, Domains, InjectFlags, InjectOptions};
use crate::mailbox::message::address::Compat;
use crate::mailbox::{Result, display_path};

/// The process's environment with changes by `sendmail`.
#[derive(Debug, Default)]
pub(super) struct EnvOverlay {
    changes: Vec<(&'static str, Option<Vec<u8>>)>,
}

impl EnvOverlay {
    /// Sets or removes a variable.
    pub(super) fn set(&mut self, name: &'static str, value: Option<Vec<u8>>) {
        self.changes.push((name, value));
    }

    /// Uses the account's name if no variable names the user. cron sets none of them, and a bounce must reach the user.
    pub(super) fn with_account_fallback(mut self) -> EnvOverlay {
        if self.first(&USER).is_none() {
            self.set("LOGNAME", current_account_name());
        }
        self
    }

    /// Returns the first of these variables that is set, even if it is empty.
    fn first(&self, names: &[&str]) -> Option<Vec<u8>> {
        names.iter().find_map(|name| match self.changes.iter().rev().find(|(changed, _)| changed == name) {
            Some((_, value)) => value.clone(),
            None => env::var_os(name).map(OsString::into_vec),
        })
    }
}

/// The variables that name the user.
const USER: [&str; 4] = ["QMAILUSER", "MAILUSER", "USER", "LOGNAME"];

/// Returns qmail's directory: $QMAILHOME, or /var/qmail.
pub(super) fn qmail_home() -> PathBuf {
    let home = env::var_os("QMAILHOME").filter(|home| !home.is_empty());
    home.map_or_else(|| "/var/qmail".into(), PathBuf::from)
}

/// Returns the queue program: $QMAILQUEUE, or qmail's own.
pub(super) fn default_queue_program() -> PathBuf {
    let program = env::var_os("QMAILQUEUE").filter(|program| !program.is_empty());
    // A relative path is relative to qmail's directory, as in qmail's programs.
    qmail_home().join(program.unwrap_or_else(|| "bin/qmail-queue".into()))
}

/// Where the recipients come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecipientSource {
    /// The arguments if there are any, or else the header.
    ArgumentsOrHeader,
    Arguments,
    Header,
    /// The arguments, then the header.
    Both,
}

impl RecipientSource {
    /// Returns the arguments that count, and whether the header counts.
    pub(super) fn choose(self, arguments: &[Vec<u8>]) -> (&[Vec<u8>], bool) {
        match self {
            RecipientSource::ArgumentsOrHeader => (arguments, arguments.is_empty()),
            RecipientSource::Arguments => (arguments, false),
            RecipientSource::Header => (&[], true),
            RecipientSource::Both => (arguments, true),
        }
    }
}

/// The parts of a message that the environment decides.
pub(super) struct InjectEnvironment {
    compat: Compat,
    author: Author,
    flags: InjectFlags,
    domains: Domains,
    followup_lists: Vec<Vec<u8>>,
    /// Explains a value that was derived, because nothing configures it.
    pub(super) guessed: Option<String>,
}

impl InjectEnvironment {
    pub(super) fn read(environment: &EnvOverlay, compat: Compat) -> Result<InjectEnvironment> {
        let author = Author {
            user: environment.first(&USER).unwrap_or_else(|| b"anonymous".to_vec()),
            host: environment.first(&["QMAILHOST", "MAILHOST"]),
            name: environment.first(&["QMAILNAME", "MAILNAME", "NAME"]),
            sender_user: environment.first(&["QMAILSUSER"]),
            sender_host: environment.first(&["QMAILSHOST"]),
        };
        let followup_lists = match environment.first(&["QMAILMFTFILE"]) {
            Some(path) => control::read_lines(Path::new(&OsString::from_vec(path)))?,
            None => Vec::new(),
        };
        let flags = InjectFlags::parse(&environment.first(&["QMAILINJECT"]).unwrap_or_default());
        let (domains, guessed) = read_domains(environment, compat)?;
        Ok(InjectEnvironment { compat, author, flags, domains, followup_lists, guessed })
    }

    /// Returns the options of a message with these recipients, and with this sender if there is one.
    pub(super) fn options<'a>(
        &'a self,
        arguments: &'a [Vec<u8>],
        header_recipients: bool,
        sender: Option<&'a [u8]>,
    ) -> InjectOptions<'a> {
        InjectOptions {
            compat: self.compat,
            crlf: true,
            arguments,
            header_recipients,
            sender,
            author: &self.author,
            flags: self.flags,
            domains: &self.domains,
            followup_lists: &self.followup_lists,
            now: clock::seconds_since_epoch(),
            pid: std::process::id(),
            random: None,
        }
    }
}

fn read_domains(environment: &EnvOverlay, compat: Compat) -> Result<(Domains, Option<String>)> {
    let home = qmail_home();
    let directory = home.join("control");
    let control = ControlFiles::read(&directory)?;
    // qmail-inject does not run without qmail. mailferry does, and then must not use a host called `defaulthost`.
    let as_qmail = compat == Compat::Qmail && home.is_dir();
    let mut guessed = None;
    let mut domains = match as_qmail {
        true => control.into_qmail_domains(),
        false => {
            let host = rustix::system::uname();
            let host = host.nodename();
            if control.me.is_none() {
                let text = format!(
                    "{}: missing; the name of this host is used instead: {}",
                    display_path(&directory.join("me")),
                    host.to_string_lossy()
                );
                guessed = Some(text);
            }
            control.into_domains_for_host(host.to_bytes())
        }
    };
    let variable = |name: &str| environment.first(&[name]);
    if let Some(host) = variable("QMAILDEFAULTHOST") {
        domains.default_host = host;
    }
    if let Some(domain) = variable("QMAILDEFAULTDOMAIN") {
        domains.default_domain = Some(domain);
    }
    if let Some(domain) = variable("QMAILPLUSDOMAIN") {
        domains.plus_domain = Some(domain);
    }
    if let Some(host) = variable("QMAILIDHOST") {
        domains.id_host = host;
    }
    Ok((domains, guessed))
}
