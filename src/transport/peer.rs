//! Servers for tests, each for one client, on a loopback socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
#[cfg(feature = "tls")]
use std::sync::Arc;
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

/// The answer to a line that begins so, the first that fits; `^` is the greeting, `.` the end of the
/// message. Nothing: it hangs up. `...`: it says nothing more.
pub(crate) type Script = &'static [(&'static str, &'static str)];

const USUAL: Script = &[
    ("^", "220 me\r\n"),
    ("EHLO", "250-me\r\n250-PIPELINING\r\n250-8bitmime\r\n250 SIZE 1000000\r\n"),
    ("LHLO", "250-me\r\n250 PIPELINING\r\n"),
    ("DATA", "354 go\r\n"),
    (".", "250 2.0.0 ok\r\n"),
    ("", "250 ok\r\n"),
];

fn answer(script: Script, line: &[u8]) -> &'static str {
    let known = { script.iter() }.chain(USUAL).find(|(begin, _)| line.starts_with(begin.as_bytes()));
    known.unwrap().1
}

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
            let stream: TcpStream = listener.accept().unwrap().0;
            let mut talk = Talk { stream: BufReader::new(Box::new(stream)), received: Vec::new() };
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

/// A connection as a server sees it: TCP, or TLS over it.
trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

pub(crate) struct Talk {
    stream: BufReader<Box<dyn Wire>>,
    pub received: Vec<u8>,
}

impl Talk {
    /// Goes on over TLS. The handshake is part of what is next sent or received.
    #[cfg(feature = "tls")]
    pub(crate) fn start_tls(&mut self, config: Arc<rustls::ServerConfig>) {
        let plain = std::mem::replace(&mut self.stream, BufReader::new(Box::new(std::io::empty())));
        assert!(plain.buffer().is_empty(), "the client did not wait for the reply");
        let session = rustls::ServerConnection::new(config).unwrap();
        self.stream = BufReader::new(Box::new(rustls::StreamOwned::new(session, plain.into_inner())));
    }

    /// Goes on over TLS, and changes its keys until the client disconnects.
    #[cfg(feature = "tls")]
    pub(crate) fn flood(&mut self, config: Arc<rustls::ServerConfig>) {
        let mut session = rustls::ServerConnection::new(config).unwrap();
        let stream = self.stream.get_mut();
        while session.is_handshaking() {
            if session.complete_io(stream).is_err() {
                return;
            }
        }
        while session.refresh_traffic_keys().is_ok() && session.write_tls(stream).is_ok() {}
    }

    /// Plays an SMTP or LMTP server.
    pub(crate) fn follow(&mut self, script: Script) {
        self.go_on(script, answer(script, b"^"));
    }

    /// Plays it from the next command on.
    #[cfg(feature = "tls")]
    pub(crate) fn follow_commands(&mut self, script: Script) {
        match self.line() {
            line if line.is_empty() => {}
            line => self.go_on(script, answer(script, &line)),
        }
    }

    fn go_on(&mut self, script: Script, mut answered: &'static str) {
        loop {
            match answered {
                "" => return,
                "..." => return self.rest(),
                answer => self.send(answer),
            }
            if answered.starts_with("354") {
                self.until(b"\r\n.\r\n");
                answered = answer(script, b".");
                continue;
            }
            match self.line() {
                line if line.is_empty() || line == b"QUIT\r\n" => return,
                line => answered = answer(script, &line),
            }
        }
    }

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
