//! A connection to the next hop, over TCP or a Unix socket, with a time limit for every wait.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, connect};

#[cfg(feature = "tls")]
use rustls::ClientConnection;

#[cfg(feature = "tls")]
use super::ProcessLimits;
#[cfg(feature = "tls")]
use super::tls::{self, Records};
use crate::mailbox::fs::system;
use crate::mailbox::{Cancel, Error, display_path};

/// The longest time until a request to stop is seen.
const STEP: Duration = Duration::from_millis(100);
const A_YEAR: Duration = Duration::from_secs(365 * 86400);
/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 16;

/// How long to wait for a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For one address to answer, and for the name to be looked up.
    pub(crate) connect: Duration,
    /// For each complete reply, and for each 64 KiB to be accepted.
    pub(crate) reply: Duration,
    /// For the reply to the whole message: a client that gives up early sends it twice (RFC 5321, 4.5.3.2.6).
    pub(crate) final_reply: Duration,
    /// For the whole connection.
    pub(crate) total: Duration,
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("{0}")]
    NotConnected(String),
    /// The peer closed the connection.
    #[error("the connection was closed")]
    Closed,
    #[error("the connection failed: {0}")]
    Failed(io::Error),
    #[error("no {0} within {s} s", s = .1.as_secs_f32())]
    TimedOut(&'static str, Duration),
    #[error("interrupted")]
    Interrupted,
    /// The peer replied before the message was complete.
    #[error("an answer came before the end of the message")]
    EarlyReply,
    /// The peer violated the protocol.
    #[error("{0}")]
    Garbled(String),
    /// The peer did not prove that it is the server, or the session is not secure.
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Tls(String),
    /// Something is missing on this side before the peer can be used.
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Unconfigured(String),
    /// The message could not be read on this side.
    #[error("{0}")]
    Local(Error),
}

impl TransportError {
    fn failed(error: impl Into<io::Error>) -> TransportError {
        match error.into() {
            // A TLS session that was not closed properly.
            error if error.kind() == io::ErrorKind::UnexpectedEof => TransportError::Closed,
            error => TransportError::Failed(error),
        }
    }

    /// Returns the enhanced status code (RFC 3463). All are temporary.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            TransportError::NotConnected(_) => "4.4.1",
            TransportError::Closed | TransportError::Failed(_) | TransportError::TimedOut(..) => "4.4.2",
            TransportError::Interrupted => "4.3.2",
            TransportError::EarlyReply | TransportError::Garbled(_) => "4.5.0",
            TransportError::Local(_) => "4.3.0",
            #[cfg(feature = "tls")]
            TransportError::Tls(_) => "4.7.5",
            #[cfg(feature = "tls")]
            TransportError::Unconfigured(_) => "4.3.5",
        }
    }
}

/// A connection to a peer.
pub(crate) struct Connection<'a> {
    socket: OwnedFd,
    /// All bytes are encrypted once this is set.
    #[cfg(feature = "tls")]
    tls: Option<Box<Records>>,
    timeouts: Timeouts,
    cancel: &'a Cancel,
    /// When [`Timeouts::total`] is over.
    end: Instant,
    output: Vec<u8>,
    input: Vec<u8>,
    /// How much of `input` was consumed.
    consumed: usize,
}

impl<'a> Connection<'a> {
    /// Connects to a host. Its addresses are tried in the order in which the system lists them, each with a time
    /// limit of its own.
    pub(crate) fn connect_tcp(
        host: &str,
        port: u16,
        timeouts: Timeouts,
        cancel: &'a Cancel,
    ) -> Result<Connection<'a>, TransportError> {
        let start = Instant::now();
        let (sender, progress) = mpsc::channel();
        let (name, per_address) = (host.to_owned(), timeouts.connect);
        // getaddrinfo(3) has no time limit, and connect(2) cannot be cancelled. The thread outlives a connection
        // attempt that was given up.
        std::thread::spawn(move || {
            let _ = sender.send(connect_to_first(&name, port, per_address, &sender));
        });
        let mut step_start = start;
        loop {
            if cancel.is_requested() {
                return Err(TransportError::Interrupted);
            }
            match progress.recv_timeout(STEP) {
                Ok(Progress::Connected(stream)) => {
                    stream.set_nodelay(true).map_err(TransportError::failed)?;
                    return Connection::over(stream.into(), start, timeouts, cancel);
                }
                Ok(Progress::Failed(why)) => return Err(TransportError::NotConnected(why)),
                Ok(Progress::Trying) => step_start = Instant::now(),
                // The thread has the same limit for each address; a little more time lets it report first.
                Err(RecvTimeoutError::Timeout) if step_start.elapsed() > timeouts.connect + STEP * 5 => {
                    return Err(TransportError::TimedOut("address or connection", timeouts.connect));
                }
                Err(RecvTimeoutError::Timeout) if start.elapsed() > timeouts.total => {
                    return Err(TransportError::TimedOut("connection", timeouts.total));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(TransportError::NotConnected("cannot connect".into()));
                }
            }
        }
    }

    /// Connects to a Unix socket.
    pub(crate) fn connect_unix(
        path: &Path,
        timeouts: Timeouts,
        cancel: &'a Cancel,
    ) -> Result<Connection<'a>, TransportError> {
        let start = Instant::now();
        let failed =
            |e: Errno| TransportError::NotConnected(format!("cannot connect to {}: {e}", display_path(path)));
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let socket = system::stream_socket(AddressFamily::UNIX).map_err(failed)?;
        let limit = timeouts.connect.min(timeouts.total);
        // A blocking connect(2) waits without limit while the server's backlog is full.
        while let Err(errno) = connect(&socket, &address) {
            match errno {
                Errno::AGAIN | Errno::INTR => {}
                errno => return Err(failed(errno)),
            }
            if cancel.is_requested() {
                return Err(TransportError::Interrupted);
            }
            if start.elapsed() >= limit {
                return Err(TransportError::TimedOut("connection", limit));
            }
            std::thread::sleep(STEP / 10);
        }
        ioctl_fionbio(&socket, false).map_err(failed)?;
        Connection::over(socket, start, timeouts, cancel)
    }

    fn over(
        socket: OwnedFd,
        start: Instant,
        timeouts: Timeouts,
        cancel: &'a Cancel,
    ) -> Result<Self, TransportError> {
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, direction, Some(STEP)).map_err(TransportError::failed)?;
        }
        // The sum of an instant and a very long time would overflow.
        let end = start + timeouts.total.min(A_YEAR);
        Ok(Connection {
            socket,
            #[cfg(feature = "tls")]
            tls: None,
            timeouts,
            cancel,
            end,
            output: Vec::new(),
            input: Vec::new(),
            consumed: 0,
        })
    }

    /// Buffers bytes, and writes the buffer once it is full.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes what was buffered. Success does not mean that the peer has received it.
    pub(crate) fn flush(&mut self) -> Result<(), TransportError> {
        let output = std::mem::take(&mut self.output);
        self.send_all(&output)
    }

    fn send_all(&mut self, output: &[u8]) -> Result<(), TransportError> {
        for mut bytes in output.chunks(BUFFER) {
            let wait = Wait::new("progress in sending", self.timeouts.reply);
            while !bytes.is_empty() || self.is_pending() {
                if let Err(e) = self.send_some(&mut bytes) {
                    self.check_retry(e, &wait)?;
                }
            }
        }
        Ok(())
    }

    /// Sends some bytes from the start of `bytes`, which it shortens.
    fn send_some(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.send(&self.socket, bytes);
        }
        let sent = rustix::net::send(&self.socket, bytes, system::NO_SIGNAL)?;
        *bytes = &bytes[sent..];
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn is_pending(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_pending())
    }

    #[cfg(not(feature = "tls"))]
    fn is_pending(&self) -> bool {
        false
    }

    fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.receive(&self.socket, buffer);
        }
        Ok(rustix::io::read(&self.socket, buffer)?)
    }

    fn receive_available(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.receive_available(&self.socket, buffer);
        }
        Ok(rustix::net::recv(&self.socket, buffer, RecvFlags::DONTWAIT)?.0)
    }

    /// Writes what was buffered, followed by `last`, the bytes that complete the message.
    ///
    /// The peer must have been silent so far: an early reply answers something else.
    ///
    /// # Errors
    /// The peer has not received all of the message, and cannot have accepted it.
    pub(crate) fn finish(&mut self, last: &[u8]) -> Result<(), TransportError> {
        self.expect_silence()?;
        self.output.extend_from_slice(last);
        self.flush()
    }

    /// Fails if there is something to read, or if the peer has closed the connection.
    pub(crate) fn expect_silence(&mut self) -> Result<(), TransportError> {
        if self.consumed < self.input.len() {
            return Err(TransportError::EarlyReply);
        }
        let mut buffer = [0; 4096];
        match self.receive_available(&mut buffer) {
            Ok(0) => Err(TransportError::Closed),
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                Err(TransportError::EarlyReply)
            }
            Err(e) if is_temporary(&e) => Ok(()),
            Err(e) => Err(TransportError::failed(e)),
        }
    }

    /// Reads a reply, which must be complete within `time`.
    ///
    /// `parse` gets the unconsumed input. It returns how many bytes it consumed and whether the reply is complete.
    pub(crate) fn read(
        &mut self,
        time: Duration,
        mut parse: impl FnMut(&[u8]) -> Result<(usize, bool), TransportError>,
    ) -> Result<(), TransportError> {
        let wait = Wait::new("answer", time);
        loop {
            if self.consumed < self.input.len() {
                let (consumed, is_complete) = parse(&self.input[self.consumed..])?;
                self.consumed += consumed;
                if is_complete {
                    return Ok(());
                }
            }
            // Data that arrives without end must not extend the limit.
            if Instant::now() >= wait.end.min(self.end) {
                return Err(wait.timed_out());
            }
            self.fill(&wait)?;
        }
    }

    fn fill(&mut self, wait: &Wait) -> Result<(), TransportError> {
        self.input.drain(..self.consumed);
        self.consumed = 0;
        let mut buffer = [0; 4096];
        loop {
            match self.receive_some(&mut buffer) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    return self.check_limits();
                }
                Err(e) => self.check_retry(e, wait)?,
            }
        }
    }

    /// Fails unless a read or write that made no progress may be repeated.
    fn check_retry(&self, e: io::Error, wait: &Wait) -> Result<(), TransportError> {
        if !is_temporary(&e) {
            return Err(TransportError::failed(e));
        }
        self.check_limits()?;
        if Instant::now() >= wait.end { Err(wait.timed_out()) } else { Ok(()) }
    }

    /// Fails once the whole connection was cancelled or has taken too long.
    fn check_limits(&self) -> Result<(), TransportError> {
        if self.cancel.is_requested() {
            return Err(TransportError::Interrupted);
        }
        match Instant::now() >= self.end {
            true => Err(TransportError::TimedOut("end", self.timeouts.total)),
            false => Ok(()),
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }
}

#[cfg(feature = "tls")]
impl Connection<'_> {
    /// Encrypts everything from here on. `host` is the name of the server in errors.
    ///
    /// # Errors
    /// Besides those of TLS: the peer has sent bytes that are not TLS. They came before it had proved anything.
    pub(super) fn start_tls(&mut self, session: ClientConnection, host: &str) -> Result<(), TransportError> {
        match self.expect_silence() {
            Err(TransportError::EarlyReply) => {
                let why = "the server sent more before TLS than was asked for; it may have been injected";
                return Err(TransportError::Tls(why.to_owned()));
            }
            silent => silent?,
        }
        let mut records = Box::new(Records::new(session));
        let wait = Wait::new("end of the TLS handshake", self.timeouts.reply);
        loop {
            match records.step_handshake(&self.socket) {
                Ok(true) => break,
                // Messages without end must not extend the limit.
                Ok(false) => self.check_retry(io::ErrorKind::WouldBlock.into(), &wait)?,
                Err(e) => match tls::tls_error(&e) {
                    Some(error) => return Err(TransportError::Tls(tls::describe(error, host))),
                    None if e.kind() == io::ErrorKind::UnexpectedEof => {
                        let why = "the server closed the connection during the TLS handshake";
                        return Err(TransportError::Tls(why.to_owned()));
                    }
                    None => self.check_retry(e, &wait)?,
                },
            }
        }
        self.tls = Some(records);
        Ok(())
    }

    /// Sends a secret at once. No buffer keeps a copy of it.
    pub(super) fn send_secret(&mut self, secret: &[u8]) -> Result<(), TransportError> {
        self.flush()?;
        self.send_all(secret)
    }

    /// Returns the limits of a program that runs for this connection.
    pub(super) fn process_limits(&self) -> ProcessLimits<'_> {
        let time = self.end.saturating_duration_since(Instant::now());
        ProcessLimits { time, cancel: self.cancel }
    }
}

/// Reports whether a read or write that made no progress may be repeated.
fn is_temporary(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// A wait with a time limit.
struct Wait {
    what: &'static str,
    time: Duration,
    end: Instant,
}

impl Wait {
    fn new(what: &'static str, time: Duration) -> Wait {
        Wait { what, time, end: Instant::now() + time.min(A_YEAR) }
    }

    fn timed_out(&self) -> TransportError {
        TransportError::TimedOut(self.what, self.time)
    }
}

/// A report of the connecting thread.
enum Progress {
    Trying,
    Connected(TcpStream),
    Failed(String),
}

fn connect_to_first(
    host: &str,
    port: u16,
    per_address: Duration,
    sender: &mpsc::Sender<Progress>,
) -> Progress {
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(e) => return Progress::Failed(format!("cannot look up {host}: {e}")),
    };
    let mut errors = Vec::new();
    for address in addresses {
        if sender.send(Progress::Trying).is_err() {
            break;
        }
        match TcpStream::connect_timeout(&address, per_address) {
            Ok(stream) => return Progress::Connected(stream),
            Err(e) => errors.push(format!("cannot connect to {address}: {e}")),
        }
    }
    match errors.is_empty() {
        true => Progress::Failed(format!("{host} has no address")),
        false => Progress::Failed(errors.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::transport::peer::{HASTY, PATIENT, Peer};

    #[test]
    fn whoever_does_not_answer_is_told_by_name() {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let closed = Connection::connect_tcp("127.0.0.1", port, PATIENT, Cancel::never()).err().unwrap();
        assert!(closed.to_string().starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{closed}");
        let unknown = Connection::connect_tcp("no such host", 25, PATIENT, Cancel::never()).err().unwrap();
        assert!(unknown.to_string().starts_with("cannot look up no such host: "), "{unknown}");
        let nowhere =
            Connection::connect_unix(Path::new("/nowhere/socket"), PATIENT, Cancel::never()).err().unwrap();
        assert!(nowhere.to_string().starts_with("cannot connect to /nowhere/socket: "), "{nowhere}");
        assert!(matches!(
            Connection::connect_tcp("127.0.0.1", port, PATIENT, Cancel::requested()),
            Err(TransportError::Interrupted)
        ));
    }

    #[test]
    fn all_addresses_of_a_host_are_tried() {
        // Of localhost's addresses only one listens, whatever their order.
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Connection::connect_tcp("localhost", listener.local_addr().unwrap().port(), PATIENT, Cancel::never())
            .unwrap();
    }

    #[test]
    fn a_unix_socket_is_a_connection_like_any() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        });
        let mut connection = Connection::connect_unix(&path, PATIENT, Cancel::never()).unwrap();
        connection.finish(b"x").unwrap();
        connection.read(PATIENT.reply, |bytes| Ok((bytes.len(), bytes == b"x"))).unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_peer_that_does_not_read_is_not_waited_for_longer_than_the_limit() {
        let (tell, told) = mpsc::channel::<()>();
        let peer = Peer::spawn(move |_| assert!(told.recv().is_err()));
        let mut connection = peer.connect(HASTY);
        let written = (0..10_000).try_for_each(|_| connection.write(&[b'x'; BUFFER]));
        assert!(matches!(written, Err(TransportError::TimedOut(..))), "{written:?}");
        drop(tell);
    }

    #[test]
    fn the_total_limit_and_an_interruption_end_any_wait() {
        for cancel in [false, true] {
            let (tell, told) = mpsc::channel::<()>();
            let peer = Peer::spawn(move |_| assert!(told.recv().is_err()));
            let flag = Cancel::pending();
            let total = if cancel { PATIENT.total } else { STEP };
            let mut connection =
                Connection::connect_tcp("127.0.0.1", peer.port, Timeouts { total, ..PATIENT }, &flag)
                    .unwrap();
            if cancel {
                flag.request();
            }
            let read = connection.read(PATIENT.reply, |bytes| Ok((bytes.len(), false)));
            match cancel {
                true => assert!(matches!(read, Err(TransportError::Interrupted))),
                false => assert!(matches!(read, Err(TransportError::TimedOut(..)))),
            }
            drop(tell);
        }
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_seen_before_the_last_byte() {
        let peer = Peer::spawn(|talk| {
            talk.send("early");
            talk.rest();
        });
        let mut connection = peer.connect(PATIENT);
        connection.read(PATIENT.reply, |bytes| Ok((1, !bytes.is_empty()))).unwrap();
        connection.write(b"a").unwrap();
        assert!(matches!(connection.finish(b"z"), Err(TransportError::EarlyReply)));
        drop(connection);
        assert_eq!(peer.received(), b"");
    }
}
