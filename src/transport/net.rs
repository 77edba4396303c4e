//! A connection to the next hop: over TCP to the first of its addresses that answers, or a Unix socket; with a
//! limit to every wait.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::mailbox::context::Cancel;
use crate::mailbox::error::Error;
use crate::mailbox::text::display_path;

/// An interruption is seen so soon.
const STEP: Duration = Duration::from_millis(100);
const A_YEAR: Duration = Duration::from_secs(365 * 86400);
/// As much is collected before it is written.
const BUFFER: usize = 1 << 16;

/// How long to wait for a peer.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    /// For one of its addresses to answer, and for its name to be looked up.
    pub connect: Duration,
    /// For each answer to come in whole, and for each 64 KiB to be taken.
    pub wait: Duration,
    /// For the answer to the whole message: whoever gives up early sends it twice (RFC 5321, 4.5.3.2.6).
    pub verdict: Duration,
    /// For all of it.
    pub total: Duration,
    /// Set by a signal.
    pub cancel: &'a Cancel,
}

/// Why a conversation ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It never began.
    #[error("{0}")]
    NotConnected(String),
    /// The peer has closed it.
    #[error("the connection was closed")]
    Closed,
    /// It failed.
    #[error("the connection failed: {0}")]
    Failed(io::Error),
    /// A limit is over.
    #[error("no {0} within {s} s", s = .1.as_secs_f32())]
    Slow(&'static str, Duration),
    /// A signal.
    #[error("interrupted")]
    Interrupted,
    /// The peer answered before it was its turn.
    #[error("an answer came before the end of the message")]
    Early,
    /// The peer does not speak the protocol.
    #[error("{0}")]
    Garbled(String),
    /// The message could not be read, on our side.
    #[error("{0}")]
    Ours(Error),
}

impl Broken {
    /// The enhanced status code (RFC 3463); all are temporary.
    pub fn status(&self) -> &'static str {
        match self {
            Broken::NotConnected(_) => "4.4.1",
            Broken::Closed | Broken::Failed(_) | Broken::Slow(..) => "4.4.2",
            Broken::Interrupted => "4.3.2",
            Broken::Early | Broken::Garbled(_) => "4.5.0",
            Broken::Ours(_) => "4.3.0",
        }
    }
}

/// A byte stream whose single reads and writes have a time limit.
trait Socket: Read + Write {
    fn limit(&self, time: Duration) -> io::Result<()>;
    fn never_wait(&self, never: bool) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }

    fn never_wait(&self, never: bool) -> io::Result<()> {
        self.set_nonblocking(never)
    }
}

impl Socket for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }

    fn never_wait(&self, never: bool) -> io::Result<()> {
        self.set_nonblocking(never)
    }
}

/// A connection.
pub struct Connection<'a> {
    socket: Box<dyn Socket>,
    patience: Patience<'a>,
    end: Instant,
    out: Vec<u8>,
    input: Vec<u8>,
    taken: usize,
}

impl<'a> Connection<'a> {
    /// Connects to a host: its addresses are tried in the order in which the system names them, each with a
    /// time limit of its own.
    pub fn tcp(host: &str, port: u16, patience: Patience<'a>) -> Result<Connection<'a>, Broken> {
        let began = Instant::now();
        let (tell, told) = mpsc::channel();
        let (name, each) = (host.to_owned(), patience.connect);
        // getaddrinfo(3) knows no time limit and connect(2) no flag: they are left behind when we go.
        std::thread::spawn(move || {
            let _ = tell.send(first_that_answers(&name, port, each, &tell));
        });
        let mut step_began = began;
        loop {
            if patience.cancel.is_requested() {
                return Err(Broken::Interrupted);
            }
            match told.recv_timeout(STEP) {
                Ok(Events::Connected(stream)) => {
                    stream.set_nodelay(true).map_err(Broken::Failed)?;
                    return Connection::over(Box::new(stream), began, patience);
                }
                Ok(Events::Failed(why)) => return Err(Broken::NotConnected(why)),
                Ok(Events::Trying) => step_began = Instant::now(),
                // The thread has a limit of its own for each address; here it gets a little more.
                Err(RecvTimeoutError::Timeout) if step_began.elapsed() > patience.connect + STEP * 5 => {
                    return Err(Broken::Slow("address or connection", patience.connect));
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() > patience.total => {
                    return Err(Broken::Slow("connection", patience.total));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Broken::NotConnected("cannot connect".into()));
                }
            }
        }
    }

    /// Connects to a Unix socket.
    pub fn unix(path: &Path, patience: Patience<'a>) -> Result<Connection<'a>, Broken> {
        let began = Instant::now();
        let failed =
            |e: Errno| Broken::NotConnected(format!("cannot connect to {}: {e}", display_path(path)));
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        let limit = patience.connect.min(patience.total);
        // One that would wait until the server has room for it would wait for ever, and no signal would end that.
        while let Err(errno) = connect(&socket, &address) {
            match errno {
                Errno::AGAIN | Errno::INTR => {}
                errno => return Err(failed(errno)),
            }
            if patience.cancel.is_requested() {
                return Err(Broken::Interrupted);
            }
            if began.elapsed() >= limit {
                return Err(Broken::Slow("connection", limit));
            }
            std::thread::sleep(STEP / 10);
        }
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false).map_err(Broken::Failed)?;
        Connection::over(Box::new(stream), began, patience)
    }

    fn over(socket: Box<dyn Socket>, began: Instant, patience: Patience<'a>) -> Result<Self, Broken> {
        socket.limit(STEP).map_err(Broken::Failed)?;
        // Nobody waits for longer than a year; an instant that far away may be none.
        let end = began + patience.total.min(A_YEAR);
        Ok(Connection { socket, patience, end, out: Vec::new(), input: Vec::new(), taken: 0 })
    }

    /// Collects bytes to be written.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes what was collected. That it is written does not mean that it has come.
    pub fn flush(&mut self) -> Result<(), Broken> {
        let out = std::mem::take(&mut self.out);
        for mut bytes in out.chunks(BUFFER) {
            let wait = self.patience.wait;
            let until = self.until(wait);
            while !bytes.is_empty() {
                match self.socket.write(bytes) {
                    Ok(0) => return Err(Broken::Closed),
                    Ok(n) => bytes = &bytes[n..],
                    Err(e) => self.go_on(e, until, "progress in sending", wait)?,
                }
            }
        }
        Ok(())
    }

    /// Writes what was collected and with it `last`, the bytes without which the peer must not act, but only if the
    /// peer has said nothing so far: an answer that came too early answers something else.
    ///
    /// # Errors
    /// [`Broken`]: then the peer has not all of it, and cannot have accepted it.
    pub fn finish(&mut self, last: &[u8]) -> Result<(), Broken> {
        self.silence()?;
        self.out.extend_from_slice(last);
        self.flush()
    }

    /// # Errors
    /// [`Broken::Early`] if there is something to be read, [`Broken::Closed`] if there never will be.
    pub fn silence(&mut self) -> Result<(), Broken> {
        if self.taken < self.input.len() {
            return Err(Broken::Early);
        }
        let mut buffer = [0; 4096];
        self.socket.never_wait(true).map_err(Broken::Failed)?;
        let read = self.socket.read(&mut buffer);
        self.socket.never_wait(false).map_err(Broken::Failed)?;
        match read {
            Ok(0) => Err(Broken::Closed),
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                Err(Broken::Early)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(e) => Err(Broken::Failed(e)),
        }
    }

    /// Reads what `take` takes: it is given what has come, says how much of that it has used up, and whether it
    /// has enough. All of it has to come within `time`.
    pub fn read(
        &mut self,
        time: Duration,
        mut take: impl FnMut(&[u8]) -> Result<(usize, bool), Broken>,
    ) -> Result<(), Broken> {
        let until = self.until(time);
        loop {
            if self.taken < self.input.len() {
                let (taken, enough) = take(&self.input[self.taken..])?;
                self.taken += taken;
                if enough {
                    return Ok(());
                }
            }
            // A peer that sends without end is not to be heard without end.
            if Instant::now() >= until {
                return Err(Broken::Slow("answer", time));
            }
            self.fill(until, time)?;
        }
    }

    fn fill(&mut self, until: Instant, time: Duration) -> Result<(), Broken> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(Broken::Closed),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    return self.go_on(
                        io::ErrorKind::Interrupted.into(),
                        self.end,
                        "end",
                        self.patience.total,
                    );
                }
                Err(e) => self.go_on(e, until, "answer", time)?,
            }
        }
    }

    /// Whether there is still time after a read or write that has brought nothing.
    fn go_on(&self, e: io::Error, until: Instant, what: &'static str, time: Duration) -> Result<(), Broken> {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        if !matches!(e.kind(), Interrupted | TimedOut | WouldBlock) {
            return Err(Broken::Failed(e));
        }
        if self.patience.cancel.is_requested() {
            return Err(Broken::Interrupted);
        }
        match Instant::now() {
            now if now >= self.end => Err(Broken::Slow("end", self.patience.total)),
            now if now >= until => Err(Broken::Slow(what, time)),
            _ => Ok(()),
        }
    }

    fn until(&self, time: Duration) -> Instant {
        (Instant::now() + time).min(self.end)
    }

    /// How long to wait.
    pub fn patience(&self) -> Patience<'a> {
        self.patience
    }
}

/// What comes of connecting.
enum Events {
    Trying,
    Connected(TcpStream),
    Failed(String),
}

fn first_that_answers(host: &str, port: u16, each: Duration, tell: &mpsc::Sender<Events>) -> Events {
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(e) => return Events::Failed(format!("cannot look up {host}: {e}")),
    };
    let mut failed = Vec::new();
    for address in addresses {
        if tell.send(Events::Trying).is_err() {
            break;
        }
        match TcpStream::connect_timeout(&address, each) {
            Ok(stream) => return Events::Connected(stream),
            Err(e) => failed.push(format!("cannot connect to {address}: {e}")),
        }
    }
    match failed.is_empty() {
        true => Events::Failed(format!("{host} has no address")),
        false => Events::Failed(failed.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::transport::peer::{HASTY, PATIENT, Peer};

    #[test]
    fn whoever_does_not_answer_is_told_by_name() {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let closed = Connection::tcp("127.0.0.1", port, PATIENT).err().unwrap();
        assert!(closed.to_string().starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{closed}");
        let unknown = Connection::tcp("no such host", 25, PATIENT).err().unwrap();
        assert!(unknown.to_string().starts_with("cannot look up no such host: "), "{unknown}");
        let nowhere = Connection::unix(Path::new("/nowhere/socket"), PATIENT).err().unwrap();
        assert!(nowhere.to_string().starts_with("cannot connect to /nowhere/socket: "), "{nowhere}");
        let cancel = Patience { cancel: Cancel::requested(), ..PATIENT };
        assert!(matches!(Connection::tcp("127.0.0.1", port, cancel), Err(Broken::Interrupted)));
    }

    #[test]
    fn all_addresses_of_a_host_are_tried() {
        // Of localhost's addresses only one listens, whatever their order.
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Connection::tcp("localhost", listener.local_addr().unwrap().port(), PATIENT).unwrap();
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
        let mut connection = Connection::unix(&path, PATIENT).unwrap();
        connection.finish(b"x").unwrap();
        connection.read(PATIENT.wait, |bytes| Ok((bytes.len(), bytes == b"x"))).unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_peer_that_does_not_read_is_not_waited_for_longer_than_the_limit() {
        let (tell, told) = mpsc::channel::<()>();
        let peer = Peer::plays(move |_| assert!(told.recv().is_err()));
        let mut connection = peer.connect(HASTY);
        let written = (0..10_000).try_for_each(|_| connection.put(&[b'x'; BUFFER]));
        assert!(matches!(written, Err(Broken::Slow(..))), "{written:?}");
        drop(tell);
    }

    #[test]
    fn the_total_limit_and_an_interruption_end_any_wait() {
        for cancel in [false, true] {
            let (tell, told) = mpsc::channel::<()>();
            let peer = Peer::plays(move |_| assert!(told.recv().is_err()));
            let flag = Cancel::pending();
            let total = if cancel { PATIENT.total } else { STEP };
            let mut connection = peer.connect(Patience { total, cancel: &flag, ..PATIENT });
            if cancel {
                flag.request();
            }
            let read = connection.read(PATIENT.wait, |bytes| Ok((bytes.len(), false)));
            match cancel {
                true => assert!(matches!(read, Err(Broken::Interrupted))),
                false => assert!(matches!(read, Err(Broken::Slow(..)))),
            }
            drop(tell);
        }
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_seen_before_the_last_byte() {
        let peer = Peer::plays(|talk| {
            talk.say("early");
            talk.rest();
        });
        let mut connection = peer.connect(PATIENT);
        connection.read(PATIENT.wait, |bytes| Ok((1, !bytes.is_empty()))).unwrap();
        connection.put(b"a").unwrap();
        assert!(matches!(connection.finish(b"z"), Err(Broken::Early)));
        drop(connection);
        assert_eq!(peer.heard(), b"");
    }
}
