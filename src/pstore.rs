//! What the kernel kept of a panic: pstore's files (Linux `Documentation/ABI/testing/pstore`), which stand for the firmware's
//! variables, for ACPI's ERST, or for memory that outlives a reset.

use core::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, OFlags, RawDir, unlinkat};

use crate::device::Device;
use crate::disk::open_folder;
use crate::mount::{self, Access, Kind};
use crate::storage::read_at;

/// Longest file that is looked into, in bytes: the kernel keeps 10 KiB by default.
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
            && let Ok(len) = read_at(&mut file, 0, &mut left.bytes)
            && message(left.bytes.get(..len).unwrap_or_default()).is_some()
        {
            left.len = len;
        }
    });
    Some(left)
}

impl Left {
    /// The kernel's log up to a panic; the last part of it, where it was kept in parts.
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
}
