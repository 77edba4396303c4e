//! Creates a Maildir, or a folder of one, for a delivery. Completes what a killed process left unfinished.
//! Several processes may create the same Maildir at once.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::mailbox::fs::foreign::{refuse_foreign_links, refuse_foreign_maildir};
use crate::mailbox::fs::{Dir, Modes, parent_of, sync_parent};
use crate::mailbox::maildir::destination::check_destination;
use crate::mailbox::maildir::detect;
use crate::mailbox::{Error, Result, display_path};

/// Modes of everything a delivery creates; only the umask restricts them.
const MODES: Modes = Modes { files: Some(0o666) };

/// Opens a Maildir and creates its missing parts. These are its directory, tmp/, new/ and cur/. A folder
/// `.A.B` of a Maildir also gets the file maildirfolder. Everything is on stable storage on return. The
/// parent directory must exist.
///
/// # Errors
/// [`Error::Destination`] if the directory has other contents or the path has no last part; [`Error::Io`].
pub(crate) fn open_or_create(path: &Path) -> Result<Dir> {
    refuse_foreign_links(path)?;
    let dir = match Dir::open(path) {
        Err(error) if error.is(io::ErrorKind::NotFound) => make_directory(path)?,
        opened => opened?,
    };
    refuse_foreign_maildir(path, &dir)?;
    // A mistyped path must not add a Maildir to a directory of other files.
    check_destination(path)?;
    complete(&dir, detect::is_maildirpp_folder(path), MODES)?;
    // Flush even if nothing was missing. The process that created it may have been killed before its flush,
    // or may still be running.
    dir.sync()?;
    sync_parent(path)?;
    Ok(dir)
}

/// Creates the missing parts of a Maildir in its directory, with these modes. Nothing is flushed.
pub(crate) fn complete(dir: &Dir, is_folder: bool, modes: Modes) -> Result<()> {
    for name in ["tmp", "new"] {
        dir.open_or_create_dir(OsStr::new(name), modes.dir_mode())?;
    }
    // The file comes after tmp/ and new/. The next run would reject a directory that contains only this file.
    if is_folder {
        match dir.create_file(OsStr::new("maildirfolder"), modes.file_mode()) {
            Err(error) if error.is(io::ErrorKind::AlreadyExists) => {}
            made => drop(made?),
        }
    }
    dir.open_or_create_dir(OsStr::new("cur"), modes.dir_mode()).map(drop)
}

/// Creates the missing directories between `from` and the last part of `path`, which is not created. `from`
/// must exist. The directories are on stable storage on return. Returns those that it created; on an error they are
/// removed.
///
/// # Errors
/// [`Error::Destination`] for a path that is not below `from`; [`Error::Io`].
pub(crate) fn create_parents(path: &Path, from: &Path) -> Result<Vec<PathBuf>> {
    let below = path.strip_prefix(from).unwrap_or(path);
    let mut created = Vec::new();
    let mut create = || {
        let mut dir = Dir::open(from)?;
        for part in below.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(name) = part else {
                return Err(Error::destination(path, format!("is not below {}", display_path(from))));
            };
            let (child, is_new) = dir.open_or_create_dir(name, MODES.dir_mode())?;
            if is_new {
                created.push(child.path().to_owned());
            }
            // Flush even if the child existed. The process that created it may have been killed before its flush.
            dir.sync()?;
            dir = child;
        }
        Ok(())
    };
    match create() {
        Ok(()) => Ok(created),
        Err(error) => {
            remove_empty(&created);
            Err(error)
        }
    }
}

/// Removes directories that [`create_parents`] created, as far as they are empty.
pub(crate) fn remove_empty(created: &[PathBuf]) {
    let remove = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        Dir::open(parent_of(path)).and_then(|parent| parent.remove_empty(name))
    };
    // The first one that is not empty, or that another program has removed, ends it.
    let _ = created.iter().rev().try_for_each(remove);
}

fn make_directory(path: &Path) -> Result<Dir> {
    let name =
        path.file_name().ok_or_else(|| Error::destination(path, "does not end in a name for a Maildir"))?;
    Ok(Dir::open(parent_of(path))?.open_or_create_dir(name, MODES.dir_mode())?.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::mailbox::maildir::create::*;

    fn is_maildir(path: &Path) -> bool {
        detect::is_maildir(path).unwrap()
    }

    #[test]
    fn a_maildir_and_its_folder_are_created() {
        let temp = tempfile::tempdir().unwrap();
        let maildir = temp.path().join("Maildir");
        for _ in 0..2 {
            open_or_create(&maildir).unwrap();
            assert!(is_maildir(&maildir) && maildir.join("tmp").is_dir());
            assert!(!maildir.join("maildirfolder").exists());
            open_or_create(&maildir.join(".A.B")).unwrap();
            assert!(is_maildir(&maildir.join(".A.B")) && maildir.join(".A.B/maildirfolder").is_file());
        }
        // A leading dot does not turn a Maildir into a folder unless its parent is a Maildir.
        open_or_create(&temp.path().join(".maildir")).unwrap();
        assert!(!temp.path().join(".maildir/maildirfolder").exists());
    }

    #[test]
    fn parents_are_created_only_below_the_given_directory() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for created in [vec![path("a"), path("a/b")], vec![]] {
            assert_eq!(create_parents(&path("a/b/Maildir/"), temp.path()).unwrap(), created);
            assert!(path("a/b").is_dir() && !path("a/b/Maildir").exists());
        }
        fs::write(path("a/mail"), "").unwrap();
        remove_empty(&[path("a"), path("a/b")]);
        assert!(path("a").is_dir() && !path("a/b").exists());
        fs::write(path("a/file"), "").unwrap();
        assert!(create_parents(&path("a/c/d/../x"), temp.path()).is_err());
        assert!(!path("a/c").exists());
        assert!(create_parents(&temp.path().join("c/../../d/x"), temp.path()).is_err());
        assert!(create_parents(Path::new("/elsewhere/x"), temp.path()).is_err());
        assert!(create_parents(&temp.path().join("gone/a/b"), &temp.path().join("gone")).is_err());
    }

    #[test]
    fn a_maildir_left_incomplete_by_a_kill_is_completed() {
        let made = ["", "tmp", "new", "maildirfolder", "cur"];
        for survived in 0..made.len() {
            let temp = tempfile::tempdir().unwrap();
            open_or_create(temp.path()).unwrap();
            let folder = temp.path().join(".A");
            for name in &made[..=survived] {
                match *name {
                    "maildirfolder" => fs::write(folder.join(name), "").unwrap(),
                    name => fs::create_dir_all(folder.join(name)).unwrap(),
                }
            }
            open_or_create(&folder).unwrap();
            assert!(
                is_maildir(&folder) && folder.join("tmp").is_dir() && folder.join("maildirfolder").is_file()
            );
        }
    }

    #[test]
    fn several_processes_can_create_the_same_maildir() {
        for _ in 0..20 {
            let temp = tempfile::tempdir().unwrap();
            open_or_create(temp.path()).unwrap();
            let folder = temp.path().join(".A");
            std::thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(|| open_or_create(&folder).map(drop))).collect();
                all.into_iter().for_each(|one| one.join().unwrap().unwrap());
            });
        }
    }

    #[test]
    fn no_maildir_is_created_among_other_files_or_without_a_parent() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("photograph.jpg"), "").unwrap();
        assert!(matches!(open_or_create(temp.path()), Err(Error::Destination { .. })));
        assert!(matches!(open_or_create(&temp.path().join("photograph.jpg")), Err(Error::Io { .. })));
        assert!(open_or_create(&temp.path().join("absent/Maildir")).is_err());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
