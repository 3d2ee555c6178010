//! Knows the checksum of an ext4 superblock, which stands 1024 bytes into the partition and is two sectors long.
//!
//! Its last four bytes are the CRC32C of all before, not inverted at the end (Linux `fs/ext4/super.c`,
//! `ext4_superblock_csum`).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::failure::{Result, Step};

const AT: u64 = 1024;
const LEN: usize = 1024;
const CHECKSUM: usize = LEN - 4;
const MAGIC: usize = 0x38;

/// Whether it is one, with a checksum that does not fit.
///
/// # Errors
/// When the partition cannot be read.
pub fn is_torn(partition: &Path) -> Result<bool> {
    let block = read(partition)?;
    Ok(block[MAGIC..].starts_with(&[0x53, 0xef]) && block[CHECKSUM..] != crc32c(&block[..CHECKSUM]).to_le_bytes())
}

/// Makes the checksum fit.
///
/// # Errors
/// When the partition cannot be read or written.
pub fn seal(partition: &Path) -> Result {
    let sum = crc32c(&read(partition)?[..CHECKSUM]).to_le_bytes();
    let file = OpenOptions::new().write(true).open(partition);
    file.and_then(|file| file.write_all_at(&sum, AT + CHECKSUM as u64)).step(|| "write superblock".into())
}

fn read(partition: &Path) -> Result<[u8; LEN]> {
    let mut block = [0; LEN];
    let file = OpenOptions::new().read(true).open(partition);
    file.and_then(|file| file.read_exact_at(&mut block, AT)).step(|| "read superblock".into())?;
    Ok(block)
}

fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_known_one() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }
}
