//! Succeeds if containerd answers on its socket. It speaks HTTP/2 (gRPC), and its first frame is SETTINGS (RFC 9113 section 3.4).

use core::fmt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send};

use super::Subject;
use crate::failure::{Exit, Failure, Reason};
use crate::linux::socket::socket;

/// The client's preface and its empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A frame's header; its fourth byte is the type, and SETTINGS is what a server sends first.
const HEADER_LEN: usize = 9;
const SETTINGS: u8 = 4;
/// Longest wait for one answer.
const WAIT: Duration = Duration::from_secs(5);

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    let path = subject.config.containerd;
    subject.until(&mut || {
        let failed = |reason: fmt::Arguments<'_>| Failure::new(Exit::No, format_args!("containerd: {path}: {reason}"));
        match hello(path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(format_args!("something else than containerd answers"))),
            Err(Errno::AGAIN) => Err(failed(format_args!("takes the connection and does not answer"))),
            Err(errno) => Err(failed(format_args!("{}", Reason(errno)))),
        }
    })
}

fn hello(path: &str) -> Result<bool, Errno> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, WAIT)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    send(&socket, HELLO, SendFlags::NOSIGNAL)?;
    let mut header = [0; HEADER_LEN];
    let (count, _) = recv(&socket, &mut header[..], RecvFlags::WAITALL)?;
    Ok(count == HEADER_LEN && header.get(3) == Some(&SETTINGS))
}
