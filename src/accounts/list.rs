//! The list of accounts: lines of fields with tabs between them, or JSON Lines.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::Deserialize;

use crate::mailbox::{Error, Result, escape};

/// A list that was checked.
#[derive(Debug)]
pub(crate) struct AccountList {
    text: Vec<u8>,
    /// Accounts in it.
    pub(crate) len: usize,
}

/// An account as the list has it. What is missing comes from the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListedAccount {
    pub(crate) user: OsString,
    pub(crate) sources: Vec<OsString>,
    pub(crate) destination: Option<OsString>,
    /// `USER` or `USER:GROUP`.
    pub(crate) owner: Option<OsString>,
    pub(crate) home: Option<OsString>,
}

/// A line in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLine {
    user: String,
    source: Option<String>,
    #[serde(default)]
    sources: Vec<String>,
    destination: Option<String>,
    owner: Option<String>,
    home: Option<String>,
}

impl AccountList {
    /// Checks a list before anything is started. Empty lines, and those that begin with `#`, are left out.
    ///
    /// # Errors
    /// [`Error::Usage`] with the line, for one that is no account, that `check` refuses, that names a user for the
    /// second time, or that has the destination of another account: their mail would be mixed, or replaced. `check`
    /// returns a destination that is known. `name` is that of the file.
    pub(crate) fn new(
        text: Vec<u8>,
        name: &str,
        check: impl Fn(&ListedAccount) -> Result<Option<OsString>, String>,
    ) -> Result<AccountList> {
        if text.starts_with("\u{feff}".as_bytes()) {
            return Err(usage(format!("{name} begins with a byte order mark; remove it")));
        }
        let (mut seen, mut destinations) = (HashMap::new(), HashMap::new());
        for (number, line) in lines(&text) {
            let refuse = |reason: String| usage(format!("{name}, line {number}: {reason}"));
            let account = parse(line).map_err(&refuse)?;
            if let Some(destination) = check(&account).map_err(&refuse)?
                && let Some(first) = destinations.insert(key(&destination), number)
            {
                return Err(refuse(format!("its destination is also that of line {first}")));
            }
            if let Some(first) = seen.insert(key(&account.user), number) {
                let user = escape(account.user.as_bytes());
                return Err(refuse(format!("the account {user} is also in line {first}")));
            }
        }
        match seen.len() {
            0 => Err(usage(format!("there is no account in the list {name}"))),
            len => Ok(AccountList { text, len }),
        }
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = ListedAccount> + Send {
        lines(&self.text).map(|(_, line)| parse(line).unwrap_or_else(|why| unreachable!("checked: {why}")))
    }
}

fn usage(reason: String) -> Error {
    Error::usage("--accounts", reason)
}

/// The hash of a name: a list of 100,000 accounts has no room for the names.
fn key(name: &OsStr) -> [u8; 16] {
    let hash = blake3::hash(name.as_bytes());
    std::array::from_fn(|n| hash.as_bytes()[n])
}

/// Returns the lines with accounts, with their numbers from 1.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> + Send {
    let lines = (1..).zip(text.split(|&b| b == b'\n'));
    lines.filter(|(_, line)| !line.trim_ascii().is_empty() && !line.starts_with(b"#"))
}

/// Parses a line.
///
/// # Errors
/// What is wrong, as a phrase.
fn parse(line: &[u8]) -> Result<ListedAccount, String> {
    if line.ends_with(b"\r") {
        return Err("it ends in CR LF; remove the CRs".to_owned());
    }
    let account = match line.trim_ascii_start().starts_with(b"{") {
        true => parse_json(line)?,
        false => parse_fields(line)?,
    };
    check_user(&account.user)?;
    let all = account.sources.iter().chain(&account.destination);
    match all.clone().any(|path| path.as_bytes().contains(&0)) {
        true => Err("a path has a NUL".to_owned()),
        false => Ok(account),
    }
}

fn parse_json(line: &[u8]) -> Result<ListedAccount, String> {
    let line: JsonLine =
        serde_json::from_slice(line).map_err(|e| format!("it is not such an object: {e}"))?;
    if line.source.is_some() && !line.sources.is_empty() {
        return Err("it has both source and sources".to_owned());
    }
    let sources = line.source.into_iter().chain(line.sources).map(OsString::from).collect();
    let field = |field: Option<String>| field.map(OsString::from);
    Ok(ListedAccount {
        user: line.user.into(),
        sources,
        destination: field(line.destination),
        owner: field(line.owner),
        home: field(line.home),
    })
}

fn parse_fields(line: &[u8]) -> Result<ListedAccount, String> {
    let mut fields = line.split(|&b| b == b'\t');
    let mut field = || {
        let field = fields.next().filter(|field| !field.is_empty());
        field.map(|field| OsString::from_vec(field.to_vec()))
    };
    let user = field().ok_or("it begins with a tab")?;
    let (source, destination, owner) = (field(), field(), field());
    match fields.next() {
        Some(_) => Err("it has more than four fields: user, source, destination, owner".to_owned()),
        None => {
            let sources = source.into_iter().collect();
            Ok(ListedAccount { user, sources, destination, owner, home: None })
        }
    }
}

/// Refuses a user that cannot be a part of a path: it would lead elsewhere.
fn check_user(user: &OsStr) -> Result<(), String> {
    let bytes = user.as_bytes();
    match bytes {
        b"" => Err("the user is empty".to_owned()),
        b"." | b".." => Err("the user is a name of a directory".to_owned()),
        _ if bytes.iter().any(|b| matches!(b, b'/' | 0)) => {
            Err(format!("the user {} has a slash or a NUL; fields have tabs between them", escape(bytes)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accounts::template::Templates;

    fn list(text: &str, templates: &[&str]) -> Result<Vec<ListedAccount>, String> {
        let templates = Templates::new(templates.iter().map(OsString::from).collect()).unwrap();
        let check = |account: &ListedAccount| templates.check(account);
        let list = AccountList::new(text.into(), "list", check).map_err(|e| e.to_string())?;
        assert_eq!(list.accounts().count(), list.len);
        Ok(list.accounts().collect())
    }

    #[test]
    fn both_kinds_of_lines_give_the_same_accounts() {
        let fields = "# user\tsource\tdestination\towner\n\njoe\t/m/joe\t/h/joe/Maildir\tjoe:mail\nann\t/m/ann\t/h/ann/Maildir";
        let json = r#"{"user":"joe","source":"/m/joe","destination":"/h/joe/Maildir","owner":"joe:mail"}
{"user":"ann","sources":["/m/ann"],"destination":"/h/ann/Maildir"}"#;
        let all = list(fields, &[]).unwrap();
        assert_eq!(all, list(json, &[]).unwrap());
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].owner.as_deref(), Some("joe:mail".as_ref()));
        let several = r#"{"user":"joe","sources":["/m/joe","/old/joe.tgz"],"home":"/srv/joe"}"#;
        assert_eq!(list(several, &["%h/Maildir"]).unwrap()[0].sources.len(), 2);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let two = &["/m/%u", "/h/%u"][..];
        for (text, templates, words) in [
            ("joe\nann\njoe\n", two, "list, line 3: the account joe is also in line 1"),
            ("joe\t/m\n", &[], "line 1: it has no destination"),
            ("joe\n", &["/h/%u"], "line 1: it has no source"),
            ("joe\t/m\t/h\towner\tmore\n", &[], "more than four fields"),
            ("../joe\n", two, "has a slash"),
            ("..\n", two, "a name of a directory"),
            ("\tx\n", two, "begins with a tab"),
            ("joe\r\n", two, "CR LF"),
            ("\u{feff}joe\n", two, "byte order mark"),
            ("joe\nann\n", &["/m/%u", "/h/all"], "line 2: its destination is also that of line 1"),
            ("joe\t/m\t/h\nann\t/n\t/h\n", &[], "line 2: its destination is also that of line 1"),
            ("{\"user\":\"joe\",\"sauce\":\"x\"}", two, "unknown field `sauce`"),
            ("{\"user\":\"joe\"", two, "not such an object"),
            ("{\"user\":\"joe\",\"source\":\"-\"}", &["/h/%u"], "standard input"),
            ("joe\t/m\t-\n", &[], "standard output"),
            ("# none\n\n", two, "there is no account in the list list"),
        ] {
            let error = list(text, templates).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    proptest! {
        /// Any bytes are accounts or an error, and what is accepted is read alike later.
        #[test]
        fn any_bytes_are_a_list_or_an_error(text: Vec<u8>) {
            if let Ok(list) = AccountList::new(text, "list", |_| Ok(None)) {
                prop_assert_eq!(list.accounts().count(), list.len);
            }
        }
    }
}
