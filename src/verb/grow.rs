//! `grow`: on a disk that is larger than the image, enlarges the data partition to the end of the disk. It also gives the disk GUIDs
//! of its own: those of the image are the same on every box.
//!
//! In this order: table, the kernel's view of it, filesystem; each only if it is smaller than the one before. So the next run finishes
//! one that was cut off, and a run that has nothing to do writes nothing.

use core::time::Duration;

use embedded_io::{Seek, SeekFrom};
use rustix::fd::AsFd;
use rustix::fs::{CWD, FlockOperation, OFlags, flock, stat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::cli::console::{Notes, Output};
use crate::disk::partitions::{DATA, Disk, ESP, NAMES, PartitionPath};
use crate::failure::{Exit, Failure, Reason};
use crate::host::{DATA_FOLDER, Host};
use crate::linux::device::{Device, IoError};
use crate::linux::efivars;
use crate::linux::folder::open_folder;
use kubesolo_core::disk::ext4;
use kubesolo_core::disk::gpt::{self, Table};
use kubesolo_core::disk::grow::{self, DISK, Plan, Wish};
use kubesolo_core::disk::guid::Guid;
use kubesolo_core::ignore::ignore;
use kubesolo_core::update::config::Config;

/// The version of the GUIDs that image/build makes, which are the same on every box.
const FROM_IMAGE: u8 = 8;
/// New GUIDs: of the disk and its four partitions.
type Guids = heapless::Vec<(u32, Guid), 5>;
/// Longest wait for the lock on the disk.
const LOCK_DEADLINE: Duration = Duration::from_secs(2);
/// Longest wait for the kernel's first random numbers.
const RANDOM_DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Enlarges what can be enlarged; prints what it did.
///
/// # Errors
/// [`Exit::Refused`] with the reason, [`Exit::Busy`], [`Exit::Io`]; those of finding the disk.
pub fn run(host: &Host<'_>, notes: &Notes, config: &Config<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    if !config.grow {
        out.line(format_args!("grow=no: the disk stays as it is."));
        return Ok(());
    }
    let disk = host.disk()?;
    let data = disk.partition(DATA)?;
    if !disk.is_file() {
        is_mounted(&data)?;
    }
    let mut device = open_locked(&disk)?;
    let table = gpt::read(&mut device).map_err(|error| grow_error(&disk, &grow::Error::Table(error)))?;
    // A disk whose partitions have only filesystem labels was not written from our image.
    let Some(number) = table.named(DATA).map(|partition| partition.number) else { return Ok(()) };
    let are_given = disk.is_file() || table.guid.version() != FROM_IMAGE;
    let guids = if are_given { Guids::new() } else { new_guids(&table, notes, out) };
    let plan = look(&disk, &mut device, &Wish { data: number, guids: &guids })?;
    is_ours(&mut device, plan.start, &data)?;
    if !plan.is_idle {
        write(&disk, &plan)?;
        print(&plan, &disk, &data, out);
    }
    if disk.is_file() {
        out.line(format_args!("{} is a file: only its table is enlarged; the rest follows when it boots.", disk.path));
        return Ok(());
    }
    let len = enlarge_partition(host, &disk, &data, number, &plan)?;
    enlarge_filesystem(host, &data, len, out)
}

fn refused(disk: &Disk, why: core::fmt::Arguments<'_>) -> Failure {
    Failure::new(Exit::Refused, format_args!("grow: {}: {why}; the disk stays as it is", disk.path))
}

/// Succeeds if the partition is mounted as the data partition: any other one may be in use by somebody else.
fn is_mounted(data: &PartitionPath) -> Result<(), Failure> {
    if let (Ok(there), Ok(partition)) = (stat(DATA_FOLDER), stat(data.as_str()))
        && there.st_dev == partition.st_rdev
    {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format_args!("grow: {DATA_FOLDER}: {data} is not mounted there; mount {data} {DATA_FOLDER}"),
    ))
}

/// Succeeds if the partition holds ext4: other formats have metadata at the end of the partition, which would not be found any more.
fn is_ours(device: &mut Device, start: u64, data: &PartitionPath) -> Result<(), Failure> {
    match ext4::size(device, start) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::new(
            Exit::Refused,
            format_args!("grow: {data}: holds no ext4 filesystem; the disk stays as it is"),
        )),
        Err(error) => Err(Failure::new(Exit::Io, format_args!("grow: read {data}: {error}"))),
    }
}

/// Opens the disk for reading, with the lock (flock(2)) that other partitioning tools take, too.
fn open_locked(disk: &Disk) -> Result<Device, Failure> {
    let path = disk.path.as_str();
    let device = Device::open(CWD, path, OFlags::RDONLY)
        .map_err(|errno| Failure::new(Exit::Io, format_args!("grow: open {path}: {}", Reason(errno))))?;
    let locked = until_done(LOCK_DEADLINE, || flock(device.fd(), FlockOperation::NonBlockingLockExclusive));
    match locked {
        Ok(()) => Ok(device),
        Err(Errno::AGAIN) => Err(Failure::new(
            Exit::Busy,
            format_args!("grow: {path}: somebody else works on its partition table; try again when they are done"),
        )),
        Err(errno) => Err(Failure::new(Exit::Io, format_args!("grow: lock {path}: {}", Reason(errno)))),
    }
}

/// Tries again while the error is `EAGAIN`, until the deadline.
fn until_done(deadline: Duration, mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let mut waited = Duration::ZERO;
    loop {
        match attempt() {
            Err(Errno::AGAIN | Errno::INTR) if waited < deadline => {
                std::thread::sleep(PAUSE);
                waited = waited.saturating_add(PAUSE);
            }
            ended => return ended,
        }
    }
}

/// GUIDs for a disk that still has the image's.
fn new_guids(table: &Table, notes: &Notes, out: &mut Output<'_>) -> Guids {
    let mut guids = Guids::new();
    let mut random = [[0; 16]; 5];
    if until_done(RANDOM_DEADLINE, || fill(random.as_flattened_mut())).is_err() {
        notes.say(format_args!("grow: the kernel has no random numbers yet: the next boot gives the disk its GUIDs"));
        return guids;
    }
    let ours = NAMES.iter().filter_map(|name| table.named(name));
    let mut targets: heapless::Vec<(u32, bool, Guid), 5> = heapless::Vec::new();
    ignore(targets.push((DISK, false, table.guid)), "a table has no more entries than there is room for");
    targets.extend(ours.map(|partition| (partition.number, partition.name == ESP, partition.guid)).take(4));
    for ((number, is_esp, guid), bytes) in targets.iter().zip(random) {
        if *is_esp && efivars::may_name(*guid) {
            out.line(format_args!("{ESP} keeps its GUID: a boot entry of the firmware goes by it, or may do so."));
        } else if guid.version() == FROM_IMAGE {
            ignore(guids.push((*number, Guid::random(bytes))), "there is room for five");
        }
    }
    guids
}

/// Does not wait in the kernel, which would be for ever on a box without a source of randomness.
fn fill(bytes: &mut [u8]) -> Result<(), Errno> {
    let wanted = bytes.len();
    if getrandom(&mut *bytes, GetRandomFlags::NONBLOCK)? == wanted { Ok(()) } else { Err(Errno::AGAIN) }
}

fn look(disk: &Disk, device: &mut Device, wish: &Wish<'_>) -> Result<Plan, Failure> {
    grow::look(device, wish).map_err(|error| grow_error(disk, &error))
}

fn grow_error(disk: &Disk, error: &grow::Error<IoError>) -> Failure {
    match error.is_refusal() {
        true => refused(disk, format_args!("{error}")),
        false => Failure::new(Exit::Io, format_args!("grow: read table of {}: {error}", disk.path)),
    }
}

fn write(disk: &Disk, plan: &Plan) -> Result<(), Failure> {
    let path = disk.path.as_str();
    let mut device = Device::open(CWD, path, OFlags::RDWR)
        .map_err(|errno| Failure::new(Exit::Io, format_args!("grow: open {path} for writing: {}", Reason(errno))))?;
    grow::carry_out(&mut device, plan).map_err(|error| {
        Failure::new(Exit::Io, format_args!("grow: write table of {path}: {error}; the next boot goes on with it"))
    })
}

fn print(plan: &Plan, disk: &Disk, data: &PartitionPath, out: &mut Output<'_>) {
    if plan.from_backup {
        out.line(format_args!("The damaged primary table of {} is made anew from its backup.", disk.path));
    }
    if plan.guids > 0 {
        out.line(format_args!("{} new GUIDs: those of {} were the image's.", plan.guids, disk.path));
    }
    if plan.len > plan.len_before {
        let (before, now) = (plan.len_before >> 20, plan.len >> 20);
        out.line(format_args!("{DATA}: {data} was {before} MiB, is {now} MiB."));
    } else if plan.guids == 0 {
        out.line(format_args!("Both copies of the table of {} are where and as they should be again.", disk.path));
    }
}

/// Tells the kernel, which has read the table at boot, the new length. Gives the partition's length in bytes, as disk and kernel have
/// it.
fn enlarge_partition(
    host: &Host<'_>,
    disk: &Disk,
    data: &PartitionPath,
    number: u32,
    plan: &Plan,
) -> Result<u64, Failure> {
    let len = || {
        Device::open(CWD, data.as_str(), OFlags::RDONLY)
            .map_err(Into::into)
            .and_then(|mut partition| partition.seek(SeekFrom::End(0)))
            .map_err(|error| Failure::new(Exit::Io, format_args!("grow: open {data}: {error}")))
    };
    if len()? >= plan.len {
        return Ok(plan.len);
    }
    let failed = |errno| {
        Failure::new(
            Exit::Io,
            format_args!(
                "grow: tell the kernel of the larger {data}: {}; the next boot goes on with it",
                Reason(errno)
            ),
        )
    };
    let device = Device::open(CWD, disk.path.as_str(), OFlags::RDONLY).map_err(failed)?;
    (host.process.resize_partition)(device.fd().as_fd(), number, plan.start, plan.len).map_err(failed)?;
    Ok(len()?.min(plan.len))
}

/// Lets ext4 enlarge the mounted filesystem to its partition.
fn enlarge_filesystem(host: &Host<'_>, data: &PartitionPath, len: u64, out: &mut Output<'_>) -> Result<(), Failure> {
    let size = || {
        let read = Device::open(CWD, data.as_str(), OFlags::RDONLY)
            .map_err(Into::into)
            .and_then(|mut partition| ext4::size(&mut partition, 0));
        match read {
            Ok(Some(size)) => Ok(size),
            Ok(None) => Err(Failure::new(Exit::Io, format_args!("grow: {data}: its superblock is damaged"))),
            Err(error) => Err(Failure::new(Exit::Io, format_args!("grow: read {data}: {error}"))),
        }
    };
    let before = size()?;
    let wanted = before.on(len);
    if wanted <= before.blocks {
        return Ok(());
    }
    let folder = open_folder(CWD, DATA_FOLDER)
        .map_err(|errno| Failure::new(Exit::Io, format_args!("grow: open {DATA_FOLDER}: {}", Reason(errno))))?;
    (host.process.resize_filesystem)(folder.as_fd(), wanted).map_err(|errno| {
        let advice = match errno {
            Errno::PERM => "; ext4 enlarges none with errors on record: check it with e2fsck",
            Errno::ROFS => "; it is mounted read-only, dmesg may say why",
            _ => "; the next boot tries again",
        };
        Failure::new(
            if errno == Errno::BUSY { Exit::Busy } else { Exit::Io },
            format_args!("grow: enlarge the filesystem of {data} at {DATA_FOLDER}: {}{advice}", Reason(errno)),
        )
    })?;
    let mib = |size: &ext4::Size| size.blocks.saturating_mul(size.block) >> 20;
    let (before, now) = (mib(&before), mib(&size()?));
    out.line(format_args!("{DATA}: its filesystem had {before} MiB, has {now} MiB."));
    Ok(())
}
