//! Servers for tests: each plays its part to one client, on a loopback socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::net::{Connection, Patience};
use super::{Envelope, Fate, Outcome};
use crate::mailbox::context::Cancel;
use crate::transport::spool::{Arriving, Letter};

/// Long for a test, for what is to come.
pub const LONG: Duration = Duration::from_secs(60);
/// For what never comes; what does come has come by then, on a busy machine too.
pub const SHORT: Duration = Duration::from_secs(1);

pub const PATIENT: Patience<'static> =
    Patience { connect: LONG, wait: LONG, verdict: LONG, total: LONG, cancel: Cancel::never() };
pub const HASTY: Patience<'static> = Patience { wait: SHORT, verdict: SHORT, ..PATIENT };

pub struct Peer {
    pub port: u16,
    thread: JoinHandle<Vec<u8>>,
}

impl Peer {
    /// One that hands what it has read to the test.
    pub fn plays(part: impl FnOnce(&mut Talk) + Send + 'static) -> Peer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut talk = Talk { stream: BufReader::new(listener.accept().unwrap().0), heard: Vec::new() };
            part(&mut talk);
            talk.heard
        });
        Peer { port, thread }
    }

    pub fn connect<'a>(&self, patience: Patience<'a>) -> Connection<'a> {
        Connection::tcp("127.0.0.1", self.port, patience).unwrap()
    }

    pub fn heard(self) -> Vec<u8> {
        self.thread.join().unwrap()
    }
}

pub struct Talk {
    stream: BufReader<TcpStream>,
    pub heard: Vec<u8>,
}

impl Talk {
    /// A client may be gone.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    pub fn hear(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        if self.stream.read_exact(&mut bytes).is_ok() {
            self.heard.append(&mut bytes);
        }
    }

    /// A line, empty at the end.
    pub fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let _ = self.stream.read_until(b'\n', &mut line);
        self.heard.extend_from_slice(&line);
        line
    }

    /// All that comes until the client goes.
    pub fn rest(&mut self) {
        let _ = self.stream.read_to_end(&mut self.heard);
    }

    /// Everything up to these bytes.
    pub fn until(&mut self, end: &[u8]) {
        let start = self.heard.len();
        while !self.heard[start..].ends_with(end) {
            if self.line().is_empty() {
                return;
            }
        }
    }
}

pub fn letter(bytes: &[u8]) -> Letter {
    let mut arriving = Arriving::new("/tmp".as_ref(), None);
    arriving.push(bytes).unwrap();
    arriving.finish().unwrap()
}

pub fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|recipient| recipient.as_bytes().to_vec()).collect();
    Envelope { sender: sender.into(), recipients }
}

pub fn fates(outcomes: &[Outcome]) -> Vec<Fate> {
    outcomes.iter().map(|outcome| outcome.fate).collect()
}
