//! The file of the [`bootlog`](crate::bootlog), `update/boots` on the data partition, under a lock while it is changed.

use core::fmt::Write as _;

use embedded_io::{Seek, SeekFrom, Write as _};
use rustix::fd::AsFd;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, mkdirat};
use rustix::io::Errno;

use crate::bootlog::{Begun, LEN, Line, Mark, Record, Traces, newest, offset, sector};
use crate::device::{Device, IoError};
use crate::disk::open_folder;
use crate::failure::{Exit, Failure, Reason};
use crate::host::Host;
use crate::pstore;
use crate::replace::replace;
use crate::slot::{Slot, SlotState};
use crate::split::Split;
use crate::state::now;
use crate::storage::{Storage, read_at};

const FOLDER: &str = "update";
const FILE: &str = "boots";
/// The kernel's log up to the last panic.
const PANIC: &str = "panic.txt";

/// Records that this boot has reached the data partition, and how the one before ended. The kernel's own record of a panic is
/// taken over and then cleared. Durable on return.
///
/// # Errors
/// [`Exit::Io`].
pub fn begin(
    host: &Host<'_>,
    slot: Slot,
    state: SlotState,
    split: Option<Split>,
    watchdog: bool,
) -> Result<(), Failure> {
    let mut bytes = [0; LEN];
    let mut file = open(host, OFlags::RDWR | OFlags::CREATE, &mut bytes).map_err(failed)?;
    let mut id = [0; 36];
    let boot_id = boot_id(host, &mut id);
    let before = newest(&bytes);
    if before.is_some_and(|before| before.boot_id() == boot_id) {
        return Ok(());
    }
    // Flags that stand for a machine of files mean another machine's kernel as well.
    let left = if host.flags().data.is_none() { pstore::read() } else { None };
    let traces = Traces { panic: left.as_ref().and_then(|left| left.panic()), watchdog };
    let mut line = Line::new();
    write!(line, "{}", Begun { boot_id, slot, state, at: now(), split, before, traces }).unwrap_or_default();
    change(&mut file, &line).map_err(failed)?;
    if let Some(left) = left {
        if !left.log().is_empty() {
            let folder = open_folder(CWD, host.data_folder()).and_then(|data| open_folder(data, FOLDER));
            folder.and_then(|folder| replace(folder.as_fd(), PANIC, left.log())).map_err(failed)?;
        }
        left.clear();
    }
    Ok(())
}

/// Records that this boot got there. Durable on return. One that is not in the log stays out of it.
///
/// # Errors
/// [`Exit::Io`].
pub fn mark(host: &Host<'_>, mark: Mark) -> Result<(), Failure> {
    let mut bytes = [0; LEN];
    let mut file = match open(host, OFlags::RDWR, &mut bytes) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    match this(host, &bytes).and_then(|record| record.marked(mark)) {
        Some(line) => change(&mut file, &line).map_err(failed),
        None => Ok(()),
    }
}

/// The log as it is, for [`bootlog::record`]; empty where it cannot be read.
pub fn peek(host: &Host<'_>) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    open(host, OFlags::RDONLY, &mut bytes).map_or([0; LEN], |_| bytes)
}

/// The record of the boot that runs.
pub fn this<'a>(host: &Host<'_>, log: &'a [u8]) -> Option<Record<'a>> {
    let mut id = [0; 36];
    let id = boot_id(host, &mut id);
    newest(log).filter(|record| record.boot_id() == id)
}

fn open(host: &Host<'_>, flags: OFlags, bytes: &mut [u8; LEN]) -> Result<Device, Errno> {
    let data = open_folder(CWD, host.data_folder())?;
    if flags.contains(OFlags::CREATE) {
        match mkdirat(&data, FOLDER, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let mut file = Device::open(open_folder(&data, FOLDER)?, FILE, flags | OFlags::NOFOLLOW)?;
    if !flags.is_empty() {
        // Held for the time of one write: nobody waits behind it longer than the disk makes them.
        flock(file.fd(), FlockOperation::LockExclusive)?;
    }
    read_at(&mut file, 0, bytes).map_err(|error| error.0)?;
    Ok(file)
}

/// Writes one record's sector, and syncs it.
fn change(file: &mut Device, line: &str) -> Result<(), Errno> {
    let number = Record::parse(line.as_bytes()).map_or(0, |record| record.number);
    let mut write = || -> Result<(), IoError> {
        file.seek(SeekFrom::Start(offset(number) as u64))?;
        file.write_all(&sector(line))?;
        file.sync()
    };
    write().map_err(|error| error.0)
}

fn failed(errno: Errno) -> Failure {
    Failure::new(Exit::Io, format_args!("write {FOLDER}/{FILE} on the data partition: {}", Reason(errno)))
}

/// The kernel's name of this boot; `-` where it cannot be read.
fn boot_id<'a>(host: &Host<'_>, bytes: &'a mut [u8; 36]) -> &'a str {
    let path = host.flags().boot_id.unwrap_or("/proc/sys/kernel/random/boot_id");
    let read = Device::open(CWD, path, OFlags::RDONLY).ok().and_then(|mut file| read_at(&mut file, 0, bytes).ok());
    let text = bytes.get(..read.unwrap_or_default()).and_then(|bytes| core::str::from_utf8(bytes).ok());
    text.map(str::trim_ascii).filter(|text| !text.is_empty()).unwrap_or("-")
}
