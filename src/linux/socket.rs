//! Sockets with a limit to every wait (socket(7): `SO_SNDTIMEO`, `SO_RCVTIMEO`).

use core::net::SocketAddr;
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

/// Sets how long the next calls may wait. A time of 0 is an error here, as it means "for ever" to the kernel.
///
/// # Errors
/// [`Errno::TIMEDOUT`] for a time of 0; the kernel's.
pub fn wait(socket: &OwnedFd, which: Timeout, time: Duration) -> Result<(), Errno> {
    if time.is_zero() { Err(Errno::TIMEDOUT) } else { set_socket_timeout(socket, which, Some(time)) }
}

/// A TCP socket that is connected to `address` within `time`, which its further waits may take as well.
///
/// # Errors
/// [`Errno::TIMEDOUT`], and the kernel's.
pub fn connected(address: SocketAddr, time: Duration) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, time)?;
    match connect(&socket, &address) {
        Ok(()) => Ok(socket),
        // What Linux says when SO_SNDTIMEO ends the wait (socket(7)).
        Err(Errno::INPROGRESS) => Err(Errno::TIMEDOUT),
        Err(errno) => Err(errno),
    }
}

/// A socket none of whose calls waits longer than `time`.
///
/// # Errors
/// The kernel's.
pub fn socket(family: AddressFamily, kind: SocketType, time: Duration) -> Result<OwnedFd, Errno> {
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    wait(&socket, Timeout::Send, time)?;
    wait(&socket, Timeout::Recv, time)?;
    Ok(socket)
}
