//! The server: any bytes, in any pieces, on each connection of the client's. `HOW PIECE PIECE`, three bytes, then what it
//! says on one connection after the other, parted by the byte `ff`; a `fe` or `fd` at the end breaks the connection.
//!
//! In whatever pieces the bytes come, the outcome is the same; the client reads no more than there is, ends, asks in
//! good form, and never takes a file for whole that is not.
#![no_main]

use embedded_io::Read;
use kubesolo_boot::net::fetch::{Client, Limits};
use kubesolo_core::net::url::Location;
use kubesolo_fuzz::bounded;
use kubesolo_fuzz::peer::{Asked, Peer, Script};
use libfuzzer_sys::fuzz_target;
use rustix::io::Errno;

/// The first, five redirects, and once more without a range.
const CONNECTIONS_MAX: usize = 7;
const OFFSET: u64 = 5;

#[derive(Debug, PartialEq)]
enum Outcome {
    Failed(String, bool),
    Fetched(Vec<u8>),
    Body { offset: u64, total: Option<u64>, bytes: Vec<u8>, end: Result<(), (String, bool)> },
}

fn fetch(how: u8, peer: &Peer) -> Outcome {
    let variable = |name: &str| (name == "http_proxy").then(|| "http://user:secret@proxy:3128".to_owned());
    let variable = if how & 8 == 0 { |_: &str| None } else { variable };
    let client = Client { limits: Limits::default(), ca: "", variable, transport: peer };
    let location = Location::parse("http://peer:8080/updates/latest.json?token=1").unwrap();
    let failed = |failure: kubesolo_boot::failure::Failure| (failure.to_string(), failure.is_transient());
    let opened = match how & 3 {
        0 => client.open(&location, 0),
        1 => client.open(&location, OFFSET),
        2 => {
            let mut buffer = vec![0; 1024];
            return match client.fetch_small(&location, &mut buffer) {
                Ok(len) => Outcome::Fetched(buffer[..len].to_vec()),
                Err(failure) => Outcome::Failed(failure.to_string(), failure.is_transient()),
            };
        }
        _ => client.answers(&location, None).and_then(|()| {
            Err(kubesolo_boot::failure::Failure::new(kubesolo_boot::failure::Exit::Done, format_args!("answers")))
        }),
    };
    let mut body = match opened {
        Ok(body) => body,
        Err(failure) => return Outcome::Failed(failure.to_string(), failure.is_transient()),
    };
    let (offset, total) = (body.offset(), body.total());
    let mut bytes = Vec::new();
    let mut buffer = [0; 700];
    let end = loop {
        match body.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(failure) => break Err(failed(failure)),
        }
    };
    Outcome::Body { offset, total, bytes, end }
}

/// How one run came out, and what it asked.
fn run(how: u8, streams: &[&[u8]], pieces: &[u8]) -> (Outcome, Asked) {
    let peer = Peer::new(streams.iter().map(|stream| {
        let (bytes, end) = match stream {
            [bytes @ .., 0xfe] => (bytes, Some(Errno::TIMEDOUT)),
            [bytes @ .., 0xfd] => (bytes, Some(Errno::CONNRESET)),
            bytes => (*bytes, None),
        };
        Script { bytes: bytes.to_vec(), pieces: pieces.to_vec(), end }
    }));
    let outcome = fetch(how, &peer);
    (outcome, peer.asked())
}

fuzz_target!(|input: &[u8]| {
    let Some((head, said)) = input.split_first_chunk::<3>() else { return };
    let [how, pieces @ ..] = *head;
    let streams: Vec<&[u8]> = said.split(|byte| *byte == 0xff).collect();
    bounded(|| {
        let (whole, _) = run(how, &streams, &[]);
        let (outcome, asked) = run(how, &streams, &pieces);
        assert_eq!(outcome, whole, "in other pieces");
        assert!(asked.requests.len() <= CONNECTIONS_MAX);
        assert!(asked.reads <= said.len() + asked.requests.len(), "{} reads", asked.reads);
        asked.requests.iter().for_each(|request| in_good_form(request));
        match outcome {
            Outcome::Failed(..) => {}
            Outcome::Fetched(bytes) => assert!(bytes.len() <= said.len()),
            Outcome::Body { offset, total, bytes, end } => {
                assert!(bytes.len() <= said.len());
                assert!(offset == 0 || offset == OFFSET && how & 3 == 1);
                let got = offset.saturating_add(bytes.len() as u64);
                assert!(total.is_none_or(|total| got <= total));
                assert!(end.is_err() || total.is_none_or(|total| got == total), "not whole");
            }
        }
    });
});

fn in_good_form(request: &[u8]) {
    if request.is_empty() {
        return; // There was no connection.
    }
    let text = str::from_utf8(request).expect("a request is text");
    let mut lines = text.strip_suffix("\r\n\r\n").expect("a request has an end").split("\r\n");
    let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    assert!(matches!(line[..], ["GET", target, "HTTP/1.1"] if !target.is_empty()), "{line:?}");
    let names: Vec<&str> = lines.map(|line| line.split_once(": ").expect("a header").0).collect();
    let usual = ["Host", "User-Agent", "Accept", "Accept-Encoding"];
    // Nothing is asked for behind a whole file, or behind the end of one.
    assert!(names.starts_with(&usual) && names.contains(&"Connection"), "{names:?}");
    let more = ["Proxy-Authorization", "Range", "Connection"];
    assert!(names[usual.len()..].iter().all(|name| more.contains(name)), "{names:?}");
    assert!(!text.replace("\r\n", "").contains(|character: char| character.is_control()));
}
