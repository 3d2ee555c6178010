//! Knows a disk that is made of a recorded log, up to a moment: written from the start on, and taken back to it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, Step};
use crate::image::{Image, Part};
use crate::powercut::{Cut, Piece};
use crate::writelog::{SECTOR, WriteLog, fingerprint};

/// A disk, and a fingerprint of what each partition holds: the same content has the same one.
pub struct Replayed {
    /// The disk.
    pub image: Image,
    file: File,
    sectors: HashMap<u64, u64>,
    fingerprints: [u64; 5],
}

/// What stood where something was written.
struct Old {
    at: u64,
    bytes: Vec<u8>,
    fingerprints: Vec<u64>,
}

impl Replayed {
    /// As it was before the log begins.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn new(start: &Path, path: PathBuf) -> Result<Self> {
        let image = Image::copy(start, path)?;
        let file = OpenOptions::new().read(true).write(true).open(image.path());
        let file = file.step(|| format!("open {}", image.path().display()))?;
        Ok(Self { image, file, sectors: HashMap::new(), fingerprints: [0; 5] })
    }

    /// A fingerprint of the partition's content.
    pub fn fingerprint(&self, part: Part) -> u64 {
        self.fingerprints[part as usize]
    }

    /// A fingerprint of all of it.
    pub fn fingerprint_of_all(&self) -> [u64; 5] {
        self.fingerprints
    }

    /// Writes what the events at these places wrote, for good.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn go_on(&mut self, log: &WriteLog, places: impl Iterator<Item = usize>) -> Result {
        for write in places.filter_map(|place| log.write(place)) {
            self.put(write.at, &write.bytes, &write.fingerprints)?;
        }
        Ok(())
    }

    /// Leaves the disk as this cut leaves it.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn leave(&mut self, log: &WriteLog, cut: &Cut) -> Result {
        self.put_pieces(log, cut).map(drop)
    }

    /// Shows the disk as this cut leaves it, and takes that back.
    ///
    /// # Errors
    /// Those of `look`, and when the disk cannot be written.
    pub fn at_cut<T>(&mut self, log: &WriteLog, cut: &Cut, look: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let olds = self.put_pieces(log, cut)?;
        let seen = look(self);
        for old in olds.into_iter().rev() {
            self.put(old.at, &old.bytes, &old.fingerprints)?;
        }
        seen
    }

    fn put_pieces(&mut self, log: &WriteLog, cut: &Cut) -> Result<Vec<Old>> {
        let put = |piece: &Piece| {
            let write = log.write(piece.write).ok_or_else(|| Failure::new(format!("{cut}: not a write")))?;
            let sectors = piece.bytes.start / SECTOR..piece.bytes.end / SECTOR;
            let bytes = &write.bytes[piece.bytes.clone()];
            self.put(write.at + piece.bytes.start as u64, bytes, &write.fingerprints[sectors])
        };
        cut.pieces.iter().map(put).collect()
    }

    fn put(&mut self, at: u64, bytes: &[u8], fingerprints: &[u64]) -> Result<Old> {
        let mut old = Old { at, bytes: vec![0; bytes.len()], fingerprints: Vec::new() };
        self.file.read_exact_at(&mut old.bytes, at).step(|| "replay: read".into())?;
        self.file.write_all_at(bytes, at).step(|| "replay: write".into())?;
        // No write reaches over the end of a partition.
        let sum = &mut self.fingerprints[self.image.part_at(at).map_or(0, |part| part as usize)];
        for ((at, new), bytes) in (at..).step_by(SECTOR).zip(fingerprints).zip(old.bytes.chunks(SECTOR)) {
            let before = self.sectors.insert(at, *new).unwrap_or_else(|| fingerprint(at, bytes));
            *sum = sum.wrapping_add(*new).wrapping_sub(before);
            old.fingerprints.push(before);
        }
        Ok(old)
    }
}
