//! The numbers of the entries in an archive in newc format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! cpio counts the entries through, so that a file more changes the head of every entry behind it. Here an entry's number is
//! made of its name: it stays while the file is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Length of an entry's head, and of each of its fields, in bytes: digits of hexadecimal behind the magic.
const HEAD: usize = 110;
const MAGIC: &[u8] = b"070701";
const INODE: usize = 6;
const FILE_SIZE: usize = 54;
const NAME_SIZE: usize = 94;
/// The entry that ends the archive; what is behind it fills the last block.
const TRAILER: &[u8] = b"TRAILER!!!\0";

/// Gives each entry its number. Entries that are one file under several names keep one number.
///
/// # Errors
/// If it is no such archive, with the place of the entry; two names that make the same number, of which one has to be
/// another.
pub fn renumber(archive: &mut [u8]) -> Result<(), String> {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut taken: HashMap<u32, u32> = HashMap::new();
    let mut at = 0;
    loop {
        let (inode, name, next) = entry(archive, at).ok_or_else(|| format!("no entry of newc at byte {at}"))?;
        if name == TRAILER {
            return Ok(());
        }
        let number = match numbers.entry(inode) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(crc32fast::hash(name)),
        };
        if *taken.entry(number).or_insert(inode) != inode {
            let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
            return Err(format!("{name}: has the number of another entry; name it otherwise"));
        }
        let field = archive.get_mut(at + INODE..at + INODE + 8).ok_or("an entry is cut")?;
        field.copy_from_slice(format!("{number:08X}").as_bytes());
        at = next;
    }
}

/// The number of the entry at `at`, its name, and where the next one begins.
fn entry(archive: &[u8], at: usize) -> Option<(u32, &[u8], usize)> {
    let head = archive.get(at..)?.get(..HEAD)?;
    let field = |at: usize| u32::from_str_radix(std::str::from_utf8(head.get(at..at + 8)?).ok()?, 16).ok();
    let (name_size, file_size) = (field(NAME_SIZE)? as usize, field(FILE_SIZE)? as usize);
    let name = archive.get(at + HEAD..at + HEAD + name_size)?;
    let content = (at + HEAD + name_size).next_multiple_of(4);
    head.starts_with(MAGIC).then_some((field(INODE)?, name, (content + file_size).next_multiple_of(4)))
}
