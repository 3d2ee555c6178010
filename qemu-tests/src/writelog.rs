//! Knows the log that QEMU's block filter `blklogwrites` keeps of a disk: all writes, in their order, and the flushes between.
//!
//! It is dm-log-writes' format (Linux `drivers/md/dm-log-writes.c`), in sectors of 512 bytes; numbers are little-endian.
//! The first sector, the superblock:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | magic, `0x6a736677736872` |
//! | 8 | 8 | version, 1 |
//! | 16 | 8 | number of entries |
//! | 24 | 4 | size of a sector |
//!
//! Then the entries, each a sector, with what was written behind it:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | first sector |
//! | 8 | 8 | number of sectors |
//! | 16 | 8 | flags: 1 flush, 2 forced to the medium, 4 discard, 8 mark |
//! | 24 | 8 | bytes behind it; a discard has none |

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::failure::Result;
use crate::{ensure, ensure_eq};

/// Bytes that a disk writes wholly or not at all.
pub const SECTOR: usize = 512;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FORCED: u64 = 2;
const DISCARD: u64 = 4;

/// One write.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// The first byte on the disk.
    pub at: u64,
    /// What was written, whole sectors.
    pub bytes: Vec<u8>,
    /// A fingerprint of each of them: what is the same in the same place has the same one.
    pub fingerprints: Vec<u64>,
    /// Whether it was on the medium when it was answered, without a flush.
    pub forced: bool,
}

/// What a disk was told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To write. Until the next flush the power may take it back.
    Write(Write),
    /// To bring all writes before it onto the medium.
    Flush,
}

/// All that a disk was told to do.
#[derive(Clone, Debug, Default)]
pub struct WriteLog {
    /// In the order in which it was told.
    pub events: Vec<Event>,
}

impl Write {
    /// A write whose end is not waited for.
    pub fn new(at: u64, bytes: Vec<u8>) -> Self {
        let places = (at..).step_by(SECTOR);
        let fingerprints = places.zip(bytes.chunks(SECTOR)).map(|(at, sector)| fingerprint(at, sector)).collect();
        Self { at, bytes, fingerprints, forced: false }
    }
}

/// Of the sector at this byte of a disk.
pub fn fingerprint(at: u64, sector: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (at, sector).hash(&mut hasher);
    hasher.finish()
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors at {}", self.bytes.len() / SECTOR, self.at / SECTOR as u64)
    }
}

impl WriteLog {
    /// Reads a log. It ends at an entry that was counted, but not all there yet when QEMU was killed; before anything is
    /// counted it has no superblock.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(log: &[u8]) -> Result<Self> {
        if log.iter().take(SECTOR).all(|byte| *byte == 0) {
            return Ok(Self::default());
        }
        ensure!(log.len() >= SECTOR && number(log, 0) == MAGIC, "write log: no such magic");
        ensure_eq!(number(log, 8), 1, "write log: version");
        ensure_eq!(number(log, 24) as u32, SECTOR as u32, "write log: size of a sector");
        let mut events = Vec::new();
        let mut at = SECTOR;
        for _ in 0..number(log, 16) {
            let Some(entry) = log.get(at..at + SECTOR) else { break };
            let [first, sectors, flags] = [0, 8, 16].map(|field| number(entry, field));
            at += SECTOR;
            if [sectors, flags] == [0, 0] {
                break;
            }
            if flags & FLUSH != 0 {
                events.push(Event::Flush);
            }
            let len = sectors as usize * SECTOR;
            if len == 0 {
                continue;
            }
            let bytes = if flags & DISCARD != 0 {
                vec![0; len]
            } else {
                let Some(bytes) = log.get(at..at + len) else { break };
                at += len;
                bytes.to_vec()
            };
            let write = Write::new(first * SECTOR as u64, bytes);
            events.push(Event::Write(Write { forced: flags & FORCED != 0, ..write }));
        }
        Ok(Self { events })
    }

    /// Appends what came after it.
    pub fn extend(&mut self, later: Self) {
        self.events.extend(later.events);
    }

    /// The writes, with their places among the events.
    pub fn writes(&self) -> impl Iterator<Item = (usize, &Write)> {
        self.events.iter().enumerate().filter_map(|(place, event)| match event {
            Event::Write(write) => Some((place, write)),
            Event::Flush => None,
        })
    }
}

fn number(log: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&log[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(numbers: &[u64]) -> Vec<u8> {
        let mut sector: Vec<_> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        sector.resize(SECTOR, 0);
        sector
    }

    #[test]
    fn a_log_is_read_as_far_as_it_is_whole() {
        let log = [
            sector(&[MAGIC, 1, 5, SECTOR as u64]),
            sector(&[7, 1, FORCED, 512]),
            vec![9; SECTOR],
            sector(&[0, 0, FLUSH, 0]),
            sector(&[100, 2, 0, 1024]),
            vec![8; 2 * SECTOR],
            sector(&[50, 1, DISCARD, 0]),
            vec![0; SECTOR],
        ];
        let write = |first: u64, bytes| Write::new(first * 512, bytes);
        let events = [
            Event::Write(Write { forced: true, ..write(7, vec![9; 512]) }),
            Event::Flush,
            Event::Write(write(100, vec![8; 1024])),
            Event::Write(write(50, vec![0; 512])),
        ];
        let log = log.concat();
        assert_eq!(WriteLog::parse(&log).unwrap().events, events);
        assert_eq!(WriteLog::parse(&log[..6 * SECTOR]).unwrap().events, events[..2]);
        assert_eq!(WriteLog::parse(b"").unwrap().events, []);
        assert!(WriteLog::parse(&[1; SECTOR]).is_err());
    }
}
