//! Decompression in a thread of its own, so that it goes on while the members are written.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender};

/// The size of a block that is decompressed at once.
const BLOCK: usize = 1 << 18;
/// Blocks that wait to be written.
pub(super) const WAITING: usize = 8;

/// Blocks of decompressed bytes, and the error that ended them.
pub(super) type Blocks = io::Result<Vec<u8>>;

/// Sends what a decoder gives, block by block, until the receiver is gone. An empty block is the end.
pub(super) fn send(mut decoder: impl Read, blocks: &SyncSender<Blocks>) {
    loop {
        let mut block = vec![0; BLOCK];
        let mut filled = 0;
        let mut ended = None;
        while filled < BLOCK {
            match decoder.read(&mut block[filled..]) {
                Ok(0) => {
                    ended = Some(Ok(Vec::new()));
                    break;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    ended = Some(Err(error));
                    break;
                }
            }
        }
        block.truncate(filled);
        if filled > 0 && blocks.send(Ok(block)).is_err() {
            return;
        }
        if let Some(end) = ended {
            // The receiver may have stopped before.
            let _ = blocks.send(end);
            return;
        }
    }
}

/// Reads the blocks of another thread.
pub(super) struct BlockReader {
    blocks: Receiver<Blocks>,
    block: Vec<u8>,
    at: usize,
    is_ended: bool,
}

impl BlockReader {
    pub(super) fn new(blocks: Receiver<Blocks>) -> BlockReader {
        BlockReader { blocks, block: Vec::new(), at: 0, is_ended: false }
    }
}

impl BufRead for BlockReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.block.len() && !self.is_ended {
            let gone = || io::Error::other("the decoder stopped");
            self.block = self.blocks.recv().map_err(|_| gone())??;
            self.at = 0;
            self.is_ended = self.block.is_empty();
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
