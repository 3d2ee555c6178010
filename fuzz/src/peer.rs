//! A transport whose peer is in memory, says what it was told to, and keeps count.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kubesolo_boot::net::transport::{Error, Stream, Transport};
use rustix::io::Errno;

/// What the peer says on one connection.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The bytes, at most so many a read as the numbers say, over and over; without numbers as many as fit.
    pub bytes: Vec<u8>,
    /// The numbers; 0 counts as 1.
    pub pieces: Vec<u8>,
    /// How it ends if not in good order.
    pub end: Option<Errno>,
}

/// What was asked of the peer.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What each connection was sent.
    pub requests: Vec<Vec<u8>>,
    /// Calls to read, on all connections.
    pub reads: usize,
}

/// The peer, whatever host is meant.
pub struct Peer {
    scripts: RefCell<VecDeque<Script>>,
    asked: Rc<RefCell<Asked>>,
}

impl Peer {
    /// Gives each connection its script; those after them are refused.
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Peer {
        Peer { scripts: RefCell::new(scripts.into_iter().collect()), asked: Rc::default() }
    }

    /// What came until now.
    pub fn asked(&self) -> Asked {
        self.asked.borrow().clone()
    }
}

impl Transport for Peer {
    fn open(&self, _: &str, _: u16, _: Duration, _: Instant) -> Result<Box<dyn Stream>, Error> {
        self.asked.borrow_mut().requests.push(Vec::new());
        let script = self.scripts.borrow_mut().pop_front().ok_or(Error::Connect(Errno::CONNREFUSED))?;
        Ok(Box::new(Connection { script, at: 0, reads: 0, asked: Rc::clone(&self.asked) }))
    }
}

struct Connection {
    script: Script,
    at: usize,
    reads: usize,
    asked: Rc<RefCell<Asked>>,
}

impl Stream for Connection {
    /// Nothing takes time here.
    fn set_deadline(&mut self, _: Option<Instant>) {}

    /// Gives the next piece, and at the end what the script says.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.asked.borrow_mut().reads += 1;
        let Script { bytes, pieces, end } = &self.script;
        let rest = bytes.get(self.at..).unwrap_or_default();
        let piece = self.reads.checked_rem(pieces.len()).and_then(|place| pieces.get(place));
        let most = piece.map_or(usize::MAX, |piece| usize::from(*piece).max(1));
        let count = rest.len().min(buffer.len()).min(most);
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        self.reads += 1;
        match end {
            Some(errno) if count == 0 && !buffer.is_empty() => Err(*errno),
            _ => Ok(count),
        }
    }

    /// Takes all of it.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        if let Some(request) = self.asked.borrow_mut().requests.last_mut() {
            request.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }
}
