//! A chunk index: one that is taken is all of its file, what is found by it is in it, and a file is put together rightly whatever the
//! running slot has and wherever the server stops.
#![no_main]

use kubesolo_boot::update::chunks::read_index;
use kubesolo_core::flow::assemble::{Answer, Assembly, assemble};
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::held::{Place, find, sort};
use kubesolo_core::update::index::{CHUNK_MAX, Chunk, ENTRY_LEN, HEAD_LEN, head};
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    bounded(|| {
        reads(input);
        puts_together(input);
    });
});

fn reads(input: &[u8]) {
    let mut rest = input;
    let mut read = |bytes: &mut [u8]| match rest.split_at_checked(bytes.len()) {
        Some((next, behind)) => {
            bytes.copy_from_slice(next);
            rest = behind;
            true
        }
        None => false,
    };
    let (mut chunks, mut end) = (Vec::new(), 0);
    let taken = read_index(input.len() as u64, None, &mut read, &mut |chunk, at| {
        assert_eq!(at, end);
        end += u64::from(chunk.len);
        chunks.push((chunk, at));
    });
    let mut places: Vec<_> = chunks.iter().map(|(chunk, at)| Place::new(&chunk.hash, *at)).collect();
    sort(&mut places);
    for (chunk, at) in &chunks {
        assert!(find(&places, &chunk.hash).is_some_and(|found| found <= *at));
    }
    if taken.is_ok() {
        assert_eq!(input.len(), HEAD_LEN + ENTRY_LEN * chunks.len());
        let entries = chunks.iter().flat_map(|(chunk, _)| chunk.to_bytes());
        assert!(head(end).into_iter().chain(entries).eq(input.iter().copied()));
    }
}

/// A byte a chunk, which is some of that byte; what is odd of it is in the running slot, and some of that has rotted.
struct Machine<'a> {
    chunks: &'a [u8],
    file: Vec<u8>,
    /// The server knows ranges, and stops after so many bytes of an answer.
    ranges: bool,
    stops_after: usize,
    at: usize,
    sent: usize,
    grown: Vec<u8>,
}

fn content(byte: u8) -> Vec<u8> {
    vec![byte; 1 + usize::from(byte) * 8]
}

impl Assembly for Machine<'_> {
    type Error = ();

    fn chunk(&mut self, number: u32) -> Result<Option<Chunk>, ()> {
        let bytes = self.chunks.get(number as usize).map(|byte| content(*byte));
        Ok(bytes.map(|bytes| Chunk { len: bytes.len() as u32, hash: Hash::of(&bytes) }))
    }

    fn read_held(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
        assert_eq!(buffer.len(), chunk.len as usize);
        let byte = ((chunk.len - 1) / 8) as u8;
        buffer.fill(if byte % 16 == 7 { 0 } else { byte });
        byte % 2 == 1
    }

    fn ask(&mut self, from: u64, to: u64) -> Result<Answer, ()> {
        assert!(from < to && to <= self.file.len() as u64);
        self.sent = 0;
        self.at = if self.ranges { from as usize } else { 0 };
        Ok(if self.ranges { Answer::Part } else { Answer::Whole })
    }

    fn read_fetched(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.sent += buffer.len();
        if self.sent > self.stops_after {
            return Err(());
        }
        buffer.copy_from_slice(&self.file[self.at..][..buffer.len()]);
        self.at += buffer.len();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.grown.extend_from_slice(bytes);
        Ok(())
    }

    fn differs(&mut self, at: u64) {
        panic!("the chunk at {at} is right");
    }
}

fn puts_together(input: &[u8]) {
    let [first, second, chunks @ ..] = input else { return };
    let chunks = &chunks[..chunks.len().min(100)];
    let file: Vec<u8> = chunks.iter().flat_map(|byte| content(*byte)).collect();
    let done = file.len() * usize::from(*first) / 255;
    let mut machine = Machine {
        chunks,
        grown: file[..done].to_vec(),
        file,
        ranges: second % 2 == 0,
        stops_after: usize::from(*second) << 8,
        at: 0,
        sent: 0,
    };
    let mut buffer = vec![0; CHUNK_MAX as usize];
    if assemble(&mut machine, done as u64, &mut buffer).is_err() {
        assert!(machine.file.starts_with(&machine.grown));
        machine.stops_after = usize::MAX;
        let done = machine.grown.len() as u64;
        assert_eq!(assemble(&mut machine, done, &mut buffer), Ok(()));
    }
    assert!(machine.grown == machine.file);
}
