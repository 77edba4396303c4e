//! Which `.qmail` file is an address's? dot-qmail(5), EXTENSION ADDRESSES.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::home::{self, Trust};
use crate::deliver::dot_qmail::error::DotQmailError;
use crate::mailbox::fs::durable::Dir;

/// A file that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in the home directory.
    pub name: OsString,
    /// Why it was not taken; None for the one that was.
    pub skip_reason: Option<SkipReason>,
}

/// Why a file was not taken, and the next one was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// There is none.
    Missing,
    /// There is one, but no regular file.
    NotAFile,
}

/// The file that was found.
#[derive(Debug)]
pub struct DotQmailFile {
    /// Its name in the home directory.
    pub name: OsString,
    /// It, open for reading.
    pub file: File,
    /// Whether its owner may execute it: then it may only forward.
    pub forward_only: bool,
    /// Where in the extension `default` stands for the rest; None for a file that names all of it.
    pub default_offset: Option<usize>,
}

/// An extension as it is in the name of a file: lower case, and no dots, so that no `..` leaves the home
/// directory. `delimiter` counts as `-`.
pub fn safe_extension(extension: &[u8], delimiter: Option<u8>) -> Vec<u8> {
    let safe = |&b: &u8| match b {
        b if Some(b) == delimiter => b'-',
        b'.' => b':',
        b => b.to_ascii_lowercase(),
    };
    extension.iter().map(safe).collect()
}

/// The names to look for, in order, each with where in the extension its `default` begins. For `foo-bar`
/// behind `-`: `.qmail-foo-bar`, `.qmail-foo-default`, `.qmail-default`; never `foo-bar-default`.
pub fn candidates(dash: &[u8], safe: &[u8]) -> impl Iterator<Item = (OsString, Option<usize>)> {
    let name = move |middle: &[u8], end: &[u8]| OsString::from_vec([b".qmail", dash, middle, end].concat());
    // A file that is itself called default stands for all that is no other one's.
    let own = safe.ends_with(b"default").then(|| safe.len() - b"default".len());
    let defaults = (0..=safe.len()).rev().filter(|&at| at == 0 || safe[at - 1] == b'-');
    [(name(safe, b""), own)]
        .into_iter()
        .chain(defaults.map(move |at| (name(&safe[..at], b"default"), Some(at))))
}

/// The first of the candidates that is a regular file. What was looked at is added to `tried`.
///
/// # Errors
/// [`Trouble::FileWritable`], [`Trouble::NotOnlyRoots`], and [`Trouble::Unreadable`] for what is there and cannot be opened: the next
/// candidate might do something else with mail that is not meant for it.
pub fn find(
    home: &Dir,
    dash: &[u8],
    safe: &[u8],
    trust: Trust,
    tried: &mut Vec<Candidate>,
) -> Result<Option<DotQmailFile>, DotQmailError> {
    for (name, default_at) in candidates(dash, safe) {
        match open(home, &name, trust)? {
            Ok((file, forward_only)) => {
                tried.push(Candidate { name: name.clone(), skip_reason: None });
                return Ok(Some(DotQmailFile { name, file, forward_only, default_offset: default_at }));
            }
            Err(why_not) => tried.push(Candidate { name, skip_reason: Some(why_not) }),
        }
    }
    Ok(None)
}

/// Opens a file, and says whether its owner may execute it.
fn open(home: &Dir, name: &OsStr, trust: Trust) -> Result<Result<(File, bool), SkipReason>, DotQmailError> {
    let path = || home.path().join(name);
    let unreadable = |e: Errno| DotQmailError::FileUnreadable { path: path(), source: e.into() };
    // A FIFO is not waited for, and a symbolic link is followed.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match retry_on_intr(|| rustix::fs::openat(home, name, flags, Mode::empty())) {
        Ok(fd) => fd,
        // A name that is too long is that of no file; a dangling link is none either.
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

/// Whether a mailing list here has an owner, and one that takes each bounce by itself: the files `-owner`
/// and `-owner-default` behind the extension itself, whichever file was found for it.
pub fn find_list_owner(home: &Dir, dash: &[u8], safe: &[u8]) -> Result<ListOwner, DotQmailError> {
    let is_there = |end: &[u8]| {
        let name = OsString::from_vec([b".qmail", dash, safe, end].concat());
        match rustix::fs::statat(home, &name, rustix::fs::AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::ACCESS) => Ok(false),
            Err(e) => Err(DotQmailError::FileUnreadable { path: home.path().join(name), source: e.into() }),
        }
    };
    Ok(match is_there(b"-owner")? {
        false => ListOwner::None,
        true if is_there(b"-owner-default")? => ListOwner::Verp,
        true => ListOwner::Single,
    })
}

/// Who hears of bounces instead of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOwner {
    /// The sender himself.
    None,
    /// `LOCAL-owner`.
    Single,
    /// `LOCAL-owner-RECIPIENT`: variable envelope return paths.
    Verp,
}

/// For messages.
pub fn shown(name: &OsStr) -> String {
    crate::mailbox::text::escape(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;

    fn names(dash: &str, extension: &str) -> Vec<String> {
        let safe = safe_extension(extension.as_bytes(), None);
        candidates(dash.as_bytes(), &safe).map(|(name, _)| name.into_string().unwrap()).collect()
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
        /// Against the rule said the other way round: strip the extension from its end, dash by dash.
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
    fn what_is_no_file_is_passed_over_and_told() {
        let home = Home::new();
        fs::create_dir(home.scratch.path().join(".qmail-a-b")).unwrap();
        symlink("nowhere", home.scratch.path().join(".qmail-a-default")).unwrap();
        home.file(".qmail-default", 0o744);
        let mut tried = Vec::new();
        let found = home.find("a-b", &mut tried).unwrap().unwrap();
        assert_eq!((found.name.to_str(), found.forward_only), (Some(".qmail-default"), true));
        let why: Vec<_> = tried.iter().map(|tried| tried.skip_reason).collect();
        assert_eq!(why, [Some(SkipReason::NotAFile), Some(SkipReason::Missing), None]);
        assert!(home.find(&"x".repeat(400), &mut tried).unwrap().is_some());
        assert!(Home::new().find("a", &mut tried).unwrap().is_none());
    }

    #[test]
    fn a_file_that_anybody_may_write_is_not_believed() {
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
    fn a_list_has_an_owner_for_each_bounce_only_if_it_has_one() {
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
