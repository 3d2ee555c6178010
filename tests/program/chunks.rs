//! An update of a box that has most of it: what is fetched, and what that comes to when the slot, the index, the server or the way there
//! is not as it should be.
#![allow(clippy::single_range_in_vec_init, reason = "the ranges that are asked for, of which there may be one")]

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::nginx::{Nginx, free_port};
use crate::scene::machine::state;
use crate::scene::{Ran, Random, binary, skipped};
use crate::update::Fleet;
use kubesolo_core::boot::slot::Slot::A;
use kubesolo_core::boot::slot::SlotState::{Empty, Good, Staged};
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::index::{CHUNK_MAX, CHUNKS_MAX, Chunk, HEAD_LEN, INDEX_MAX, head};

const MIB: usize = 1 << 20;
/// How many chunks the running system's file has.
const OLD: u64 = 80;

/// The bytes of a chunk: the same for the same number.
fn chunk(number: u64) -> Vec<u8> {
    let mut random = Random::seeded(number + 1);
    let len = 20_000 + random.below(40_000);
    std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(len).collect()
}

fn file(chunks: &[u64]) -> Vec<u8> {
    chunks.iter().flat_map(|number| chunk(*number)).collect()
}

fn index(chunks: &[u64]) -> Vec<u8> {
    index_of(&chunks.iter().map(|number| chunk(*number)).collect::<Vec<_>>())
}

fn index_of(chunks: &[Vec<u8>]) -> Vec<u8> {
    let entry = |bytes: &Vec<u8>| Chunk { len: bytes.len() as u32, hash: Hash::of(bytes) }.to_bytes();
    let size: usize = chunks.iter().map(Vec::len).sum();
    head(size as u64).into_iter().chain(chunks.iter().flat_map(entry)).collect()
}

/// The running system's file, with other chunks at these places.
fn with(changed: &[usize]) -> Vec<u64> {
    let mut chunks: Vec<u64> = (0..OLD).collect();
    changed.iter().for_each(|at| chunks[*at] += 1000);
    chunks
}

/// Where in the file the chunks at these places are.
fn place(chunks: &[u64], at: Range<usize>) -> Range<usize> {
    file(&chunks[..at.start]).len()..file(&chunks[..at.end]).len()
}

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// As a good server does, and the connection stays open.
    Right,
    /// The same, but it is closed.
    Closes,
    /// So many bytes of the answer's body, and the end of the connection.
    Cut(usize),
    /// The end of the connection.
    Nothing,
    /// The whole file, whatever is asked for.
    Whole,
    /// No such file.
    Missing,
    /// What is asked for, of a file of the same length that is all zeros.
    Zeros,
}

/// What was asked for, by which connection, and how many bytes of the file went out.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    range: Option<Range<usize>>,
    connection: usize,
    sent: usize,
}

/// A server that keeps its connections, and counts.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What is done with the n-th request for a file; the first is the look at it before the slot is given up.
type Acts = Arc<Mutex<dyn FnMut(&str, usize) -> Act + Send>>;

impl Server {
    fn new(folder: &Path, acts: impl FnMut(&str, usize) -> Act + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (folder, requests, acts) = (folder.to_owned(), Arc::default(), Arc::new(Mutex::new(acts)) as Acts);
        let server = Server { port, requests };
        let requests = server.requests.clone();
        thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                let (folder, requests, acts) = (folder.clone(), requests.clone(), acts.clone());
                thread::spawn(move || serve(&mut connection.unwrap(), number, &folder, &requests, &acts));
            }
        });
        server
    }

    fn good(folder: &Path) -> Server {
        Server::new(folder, |_, _| Act::Right)
    }

    /// The requests for a file, without the look at it.
    fn asked(&self, path: &str) -> Vec<Request> {
        let mut requests = self.requests.lock().unwrap().clone();
        requests.retain(|request| request.path == path);
        requests.drain(1..).collect()
    }

    /// How many bytes of a file went out.
    fn sent(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.path == path).map(|request| request.sent).sum()
    }

    fn ranges(&self, path: &str) -> Vec<Range<usize>> {
        self.asked(path).into_iter().filter_map(|request| request.range).collect()
    }
}

/// Answers one request after the other of a connection.
fn serve(connection: &mut TcpStream, number: usize, folder: &Path, requests: &Mutex<Vec<Request>>, acts: &Acts) {
    loop {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(b"\r\n\r\n") {
            match connection.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                _ => return,
            }
        }
        let text = String::from_utf8(text).unwrap();
        let path = text.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let mut bytes = fs::read(folder.join(&path)).unwrap_or_default();
        let range = text.split("Range: bytes=").nth(1).map(|rest| {
            let (from, to) = rest.split_once("\r\n").unwrap().0.split_once('-').unwrap();
            from.parse().unwrap()..to.parse().map_or(bytes.len(), |to: usize| to + 1)
        });
        let nth = requests.lock().unwrap().iter().filter(|request| request.path == path).count();
        let act = (acts.lock().unwrap())(&path, nth);
        if act == Act::Zeros {
            bytes.fill(0);
        }
        let part = range.clone().filter(|_| act != Act::Whole);
        let body = part.as_ref().map_or(&bytes[..], |part| &bytes[part.clone()]);
        let status = match &part {
            _ if act == Act::Missing => "404 No".to_owned(),
            Some(part) => {
                format!("206 Part\r\nContent-Range: bytes {}-{}/{}", part.start, part.end - 1, bytes.len())
            }
            None => "200 OK".to_owned(),
        };
        let most = match act {
            Act::Cut(most) => most,
            Act::Missing | Act::Nothing => 0,
            _ => usize::MAX,
        };
        let sent = body.len().min(most);
        let length = if act == Act::Missing { 0 } else { body.len() };
        requests.lock().unwrap().push(Request { path, range, connection: number, sent });
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
        let answer = if act == Act::Nothing { Vec::new() } else { [head.as_bytes(), &body[..sent]].concat() };
        let closes = matches!(act, Act::Closes | Act::Cut(_) | Act::Nothing) || text.contains("Connection: close");
        if connection.write_all(&answer).is_err() || closes {
            return;
        }
    }
}

/// A box that runs a file of [`OLD`] chunks, and an update.
struct Update {
    fleet: Fleet,
}

impl Update {
    /// To a file of these chunks.
    fn to(new: &[u64]) -> Update {
        let fleet = Fleet::new(Good);
        let old: Vec<u64> = (0..OLD).collect();
        let kernel = fleet.machine.folder.read("server/kernel").unwrap();
        let folder = &fleet.machine.folder;
        folder.write("running/vmlinuz", &kernel);
        folder.write("running/vmlinuz.idx", index_of(std::slice::from_ref(&kernel)));
        folder.write("running/kubesolo-os.gz", file(&old));
        folder.write("running/kubesolo-os.gz.idx", index(&old));
        folder.write("running/version", "1.0.0\n");
        folder.write("server/kernel.idx", index_of(&[kernel]));
        folder.write("server/initrd", file(new));
        folder.write("server/initrd.idx", index(new));
        let update = Update { fleet };
        update.publish();
        update
    }

    fn folder(&self) -> &crate::scene::Folder {
        &self.fleet.machine.folder
    }

    /// Writes `latest.json` for the files as they are.
    fn publish(&self) {
        self.publish_as("1.1.0");
    }

    fn publish_as(&self, version: &str) {
        let index = |field: &str, file: &str| {
            let bytes = self.folder().read(&format!("server/{file}")).unwrap();
            let (hash, size) = (Hash::of(&bytes), bytes.len());
            format!(
                ",\"{field}_index_url\":\"{file}\",\"{field}_index_sha256\":\"{hash}\",\"{field}_index_size\":{size}"
            )
        };
        self.fleet.publish(version, &(index("vmlinuz", "kernel.idx") + &index("initramfs", "initrd.idx")));
    }

    /// Changes the text of `latest.json`.
    fn replace(&self, from: &str, to: &str) {
        let text = String::from_utf8(self.folder().read("server/latest.json").unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        self.folder().write("server/latest.json", text.replace(from, to));
    }

    fn good_server(&self) -> Server {
        Server::good(&self.folder().path("server"))
    }

    /// The server that does such things with the requests for the initramfs, the last one for ever.
    fn server(&self, acts: &[Act]) -> Server {
        let acts = acts.to_vec();
        Server::new(&self.folder().path("server"), move |path, nth| {
            if path == "initrd" { acts[nth.min(acts.len() - 1)] } else { Act::Right }
        })
    }

    fn apply(&self, server: &Server) -> Ran {
        self.verb("apply", server.port, "")
    }

    fn verb(&self, verb: &str, port: u16, more: &str) -> Ran {
        self.fleet.run(&format!("{verb} http://127.0.0.1:{port} --running {} {more}", self.folder().text("running")))
    }

    /// It is installed, by what the server sends; gives what was said.
    fn is_installed(&self, server: &Server) -> String {
        let ran = self.apply(server);
        assert!(ran.exit == 0 && self.fleet.b() == Staged, "{}{}", ran.out(), ran.stderr);
        for (name, file) in [("vmlinuz", "kernel"), ("kubesolo-os.gz", "initrd")] {
            assert!(self.fleet.target(name) == self.folder().read(&format!("server/{file}")), "{name}");
        }
        ran.stderr
    }

    /// Nothing was said of trouble with chunks, and the slot has what the next update needs.
    fn is_installed_by_chunks(&self, server: &Server) {
        let said = self.is_installed(server);
        assert!(!said.contains("is fetched whole"), "{said}");
        let there = self.fleet.target("kubesolo-os.gz.idx");
        assert!(there.is_some() && there == self.folder().read("server/initrd.idx"));
        let names: Vec<_> = fs::read_dir(self.folder().path("target")).unwrap().map(|entry| entry.unwrap()).collect();
        assert!(names.iter().all(|entry| !entry.file_name().to_str().unwrap().ends_with(".part")), "{names:?}");
    }
}

#[test]
fn what_the_running_slot_has_is_not_fetched() {
    let old: Vec<u64> = (0..OLD).collect();
    let rows = [
        ("nothing is new", old.clone(), vec![]),
        ("a chunk", with(&[40]), vec![40..41]),
        ("the first and the last", with(&[0, 79]), vec![0..1, 79..80]),
        ("chunks far apart", with(&[3, 30, 60]), vec![3..4, 30..31, 60..61]),
        ("neighbours", with(&[20, 21, 22]), vec![20..23]),
        ("one between", with(&[20, 22]), vec![20..23]),
        ("one more, so that all behind it moves", [&old[..50], &[5000], &old[50..]].concat(), vec![50..51]),
        ("another order", [&old[40..], &old[..40]].concat(), vec![]),
        ("one less", [&old[..50], &old[51..]].concat(), vec![]),
        ("the same twice", [&old[..], &old[..]].concat(), vec![]),
    ];
    for (name, new, fetched) in rows {
        let update = Update::to(&new);
        let server = update.good_server();
        update.is_installed_by_chunks(&server);
        let want: Vec<_> = fetched.iter().map(|at| place(&new, at.clone())).collect();
        assert_eq!(server.ranges("initrd"), want, "{name}");
        let one = server.asked("initrd").windows(2).all(|pair| pair[0].connection == pair[1].connection);
        assert!(one || cfg!(feature = "minreq"), "{name}: more than one connection");
    }
}

#[test]
fn a_box_that_has_nothing_of_it_fetches_it_once() {
    let update = Update::to(&(1000..1050).collect::<Vec<_>>());
    let server = update.good_server();
    update.is_installed_by_chunks(&server);
    let all = file(&(1000..1050).collect::<Vec<_>>()).len();
    assert_eq!(server.ranges("initrd"), [0..all]);
}

/// Each update keeps the index that the next one needs.
#[test]
fn one_update_after_the_other_costs_what_is_new() {
    let update = Update::to(&with(&[7]));
    let server = update.good_server();
    let mut sent = 0;
    for (number, changed) in [&[7][..], &[7, 50], &[7, 50, 20]].into_iter().enumerate() {
        update.folder().write("server/initrd", file(&with(changed)));
        update.folder().write("server/initrd.idx", index(&with(changed)));
        update.publish_as(&format!("1.{number}.1"));
        update.is_installed_by_chunks(&server);
        let now = server.sent("initrd") - sent;
        sent += now;
        assert!(now < 60_010, "update {number}: {now} bytes");
        // What is installed runs.
        let folder = update.folder();
        fs::remove_dir_all(folder.path("running")).unwrap();
        fs::rename(folder.path("target"), folder.path("running")).unwrap();
        folder.write("target/keep", "");
        update.fleet.machine.set(state(A, 3, true, Good, Good));
        fs::remove_file(folder.path("data/update/state.json")).unwrap();
    }
}

#[test]
fn what_has_rotted_is_fetched() {
    let all: Vec<u64> = (0..OLD).collect();
    let (begin, end) = (20, 20 + (1..60).find(|count| place(&all, 20..20 + count).len() > MIB).unwrap());
    let rotten = place(&all, begin..end);
    type Damage = Box<dyn Fn(&mut Vec<u8>)>;
    let rows: Vec<(&str, Damage, Vec<Range<usize>>)> = vec![
        ("a MiB", Box::new(move |bytes| bytes[rotten.clone()].fill(0)), vec![place(&all, begin..end)]),
        ("a bit", Box::new(|bytes| bytes[5] ^= 1), vec![place(&all, 0..1)]),
        ("cut", Box::new(|bytes| bytes.truncate(30)), vec![place(&all, 0..80)]),
        ("longer", Box::new(|bytes| bytes.push(0)), vec![]),
    ];
    for (name, damage, want) in rows {
        let update = Update::to(&all);
        let mut bytes = update.folder().read("running/kubesolo-os.gz").unwrap();
        damage(&mut bytes);
        update.folder().write("running/kubesolo-os.gz", bytes);
        let server = update.good_server();
        update.is_installed_by_chunks(&server);
        assert_eq!(server.ranges("initrd"), want, "{name}");
    }
}

/// Whatever the running slot's own index is: it costs at most what it could have saved.
#[test]
fn a_running_slot_without_a_right_index_costs_the_download() {
    let new = with(&[30]);
    let old = index(&(0..OLD).collect::<Vec<_>>());
    let rows: [(&str, Option<Vec<u8>>); 6] = [
        ("none", None),
        ("empty", Some(Vec::new())),
        ("cut", Some(old[..old.len() - 7].to_vec())),
        ("cut between two chunks", Some(old[..old.len() - 36].to_vec())),
        ("noise", Some(chunk(1))),
        ("of another file", Some(index(&(500..580).collect::<Vec<_>>()))),
    ];
    for (name, damaged) in rows {
        let update = Update::to(&new);
        match damaged {
            Some(bytes) => update.folder().write("running/kubesolo-os.gz.idx", bytes),
            None => fs::remove_file(update.folder().path("running/kubesolo-os.gz.idx")).unwrap(),
        }
        let server = update.good_server();
        update.is_installed_by_chunks(&server);
        assert_eq!(server.sent("initrd"), file(&new).len() + 1, "{name}");
    }
    // It has every chunk, it says, but where each is it does not know.
    let update = Update::to(&new);
    let lies: Vec<Vec<u8>> = new.iter().rev().map(|number| chunk(*number)).collect();
    update.folder().write("running/kubesolo-os.gz.idx", index_of(&lies));
    let server = update.good_server();
    update.is_installed_by_chunks(&server);
    assert!(server.asked("initrd").len() <= 2, "{:?}", server.asked("initrd"));
}

/// A server that knows no ranges sends all of it: once, and to its end.
#[test]
fn a_server_without_ranges_is_asked_once() {
    let new = with(&[3, 30, 60]);
    let update = Update::to(&new);
    let server = update.server(&[Act::Whole]);
    update.is_installed_by_chunks(&server);
    assert_eq!(server.asked("initrd").len(), 1);
    // One that forgets them meanwhile.
    let update = Update::to(&new);
    let server = update.server(&[Act::Right, Act::Right, Act::Whole]);
    update.is_installed_by_chunks(&server);
    assert_eq!(server.asked("initrd").len(), 2);
}

#[test]
fn a_connection_that_closes_costs_a_chunk() {
    let new = with(&[3, 30, 31, 32, 60]);
    let needed: usize = [3..4, 30..33, 60..61].map(|at| place(&new, at).len()).iter().sum();
    for (name, acts) in [
        ("between parts", vec![Act::Right, Act::Closes]),
        ("between parts, as soon as it is asked", vec![Act::Right, Act::Right, Act::Nothing, Act::Right]),
        ("at the beginning of a part", vec![Act::Right, Act::Right, Act::Cut(0), Act::Right]),
        ("in a part's first chunk", vec![Act::Right, Act::Right, Act::Cut(10_000), Act::Right]),
        ("in a part's last chunk", vec![Act::Right, Act::Right, Act::Cut(100_000), Act::Right]),
        ("at a part's last byte", vec![Act::Right, Act::Right, Act::Cut(place(&new, 30..33).len() - 1), Act::Right]),
    ] {
        let update = Update::to(&new);
        let server = update.server(&acts);
        update.is_installed_by_chunks(&server);
        let sent: usize = server.asked("initrd").iter().map(|request| request.sent).sum();
        assert!((needed..=needed + 60_000).contains(&sent), "{name}: {sent} bytes for {needed}");
    }
}

#[test]
fn a_download_that_broke_off_goes_on_at_the_next_run() {
    let new = with(&[3, 30, 60]);
    let needed: usize = [3, 30, 60].map(|at| place(&new, at..at + 1).len()).iter().sum();
    let update = Update::to(&new);
    // Two of three parts, and then the file is gone for a while.
    let server = update.server(&[Act::Right, Act::Right, Act::Right, Act::Missing]);
    let ran = update.apply(&server);
    assert!(ran.exit == 6 && ran.stderr.contains("answers 404"), "{}", ran.stderr);
    assert_eq!((update.fleet.b(), update.fleet.phase()), (Empty, "failed".into()));
    let again = update.good_server();
    update.is_installed_by_chunks(&again);
    assert_eq!(again.ranges("initrd"), [place(&new, 60..61)]);
    assert_eq!(server.sent("initrd") + again.sent("initrd"), needed + 2);
}

/// The index fits latest.json, and what is fetched does not fit the index.
#[test]
fn a_file_that_is_another_meanwhile_is_not_installed() {
    let update = Update::to(&with(&[3, 30, 60]));
    // It is right again.
    let server = update.server(&[Act::Right, Act::Right, Act::Zeros, Act::Right]);
    let said = update.is_installed(&server);
    assert!(said.contains("not what its chunk index says") && said.contains("is fetched whole"), "{said}");

    // It stays another one.
    let update = Update::to(&with(&[3, 30, 60]));
    let server = update.server(&[Act::Right, Act::Right, Act::Zeros]);
    let ran = update.apply(&server);
    assert!(ran.exit == 6 && ran.stderr.contains("do not fit its latest.json"), "{}", ran.stderr);
    assert_eq!((update.fleet.b(), update.fleet.phase()), (Empty, "failed".into()));
    assert!(server.asked("initrd").len() <= 4, "{:?}", server.asked("initrd"));
    // Nor is it fetched again soon.
    assert_eq!(update.apply(&server).exit, 7);
}

/// A wrong index costs traffic and never the update.
#[test]
fn without_a_right_index_the_file_is_fetched_whole() {
    let new = with(&[30]);
    let size = file(&new).len();
    let right = index(&new);
    let other: Vec<u64> = (0..OLD).rev().collect();
    let with_length = |len: u32| [&right[..HEAD_LEN], &len.to_le_bytes(), &right[HEAD_LEN + 4..]].concat();
    let rows = [
        ("no index", chunk(9), "read kubesolo-os.gz.idx: "),
        ("cut", right[..right.len() - 1].to_vec(), "that is cut"),
        ("without the last chunk", right[..right.len() - 36].to_vec(), "of another file"),
        ("of another size", index(&new[1..]), "of another file"),
        ("an empty chunk", with_length(0), "too long, or empty"),
        ("a long chunk", with_length(CHUNK_MAX + 1), "too long, or empty"),
        ("the longest chunk", with_length(u32::MAX), "too long, or empty"),
        ("of another order", index(&other), "of another file"),
    ];
    for (name, bytes, says) in rows {
        let update = Update::to(&new);
        update.folder().write("server/initrd.idx", bytes);
        update.publish();
        let server = update.good_server();
        let said = update.is_installed(&server);
        assert!(said.contains(says) && said.contains("is fetched whole"), "{name}: {said}");
        assert_eq!(server.sent("initrd"), size + 1, "{name}");
    }
    let gone = |path: &str, _| if path == "initrd.idx" { Act::Missing } else { Act::Right };
    let zeros = |path: &str, _| if path == "initrd.idx" { Act::Zeros } else { Act::Right };
    for (says, acts) in [("answers 404", gone as fn(&str, usize) -> Act), ("do not fit its latest.json", zeros)] {
        let update = Update::to(&new);
        let server = Server::new(&update.folder().path("server"), acts);
        let said = update.is_installed(&server);
        assert!(said.contains(says) && said.contains("is fetched whole"), "{said}");
        assert_eq!(server.sent("initrd"), size + 1);
    }
}

/// As long as it should be, and made of the running slot's chunks: so nothing of it is fetched, and its hash is another.
#[test]
fn an_index_of_another_file_of_that_length_costs_one_download() {
    let new = with(&[30]);
    let update = Update::to(&new);
    let mut chunks: Vec<Vec<u8>> = (0..OLD).map(chunk).collect();
    // The lengths are made to fit.
    chunks[30].resize(place(&new, 30..31).len(), 0);
    update.folder().write("running/kubesolo-os.gz", chunks.concat());
    update.folder().write("running/kubesolo-os.gz.idx", index_of(&chunks));
    update.folder().write("server/initrd.idx", index_of(&chunks));
    update.publish();
    let server = update.good_server();
    let said = update.is_installed(&server);
    assert!(said.contains("do not fit its latest.json; so kubesolo-os.gz is fetched whole"), "{said}");
    assert_eq!(server.sent("initrd"), file(&new).len() + 1);
}

#[test]
fn a_release_without_an_index_is_as_before() {
    let new = with(&[30]);
    let update = Update::to(&new);
    update.fleet.publish("1.1.0", "");
    let server = update.good_server();
    let said = update.is_installed(&server);
    assert!(!said.contains("is fetched whole"), "{said}");
    assert_eq!(server.sent("initrd"), file(&new).len() + 1);
    assert_eq!(update.fleet.target("kubesolo-os.gz.idx"), None);
}

/// It is as large as a box takes: all of that fits into the program's memory, which is fixed.
#[test]
fn the_longest_index_fits_into_memory_and_a_longer_one_is_not_fetched() {
    let bytes: Vec<u8> = (0..CHUNKS_MAX).flat_map(u32::to_le_bytes).collect();
    let chunks: Vec<Vec<u8>> = bytes.chunks(4).map(<[u8]>::to_vec).collect();
    let update = Update::to(&[0]);
    let folder = update.folder();
    folder.write("running/kubesolo-os.gz", &bytes);
    folder.write("running/kubesolo-os.gz.idx", index_of(&chunks));
    let mut new = chunks;
    new[20_000] = vec![1; 4];
    folder.write("server/initrd", new.concat());
    folder.write("server/initrd.idx", index_of(&new));
    update.publish();
    let server = update.good_server();
    update.is_installed_by_chunks(&server);
    assert_eq!(server.ranges("initrd"), [80_000..80_004]);

    let update = Update::to(&with(&[30]));
    let million = HEAD_LEN as u64 + 36_000_000;
    for size in [million, INDEX_MAX + 36, u64::MAX] {
        update.publish();
        let is = update.folder().read("server/initrd.idx").unwrap().len();
        update.replace(&format!("\"initramfs_index_size\":{is}"), &format!("\"initramfs_index_size\":{size}"));
        let server = update.good_server();
        let said = update.is_installed(&server);
        assert!(said.contains("that is too long") && said.contains("is fetched whole"), "{said}");
        assert_eq!(server.sent("initrd.idx"), 0);
        update.fleet.machine.set(state(A, 3, true, Good, Good));
    }
}

/// The kernel is often the same in the next release.
#[test]
fn a_file_that_the_running_slot_has_is_copied() {
    for (name, remove, damage) in [
        ("with indexes", "", false),
        ("without one in the slot", "running/vmlinuz.idx", false),
        ("without one on the server", "server/kernel.idx", false),
        ("one that has rotted", "running/vmlinuz.idx", true),
    ] {
        let update = Update::to(&with(&[30]));
        match remove {
            "" => {}
            "server/kernel.idx" => update.fleet.publish("1.1.0", ""),
            name => fs::remove_file(update.folder().path(name)).unwrap(),
        }
        let kernel = update.folder().read("server/kernel").unwrap();
        if damage {
            update.folder().write("running/vmlinuz", vec![b'x'; kernel.len()]);
        }
        let server = update.good_server();
        update.is_installed(&server);
        assert_eq!(server.sent("kernel"), if damage { kernel.len() + 1 } else { 1 }, "{name}");
    }
}

#[test]
fn a_folder_is_read_where_the_running_slot_has_nothing() {
    let update = Update::to(&with(&[3, 30]));
    let words = format!("apply SERVER --running {}", update.folder().text("running"));
    update.fleet.ran(&words, 0, "is installed");
    assert_eq!(update.fleet.target("kubesolo-os.gz"), update.folder().read("server/initrd"));
}

/// There has to be room for all of it, whatever of it is fetched.
#[test]
fn a_slot_without_room_is_left_as_it_is() {
    let new = with(&[3, 30, 60]);
    let update = Update::to(&new);
    let server = update.good_server();
    let url = format!("http://127.0.0.1:{}", server.port);
    let folder = update.folder();
    let apply = |size: &str| {
        let script = "mount -t tmpfs -o size=$0 none target && shift && exec \"$@\"";
        let mut words = vec!["unshare", "--mount", "sh", "-c", script, size, "x", binary(), "apply", &url];
        let texts = [folder.text("target"), folder.text("running")];
        words.extend(["--target", &texts[0], "--running", &texts[1]]);
        let flags = update.fleet.machine.flags_of("apply");
        words.extend(flags.iter().map(String::as_str));
        let ran = Command::new(words[0]).args(&words[1..]).current_dir(folder.path("")).output();
        ran.ok().map(Ran::from)
    };
    let Some(ran) = apply("2M").filter(|ran| !ran.stderr.contains("unshare") && !ran.stderr.contains("mount")) else {
        return skipped("no mount namespace");
    };
    assert!(ran.exit == 7 && ran.stderr.contains("free, "), "{}{}", ran.out(), ran.stderr);
    assert_eq!((update.fleet.b(), server.asked("initrd").len()), (Good, 0));
}

/// What `check` says is what `apply` fetches, but for what is between two chunks.
#[test]
fn check_says_what_an_update_would_cost() {
    let new = with(&[3, 30, 60]);
    let needed: usize = [3, 30, 60].map(|at| place(&new, at..at + 1).len()).iter().sum();
    let total = file(&new).len() + 23;
    let none: fn(&Update) = |_| {};
    let no_index: fn(&Update) = |update| fs::remove_file(update.folder().path("server/initrd.idx")).unwrap();
    let no_old: fn(&Update) = |update| fs::remove_file(update.folder().path("running/kubesolo-os.gz.idx")).unwrap();
    let other: fn(&Update) = |update| update.folder().write("server/initrd.idx", index(&with(&[])));
    let is_the_same: fn(&Update) = |update| {
        update.folder().write("running/kubesolo-os.gz", file(&with(&[3, 30, 60])));
        fs::remove_file(update.folder().path("running/kubesolo-os.gz.idx")).unwrap();
    };
    for (name, spoil, to_fetch) in [
        ("as it should be", none, needed + index(&new).len()),
        ("no index", no_index, file(&new).len()),
        ("no index in the slot", no_old, file(&new).len()),
        ("another index", other, file(&new).len()),
        ("the same file", is_the_same, 0),
    ] {
        let update = Update::to(&new);
        spoil(&update);
        let server = update.good_server();
        let ran = update.verb("check", server.port, "--json");
        let json: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(
            (json["to_fetch"].as_u64(), json["total"].as_u64()),
            (Some(to_fetch as u64), Some(total as u64)),
            "{name}"
        );
        assert_eq!(fs::read_dir(update.folder().path("target")).unwrap().count(), 1, "{name}");
    }
    let update = Update::to(&new);
    let server = update.good_server();
    let said = update.verb("check", server.port, "");
    assert!(said.out().contains("To fetch: ") && said.out().contains(" kB of 3.2 MB\n"), "{}", said.out());
    // Nothing is said where nobody says how long the files are.
    update.replace("\"vmlinuz_size\":23,", "");
    let said = update.verb("check", server.port, "--json");
    assert!(said.out().contains("\"to_fetch\":null,\"total\":null"), "{}", said.out());
}

/// Percentage and bytes, for a person and for a script.
#[test]
fn progress_shows_what_was_fetched() {
    let new = with(&[3, 30]);
    let update = Update::to(&new);
    let server = update.good_server();
    let ran = update.verb("apply", server.port, "--json");
    let events: Vec<serde_json::Value> = ran.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.iter().rfind(|event| event["file"] == "kubesolo-os.gz").unwrap();
    let needed: usize = [3, 30].map(|at| place(&new, at..at + 1).len()).iter().sum();
    assert_eq!((last["bytes"].as_u64(), last["fetched"].as_u64()), (last["total"].as_u64(), Some(needed as u64)));
    let read_back = events.iter().rfind(|event| event["file"] == "verify kubesolo-os.gz").unwrap();
    assert!(read_back["fetched"].is_null());
}

/// A real server, and what it says it sent.
#[test]
fn nginx_sends_what_is_new() {
    let Some(mut nginx) = Nginx::folder("chunks") else { return };
    let port = free_port();
    let new = with(&[3, 30, 31, 60]);
    let update = Update::to(&new);
    for name in ["latest.json", "kernel", "kernel.idx", "initrd", "initrd.idx"] {
        fs::copy(update.folder().path("server").join(name), nginx.path(&format!("www/{name}"))).unwrap();
    }
    let log = nginx.path("log");
    let servers = format!(
        "log_format sent '$connection $uri $status $body_bytes_sent';\n\
         server {{ listen 127.0.0.1:{port}; access_log {log} sent; }}\n"
    );
    nginx.start(&servers, port);
    let ran = update.verb("apply", port, "");
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(update.fleet.target("kubesolo-os.gz") == update.folder().read("server/initrd"));
    let log = fs::read_to_string(log).unwrap();
    let mut sent: HashMap<&str, usize> = HashMap::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        *sent.entry(words[1]).or_default() += words[3].parse::<usize>().unwrap();
    }
    let needed: usize = [3..4, 30..32, 60..61].map(|at| place(&new, at).len()).iter().sum();
    assert_eq!(sent["/initrd"], needed + 1, "{log}");
    assert_eq!(sent["/kernel"], 1, "{log}");
}
