//! A TCP connection on which every wait has an end.

use core::net::{IpAddr, SocketAddr};
use std::boxed::Box;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::Timeout;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::linux::process::Process;
use crate::linux::socket::{connected, wait};
use crate::net::names::{self, Addresses};
use crate::net::transport::{Error, Stream, Transport};
use kubesolo_core::ignore::ignore;

struct Tcp {
    socket: OwnedFd,
    stall: Duration,
    deadline: Option<Instant>,
}

/// Over the kernel's TCP, to the first of the host's addresses that takes it; a child process looks its name up.
impl Transport for Process {
    fn open(&self, host: &str, port: u16, stall: Duration, deadline: Instant) -> Result<Box<dyn Stream>, Error> {
        let addresses = names::look_up(*self, host, deadline).map_err(Error::Name)?;
        let socket = connected_to_any(&addresses, port, deadline).map_err(Error::Connect)?;
        Ok(Box::new(Tcp { socket, stall, deadline: Some(deadline) }))
    }
}

impl Stream for Tcp {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.in_time(Timeout::Recv, |socket| recv(socket, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.in_time(Timeout::Send, |socket| send(socket, bytes, SendFlags::NOSIGNAL))
    }
}

impl Tcp {
    fn in_time(&self, which: Timeout, mut call: impl FnMut(&OwnedFd) -> Result<usize, Errno>) -> Result<usize, Errno> {
        loop {
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match wait(&self.socket, which, left.unwrap_or(self.stall)).and_then(|()| call(&self.socket)) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(Errno::TIMEDOUT),
                result => return result,
            }
        }
    }
}

/// How long an address has at first where there are others: behind a link that swallows all packets of one kind, the others are to
/// have their turn soon.
const FIRST_TRY: Duration = Duration::from_secs(3);

/// A connection to the first of the addresses that takes it. Those that say nothing are tried again once all had their turn: over a
/// slow link an answer takes longer.
fn connected_to_any(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<OwnedFd, Errno> {
    let most = if addresses.len() > 1 { FIRST_TRY } else { Duration::MAX };
    let mut silent = Addresses::new();
    match connected_in_turn(addresses, port, deadline, most, &mut silent) {
        Err(_) if !silent.is_empty() => {
            connected_in_turn(&silent, port, deadline, Duration::MAX, &mut Addresses::new())
        }
        result => result,
    }
}

/// Tries each for its share of the time, and for `most`; collects those that say nothing.
fn connected_in_turn(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
    most: Duration,
    silent: &mut Addresses,
) -> Result<OwnedFd, Errno> {
    let mut failed = Errno::TIMEDOUT;
    for (address, before) in addresses.iter().zip(0_usize..) {
        // A host with two addresses, one of them dead, must not use up the time of the other.
        let more = u32::try_from(addresses.len().saturating_sub(before)).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()).checked_div(more).unwrap_or_default();
        if share.is_zero() {
            break;
        }
        match connected(SocketAddr::new(*address, port), share.min(most)) {
            Ok(socket) => return Ok(socket),
            Err(errno) => failed = errno,
        }
        if failed == Errno::TIMEDOUT {
            ignore(silent.push(*address), "there are no more of them than there were addresses");
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_dead_address_uses_only_its_share_of_the_time() {
        let alive = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = alive.local_addr().unwrap().port();
        let dead = TcpListener::bind(("127.0.0.2", port)).unwrap();
        // It takes one connection, and lets the next ones wait.
        rustix::net::listen(&dead, 0).unwrap();
        let addresses = ["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let soon = |millis| Instant::now().checked_add(Duration::from_millis(millis)).unwrap();
        let _first = connected_to_any(&addresses, port, soon(2000)).unwrap();
        assert_eq!(connected_to_any(&addresses[..1], port, soon(200)).unwrap_err(), Errno::TIMEDOUT);
        let start = Instant::now();
        let second = connected_to_any(&addresses, port, soon(600)).unwrap();
        assert!((300..600).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        // However much time there is, one that says nothing costs seconds: half of this would be 45.
        let start = Instant::now();
        connected_to_any(&addresses, port, soon(90_000)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        let peer = rustix::net::getpeername(&second).unwrap();
        assert_eq!(SocketAddr::try_from(peer.unwrap()).unwrap(), alive.local_addr().unwrap());
    }
}
