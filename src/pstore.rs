//! What the kernel kept of a panic: pstore's files (Linux `Documentation/ABI/testing/pstore`), which stand for the firmware's
//! variables, for ACPI's ERST, or for memory that outlives a reset.

use core::mem::MaybeUninit;

use embedded_io::{Seek, SeekFrom};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, OFlags, RawDir, unlinkat};

use crate::device::{Device, IoError};
use crate::disk::open_folder;
use crate::mount::{self, Access, Kind};
use crate::storage::read_at;

/// How much of a file is looked into, in bytes: its end. The kernel keeps 10 KiB by default, but fills what a record of the
/// firmware holds once compressed, whatever comes before the panic.
const LEN_MAX: usize = 16 * 1024;
/// How the file of a panic begins. That of an oops begins otherwise, and the box lived on.
const PANIC: &[u8] = b"Panic#";
/// How the kernel's last message begins.
const MESSAGE: &[u8] = b"Kernel panic";

/// What was kept.
pub struct Left {
    root: OwnedFd,
    bytes: [u8; LEN_MAX],
    len: usize,
}

/// Looks for what the kernel kept; `None` if it keeps nothing on this box.
pub fn read() -> Option<Left> {
    let root = mount::detached("pstore", Kind::Pstore, Access::Write).ok()?;
    let mut left = Left { root, bytes: [0; LEN_MAX], len: 0 };
    each(&left.root, &mut |folder, name| {
        if left.len == 0
            && let Ok(mut file) = Device::open(folder, name, OFlags::RDONLY)
            && let Ok(len) = read_end(&mut file, &mut left.bytes)
            && message(left.bytes.get(..len).unwrap_or_default()).is_some()
        {
            left.len = len;
        }
    });
    Some(left)
}

impl Left {
    /// The kernel's log up to a panic; the last part of it, where it was kept in parts, and of that the last 16 KiB.
    pub fn log(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What it panicked of.
    pub fn panic(&self) -> Option<&str> {
        message(self.log())
    }

    /// Forgets it, so that the next boot does not take it for its own. What cannot be removed is found again.
    pub fn clear(&self) {
        each(&self.root, &mut |folder, name| unlinkat(folder, name, AtFlags::empty()).unwrap_or_default());
    }
}

/// Calls for each file that holds the kernel's log.
fn each(root: &OwnedFd, file: &mut dyn FnMut(&OwnedFd, &str)) {
    let Ok(folder) = open_folder(root, ".") else { return };
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        if let Ok(name) = entry.file_name().to_str()
            && name.starts_with("dmesg-")
        {
            file(&folder, name);
        }
    }
}

/// Reads the word that a file begins with, and behind that its end: the last message is there. Gives the bytes read.
fn read_end(file: &mut Device, bytes: &mut [u8; LEN_MAX]) -> Result<usize, IoError> {
    let (word, rest) = bytes.split_at_mut(PANIC.len());
    let from = file.seek(SeekFrom::End(0))?.saturating_sub(rest.len() as u64).max(PANIC.len() as u64);
    Ok(read_at(file, 0, word)?.saturating_add(read_at(file, from, rest)?))
}

fn message(log: &[u8]) -> Option<&str> {
    let at = log.windows(MESSAGE.len()).position(|bytes| bytes == MESSAGE).filter(|_| log.starts_with(PANIC))?;
    let line = log.get(at..)?.split(|byte| *byte == b'\n').next()?;
    core::str::from_utf8(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_from_an_oops() {
        let log = b"Panic#1 Part1\n<4>[    2.1] a\n<0>[    2.2] Kernel panic - not syncing: sysrq triggered crash\n<4>[    2.3] b\n";
        assert_eq!(message(log), Some("Kernel panic - not syncing: sysrq triggered crash"));
        for other in [&b"Oops#1 Part1\n<0>[ 2.2] Kernel panic"[..], b"Panic#1 Part2\n<4>[ 1.1] a\n", b"", b"Panic#\xff"]
        {
            assert_eq!(message(other), None);
        }
    }

    #[test]
    fn the_last_message_is_found_however_long_the_log_before_it() {
        use std::string::ToString;

        let path = std::env::temp_dir().join(std::format!("kubesolo-pstore-{}", std::process::id()));
        let end = "<0>[    3.4] Kernel panic - not syncing: sysrq triggered crash\n<4>[    3.5]  sysrq_handle_crash\n";
        let mut bytes = [0; LEN_MAX];
        // None, one that just fits, one byte more, and what a compressed record of 8 KiB can hold.
        let fits = LEN_MAX - "Panic#1 Part1\n".len() - end.len();
        for before in [0, fits, fits + 1, 20 * 1024] {
            std::fs::write(&path, "Panic#1 Part1\n".to_string() + &"a".repeat(before) + end).unwrap();
            let mut file = Device::open(rustix::fs::CWD, &path, OFlags::RDONLY).unwrap();
            let len = read_end(&mut file, &mut bytes).unwrap();
            assert_eq!(message(&bytes[..len]), Some("Kernel panic - not syncing: sysrq triggered crash"), "{before}");
            assert!(bytes[..len].ends_with(end.as_bytes()), "{before}");
        }
        for short in ["", "Pan", "Panic#"] {
            std::fs::write(&path, short).unwrap();
            let mut file = Device::open(rustix::fs::CWD, &path, OFlags::RDONLY).unwrap();
            assert_eq!(read_end(&mut file, &mut bytes), Ok(short.len()));
        }
        std::fs::remove_file(&path).unwrap();
    }
}
