//! What a server, a network or a disk can do to a transfer, each as one row or one story, on the loopback. Every one
//! has to end in the error it deserves, in bounded time and memory.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use embedded_io::Read as _;
use kubesolo_boot::failure::Failure;
use kubesolo_boot::linux::process::Process;
use kubesolo_boot::net::fetch::{Body, Client, Limits};
use kubesolo_core::net::url::Location;

use crate::frugal::counted;
#[cfg(feature = "minreq")]
use crate::scene::forked;
use crate::scene::skipped;

/// Longer than any answer takes that comes at all, however busy the machine is.
const PATIENT: Limits =
    Limits { head: Duration::from_secs(60), stall: Duration::from_secs(60), small: Duration::from_secs(60) };
/// A limit that the test waits for.
const SHORT: Duration = Duration::from_millis(200);
/// What ends sooner than this did not wait for one of [`PATIENT`].
const SOON: Duration = Duration::from_secs(30);

fn client() -> Client<'static> {
    client_with(PATIENT)
}

fn client_with(limits: Limits) -> Client<'static> {
    Client {
        limits,
        ca: "",
        variable: |_| None,
        transport: &Process::BARE,
        #[cfg(feature = "minreq")]
        minreq: forked::process(),
    }
}

/// Rows that minreq fails yet, why, and what is said in the place of what should be. The rows are the same for both transports.
/// docs/decisions/0004-own-http.md says what becomes of it when there is none left.
#[cfg(feature = "minreq")]
const GAPS: &[(&str, &str, &str)] = &[
    ("IPv6 address", "takes the host for `[`", "look up the host: "),
    ("dead first address", "waits for it as long as the kernel does", "does not answer in time"),
    ("proxy", "takes plain http only by CONNECT, so it is refused", "minreq takes no plain http from a proxy"),
    ("garbage", "makes 503 of it, which is worth another try", "minreq does not tell"),
    ("SSH", "makes 503 of it, which is worth another try", "minreq does not tell"),
    ("HTTP/2", "looks at no version", "[104, 101, 108, 108, 111]"),
    ("a line without a colon", "drops it", "[104, 101, 108, 108, 111]"),
    ("head cut", "takes it for whole", "[]"),
    ("head cut behind the length", "takes it for whole", "[]"),
    ("LF bomb of 16 KiB", "its limit wraps; only the child's memory ends it", "minreq's process died"),
    ("chunks", CHUNKS, NO_LENGTH),
    ("chunks and trailers", CHUNKS, NO_LENGTH),
    ("long chunk", CHUNKS, NO_LENGTH),
    ("chunk cut", CHUNKS, NO_LENGTH),
    ("chunks cut", CHUNKS, NO_LENGTH),
    ("no last chunk", CHUNKS, NO_LENGTH),
    ("trailers cut", CHUNKS, NO_LENGTH),
    ("chunk too long", CHUNKS, NO_LENGTH),
    ("chunk without length", CHUNKS, NO_LENGTH),
    ("chunk length no number", CHUNKS, NO_LENGTH),
    ("chunk length too large", CHUNKS, NO_LENGTH),
    ("chunk line of LF only", CHUNKS, NO_LENGTH),
    ("chunk line endless", CHUNKS, NO_LENGTH),
    ("trailers endless", CHUNKS, NO_LENGTH),
    ("endless chunks", CHUNKS, NO_LENGTH),
    ("stops in a chunk's line", CHUNKS, NO_LENGTH),
    ("stops behind a chunk", CHUNKS, NO_LENGTH),
    ("bytes before a cut behind a chunk", CHUNKS, NO_LENGTH),
    ("bytes before a cut in a chunk", CHUNKS, NO_LENGTH),
    ("a chunk with more than the range", CHUNKS, NO_LENGTH),
];
#[cfg(feature = "minreq")]
const CHUNKS: &str = "takes a cut body in chunks for a whole one, so that none is taken";
#[cfg(feature = "minreq")]
const NO_LENGTH: &str = "so none is taken";

/// Runs a row. One of [`GAPS`] has to fail on minreq, and to say what stands there.
fn row(name: &str, check: impl FnOnce()) {
    #[cfg(feature = "minreq")]
    if forked::process().is_some()
        && let Some((_, why, want)) = GAPS.iter().find(|gap| gap.0 == name)
    {
        let Err(failed) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) else {
            panic!("gap {name} has closed: remove it from the table ({why})");
        };
        let said = failed.downcast_ref::<String>().expect("a row says what it got");
        return assert!(said.contains(want), "{name}: {said}, and not {want}");
    }
    let _ = name;
    check();
}

/// Chunks are a gap because this side refuses them: so it has to be seen when minreq can be trusted with them.
#[cfg(feature = "minreq")]
#[test]
fn minreq_itself_takes_a_cut_body_in_chunks_for_a_whole_one() {
    let server = Server::saying(format!("{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello"));
    let got = minreq::get(server.at("/").as_str()).send();
    assert!(
        got.is_ok_and(|answer| answer.as_bytes() == b"hello"),
        "gap chunks has closed: pass them on in src/net/minreq.rs"
    );
}

#[cfg(feature = "minreq")]
#[test]
fn each_gap_is_a_row() {
    let rows = include_str!("fetch.rs").split_once("fn each_gap_is_a_row").unwrap().1;
    for (name, ..) in GAPS {
        assert!(rows.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// What a server does with one connection.
pub type Act = Box<dyn FnMut(&str, &mut TcpStream) + Send>;

/// A server on the loopback that answers each connection by `act`, which is given the request's head.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(act: Act) -> Server {
        Server::on(TcpListener::bind("127.0.0.1:0").unwrap(), act)
    }

    fn on(listener: TcpListener, mut act: Act) -> Server {
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|count| count > 0) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                seen.lock().unwrap().push(request.clone());
                act(&request, &mut connection);
            }
        });
        Server { port, requests }
    }

    /// Answers always with these bytes.
    fn saying(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::new(Box::new(move |_, connection| say(connection, &answer)))
    }

    /// Answers the n-th connection with the n-th bytes, and the last ones from then on.
    fn saying_each(answers: &[&str]) -> Server {
        let answers: Vec<String> = answers.iter().map(|answer| answer.to_string()).collect();
        let mut number = 0;
        Server::new(Box::new(move |_, connection| {
            say(connection, answers[number.min(answers.len() - 1)].as_bytes());
            number += 1;
        }))
    }

    fn at(&self, path: &str) -> Location {
        Location::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Sends what the client still takes, and the end.
pub fn say(connection: &mut TcpStream, answer: &[u8]) {
    connection.write_all(answer).unwrap_or_default();
    connection.shutdown(Shutdown::Write).unwrap_or_default();
    // Without reading to the end, a reset could overtake the answer.
    connection.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut rest = [0; 1024];
    while connection.read(&mut rest).is_ok_and(|count| count > 0) {}
}

fn read_all(body: &mut Body) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        match body.read(&mut buffer)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn fetch(location: &Location) -> Result<Vec<u8>, Failure> {
    fetch_with(PATIENT, location)
}

fn fetch_with(limits: Limits, location: &Location) -> Result<Vec<u8>, Failure> {
    read_all(&mut client_with(limits).open(location, 0)?)
}

/// Runs `work`, which has to end [`SOON`].
fn soon<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    result
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[test]
fn answers_that_are_sound_are_read_whole() {
    let long = "x".repeat(100_000);
    let rows: &[(&str, String, &str)] = &[
        ("length", format!("{OK}Content-Length: 5\r\n\r\nhello"), "hello"),
        ("length, and more behind", format!("{OK}Content-Length: 5\r\n\r\nhello, world"), "hello"),
        ("nothing", format!("{OK}Content-Length: 0\r\n\r\n"), ""),
        ("line feeds only", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".into(), "hello"),
        ("HTTP/1.0", "HTTP/1.0 200\r\nContent-Length: 5\r\n\r\nhello".into(), "hello"),
        ("long", format!("{OK}Content-Length: 100000\r\n\r\n{long}"), &long),
        ("chunks", format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"), "hello"),
        (
            "chunks and trailers",
            format!("{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
            "hello",
        ),
        ("long chunk", format!("{OK}Transfer-Encoding: chunked\r\n\r\n186a0\r\n{long}\r\n0\r\n\r\n"), &long),
        (
            "100 Continue",
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n{OK}Content-Length: 5\r\n\r\nhello"
            ),
            "hello",
        ),
        ("no length", format!("{OK}\r\nhello"), "hello"),
        ("HTTP/1.0 without length", "HTTP/1.0 200 OK\r\n\r\nhello".into(), "hello"),
        ("packed, as its name says", format!("{OK}Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), "hello"),
        ("packed by Apache", format!("{OK}Content-Encoding: x-gzip\r\nContent-Length: 5\r\n\r\nhello"), "hello"),
        ("identity", format!("{OK}Content-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"), "hello"),
        ("empty encoding", format!("{OK}Content-Encoding:\r\nContent-Length: 5\r\n\r\nhello"), "hello"),
        ("range of a whole", format!("{OK}Content-Range: x\r\nContent-Length: 5\r\n\r\nhello"), "hello"),
        ("big head that fits", format!("{OK}X: {}\r\nContent-Length: 5\r\n\r\nhello", "y".repeat(16_000)), "hello"),
    ];
    for (name, answer, want) in rows {
        row(name, || {
            let server = Server::saying(answer.as_str());
            let got = fetch(&server.at("/")).map(|got| String::from_utf8(got).unwrap());
            assert_eq!(got.as_deref(), Ok(*want), "{name}");
            let mut buffer = vec![0; 100_000];
            assert_eq!(client().fetch_small(&server.at("/"), &mut buffer), Ok(want.len()), "{name}");
        });
    }
}

#[test]
fn answers_that_are_not_sound_end_in_an_error_that_says_so() {
    let chunked = format!("{OK}Transfer-Encoding: chunked\r\n\r\n");
    let rows: &[(&str, String, &str, bool)] = &[
        ("empty reply", String::new(), "closed the connection without an answer", true),
        ("garbage", "\u{0}\u{1}garbage\u{2}".into(), "not HTTP/1.1", false),
        ("SSH", "SSH-2.0-OpenSSH_9.2\r\n".into(), "not HTTP/1.1", false),
        ("HTTP/2", "HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello".into(), "not HTTP/1.1", false),
        ("head cut", "HTTP/1.1 200 OK\r\nContent-Le".into(), "ended before the file did", true),
        ("head cut behind the length", format!("{OK}Content-Length: 0\r\n"), "ended before the file did", true),
        (
            "a line without a colon",
            format!("{OK}Content-Length: 5\r\nColon\r\n\r\nhello"),
            "malformed header line",
            false,
        ),
        ("body cut", format!("{OK}Content-Length: 10\r\n\r\nhello"), "ended before the file did", true),
        ("body cut at once", format!("{OK}Content-Length: 10\r\n\r\n"), "ended before the file did", true),
        (
            "3 GB told, 5 bytes sent",
            format!("{OK}Content-Length: 3221225472\r\n\r\nhello"),
            "ended before the file did",
            true,
        ),
        ("chunk cut", format!("{chunked}a\r\nhello"), "ended before the file did", true),
        ("chunks cut", format!("{chunked}5\r\nhello\r\n"), "ended before the file did", true),
        ("no last chunk", format!("{chunked}5\r\nhello"), "ended before the file did", true),
        ("trailers cut", format!("{chunked}5\r\nhello\r\n0\r\n"), "ended before the file did", true),
        ("chunk too long", format!("{chunked}5\r\nhello, world\r\n0\r\n\r\n"), "chunks are malformed", false),
        ("chunk without length", format!("{chunked}\r\nhello\r\n"), "chunks are malformed", false),
        ("chunk length no number", format!("{chunked}-5\r\nhello\r\n"), "chunks are malformed", false),
        ("chunk length too large", format!("{chunked}10000000000000000\r\nhello\r\n"), "chunks are malformed", false),
        ("chunk line of LF only", format!("{chunked}5\nhello\r\n0\r\n\r\n"), "chunks are malformed", false),
        ("chunk line endless", format!("{chunked}{}", "0".repeat(10_000)), "chunks are malformed", false),
        ("trailers endless", format!("{chunked}0\r\n{}", "A: b\r\n".repeat(10_000)), "chunks are malformed", false),
        ("wrong length", format!("{OK}Content-Length: five\r\n\r\nhello"), "malformed Content-Length", false),
        (
            "two lengths",
            format!("{OK}Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello"),
            "two different Content-Length",
            false,
        ),
        (
            "length and chunks",
            format!("{OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "both a length and chunks",
            false,
        ),
        ("one huge header", format!("{OK}X: {}", "y".repeat(1_000_000)), "longer than 16384 bytes", false),
        ("many headers", format!("{OK}{}", "X: y\r\n".repeat(200_000)), "longer than 16384 bytes", false),
        ("lines of LF only", format!("{OK}{}", "X: y\n".repeat(200_000)), "longer than 16384 bytes", false),
        ("129 headers", format!("{OK}{}\r\n", "X: y\r\n".repeat(129)), "more than 128 header lines", false),
        // minreq's header limit, 8192 or what it is told, wraps behind an LF-only line of one byte less than what is left of it.
        (
            "LF bomb",
            format!("{OK}X:{}\n{}", "y".repeat(8188), "X: y\r\n".repeat(200_000)),
            "longer than 16384 bytes",
            false,
        ),
        (
            "LF bomb of 16 KiB",
            format!("{OK}X:{}\n{}", "y".repeat(16_381), "X: y\r\n".repeat(200_000)),
            "longer than 16384 bytes",
            false,
        ),
        ("endless status line", format!("HTTP/1.1 200 {}", "x".repeat(1_000_000)), "longer than 16384 bytes", false),
        ("100 without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), "not HTTP/1.1", false),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n".into(), "answers 204", false),
        (
            "206 unasked",
            "HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5\r\n\r\nhello".into(),
            "unasked",
            false,
        ),
        ("304", "HTTP/1.1 304 Not Modified\r\n\r\n".into(), "answers 304", false),
        ("401", "HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n".into(), "answers 401; the server does not let", false),
        ("403", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".into(), "answers 403; the server does not let", false),
        (
            "404",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
            "answers 404; there is no such file",
            false,
        ),
        ("416 unasked", "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n".into(), "answers 416", false),
        ("429", "HTTP/1.1 429 Slower\r\nContent-Length: 0\r\n\r\n".into(), "answers 429", true),
        ("500", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".into(), "answers 500; the server has a problem", true),
        ("520", "HTTP/1.1 520 What\r\nContent-Length: 0\r\n\r\n".into(), "answers 520", true),
        ("530", "HTTP/1.1 530 Who\r\nContent-Length: 0\r\n\r\n".into(), "answers 530", true),
        ("501", "HTTP/1.1 501 Never\r\nContent-Length: 0\r\n\r\n".into(), "answers 501", false),
        ("503", "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n".into(), "answers 503", true),
    ];
    for (name, answer, want, transient) in rows {
        row(name, || {
            let server = Server::saying(answer.as_str());
            let location = server.at("/image?token=secret");
            let error = soon(|| fetch(&location)).expect_err(name);
            let text = error.to_string();
            assert!(text.starts_with(&format!("fetch http://127.0.0.1:{}/image?...: ", server.port)), "{name}: {text}");
            assert!(text.contains(want), "{name}: {text}");
            assert_eq!(error.is_transient(), *transient, "{name}: {text}");
        });
    }
}

#[test]
fn bytes_before_a_cut_are_given_out() {
    for (name, answer) in [
        ("bytes before a cut", format!("{OK}Content-Length: 10\r\n\r\nhello")),
        ("bytes before a cut behind a chunk", format!("{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello")),
        ("bytes before a cut in a chunk", format!("{OK}Transfer-Encoding: chunked\r\n\r\n8\r\nhello")),
    ] {
        row(name, || {
            let server = Server::saying(answer);
            let mut body = client().open(&server.at("/"), 0).unwrap();
            let mut buffer = [0; 64];
            assert_eq!(body.read(&mut buffer), Ok(5), "{name}");
            assert_eq!(&buffer[..5], b"hello");
            assert!(body.read(&mut buffer).is_err());
        });
    }
}

#[test]
fn a_server_that_stops_anywhere_is_given_up_in_time() {
    let head = Limits { head: SHORT, ..PATIENT };
    let stall = Limits { stall: SHORT, ..PATIENT };
    let rows: &[(&str, String, &str)] = &[
        ("says nothing", String::new(), "does not answer in time"),
        ("stops in the head", OK.into(), "does not answer in time"),
        ("stops behind the head", format!("{OK}Content-Length: 5\r\n\r\n"), "stopped sending"),
        ("stops in the body", format!("{OK}Content-Length: 50\r\n\r\nhello"), "stopped sending"),
        ("stops in a chunk's line", format!("{OK}Transfer-Encoding: chunked\r\n\r\n5"), "stopped sending"),
        ("stops behind a chunk", format!("{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello"), "stopped sending"),
    ];
    for (name, answer, want) in rows {
        let answer = answer.clone();
        let limits = if want.contains("answer") { head } else { stall };
        let server = Server::new(Box::new(move |_, connection| {
            connection.write_all(answer.as_bytes()).unwrap();
            // Until the other side has enough.
            while connection.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }));
        row(name, || {
            let error = soon(|| fetch_with(limits, &server.at("/"))).expect_err(name);
            assert!(error.to_string().contains(want), "{name}: {error}");
            assert!(error.is_transient(), "{name}");
        });
    }
}

/// Sends `head` and then one byte after the other, slower than any file and faster than a stall.
const TRICKLE: Duration = Duration::from_millis(50);

fn trickling(head: &'static str) -> Server {
    Server::new(Box::new(move |_, connection| {
        let mut sent = connection.write_all(head.as_bytes());
        while sent.is_ok() {
            thread::sleep(TRICKLE);
            sent = connection.write_all(b"x");
        }
    }))
}

#[test]
fn a_slow_link_is_not_a_dead_one() {
    let server = trickling("HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n");
    let limits = Limits { head: 50 * TRICKLE, stall: 50 * TRICKLE, ..PATIENT };
    let start = Instant::now();
    assert_eq!(fetch_with(limits, &server.at("/")), Ok(vec![b'x'; 80]));
    assert!(start.elapsed() > limits.head && start.elapsed() > limits.stall);
}

#[test]
fn a_head_or_a_document_that_trickles_is_given_up() {
    let server = trickling("HTTP/1.1 200 OK\r\nX: ");
    let error = soon(|| fetch_with(Limits { head: SHORT, ..PATIENT }, &server.at("/"))).unwrap_err();
    assert!(error.to_string().contains("does not answer in time"), "{error}");
    let server = trickling("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let hasty = client_with(Limits { small: 40 * TRICKLE, ..PATIENT });
    let error = soon(|| hasty.fetch_small(&server.at("/"), &mut [0; 1000])).unwrap_err();
    assert!(error.to_string().contains("too slowly"), "{error}");
}

#[test]
fn a_document_that_never_ends_is_too_long() {
    let endless = || {
        Server::new(Box::new(|_, connection| {
            let mut sent = connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while sent.is_ok() {
                sent = connection.write_all(b"5\r\nhello\r\n");
            }
        }))
    };
    let mut buffer = [0; 10_000];
    row("endless chunks", || {
        let error = soon(|| client().fetch_small(&endless().at("/"), &mut buffer)).unwrap_err();
        assert!(error.to_string().ends_with("longer than 10000 bytes"), "{error}");
        assert!(!error.is_transient());
    });
    let server = Server::saying(format!("{OK}Content-Length: 3221225472\r\n\r\n"));
    let error = client().fetch_small(&server.at("/"), &mut buffer).unwrap_err();
    assert!(error.to_string().ends_with("longer than 10000 bytes"), "{error}");
    // One that just fits does.
    let server = Server::saying(format!("{OK}Content-Length: 10000\r\n\r\n{}", "x".repeat(10_000)));
    assert_eq!(client().fetch_small(&server.at("/"), &mut buffer), Ok(10_000));
}

#[test]
fn nobody_at_home_is_worth_another_try() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = fetch(&Location::parse(&format!("http://127.0.0.1:{port}/")).unwrap()).unwrap_err();
    assert!(error.to_string().contains("connect: Connection refused"), "{error}");
    assert!(error.is_transient());
    let error = fetch(&Location::parse("http://no-such-host.invalid/").unwrap()).unwrap_err();
    assert!(error.to_string().contains("look up the host: "), "{error}");
    assert!(error.to_string().ends_with("; check the name, and the name servers in /etc/resolv.conf"), "{error}");
    assert!(error.is_transient());
}

#[test]
fn a_host_is_named_or_is_an_address() {
    let server = Server::saying(format!("{OK}Content-Length: 5\r\n\r\nhello"));
    for host in ["localhost", "LocalHost", "127.0.0.1"] {
        let location = Location::parse(&format!("http://{host}:{}/", server.port)).unwrap();
        assert_eq!(fetch(&location), Ok(b"hello".to_vec()), "{host}");
    }
    let location = Location::parse(&format!("http://[::1]:{}/", server.port)).unwrap();
    row("IPv6 address", || {
        let error = fetch(&location).unwrap_err();
        assert!(error.to_string().contains("connect: "), "nobody listens there: {error}");
    });
}

/// In a namespace with another /etc/hosts, and of the host's two addresses the one that is tried first takes no connection.
#[test]
fn a_dead_address_leaves_time_for_the_next() {
    const INSIDE: &str = "KSOLO_TWO_ADDRESSES";
    if std::env::var_os(INSIDE).is_none() {
        let hosts = std::env::temp_dir().join(format!("kubesolo-hosts-{}", std::process::id()));
        std::fs::write(&hosts, "127.0.0.1 two.invalid\n127.0.0.2 two.invalid\n").unwrap();
        let script = "mount --bind $0 /etc/hosts && exec $1 --exact fetch::a_dead_address_leaves_time_for_the_next";
        let program = std::env::current_exe().unwrap();
        let words = ["--map-root-user", "--mount", "sh", "-c", script];
        let ran = Command::new("unshare").args(words).args([&hosts, &program]).env(INSIDE, "").output();
        std::fs::remove_file(&hosts).unwrap();
        match ran {
            Ok(ran) if !ran.stdout.is_empty() => {
                let told = String::from_utf8_lossy(&ran.stdout);
                assert!(ran.status.success() && told.contains("1 passed"), "{told}");
            }
            _ => skipped("no namespaces"),
        }
        return;
    }
    let addresses: Vec<_> = ("two.invalid", 0).to_socket_addrs().unwrap().collect();
    let dead = TcpListener::bind(addresses[0]).unwrap();
    // It takes one connection, and lets the next ones wait.
    rustix::net::listen(&dead, 0).unwrap();
    let _first = TcpStream::connect(dead.local_addr().unwrap()).unwrap();
    let port = dead.local_addr().unwrap().port();
    let alive = TcpListener::bind((addresses[1].ip(), port)).unwrap();
    let answer = format!("{OK}Content-Length: 5\r\n\r\nhello");
    let _server = Server::on(alive, Box::new(move |_, connection| say(connection, answer.as_bytes())));
    let location = Location::parse(&format!("http://two.invalid:{port}/")).unwrap();
    let limits = Limits { head: 20 * SHORT, ..PATIENT };
    row("dead first address", || {
        assert_eq!(fetch_with(limits, &location), Ok(b"hello".to_vec()), "{addresses:?}");
    });
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} There\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn redirects_of_every_kind_lead_where_they_say() {
    let found = format!("{OK}Content-Length: 5\r\n\r\nhello");
    for status in [301, 302, 303, 307, 308] {
        for (to, asked) in [
            ("/c", "GET /c HTTP/1.1"),
            ("c", "GET /a/c HTTP/1.1"),
            ("../c?d", "GET /c?d HTTP/1.1"),
            ("?d", "GET /a/b?d HTTP/1.1"),
            ("//127.0.0.1:PORT/c", "GET /c HTTP/1.1"),
            ("http://127.0.0.1:PORT/c", "GET /c HTTP/1.1"),
        ] {
            // The port is known only once the server is there: so the place is filled in as it answers.
            let mut first = true;
            let (to, found) = (to.to_string(), found.clone());
            let server = Server::new(Box::new(move |request, connection| {
                let host = request.split("127.0.0.1:").nth(1).unwrap();
                let port = host.split("\r\n").next().unwrap();
                let answer = if first { redirect(status, &to.replace("PORT", port)) } else { found.clone() };
                first = false;
                say(connection, answer.as_bytes());
            }));
            assert_eq!(fetch(&server.at("/a/b")), Ok(b"hello".to_vec()), "{status} {asked}");
            assert!(server.requests()[1].starts_with(asked), "{status} {asked}: {}", server.requests()[1]);
        }
    }
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    let rows = [
        ("loop", redirect(302, "/"), "more than 5 redirects", 6),
        ("no place", "HTTP/1.1 302 There\r\n\r\n".into(), "leads nowhere", 1),
        ("empty place", redirect(302, ""), "redirect: empty", 1),
        ("a file of this box", redirect(302, "file:///etc/shadow"), "a file of this box", 1),
        ("other scheme", redirect(302, "gopher://a/"), "neither http", 1),
        ("two places", "HTTP/1.1 302 X\r\nLocation: /a\r\nLocation: /b\r\n\r\n".into(), "two different Location", 1),
        ("not a redirect", "HTTP/1.1 300 Many\r\nLocation: /a\r\n\r\n".into(), "answers 300", 1),
    ];
    for (name, answer, want, requests) in rows {
        let server = Server::saying(answer);
        let error = fetch(&server.at("/")).expect_err(name);
        assert!(error.to_string().contains(want), "{name}: {error}");
        assert!(!error.is_transient(), "{name}");
        assert_eq!(server.requests().len(), requests, "{name}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_needs_the_other_build() {
    let server = Server::saying(redirect(302, "https://127.0.0.1/"));
    for location in [server.at("/"), Location::parse("https://127.0.0.1/").unwrap()] {
        let error = fetch(&location).unwrap_err();
        assert_eq!(
            error.to_string(),
            "fetch https://127.0.0.1/: this build has no https; take the one made with TLS=1, or a server with http"
        );
        assert!(!error.is_transient());
    }
}

fn partial(range: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {range}\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[test]
fn a_cut_transfer_goes_on_where_it_stopped() {
    for more in
        ["", "ETag: W/\"one\"\r\n", "ETag: one\r\n", "Last-Modified: yesterday\r\n", "Content-Encoding: x-gzip\r\n"]
    {
        let answer = partial("3-9/10", "3456789").replace("Content-Range", &format!("{more}Content-Range"));
        let server = Server::saying(answer);
        let mut body = client().open(&server.at("/"), 3).unwrap();
        assert_eq!((body.offset(), body.total()), (3, Some(10)), "{more}");
        assert_eq!(read_all(&mut body).unwrap(), b"3456789");
        let request = &server.requests()[0];
        assert!(request.contains("\r\nRange: bytes=3-\r\n") && !request.contains("If-Range"), "{request}");
    }
}

#[test]
fn what_comes_behind_the_last_byte_is_not_of_the_file() {
    let chunked =
        "HTTP/1.1 206 Part\r\nContent-Range: bytes 3-9/10\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n3456789more\r\n";
    for (name, answer) in [
        ("more than the range", partial("3-9/10", "3456789and more").replace("Content-Length", "X")),
        ("a chunk with more than the range", chunked.into()),
    ] {
        row(name, || {
            let server = Server::saying(answer);
            let mut body = client().open(&server.at("/"), 3).unwrap();
            assert_eq!(read_all(&mut body).unwrap(), b"3456789");
        });
    }
}

#[test]
fn whatever_becomes_of_a_range_the_file_is_asked_for_once_without() {
    let refusal = |status: u16| format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
    let mut rows: Vec<(String, String)> = vec![
        ("begins earlier".into(), partial("2-9/10", "23456789")),
        ("begins later".into(), partial("4-9/10", "456789")),
        ("no range".into(), partial("3-9/10", "3456789").replace("Content-Range", "X")),
        ("two ranges".into(), partial("3-9/10\r\nContent-Range: bytes 4-9/10", "3456789")),
        ("backwards".into(), partial("9-3/10", "3456789")),
        ("of what".into(), partial("3-9/*", "3456789")),
        ("other unit".into(), partial("3-9/10", "3456789").replace("bytes", "lines")),
        ("other length".into(), partial("3-9/10", "345678")),
        (
            "multipart".into(),
            "HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 5\r\n\r\n--x--".into(),
        ),
        ("hangs up".into(), String::new()),
        ("416".into(), "HTTP/1.1 416 No\r\nContent-Range: bytes */2\r\nContent-Length: 0\r\n\r\n".into()),
        ("no HTTP".into(), "go away".into()),
    ];
    rows.extend([400, 403, 405, 412, 429, 500, 501, 503, 520].map(|status| (status.to_string(), refusal(status))));
    for (name, answer) in rows {
        let server = Server::saying_each(&[&answer, &format!("{OK}Content-Length: 10\r\n\r\n0123456789")]);
        let mut body = client().open(&server.at("/"), 3).unwrap();
        assert_eq!((body.offset(), body.total()), (0, Some(10)), "{name}");
        assert_eq!(read_all(&mut body).unwrap(), b"0123456789", "{name}");
        let seen = server.requests();
        assert!(seen.len() == 2 && seen[0].contains("Range: ") && !seen[1].contains("Range: "), "{name}: {seen:?}");
    }
    // One that is no better without is an error.
    let server = Server::saying(refusal(403));
    let error = client().open(&server.at("/"), 3).err().unwrap();
    assert!(error.to_string().contains("answers 403"), "{error}");
    assert_eq!(server.requests().len(), 2);
    // And one that knows nothing of ranges has given its answer.
    let server = Server::saying(format!("{OK}Content-Length: 10\r\n\r\n0123456789"));
    assert_eq!(client().open(&server.at("/"), 3).unwrap().offset(), 0);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_probe_looks_at_the_status_alone() {
    let rows = [
        ("probe: plain", format!("{OK}Content-Length: 5\r\n\r\nhello"), ""),
        ("probe: no body", format!("{OK}\r\n"), ""),
        ("probe: packed", format!("{OK}Content-Encoding: br\r\n\r\n"), ""),
        ("probe: two lengths", format!("{OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), ""),
        ("probe: odd line", format!("{OK}what is this\r\n\r\n"), ""),
        ("probe: no content", "HTTP/1.1 204 No Content\r\n\r\n".into(), "answers 204"),
        ("probe: sick", "HTTP/1.1 500 Oh\r\n\r\n".into(), "answers 500"),
        ("probe: portal", redirect(302, "/login"), "answers 302, which leads elsewhere"),
        ("probe: no HTTP", "SSH-2.0-x\r\n".into(), "not HTTP/1.1"),
    ];
    for (name, answer, want) in rows {
        row(name, || {
            let server = Server::saying_each(&[&answer, &format!("{OK}Content-Length: 0\r\n\r\n")]);
            let answered = client().answers(&server.at("/"), Instant::now().checked_add(PATIENT.head));
            match answered {
                Ok(()) => assert_eq!(want, "", "{name}"),
                Err(failure) => assert!(!want.is_empty() && failure.to_string().contains(want), "{name}: {failure}"),
            }
            assert_eq!(server.requests().len(), 1, "{name}");
        });
    }
}

#[test]
fn a_part_that_ends_early_is_no_end() {
    let server = Server::saying(partial("3-5/10", "345"));
    let mut body = client().open(&server.at("/"), 3).unwrap();
    let error = read_all(&mut body).unwrap_err();
    assert!(error.to_string().contains("ended before the file did"), "{error}");
    assert!(error.is_transient());
}

#[test]
fn files_are_read_and_resumed_like_urls() {
    let folder = std::env::temp_dir().join(format!("kubesolo-fetch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("an image");
    std::fs::write(&path, b"0123456789").unwrap();
    let locations = [
        Location::parse(path.to_str().unwrap()).unwrap(),
        Location::parse(&format!("file://{}", path.to_str().unwrap().replace(' ', "%20"))).unwrap(),
    ];
    for location in &locations {
        let mut body = client().open(location, 0).unwrap();
        assert_eq!((body.offset(), body.total()), (0, Some(10)));
        assert_eq!(read_all(&mut body).unwrap(), b"0123456789");
    }
    for (offset, want) in [(3, 3), (10, 10), (11, 0)] {
        let mut body = client().open(&locations[0], offset).unwrap();
        assert_eq!(body.offset(), want);
        assert_eq!(read_all(&mut body).unwrap(), &b"0123456789"[want as usize..]);
    }
    // A file that shrinks while it is read is not whole.
    let mut body = client().open(&locations[0], 0).unwrap();
    std::fs::write(&path, b"01234").unwrap();
    assert!(read_all(&mut body).unwrap_err().to_string().contains("ended before the file did"));
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (name, want) in [("pipe", "not a file"), ("", "not a file"), ("none", "No such file or directory")] {
        let location = Location::parse(folder.join(name).to_str().unwrap()).unwrap();
        let error = soon(|| client().open(&location, 0)).err().unwrap();
        assert!(error.to_string().contains(want), "{name}: {error}");
        assert!(!error.is_transient());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_proxy_is_told_the_whole_url_and_the_credentials() {
    let proxy = Server::saying(format!("{OK}Content-Length: 5\r\n\r\nhello"));
    // A variable is looked up by a plain function: the port travels by the process environment's stand-in.
    static PORT: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    PORT.set(proxy.port).unwrap();
    let variable = |name: &str| match name {
        "http_proxy" => Some(format!("http://me:secret@127.0.0.1:{}", PORT.get().unwrap())),
        _ => None,
    };
    let client = Client { variable, ..client() };
    row("proxy", || {
        let mut body = client.open(&Location::parse("http://updates.invalid:81/a?b").unwrap(), 0).unwrap();
        assert_eq!(read_all(&mut body).unwrap(), b"hello");
        let request = &proxy.requests()[0];
        assert!(
            request.starts_with("GET http://updates.invalid:81/a?b HTTP/1.1\r\nHost: updates.invalid:81\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{request}");
    });

    let client = Client { variable: |_| Some("socks5://127.0.0.1".into()), ..client };
    let error = client.open(&Location::parse("http://updates.invalid/").unwrap(), 0).err().unwrap();
    assert!(error.to_string().contains("http_proxy: not http://HOST:PORT"), "{error}");
}

#[test]
fn memory_stays_flat_however_long_the_file() {
    const LENGTH: u64 = 256 << 20;
    let server = Server::new(Box::new(|_, connection| {
        let piece = vec![0; 1 << 20];
        let mut sent = connection.write_all(format!("{OK}Content-Length: {LENGTH}\r\n\r\n").as_bytes());
        for _ in 0..LENGTH >> 20 {
            sent = sent.and_then(|()| connection.write_all(&piece));
        }
        sent.unwrap();
    }));
    let mut body = client().open(&server.at("/"), 0).unwrap();
    let mut buffer = vec![0; 65536];
    let mut count = body.read(&mut buffer).unwrap() as u64;
    // The server asks for its piece on a thread of its own.
    let ((), asked) = counted(|| {
        while count < LENGTH {
            count += body.read(&mut buffer).unwrap() as u64;
        }
        assert_eq!(body.read(&mut buffer), Ok(0));
    });
    assert_eq!(asked, 0, "what is read is kept");
}
