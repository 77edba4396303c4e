//! mbsync (isync), which copies an account into a local store and remembers the UIDs of what it has.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::account::Home;
use crate::peers::{Dovecot, peer};
use crate::support::*;

pub(crate) fn have_mbsync() -> bool {
    if !have("mbsync", &["--version"]) {
        skip!("mbsync is not here");
    }
    true
}

/// A client with its store in the directory `client` of a home, and its memory in `state`.
pub(crate) struct Client<'a> {
    home: &'a Home,
}

/// What a synchronization did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub code: Option<i32>,
    pub folders: usize,
    /// Messages added, changed and removed at the server.
    pub pushed: [usize; 3],
    /// Messages added, changed and removed in the local store.
    pub pulled: [usize; 3],
    /// Headers and bodies that Dovecot was asked for.
    pub fetched: [usize; 2],
    /// Lines such as `Error: channel all, far side box INBOX: Unable to recover from UIDVALIDITY change.`
    pub notices: Vec<String>,
}

impl Sync {
    /// Returns what a client does for which nothing has changed.
    pub(crate) fn nothing(folders: usize) -> Sync {
        Sync { code: Some(0), folders, pushed: [0; 3], pulled: [0; 3], fetched: [0; 2], notices: Vec::new() }
    }
}

impl Client<'_> {
    pub(crate) fn new(home: &Home) -> Client<'_> {
        for directory in ["client", "state"] {
            fs::create_dir(home.path(directory)).unwrap();
        }
        Client { home }
    }

    /// Synchronizes all folders in both directions with a server, which runs on a pipe as over ssh.
    #[track_caller]
    pub(crate) fn syncs(&self, dovecot: &Dovecot) -> Sync {
        let root = self.home.root().display();
        let settings = format!(
            "IMAPStore far\nTunnel \"{}\"\nTimeout 50\n\n\
             MaildirStore near\nPath {root}/client/\nInbox {root}/client/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns *\nSync All\nCreate Both\nRemove Both\nExpunge Both\n\
             SyncState {root}/state/\n",
            dovecot.imap_command()
        );
        fs::write(self.home.path("mbsyncrc"), settings).unwrap();
        let mut command = peer("mbsync", self.home.root());
        command.args(["-c", "mbsyncrc", "-a"]);
        // It shows its counts only on a terminal.
        let run = run_on_terminal(command, 200);
        Sync::of(&run)
    }

    /// Returns the messages in the local store, with their inodes and times: none is written again.
    pub(crate) fn store(&self) -> Vec<(PathBuf, u64, i64)> {
        let root = self.home.path("client");
        let paths = tree(&root).into_keys().filter(|path| path.parent().is_some_and(is_subdir));
        paths
            .map(|path| {
                let meta = fs::metadata(root.join(&path)).unwrap();
                (path, meta.ino(), meta.mtime())
            })
            .collect()
    }
}

fn is_subdir(path: &std::path::Path) -> bool {
    path.ends_with("cur") || path.ends_with("new")
}

impl Sync {
    /// Parses the last of the counts `C: 1/1  B: 2/2  F: +0/0 *0/0 #0/0  N: +0/0 *0/0 #0/0`, and Dovecot's
    /// statistics.
    #[track_caller]
    fn of(run: &Run) -> Sync {
        let text = run.text();
        let counts = text.rsplit_once("B: ").unwrap_or_else(|| panic!("no counts in {text}")).1;
        let number =
            |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
        let after = |text: &str, name: &str| number(text.split_once(name)?.1);
        let side = |name: &str| {
            let side = counts.split_once(name).expect("both sides are counted").1;
            ["+", "*", "#"].map(|name| after(side, name).expect("it is counted"))
        };
        let is_notice =
            |line: &&str| ["Error", "Warning", "Notice", "Fatal"].iter().any(|word| line.contains(word));
        let lines = text.split(['\n', '\r']).map(|line| line.trim());
        Sync {
            code: run.code,
            folders: number(counts).unwrap_or_default(),
            pushed: side("F: "),
            pulled: side("N: "),
            fetched: [" hdr_count=", " body_count="]
                .map(|name| after(&text, name).expect("Dovecot's statistics")),
            notices: lines.filter(is_notice).map(str::to_owned).collect(),
        }
    }
}
