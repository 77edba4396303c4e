//! Properties of sessions, in every protocol.

use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use crate::deliver::session::address::EnvelopeAddress;
use crate::deliver::session::serve::serve;
use crate::deliver::session::wire::Peer;
use crate::deliver::session::{Protocol, Recipients, SessionEnd, SessionOptions};
use crate::mailbox::context::Cancel;
use crate::mailbox::escape;
use crate::transport::failure::{Failure, FailureReason};
use crate::transport::netstring::{Decoder, encode};
use crate::transport::spool;

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

/// Plays a session in which a message has at most `max_size` bytes.
pub(crate) fn play_session(protocol: Protocol, script: Script, max_size: Option<u64>) -> Transcript {
    play_session_until(protocol, script, max_size, Cancel::never())
}

/// Plays a session that ends when it is cancelled.
pub(crate) fn play_session_until(
    protocol: Protocol,
    mut script: Script,
    max_size: Option<u64>,
    cancel: &Cancel,
) -> Transcript {
    let mut recipients = TestRecipients(Vec::new());
    let options = SessionOptions { protocol, host: "mx.example", max_size, spool_dir: Path::new("/tmp") };
    let ending = serve(&mut script, &mut recipients, &options, cancel);
    let replies = match protocol {
        Protocol::Lmtp => lines(script.replies),
        Protocol::Qmtp | Protocol::Qmqp => netstrings(&script.replies),
    };
    Transcript { replies, writes: script.writes, delivered: recipients.0, ending }
}

fn lines(replies: Vec<u8>) -> Vec<String> {
    let replies = String::from_utf8(replies).expect("replies are ASCII");
    assert!(replies.is_empty() || replies.ends_with("\r\n"));
    let replies: Vec<String> = replies.split_terminator("\r\n").map(str::to_owned).collect();
    for line in &replies {
        assert!(line.len() <= 510 && line.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{line:?}");
        assert!(line.len() > 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{line:?}");
    }
    replies
}

fn netstrings(mut wire: &[u8]) -> Vec<String> {
    let mut replies = Vec::new();
    while !wire.is_empty() {
        let mut decoder = Decoder::new(1000);
        let taken = decoder.take(wire).expect("replies are netstrings");
        let reply =
            String::from_utf8(decoder.finish().expect("replies are complete")).expect("replies are ASCII");
        assert!(reply.starts_with(['K', 'Z', 'D']) && reply.ends_with(')'), "{reply:?}");
        assert!(reply.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{reply:?}");
        replies.push(reply);
        wire = &wire[taken..];
    }
    replies
}

/// Any division of an LMTP session into chunks gives the same replies and deliveries. If the connection is cut after
/// `until` bytes, these are a prefix of them.
pub fn lmtp_session(wire: &[u8], cuts: &[usize], until: usize) {
    session(Protocol::Lmtp, wire, cuts, until);
}

/// The same for QMTP and QMQP.
pub fn qmail_sessions(wire: &[u8], cuts: &[usize], until: usize) {
    session(Protocol::Qmtp, wire, cuts, until);
    session(Protocol::Qmqp, wire, cuts, until);
}

fn session(protocol: Protocol, wire: &[u8], cuts: &[usize], until: usize) -> Transcript {
    let max_size = Some(100);
    let whole = play_session(protocol, Script::of(wire, &[]), max_size);
    let divided = play_session(protocol, Script::of(wire, cuts), max_size);
    assert_eq!(divided.to_string(), whole.to_string());
    let cut = play_session(protocol, Script::of(&wire[..until], &[]), max_size);
    assert!(whole.delivered.starts_with(&cut.delivered) && whole.replies.starts_with(&cut.replies));
    let has_empty_write = |played: &Transcript| played.writes > played.replies.len();
    assert!(![&whole, &divided, &cut].into_iter().any(has_empty_write), "a write without a reply");
    whole
}

/// Two well-formed packages of QMTP have a reply for each recipient, and positive ones for those who have the message. The
/// message has the bytes that were sent, except that CRLF becomes LF after a CR. QMQP has one reply, and changes nothing.
pub fn qmail_message(message: &[u8], sender: &[u8], recipients: &[&[u8]], cuts: &[usize]) {
    let recipients = &recipients[..recipients.len().min(400)];
    let addresses: Vec<u8> = recipients.iter().flat_map(|recipient| encode(recipient)).collect();
    for (convention, text) in [(b'\n', message.to_vec()), (b'\r', without_crlf(message))] {
        let body = [&[convention], message].concat();
        let package = [encode(&body), encode(sender), encode(&addresses)].concat();
        let whole = session(Protocol::Qmtp, &package.repeat(2), cuts, package.len());
        assert!(matches!(whole.ending, SessionEnd::Orderly), "{whole}");
        assert_eq!(whole.replies.len(), 2 * recipients.len());
        let positive = whole.replies.iter().filter(|reply| reply.starts_with('K')).count();
        assert_eq!(positive, whole.delivered.len());
        assert!(whole.delivered.iter().all(|(_, _, delivered)| *delivered == text));
        for (reply, recipient) in whole.replies.iter().zip(recipients.iter().cycle()) {
            let is_bad = recipient.len() >= 1000 || recipient.contains(&0);
            assert!(!is_bad || reply.ends_with("(#5.1.3)"), "{reply}");
        }
    }
    let request = encode(&[encode(message), encode(sender), addresses].concat());
    let whole = session(Protocol::Qmqp, &request, cuts, request.len() - 1);
    assert_eq!(whole.replies.len(), 1);
    assert!(whole.delivered.iter().all(|(_, _, delivered)| delivered == message));
    if whole.replies[0].starts_with('K') {
        let to: Vec<&str> = whole.delivered.iter().map(|(_, to, _)| &to[..]).collect();
        assert_eq!(to, recipients.iter().map(|recipient| escape(recipient)).collect::<Vec<_>>());
        assert!(!to.is_empty());
    }
}

fn without_crlf(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for &byte in text {
        if byte == b'\n' {
            out.pop_if(|before| *before == b'\r');
        }
        out.push(byte);
    }
    out
}
