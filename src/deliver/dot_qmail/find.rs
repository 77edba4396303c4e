//! The search for the `.qmail` file of an address: dot-qmail(5), EXTENSION ADDRESSES.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::recipient::ListOwner;
use super::{DotQmailError, Trust, home};
use crate::mailbox::fs::Dir;

/// A file that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Name in the home directory.
    pub name: OsString,
    /// None for the file that was found.
    pub skip_reason: Option<SkipReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SkipReason {
    Missing,
    /// Not a regular file.
    NotAFile,
}

/// The file of an address.
#[derive(Debug)]
pub(crate) struct DotQmailFile {
    /// Name in the home directory.
    pub name: OsString,
    pub file: File,
    /// The owner may execute it, which allows forwards only.
    pub forward_only: bool,
    /// Start of the part of the extension that `default` matched; None if the name has all of it.
    pub default_offset: Option<usize>,
}

/// Returns an extension in the form of a file name: in lower case, with `-` for the delimiter. It has no dots, so
/// that no `..` leaves the home directory.
pub(crate) fn safe_extension(extension: &[u8], delimiter: Option<u8>) -> Vec<u8> {
    let safe = |&b: &u8| match b {
        b if Some(b) == delimiter => b'-',
        b'.' => b':',
        b => b.to_ascii_lowercase(),
    };
    extension.iter().map(safe).collect()
}

/// Returns the file names of an address in order, each with the offset of its `default`. For `foo-bar` after `-`:
/// `.qmail-foo-bar`, `.qmail-foo-default`, `.qmail-default`; never `foo-bar-default`.
fn candidates(dash: &[u8], extension: &[u8]) -> impl Iterator<Item = (OsString, Option<usize>)> {
    let name = move |middle: &[u8], end: &[u8]| OsString::from_vec([b".qmail", dash, middle, end].concat());
    // The file of an address that ends in default is also a default file.
    let own = extension.ends_with(b"default").then(|| extension.len() - b"default".len());
    let defaults = (0..=extension.len()).rev().filter(|&at| at == 0 || extension[at - 1] == b'-');
    [(name(extension, b""), own)]
        .into_iter()
        .chain(defaults.map(move |at| (name(&extension[..at], b"default"), Some(at))))
}

/// Opens the first regular file of an address. Adds each file that it looked for to `tried`.
///
/// # Errors
/// [`DotQmailError::FileWritable`], [`DotQmailError::NotRootOnly`], and [`DotQmailError::FileUnreadable`] for an
/// existing file that cannot be opened: the next candidate may be for other mail.
pub(crate) fn find(
    home: &Dir,
    dash: &[u8],
    extension: &[u8],
    trust: Trust,
    tried: &mut Vec<Candidate>,
) -> Result<Option<DotQmailFile>, DotQmailError> {
    for (name, default_offset) in candidates(dash, extension) {
        match open(home, &name, trust)? {
            Ok((file, forward_only)) => {
                tried.push(Candidate { name: name.clone(), skip_reason: None });
                return Ok(Some(DotQmailFile { name, file, forward_only, default_offset }));
            }
            Err(reason) => tried.push(Candidate { name, skip_reason: Some(reason) }),
        }
    }
    Ok(None)
}

/// Opens a file. Returns whether its owner may execute it, too.
fn open(home: &Dir, name: &OsStr, trust: Trust) -> Result<Result<(File, bool), SkipReason>, DotQmailError> {
    let path = || home.path().join(name);
    let unreadable = |e: Errno| DotQmailError::FileUnreadable { path: path(), source: e.into() };
    // Follows a symbolic link, and does not wait for a FIFO.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match retry_on_intr(|| rustix::fs::openat(home, name, flags, Mode::empty())) {
        Ok(fd) => fd,
        // No file has a name that is too long; a dangling link is missing, too.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Ok(Err(SkipReason::Missing)),
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(Err(SkipReason::NotAFile)),
        Err(e) => return Err(unreadable(e)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(unreadable)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Err(SkipReason::NotAFile));
    }
    let mode = home::mode(&stat);
    if mode & home::WORLD_WRITABLE != 0 {
        return Err(DotQmailError::FileWritable { path: path(), mode });
    }
    trust.check(&stat, &path())?;
    Ok(Ok((File::from(fd), mode & 0o100 != 0)))
}

/// Finds the owner of a mailing list by the files `-owner` and `-owner-default` of the extension itself, whichever file
/// was found for it.
pub(crate) fn find_list_owner(home: &Dir, dash: &[u8], extension: &[u8]) -> Result<ListOwner, DotQmailError> {
    let exists = |end: &[u8]| {
        let name = OsString::from_vec([b".qmail", dash, extension, end].concat());
        match rustix::fs::statat(home, &name, rustix::fs::AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::ACCESS) => Ok(false),
            Err(e) => Err(DotQmailError::FileUnreadable { path: home.path().join(name), source: e.into() }),
        }
    };
    Ok(match exists(b"-owner")? {
        false => ListOwner::None,
        true if exists(b"-owner-default")? => ListOwner::Verp,
        true => ListOwner::Single,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;

    fn names(dash: &str, extension: &str) -> Vec<String> {
        let extension = safe_extension(extension.as_bytes(), None);
        candidates(dash.as_bytes(), &extension).map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn the_whole_extension_comes_first_and_then_the_longest_default() {
        assert_eq!(names("-", "foo-bar"), [".qmail-foo-bar", ".qmail-foo-default", ".qmail-default"]);
        assert_eq!(names("-", "foo"), [".qmail-foo", ".qmail-default"]);
        assert_eq!(names("-", "foo-"), [".qmail-foo-", ".qmail-foo-default", ".qmail-default"]);
        assert_eq!(names("-", ""), [".qmail-", ".qmail-default"]);
        assert_eq!(names("", ""), [".qmail", ".qmaildefault"]);
        assert_eq!(names("-", "A.B/.."), [".qmail-a:b/::", ".qmail-default"]);
    }

    #[test]
    fn a_second_delimiter_counts_as_a_dash() {
        assert_eq!(safe_extension(b"List+Bob-x", Some(b'+')), b"list-bob-x");
        assert_eq!(safe_extension(b"a.b", Some(b'.')), b"a-b");
    }

    proptest! {
        /// Compares with the rule in reverse: strip the extension from its end, dash by dash.
        #[test]
        fn the_order_is_that_of_dot_qmail(extension in "[a-c-]{0,8}") {
            let mut want = vec![format!(".qmail-{extension}")];
            let mut rest = extension.clone();
            loop {
                while !rest.is_empty() && !rest.ends_with('-') {
                    rest.pop();
                }
                want.push(format!(".qmail-{rest}default"));
                if rest.pop().is_none() {
                    break;
                }
            }
            prop_assert_eq!(names("-", &extension), want);
        }

        #[test]
        fn no_extension_leaves_the_home_directory(extension in proptest::collection::vec(any::<u8>(), 0..20)) {
            let safe = safe_extension(&extension, None);
            prop_assert!(!safe.contains(&b'.'));
        }
    }

    struct Home {
        scratch: tempfile::TempDir,
    }

    impl Home {
        fn new() -> Home {
            Home { scratch: tempfile::tempdir().unwrap() }
        }

        fn file(&self, name: &str, mode: u32) {
            let path = self.scratch.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn find(
            &self,
            extension: &str,
            tried: &mut Vec<Candidate>,
        ) -> Result<Option<DotQmailFile>, DotQmailError> {
            let dir = Dir::open(self.scratch.path()).unwrap();
            find(&dir, b"-", extension.as_bytes(), Trust::Owner, tried)
        }
    }

    #[test]
    fn other_file_types_are_skipped_and_recorded() {
        let home = Home::new();
        fs::create_dir(home.scratch.path().join(".qmail-a-b")).unwrap();
        symlink("nowhere", home.scratch.path().join(".qmail-a-default")).unwrap();
        home.file(".qmail-default", 0o744);
        let mut tried = Vec::new();
        let found = home.find("a-b", &mut tried).unwrap().unwrap();
        assert_eq!((found.name.to_str(), found.forward_only), (Some(".qmail-default"), true));
        let reasons: Vec<_> = tried.iter().map(|tried| tried.skip_reason).collect();
        assert_eq!(reasons, [Some(SkipReason::NotAFile), Some(SkipReason::Missing), None]);
        assert!(home.find(&"x".repeat(400), &mut tried).unwrap().is_some());
        assert!(Home::new().find("a", &mut tried).unwrap().is_none());
    }

    #[test]
    fn a_world_writable_file_is_refused() {
        let home = Home::new();
        home.file(".qmail-a", 0o646);
        home.file(".qmail-default", 0o664);
        assert!(matches!(
            home.find("a", &mut Vec::new()),
            Err(DotQmailError::FileWritable { mode: 0o646, .. })
        ));
        assert!(home.find("b", &mut Vec::new()).unwrap().is_some());
    }

    #[test]
    fn a_list_has_verp_only_if_it_has_an_owner() {
        let home = Home::new();
        let dir = Dir::open(home.scratch.path()).unwrap();
        home.file(".qmail-list-owner-default", 0o644);
        assert_eq!(find_list_owner(&dir, b"-", b"list").unwrap(), ListOwner::None);
        home.file(".qmail-list-owner", 0o644);
        assert_eq!(find_list_owner(&dir, b"-", b"list").unwrap(), ListOwner::Verp);
        fs::remove_file(home.scratch.path().join(".qmail-list-owner-default")).unwrap();
        assert_eq!(find_list_owner(&dir, b"-", b"list").unwrap(), ListOwner::Single);
    }
}
