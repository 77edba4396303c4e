//! A man in the middle who only listens: it forwards connections and keeps every byte.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::*;

/// The bytes of a connection in each direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    pub client: Vec<u8>,
    pub server: Vec<u8>,
    /// The client has closed the connection.
    is_over: bool,
}

/// A recorder in front of a server.
pub(crate) struct Recorder {
    pub port: u16,
    conversations: Arc<Mutex<Vec<Arc<Mutex<Conversation>>>>>,
}

/// The first and last content type of a record (RFC 8446, 5.1).
const FIRST_TYPE: u8 = 20;
const LAST_TYPE: u8 = 23;

impl Recorder {
    /// Starts in front of a port in the network namespace of this process.
    pub(crate) fn new(namespace: &Path, server: u16) -> Recorder {
        let namespace = std::fs::File::open(namespace).unwrap();
        let (sender, port) = std::sync::mpsc::channel();
        let conversations = Arc::<Mutex<Vec<Arc<Mutex<Conversation>>>>>::default();
        let all = conversations.clone();
        // The threads that this one starts are in its namespace.
        thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let conversation = Arc::<Mutex<Conversation>>::default();
                all.lock().unwrap().push(conversation.clone());
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let kept = conversation.clone();
                thread::spawn(move || {
                    forward(from, to, |bytes| kept.lock().unwrap().client.extend(bytes));
                    kept.lock().unwrap().is_over = true;
                });
                thread::spawn(move || {
                    forward(server, client, |bytes| conversation.lock().unwrap().server.extend(bytes));
                });
            }
        });
        Recorder { port: port.recv().unwrap(), conversations }
    }

    /// Returns the connections, once the client has closed them.
    pub(crate) fn conversations(&self) -> Vec<Conversation> {
        let all = || -> Vec<Conversation> {
            self.conversations.lock().unwrap().iter().map(|one| one.lock().unwrap().clone()).collect()
        };
        wait_for("the end of the connections", || all().iter().all(|one| one.is_over));
        all()
    }
}

/// Copies until the end. Bytes are kept before they are forwarded.
fn forward(mut from: TcpStream, mut to: TcpStream, mut keep: impl FnMut(&[u8])) {
    let mut buffer = [0; 1 << 14];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        keep(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Conversation {
    /// Returns what the client sent before TLS. Fails if anything follows that is not a record of TLS.
    #[track_caller]
    pub(crate) fn before_tls(&self) -> String {
        const START: &[u8] = b"STARTTLS\r\n";
        let bytes = &self.client;
        let start = bytes.windows(START.len()).position(|window| window == START);
        let clear = start.map_or(0, |start| start + START.len());
        let mut rest = &bytes[clear..];
        while let [kind, 3, 0..=4, high, low, after @ ..] = rest {
            assert!((FIRST_TYPE..=LAST_TYPE).contains(kind), "not TLS: {rest:?}");
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            rest = after.get(length..).unwrap_or_else(|| panic!("a record is cut off: {rest:?}"));
        }
        assert!(rest.is_empty(), "not TLS: {:?}", rest.escape_ascii().to_string());
        String::from_utf8(bytes[..clear].to_vec()).expect("commands")
    }
}
