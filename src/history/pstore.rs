//! The kernel's record of a panic: pstore's files (Linux `Documentation/ABI/testing/pstore`), stored in variables of the firmware, in
//! ACPI's ERST, or in memory that survives a reset.
//!
//! A file is `dmesg-BACKEND-NUMBER`: `dmesg-efi_pstore-…` (before Linux 5.18 `dmesg-efi-…`), `dmesg-erst-…`,
//! `dmesg-ramoops-…`; one that could not be unpacked ends in `.enc.z` and is no text. Its first line is `Panic#1 Part2`.
//! A variable of the firmware holds about a kilobyte, packed, so that a panic takes several: part 1 is the end of the log,
//! part 2 what comes before it. The message may stand in any of them, and a line is never parted.

use core::mem::MaybeUninit;

use embedded_io::{Seek, SeekFrom};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, OFlags, RawDir, fstat, unlinkat};

use crate::linux::device::{Device, IoError};
use crate::linux::folder::open_folder;
use crate::linux::mount::{self, Access, Kind};
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::decimal::decimal;

/// Most bytes of a log that are copied: its end. The kernel stores 10 KiB by default; compressed, it fills the firmware's record
/// with more.
const LEN_MAX: usize = 16 * 1024;
/// Most files of one panic that are taken together.
const PARTS_MAX: usize = 24;
/// The parts of a panic are written within this time, in seconds; the firmware's flash is slow.
const WRITTEN_WITHIN: u64 = 30;
/// How the first line of a panic's file begins. An oops, after which the box runs on, has another first line.
const PANIC: &str = "Panic#";
/// How the kernel's last message begins.
const MESSAGE: &[u8] = b"Kernel panic";

/// What the kernel stored of its last panic.
pub struct PanicRecord {
    root: OwnedFd,
    found: bool,
    bytes: [u8; LEN_MAX],
    len: usize,
}

/// A file that holds a part of a panic's log.
struct Part {
    name: heapless::String<64>,
    number: u32,
    /// When it was written, in seconds since 1970.
    written: i64,
}

/// Reads the kernel's record; `None` if this box has no pstore.
pub fn read() -> Option<PanicRecord> {
    Some(read_in(mount::detached("pstore", Kind::Pstore, Access::Write).ok()?))
}

fn read_in(root: OwnedFd) -> PanicRecord {
    let mut parts: heapless::Vec<Part, PARTS_MAX> = heapless::Vec::new();
    let mut found = false;
    each(&root, &mut |folder, name| {
        found = true;
        if let Some(part) = part(folder, name) {
            ignore(parts.push(part), "parts beyond the room are those of an older panic, or the beginning of the log");
        }
    });
    let newest = parts.iter().map(|part| part.written).max().unwrap_or_default();
    parts.retain(|part| part.written.abs_diff(newest) <= WRITTEN_WITHIN);
    let mut record = PanicRecord { root, found, bytes: [0; LEN_MAX], len: 0 };
    // From the end of the log backwards, as far as there is room. Of two parts with the same number the newer is this panic's.
    parts.sort_unstable_by_key(|part| (part.number, core::cmp::Reverse(part.written)));
    let mut before = None;
    for part in &parts {
        if before.replace(part.number) != Some(part.number) {
            record.put_before(&part.name);
        }
    }
    record
}

impl PanicRecord {
    /// The kernel's log up to the last panic, its last 16 KiB; the kernel's line about each part stands before it.
    pub fn log(&self) -> &[u8] {
        self.bytes.get(LEN_MAX.saturating_sub(self.len)..).unwrap_or_default()
    }

    /// The message of the panic.
    pub fn message(&self) -> Option<&str> {
        (self.len > 0).then(|| message_in(self.log()).unwrap_or("Kernel panic, and its message was not kept"))
    }

    /// Removes this and every other record, so that the next boot does not report it again and the next panic has room. What cannot be
    /// removed is read again at the next boot.
    pub fn clear(&self) {
        if self.found {
            each(&self.root, &mut |folder, name| {
                ignore(
                    unlinkat(folder, name, AtFlags::empty()),
                    "what cannot be removed is read again at the next boot",
                );
            });
        }
    }

    /// Puts the end of that file before what was read so far.
    fn put_before(&mut self, name: &str) {
        let room = LEN_MAX.saturating_sub(self.len);
        let read = open_folder(&self.root, ".").and_then(|folder| Device::open(folder, name, OFlags::RDONLY));
        let (Ok(mut file), Some(to)) = (read, self.bytes.get_mut(..room)) else { return };
        let Ok(len) = read_end(&mut file, to) else { return };
        to.copy_within(..len, room.saturating_sub(len));
        self.len = self.len.saturating_add(len);
    }
}

/// The part of a panic that the file holds, by its first line.
fn part(folder: &OwnedFd, name: &str) -> Option<Part> {
    let mut file = Device::open(folder, name, OFlags::RDONLY).ok()?;
    let mut line = [0; 64];
    let len = read_at(&mut file, 0, &mut line).ok()?;
    let number = part_number(line.get(..len)?)?;
    let written = fstat(file.fd()).ok()?.st_mtime;
    Some(Part { name: heapless::String::try_from(name).ok()?, number, written })
}

/// Which part of a panic a file holds, by how it begins: `Panic#1 Part2`.
fn part_number(bytes: &[u8]) -> Option<u32> {
    let line = core::str::from_utf8(bytes.split(|byte| *byte == b'\n').next()?).ok()?;
    decimal(line.strip_prefix(PANIC)?.split_once(" Part")?.1)
}

/// Calls for each file that holds a kernel's log.
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

/// Reads the end of a file; gives the bytes read.
fn read_end(file: &mut Device, bytes: &mut [u8]) -> Result<usize, IoError> {
    let from = file.seek(SeekFrom::End(0))?.saturating_sub(bytes.len() as u64);
    read_at(file, from, bytes)
}

/// The last message of a panic in the log.
fn message_in(log: &[u8]) -> Option<&str> {
    let at = log.windows(MESSAGE.len()).rposition(|bytes| bytes == MESSAGE)?;
    let line = log.get(at..)?.split(|byte| *byte == b'\n').next()?;
    core::str::from_utf8(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::PathBuf;
    use std::string::{String, ToString};
    use std::time::{Duration, UNIX_EPOCH};
    use std::vec::Vec;

    /// A folder that stands for pstore's mount: names, contents, times.
    struct Kept(PathBuf);

    impl Kept {
        fn holding(files: &[(&str, &str, u64)]) -> Kept {
            static NEXT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
            let number = NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            let folder = std::env::temp_dir().join(std::format!("kubesolo-pstore-{}-{number}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            for (name, content, written) in files {
                fs::write(folder.join(name), content).unwrap();
                let file = File::options().write(true).open(folder.join(name)).unwrap();
                file.set_modified(UNIX_EPOCH.checked_add(Duration::from_secs(*written)).unwrap()).unwrap();
            }
            Kept(folder)
        }

        fn record(&self) -> PanicRecord {
            read_in(open_folder(rustix::fs::CWD, self.0.to_str().unwrap()).unwrap())
        }

        fn names(&self) -> Vec<String> {
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const PANIC_LINE: &str = "<0>[    3.4] Kernel panic - not syncing: sysrq triggered crash\n";
    const PANIC_MESSAGE: &str = "Kernel panic - not syncing: sysrq triggered crash";

    #[test]
    fn a_panic_is_told_from_an_oops() {
        for (content, want) in [
            (&*std::format!("Panic#1 Part1\n<4>[    2.1] a\n{PANIC_LINE}<4>[    2.3] b\n"), Some(PANIC_MESSAGE)),
            ("Panic#1 Part1\n<4>[ 1.1] a\n", Some("Kernel panic, and its message was not kept")),
            (&*std::format!("Oops#1 Part1\n{PANIC_LINE}"), None),
            ("Panic#", None),
            ("Panic#1 Part\n", None),
            ("", None),
        ] {
            let kept = Kept::holding(&[("dmesg-erst-7000000000000000001", content, 100)]);
            assert_eq!(kept.record().message(), want, "{content}");
        }
    }

    /// The firmware's variables: `(seconds × 100 + part) × 1000 + count`, part 1 with the end of the log.
    #[test]
    fn the_parts_of_a_panic_are_put_together() {
        let part = |number: u32, text: &str| std::format!("Panic#1 Part{number}\n{text}");
        let (first, second, third) =
            (part(3, "<6>[ 1.0] boot\n"), part(2, PANIC_LINE), part(1, "<4>[ 3.5]  panic+0x1\n"));
        for backend in ["efi_pstore", "efi"] {
            let name =
                |written: u64, number: u64| std::format!("dmesg-{backend}-{}", (written * 100 + number) * 1000 + 1);
            let (oops, old) =
                (std::format!("Oops#1 Part1\n{PANIC_LINE}"), part(1, "<0>[ 9.9] Kernel panic - of long ago\n"));
            let old_second = part(4, "<6>[ 9.8] long ago\n");
            let now = 1_795_447_800;
            let kept = Kept::holding(&[
                (&name(now, 2), &second, now),
                (&name(now + 2, 1), &third, now + 2),
                (&name(now, 3), &first, now),
                (&name(now + 9, 1), &oops, now + 9),
                (&name(now - 500, 1), &old, now - 500),
                (&name(now - 500, 4), &old_second, now - 500),
                (&(name(now, 7) + ".enc.z"), "\u{1}\u{2}packed", now),
                ("console-efi-1", "Panic#1 Part1\nnot this\n", now + 20),
            ]);
            let record = kept.record();
            assert_eq!(record.message(), Some(PANIC_MESSAGE));
            assert_eq!(record.log(), [first.as_str(), &second, &third].concat().as_bytes());
            record.clear();
            assert_eq!(kept.names(), ["console-efi-1"]);
        }
    }

    #[test]
    fn what_is_no_panic_is_cleared_too_or_the_firmware_has_no_room_for_the_next() {
        let kept =
            Kept::holding(&[("dmesg-efi_pstore-1", "Oops#1 Part1\n", 1), ("dmesg-efi_pstore-2.enc.z", "\u{1}", 1)]);
        let record = kept.record();
        assert_eq!((record.message(), record.log()), (None, &b""[..]));
        record.clear();
        assert_eq!(kept.names(), [""; 0]);
    }

    #[test]
    fn the_last_message_is_found_however_long_the_log_before_it() {
        let end = PANIC_LINE.to_string() + "<4>[    3.5]  sysrq_handle_crash\n";
        let fits = LEN_MAX - "Panic#1 Part1\n".len() - end.len();
        for before in [0, fits, fits + 1, 20 * 1024] {
            let one = "Panic#1 Part1\n".to_string() + &"a".repeat(before) + &end;
            let two = "Panic#1 Part2\n".to_string() + &"b".repeat(before);
            let kept = Kept::holding(&[("dmesg-erst-1", &one, 1), ("dmesg-erst-2", &two, 1)]);
            let record = kept.record();
            assert_eq!(record.message(), Some(PANIC_MESSAGE), "{before}");
            assert!(record.log().ends_with(end.as_bytes()) && record.log().len() <= LEN_MAX, "{before}");
        }
    }
}
