//! A file in memory that is written in place, stricter than hardware: a sector of 512 bytes is written whole or not at
//! all, and of what was not synced any part, in any order, may have reached it when the power goes.

use std::cell::Cell;
use std::rc::Rc;

use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use kubesolo_core::disk::storage::Storage;

use super::faults::{Fault, Faults};

pub const SECTOR: usize = 512;

/// How many steps there are until the power goes, and how many were made: one for each sector written, each sync, and each
/// change of a file's length or name. A clone counts with the original.
#[derive(Clone, Debug)]
pub struct Fuse(Rc<Burnt>);

#[derive(Debug)]
struct Burnt {
    most: usize,
    steps: Cell<usize>,
    syncs: Cell<usize>,
    blown: Cell<bool>,
}

impl Fuse {
    pub fn blows_after(most: usize) -> Fuse {
        Fuse(Rc::new(Burnt { most, steps: Cell::new(0), syncs: Cell::new(0), blown: Cell::new(false) }))
    }

    pub fn endless() -> Fuse {
        Fuse::blows_after(usize::MAX)
    }

    /// One more step; from the first that fails on, none is made any more.
    pub fn step(&self) -> Result<(), Fault> {
        let steps = self.0.steps.get();
        if steps == self.0.most {
            self.0.blown.set(true);
            return Err(Fault::Cut);
        }
        self.0.steps.set(steps + 1);
        Ok(())
    }

    /// One more step, which is a sync.
    pub fn sync(&self) -> Result<(), Fault> {
        self.step()?;
        self.0.syncs.set(self.0.syncs.get() + 1);
        Ok(())
    }

    pub fn steps(&self) -> usize {
        self.0.steps.get()
    }

    pub fn syncs(&self) -> usize {
        self.0.syncs.get()
    }

    pub fn is_blown(&self) -> bool {
        self.0.blown.get()
    }
}

/// What waits to be made durable.
#[derive(Clone, Debug)]
pub enum Pending {
    Sector(usize, Vec<u8>),
    Len(usize),
}

/// The file, with what is on the medium and what is in the cache above it.
#[derive(Clone, Debug)]
pub struct Medium {
    pub cached: Vec<u8>,
    pub durable: Vec<u8>,
    pub pending: Vec<Pending>,
    pub sectors_written: usize,
    pub syncs: usize,
    pub faults: Faults,
    position: usize,
    fuse: Fuse,
    cache_dropped: bool,
}

impl Medium {
    pub fn holding(content: &[u8]) -> Medium {
        Medium {
            cached: content.to_vec(),
            durable: content.to_vec(),
            pending: Vec::new(),
            sectors_written: 0,
            syncs: 0,
            faults: Faults::default(),
            position: 0,
            fuse: Fuse::endless(),
            cache_dropped: true,
        }
    }

    /// The same file on that fuse.
    pub fn on(self, fuse: &Fuse) -> Medium {
        Medium { fuse: fuse.clone(), ..self }
    }

    /// The same file on a medium that refuses this.
    pub fn refusing(self, faults: Faults) -> Medium {
        Medium { faults, ..self }
    }

    /// The power goes on: what is cached is what was written, if it was not lost.
    pub fn forget_cache(&mut self) {
        self.cached = self.with(|_| true);
    }

    pub fn truncate(&mut self, len: usize) -> Result<(), Fault> {
        self.fuse.step()?;
        self.faults.write()?;
        self.cached.resize(len, 0);
        self.pending.push(Pending::Len(len));
        Ok(())
    }

    /// Every content that the medium may have after a cut now: each part of what is pending may have arrived.
    pub fn after_cut(&self) -> Vec<Vec<u8>> {
        assert!(self.pending.len() < 12, "too much is pending to try it all: {}", self.pending.len());
        (0..1_u32 << self.pending.len()).map(|arrived| self.with(|number| arrived >> number & 1 == 1)).collect()
    }

    /// What the medium holds if that part of what is pending has arrived.
    pub fn with(&self, arrived: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (_, pending) in self.pending.iter().enumerate().filter(|(number, _)| arrived(*number)) {
            apply(&mut content, pending);
        }
        content
    }
}

fn apply(content: &mut Vec<u8>, pending: &Pending) {
    match pending {
        Pending::Sector(sector, bytes) => {
            let (start, end) = (sector * SECTOR, sector * SECTOR + bytes.len());
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(bytes);
        }
        Pending::Len(len) => content.resize(*len, 0),
    }
}

impl ErrorType for Medium {
    type Error = Fault;
}

impl Read for Medium {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.faults.read()?;
        let from = if self.cache_dropped { &self.durable } else { &self.cached };
        let rest = from.get(self.position..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Ok(count)
    }
}

impl Write for Medium {
    /// One step for each sector that it touches: a cut may tear it there.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        self.cache_dropped = false;
        let mut left = bytes;
        while !left.is_empty() {
            self.fuse.step()?;
            self.faults.write()?;
            let sector = self.position / SECTOR;
            let count = left.len().min((sector + 1) * SECTOR - self.position);
            let end = self.position + count;
            if self.cached.len() < end {
                self.cached.resize(end, 0);
            }
            self.cached[self.position..end].copy_from_slice(&left[..count]);
            let whole = self.cached.len().min((sector + 1) * SECTOR);
            self.pending.push(Pending::Sector(sector, self.cached[sector * SECTOR..whole].to_vec()));
            self.sectors_written += 1;
            self.position = end;
            left = &left[count..];
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Seek for Medium {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Fault> {
        self.position = match to {
            SeekFrom::Start(at) => at as usize,
            SeekFrom::End(by) => self.cached.len().checked_add_signed(by as isize).ok_or(Fault::Io)?,
            SeekFrom::Current(by) => self.position.checked_add_signed(by as isize).ok_or(Fault::Io)?,
        };
        Ok(self.position as u64)
    }
}

impl Storage for Medium {
    fn sync(&mut self) -> Result<(), Fault> {
        self.fuse.sync()?;
        let synced = self.faults.sync();
        self.durable = match synced {
            // What an earlier sync lost is not written by this one.
            Ok(()) => self.with(|_| true),
            Err(_) => self.with(|number| self.faults.has_arrived(number)),
        };
        self.pending.clear();
        self.syncs += 1;
        synced
    }

    fn drop_cache(&mut self) -> Result<(), Fault> {
        self.cache_dropped = self.pending.is_empty();
        Ok(())
    }
}
