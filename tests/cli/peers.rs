//! Mail readers: Dovecot shows the converted mail over IMAP, and mutt copies it.
//!
//! Both run as processes of a user on scratch directories: no service, no port, and a time limit. The tests
//! do not compare what a reader may handle differently: mutt knows three flags, and both keep the quoting of
//! an mbox.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::*;

/// Dovecot's servers on standard input and output, as its login processes start them, and its delivery agent.
const IMAP: &str = "/usr/lib/dovecot/imap";
const POP3: &str = "/usr/lib/dovecot/pop3";
const LDA: &str = "/usr/lib/dovecot/dovecot-lda";

pub(crate) const NOBODY: u32 = 65534;

/// Every flag that has an mbox field, and From_ dates with and without zone; then what IMAP must show.
const FLAGS_AND_DATES: [(&str, &str, &str, &str); 12] = [
    ("Mon Mar  2 08:15:00 1998", "", "", "02-Mar-1998 08:15:00 +0000"),
    ("Mon Mar  2 08:15:00 1998 +0100", "Status: O\n", "", "02-Mar-1998 07:15:00 +0000"),
    ("Mon Mar  2 08:15:00 EST 1998", "Status: R\n", "\\Seen", "02-Mar-1998 13:15:00 +0000"),
    ("Sun Feb 29 23:59:59 -0800 2004", "Status: RO\n", "\\Seen", "01-Mar-2004 07:59:59 +0000"),
    ("Thu Feb 29 12:00 1996", "X-Status: A\n", "\\Answered", "29-Feb-1996 12:00:00 +0000"),
    ("Thu Dec 31 23:59:59 1998", "X-Status: F\n", "\\Flagged", "31-Dec-1998 23:59:59 +0000"),
    ("Sat Jan  1 00:00:00 2000", "X-Status: T\n", "\\Draft", "01-Jan-2000 00:00:00 +0000"),
    ("Sun, 26 Mar 2000 02:30:00 +0200", "X-Status: D\n", "\\Deleted", "26-Mar-2000 00:30:00 +0000"),
    (
        "Wed Sep 12 01:46:40 2001 GMT",
        "Status: RO\nX-Status: AFTD\n",
        "\\Answered \\Deleted \\Draft \\Flagged \\Seen",
        "12-Sep-2001 01:46:40 +0000",
    ),
    (
        "2003-04-05T06:07:08Z",
        "X-Mozilla-Status: 0007\n",
        "\\Answered \\Flagged \\Seen",
        "05-Apr-2003 06:07:08 +0000",
    ),
    ("Tue May  6 07:08:09 2003", "X-Mozilla-Status: 0008\n", "\\Deleted", "06-May-2003 07:08:09 +0000"),
    ("Wed May  7 07:08:09 2003", "X-Mozilla-Status: 1001\n", "\\Seen", "07-May-2003 07:08:09 +0000"),
];

fn flags_and_dates() -> String {
    let message = |(n, (date, fields, ..)): (usize, &(&str, &str, &str, &str))| {
        format!(
            "From ada@example.org {date}\nFrom: ada@example.org\nSubject: number {n}\n{fields}\ntext {n}\n\n"
        )
    };
    FLAGS_AND_DATES.iter().enumerate().map(message).collect()
}

/// Bytes that readers count differently, or not at all.
fn odd_bytes() -> Vec<u8> {
    let invalid: [&[u8]; 11] = [
        b"Subject: nul\n\na\0b\n\0\0\0\n",
        b"Subject: 8-bit \xe4\xff\n\n\xfe\x80 \xc3\xa4\n",
        b"Subject: CRLF\r\n\r\nall of it\r\n\r\nso\r\n",
        b"Subject: some CRLF\n\none\r\ntwo\nthree\r\r\nfour\n",
        b"Subject: lone CR\n\na\rb\r\rc\n",
        b"Subject: quoted\n\n>From here\n>>From there\n> From nowhere\n",
        b"Subject: blank lines\n\nx\n\n\n\n",
        b"Subject: only a header\n",
        b"Subject: empty body\n\n",
        b"",
        b"Subject: no final newline\n\nlast line",
    ];
    let mut mbox = Vec::new();
    for (n, message) in invalid.iter().enumerate() {
        if n > 0 {
            mbox.push(b'\n');
        }
        mbox.extend_from_slice(format!("From ada@example.org Mon Mar  2 08:15:{n:02} 1998\n").as_bytes());
        mbox.extend_from_slice(message);
    }
    mbox
}

/// Real mail: a list that keeps its Received fields, and one without blank lines between messages.
const REAL: [&str; 2] = ["tool-made/lei/slice.mboxrd", "twisted-pipermail/twisted-web/2005-November.txt"];

/// Returns the mboxes in this directory.
fn mboxes(directory: &Path) -> Vec<PathBuf> {
    let mut mboxes = Vec::new();
    for name in ["inbox.mbox", "crlf.mbox", "mmdf.mbox", "broken.mbox"] {
        fs::copy(fixture(name), directory.join(name)).unwrap();
        mboxes.push(directory.join(name));
    }
    for (name, content) in [("flags.mbox", flags_and_dates().into_bytes()), ("bytes.mbox", odd_bytes())] {
        fs::write(directory.join(name), content).unwrap();
        mboxes.push(directory.join(name));
    }
    if let Some(packed) = shared("corpus/open.tar.zst") {
        let packed = zstd::Decoder::new(fs::File::open(packed).unwrap()).unwrap();
        for entry in tar::Archive::new(packed).entries().unwrap() {
            let mut entry = entry.unwrap();
            if REAL.iter().any(|real| Path::new(real) == entry.path().unwrap()) {
                let path = directory.join(entry.path().unwrap().file_name().unwrap());
                entry.unpack(&path).unwrap();
                mboxes.push(path);
            }
        }
        assert_eq!(mboxes.len(), 6 + REAL.len(), "{REAL:?} is not in the archive");
    }
    mboxes
}

/// Returns a program that runs for a user with this home. If the test runs as root, which has no mail in
/// Dovecot, another user gets all files there. The program ends by itself or by the time limit.
pub(crate) fn peer(program: &str, home: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]);
    command.env_clear().envs([("TZ", "UTC"), ("LANG", "C"), ("TERM", "dumb"), ("USER", "ada")]);
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", home);
    command.current_dir(home).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        let paths = tree(home).into_keys().map(|path| home.join(path));
        for path in paths.chain([home.to_owned()]) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A message as Dovecot shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub uid: u32,
    /// The name of its file without the info, in a Maildir.
    pub guid: String,
    pub flags: BTreeSet<String>,
    pub is_recent: bool,
    pub internal_date: String,
    pub size: u64,
    pub body: Vec<u8>,
}

/// Dovecot with the mail at one location.
pub(crate) struct Dovecot {
    home: PathBuf,
    configuration: PathBuf,
    /// A killed run may have listed a message that it had not published. Dovecot gives it another UID, and says so.
    is_after_kill: bool,
}

pub(crate) fn have_dovecot() -> bool {
    if !Path::new(IMAP).exists() {
        skip!("dovecot is not here");
    }
    let version = run(wrapped("exec \"$@\"", ["dovecot"], ["--version"])).text();
    if !version.starts_with("2.3.") {
        skip!("dovecot is {}, and its settings here are those of 2.3", version.trim());
    }
    true
}

pub(crate) fn have_pop3() -> bool {
    if !Path::new(POP3).exists() {
        skip!("Dovecot's POP3 server is not here");
    }
    true
}

impl Dovecot {
    pub(crate) fn over(location: &str, home: &Path) -> Dovecot {
        let configuration = home.join("dovecot.conf");
        let home = home.to_owned();
        let at = home.display();
        let settings = format!(
            "base_dir = {at}/run\nstate_dir = {at}/run\nprotocols = imap\nssl = no\nmail_location = {location}\n"
        );
        fs::write(&configuration, settings).unwrap();
        Dovecot { home, configuration, is_after_kill: false }
    }

    /// Adds the quota of the Maildir's file maildirsize.
    pub(crate) fn with_quota(self) -> Dovecot {
        self.with("mail_plugins = quota imap_quota\nplugin {\n  quota = maildir:User quota\n}\n")
    }

    /// Adds the plugin that undoes the escapes in names, which may contain the separator of the layout.
    pub(crate) fn with_listescape(self) -> Dovecot {
        self.with_slashes().with("mail_plugins = listescape\n")
    }

    /// Sets a separator between folder levels that all formats have in common.
    pub(crate) fn with_slashes(self) -> Dovecot {
        self.with("namespace inbox {\n  inbox = yes\n  separator = /\n}\n")
    }

    /// Accepts the warning about a message that a killed run had listed, and not published.
    pub(crate) fn after_a_kill(self) -> Dovecot {
        Dovecot { is_after_kill: true, ..self }
    }

    /// Adds settings.
    pub(crate) fn with(self, settings: &str) -> Dovecot {
        let before = fs::read_to_string(&self.configuration).unwrap();
        fs::write(&self.configuration, before + settings).unwrap();
        self
    }

    /// Returns the command that starts the IMAP server.
    pub(crate) fn imap_command(&self) -> String {
        format!("{IMAP} -c {}", self.configuration.display())
    }

    /// Delivers a message to a folder, as a mail server does.
    #[track_caller]
    pub(crate) fn delivers(&self, folder: &str, message: &str) {
        run_with_stdin(self.delivery(folder), message).exits(0);
    }

    /// Returns the command that delivers standard input to a folder.
    pub(crate) fn delivery(&self, folder: &str) -> Command {
        let mut command = peer(LDA, &self.home);
        command.arg("-c").arg(&self.configuration).args(["-m", folder]);
        command
    }

    /// Returns the UIDVALIDITY and the UIDNEXT of a folder, which is not opened.
    #[track_caller]
    pub(crate) fn status(&self, folder: &str) -> [u32; 2] {
        let folder = quoted(folder);
        let session = format!("1 STATUS \"{folder}\" (UIDVALIDITY UIDNEXT)\r\n2 LOGOUT\r\n");
        let replies = self.answers(&session);
        let status = replies.iter().find(|reply| reply.text.starts_with("* STATUS ")).expect("a status");
        ["UIDVALIDITY ", "UIDNEXT "].map(|name| {
            let number = status.text.rsplit_once(name).expect("its value").1.split([' ', ')']).next();
            number.and_then(|number| number.parse().ok()).expect("a number")
        })
    }

    /// Returns the lines that follow the answers to these POP3 commands, which all succeed and have such lines.
    #[track_caller]
    pub(crate) fn pop3(&self, commands: &[&str]) -> Vec<String> {
        let mut command = peer(POP3, &self.home);
        command.arg("-c").arg(&self.configuration);
        let session: String = commands.iter().chain(&["QUIT"]).map(|line| format!("{line}\r\n")).collect();
        let ends = |answers: &[u8]| memchr::memmem::find_iter(answers, b"\r\n.\r\n").count();
        // A refused command has no end of its own.
        let refused = |answers: &[u8]| memchr::memmem::find_iter(answers, b"\r\n-ERR").count();
        let is_answered = |answers: &[u8]| ends(answers) + refused(answers) >= commands.len();
        let run = conversation(command, &session, is_answered).exits(0);
        self.did_not_complain(&run);
        let text = run.text().replace("\r\n", "\n");
        let answers: Vec<String> = text
            .split_inclusive("\n.\n")
            .filter_map(|answer| {
                answer.strip_suffix(".\n")?.split_once('\n').map(|(_, lines)| lines.to_owned())
            })
            .collect();
        assert_eq!(answers.len(), commands.len(), "{text}\n{}", run.stderr);
        answers
    }

    #[track_caller]
    fn did_not_complain(&self, run: &Run) {
        let is_usual = |line: &&str| {
            line.contains(": Info: ") || self.is_after_kill && line.contains("Expunged message reappeared")
        };
        let complaints: Vec<&str> = run.stderr.lines().filter(|line| !is_usual(line)).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Returns the answers of a session in which every command succeeds.
    #[track_caller]
    pub(crate) fn answers(&self, session: &str) -> Vec<Reply> {
        let mut command = peer(IMAP, &self.home);
        command.arg("-c").arg(&self.configuration);
        // Other lines of a session are those of messages.
        let is_command = |line: &&str| line.split(' ').next().is_some_and(|tag| tag.parse::<u32>().is_ok());
        let tags = session.lines().filter(is_command).count();
        let last = format!("\r\n{} ", tags - 1);
        let is_answered = |answers: &[u8]| memchr::memmem::rfind(answers, last.as_bytes()).is_some();
        let run = conversation(command, session, is_answered).exits(0);
        self.did_not_complain(&run);
        let replies = replies(&run.stdout);
        for tag in 1..=tags {
            let is_ok = |reply: &Reply| reply.text.starts_with(&format!("{tag} OK "));
            assert!(replies.iter().any(is_ok), "{tag}: {:#?}", run.text());
        }
        replies
    }

    /// Returns the quota: storage in units of 1024 bytes and messages, each with its limit.
    #[track_caller]
    pub(crate) fn quota(&self) -> String {
        let replies = self.answers("1 GETQUOTAROOT INBOX\r\n2 LOGOUT\r\n");
        let quota = replies.iter().find_map(|reply| reply.text.strip_prefix("* QUOTA \"User quota\" "));
        quota.unwrap_or_else(|| panic!("no quota")).to_owned()
    }

    /// Deletes all messages in the INBOX.
    #[track_caller]
    pub(crate) fn expunges_all(&self) {
        self.answers("1 SELECT INBOX\r\n2 STORE 1:* +FLAGS (\\Deleted)\r\n3 EXPUNGE\r\n4 LOGOUT\r\n");
    }

    /// Opens the INBOX as a mail reader does, and reads everything.
    #[track_caller]
    pub(crate) fn shows(&self) -> Vec<Shown> {
        self.shows_in("INBOX")
    }

    /// Opens a folder. It asks for sizes before bytes: then Dovecot uses W=, and complains if the bytes
    /// differ.
    #[track_caller]
    pub(crate) fn shows_in(&self, folder: &str) -> Vec<Shown> {
        let folder = quoted(folder);
        let session = format!(
            "1 SELECT \"{folder}\"\r\n\
             2 UID FETCH 1:* (UID X-GUID FLAGS INTERNALDATE RFC822.SIZE)\r\n\
             3 UID FETCH 1:* (BODY.PEEK[])\r\n\
             4 LOGOUT\r\n"
        );
        let replies = self.answers(&session);
        let bodies: Vec<&Reply> = replies.iter().filter(|r| r.text.contains(" BODY[] ")).collect();
        let shown = replies.iter().filter(|r| r.text.contains(" X-GUID ")).zip(&bodies);
        let shown: Vec<Shown> = shown.map(|(line, body)| Shown::of(&line.text, &body.literal)).collect();
        let exists = replies.iter().find_map(|r| r.text.strip_prefix("* ")?.strip_suffix(" EXISTS"));
        assert_eq!(exists.unwrap().parse(), Ok(shown.len()), "{} bodies", bodies.len());
        shown
    }
}

/// Returns a name as it is written between quotes in IMAP.
fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Runs a session to its end. Its last line ends it, and is sent when all else `is_answered`: Dovecot drops the
/// answers that it has not written yet.
fn conversation(mut command: Command, session: &str, is_answered: impl Fn(&[u8]) -> bool) -> Run {
    let (commands, end) = session.trim_end().rsplit_once("\r\n").expect("two lines");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the command runs");
    let mut line = child.stdin.take().expect("it is piped");
    write!(line, "{commands}\r\n").unwrap();
    let (mut answers, mut is_ending) = (Vec::new(), false);
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut chunk = vec![0; 1 << 16];
    loop {
        let length = stdout.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        answers.extend_from_slice(&chunk[..length]);
        if !is_ending && is_answered(&answers) {
            write!(line, "{end}\r\n").unwrap();
            is_ending = true;
        }
    }
    let output = child.wait_with_output().unwrap();
    drop(line);
    Run::of(Output { stdout: answers, ..output })
}

/// A line of a session, and its literal.
pub(crate) struct Reply {
    pub text: String,
    literal: Vec<u8>,
}

/// Parses the answers of a server; see RFC 3501, section 4.3, for literals.
fn replies(mut rest: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !rest.is_empty() {
        let (mut text, mut literal) = (String::new(), Vec::new());
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n").expect("a line has an end");
            let line = std::str::from_utf8(&rest[..end]).expect("outside of literals all is text");
            rest = &rest[end + 2..];
            text += line;
            let size = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')?.1.parse().ok());
            let Some(size) = size else { break };
            let (bytes, after) = rest.split_at(size);
            (literal, rest) = (bytes.to_vec(), after);
        }
        replies.push(Reply { text, literal });
    }
    replies
}

impl Shown {
    #[track_caller]
    fn of(line: &str, body: &[u8]) -> Shown {
        let between = |before: &str, after: &[char]| {
            let value = line.split_once(before).and_then(|(_, value)| value.split(after).next());
            value.unwrap_or_else(|| panic!("no {before} in {line}"))
        };
        let number = |name| between(name, &[' ', ')']).parse::<u64>().expect("a number");
        let mut flags = words(between("FLAGS (", &[')']));
        Shown {
            uid: number("UID ").try_into().expect("32 bits"),
            guid: between("X-GUID ", &[' ']).to_owned(),
            is_recent: flags.remove("\\Recent"),
            flags,
            internal_date: between("INTERNALDATE \"", &['"']).to_owned(),
            size: number("RFC822.SIZE "),
            body: body.to_vec(),
        }
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Returns the IMAP flags for the letters of a Maildir. P has no counterpart.
fn imap_flags(letters: &str) -> BTreeSet<String> {
    let name = |letter| match letter {
        'D' => Some("\\Draft"),
        'F' => Some("\\Flagged"),
        'R' => Some("\\Answered"),
        'S' => Some("\\Seen"),
        'T' => Some("\\Deleted"),
        'P' => None,
        other => panic!("no flag has the letter {other:?}"),
    };
    letters.chars().filter_map(name).map(str::to_owned).collect()
}

fn imap_date(epoch: i64) -> String {
    let time = jiff::Timestamp::from_second(epoch).unwrap();
    time.strftime("%d-%b-%Y %H:%M:%S +0000").to_string()
}

/// Returns a message as IMAP transmits it: every line ends in CRLF, and Dovecot's replacement is in place of
/// NUL, which IMAP cannot transmit.
fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (at, &byte) in message.iter().enumerate() {
        match byte {
            b'\n' if at == 0 || message[at - 1] != b'\r' => wire.extend_from_slice(b"\r\n"),
            b'\0' => wire.push(0x80),
            _ => wire.push(byte),
        }
    }
    wire
}

/// Returns what `inspect` lists for a Maildir: file, epoch, flags, length.
#[track_caller]
fn listed(maildir: &Path) -> BTreeSet<(String, i64, String, u64)> {
    let list = run(mailferry(["inspect".as_ref(), "--json".as_ref(), maildir.as_os_str()])).exits(0).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let rows = list.iter().filter(|object| object["type"] == "message").map(|row| {
        (text(&row["file"]), row["epoch"].as_i64().unwrap(), text(&row["flags"]), count(row, "length"))
    });
    rows.collect()
}

/// Converts this mbox into a Maildir.
#[track_caller]
fn converted(mbox: &Path) -> Setup {
    let setup = Setup::new();
    // The mail is the same without flushes.
    setup.convert(&["--fsync=none"], &[mbox]);
    setup
}

#[test]
fn dovecot_shows_each_message_as_mailferry_lists_it() {
    if !have_dovecot() {
        return;
    }
    let mail = scratch();
    for mbox in mboxes(mail.path()) {
        let setup = converted(&mbox);
        let dovecot = Dovecot::over("maildir:~/Maildir", setup.scratch.path());
        let (written, before) = (setup.messages(), tree(&setup.maildir()));
        let on_disk = written.iter().map(|m| {
            let flags = m.flags.clone().unwrap_or_default();
            (format!("{}/{}", m.subdir, m.name), m.meta.mtime(), flags, m.meta.size())
        });
        assert_eq!(listed(&setup.maildir()), on_disk.collect(), "{mbox:?}");

        let shown = dovecot.shows();
        assert_eq!(shown.len(), written.len(), "{mbox:?}");
        for message in &written {
            let what = format!("{} of {mbox:?}", message.base());
            let shown = shown.iter().find(|s| s.guid == message.base()).expect(&what);
            let letters = message.flags.as_deref().unwrap_or_default();
            assert_eq!(shown.flags, imap_flags(letters), "{what}");
            assert!(shown.is_recent, "no session has seen it: {what}");
            assert_eq!(shown.internal_date, imap_date(message.epoch), "{what}");
            let wire = on_the_wire(&message.bytes);
            assert_eq!((shown.size, message.wire_size), (wire.len() as u64, wire.len() as u64), "{what}");
            same(&shown.body, &wire, &what);
        }
        assert!(left_by_dovecot(&setup.maildir()) == taken_by_dovecot(before), "{mbox:?}");
    }
}

type Tree = std::collections::BTreeMap<PathBuf, FileState>;

/// Returns a Maildir without Dovecot's own files.
fn left_by_dovecot(maildir: &Path) -> Tree {
    let own = |path: &Path| path.to_str().is_some_and(|path| path.starts_with("dovecot"));
    let mut tree = tree(maildir);
    tree.retain(|path, _| !own(path));
    tree
}

/// Returns a Maildir as it is after a session began: the files of new/ are in cur/.
fn taken_by_dovecot(tree: Tree) -> Tree {
    let taken = |(path, state): (PathBuf, FileState)| match path.strip_prefix("new") {
        Ok(name) if name != Path::new("") => {
            (Path::new("cur").join(format!("{}:2,", name.to_str().unwrap())), state)
        }
        _ => (path, state),
    };
    tree.into_iter().map(taken).collect()
}

#[test]
fn dovecot_shows_the_flags_and_dates_that_an_mbox_states() {
    if !have_dovecot() {
        return;
    }
    let setup = Setup::new();
    let mbox = setup.file("flags.mbox", flags_and_dates());
    setup.convert(&[], &[&mbox]);
    let dovecot = Dovecot::over("maildir:~/Maildir", setup.scratch.path());
    let shown = dovecot.shows();
    assert_eq!(shown.len(), FLAGS_AND_DATES.len());
    for (n, (date, fields, flags, internal_date)) in FLAGS_AND_DATES.iter().enumerate() {
        let subject = format!("\r\nSubject: number {n}\r\n");
        let shown = shown.iter().find(|s| String::from_utf8_lossy(&s.body).contains(&subject)).unwrap();
        let expected = (words(flags), (*internal_date).to_owned());
        assert_eq!((shown.flags.clone(), shown.internal_date.clone()), expected, "{date} {fields:?}");
    }
}

#[test]
fn dovecot_keeps_its_uids_when_a_source_grows() {
    if !have_dovecot() {
        return;
    }
    let setup = Setup::new();
    let mbox = |count| (0..count).map(|n| mail(n) + "\n").collect::<String>();
    let source = setup.file("inbox", mbox(20));
    assert_eq!(setup.convert(&[], &[&source]), [20, 0, 0]);
    let dovecot = Dovecot::over("maildir:~/Maildir", setup.scratch.path());
    let uids = |shown: &[Shown]| shown.iter().map(|s| (s.uid, s.guid.clone())).collect::<Vec<_>>();
    let before = dovecot.shows();
    assert!(before.iter().all(|s| s.is_recent));

    setup.file("inbox", mbox(26));
    assert_eq!(setup.convert(&[], &[&source]), [6, 20, 0]);
    let after = dovecot.shows();
    assert_eq!(uids(&after[..20]), uids(&before));
    let recent: Vec<bool> = after.iter().map(|s| s.is_recent).collect();
    assert_eq!(recent, [[false; 20].as_slice(), &[true; 6]].concat());
    // Every message is unchanged, wherever Dovecot moved it.
    run(mailferry(["verify".as_ref(), setup.maildir().as_os_str()])).exits(0);
    assert_eq!(setup.convert(&[], &[&source]), [0, 26, 0]);
    setup.restores(&source);
}

/// Returns the text of a message as a reader shows it that does not undo the quoting of this variant, in a
/// printable form.
fn text(message: &[u8], variant: &str) -> String {
    let ends = [&b"\n\n"[..], b"\n\r\n"];
    let end = |end: &&[u8]| message.windows(end.len()).position(|w| w == *end).map(|at| at + end.len());
    let body = if message.starts_with(b"\n") { Some(1) } else { ends.iter().filter_map(end).min() };
    let mut text = String::new();
    for line in message[body.unwrap_or(message.len())..].split_inclusive(|&b| b == b'\n') {
        let depth = line.iter().take_while(|&&b| b == b'>').count();
        if variant == "mboxrd" && line[depth..].starts_with(b"From ") {
            text.push('>');
        }
        text += &line.escape_ascii().to_string();
    }
    text
}

/// Converts each mbox into a Maildir, and that into an mbox of this variant.
fn there_and_back(variant: &str, mut look: impl FnMut(&str, &Setup, Vec<Message>)) {
    let mail = scratch();
    for mbox in mboxes(mail.path()) {
        let setup = converted(&mbox);
        let out = format!("{variant}:{}", setup.path("out.mbox").display());
        convert(["--fsync=none".as_ref(), setup.maildir().as_os_str(), out.as_ref()]);
        look(&format!("{variant} of {}", mbox.display()), &setup, setup.messages());
    }
}

#[test]
fn dovecot_reads_the_mbox_that_a_maildir_becomes() {
    if !have_dovecot() {
        return;
    }
    for variant in ["mboxrd", "mboxcl2"] {
        there_and_back(variant, |what, setup, written| {
            let location = "mbox:~/folders:INBOX=~/out.mbox";
            let dovecot = Dovecot::over(location, setup.scratch.path());
            let expected = written.iter().map(|m| {
                let mut wire = on_the_wire(&m.bytes);
                if !wire.ends_with(b"\n") {
                    wire.extend_from_slice(b"\r\n");
                }
                (imap_date(m.epoch), imap_flags(m.flags.as_deref().unwrap_or_default()), text(&wire, variant))
            });
            let shown = dovecot.shows().into_iter().map(|s| (s.internal_date, s.flags, text(&s.body, "")));
            same_mail(shown, expected, what);
        });
    }
}

/// Asserts that these are the same messages in any order.
#[track_caller]
fn same_mail<M: Ord + std::fmt::Debug>(
    got: impl Iterator<Item = M>,
    expected: impl Iterator<Item = M>,
    what: &str,
) {
    let (mut got, mut expected) = (got.collect::<Vec<M>>(), expected.collect::<Vec<M>>());
    got.sort();
    expected.sort();
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!(got, expected, "{what}");
    }
    assert_eq!(got.len(), expected.len(), "{what}");
}

pub(crate) fn have_mutt() -> bool {
    let absent =
        [("mutt", "-v"), ("script", "--version")].into_iter().find(|(name, ask)| !have(name, &[ask]));
    if let Some((name, _)) = absent {
        skip!("{name} is not here");
    }
    true
}

/// Returns what mutt finds in a mailbox: the received date, the flags F, R and S, and the text without the
/// final line ends, of which mutt removes one too few in CRLF. mutt copies all messages into another Maildir,
/// on a terminal, because it requires one.
#[track_caller]
fn mutt_finds(mailbox: &str, home: &Path) -> Vec<(i64, String, String)> {
    let settings = "set mbox_type=Maildir folder=. spoolfile=none record=\"\" header_cache=\"\"\n\
                    set move=no delete=no confirmappend=no confirmcreate=no wait_key=no auto_tag=no\n\
                    push <tag-pattern>~A<enter><tag-prefix><copy-message>copy<enter><exit>\n";
    fs::write(home.join("muttrc"), settings).unwrap();
    let mut command = peer("script", home);
    command.args(["-qec", &format!("exec mutt -n -F muttrc -R -f {mailbox}"), "/dev/null"]);
    run(command).exits(0);

    let copy = home.join("copy");
    let files = ["new", "cur"].into_iter().flat_map(|place| fs::read_dir(copy.join(place)).unwrap());
    let found = files.map(|file| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
        (file.metadata().unwrap().mtime(), three_flags(flags), trimmed(&fs::read(file.path()).unwrap(), ""))
    });
    let found = found.collect();
    fs::remove_dir_all(copy).unwrap();
    found
}

fn flags_in_mutt(message: &Message) -> String {
    three_flags(message.flags.as_deref().unwrap_or_default())
}

fn three_flags(flags: &str) -> String {
    flags.chars().filter(|letter| "FRS".contains(*letter)).collect()
}

fn trimmed(message: &[u8], variant: &str) -> String {
    let mut text = text(message, variant);
    while let Some(shorter) = text.strip_suffix("\\n").or(text.strip_suffix("\\r")) {
        text.truncate(shorter.len());
    }
    text
}

#[test]
fn mutt_finds_the_same_mail_in_the_mbox_that_a_maildir_becomes() {
    if !have_mutt() {
        return;
    }
    for variant in ["mboxrd", "mboxcl2"] {
        there_and_back(variant, |what, setup, written| {
            let found = mutt_finds("out.mbox", setup.scratch.path());
            let expected = written.iter().map(|m| (m.epoch, flags_in_mutt(m), trimmed(&m.bytes, variant)));
            // If a header ends within a field, mutt takes that line and the rest for text.
            let text = |text: String| if text.starts_with("Subj") { String::new() } else { text };
            let found = found.into_iter().map(|(received, flags, t)| (received, flags, text(t)));
            same_mail(found, expected, what);
        });
    }
}

#[test]
fn mutt_finds_the_same_mail_in_a_maildir() {
    if !have_mutt() {
        return;
    }
    let mail = scratch();
    for mbox in mboxes(mail.path()) {
        let setup = converted(&mbox);
        let (empty, written): (Vec<_>, Vec<_>) =
            setup.messages().into_iter().partition(|m| m.bytes.is_empty());
        // mutt stops at an empty file.
        empty.iter().for_each(|m| fs::remove_file(&m.path).unwrap());
        let before = tree(&setup.maildir());
        let found = mutt_finds("Maildir", setup.scratch.path());
        // mutt uses the Date field as the received date.
        let found = found.into_iter().map(|(_, flags, text)| (flags, text));
        let expected = written.iter().map(|m| (flags_in_mutt(m), trimmed(&m.bytes, "maildir")));
        same_mail(found, expected, &mbox.display().to_string());
        assert!(tree(&setup.maildir()) == before, "{mbox:?}");
    }
}
