//! Stands in for `src/net/tcp.rs` under `cfg(fuzzing)`: the peer is in memory, says what it was told to, and keeps count.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use std::vec::Vec;

use rustix::io::Errno;

use crate::linux::process::Process;
use crate::net::names;

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

std::thread_local! {
    static SCRIPTS: RefCell<VecDeque<Script>> = const { RefCell::new(VecDeque::new()) };
    static ASKED: RefCell<Asked> = const { RefCell::new(Asked { requests: Vec::new(), reads: 0 }) };
}

/// Gives each of the next connections its script; those after them are refused.
pub fn serve(scripts: impl IntoIterator<Item = Script>) {
    SCRIPTS.set(scripts.into_iter().collect());
    ASKED.take();
}

/// What came since [`serve`].
pub fn asked() -> Asked {
    ASKED.take()
}

/// As in `src/net/tcp.rs`.
pub struct Tcp {
    script: Script,
    at: usize,
    reads: usize,
}

/// As in `src/net/tcp.rs`.
#[derive(Debug)]
pub enum Error {
    /// The host has no address, or nobody could be asked.
    Name(names::Error),
    /// No address takes the connection.
    Connect(Errno),
}

impl Tcp {
    /// Takes the next script, whatever host is meant.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(_: Process, _: &str, _: u16, _: Duration, _: Instant) -> Result<Tcp, Error> {
        ASKED.with_borrow_mut(|asked| asked.requests.push(Vec::new()));
        let script = SCRIPTS.with_borrow_mut(VecDeque::pop_front).ok_or(Error::Connect(Errno::CONNREFUSED))?;
        Ok(Tcp { script, at: 0, reads: 0 })
    }

    /// Nothing takes time here.
    pub fn set_deadline(&mut self, _: Option<Instant>) {}

    /// Gives the next piece; 0 at the end.
    ///
    /// # Errors
    /// The script's, at its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        ASKED.with_borrow_mut(|asked| asked.reads = asked.reads.saturating_add(1));
        let Script { bytes, pieces, end } = &self.script;
        let rest = bytes.get(self.at..).unwrap_or_default();
        let piece = self.reads.checked_rem(pieces.len()).and_then(|place| pieces.get(place));
        let most = piece.map_or(usize::MAX, |piece| usize::from(*piece).max(1));
        let count = rest.len().min(buffer.len()).min(most);
        buffer.iter_mut().zip(rest).take(count).for_each(|(to, from)| *to = *from);
        self.at = self.at.saturating_add(count);
        self.reads = self.reads.saturating_add(1);
        match end {
            Some(errno) if count == 0 && !buffer.is_empty() => Err(*errno),
            _ => Ok(count),
        }
    }

    /// Takes all of it.
    ///
    /// # Errors
    /// None.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        ASKED.with_borrow_mut(|asked| asked.requests.last_mut().map(|request| request.extend_from_slice(bytes)));
        Ok(bytes.len())
    }
}
