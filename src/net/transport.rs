//! The traits of a connection: `tcp.rs` implements them with the kernel's TCP, a fuzz target in memory. Every wait has a limit.

use std::boxed::Box;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::net::names;

/// Makes connections.
pub trait Transport {
    /// Connects to a host, by its name or its address.
    ///
    /// # Errors
    /// If there is no connection by `deadline`, which stays in force: see [`Stream::set_deadline`].
    fn open(&self, host: &str, port: u16, stall: Duration, deadline: Instant) -> Result<Box<dyn Stream>, Error>;
}

/// A connection on which no wait goes beyond the deadline, or where there is none takes longer than `stall`.
pub trait Stream {
    /// Sets when all waits end; `None`: each has its own time.
    fn set_deadline(&mut self, deadline: Option<Instant>);

    /// Reads what comes; 0 at the end.
    ///
    /// # Errors
    /// [`Errno::TIMEDOUT`] if nothing comes in time, [`Errno::PROTO`] if it was tampered with, and the kernel's.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Writes some of the bytes.
    ///
    /// # Errors
    /// As for [`Stream::read`].
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno>;
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Error {
    /// The host has no address, or no name server answers.
    Name(names::Error),
    /// No address takes the connection.
    Connect(Errno),
}
