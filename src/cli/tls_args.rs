//! Options of next hops that are reached over TLS.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::mailbox::Error;
use crate::mailbox::text::plural;
use crate::transport::NextHop;
use crate::transport::secret::PasswordSource;
use crate::transport::submission_hop::SubmissionHop;

/// Trust and logins of the next hops.
#[derive(Args, Debug)]
pub(crate) struct TlsArgs {
    /// Certificates of authorities (PEM) that replace the system's
    ///
    /// The file may also have lists of revoked certificates.
    #[arg(long, value_name = "FILE", help_heading = "Next hop")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    passwords: Passwords,
}

/// The passwords, in the order of the command line.
#[derive(Debug)]
struct Passwords(Vec<PasswordSource>);

/// Their options.
#[derive(Args)]
#[allow(dead_code, reason = "the values are taken from the matches, which have their order")]
struct PasswordArgs {
    /// File whose first line is the password; only its owner has access
    ///
    /// Each next hop with a user needs a password of its own. With several, give one option for each, in the order of
    /// the next hops. A password is sent to the host of its URL only, over TLS.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(file), help_heading = "Next hop")]
    password_file: Vec<PasswordSource>,
    /// Shell command whose first line of output is the password
    #[arg(long, value_name = "COMMAND", value_parser = OsStringValueParser::new().map(PasswordSource::Command), help_heading = "Next hop")]
    password_command: Vec<PasswordSource>,
}

fn file(path: OsString) -> PasswordSource {
    PasswordSource::File(path.into())
}

impl FromArgMatches for Passwords {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Passwords, clap::Error> {
        let mut all = Vec::new();
        for option in ["password_file", "password_command"] {
            let indices = matches.indices_of(option).into_iter().flatten();
            let sources = matches.get_many::<PasswordSource>(option).into_iter().flatten();
            all.extend(indices.zip(sources.cloned()));
        }
        all.sort_by_key(|&(index, _)| index);
        Ok(Passwords(all.into_iter().map(|(_, source)| source).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Passwords::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Passwords {
    fn augment_args(command: Command) -> Command {
        PasswordArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        PasswordArgs::augment_args_for_update(command)
    }
}

impl TlsArgs {
    /// Returns the name of an option that was given.
    pub(super) fn first_option(&self) -> Option<&'static str> {
        let Passwords(passwords) = &self.passwords;
        self.ca.as_ref().map(|_| "--ca").or_else(|| passwords.first().map(PasswordSource::option))
    }

    /// Gives each next hop what belongs to it: the n-th password to the n-th one with a user.
    ///
    /// # Errors
    /// Usage: the passwords are not as many as the users, so that one could go to the wrong host.
    pub(super) fn complete(&self, mut hops: Vec<NextHop>) -> Result<Vec<NextHop>, Error> {
        let mut servers: Vec<&mut SubmissionHop> = hops
            .iter_mut()
            .filter_map(|hop| match hop {
                NextHop::Submission(hop) => Some(&mut **hop),
                _ => None,
            })
            .collect();
        if self.ca.is_some() && servers.is_empty() {
            return Err(Error::usage("--ca", "no next hop uses TLS; use --via smtps:// or smtp+starttls://"));
        }
        for server in &mut servers {
            server.ca = server.ca.take().or_else(|| self.ca.clone());
        }
        let without = |server: &&mut &mut SubmissionHop| {
            server.login.as_ref().is_some_and(|login| login.password.is_none())
        };
        let users = servers.iter_mut().filter(without).count();
        let Passwords(passwords) = &self.passwords;
        match (users, passwords.len()) {
            (users, count) if users == count => {}
            (0, _) => {
                return Err(Error::usage(
                    passwords[0].option(),
                    "no next hop has a user; use smtps://USER@HOST",
                ));
            }
            (_, 0) => {
                let first = servers.iter_mut().find(without).map(|server| server.to_string());
                let why = "the password is missing; use --password-file or --password-command";
                return Err(Error::usage(format!("--via {}", first.unwrap_or_default()), why));
            }
            (users, count) => {
                let why = format!(
                    "{} for {}; give one for each, in the same order",
                    plural(count as u64, "password"),
                    plural(users as u64, "next hop") + " with a user",
                );
                return Err(Error::usage(passwords[0].option(), why));
            }
        }
        let logins = servers.iter_mut().filter_map(|server| server.login.as_mut());
        for (login, source) in logins.filter(|login| login.password.is_none()).zip(passwords) {
            login.password = Some(source.clone());
        }
        Ok(hops)
    }
}
