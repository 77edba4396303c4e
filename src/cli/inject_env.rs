//! Who writes a message that is injected, and with what its addresses are completed: the environment and the
//! control files, as qmail-inject reads them (qmail-inject(8), ENVIRONMENT VARIABLES).

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::inject::control::Control;
use crate::inject::{self, Author, Domains, Habits};
use crate::mailbox::error::Result;
use crate::mailbox::message::address::Compat;
use crate::mailbox::text::display_path;

use crate::cli::owner::current_account_name;

/// The environment, as it is or with changes of the program `sendmail`.
#[derive(Debug, Default)]
pub struct EnvOverlay {
    changes: Vec<(&'static str, Option<Vec<u8>>)>,
}

impl EnvOverlay {
    /// Sets a variable, or takes it out.
    pub fn set(&mut self, name: &'static str, value: Option<Vec<u8>>) {
        self.changes.push((name, value));
    }

    /// With the account that we run as, where no variable names a user: cron calls its mailer without any, and
    /// what cannot be delivered is to come back to somebody.
    pub fn with_account_fallback(mut self) -> EnvOverlay {
        if self.first(&USER).is_none() {
            self.set("LOGNAME", current_account_name());
        }
        self
    }

    /// The first of these variables that is set. Empty is set, too.
    fn first(&self, names: &[&str]) -> Option<Vec<u8>> {
        names.iter().find_map(|name| match self.changes.iter().rev().find(|(changed, _)| changed == name) {
            Some((_, value)) => value.clone(),
            None => env::var_os(name).map(OsString::into_vec),
        })
    }
}

/// The variables that name the user.
const USER: [&str; 4] = ["QMAILUSER", "MAILUSER", "USER", "LOGNAME"];

/// Where qmail lives: $QMAILHOME, or /var/qmail.
pub fn qmail_home() -> PathBuf {
    let said = env::var_os("QMAILHOME").filter(|home| !home.is_empty());
    said.map_or_else(|| "/var/qmail".into(), PathBuf::from)
}

/// All that the environment says of a message that is not in it.
pub struct InjectEnvironment {
    pub author: Author,
    pub flags: Habits,
    pub domains: Domains,
    pub lists: Vec<Vec<u8>>,
    /// What was taken for something that nobody has said.
    pub guessed: Option<String>,
}

impl InjectEnvironment {
    /// Looks.
    pub fn read(environment: &EnvOverlay, manner: Compat) -> Result<InjectEnvironment> {
        let author = Author {
            user: environment.first(&USER).unwrap_or_else(|| b"anonymous".to_vec()),
            host: environment.first(&["QMAILHOST", "MAILHOST"]),
            name: environment.first(&["QMAILNAME", "MAILNAME", "NAME"]),
            sender_user: environment.first(&["QMAILSUSER"]),
            sender_host: environment.first(&["QMAILSHOST"]),
        };
        let lists = match environment.first(&["QMAILMFTFILE"]) {
            Some(path) => inject::read_followup_list(Path::new(&OsString::from_vec(path)))?,
            None => Vec::new(),
        };
        let habits = Habits::parse(&environment.first(&["QMAILINJECT"]).unwrap_or_default());
        let (domains, guessed) = domains(environment, manner)?;
        Ok(InjectEnvironment { author, flags: habits, domains, lists, guessed })
    }
}

fn domains(environment: &EnvOverlay, manner: Compat) -> Result<(Domains, Option<String>)> {
    let home = qmail_home();
    let directory = home.join("control");
    let control = Control::read(&directory)?;
    // qmail-inject does not run where there is no qmail. By its name ours does, and then has no host called
    // `defaulthost`.
    let as_qmail = manner == Compat::Qmail && home.is_dir();
    let mut guessed = None;
    let mut domains = match as_qmail {
        true => control.as_qmail(),
        false => {
            let host = rustix::system::uname();
            let host = host.nodename();
            if control.me.is_none() {
                let text = format!(
                    "{}: there is none; this host's name does for it: {}",
                    display_path(&directory.join("me")),
                    host.to_string_lossy()
                );
                guessed = Some(text);
            }
            control.or_host(host.to_bytes())
        }
    };
    let said = |name: &str| environment.first(&[name]);
    if let Some(host) = said("QMAILDEFAULTHOST") {
        domains.default_host = host;
    }
    if let Some(domain) = said("QMAILDEFAULTDOMAIN") {
        domains.default_domain = Some(domain);
    }
    if let Some(domain) = said("QMAILPLUSDOMAIN") {
        domains.plus_domain = Some(domain);
    }
    if let Some(host) = said("QMAILIDHOST") {
        domains.id_host = host;
    }
    Ok((domains, guessed))
}

/// The name that we are called by, without directories.
pub fn program_name(mut args: impl Iterator<Item = OsString>) -> Option<OsString> {
    Path::new(&args.next()?).file_name().map(|name| OsString::from_vec(name.as_bytes().to_vec()))
}
