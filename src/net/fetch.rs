//! A file from a web server or a mounted disk as a stream of bytes: redirects, resuming, and what can go wrong on the
//! way. Each error says whether another try may succeed.
//!
//! Memory stays flat: 16 KiB a connection and the caller's buffer, however long the file, head or chain of redirects.

use core::fmt;
use std::string::String;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use rustix::io::{Errno, read};

use crate::failure::{Exit, Failure, Reason};
use crate::linux::beneath;
use crate::linux::process::Process;
use crate::net::body;
use crate::net::connection::{self, Connection, Target};
use crate::net::proxy;
use crate::net::transport::Transport;
use kubesolo_core::ignore::ignore;
use kubesolo_core::net::http::{self, Framing, Head};
use kubesolo_core::net::url::{Location, Scheme};

/// Most redirects that are followed.
const REDIRECTS_MAX: u32 = 5;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection and the head of an answer, together.
    pub head: Duration,
    /// For the next byte of a body: a slow link may take as long as it needs, a dead one may not.
    pub stall: Duration,
    /// For the whole of a small document, from the look-up of the host to the last byte.
    pub small: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { head: Duration::from_secs(30), stall: Duration::from_secs(30), small: Duration::from_secs(30) }
    }
}

/// How things are fetched.
pub struct Client<'a> {
    /// Time limits.
    pub limits: Limits,
    /// A PEM file with the certificates to trust in `https`; empty for the system's own.
    pub ca: &'a str,
    /// An environment variable, for the proxies.
    pub variable: fn(&str) -> Option<String>,
    /// Who connects.
    pub transport: &'a dyn Transport,
    /// Whose children fetch plain http by minreq; `None`: it goes over `transport`, as https does.
    #[cfg(feature = "minreq")]
    pub minreq: Option<Process>,
}

/// A file on its way.
pub struct Body {
    source: Source,
    location: Location,
    offset: u64,
    total: Option<u64>,
    /// Bytes still to come, if that is known.
    left: Option<u64>,
    /// Whether it is the part that was asked for, and nothing else.
    is_part: bool,
}

/// Which bytes of a file: from the first of these, before the second; to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    from: u64,
    to: Option<u64>,
}

impl Wanted {
    const WHOLE: Wanted = Wanted { from: 0, to: None };

    fn is_whole(self) -> bool {
        self.from == 0 && self.to.is_none()
    }

    /// The header lines. Only after a part that ends before the file may another one be asked for.
    fn headers(self) -> String {
        match self {
            Wanted::WHOLE => "Connection: close\r\n".into(),
            Wanted { from, to: None } => std::format!("Range: bytes={from}-\r\nConnection: close\r\n"),
            Wanted { from, to: Some(to) } => std::format!("Range: bytes={from}-{}\r\n", to.saturating_sub(1)),
        }
    }
}

enum Source {
    Web(body::Body),
    File(OwnedFd),
}

impl<'a> Client<'a> {
    /// A client with the usual limits, over the kernel's TCP.
    pub fn new(ca: &'a str, process: &'a Process) -> Client<'a> {
        Client {
            limits: Limits::default(),
            ca,
            variable: process.variable,
            transport: process,
            #[cfg(feature = "minreq")]
            minreq: Some(*process),
        }
    }

    /// Opens the file at `location`, to be read from `offset` on, or from its beginning where the server does not give a part of it:
    /// [`Body::offset`] says which. That it is still the same file is not looked at: only its hash shows that.
    ///
    /// # Errors
    /// If there is no such file or no well-formed answer by [`Limits::head`].
    pub fn open(&self, location: &Location, offset: u64) -> Result<Body, Failure> {
        let head = Instant::now().checked_add(self.limits.head);
        self.open_by(location, Wanted { from: offset, to: None }, head, None, None)
    }

    /// Opens the part of the file from byte `from` up to byte `to`, or all of it where the server does not give parts:
    /// [`Body::is_part`] says which. It comes by the connection of an `earlier` part of it, if that is still open.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open_part(&self, location: &Location, from: u64, to: u64, earlier: Option<Body>) -> Result<Body, Failure> {
        let head = Instant::now().checked_add(self.limits.head);
        let (location, kept) = match earlier {
            Some(body) => (body.location.clone(), body.into_connection()),
            None => (location.clone(), None),
        };
        self.open_by(&location, Wanted { from, to: Some(to) }, head, None, kept)
    }

    /// Fetches a whole document into `buffer` and gives its length.
    ///
    /// # Errors
    /// If it does not fit, or is not all there within [`Limits::small`].
    pub fn fetch_small(&self, location: &Location, buffer: &mut [u8]) -> Result<usize, Failure> {
        let deadline = Instant::now().checked_add(self.limits.small);
        let mut body = self.open_by(location, Wanted::WHOLE, deadline, deadline, None)?;
        let too_long = |body: &Body, most: usize| fetch_error(&body.location, format_args!("longer than {most} bytes"));
        if body.total.is_some_and(|total| total > buffer.len() as u64) {
            return Err(too_long(&body, buffer.len()));
        }
        let mut filled: usize = 0;
        loop {
            let free = buffer.get_mut(filled..).unwrap_or_default();
            if free.is_empty() {
                return if body.read_some(&mut [0])? == 0 { Ok(filled) } else { Err(too_long(&body, filled)) };
            }
            match body.read_some(free)? {
                0 => return Ok(filled),
                count => filled = filled.saturating_add(count),
            }
        }
    }

    /// Succeeds if the server answers with status 200 by `deadline`. Nothing else of the answer counts, and no redirect is followed: a
    /// portal that wants a login leads to a page of its own, which is there.
    ///
    /// # Errors
    /// If it does not.
    pub fn answers(&self, location: &Location, deadline: Option<Instant>) -> Result<(), Failure> {
        if location.scheme() == Scheme::File {
            return open_file(location, Wanted::WHOLE).map(drop);
        }
        let (connection, length) = self.ask(location, Wanted::WHOLE, deadline, None).map_err(|(_, failure)| failure)?;
        match connection.status(length) {
            Ok(200) => Ok(()),
            Ok(status @ 300..400) => Err(fetch_error(
                location,
                format_args!(
                    "the server answers {status}, which leads elsewhere; name the address that answers 200 itself"
                ),
            )),
            Ok(status) => Err(refused(location, status)),
            Err(error) => Err(fetch_error(location, format_args!("{error}"))),
        }
    }

    fn open_by(
        &self,
        location: &Location,
        mut wanted: Wanted,
        head: Option<Instant>,
        whole: Option<Instant>,
        mut kept: Option<Connection>,
    ) -> Result<Body, Failure> {
        if location.scheme() == Scheme::File {
            return open_file(location, wanted);
        }
        let mut location = location.clone();
        let mut redirects = 0;
        loop {
            match self.exchange(&location, wanted, head, whole, kept.take())? {
                Answer::Body(body) => return Ok(body),
                // Without a range there is nothing to start over from.
                Answer::StartOver => wanted = Wanted::WHOLE,
                Answer::Redirect(_) if redirects == REDIRECTS_MAX => {
                    return Err(fetch_error(&location, format_args!("more than {REDIRECTS_MAX} redirects")));
                }
                Answer::Redirect(next) => {
                    redirects = redirects.saturating_add(1);
                    location = next;
                }
            }
        }
    }

    /// Asks for that part of the file, by the connection that was kept or another one; gives the answer with the length of its head. Or
    /// why there is none, and whether that is what the other side made of the request.
    fn ask(
        &self,
        location: &Location,
        wanted: Wanted,
        head: Option<Instant>,
        kept: Option<Connection>,
    ) -> Result<(Connection, usize), (bool, Failure)> {
        let proxy = match proxy::choose(location, &self.variable) {
            Ok(proxy) => proxy,
            Err(unusable) => {
                let failure = fetch_error(location, format_args!("{}: not http://HOST:PORT", unusable.variable));
                return Err((false, failure));
            }
        };
        let target = Target {
            transport: self.transport,
            #[cfg(feature = "minreq")]
            minreq: self.minreq,
            location,
            proxy: proxy.as_ref(),
            ca: self.ca,
            head: head.unwrap_or_else(Instant::now),
            stall: self.limits.stall,
        };
        let headers = wanted.headers();
        // A server may close a connection at any time between two requests.
        if let Some(Ok(asked)) = kept.map(|connection| connection.ask_again(&target, &headers)) {
            return Ok(asked);
        }
        Connection::ask(&target, &headers).map_err(|error| {
            let failure = match &proxy {
                Some(proxy) => fetch_error(location, format_args!("by proxy {}:{}: {error}", proxy.host, proxy.port)),
                None => fetch_error(location, format_args!("{error}")),
            };
            (error.is_answer(), failure.transient(error.is_transient()))
        })
    }

    /// One exchange.
    fn exchange(
        &self,
        location: &Location,
        wanted: Wanted,
        head: Option<Instant>,
        whole: Option<Instant>,
        kept: Option<Connection>,
    ) -> Result<Answer, Failure> {
        let (mut connection, length) = match self.ask(location, wanted, head, kept) {
            Ok(asked) => asked,
            // Something on the way that does not like ranges may also hang up.
            Err((true, _)) if !wanted.is_whole() => return Ok(Answer::StartOver),
            Err((_, failure)) => return Err(failure),
        };
        let (framing, offset, total, is_part) = match understand(location, &connection, length, wanted) {
            Ok(Understood::Body { framing, offset, total, is_part }) => (framing, offset, total, is_part),
            Ok(Understood::Redirect(next)) => return Ok(Answer::Redirect(next)),
            // Whatever it is that a server makes of a range: it is asked once without one.
            Err(_) if !wanted.is_whole() => return Ok(Answer::StartOver),
            Err(failure) => return Err(failure),
        };
        connection.skip_head(length, whole);
        let end = wanted.to.filter(|_| is_part).or(total);
        let left = end.map(|end| end.saturating_sub(offset));
        let source = Source::Web(body::Body::new(connection, framing));
        Ok(Answer::Body(Body { source, location: location.clone(), offset, total, left, is_part }))
    }
}

/// What a head says of the answer: framing, offset, and the length of the whole file.
#[expect(clippy::large_enum_variant, reason = "one at a time, and a box would cost more")]
enum Understood {
    Body { framing: Framing, offset: u64, total: Option<u64>, is_part: bool },
    Redirect(Location),
}

fn understand(
    location: &Location,
    connection: &Connection,
    length: usize,
    wanted: Wanted,
) -> Result<Understood, Failure> {
    let malformed = |error: http::Error| fetch_error(location, format_args!("{error}"));
    let status = connection.status(length).map_err(malformed)?;
    match status {
        200 | 206 | 301 | 302 | 303 | 307 | 308 => {}
        status => return Err(refused(location, status)),
    }
    let head = connection.head(length).map_err(malformed)?;
    let framing = head.framing;
    match (status, framing) {
        (206, _) if wanted.is_whole() => Err(fetch_error(location, format_args!("a part of the file (206), unasked"))),
        (206, _) => part(location, &head, wanted).map(|part| Understood::Body {
            framing,
            offset: part.first,
            total: Some(part.total),
            is_part: true,
        }),
        (200, Framing::Length(length)) => {
            Ok(Understood::Body { framing, offset: 0, total: Some(length), is_part: false })
        }
        (200, _) => Ok(Understood::Body { framing, offset: 0, total: None, is_part: false }),
        _ => redirect(location, &head).map(Understood::Redirect),
    }
}

enum Answer {
    Body(Body),
    StartOver,
    Redirect(Location),
}

fn redirect(location: &Location, head: &Head<'_>) -> Result<Location, Failure> {
    let refused = |why: &dyn fmt::Display| fetch_error(location, format_args!("redirect: {why}"));
    let to = head.location.ok_or_else(|| refused(&"leads nowhere (no Location)"))?;
    location.join(to).map_err(|error| refused(&error))
}

/// The part of the file that the answer holds.
fn part(location: &Location, head: &Head<'_>, wanted: Wanted) -> Result<http::ContentRange, Failure> {
    let wrong = |why| fetch_error(location, format_args!("the server answers with another part of the file: {why}"));
    let part = head.range.ok_or_else(|| wrong("no Content-Range"))?;
    if part.first != wanted.from {
        return Err(wrong("it begins elsewhere"));
    }
    if wanted.to.is_some_and(|to| part.last.checked_add(1) != Some(to)) {
        return Err(wrong("it ends elsewhere"));
    }
    let length = part.last.saturating_sub(part.first).saturating_add(1);
    match head.framing {
        Framing::Length(claimed) if claimed != length => Err(wrong("Content-Length and Content-Range differ")),
        _ => Ok(part),
    }
}

fn refused(location: &Location, status: u16) -> Failure {
    let advice = match status {
        401 | 403 => "; the server does not let this box have it",
        404 | 410 => "; there is no such file on the server: check the address",
        407 => "; the proxy wants a user name and password (USER:PASSWORD@ in the variable)",
        429 => "; the server asks for fewer requests",
        500..=599 => "; the server has a problem of its own",
        _ => "",
    };
    fetch_error(location, format_args!("the server answers {status}{advice}")).transient(http::is_transient(status))
}

fn open_file(location: &Location, wanted: Wanted) -> Result<Body, Failure> {
    let failed = |errno| fetch_error(location, format_args!("{}", Reason(errno)));
    let (folder, rest) = location.folder_and_rest();
    let (file, metadata) = beneath::open_regular(folder, rest).map_err(|errno| match errno {
        Errno::XDEV => {
            fetch_error(location, format_args!("a link on the way leads out of the folder; put the file there"))
        }
        Errno::NXIO => fetch_error(location, format_args!("not a file")),
        errno => failed(errno),
    })?;
    let total = u64::try_from(metadata.st_size).unwrap_or_default();
    let is_part = wanted.to.is_some_and(|to| wanted.from <= to && to <= total);
    let offset = if wanted.from <= total { wanted.from } else { 0 };
    seek(&file, SeekFrom::Start(offset)).map_err(failed)?;
    ignore(fadvise(&file, 0, None, Advice::Sequential), "it only reads faster");
    let end = wanted.to.filter(|_| is_part).unwrap_or(total);
    let left = Some(end.saturating_sub(offset));
    Ok(Body { source: Source::File(file), location: location.clone(), offset, total: Some(total), left, is_part })
}

impl Body {
    /// Where in the file the first byte read from here belongs: 0, or the offset to resume from.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether it is the part that was asked for, and nothing else.
    pub fn is_part(&self) -> bool {
        self.is_part
    }

    /// The connection it came by, if all of it was read.
    fn into_connection(self) -> Option<Connection> {
        match self.source {
            Source::Web(body) if self.left == Some(0) => body.into_connection(),
            _ => None,
        }
    }

    /// Bytes of the whole file, from offset 0; `None` if the server does not say.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Reads the next bytes, as many as fit into `buffer`.
    ///
    /// # Errors
    /// As those of reading; the file ends before.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let count = self.read_some(rest)?;
            if count == 0 {
                return Err(self.truncated());
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// It ends before the file does.
    pub fn truncated(&self) -> Failure {
        fetch_error(&self.location, format_args!("{}", connection::Error::Truncated)).transient(true)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let location = &self.location;
        // What comes behind the end that was told is not of this file.
        let most = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX)).min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let result = match &mut self.source {
            Source::Web(body) => body
                .read(buffer)
                .map_err(|error| fetch_error(location, format_args!("{error}")).transient(error.is_transient())),
            Source::File(file) => {
                read(&*file, &mut *buffer).map_err(|errno| fetch_error(location, format_args!("{}", Reason(errno))))
            }
        };
        let count = result?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
            // A server may send less of the file than was asked for, and a file may shrink.
            if count == 0 && *left > 0 {
                return Err(self.truncated());
            }
        }
        Ok(count)
    }
}

impl embedded_io::ErrorType for Body {
    type Error = Failure;
}

/// Takes a buffer of any size; more than 64 KiB is not faster. Gives 0 only at the file's end.
impl embedded_io::Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.read_some(buffer)
    }
}

fn fetch_error(location: &Location, reason: fmt::Arguments<'_>) -> Failure {
    Failure::new(Exit::Io, format_args!("fetch {location}: {reason}"))
}
