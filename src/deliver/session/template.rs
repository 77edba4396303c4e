//! Path templates such as `/srv/mail/%d/%u/`: from an address to its mailbox.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::address::EnvelopeAddress;
use crate::mailbox::fs::files;
use crate::mailbox::{display_path, escape};
use crate::transport::{Failure, FailureReason};

const MAX_NAME: usize = 255;

/// A path with placeholders for the parts of an address. No address leads out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// `%u`
    User,
    /// `%d`
    Domain,
    /// `%e`
    Extension,
}

/// The parts of an address in ASCII lower case: mail for Joe is mail for joe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressParts {
    /// The local part without its extension.
    pub user: Vec<u8>,
    /// Empty if the address has none.
    pub domain: Vec<u8>,
    /// The rest after the first delimiter; empty if there is none.
    pub extension: Vec<u8>,
}

impl AddressParts {
    /// Splits an address; the local part at the first of `delimiters`.
    pub(crate) fn split(address: &EnvelopeAddress, delimiters: &[u8]) -> AddressParts {
        let mut user = address.local.to_ascii_lowercase();
        let extension = match user.iter().position(|b| delimiters.contains(b)) {
            Some(at) => {
                let extension = user.split_off(at + 1);
                user.truncate(at);
                extension
            }
            None => Vec::new(),
        };
        let domain = address.domain.as_deref().unwrap_or_default().to_ascii_lowercase();
        AddressParts { user, domain, extension }
    }

    /// All ways to split the local part, the longest user first: mary-ann and mary may both exist (qmail-getpw(8)).
    pub(crate) fn longest_user_first(
        address: &EnvelopeAddress,
        delimiters: &[u8],
    ) -> impl Iterator<Item = AddressParts> {
        let whole = AddressParts::split(address, b"");
        let ends: Vec<usize> =
            (0..whole.user.len()).rev().filter(|&at| delimiters.contains(&whole.user[at])).collect();
        let divided = |whole: &AddressParts, end: usize| AddressParts {
            user: whole.user[..end].to_vec(),
            extension: whole.user[end + 1..].to_vec(),
            domain: whole.domain.clone(),
        };
        let shorter = {
            let whole = whole.clone();
            ends.into_iter().map(move |end| divided(&whole, end))
        };
        std::iter::once(whole).chain(shorter)
    }
}

impl Template {
    /// Parses `%u`, `%d`, `%e` and `%%`.
    ///
    /// # Errors
    /// A message about any other `%`, or about an empty template.
    pub(crate) fn parse(text: &[u8]) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            let piece = match byte {
                b'%' => match bytes.next() {
                    Some(b'u') => Piece::User,
                    Some(b'd') => Piece::Domain,
                    Some(b'e') => Piece::Extension,
                    Some(b'%') => {
                        literal.push(b'%');
                        continue;
                    }
                    other => {
                        let what =
                            escape(&[b"%", other.map(std::slice::from_ref).unwrap_or_default()].concat());
                        return Err(format!("{what} is unknown: there are %u, %d, %e and %%"));
                    }
                },
                other => {
                    literal.push(other);
                    continue;
                }
            };
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
            pieces.push(piece);
        }
        pieces.push(Piece::Text(literal));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        if pieces.is_empty() {
            return Err("there is no path".to_owned());
        }
        Ok(Template(pieces))
    }

    pub(crate) fn has_extension(&self) -> bool {
        self.0.contains(&Piece::Extension)
    }

    pub(crate) fn has_user(&self) -> bool {
        self.0.contains(&Piece::User)
    }

    /// Reports whether all recipients have the same path.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(&self.0[..], [Piece::Text(_)])
    }

    /// The directory that all recipients share. If it is missing, no recipient is to blame.
    pub(crate) fn fixed_directory(&self) -> PathBuf {
        let before = match &self.0[0] {
            // A path that ends in a slash is the mailbox itself.
            Piece::Text(text) if self.is_fixed() => {
                let end = text.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
                &text[..text[..end].iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1)]
            }
            Piece::Text(text) => &text[..text.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1)],
            _ => &[],
        };
        path(if before.is_empty() { b"." } else { before }.to_vec())
    }

    /// Returns the names after [`Template::fixed_directory`]; `None` for one that depends on the address.
    pub(crate) fn names(&self) -> Vec<Option<OsString>> {
        let of = |part: &[u8]| {
            let parts = AddressParts { user: part.into(), domain: part.into(), extension: part.into() };
            let path = self.expand(&parts).unwrap_or_default();
            let fixed = self.fixed_directory().components().count();
            let names = path.components().skip(if path.is_relative() { 0 } else { fixed });
            names.map(|name| name.as_os_str().to_owned()).collect::<Vec<_>>()
        };
        of(b"a").into_iter().zip(of(b"b")).map(|(name, other)| (name == other).then_some(name)).collect()
    }

    /// Builds the path. Without an extension, a name that has only `%e` and a leading dot is left out:
    /// `/home/%u/Maildir/.%e/` is then the Maildir itself.
    ///
    /// # Errors
    /// [`FailureReason::BadAddress`] for a part that cannot be a name, or would lead out of the template.
    pub(crate) fn expand(&self, parts: &AddressParts) -> Result<PathBuf, Failure> {
        let mut names = vec![Vec::new()];
        let mut is_spare = vec![false];
        for piece in &self.0 {
            let (what, part) = match piece {
                Piece::Text(text) => {
                    for (n, name) in text.split(|&b| b == b'/').enumerate() {
                        if n > 0 {
                            names.push(Vec::new());
                            is_spare.push(false);
                        }
                        push(&mut names, name);
                    }
                    continue;
                }
                Piece::Extension if parts.extension.is_empty() => {
                    is_spare.pop();
                    is_spare.push(true);
                    continue;
                }
                Piece::User => ("user", &parts.user),
                Piece::Domain => ("domain", &parts.domain),
                Piece::Extension => ("extension", &parts.extension),
            };
            check(what, part)?;
            push(&mut names, part);
        }
        let is_needed = |(name, spare): &(Vec<u8>, bool)| !(*spare && matches!(&name[..], b"" | b"."));
        let names: Vec<Vec<u8>> =
            names.into_iter().zip(is_spare).filter(is_needed).map(|(name, _)| name).collect();
        if names.iter().any(|name| name.len() > MAX_NAME) {
            return Err(bad(format_args!("it makes a name of more than {MAX_NAME} bytes")));
        }
        Ok(path(names.join(&b'/')))
    }

    /// The failure for a `path` of this template that does not exist.
    pub(crate) fn missing_error(&self, path: &Path) -> Failure {
        let failure = |reason, why: &str| Failure::new(reason, format_args!("{}: {why}", display_path(path)));
        let fixed = self.fixed_directory();
        if self.is_fixed() {
            failure(FailureReason::Configuration, "there is no such mailbox")
        } else if !files::is_dir(&fixed) {
            let text = format_args!("{}: there is no such directory", display_path(&fixed));
            Failure::new(FailureReason::TryAgain, text)
        } else if path.ancestors().any(|p| files::is_symlink(p) && !files::exists(p)) {
            failure(FailureReason::TryAgain, "a symbolic link in the path leads nowhere")
        } else {
            failure(FailureReason::NoSuchMailbox, "there is no such mailbox")
        }
    }
}

fn push(names: &mut [Vec<u8>], bytes: &[u8]) {
    if let Some(name) = names.last_mut() {
        name.extend_from_slice(bytes);
    }
}

/// Refuses a part that cannot be a file name, because it may be all of one.
fn check(what: &str, part: &[u8]) -> Result<(), Failure> {
    let flaw = match part {
        [] => "is missing",
        [b'.', ..] => "begins with a dot",
        _ if part.contains(&b'/') => "has a slash in it",
        _ if part.iter().any(u8::is_ascii_control) => "has a control character in it",
        _ if part.len() > MAX_NAME => "is longer than a file name can be",
        _ => return Ok(()),
    };
    Err(bad(format_args!("its {what} {flaw}")))
}

fn bad(why: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(FailureReason::BadAddress, format_args!("the address has no mailbox: {why}"))
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(user: &str, domain: &str, extension: &str) -> AddressParts {
        AddressParts { user: user.into(), domain: domain.into(), extension: extension.into() }
    }

    fn expanded(template: &str, parts: &AddressParts) -> String {
        match Template::parse(template.as_bytes()).unwrap().expand(parts) {
            Ok(path) => path.to_str().unwrap().to_owned(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn templates_expand_to_paths() {
        let joe = parts("joe", "h.example", "lists");
        let plain = parts("joe", "h.example", "");
        for (template, parts, want) in [
            ("/srv/%d/%u/", &joe, "/srv/h.example/joe/"),
            ("%u", &joe, "joe"),
            ("box-%u-%e.mbox", &joe, "box-joe-lists.mbox"),
            ("/100%%/%u", &joe, "/100%/joe"),
            ("/home/%u/Maildir/.%e/", &joe, "/home/joe/Maildir/.lists/"),
            ("/home/%u/Maildir/.%e/", &plain, "/home/joe/Maildir/"),
            ("/home/%u/Maildir/.%e", &plain, "/home/joe/Maildir"),
            ("/home/%u/%e/Maildir/", &plain, "/home/joe/Maildir/"),
            ("/home/%u/.x%e/", &plain, "/home/joe/.x/"),
            ("/home/./%u/../", &plain, "/home/./joe/../"),
            ("/var/mail/fixed", &plain, "/var/mail/fixed"),
        ] {
            assert_eq!(expanded(template, parts), want, "{template}");
        }
    }

    #[test]
    fn nothing_leads_out_of_a_template() {
        let long = "x".repeat(256);
        let just = "x".repeat(200);
        for (parts, why) in [
            (parts("..", "d", "e"), "user begins with a dot"),
            (parts(".ssh", "d", "e"), "user begins with a dot"),
            (parts("a/b", "d", "e"), "user has a slash in it"),
            (parts("u", "../x", "e"), "domain begins with a dot"),
            (parts("u", "d", "../../x"), "extension begins with a dot"),
            (parts("u", "d", "a/../../x"), "extension has a slash in it"),
            (parts("", "d", "e"), "user is missing"),
            (parts("u", "", "e"), "domain is missing"),
            (parts("a\0b", "d", "e"), "user has a control character in it"),
            (parts("a\nb", "d", "e"), "user has a control character in it"),
            (parts(&long, "d", "e"), "user is longer than"),
            (parts(&just, "d", &just), "it makes a name of more than 255 bytes"),
        ] {
            let got = expanded("/srv/%d/%u-%e/", &parts);
            assert!(got.starts_with("5.1.3 ") && got.contains(why), "{got}");
        }
    }

    #[test]
    fn an_address_is_split_in_lower_case() {
        let joe = EnvelopeAddress { local: b"Joe-Lists-A".to_vec(), domain: Some(b"H.Example".to_vec()) };
        assert_eq!(AddressParts::split(&joe, b""), parts("joe-lists-a", "h.example", ""));
        assert_eq!(AddressParts::split(&joe, b"-"), parts("joe", "h.example", "lists-a"));
        let postmaster = EnvelopeAddress { local: b"postmaster".to_vec(), domain: None };
        assert_eq!(AddressParts::split(&postmaster, b"-"), parts("postmaster", "", ""));
    }

    #[test]
    fn other_percent_signs_are_refused() {
        for (template, why) in [("/%x/", "%x is unknown"), ("/srv/%", "% is unknown"), ("", "no path")] {
            assert!(Template::parse(template.as_bytes()).unwrap_err().contains(why));
        }
    }

    #[test]
    fn the_fixed_directory_precedes_the_first_placeholder() {
        for (template, want) in [
            ("/srv/mail/%d/%u/", "/srv/mail/"),
            ("/home/u-%u/", "/home/"),
            ("%u", "."),
            ("box/x%u", "box/"),
            ("/%u", "/"),
            ("x%u", "."),
        ] {
            assert_eq!(Template::parse(template.as_bytes()).unwrap().fixed_directory(), Path::new(want));
        }
    }

    proptest! {
        /// Each part of any address is at most one name below the fixed directory.
        #[test]
        fn any_address_stays_inside(user in "[./a\\n\\x00-]{0,4}", domain in "[./a]{0,4}", extension in "[./a]{0,4}") {
            let template = Template::parse(b"/srv/%d/%u/.%e/").unwrap();
            let Ok(path) = template.expand(&parts(&user, &domain, &extension)) else { return Ok(()) };
            let names: Vec<_> = path.components().collect();
            let named = |c: &std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
            prop_assert!(path.starts_with("/srv") && names[1..].iter().all(named), "{path:?}");
            prop_assert_eq!(names.len(), 4 + usize::from(!extension.is_empty()));
        }
    }
}
