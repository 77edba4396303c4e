//! Sources and destinations of accounts that the list does not name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::list::ListedAccount;
use crate::mailbox::{Error, Result, escape};

/// The mailboxes of the command line, in which `%u` is the user, `%h` the home, and `%%` a percent sign.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    sources: Vec<OsString>,
    destination: Option<OsString>,
}

/// An account with all it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: OsString,
    pub(crate) sources: Vec<OsString>,
    pub(crate) destination: OsString,
    pub(crate) owner: Option<OsString>,
}

impl Templates {
    /// Takes the last word for the destination, and the others for sources.
    ///
    /// # Errors
    /// [`Error::Usage`] for a letter that means nothing.
    pub(crate) fn new(mut words: Vec<OsString>) -> Result<Templates> {
        let unknown = |word: &OsString| {
            expand(word, |_| Some(Vec::new())).err().map(|why| (escape(word.as_bytes()), why))
        };
        if let Some((word, why)) = words.iter().find_map(unknown) {
            return Err(Error::usage(word, why));
        }
        let destination = words.pop();
        Ok(Templates { sources: words, destination })
    }

    /// Refuses an account for which something is missing. Returns its destination, unless that depends on the user.
    pub(crate) fn check(&self, account: &ListedAccount) -> Result<Option<OsString>, String> {
        let (sources, destination) = self.of(account)?;
        if sources.iter().any(|source| *source == "-") {
            return Err("standard input cannot be the source of an account".to_owned());
        }
        if destination == "-" {
            return Err("standard output cannot be the destination of an account".to_owned());
        }
        let is_own = account.destination.is_none()
            && destination.as_bytes().windows(2).any(|letters| matches!(letters, b"%u" | b"%h"));
        Ok((!is_own).then(|| destination.to_owned()))
    }

    /// Returns what the account's line has, or else the templates.
    fn of<'a>(&'a self, account: &'a ListedAccount) -> Result<(&'a [OsString], &'a OsStr), String> {
        let sources = if account.sources.is_empty() { &self.sources } else { &account.sources };
        let destination = account.destination.as_ref().or(self.destination.as_ref());
        match (sources.is_empty(), destination) {
            (true, _) => Err("it has no source, and the command line names none".to_owned()),
            (_, None) => Err("it has no destination, and the command line names none".to_owned()),
            (false, Some(destination)) => Ok((sources, destination)),
        }
    }

    /// Fills the templates in. `home` looks up the home of an account, where the list has none.
    ///
    /// # Errors
    /// What is missing, as a phrase.
    pub(crate) fn fill(
        &self,
        account: ListedAccount,
        home: impl Fn(&OsStr) -> Result<Vec<u8>, String>,
    ) -> Result<Account, String> {
        let (sources, destination) = self.of(&account)?;
        let mut failed = None;
        let mut value = |letter| match (letter, &account.home) {
            (b'u', _) => Some(account.user.as_bytes().to_vec()),
            (b'h', Some(home)) => Some(home.as_bytes().to_vec()),
            (b'h', None) => match home(&account.user) {
                Ok(home) => Some(home),
                Err(why) => {
                    failed.get_or_insert(why);
                    Some(Vec::new())
                }
            },
            _ => None,
        };
        let mut fill = |word: &OsStr, is_template: bool| match is_template {
            true => expand(word, &mut value),
            false => Ok(word.to_owned()),
        };
        let is_template = account.sources.is_empty();
        let sources = sources.iter().map(|source| fill(source, is_template)).collect::<Result<_, _>>()?;
        let destination = fill(destination, account.destination.is_none())?;
        match failed {
            Some(why) => Err(why),
            None => Ok(Account { sources, destination, user: account.user, owner: account.owner }),
        }
    }
}

fn expand(word: &OsStr, mut value: impl FnMut(u8) -> Option<Vec<u8>>) -> Result<OsString, String> {
    let mut out = Vec::new();
    let mut parts = word.as_bytes().split(|&b| b == b'%');
    out.extend(parts.next().unwrap_or_default());
    while let Some(part) = parts.next() {
        match part.split_first() {
            // Two percent signs; what follows them is the next part.
            None => match parts.next() {
                Some(after) => {
                    out.push(b'%');
                    out.extend(after);
                }
                None => return Err("it ends in %; write %% for a percent sign".to_owned()),
            },
            Some((&letter @ (b'u' | b'h'), rest)) => {
                out.extend(value(letter).unwrap_or_default());
                out.extend(rest);
            }
            Some((&letter, _)) => {
                let letter = escape(&[letter]);
                return Err(format!("%{letter} means nothing: there are %u, %h and %%"));
            }
        }
    }
    Ok(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(words: &[&str], account: ListedAccount) -> Result<Account, String> {
        let templates =
            Templates::new(words.iter().map(OsString::from).collect()).map_err(|e| e.to_string())?;
        templates.fill(account, |user| match user == "joe" {
            true => Ok(b"/home/j".to_vec()),
            false => Err("there is no such user".to_owned()),
        })
    }

    fn named(user: &str) -> ListedAccount {
        ListedAccount { user: user.into(), ..ListedAccount::default() }
    }

    #[test]
    fn templates_fill_in_what_the_list_does_not_have() {
        let joe = fill(&["/var/mail/%u", "%h/mail", "%h/100%%u"], named("joe")).unwrap();
        assert_eq!(joe.sources, ["/var/mail/joe", "/home/j/mail"]);
        assert_eq!(joe.destination, "/home/j/100%u");
        // Paths of the list are bytes, and a percent sign there means nothing else.
        let listed = ListedAccount {
            sources: vec!["/old/%u".into()],
            home: Some("/srv/j".into()),
            owner: Some("vmail".into()),
            ..named("joe")
        };
        let joe = fill(&["%h/Maildir"], listed).unwrap();
        assert_eq!((joe.sources, joe.destination), (vec!["/old/%u".into()], "/srv/j/Maildir".into()));
        assert_eq!(joe.owner, Some("vmail".into()));
        assert_eq!(fill(&["%h/a", "/b"], named("ann")).unwrap_err(), "there is no such user");
        assert!(fill(&["/m/%u", "/h/%U"], named("joe")).unwrap_err().contains("%U means nothing"));
        assert!(fill(&["/m/%u", "/h/%"], named("joe")).unwrap_err().contains("ends in %"));
    }
}
