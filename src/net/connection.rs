//! One HTTP exchange: connect, through a proxy and inside TLS if required, send the request, and read the head. Every wait has a
//! limit.
//!
//! Plain sockets and a fixed buffer. minreq was meant for this and does not fit: one GET with it makes the binary of
//! 229,344 bytes 108,000 larger, more than three times what all of fetching takes here, and 224 KiB is the limit for all
//! verbs. It also dies on one kind of header line, takes a cut body for a whole one, watches no stall, sends plain HTTP
//! through a proxy by CONNECT (which proxies forbid), and knows no CA file. The feature `minreq` has it in a child process.

use core::fmt;
use std::boxed::Box;
use std::string::String;
use std::time::{Duration, Instant};
use std::vec;

use rustix::io::Errno;

use crate::failure::Reason;
#[cfg(feature = "minreq")]
use crate::linux::process::Process;
#[cfg(feature = "minreq")]
use crate::net::minreq;
use crate::net::proxy::Proxy;
#[cfg(feature = "tls")]
use crate::net::tls;
use crate::net::transport::{self, Stream, Transport};
use kubesolo_core::net::http::{self, HEAD_MAX, Head};
use kubesolo_core::net::url::{Location, Scheme};

/// Most `1xx` heads before the real one.
const INTERIM_MAX: u32 = 8;

/// What every request says, behind its `Host`.
const USUAL: &str = concat!(
    "\r\nUser-Agent: kubesolo-boot/",
    env!("CARGO_PKG_VERSION"),
    "\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
);

/// Why an exchange failed.
#[derive(Debug)]
pub enum Error {
    /// There is no connection.
    Open(transport::Error),
    /// The answer did not begin in time.
    Timeout,
    /// The answer stopped in the middle, or is not all there in time.
    Stalled,
    /// The connection ended before the answer began.
    Empty,
    /// The connection broke.
    Broken(Errno),
    /// The head is longer than [`HEAD_MAX`].
    HeadTooLong,
    /// The head is malformed.
    Head(http::Error),
    /// The proxy does not connect us; its status.
    Proxy(u16),
    /// The body ended too early.
    Truncated,
    /// The chunks are malformed.
    Chunk,
    /// This build has no TLS.
    NoTls,
    /// TLS failed.
    #[cfg(feature = "tls")]
    Tls(tls::Error),
    /// minreq failed.
    #[cfg(feature = "minreq")]
    Minreq(minreq::Error),
}

impl Error {
    /// Whether this is what the other side made of the request, and no trouble before it came there.
    pub fn is_answer(&self) -> bool {
        match self {
            Error::Broken(_) | Error::Empty | Error::HeadTooLong | Error::Head(_) => true,
            #[cfg(feature = "minreq")]
            Error::Minreq(_) => true,
            _ => false,
        }
    }

    /// Whether the same exchange may go well later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Open(_) | Error::Empty | Error::Broken(_) => true,
            Error::Timeout | Error::Stalled | Error::Truncated => true,
            Error::Proxy(status) => http::is_transient(*status),
            Error::HeadTooLong | Error::Head(_) | Error::Chunk | Error::NoTls => false,
            #[cfg(feature = "tls")]
            Error::Tls(error) => error.is_transient(),
            #[cfg(feature = "minreq")]
            Error::Minreq(error) => error.is_transient(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Open(transport::Error::Name(error)) => write!(f, "look up the host: {error}"),
            Error::Open(transport::Error::Connect(error)) => write!(f, "connect: {}", Reason(*error)),
            Error::Timeout => f.write_str("the server does not answer in time"),
            Error::Stalled => f.write_str("the server stopped sending in the middle, or sends too slowly"),
            Error::Empty => f.write_str("the server closed the connection without an answer"),
            Error::Broken(error) => Reason(*error).fmt(f),
            Error::HeadTooLong => write!(f, "the answer's headers are longer than {HEAD_MAX} bytes"),
            Error::Head(error) => error.fmt(f),
            Error::Proxy(407) => {
                f.write_str("the proxy wants a user name and password (USER:PASSWORD@ in the variable)")
            }
            Error::Proxy(status) => write!(f, "the proxy refuses to connect: status {status}"),
            Error::Truncated => f.write_str("the connection ended before the file did"),
            Error::Chunk => f.write_str("the answer's chunks are malformed"),
            Error::NoTls => f.write_str("this build has no https; take the one made with TLS=1, or a server with http"),
            #[cfg(feature = "tls")]
            Error::Tls(error) => error.fmt(f),
            #[cfg(feature = "minreq")]
            Error::Minreq(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// Where to and how.
pub struct Target<'a> {
    /// Who connects.
    pub transport: &'a dyn Transport,
    /// Whose children ask by minreq, where the scheme is http.
    #[cfg(feature = "minreq")]
    pub minreq: Option<Process>,
    /// A URL; not a file.
    pub location: &'a Location,
    /// The proxy to go through.
    pub proxy: Option<&'a Proxy>,
    /// The certificates to trust: a PEM file.
    pub ca: &'a str,
    /// When connection and head have to be there.
    pub head: Instant,
    /// Longest wait for the next byte of a body.
    pub stall: Duration,
}

/// A connection with what was read from it and not used yet.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Asks as [`open`](Connection::open) and [`get`](Connection::get) do, of which each says when it fails.
    ///
    /// # Errors
    /// As theirs.
    pub fn ask(target: &Target<'_>, headers: &str) -> Result<(Connection, usize), Error> {
        #[cfg(feature = "minreq")]
        if let Some(process) = target.minreq.filter(|_| target.location.scheme() == Scheme::Http) {
            let mut connection = Connection::by_minreq(process, target, headers)?;
            let length = connection.read_last_head()?;
            return Ok((connection, length));
        }
        let mut connection = Connection::open(target)?;
        let length = connection.get(target, headers)?;
        Ok((connection, length))
    }

    /// Asks once more, on the connection by which an earlier answer came.
    ///
    /// # Errors
    /// As [`get`](Connection::get); also if the server has closed it meanwhile.
    pub fn ask_again(mut self, target: &Target<'_>, headers: &str) -> Result<(Connection, usize), Error> {
        self.stream.set_deadline(Some(target.head));
        let length = self.get(target, headers)?;
        Ok((self, length))
    }

    /// Whether nothing came that was not read.
    pub fn is_idle(&self) -> bool {
        self.start == self.end
    }

    /// An answer's head and body, as they come from a child process.
    #[cfg(feature = "minreq")]
    fn by_minreq(process: Process, target: &Target<'_>, headers: &str) -> Result<Connection, Error> {
        use minreq::Error as Why;
        if target.proxy.is_some() {
            return Err(Error::Minreq(Why::ByProxy));
        }
        let stream =
            minreq::ask(process, target.location, [USUAL, headers], target.stall, target.head).map_err(|error| {
                match error {
                    Why::Open(error) => Error::Open(error),
                    Why::Broken(errno) => broken(errno),
                    Why::HeadTooLong => Error::HeadTooLong,
                    Why::Head(error) => Error::Head(error),
                    error => Error::Minreq(error),
                }
            })?;
        Ok(Connection { stream, buffer: vec![0; HEAD_MAX].into_boxed_slice(), start: 0, end: 0 })
    }

    /// Connects, through the proxy and inside TLS where that is asked for.
    ///
    /// # Errors
    /// If there is no connection by `target.head`.
    pub fn open(target: &Target<'_>) -> Result<Connection, Error> {
        let location = target.location;
        if location.scheme() == Scheme::Https && cfg!(not(feature = "tls")) {
            return Err(Error::NoTls);
        }
        let (host, port) = match target.proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (location.host(), location.port()),
        };
        let stream = target.transport.open(host, port, target.stall, target.head).map_err(Error::Open)?;
        let buffer = vec![0; HEAD_MAX].into_boxed_slice();
        let mut connection = Connection { stream, buffer, start: 0, end: 0 };
        let https = location.scheme() == Scheme::Https;
        if let Some(proxy) = target.proxy.filter(|_| https) {
            connection.tunnel(location, proxy)?;
        }
        #[cfg(feature = "tls")]
        if https {
            let stream =
                tls::Stream::open(connection.stream, location.host(), target.ca).map_err(|error| match error {
                    tls::Error::Io(error) => broken(error),
                    error => Error::Tls(error),
                })?;
            connection.stream = Box::new(stream);
        }
        Ok(connection)
    }

    /// Asks the proxy for a tunnel to the server.
    fn tunnel(&mut self, location: &Location, proxy: &Proxy) -> Result<(), Error> {
        let authority = location.authority();
        let port = if authority.ends_with(']') || !authority.contains(':') { ":443" } else { "" };
        let mut request = String::new();
        let words: &[&str] = &["CONNECT ", authority, port, " HTTP/1.1\r\nHost: ", authority, port, "\r\n"];
        words.iter().for_each(|word| request.push_str(word));
        push_credentials(&mut request, proxy);
        request.push_str("\r\n");
        self.send(&request)?;
        let length = self.read_head()?;
        let status = self.status(length).map_err(Error::Head)?;
        self.start = self.start.saturating_add(length);
        // Bytes after the proxy's head would be read as the server's.
        if status == 200 && self.start == self.end { Ok(()) } else { Err(Error::Proxy(status)) }
    }

    /// Sends a GET with these header lines (`Name: value\r\n` each) and reads the answer's head, which [`head`] then
    /// gives.
    ///
    /// [`head`]: Connection::head
    ///
    /// # Errors
    /// If the answer's head does not arrive in time or is malformed. Any status is accepted.
    pub fn get(&mut self, target: &Target<'_>, headers: &str) -> Result<usize, Error> {
        let location = target.location;
        let mut request = String::from("GET ");
        let plain_proxy = target.proxy.filter(|_| location.scheme() == Scheme::Http);
        // A proxy needs the whole URL in the request line.
        request.push_str(if plain_proxy.is_some() { location.as_str() } else { location.target() });
        request.push_str(" HTTP/1.1\r\nHost: ");
        request.push_str(location.authority());
        request.push_str(USUAL);
        if let Some(proxy) = plain_proxy {
            push_credentials(&mut request, proxy);
        }
        request.push_str(headers);
        request.push_str("\r\n");
        self.send(&request)?;
        self.read_last_head()
    }

    /// Reads over interim heads to the one of the answer; gives its length.
    fn read_last_head(&mut self) -> Result<usize, Error> {
        for _ in 0..INTERIM_MAX {
            let length = self.read_head()?;
            let status = self.status(length).map_err(Error::Head)?;
            if !(100..200).contains(&status) || status == 101 {
                return Ok(length);
            }
            self.start = self.start.saturating_add(length);
        }
        Err(Error::Head(http::Error::NotHttp))
    }

    /// The status of a head of that length, whatever else stands in it.
    ///
    /// # Errors
    /// If there is none.
    pub fn status(&self, length: usize) -> Result<u16, http::Error> {
        http::status(self.unread().get(..length).unwrap_or_default())
    }

    /// The head that [`get`](Connection::get) has read, of that length.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn head(&self, length: usize) -> Result<Head<'_>, http::Error> {
        Head::parse(self.unread().get(..length).unwrap_or_default())
    }

    /// Goes over the head, of that length, to the body, with a time limit for all of it or else for each wait.
    pub fn skip_head(&mut self, length: usize, deadline: Option<Instant>) {
        self.start = self.start.saturating_add(length);
        self.stream.set_deadline(deadline);
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn send(&mut self, request: &str) -> Result<(), Error> {
        let mut bytes = request.as_bytes();
        while !bytes.is_empty() {
            let count = self.stream.write(bytes).map_err(broken)?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads until a whole head is in the buffer; gives its length.
    fn read_head(&mut self) -> Result<usize, Error> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        let mut seen = 0;
        loop {
            if let Some(length) = http::head_len(self.unread(), seen) {
                return Ok(length);
            }
            // A server that does not speak HTTP is an error at once, without waiting for the end of a head.
            if self.unread().iter().zip(b"HTTP/1.").any(|(got, want)| got != want) {
                return Err(Error::Head(http::Error::NotHttp));
            }
            seen = self.end;
            if self.end == self.buffer.len() {
                return Err(Error::HeadTooLong);
            }
            if self.fill()? == 0 {
                return Err(if seen == 0 { Error::Empty } else { Error::Truncated });
            }
        }
    }

    /// Reads what comes into the free part of the buffer; 0 at the end.
    fn fill(&mut self) -> Result<usize, Error> {
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = self.stream.read(free).map_err(broken)?;
        self.end = self.end.saturating_add(count);
        Ok(count)
    }

    /// Gives what was read before, or else reads straight into `buffer`; 0 at the connection's end.
    ///
    /// # Errors
    /// If the connection breaks or nothing comes in time.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.start == self.end {
            return self.stream.read(buffer).map_err(broken);
        }
        let count = buffer.len().min(self.end.saturating_sub(self.start));
        let taken = self.unread().get(..count).unwrap_or_default();
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(taken);
        self.start = self.start.saturating_add(count);
        Ok(count)
    }

    /// One byte.
    ///
    /// # Errors
    /// As for reading more; the connection's end is one too.
    pub fn byte(&mut self) -> Result<u8, Error> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.fill()? == 0 {
                return Err(Error::Truncated);
            }
        }
        let byte = self.unread().first().copied().ok_or(Error::Truncated)?;
        self.start = self.start.saturating_add(1);
        Ok(byte)
    }
}

fn broken(error: Errno) -> Error {
    if error == Errno::TIMEDOUT { Error::Timeout } else { Error::Broken(error) }
}

fn push_credentials(request: &mut String, proxy: &Proxy) {
    if let Some(credentials) = &proxy.credentials {
        ["Proxy-Authorization: Basic ", credentials, "\r\n"].iter().for_each(|word| request.push_str(word));
    }
}
