//! Knows how a web server can misbehave: answers on the build machine's loopback, one script a path.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::failure::{Result, Step};
use crate::server::HOST;

/// What a server does once it has been asked.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers these bytes, head and all, and closes.
    Says(Vec<u8>),
    /// Says these bytes, then these again and again until nobody listens any more.
    Forever(Vec<u8>, Vec<u8>),
    /// Says these bytes, and nothing more, but does not close.
    Stalls(Vec<u8>),
    /// The first time the one, later the other.
    Once(Box<Act>, Box<Act>),
}

impl Act {
    /// A whole file.
    pub fn file(body: &[u8]) -> Self {
        Self::head(200, &format!("Content-Length: {}\r\n", body.len()), body)
    }

    /// Any answer with these headers, each with its line end, and this body.
    pub fn head(status: u16, headers: &str, body: &[u8]) -> Self {
        Self::Says(answer(status, headers, body))
    }
}

/// The bytes of an answer.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status} So\r\nConnection: close\r\n{headers}\r\n").as_bytes(), body].concat()
}

/// Serves these paths from a thread that lives as long as the test; gives its address for a guest.
///
/// # Errors
/// When there is no port.
pub fn serve(mut acts: Vec<(String, Act)>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").step(|| "hostile server: find a port".into())?;
    let port = listener.local_addr().step(|| "hostile server: find a port".into())?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(path) = asked_for(&stream) else { continue };
            let act = match acts.iter_mut().find(|(known, _)| *known == path) {
                None => Act::head(404, "Content-Length: 0\r\n", b""),
                Some((_, act)) => {
                    let now = act.clone();
                    match now {
                        Act::Once(now, then) => {
                            *act = *then;
                            *now
                        }
                        now => now,
                    }
                }
            };
            // Each in its own thread: one that never ends keeps nobody else from being answered.
            thread::spawn(move || play(stream, act));
        }
    });
    Ok(format!("http://{HOST}:{port}"))
}

fn asked_for(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(std::result::Result::ok);
    let request = lines.next()?;
    lines.find(|line| line.is_empty())?;
    request.split(' ').nth(1).map(str::to_owned)
}

fn play(mut stream: TcpStream, act: Act) {
    match act {
        // The other end may have heard enough at any time: that is not this server's concern.
        Act::Says(bytes) => drop(stream.write_all(&bytes)),
        Act::Forever(first, again) => {
            let mut heard = stream.write_all(&first);
            while heard.is_ok() {
                heard = stream.write_all(&again);
            }
        }
        Act::Stalls(bytes) => {
            drop(stream.write_all(&bytes));
            // Until the other end closes.
            drop(BufReader::new(stream).lines().next());
        }
        Act::Once(now, _) => play(stream, *now),
    }
}
