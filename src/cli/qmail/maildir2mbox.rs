//! `maildir2mbox`: moves the mail in $MAILDIR to the end of $MAIL, by way of $MAILTMP.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ending::{Ending, TEMPORARY};
use super::open_mbox::open_mbox;
use super::system_error::system_error_text;
use crate::cli::identity::{self, Paths};
use crate::cli::open::{Locks, delivery_context};
use crate::cli::signals;
use crate::deliver::drain::Drain;
use crate::mailbox::fs::Dir;
use crate::mailbox::source::{UnpackOptions, unpack_in};
use crate::mailbox::{Error, Result, display_path};

const NAME: &str = "maildir2mbox";
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs it with the mailboxes that the environment names.
pub(super) fn run() -> Ending {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let variable = |name: &str| {
        let value = env::var_os(name).map(PathBuf::from);
        value.ok_or_else(|| Ending::fatal(NAME, TEMPORARY, format!("{name} not set")))
    };
    let paths = variable("MAIL")
        .and_then(|mail| Ok((mail, variable("MAILTMP")?)))
        .and_then(|(mail, copy)| Ok((mail, copy, variable("MAILDIR")?)));
    let (mail, copy, maildir) = match paths {
        Ok(paths) => paths,
        Err(ending) => return ending,
    };
    // maildir2mbox changes to the Maildir first.
    let (mail, copy) = (maildir.join(mail), maildir.join(copy));
    let fatal = |text: String| Ending::fatal(NAME, TEMPORARY, text);
    match drain(&maildir, &mail, &copy) {
        Ok(kept) if kept.is_empty() => Ending::silent(0),
        Ok(kept) => {
            let warning =
                |error| format!("{NAME}: warning: the mbox has it, but: {}", explain(error, &maildir));
            Ending::saying(0, kept.iter().map(warning).collect::<Vec<_>>().join("\n"))
        }
        Err(Error::Io { path, source, .. }) if path == maildir => {
            fatal(format!("unable to chdir to {}: {}", display_path(&path), system_error_text(&source)))
        }
        Err(error) => fatal(explain(&error, &maildir)),
    }
}

fn drain(maildir: &Path, mbox: &Path, copy: &Path) -> Result<Vec<Error>> {
    let dir = env::temp_dir();
    identity::take(&Paths { written: vec![maildir, mbox, copy], locks: true, ..Paths::default() })?;
    let cancel = signals::cancel_on_signals_with(TEMPORARY);
    signals::catch_bus_error();
    unpack_in(UnpackOptions { dir, limit: None, cancel: cancel.clone() });
    let locks = Locks::all().with_timeout(LOCK_TIMEOUT);
    let ctx = &delivery_context(&cancel, &locks);
    let maildir = &Dir::open(maildir)?;
    let open_mbox = &|path: &Path| open_mbox(path, ctx, LOCK_TIMEOUT);
    Drain { maildir, mbox, copy, open_mbox, ctx }.run()
}

/// Returns the reason in qmail's words where it has its own.
fn explain(error: &Error, maildir: &Path) -> String {
    match error {
        Error::Io { action, path, source } => {
            let shown = match path.strip_prefix(maildir) {
                Ok(below) => format!("$MAILDIR/{}", display_path(below)),
                Err(_) => display_path(path),
            };
            format!("unable to {action} {shown}: {}", system_error_text(source))
        }
        error => error.to_string(),
    }
}
