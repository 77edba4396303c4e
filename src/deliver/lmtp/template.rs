//! `/srv/mail/%d/%u/`: where the mail of a recipient lies.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::address::Address;
use crate::mailbox::text::{display_path, escape};
use crate::transport::failure::{Failure, FailureReason};

/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// A path with places for the parts of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

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

/// The parts of an address, in lower case (only ASCII has one here): mail for Joe is mail for joe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The local part, less its extension.
    pub user: Vec<u8>,
    /// Empty when the address has none.
    pub domain: Vec<u8>,
    /// What follows the first delimiter; empty when there is none.
    pub extension: Vec<u8>,
}

impl Parts {
    /// Takes an address apart; the local part is divided at the first of `delimiters`.
    pub fn of(address: &Address, delimiters: &[u8]) -> Parts {
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
        Parts { user, domain, extension }
    }

    /// The ways to divide the local part, the longest user first: there may be both a mary-ann and a mary
    /// (qmail-getpw(8)).
    pub fn longest_user_first(address: &Address, delimiters: &[u8]) -> impl Iterator<Item = Parts> {
        let whole = Parts::of(address, b"");
        let ends: Vec<usize> =
            (0..whole.user.len()).rev().filter(|&at| delimiters.contains(&whole.user[at])).collect();
        let divided = |whole: &Parts, end: usize| Parts {
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
    /// Understands `%u`, `%d`, `%e` and `%%`.
    ///
    /// # Errors
    /// A sentence about any other `%`, or an empty template.
    pub fn parse(text: &[u8]) -> Result<Template, String> {
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

    /// Whether it has a place for the extension.
    pub fn has_extension(&self) -> bool {
        self.0.contains(&Piece::Extension)
    }

    /// Whether it has a place for the user.
    pub fn has_user(&self) -> bool {
        self.0.contains(&Piece::User)
    }

    /// Whether it is the same path for every recipient.
    pub fn is_fixed(&self) -> bool {
        matches!(&self.0[..], [Piece::Text(_)])
    }

    /// The directory that is the same for every recipient: if it is missing, then not for want of a recipient.
    pub fn fixed_directory(&self) -> PathBuf {
        let before = match &self.0[0] {
            // Of one that ends in a slash the directory is the mailbox itself.
            Piece::Text(text) if self.is_fixed() => {
                let end = text.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
                &text[..text[..end].iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1)]
            }
            Piece::Text(text) => &text[..text.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1)],
            _ => &[],
        };
        path(if before.is_empty() { b"." } else { before }.to_vec())
    }

    /// The path for these parts. A name that only `%e` and a leading dot make goes when there is no extension:
    /// `/home/%u/Maildir/.%e/` is then the Maildir itself.
    ///
    /// # Errors
    /// [`Reason::BadAddress`]: a part cannot be a name, or would lead out of the template.
    pub fn expand(&self, parts: &Parts) -> Result<PathBuf, Failure> {
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
        if names.iter().any(|name| name.len() > LONGEST_NAME) {
            return Err(bad(format_args!("it makes a name of more than {LONGEST_NAME} bytes")));
        }
        Ok(path(names.join(&b'/')))
    }

    /// What it means that nothing is at `path`, which this template made.
    pub fn missing(&self, path: &Path) -> Failure {
        let told = |reason, why: &str| Failure::new(reason, format_args!("{}: {why}", display_path(path)));
        let fixed = self.fixed_directory();
        if self.is_fixed() {
            told(FailureReason::Configuration, "there is no such mailbox")
        } else if !fixed.is_dir() {
            let text = format_args!("{}: there is no such directory", display_path(&fixed));
            Failure::new(FailureReason::TryAgain, text)
        } else if path.ancestors().any(|p| p.is_symlink() && !p.exists()) {
            told(FailureReason::TryAgain, "a symbolic link on the way leads nowhere")
        } else {
            told(FailureReason::NoSuchMailbox, "there is no such mailbox")
        }
    }
}

fn push(names: &mut [Vec<u8>], bytes: &[u8]) {
    if let Some(name) = names.last_mut() {
        name.extend_from_slice(bytes);
    }
}

/// A part may be the whole of a name: what cannot be one is refused, wherever it stands.
fn check(what: &str, part: &[u8]) -> Result<(), Failure> {
    let flaw = match part {
        [] => "is missing",
        [b'.', ..] => "begins with a dot",
        _ if part.contains(&b'/') => "has a slash in it",
        _ if part.iter().any(u8::is_ascii_control) => "has a control character in it",
        _ if part.len() > LONGEST_NAME => "is longer than a file name can be",
        _ => return Ok(()),
    };
    Err(bad(format_args!("its {what} {flaw}")))
}

fn bad(why: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(FailureReason::BadAddress, format_args!("the address is that of no mailbox: {why}"))
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(user: &str, domain: &str, extension: &str) -> Parts {
        Parts { user: user.into(), domain: domain.into(), extension: extension.into() }
    }

    fn expanded(template: &str, parts: &Parts) -> String {
        match Template::parse(template.as_bytes()).unwrap().expand(parts) {
            Ok(path) => path.to_str().unwrap().to_owned(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn addresses_become_paths() {
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
    fn an_address_is_taken_apart_in_lower_case() {
        let joe = Address { local: b"Joe-Lists-A".to_vec(), domain: Some(b"H.Example".to_vec()) };
        assert_eq!(Parts::of(&joe, b""), parts("joe-lists-a", "h.example", ""));
        assert_eq!(Parts::of(&joe, b"-"), parts("joe", "h.example", "lists-a"));
        let postmaster = Address { local: b"postmaster".to_vec(), domain: None };
        assert_eq!(Parts::of(&postmaster, b"-"), parts("postmaster", "", ""));
    }

    #[test]
    fn other_percents_are_typing_errors() {
        for (template, why) in [("/%x/", "%x is unknown"), ("/srv/%", "% is unknown"), ("", "no path")] {
            assert!(Template::parse(template.as_bytes()).unwrap_err().contains(why));
        }
    }

    #[test]
    fn the_fixed_directory_is_what_stands_before_the_first_part() {
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
        /// Whatever the address, each of its parts is at most one name below the fixed directory.
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
