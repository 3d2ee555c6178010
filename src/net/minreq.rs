//! Plain http by minreq, in a child process: the feature `minreq`.
//!
//! minreq 3.0.0 keeps no deadline in all it does, takes a body that was cut for a whole one, and as much memory as a server
//! likes. So it runs in a child, which passes on what it is told: the head, written out again, and the body as it comes. What
//! decides is on this side of the pipe, and the same code as for the program's own transport: how long to wait (then the child
//! is killed), how long a head may be, what it means, and how many bytes make a body whole.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 1 | 0: an answer; else why there is none |
//! | 1 | to the pipe's end | the head with its blank line, and the body; or an errno (`i32`, little-endian) or a text |

use core::fmt::{self, Write as _};
use std::boxed::Box;
use std::io::Read as _;
use std::string::{String, ToString};
use std::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

use ::minreq::ResponseLazy;
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, setrlimit, waitpid};

use crate::linux::children::is_ready_by;
use crate::linux::process::Process;
use crate::net::names;
use crate::net::transport::{self, Stream};
use kubesolo_core::ignore::ignore;
use kubesolo_core::net::http::{self, HEAD_MAX};
use kubesolo_core::net::url::Location;

/// Most memory that the child takes besides what it starts with, in bytes. The program's own heap is no larger, but a build
/// with TLS has the C library's.
const MEMORY: u64 = 1 << 20;

/// What is passed on at once, in bytes: as much as a pipe holds.
const PIECE: usize = 64 * 1024;

/// Most bytes of an errno or a text: whole in the pipe or not at all (POSIX: up to 512).
const REASON_MAX: usize = 255;

/// minreq makes 503 with this reason of anything that does not begin as HTTP does.
const NO_STATUS: &str = "Server did not provide a status line";

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// There is no connection.
    Open(transport::Error),
    /// It broke, or nothing came in time.
    Broken(Errno),
    /// The head is longer than [`HEAD_MAX`].
    HeadTooLong,
    /// The head is malformed.
    Head(http::Error),
    /// The connection ended before an answer, or what came is none: minreq does not tell.
    NoStatus,
    /// The child ended without a word.
    Crashed,
    /// Plain http by a proxy.
    ByProxy,
    /// A body in chunks, of which minreq takes a cut one for a whole one.
    Chunked,
    /// In minreq's words.
    Other(String),
}

impl Error {
    /// Whether the same may go well later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Open(_) | Error::Broken(_) | Error::NoStatus)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NoStatus => {
                "the server closed the connection without an answer, or the answer is not HTTP/1.1: minreq does not tell"
            }
            Error::Crashed => {
                "minreq's process died, as it does of headers that want more memory than its 1 MiB; ask another server, or \
                 take a build without the feature minreq"
            }
            Error::ByProxy => "minreq takes no plain http from a proxy; take a build without the feature minreq",
            Error::Chunked => {
                "minreq does not tell a cut body in chunks from a whole one, so none is taken; take a build without the feature \
                 minreq"
            }
            Error::Other(text) => return write!(f, "minreq: {text}"),
            // These `connection.rs` says as it does for the own transport.
            Error::Open(_) | Error::Broken(_) | Error::HeadTooLong | Error::Head(_) => "minreq: no answer",
        })
    }
}

impl core::error::Error for Error {}

/// First byte of what comes through the pipe.
const ANSWER: u8 = 0;
const CONNECT: u8 = 1;
const BROKEN: u8 = 2;
const NAME: u8 = 3;
const HEAD_TOO_LONG: u8 = 4;
const LENGTH: u8 = 5;
const LINE: u8 = 6;
const STATUS: u8 = 7;
const OTHER: u8 = 8;
const CHUNKED: u8 = 9;

/// An answer on its way from the child, which ends when nobody wants it any more.
struct Piped {
    child: Pid,
    from: OwnedFd,
    stall: Duration,
    deadline: Option<Instant>,
}

/// Has a child ask for `location` with these header lines (`Name: value\r\n` each); gives the answer, from its head on.
///
/// # Errors
/// If none begins by `deadline`, which stays in force. Any status is fine.
pub fn ask(
    process: Process,
    location: &Location,
    headers: [&str; 2],
    stall: Duration,
    deadline: Instant,
) -> Result<Box<dyn Stream>, Error> {
    let no_child = |errno| Error::Open(transport::Error::Connect(errno));
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).map_err(no_child)?;
    let child = (process.apart)(&mut || serve(location, headers, &to));
    // What is left of this end is the child's: when it has ended, so has what it says.
    drop(to);
    let child = child.ok_or(no_child(Errno::AGAIN))?;
    let mut piped = Piped { child, from, stall, deadline: Some(deadline) };
    let mut kind = [0];
    match piped.read(&mut kind).map_err(Error::Broken)? {
        0 => Err(Error::Crashed),
        _ if kind == [ANSWER] => Ok(Box::new(piped)),
        _ => {
            // It was written at once, and is whole in the pipe.
            let mut rest = [0; REASON_MAX];
            let count = piped.read(&mut rest).map_err(Error::Broken)?;
            Err(decode(kind, rest.get(..count).unwrap_or_default()))
        }
    }
}

impl Stream for Piped {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let until = self.deadline.or_else(|| Instant::now().checked_add(self.stall));
        if !until.is_some_and(|until| is_ready_by(&self.from, until)) {
            return Err(Errno::TIMEDOUT);
        }
        loop {
            match read(&self.from, &mut *buffer) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// The child has asked all there is to ask.
    fn write(&mut self, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::PIPE)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        ignore(kill_process(self.child, Signal::KILL), "it has ended already");
        // It waits for the network alone, and that a signal ends.
        ignore(waitpid(Some(self.child), WaitOptions::empty()).map(drop), "nobody else waits for it");
    }
}

/// The child: asks, and passes on what comes until one side has enough.
fn serve(location: &Location, headers: [&str; 2], to: &OwnedFd) {
    hold_memory();
    let mut answer = match get(location, headers) {
        Ok(answer) => answer,
        Err(why) => return ignore(pass_on(to, &why), "it is told to nobody"),
    };
    let mut piece = vec![0; PIECE];
    let mut passed = pass_on(to, &[ANSWER]).and_then(|()| pass_on(to, head_of(&answer).as_bytes()));
    while passed.is_ok()
        && let Ok(count @ 1..) = answer.read(&mut piece)
    {
        passed = pass_on(to, piece.get(..count).unwrap_or_default());
    }
    // An error of reading is the body's end: whether that is too early, is counted on the other side.
    ignore(passed, "nobody wants it any more");
}

/// What a head may make minreq take is limited in its process. Without /proc, the program's own heap is all the limit there is.
fn hold_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("VmData:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok()?.checked_mul(1024)
    });
    if let Some(held) = held {
        let most = Some(held.saturating_add(MEMORY));
        ignore(setrlimit(Resource::Data, Rlimit { current: most, maximum: most }), "less can always be allowed");
    }
}

/// Asks; in place of an answer gives what to tell the other side.
fn get(location: &Location, headers: [&str; 2]) -> Result<ResponseLazy, Vec<u8>> {
    let lines = headers.iter().flat_map(|lines| lines.split("\r\n")).filter_map(|line| line.split_once(": "));
    let request = ::minreq::get(location.as_str())
        .with_headers(lines)
        .with_follow_redirects(false)
        .with_max_headers_size(HEAD_MAX)
        .with_max_status_line_length(HEAD_MAX);
    let answer = request.send_lazy().map_err(|error| encode(&error))?;
    if answer.status_code == 503 && answer.reason_phrase == NO_STATUS {
        return Err(vec![STATUS]);
    }
    let is_file = matches!(answer.status_code, 200 | 206);
    if is_file && has(&answer, "transfer-encoding") && !has(&answer, "content-length") {
        return Err(vec![CHUNKED]);
    }
    Ok(answer)
}

fn has(answer: &ResponseLazy, header: &str) -> bool {
    answer.headers.iter().any(|(name, _)| name.trim() == header)
}

/// The head as it was, as far as minreq tells. Chunks it has taken apart.
fn head_of(answer: &ResponseLazy) -> String {
    let mut head = String::new();
    let written = write!(head, "HTTP/1.1 {} {}\r\n", answer.status_code, answer.reason_phrase);
    ignore(written, "a text takes all there is memory for");
    let has_length = has(answer, "content-length");
    for (name, value) in &answer.headers {
        let unpacked = name == "transfer-encoding" && value.trim().eq_ignore_ascii_case("chunked");
        if !unpacked || has_length {
            [name, ": ", value, "\r\n"].iter().for_each(|word| head.push_str(word));
        }
    }
    head.push_str("\r\n");
    head
}

fn encode(error: &::minreq::Error) -> Vec<u8> {
    use ::minreq::Error as Why;
    let say = |kind: u8, bytes: &[u8]| [kind].into_iter().chain(bytes.iter().copied()).take(REASON_MAX).collect();
    match error {
        Why::IoError(error) => match (error.raw_os_error(), error.get_ref()) {
            // These come only from a connection that there was.
            (Some(errno), _) if [Errno::CONNRESET, Errno::PIPE].iter().any(|known| known.raw_os_error() == errno) => {
                say(BROKEN, &errno.to_le_bytes())
            }
            (Some(errno), _) => say(CONNECT, &errno.to_le_bytes()),
            // The standard library's own words, and then the C library's.
            (None, Some(text)) => say(NAME, text.to_string().rsplit(": ").next().unwrap_or_default().as_bytes()),
            (None, None) => say(OTHER, error.to_string().as_bytes()),
        },
        Why::HeadersOverflow | Why::StatusLineOverflow => say(HEAD_TOO_LONG, &[]),
        Why::MalformedContentLength => say(LENGTH, &[]),
        Why::InvalidUtf8InResponse => say(LINE, &[]),
        error => say(OTHER, error.to_string().as_bytes()),
    }
}

fn decode([kind]: [u8; 1], bytes: &[u8]) -> Error {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let errno = || bytes.first_chunk().map_or(Errno::IO, |bytes| Errno::from_raw_os_error(i32::from_le_bytes(*bytes)));
    match kind {
        CONNECT => Error::Open(transport::Error::Connect(errno())),
        BROKEN => Error::Broken(errno()),
        NAME => Error::Open(transport::Error::Name(names::Error::Resolver(text()))),
        HEAD_TOO_LONG => Error::HeadTooLong,
        LENGTH => Error::Head(http::Error::Value("Content-Length")),
        LINE => Error::Head(http::Error::Line),
        STATUS => Error::NoStatus,
        CHUNKED => Error::Chunked,
        _ => Error::Other(text()),
    }
}

fn pass_on(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
