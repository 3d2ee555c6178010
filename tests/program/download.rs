//! A download that meets with one mishap after the other: it ends, and what was fetched is not lost.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::fetch::{Server, say};
use crate::scene::skipped;
use crate::update::Fleet;
use kubesolo_core::boot::slot::SlotState::{Empty, Good, Staged};

/// What the server does with the n-th request for the initramfs; the first is the look at it before the slot is given up.
#[derive(Clone)]
enum Act {
    /// As a good server does, with ranges.
    Right,
    /// As one without ranges.
    Whole,
    /// Half of what was asked for, and the end of the connection.
    Half,
    /// The same without a length, so that its end is no error.
    HalfClosing,
    /// Half of another file of that length.
    OtherHalf,
    /// These bytes.
    Say(String),
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes(), bytes].concat()
}

fn ranged(request: &str, bytes: &[u8]) -> Vec<u8> {
    let from = request.split("Range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse::<usize>().ok());
    let Some(from) = from.filter(|from| *from < bytes.len()) else { return whole(bytes) };
    let (length, last, total) = (bytes.len() - from, bytes.len() - 1, bytes.len());
    let head =
        format!("HTTP/1.1 206 Part\r\nContent-Length: {length}\r\nContent-Range: bytes {from}-{last}/{total}\r\n\r\n");
    [head.as_bytes(), &bytes[from..]].concat()
}

fn answer(act: &Act, request: &str, bytes: &[u8]) -> Vec<u8> {
    let half = bytes.len() / 2;
    match act {
        Act::Right => ranged(request, bytes),
        Act::Whole => whole(bytes),
        Act::Half => {
            let all = ranged(request, bytes);
            all[..all.len() - half / 2].to_vec()
        }
        Act::HalfClosing => [b"HTTP/1.0 200 OK\r\n\r\n", &bytes[..half]].concat(),
        Act::OtherHalf => whole(&vec![1; bytes.len()])[..half].to_vec(),
        Act::Say(text) => text.clone().into_bytes(),
    }
}

/// A fleet whose server does these things, the last one for ever.
fn serve(acts: &[Act]) -> (Fleet, Server) {
    let fleet = Fleet::new(Good);
    let server = server_for(&fleet, acts);
    (fleet, server)
}

fn server_for(fleet: &Fleet, acts: &[Act]) -> Server {
    let folder = fleet.machine.folder.path("server");
    let (acts, number) = (acts.to_vec(), Arc::new(Mutex::new(0)));
    Server::new(Box::new(move |request, connection| {
        let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
        let Ok(bytes) = fs::read(folder.join(path)) else {
            return say(connection, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
        };
        if path != "initrd" {
            return say(connection, &ranged(request, &bytes));
        }
        let mut number = number.lock().unwrap();
        let act = &acts[(*number).min(acts.len() - 1)];
        *number += 1;
        say(connection, &answer(act, request, &bytes));
    }))
}

fn apply(server: &Server) -> String {
    format!("apply http://127.0.0.1:{} --allow-downgrade", server.port)
}

fn ranges(server: &Server) -> Vec<usize> {
    let requests = server.requests();
    let from = |request: &String| request.split("Range: bytes=").nth(1)?.split('-').next()?.parse().ok();
    requests.iter().filter(|request| request.contains("/initrd ")).map(|request| from(request).unwrap_or(0)).collect()
}

const LENGTH: usize = 200_000;

#[test]
fn a_mishap_costs_nothing_of_what_is_there() {
    let page = "<html>Please log in</html>";
    let portal = Act::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len()));
    let chunked = Act::Say(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n",
        page.len()
    ));
    let closing = Act::Say(format!("HTTP/1.0 200 OK\r\n\r\n{page}"));
    let moved = Act::Say("HTTP/1.1 302 There\r\nLocation: /kernel\r\nContent-Length: 0\r\n\r\n".into());
    let refused = |status| Act::Say(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"));
    let rows = [
        ("portal", vec![portal]),
        ("portal in chunks", vec![chunked]),
        ("portal without a length", vec![closing]),
        ("portal by a redirect", vec![moved]),
        ("no answer", vec![Act::Say(String::new()), Act::Say(String::new())]),
        ("a busy server", vec![refused(503), refused(503)]),
        ("a delivery network", vec![refused(521), refused(525)]),
    ];
    for (name, mishap) in rows {
        let acts = [vec![Act::Right, Act::Half], mishap, vec![Act::Right]].concat();
        let (fleet, server) = serve(&acts);
        fleet.ran(&apply(&server), 0, "is installed");
        assert_eq!(fleet.b(), Staged, "{name}");
        let ranges = ranges(&server);
        // What minreq takes no chunks for is asked for again without a range, and passed over.
        let passed_over = cfg!(feature = "minreq") && name == "portal in chunks";
        assert!(passed_over || ranges.last().is_some_and(|from| *from > LENGTH / 4), "{name}: {ranges:?}");
    }
}

#[test]
fn a_server_that_knows_no_ranges_or_lengths_gets_further_too() {
    for acts in [
        vec![Act::Right, Act::Half, Act::Whole],
        vec![Act::HalfClosing, Act::HalfClosing, Act::Whole],
        vec![Act::Right, Act::HalfClosing, Act::Right],
        vec![Act::Right, Act::Half, Act::Say("HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n".into()), Act::Whole],
    ] {
        let (fleet, server) = serve(&acts);
        fleet.ran(&apply(&server), 0, "is installed");
        assert_eq!(fleet.target("kubesolo-os.gz"), fleet.machine.folder.read("server/initrd"));
    }
}

#[test]
fn parts_of_two_files_are_started_over_once() {
    let (fleet, server) = serve(&[Act::Right, Act::OtherHalf, Act::Right]);
    fleet.ran(&apply(&server), 0, "is installed");
    let from = ranges(&server);
    assert!(from.len() == 4 && from[2] > 0 && from[3] == 0, "{from:?}");
    // Not for ever.
    let wrong = Act::Say(String::from_utf8(whole(&vec![b'x'; LENGTH])).unwrap());
    let (fleet, server) = serve(&[Act::Right, Act::Half, wrong]);
    fleet.ran(&apply(&server), 6, "do not fit its latest.json");
    assert_eq!((fleet.b(), fleet.phase()), (Empty, "failed".into()));
    assert!(ranges(&server).len() <= 4, "{:?}", ranges(&server));
    // Nor again at the next run; from elsewhere it may be right.
    fleet.ran(&apply(&server), 7, "did not fit its latest.json");
    fleet.ran(&apply(&server_for(&fleet, &[Act::Right])), 0, "is installed");
}

#[test]
fn a_file_without_an_end_is_not_taken() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n",
        4 * LENGTH,
        "x".repeat(4 * LENGTH)
    );
    let (fleet, server) = serve(&[Act::Say(long)]);
    fleet.ran(&apply(&server), 6, "longer than the 200000 bytes promised");
    assert_eq!((fleet.b(), fleet.phase()), (Empty, "failed".into()));
}

#[test]
fn files_that_are_not_there_cost_no_slot() {
    for (name, how) in [("initrd", "missing"), ("kernel", "missing"), ("initrd", "short"), ("kernel", "short")] {
        let (fleet, server) = serve(&[Act::Right]);
        let path = fleet.machine.folder.path(&format!("server/{name}"));
        match how {
            "missing" => fs::remove_file(path).unwrap(),
            _ => fs::write(path, "<html>").unwrap(),
        }
        let before = fleet.machine.copies();
        let says = if how == "missing" { "answers 404" } else { "were promised" };
        fleet.ran(&apply(&server), 6, says);
        assert_eq!(fleet.b(), Good, "{name} {how}");
        assert_eq!(fleet.machine.copies(), before, "{name} {how}");
        assert_eq!(fleet.target("keep"), Some(Vec::new()));
    }
}

/// A server of several nodes, of which one has the old signature yet; and the query that lets a box in goes to the signature too.
#[test]
fn a_signature_that_comes_late_is_waited_for() {
    let fleet = Fleet::new(Good);
    let folder = fleet.machine.folder.path("server");
    let sign = |name: &str| {
        let script = "openssl genpkey -algorithm ed25519 -out key 2>/dev/null
            openssl pkey -in key -pubout -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \\n' >pub
            openssl pkeyutl -sign -rawin -inkey key -in latest.json -out $0";
        let ran = Command::new("sh").args(["-ec", script, name]).current_dir(&folder).status();
        ran.is_ok_and(|status| status.success())
    };
    if !sign("old.sig") || !sign("new.sig") {
        return skipped("no openssl");
    }
    let at = folder.clone();
    let mut asked = 0;
    let server = Server::new(Box::new(move |request, connection| {
        let target = request.split(' ').nth(1).unwrap();
        let name = match target {
            "/latest.json?token=x" => "latest.json",
            "/latest.json.sig?token=x" => {
                asked += 1;
                ["new.sig", "old.sig"][usize::from(asked < 3)]
            }
            _ => return say(connection, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
        };
        say(connection, &whole(&fs::read(at.join(name)).unwrap()));
    }));
    let key = folder.join("pub");
    let words = format!("check http://127.0.0.1:{}?token=x --allow-downgrade --pubkey {}", server.port, key.display());
    fleet.ran(&words, 0, "Version 1.1.0 is available");
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn a_manifest_that_breaks_off_is_asked_for_again() {
    for mishap in
        ["", "HTTP/1.1 523 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"]
    {
        let fleet = Fleet::new(Good);
        let bytes = whole(&fleet.machine.folder.read("server/latest.json").unwrap());
        let mut first = true;
        let server = Server::new(Box::new(move |_, connection| {
            let answer = if first { mishap.as_bytes() } else { &bytes };
            first = false;
            say(connection, answer);
        }));
        let words = format!("check http://127.0.0.1:{} --allow-downgrade", server.port);
        fleet.ran(&words, 0, "Version 1.1.0 is available");
    }
}

/// One check, with a key, is not what resets a box.
#[test]
fn a_manifest_from_the_web_names_no_file() {
    for field in ["metadata_sig_url", "vmlinuz_url"] {
        let fleet = Fleet::new(Good);
        let folder = &fleet.machine.folder;
        folder.write("keys", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n");
        let text = String::from_utf8(folder.read("server/latest.json").unwrap()).unwrap();
        let text = text.replace("\"vmlinuz_url\":\"kernel\",", "");
        let text = text.replace("{\"version\"", &format!("{{\"{field}\":\"file:///dev/watchdog\",\"version\""));
        folder.write("server/latest.json", text);
        let bytes = folder.read("server/latest.json").unwrap();
        let server = Server::new(Box::new(move |_, connection| say(connection, &whole(&bytes))));
        let (keys, exit) = match field {
            "vmlinuz_url" => (String::new(), 6),
            _ => (format!(" --pubkey {}", folder.text("keys")), 9),
        };
        let words = apply(&server) + &keys;
        fleet.ran(&words, exit, "leads to a file of this box");
        assert_eq!(fleet.b(), Good);
    }
}
