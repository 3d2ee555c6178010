//! What is packed is read by the real gunzip, and two files that have something in common have its packed bytes in common.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use kubesolo_chunks::{cut, gzip, index, newc};
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::index::{Chunk, ENTRY_LEN, HEAD_LEN, Reader};

/// Like a program: words that come again, in no order.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut content = Vec::with_capacity(len + 16);
    while content.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = (state >> 48) % 5000;
        content.extend_from_slice(format!("{word:x}{:x} ", word * word * word).as_bytes());
    }
    content.truncate(len);
    content
}

fn pack(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    gzip::pack(content, &mut packed).unwrap();
    packed
}

/// What a program makes of its standard input.
fn filter(words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(words[0]).args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "{words:?}");
    output.stdout
}

/// The chunks of a file, by the reader that a box has.
fn listed(file: &[u8]) -> Vec<Chunk> {
    let index = index::of(file).unwrap();
    let (head, entries) = index.split_first_chunk::<HEAD_LEN>().unwrap();
    let mut reader = Reader::new(head, index.len() as u64, file.len() as u64).unwrap();
    let chunks = entries.chunks_exact(ENTRY_LEN).map(|entry| reader.take(entry.try_into().unwrap()).unwrap()).collect();
    assert_eq!(reader.left(), 0);
    chunks
}

/// How many bytes of `new` a box with `old` has to fetch.
fn fetched(old: &[u8], new: &[u8]) -> u64 {
    let known: HashSet<[u8; 32]> = listed(old).iter().map(|chunk| chunk.hash.0).collect();
    listed(new).iter().filter(|chunk| !known.contains(&chunk.hash.0)).map(|chunk| u64::from(chunk.len)).sum()
}

#[test]
fn gunzip_reads_what_is_packed() {
    for content in [Vec::new(), vec![7], vec![0; 5_000_000], content(1, 3_000_000), pack(&content(2, 2_000_000))] {
        let packed = pack(&content);
        assert!(filter(&["gunzip", "-c"], &packed) == content, "{} bytes", content.len());
    }
}

#[test]
fn an_index_lists_the_file_from_its_first_byte_to_its_last() {
    for file in [Vec::new(), vec![1], vec![0; 300_000], content(3, 2_000_000), pack(&content(3, 2_000_000))] {
        let mut rest = &file[..];
        for chunk in listed(&file) {
            let (bytes, behind) = rest.split_at(chunk.len as usize);
            assert_eq!(Hash::of(bytes), chunk.hash);
            rest = behind;
        }
        assert!(rest.is_empty());
    }
}

/// In the middle of 20 MB something is put in, something else is left out, and a byte is changed.
#[test]
fn a_small_change_costs_a_few_chunks() {
    let old = content(4, 20_000_000);
    let mut new = [&old[..6_000_000], b"a line more\n", &old[6_000_000..12_000_000], &old[12_100_000..]].concat();
    new[15_000_000] ^= 1;
    let most = 12 * cut::MAX as u64;
    for (name, old, new) in [("as it is", old.clone(), new.clone()), ("packed", pack(&old), pack(&new))] {
        let fetched = fetched(&old, &new);
        assert!((1..most).contains(&fetched), "{name}: {fetched} bytes of {}", new.len());
    }
    // A kernel unpacks several archives, one behind the other: a processor's microcode first, a customer's files last.
    let (packed, more) = (pack(&old), content(6, 1_000_000));
    let before = [b"070701", &more[..]].concat();
    for (name, new) in [("in front", [&before, &packed[..]].concat()), ("behind", [&packed[..], &before].concat())] {
        let fetched = fetched(&packed, &new);
        let added = before.len() as u64;
        assert!((added..added + 3 * cut::MAX as u64).contains(&fetched), "{name}: {fetched} bytes of {}", new.len());
    }
    // What another tool packed is another from the first change on: it costs most of it, but goes through.
    let [old, new] = [old, new].map(|content| filter(&["gzip", "-9n"], &content));
    assert!(fetched(&old, &new) > new.len() as u64 / 2);
}

/// The same bytes on every machine and by every version of the crate: else the next release is another file all through, and
/// a box that has the last one fetches it whole.
#[test]
fn the_same_content_is_packed_the_same() {
    let hash = Hash::of(&pack(&content(5, 1_000_000))).to_string();
    assert_eq!(hash, "b931490cae8fde1a053f0f4754403cc033fc24575d39ce2bf55d6d245c3ea7ec");
}

/// A folder as the real cpio packs it: with a file of two names, and a file more.
#[test]
fn a_file_more_changes_no_other_entry_of_an_archive() {
    let folder = std::env::temp_dir().join(format!("kubesolo-chunks-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("a")).unwrap();
    for name in ["a/first", "b", "c"] {
        std::fs::write(folder.join(name), name.repeat(1000)).unwrap();
    }
    std::fs::hard_link(folder.join("b"), folder.join("d")).unwrap();
    let archive = |names: &str| {
        let script = format!("cd {} && printf '{names}' | cpio -o -H newc --reproducible --quiet", folder.display());
        let mut archive = filter(&["sh", "-c", &script], b"");
        newc::renumber(&mut archive).unwrap();
        archive
    };
    let (old, new) = (archive(r"b\nc\nd\n"), archive(r"a\na/first\nb\nc\nd\n"));
    let trailer = old.windows(10).position(|bytes| bytes == b"TRAILER!!!").unwrap() - 110;
    assert!(new.windows(trailer).any(|bytes| bytes == &old[..trailer]));
    let unpacked = folder.join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    filter(&["sh", "-c", &format!("cd {} && cpio -i --quiet", unpacked.display())], &new);
    assert_eq!(std::fs::read(unpacked.join("d")).unwrap(), "b".repeat(1000).as_bytes());
    let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(unpacked.join(name)).unwrap());
    assert!(inode("b") == inode("d") && inode("b") != inode("c"));
    std::fs::remove_dir_all(&folder).unwrap();
    for broken in [&b""[..], b"070701", &old[..200], &[&old[..4], &b"x"[..]].concat()] {
        assert!(newc::renumber(&mut broken.to_owned()).unwrap_err().contains("no entry of newc"));
    }
}
