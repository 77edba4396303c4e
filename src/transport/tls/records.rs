//! The records of a TLS session on a socket.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::RecvFlags;
use rustls::ClientConnection;

use crate::mailbox::fs::system;

/// How many times records without data are read in a row by [`Records::receive_available`].
const MAX_EMPTY_READS: usize = 64;

/// The client's side of a session.
///
/// No method waits longer than the socket does. The caller has the time limits.
pub(in crate::transport) struct Records {
    session: ClientConnection,
}

/// A socket as rustls reads and writes it.
struct Wire<'a> {
    socket: BorrowedFd<'a>,
    flags: RecvFlags,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self.socket, buffer, self.flags)?.0)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.socket, bytes, system::NO_SIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Records {
    pub(in crate::transport) fn new(session: ClientConnection) -> Records {
        Records { session }
    }

    /// Takes one step of the handshake, and returns whether it is complete.
    pub(in crate::transport) fn step_handshake(&mut self, socket: impl AsFd) -> io::Result<bool> {
        self.write_pending(&socket)?;
        if !self.session.is_handshaking() {
            return Ok(true);
        }
        match self.read_records(socket.as_fd(), RecvFlags::empty())? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(false),
        }
    }

    /// Encrypts and sends some bytes from the start of `bytes`, which it shortens.
    pub(in crate::transport) fn send(&mut self, socket: impl AsFd, bytes: &mut &[u8]) -> io::Result<()> {
        self.write_pending(&socket)?;
        let taken = self.session.writer().write(bytes)?;
        *bytes = &bytes[taken..];
        self.write_pending(&socket)
    }

    /// Reports whether encrypted bytes have not been sent yet.
    pub(in crate::transport) fn is_pending(&self) -> bool {
        self.session.wants_write()
    }

    fn write_pending(&mut self, socket: impl AsFd) -> io::Result<()> {
        let mut wire = Wire { socket: socket.as_fd(), flags: RecvFlags::empty() };
        while self.session.wants_write() {
            self.session.write_tls(&mut wire)?;
        }
        Ok(())
    }

    /// Receives data; nothing at the end of the session. Records without data are no progress (`WouldBlock`), so that a
    /// server cannot keep a wait alive with them.
    pub(in crate::transport) fn receive(
        &mut self,
        socket: impl AsFd,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        match self.session.reader().read(buffer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            decided => return decided,
        }
        self.read_records(socket.as_fd(), RecvFlags::empty())?;
        self.session.reader().read(buffer)
    }

    /// Receives data that is here already.
    pub(in crate::transport) fn receive_available(
        &mut self,
        socket: impl AsFd,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        for _ in 0..MAX_EMPTY_READS {
            match self.session.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                decided => return decided,
            }
            self.read_records(socket.as_fd(), RecvFlags::DONTWAIT)?;
        }
        Err(io::Error::new(ErrorKind::InvalidData, "an endless row of records without data"))
    }

    fn read_records(&mut self, socket: BorrowedFd<'_>, flags: RecvFlags) -> io::Result<usize> {
        let mut wire = Wire { socket, flags };
        let read = self.session.read_tls(&mut wire)?;
        let processed = self.session.process_new_packets();
        // An alert, or an answer to an update of keys. What the socket does not take now is sent with the next bytes.
        while self.session.wants_write() && self.session.write_tls(&mut wire).is_ok() {}
        match processed {
            Ok(_) => Ok(read),
            Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}
