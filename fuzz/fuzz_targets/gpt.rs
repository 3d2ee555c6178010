//! A disk's partition table. `CHECKSUMS SIZE`, one byte and eight, then pieces of the disk: `SECTOR LENGTH BYTES`, four
//! bytes (counted from the end if the highest bit of LENGTH is set), two, and so many; all else is zero.
//!
//! Without right checksums nothing behind them is ever looked at: the bits of CHECKSUMS have them put right.
//! What is read is bounded however large the disk says it is, and every partition lies on it.
#![no_main]

use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Seek, SeekFrom};
use kubesolo_core::disk::gpt::{self, PARTITIONS_MAX};
use kubesolo_core::disk::grow::{self, Wish};
use kubesolo_core::disk::{contents, ext4, label};
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

/// Four places where a header can be, and as many entries as are read at most.
const READ_MAX: u64 = 4 * (512 + 1024 * 512);

struct Disk {
    size: u64,
    at: u64,
    read: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    fn bytes(&self, at: u64, buffer: &mut [u8]) -> usize {
        let len = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        buffer.fill(0);
        for (start, bytes) in &self.pieces {
            let end = start.saturating_add(bytes.len() as u64);
            let (from, to) = (at.max(*start), at.saturating_add(len as u64).min(end));
            if from < to {
                let (put, take, count) = ((from - at) as usize, (from - start) as usize, (to - from) as usize);
                buffer[put..put + count].copy_from_slice(&bytes[take..take + count]);
            }
        }
        len
    }

    /// Makes both checksums of the header at `at` right.
    fn mend(&mut self, at: u64, sector: u64) {
        let mut header = [0; 512];
        self.bytes(at, &mut header);
        let le = |at: usize, len: usize| header[at..at + len].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let (entries, len, header_len) = (le(72, 8), (le(80, 4) * le(84, 4)).min(1 << 19), le(12, 4).min(512) as usize);
        let mut bytes = vec![0; len as usize];
        self.bytes(entries.saturating_mul(sector), &mut bytes);
        header[88..92].copy_from_slice(&crc(&bytes).to_le_bytes());
        header[16..20].fill(0);
        let sum = crc(&header[..header_len]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        self.pieces.push((at, header.to_vec()));
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes);
    crc.finalize()
}

impl ErrorType for Disk {
    type Error = Infallible;
}

impl Read for Disk {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let len = self.bytes(self.at, buffer);
        self.at = self.at.saturating_add(len as u64);
        self.read += len as u64;
        Ok(len)
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Infallible> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.size.saturating_add_signed(by),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

fn disk(input: &[u8]) -> Option<Disk> {
    let (checksums, rest) = input.split_first()?;
    let (size, mut rest) = rest.split_first_chunk::<8>()?;
    let mut disk = Disk { size: u64::from_le_bytes(*size), at: 0, read: 0, pieces: Vec::new() };
    while let Some((sector, after)) = rest.split_first_chunk::<4>()
        && let Some((len, after)) = after.split_first_chunk::<2>()
    {
        let (offset, len) = (u64::from(u32::from_le_bytes(*sector)) * 512, u16::from_le_bytes(*len));
        let at = if len & 0x8000 == 0 { offset } else { disk.size.saturating_sub(offset) };
        let (bytes, after) = after.split_at(after.len().min(usize::from(len & 0x7fff)));
        disk.pieces.push((at, bytes.to_vec()));
        rest = after;
    }
    let places =
        [(512, 512), (4096, 4096), (disk.size.saturating_sub(512), 512), (disk.size.saturating_sub(4096), 4096)];
    for (bit, (at, sector)) in places.into_iter().enumerate() {
        if checksums >> bit & 1 == 1 {
            disk.mend(at, sector);
        }
    }
    Some(disk)
}

fuzz_target!(|input: &[u8]| {
    let Some(mut disk) = disk(input) else { return };
    bounded(|| {
        let table = gpt::read(&mut disk);
        assert!(disk.read <= READ_MAX, "{} bytes read", disk.read);
        match table {
            Err(error) => drop(error.to_string()),
            Ok(table) => {
                assert!(table.partitions.len() <= PARTITIONS_MAX);
                for partition in &table.partitions {
                    assert!(partition.first <= partition.last);
                    let end = partition.last.after(1).and_then(|end| end.bytes(table.sector_size));
                    assert!(end.is_some_and(|end| end <= disk.size), "{partition:?} is not on the disk");
                    assert_eq!(table.named(&partition.name).map(|first| &first.name), Some(&partition.name));
                    let start = partition.first.bytes(table.sector_size).unwrap_or_default();
                    let Ok(_) = label::read(&mut disk, start);
                }
            }
        }
        for data in 1..=4 {
            if let Ok(plan) = grow::look(&mut disk, &Wish { data, guids: &[] }) {
                assert!(plan.len >= plan.len_before && plan.start.saturating_add(plan.len) <= disk.size, "{plan:?}");
            }
        }
        let Ok(_) = label::read(&mut disk, 0);
        let Ok(_) = ext4::needs_fsck(&mut disk);
        let len = Some(disk.size);
        let Ok(_) = contents::identify(&mut disk, 0, len);
        let Ok(_) = ext4::size(&mut disk, 0);
    });
});
