//! Servers for tests, each for one client, on a loopback socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Connection, Envelope, MessageSpool, Outcome, OutcomeKind, SpooledMessage, Timeouts};
use crate::mailbox::Cancel;

/// For events that must happen.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// For events that must not happen. Others have happened by then, even on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

pub(crate) const PATIENT: Timeouts = Timeouts { connect: LONG, reply: LONG, final_reply: LONG, total: LONG };
pub(crate) const HASTY: Timeouts = Timeouts { reply: SHORT, final_reply: SHORT, ..PATIENT };

pub(crate) struct Peer {
    pub port: u16,
    thread: JoinHandle<Vec<u8>>,
}

impl Peer {
    /// Starts a server.
    pub(crate) fn spawn(part: impl FnOnce(&mut Talk) + Send + 'static) -> Peer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut talk =
                Talk { stream: BufReader::new(listener.accept().unwrap().0), received: Vec::new() };
            part(&mut talk);
            talk.received
        });
        Peer { port, thread }
    }

    pub(crate) fn connect(&self, timeouts: Timeouts) -> Connection<'static> {
        Connection::connect_tcp("127.0.0.1", self.port, timeouts, Cancel::never()).unwrap()
    }

    pub(crate) fn received(self) -> Vec<u8> {
        self.thread.join().unwrap()
    }
}

pub(crate) struct Talk {
    stream: BufReader<TcpStream>,
    pub received: Vec<u8>,
}

impl Talk {
    /// Sends bytes; the client may have disconnected.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    pub(crate) fn receive(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        if self.stream.read_exact(&mut bytes).is_ok() {
            self.received.append(&mut bytes);
        }
    }

    /// Receives a line, empty at the end.
    pub(crate) fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let _ = self.stream.read_until(b'\n', &mut line);
        self.received.extend_from_slice(&line);
        line
    }

    /// Receives everything until the client disconnects.
    pub(crate) fn rest(&mut self) {
        let _ = self.stream.read_to_end(&mut self.received);
    }

    /// Receives everything up to these bytes.
    pub(crate) fn until(&mut self, end: &[u8]) {
        let start = self.received.len();
        while !self.received[start..].ends_with(end) {
            if self.line().is_empty() {
                return;
            }
        }
    }
}

pub(crate) fn spooled(bytes: &[u8]) -> SpooledMessage {
    let mut spool = MessageSpool::new("/tmp".as_ref(), None);
    spool.push(bytes).unwrap();
    spool.finish().unwrap()
}

pub(crate) fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|recipient| recipient.as_bytes().to_vec()).collect();
    Envelope { sender: sender.into(), recipients }
}

pub(crate) fn kinds(outcomes: &[Outcome]) -> Vec<OutcomeKind> {
    outcomes.iter().map(|outcome| outcome.kind).collect()
}
