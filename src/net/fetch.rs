//! A file from a web server or a mounted disk as a stream of bytes: redirects, resuming, and what can go wrong on the
//! way. Each error says whether another try may succeed.
//!
//! Memory stays flat: 16 KiB a connection and the caller's buffer, however long the file, head or chain of redirects.

use core::fmt;
use std::string::String;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, Mode, OFlags, SeekFrom, Stat, fadvise, fstat, open, seek};
use rustix::io::read;

use crate::failure::{Exit, Failure, Reason};
use crate::linux::process::Process;
use crate::net::body;
use crate::net::connection::{self, Connection, Target};
use crate::net::proxy;
use crate::net::transport::Transport;
use kubesolo_core::ignore::ignore;
use kubesolo_core::net::http::{self, Framing, Head, Validator, is_validator};
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

/// Where to go on with a transfer that was cut.
#[derive(Clone, Copy, Debug)]
pub struct Resume<'a> {
    /// Bytes that are here already.
    pub offset: u64,
    /// What [`Body::validator`] said about the file they came from.
    pub validator: &'a str,
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
    validator: Option<Validator>,
    /// Bytes still to come, if that is known.
    left: Option<u64>,
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

    /// Opens the file at `location`, to be read from its beginning, or from `resume` on if it is the same file and can
    /// be entered in the middle: [`Body::offset`] says which.
    ///
    /// # Errors
    /// If there is no such file or no well-formed answer by [`Limits::head`].
    pub fn open(&self, location: &Location, resume: Option<Resume<'_>>) -> Result<Body, Failure> {
        let head = Instant::now().checked_add(self.limits.head);
        self.open_by(location, resume, head, None)
    }

    /// Fetches a whole document into `buffer` and gives its length.
    ///
    /// # Errors
    /// If it does not fit, or is not all there within [`Limits::small`].
    pub fn fetch_small(&self, location: &Location, buffer: &mut [u8]) -> Result<usize, Failure> {
        let deadline = Instant::now().checked_add(self.limits.small);
        let mut body = self.open_by(location, None, deadline, deadline)?;
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

    /// Succeeds if the server answers with status 200 by `deadline`, also after redirects. The body is not read.
    ///
    /// # Errors
    /// If it does not.
    pub fn answers(&self, location: &Location, deadline: Option<Instant>) -> Result<(), Failure> {
        self.open_by(location, None, deadline, deadline).map(drop)
    }

    fn open_by(
        &self,
        location: &Location,
        resume: Option<Resume<'_>>,
        head: Option<Instant>,
        whole: Option<Instant>,
    ) -> Result<Body, Failure> {
        if location.scheme() == Scheme::File {
            return open_file(location, resume);
        }
        // An offset of 0 needs no range, and an unknown file cannot be gone on with.
        let mut resume = resume.filter(|resume| resume.offset > 0 && is_validator(resume.validator));
        let mut location = location.clone();
        let mut redirects = 0;
        loop {
            let answer = self.exchange(&location, resume, head, whole)?;
            match answer {
                Answer::Body(body) => return Ok(body),
                // Without a range there is nothing to start over from.
                Answer::StartOver => resume = None,
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

    /// One exchange.
    fn exchange(
        &self,
        location: &Location,
        resume: Option<Resume<'_>>,
        head: Option<Instant>,
        whole: Option<Instant>,
    ) -> Result<Answer, Failure> {
        let proxy = proxy::choose(location, &self.variable)
            .map_err(|unusable| fetch_error(location, format_args!("{}: not http://HOST:PORT", unusable.variable)))?;
        let failed = |error: connection::Error| {
            let failure = match &proxy {
                Some(proxy) => fetch_error(location, format_args!("by proxy {}:{}: {error}", proxy.host, proxy.port)),
                None => fetch_error(location, format_args!("{error}")),
            };
            failure.transient(error.is_transient())
        };
        let head = head.unwrap_or_else(Instant::now);
        let target = Target {
            transport: self.transport,
            #[cfg(feature = "minreq")]
            minreq: self.minreq,
            location,
            proxy: proxy.as_ref(),
            ca: self.ca,
            head,
            stall: self.limits.stall,
        };
        let mut headers = heapless::String::<256>::new();
        if let Some(Resume { offset, validator }) = resume {
            use fmt::Write as _;
            write!(headers, "Range: bytes={offset}-\r\nIf-Range: {validator}\r\n").map_err(|fmt::Error| {
                fetch_error(location, format_args!("the validator to resume with is too long"))
            })?;
        }
        let (mut connection, length) = Connection::ask(&target, &headers).map_err(&failed)?;
        let head = connection.head(length).map_err(|error| failed(connection::Error::Head(error)))?;
        match head.status {
            301 | 302 | 303 | 307 | 308 => return redirect(location, &head).map(Answer::Redirect),
            416 if resume.is_some() => return Ok(Answer::StartOver),
            200 | 206 => {}
            status => return Err(refused(location, status)),
        }
        let part = match (head.status, resume) {
            (206, Some(resume)) => Some(part(location, &head, resume)?),
            (206, None) => return Err(fetch_error(location, format_args!("a part of the file (206), unasked"))),
            _ => None,
        };
        // The server took the old file's name for a new one, in spite of If-Range.
        if part.is_some() && resume.is_some_and(|resume| head.differs_from(resume.validator)) {
            return Ok(Answer::StartOver);
        }
        let length_of_body = if let Framing::Length(length) = head.framing { Some(length) } else { None };
        let (offset, total) = part.map_or((0, length_of_body), |part| (part.first, Some(part.total)));
        let validator = head.validator();
        let framing = head.framing;
        connection.skip_head(length, whole);
        let body = body::Body::new(connection, framing);
        let left = total.map(|total| total.saturating_sub(offset));
        Ok(Answer::Body(Body { source: Source::Web(body), location: location.clone(), offset, total, validator, left }))
    }
}

#[expect(clippy::large_enum_variant, reason = "one at a time, and a box would cost more")]
enum Answer {
    Body(Body),
    StartOver,
    Redirect(Location),
}

fn redirect(location: &Location, head: &Head<'_>) -> Result<Location, Failure> {
    let refused = |why: &dyn fmt::Display| fetch_error(location, format_args!("redirect: {why}"));
    let to = head.location.ok_or_else(|| refused(&"leads nowhere (no Location)"))?;
    let to = location.join(to).map_err(|error| refused(&error))?;
    match (location.scheme(), to.scheme()) {
        (_, Scheme::File) => Err(refused(&"leads to a file of this box")),
        (Scheme::Https, Scheme::Http) => Err(refused(&"leads from https to http")),
        _ => Ok(to),
    }
}

/// The part of the file that the answer holds.
fn part(location: &Location, head: &Head<'_>, resume: Resume<'_>) -> Result<http::ContentRange, Failure> {
    let wrong = |why| fetch_error(location, format_args!("the server answers with another part of the file: {why}"));
    let part = head.range.ok_or_else(|| wrong("no Content-Range"))?;
    if part.first != resume.offset {
        return Err(wrong("it begins elsewhere"));
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

fn open_file(location: &Location, resume: Option<Resume<'_>>) -> Result<Body, Failure> {
    let failed = |errno| fetch_error(location, format_args!("{}", Reason(errno)));
    // O_NONBLOCK: the open of a named pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(location.as_str(), flags, Mode::empty()).map_err(failed)?;
    let metadata = fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(metadata.st_mode) != FileType::RegularFile {
        return Err(fetch_error(location, format_args!("not a file")));
    }
    let total = u64::try_from(metadata.st_size).unwrap_or_default();
    let validator = validator_of(&metadata);
    let same = |resume: &Resume<'_>| resume.offset <= total && validator.as_deref() == Some(resume.validator);
    let offset = resume.filter(same).map_or(0, |resume| resume.offset);
    seek(&file, SeekFrom::Start(offset)).map_err(failed)?;
    ignore(fadvise(&file, 0, None, Advice::Sequential), "it only reads faster");
    let left = Some(total.saturating_sub(offset));
    Ok(Body { source: Source::File(file), location: location.clone(), offset, total: Some(total), validator, left })
}

/// Identifies this version of a file, by inode, size and time of change.
fn validator_of(metadata: &Stat) -> Option<Validator> {
    use fmt::Write as _;
    let mut text = Validator::new();
    let (inode, size) = (metadata.st_ino, metadata.st_size);
    write!(text, "{inode}-{size}-{}.{}", metadata.st_mtime, metadata.st_mtime_nsec).ok()?;
    Some(text)
}

impl Body {
    /// Where in the file the first byte read from here belongs: 0, or the offset to resume from.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the whole file, from offset 0; `None` if the server sends chunks.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The validator for a later [`Resume`]; `None` if the server sends none.
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let location = &self.location;
        let result = match &mut self.source {
            Source::Web(body) => body
                .read(buffer)
                .map_err(|error| fetch_error(location, format_args!("{error}")).transient(error.is_transient())),
            Source::File(file) => {
                let most = usize::try_from(self.left.unwrap_or_default()).unwrap_or(usize::MAX);
                let most = most.min(buffer.len());
                let free = buffer.get_mut(..most).unwrap_or_default();
                read(&*file, free).map_err(|errno| fetch_error(location, format_args!("{}", Reason(errno))))
            }
        };
        let count = result?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
            // A server may send less of the file than was asked for, and a file may shrink.
            if count == 0 && *left > 0 && !buffer.is_empty() {
                return Err(fetch_error(location, format_args!("{}", connection::Error::Truncated)).transient(true));
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
