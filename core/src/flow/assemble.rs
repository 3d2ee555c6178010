//! A file is put together from what the running slot has of it and what only the server has, from its first byte to its last.
//!
//! It grows in order, as a plain download does: so its resume point, its hash and what a power cut leaves are the same. A chunk
//! is appended once all of it is here and its hash is right, whoever it came from.

use crate::update::digest::Hash;
use crate::update::index::Chunk;

/// So many bytes that are here already are fetched again where that saves a request, in bytes.
pub const GAP: u64 = 64 * 1024;

/// The old file, the new one's chunks, the server, and the file that grows.
pub trait Assembly {
    /// Why a step failed.
    type Error;

    /// The chunk of that number in the new file; `None` behind the last.
    ///
    /// # Errors
    /// Those of reading the index.
    fn chunk(&mut self, number: u32) -> Result<Option<Chunk>, Self::Error>;

    /// Reads what the running slot has for the chunk; false if it has nothing, or that cannot be read. `buffer` is as long as the
    /// chunk. What was read may have rotted: it is hashed.
    fn read_held(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool;

    /// Asks the server for the bytes from `from` up to `to`.
    ///
    /// # Errors
    /// Those of the server.
    fn ask(&mut self, from: u64, to: u64) -> Result<Answer, Self::Error>;

    /// Reads the answer's next bytes: all of `buffer`.
    ///
    /// # Errors
    /// Those of the server; its answer ends before.
    fn read_fetched(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Appends bytes to the new file.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The server has other bytes at this place of the file than the index says.
    fn differs(&mut self, at: u64) -> Self::Error;
}

/// What a server makes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It sends what was asked for.
    Part,
    /// It sends the file from its first byte to its last.
    Whole,
}

/// Puts the rest of the file behind the first `done` bytes, which are there. `buffer` takes the longest chunk.
///
/// # Errors
/// Those of the steps. What was appended is right, as far as it is more than `done`; a later call goes on behind it.
pub fn assemble<M: Assembly>(machine: &mut M, done: u64, buffer: &mut [u8]) -> Result<(), M::Error> {
    let mut at = At { number: 0, byte: 0 };
    while let Some(chunk) = machine.chunk(at.number)? {
        if at.behind(&chunk).byte <= done {
            at = at.behind(&chunk);
        } else if is_held(machine, &chunk, buffer) {
            machine.append(rest(buffer, &chunk, at.skip(done)))?;
            at = at.behind(&chunk);
        } else {
            at = fetch(machine, at, done, buffer)?;
        }
    }
    Ok(())
}

/// The beginning of a chunk.
#[derive(Clone, Copy)]
struct At {
    number: u32,
    byte: u64,
}

impl At {
    /// The beginning of the next one.
    fn behind(self, chunk: &Chunk) -> At {
        At { number: self.number.saturating_add(1), byte: self.byte.saturating_add(chunk.len.into()) }
    }

    /// How many of the chunk's bytes are among the first `done` of the file.
    fn skip(self, done: u64) -> u64 {
        done.saturating_sub(self.byte)
    }
}

/// What of the chunk, which is in `buffer`, comes behind its first `skip` bytes.
fn rest<'a>(buffer: &'a [u8], chunk: &Chunk, skip: u64) -> &'a [u8] {
    let from = usize::try_from(skip).unwrap_or(usize::MAX);
    buffer.get(..chunk.len as usize).and_then(|bytes| bytes.get(from..)).unwrap_or_default()
}

/// Whether the running slot has the chunk, which is in `buffer` then.
fn is_held<M: Assembly>(machine: &mut M, chunk: &Chunk, buffer: &mut [u8]) -> bool {
    let Some(bytes) = buffer.get_mut(..chunk.len as usize) else { return false };
    machine.read_held(chunk, bytes) && Hash::of(bytes) == chunk.hash
}

/// Fetches the chunk at `at` and those behind it that are not here either; gives where the next one begins.
fn fetch<M: Assembly>(machine: &mut M, at: At, done: u64, buffer: &mut [u8]) -> Result<At, M::Error> {
    let end = end_of_run(machine, at, buffer)?;
    let from = at.byte.max(done);
    let answer = machine.ask(from, end)?;
    if answer == Answer::Whole {
        skip(machine, from, buffer)?;
    }
    let mut at = at;
    while let Some(chunk) = machine.chunk(at.number)? {
        // What it sends of its own accord is used as well.
        if answer == Answer::Part && at.byte >= end {
            break;
        }
        let missing = rest(buffer, &chunk, at.skip(done)).len();
        let bytes = buffer.get_mut(..missing).unwrap_or_default();
        machine.read_fetched(bytes)?;
        // Of a chunk that was here in part the file's own hash decides.
        if missing == chunk.len as usize && Hash::of(bytes) != chunk.hash {
            return Err(machine.differs(at.byte));
        }
        machine.append(bytes)?;
        at = at.behind(&chunk);
    }
    Ok(at)
}

/// Where the request that begins at `at` should end: behind the last chunk that is not here, before [`GAP`] bytes that are. So
/// bytes that have rotted in a row cost one request.
fn end_of_run<M: Assembly>(machine: &mut M, at: At, buffer: &mut [u8]) -> Result<u64, M::Error> {
    let (mut ahead, mut end) = (at, at.byte);
    while let Some(chunk) = machine.chunk(ahead.number)? {
        let here = ahead.number != at.number && is_held(machine, &chunk, buffer);
        ahead = ahead.behind(&chunk);
        if !here {
            end = ahead.byte;
        } else if ahead.byte.saturating_sub(end) > GAP {
            break;
        }
    }
    Ok(end)
}

/// Reads over so many bytes.
fn skip<M: Assembly>(machine: &mut M, bytes: u64, buffer: &mut [u8]) -> Result<(), M::Error> {
    let mut left = bytes;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        machine.read_fetched(buffer.get_mut(..most).unwrap_or_default())?;
        left = left.saturating_sub(most as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::index::CHUNK_MAX;
    use std::vec;
    use std::vec::Vec;

    const CHUNK: usize = 20_000;

    /// A server, a running slot and a file in memory.
    #[derive(Default)]
    struct Box {
        /// The server's file, and the chunks of the one that the manifest promises.
        file: Vec<u8>,
        chunks: Vec<Chunk>,
        /// Chunks that the running slot has, by their number.
        held: Vec<Option<Vec<u8>>>,
        /// It knows no ranges.
        no_ranges: bool,
        /// It closes the connection after so many bytes of an answer.
        closes_after: Option<usize>,
        asked: Vec<(u64, u64)>,
        answer: Vec<u8>,
        sent: usize,
        grown: Vec<u8>,
    }

    #[derive(Debug, PartialEq)]
    enum Trouble {
        Closed,
        Differs(u64),
    }

    impl Box {
        /// Of a file in chunks of two lengths, the running slot has those whose number `has`.
        fn with(chunks: usize, has: impl Fn(usize) -> bool) -> Box {
            let lens = (0..chunks).map(|number| if number % 3 == 0 { CHUNK } else { CHUNK / 2 });
            let parts: Vec<Vec<u8>> =
                (0..chunks).zip(lens).map(|(number, len)| vec![u8::try_from(number % 251).unwrap(); len]).collect();
            let chunk = |part: &Vec<u8>| Chunk { len: u32::try_from(part.len()).unwrap(), hash: Hash::of(part) };
            Box {
                file: parts.concat(),
                chunks: parts.iter().map(chunk).collect(),
                held: parts.iter().enumerate().map(|(number, part)| has(number).then(|| part.clone())).collect(),
                ..Box::default()
            }
        }

        fn assemble(&mut self) -> Result<(), Trouble> {
            let done = self.grown.len() as u64;
            assemble(self, done, &mut vec![0; CHUNK_MAX as usize])
        }

        /// All of it is there; so many requests were made, for so many bytes.
        fn is_whole_after(&mut self, requests: usize, bytes: u64) {
            assert_eq!(self.assemble(), Ok(()));
            assert!(self.grown == self.file);
            let asked: u64 = self.asked.iter().map(|(from, to)| to.strict_sub(*from)).sum();
            assert_eq!((self.asked.len(), asked), (requests, bytes), "{:?}", self.asked);
        }
    }

    impl Assembly for Box {
        type Error = Trouble;

        fn chunk(&mut self, number: u32) -> Result<Option<Chunk>, Trouble> {
            Ok(self.chunks.get(number as usize).copied())
        }

        fn read_held(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
            let number = self.chunks.iter().position(|other| other == chunk).unwrap();
            match &self.held[number] {
                Some(bytes) => {
                    buffer.copy_from_slice(bytes);
                    true
                }
                None => false,
            }
        }

        fn ask(&mut self, from: u64, to: u64) -> Result<Answer, Trouble> {
            self.asked.push((from, to));
            self.sent = 0;
            if self.no_ranges {
                self.answer = self.file.clone();
                return Ok(Answer::Whole);
            }
            self.answer = self.file[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec();
            Ok(Answer::Part)
        }

        fn read_fetched(&mut self, buffer: &mut [u8]) -> Result<(), Trouble> {
            let end = self.sent.strict_add(buffer.len());
            if self.closes_after.is_some_and(|most| end > most) {
                return Err(Trouble::Closed);
            }
            buffer.copy_from_slice(&self.answer[self.sent..end]);
            self.sent = end;
            Ok(())
        }

        fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
            self.grown.extend_from_slice(bytes);
            Ok(())
        }

        fn differs(&mut self, at: u64) -> Trouble {
            Trouble::Differs(at)
        }
    }

    #[test]
    fn only_what_is_not_here_is_fetched() {
        Box::with(0, |_| true).is_whole_after(0, 0);
        Box::with(40, |_| true).is_whole_after(0, 0);
        let mut nothing = Box::with(40, |_| false);
        let all = nothing.file.len() as u64;
        nothing.is_whole_after(1, all);
        Box::with(40, |number| number != 0).is_whole_after(1, CHUNK as u64);
        Box::with(40, |number| number != 39).is_whole_after(1, CHUNK as u64);
        // Chunks far from each other are two requests, and what is between near ones is fetched again.
        Box::with(40, |number| number != 3 && number != 21).is_whole_after(2, 2 * CHUNK as u64);
        Box::with(40, |number| number != 3 && number != 6).is_whole_after(1, 3 * CHUNK as u64);
    }

    #[test]
    fn what_has_rotted_is_fetched() {
        let mut machine = Box::with(120, |_| true);
        for held in &mut machine.held[30..90] {
            held.as_mut().unwrap()[7] ^= 1;
        }
        let damaged: u64 = machine.chunks[30..90].iter().map(|chunk| u64::from(chunk.len)).sum();
        machine.is_whole_after(1, damaged);
    }

    #[test]
    fn a_server_without_ranges_is_asked_once() {
        let mut machine = Box { no_ranges: true, ..Box::with(40, |number| number % 7 != 5) };
        assert_eq!(machine.assemble(), Ok(()));
        assert!(machine.grown == machine.file);
        assert_eq!(machine.asked.len(), 1);
    }

    /// The connection closes at any byte of the file; the next try goes on with the chunk that is not there.
    #[test]
    fn a_closed_connection_costs_a_chunk() {
        let whole = Box::with(40, |number| number % 7 != 5).file.len();
        for closes_after in (1..whole).step_by(9001) {
            for no_ranges in [false, true] {
                let closes_after = Some(closes_after);
                let mut machine = Box { no_ranges, closes_after, ..Box::with(40, |number| number % 7 != 5) };
                if machine.assemble().is_err() {
                    assert!(machine.file.starts_with(&machine.grown));
                    machine.closes_after = None;
                    assert_eq!(machine.assemble(), Ok(()));
                }
                assert!(machine.grown == machine.file);
            }
        }
    }

    /// Some of it was downloaded before, to a byte in the middle of a chunk.
    #[test]
    fn a_download_that_broke_off_anywhere_goes_on() {
        let whole = Box::with(40, |number| number % 7 != 5).file.len();
        for done in (0..=whole).step_by(4999) {
            for no_ranges in [false, true] {
                let mut machine = Box { no_ranges, ..Box::with(40, |number| number % 7 != 5) };
                machine.grown = machine.file[..done].to_vec();
                assert_eq!(machine.assemble(), Ok(()));
                assert!(machine.grown == machine.file);
            }
        }
    }

    #[test]
    fn a_file_that_is_another_is_noticed_at_its_first_chunk() {
        let mut machine = Box::with(40, |number| number != 3 && number != 21);
        let at = machine.chunks[..21].iter().map(|chunk| u64::from(chunk.len)).sum();
        machine.file[usize::try_from(at).unwrap() + 5] ^= 1;
        assert_eq!(machine.assemble(), Err(Trouble::Differs(at)));
        assert_eq!(machine.grown.len() as u64, at);
    }
}
