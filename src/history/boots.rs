//! The file of the [boot log](kubesolo_core::history::boot_log), `update/boots` on the data partition, locked while it is changed.

use core::fmt::Write as _;

use embedded_io::{Seek, SeekFrom, Write as _};
use rustix::fd::AsFd;
use rustix::fs::{CWD, OFlags, ftruncate};
use rustix::io::Errno;

use crate::failure::{Exit, Failure, Reason};
use crate::history::pstore;
use crate::linux::device::{Device, IoError};
use crate::linux::folder::open_folder;
use crate::linux::lock::{self, Share};
use crate::linux::odd;
use crate::linux::replace::replace;
use crate::update::state::now;
use kubesolo_core::boot::env_mismatch::EnvMismatch;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::disk::storage::{Storage, read_at};
use kubesolo_core::history::boot_log::{Begun, LEN, Line, Milestone, Record, Traces, newest, offset, sector};
use kubesolo_core::ignore::ignore;

const FOLDER: &str = "update";
const FILE: &str = "boots";
/// The kernel's log up to the last panic.
const PANIC: &str = "panic.txt";

/// The record of the boot that runs.
pub struct Boot {
    file: Device,
    line: Line,
}

impl Boot {
    /// Logs that this boot has reached the milestone. Durable on return.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn log(&mut self, milestone: Milestone) -> Result<(), Failure> {
        self.change(|record| record.with_milestone(milestone))
    }

    /// Records why it goes on degraded. Durable on return.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn degraded(&mut self, why: &str) -> Result<(), Failure> {
        self.change(|record| record.with_degraded(why))
    }

    fn change(&mut self, change: impl FnOnce(&Record<'_>) -> Option<Line>) -> Result<(), Failure> {
        let Some(record) = Record::parse(self.line.as_bytes()) else { return Ok(()) };
        let number = record.number;
        let Some(line) = change(&record) else { return Ok(()) };
        self.line = line;
        write(&mut self.file, number, &self.line).map_err(failed)
    }
}

/// Where the log is, and who writes it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The folder in which the data partition is mounted.
    pub data: &'a str,
    /// The file with the kernel's name of this boot.
    pub boot_id: &'a str,
    /// Whether it is the log of the machine that this runs on.
    pub is_own: bool,
}

/// Logs that this boot has reached the data partition, and how the one before ended. The kernel's record of a panic is copied and
/// then cleared; after a power cut between the two, the next boot reports the panic once more. Durable on return. For `init`: no
/// other process writes the log yet.
///
/// # Errors
/// [`Exit::Io`].
pub fn begin(
    place: &Place<'_>,
    slot: Slot,
    state: SlotState,
    mismatch: Option<EnvMismatch>,
    watchdog: bool,
    log: &mut [u8; LEN],
) -> Result<Boot, Failure> {
    let (mut file, log) = open(place, OFlags::RDWR | OFlags::CREATE, log).map_err(failed)?;
    let mut id = [0; 36];
    let boot_id = boot_id(place, &mut id);
    let before = newest(log);
    let mut line = Line::new();
    if let Some(before) = before.filter(|before| before.boot_id() == boot_id) {
        ignore(line.push_str(before.line), "a record was a line before");
        return Ok(Boot { file, line });
    }
    // Of another machine's log this kernel's panic is no part.
    let panic = if place.is_own { pstore::read() } else { None };
    let traces = Traces { panic: panic.as_ref().and_then(|panic| panic.message()), watchdog };
    let begun = Begun { boot_id, slot, state, at: now(), mismatch, before, traces };
    ignore(write!(line, "{begun}"), "a longer record is cut off");
    if begun.is_first() {
        // An old record with a higher number would be read as the newest.
        ftruncate(file.fd(), 0).map_err(failed)?;
    }
    write(&mut file, begun.number(), &line).map_err(failed)?;
    if let Some(panic) = panic {
        if panic.message().is_some() {
            let folder = open_folder(CWD, place.data).and_then(|data| open_folder(data, FOLDER));
            ignore(
                folder.and_then(|folder| replace(folder.as_fd(), PANIC, panic.log())),
                "on a full disk only the message in the record is kept",
            );
        }
        panic.clear();
    }
    Ok(Boot { file, line })
}

/// Logs that this boot has reached the milestone. Durable on return. Does nothing if this boot is not in the log.
///
/// # Errors
/// [`Exit::Io`].
pub fn log(place: &Place<'_>, milestone: Milestone) -> Result<(), Failure> {
    let mut log = [0; LEN];
    let (file, log) = match open(place, OFlags::RDWR, &mut log) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    let Some(record) = this(place, log) else { return Ok(()) };
    let mut line = Line::new();
    ignore(line.push_str(record.line), "a record was a line before");
    Boot { file, line }.log(milestone)
}

/// The log as it is, for [`kubesolo_core::history::boot_log::record`]; empty where it cannot be read.
pub fn read_unlocked<'a>(place: &Place<'_>, log: &'a mut [u8; LEN]) -> &'a [u8] {
    open(place, OFlags::RDONLY, log).map_or(&[], |(_, log)| log)
}

/// The record of the boot that runs.
pub fn this<'a>(place: &Place<'_>, log: &'a [u8]) -> Option<Record<'a>> {
    let mut id = [0; 36];
    let id = boot_id(place, &mut id);
    newest(log).filter(|record| record.boot_id() == id)
}

/// Opens the log and reads it into `log`. Opened for writing, it is locked until it is closed. With [`OFlags::CREATE`] it is created,
/// and whatever else has its name is renamed.
fn open<'a>(place: &Place<'_>, flags: OFlags, log: &'a mut [u8; LEN]) -> Result<(Device, &'a [u8]), Errno> {
    let data = open_folder(CWD, place.data)?;
    let make = flags.contains(OFlags::CREATE);
    let folder = if make { odd::folder(&data, FOLDER) } else { open_folder(&data, FOLDER) }?;
    let mut open = || {
        let mut file = Device::open(&folder, FILE, flags | OFlags::NOFOLLOW)?;
        if !flags.is_empty() {
            lock::take(file.fd(), Share::Nobody)?;
        }
        let len = read_at(&mut file, 0, log).map_err(|error| error.0)?;
        Ok((file, len))
    };
    let (file, len) = match open() {
        Err(errno) if make && odd::is_no_file(errno) => odd::set_aside(folder.as_fd(), FILE).and_then(|()| open()),
        opened => opened,
    }?;
    Ok((file, log.get(..len).unwrap_or_default()))
}

/// Writes one record's sector, and syncs it.
fn write(file: &mut Device, number: u32, line: &str) -> Result<(), Errno> {
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
pub fn boot_id<'a>(place: &Place<'_>, bytes: &'a mut [u8; 36]) -> &'a str {
    let text = Device::read_small_at(place.boot_id, bytes).and_then(|bytes| core::str::from_utf8(bytes).ok());
    text.map(str::trim_ascii).filter(|text| !text.is_empty()).unwrap_or("-")
}
