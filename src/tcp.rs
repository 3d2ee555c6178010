//! A TCP connection on which every wait has an end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::resolve::{self, Resolver};

/// A TCP connection on which no wait goes beyond `deadline`, or where there is none takes longer than `stall`.
pub struct Tcp {
    socket: TcpStream,
    stall: Duration,
    deadline: Option<Instant>,
    /// The time-outs the kernel knows now.
    set: [Option<Duration>; 2],
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Error {
    /// The host has no address, or nobody could be asked.
    Resolve(resolve::Error),
    /// No address takes the connection.
    Connect(io::Error),
}

impl Tcp {
    /// Connects to the first of the host's addresses that takes it.
    ///
    /// # Errors
    /// If there is no connection by `deadline`, which stays in force: see [`Tcp::set_deadline`].
    pub fn open(host: &str, port: u16, stall: Duration, deadline: Instant) -> Result<Tcp, Error> {
        let socket = connect(host, port, deadline)?;
        Ok(Tcp { socket, stall, deadline: Some(deadline), set: [None; 2] })
    }

    /// Sets when all waits end; `None`: each has its own time.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// The time that the next wait may take.
    fn wait(&self) -> io::Result<Duration> {
        let Some(deadline) = self.deadline else { return Ok(self.stall) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let wait = Some(self.wait()?);
            if self.set[0] != wait {
                self.socket.set_read_timeout(wait)?;
                self.set[0] = wait;
            }
            match self.socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                result => return result,
            }
        }
    }
}

/// Only `write`: the vectored form would raise SIGPIPE.
impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let wait = Some(self.wait()?);
            if self.set[1] != wait {
                self.socket.set_write_timeout(wait)?;
                self.set[1] = wait;
            }
            match self.socket.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, Error> {
    let addresses = Resolver::SYSTEM.resolve(host, deadline).map_err(Error::Resolve)?;
    let mut failed = Error::Connect(ErrorKind::TimedOut.into());
    for (address, before) in addresses.iter().zip(0_usize..) {
        // A host with two addresses, one of them dead, must not use up the time of the other.
        let more = u32::try_from(addresses.len().saturating_sub(before)).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()).checked_div(more).unwrap_or_default();
        if share.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&SocketAddr::new(*address, port), share) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = Error::Connect(error),
        }
    }
    Err(failed)
}
