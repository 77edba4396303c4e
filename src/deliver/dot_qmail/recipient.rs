//! The recipient of a `.qmail` delivery: a user, and an extension that the user may use freely.

use crate::transport::envelope;

/// The recipient `LOCAL@HOST` of a message from `sender`. All parts are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalRecipient {
    /// Owner of the home directory.
    pub user: Vec<u8>,
    /// The complete local part.
    pub local: Vec<u8>,
    /// `-` or nothing: what precedes the extension in the name of a file.
    pub dash: Vec<u8>,
    pub extension: Vec<u8>,
    pub host: Vec<u8>,
    /// The envelope sender; empty for the null sender.
    pub sender: Vec<u8>,
    /// A byte that counts as `-` in the extension.
    pub delimiter: Option<u8>,
}

impl LocalRecipient {
    /// Splits an address into user and extension. Without `user`, the user ends at the first delimiter. `host` is for
    /// an address without a domain.
    pub(crate) fn split(
        address: &[u8],
        user: Option<&[u8]>,
        delimiter: Option<u8>,
        host: &[u8],
    ) -> LocalRecipient {
        let (local, domain) = envelope::split(address);
        let is_delimiter = |&b: &u8| b == b'-' || Some(b) == delimiter;
        let user = user.unwrap_or_else(|| local.split(is_delimiter).next().unwrap_or_default());
        let (dash, extension) = match without_user(local, user) {
            Some([]) => (&b""[..], &b""[..]),
            Some([first, extension @ ..]) if is_delimiter(first) => (&b"-"[..], extension),
            // An address of a domain that is all this user's.
            _ => (&b"-"[..], local),
        };
        LocalRecipient {
            user: user.to_vec(),
            local: local.to_vec(),
            dash: dash.to_vec(),
            extension: extension.to_vec(),
            host: domain.strip_prefix(b"@").unwrap_or(host).to_vec(),
            sender: Vec::new(),
            delimiter,
        }
    }

    /// Returns `LOCAL@HOST`.
    pub(crate) fn address(&self) -> Vec<u8> {
        [&self.local[..], b"@", &self.host].concat()
    }

    /// Returns the sender of forwarded mail. A bounce keeps its own, so that a bounce of it goes nowhere.
    pub(crate) fn new_sender(&self, owner: ListOwner) -> Vec<u8> {
        let LocalRecipient { local, host, sender, .. } = self;
        match owner {
            _ if sender.is_empty() || sender == b"#@[]" => sender.clone(),
            ListOwner::None => sender.clone(),
            ListOwner::Single => [&local[..], b"-owner@", host].concat(),
            ListOwner::Verp => [&local[..], b"-owner-@", host, b"-@[]"].concat(),
        }
    }
}

/// Reports whether an address is `user`, or `user` with an extension.
pub(crate) fn is_of_user(address: &[u8], user: &[u8], delimiter: Option<u8>) -> bool {
    let (local, _) = envelope::split(address);
    let follows = |&b: &u8| b == b'-' || Some(b) == delimiter;
    !user.is_empty() && without_user(local, user).is_some_and(|rest| rest.first().is_none_or(follows))
}

fn without_user<'a>(local: &'a [u8], user: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = local.split_at_checked(user.len())?;
    start.eq_ignore_ascii_case(user).then_some(rest)
}

/// The receiver of bounces of a mailing list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListOwner {
    /// The sender.
    None,
    /// `LOCAL-owner`.
    Single,
    /// `LOCAL-owner-RECIPIENT`: variable envelope return paths.
    Verp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, user: Option<&str>, delimiter: Option<u8>, want: [&str; 3]) {
        let got =
            LocalRecipient::split(address.as_bytes(), user.map(str::as_bytes), delimiter, b"here.example");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!([text(got.user), text(got.dash), text(got.extension)], want, "{address}");
    }

    #[test]
    fn a_recipient_is_a_user_and_an_extension() {
        check("joe@h", None, None, ["joe", "", ""]);
        check("joe-a-b@h", None, None, ["joe", "-", "a-b"]);
        check("joe-@h", None, None, ["joe", "-", ""]);
        check("joe+a@h", None, None, ["joe+a", "", ""]);
        check("joe+a-b@h", None, Some(b'+'), ["joe", "-", "a-b"]);
        check("Joe-a@h", Some("joe"), None, ["joe", "-", "a"]);
        check("j-doe-a@h", Some("j-doe"), None, ["j-doe", "-", "a"]);
        check("sales@h", Some("joe"), None, ["joe", "-", "sales"]);
        check("joey@h", Some("joe"), None, ["joe", "-", "joey"]);
        check("joe", Some("joe"), None, ["joe", "", ""]);
        check("\"@h", None, None, ["\"", "", ""]);
    }

    #[test]
    fn a_recipient_without_a_domain_is_local() {
        assert_eq!(LocalRecipient::split(b"joe", None, None, b"here").address(), b"joe@here");
        assert_eq!(LocalRecipient::split(b"a@b@c", None, None, b"here").host, b"c");
    }
}
