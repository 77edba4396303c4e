//! Properties of the LMTP server.

use std::path::{Component, Path};
use std::time::Duration;
use std::{fmt, io};

use crate::deliver::session::address::EnvelopeAddress;
use crate::deliver::session::lmtp::command::{self, Command};
use crate::deliver::session::lmtp::data::DotUnstuffer;
use crate::deliver::session::serve::serve;
use crate::deliver::session::template::{AddressParts, Template};
use crate::deliver::session::wire::{BodyDecoder, Peer};
use crate::deliver::session::{Protocol, Recipients, SessionEnd, SessionOptions};
use crate::mailbox::context::Cancel;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::spool;

/// Any text is the same after stuffing and unstuffing, except for a final line end, for any division into chunks. The
/// bytes after it stay unread. `cuts` are lengths of chunks.
pub fn lmtp_data(text: &[u8], cuts: &[usize]) {
    // As bytes from the wire.
    let whole = unstuffed(text, &[]);
    assert_eq!(unstuffed(text, cuts), whole);
    // As a text to send.
    let ended = if text.is_empty() || text.ends_with(b"\n") { text.to_vec() } else { [text, b"\n"].concat() };
    let mut wire = Vec::new();
    for line in ended.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(&line[..line.len() - 1]);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\nQUIT\r\n");
    let (out, taken) = unstuffed(&wire, cuts);
    assert_eq!((out, &wire[taken..]), (ended, &b"QUIT\r\n"[..]));
}

pub(super) fn unstuffed(wire: &[u8], cuts: &[usize]) -> (Vec<u8>, usize) {
    let (mut unstuffer, mut out, mut taken) = (DotUnstuffer::default(), Vec::new(), 0);
    let mut cuts = cuts.iter();
    while taken < wire.len() && !unstuffer.is_at_end() {
        let end = cuts.next().map_or(wire.len(), |&cut| wire.len().min(taken + cut.max(1)));
        let before = out.len();
        let took = unstuffer.decode(&wire[taken..end], &mut out);
        assert!(out.len() - before <= took + 1);
        assert!(took == end - taken || unstuffer.is_at_end());
        taken += took;
    }
    (out, taken)
}

/// Any line is a command or an error with a reply. A parsed recipient can be written so that it is parsed again. No
/// part of it leads to another directory.
pub fn lmtp_command(line: &[u8]) {
    let Ok(Command::Rcpt(address) | Command::Mail { sender: Some(address), .. }) = command::parse(line)
    else {
        return;
    };
    let mut quoted = b"RCPT TO:<\"".to_vec();
    quoted.extend(address.local.iter().flat_map(|&b| [b'\\', b]));
    quoted.push(b'"');
    if let Some(domain) = &address.domain {
        quoted.push(b'@');
        quoted.extend_from_slice(domain);
    }
    quoted.push(b'>');
    assert_eq!(command::parse(&quoted), Ok(Command::Rcpt(address.clone())));
    let template = Template::parse(b"/srv/%d/%u/.%e/").unwrap();
    for delimiters in [&b""[..], b"-+"] {
        let Ok(path) = template.expand(&AddressParts::split(&address, delimiters)) else { continue };
        assert!(path.components().all(|c| !matches!(c, Component::ParentDir | Component::CurDir)));
        assert!((4..=5).contains(&path.components().count()));
    }
}

/// A peer that sends chunks, and records the replies.
pub struct Script {
    chunks: Vec<Vec<u8>>,
    /// The error at the end. By default the peer closes the connection.
    pub end: Option<io::ErrorKind>,
    /// The time before each chunk.
    pub pause: Duration,
    /// The time that is left.
    time_left: Duration,
    replies: Vec<u8>,
    writes: usize,
}

/// The time that a command has, in the clock of a script.
const TIMEOUT: Duration = Duration::from_secs(300);

impl Script {
    /// Sends `wire` in chunks of these lengths, and the rest.
    pub fn of(mut wire: &[u8], cuts: &[usize]) -> Script {
        let mut chunks = Vec::new();
        for &cut in cuts {
            let (chunk, rest) = wire.split_at(cut.clamp(1, wire.len().max(1)).min(wire.len()));
            chunks.push(chunk.to_vec());
            wire = rest;
        }
        chunks.push(wire.to_vec());
        chunks.retain(|chunk| !chunk.is_empty());
        chunks.reverse();
        let pause = Duration::ZERO;
        Script { chunks, end: None, pause, time_left: TIMEOUT, replies: Vec::new(), writes: 0 }
    }
}

impl Peer for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut chunk) = self.chunks.pop() else {
            return self.end.map_or(Ok(0), |kind| Err(kind.into()));
        };
        self.time_left = self.time_left.checked_sub(self.pause).ok_or(io::ErrorKind::TimedOut)?;
        if chunk.len() > buffer.len() {
            self.chunks.push(chunk.split_off(buffer.len()));
        }
        buffer[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.replies.extend_from_slice(bytes);
        self.writes += 1;
        Ok(())
    }

    fn reset_deadline(&mut self) {
        self.time_left = TIMEOUT;
    }

    fn extend_deadline(&mut self, by: Duration) {
        self.time_left += by;
    }
}

/// A session from the view of the peer, and the delivered mail.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub replies: Vec<String>,
    /// The number of writes of the server.
    pub writes: usize,
    /// The sender, recipient and text of each delivery.
    pub delivered: Vec<(String, String, Vec<u8>)>,
    pub(crate) ending: SessionEnd,
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.replies.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        for (sender, recipient, text) in &self.delivered {
            writeln!(f, "<{sender}> to {recipient}: {:?}", bstr::BStr::new(text))?;
        }
        writeln!(f, "{:?}", self.ending)
    }
}

/// Recipients by name: `nobody` does not exist, `full` is over quota, `busy` is locked.
struct TestRecipients(Vec<(String, String, Vec<u8>)>);

impl Recipients for TestRecipients {
    type Mailbox = ();

    fn look_up(&mut self, recipient: &EnvelopeAddress) -> Result<(), Failure> {
        match &recipient.local[..] {
            b"nobody" => Err(Failure::new(FailureReason::NoSuchMailbox, "there is no nobody")),
            _ => Ok(()),
        }
    }

    fn deliver(
        &mut self,
        letter: &spool::SpooledMessage,
        sender: Option<&EnvelopeAddress>,
        recipient: &EnvelopeAddress,
        (): &(),
    ) -> Result<String, Failure> {
        match &recipient.local[..] {
            b"full" => Err(Failure::new(FailureReason::OverQuota, "full is over quota")),
            b"busy" => Err(Failure::new(FailureReason::Locked, "busy is locked")),
            _ => {
                let mut text = Vec::new();
                let keep = &mut |bytes: &[u8]| {
                    text.extend_from_slice(bytes);
                    Ok(())
                };
                letter.for_each_chunk(0, keep)?;
                let sender = sender.map(EnvelopeAddress::shown).unwrap_or_default();
                self.0.push((sender, recipient.shown(), text));
                Ok(format!("{} has it", recipient.shown()))
            }
        }
    }
}

pub(crate) fn play_lmtp_session(script: Script, max_size: Option<u64>) -> Transcript {
    play_lmtp_session_until(script, max_size, Cancel::never())
}

/// Plays a session that ends when it is cancelled.
pub(crate) fn play_lmtp_session_until(
    mut script: Script,
    max_size: Option<u64>,
    cancel: &Cancel,
) -> Transcript {
    let mut maildirs = TestRecipients(Vec::new());
    let options = SessionOptions {
        protocol: Protocol::Lmtp,
        host: "mx.example",
        max_size,
        spool_dir: Path::new("/tmp"),
    };
    let ending = serve(&mut script, &mut maildirs, &options, cancel);
    let replies = String::from_utf8(script.replies).expect("replies are ASCII");
    assert!(replies.is_empty() || replies.ends_with("\r\n"));
    let replies: Vec<String> = replies.split_terminator("\r\n").map(str::to_owned).collect();
    for line in &replies {
        assert!(line.len() <= 510 && line.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{line:?}");
        assert!(line.len() > 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{line:?}");
    }
    Transcript { replies, writes: script.writes, delivered: maildirs.0, ending }
}

/// Any division into chunks gives the same replies and deliveries. If the connection is cut after `until` bytes,
/// these are a prefix of them.
pub fn lmtp_session(wire: &[u8], cuts: &[usize], until: usize) {
    let max_size = Some(100);
    let whole = play_lmtp_session(Script::of(wire, &[]), max_size);
    let divided = play_lmtp_session(Script::of(wire, cuts), max_size);
    assert_eq!(divided.to_string(), whole.to_string());
    let cut = play_lmtp_session(Script::of(&wire[..until], &[]), max_size);
    assert!(whole.delivered.starts_with(&cut.delivered) && whole.replies.starts_with(&cut.replies));
}
