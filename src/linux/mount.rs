//! Mounting: a filesystem that only this process sees, and the data partition at its place.
//!
//! A detached mount (`fsopen`, `fsmount`; Linux 5.2) needs no mount point, is reached through its file descriptor
//! alone, and is gone when that is closed, also when the process dies.

use std::boxed::Box;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, stat};
use rustix::io::{Errno, read};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, move_mount,
};

use crate::failure::{Exit, Failure, Reason};

/// Which filesystem a partition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The EFI system partition.
    Fat,
    /// A slot or the data partition.
    Ext4,
    /// What the kernel kept of a panic.
    Pstore,
    /// The firmware's variables.
    Efivars,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Fat => "vfat",
            Kind::Ext4 => "ext4",
            Kind::Pstore => "pstore",
            Kind::Efivars => "efivarfs",
        }
    }
}

/// What may be done with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing on the disk changes, not even a journal.
    Read,
    /// Files can be written.
    Write,
}

/// Mounts `device` where no other process sees it.
///
/// # Errors
/// [`Exit::Io`] with the filesystem's own message, if it gives one.
pub fn detached(device: &str, kind: Kind, access: Access) -> Result<OwnedFd, Failure> {
    match try_detached(device, kind, access) {
        // Mounted for writing elsewhere already: the same filesystem cannot be read-only here.
        Err((Errno::BUSY, _)) if access == Access::Read => try_detached(device, kind, Access::Write),
        result => result,
    }
    .map_err(|(errno, said)| {
        let advice = match errno {
            Errno::PERM => "; run as root",
            Errno::BUSY => "; it is mounted read-only elsewhere: mount -o remount,rw there",
            Errno::NODEV => "; the kernel has no driver for this filesystem loaded",
            _ => "",
        };
        let colon = if said.is_empty() { "" } else { ": " };
        Failure::new(Exit::Io, format_args!("mount {device} ({}): {}{colon}{said}{advice}", kind.name(), Reason(errno)))
    })
}

type Said = Box<str>;

fn try_detached(device: &str, kind: Kind, access: Access) -> Result<OwnedFd, (Errno, Said)> {
    let plain = |errno| (errno, Said::default());
    let context = fsopen(kind.name(), FsOpenFlags::FSOPEN_CLOEXEC).map_err(plain)?;
    let configure = || {
        fsconfig_set_string(&context, "source", device)?;
        if access == Access::Write && kind == Kind::Fat {
            // Otherwise the first file with a broken chain of clusters makes the filesystem read-only, and it cannot be repaired.
            fsconfig_set_string(&context, "errors", "continue")?;
        }
        if access == Access::Write && kind == Kind::Ext4 {
            // Overrides the superblock: writes to a damaged filesystem may damage it more.
            fsconfig_set_string(&context, "errors", "remount-ro")?;
        }
        if access == Access::Read {
            fsconfig_set_flag(&context, "ro")?;
            if kind == Kind::Ext4 {
                // Else ext4 replays its journal, which writes.
                fsconfig_set_flag(&context, "noload")?;
            }
        }
        fsconfig_create(&context)
    };
    configure().map_err(|errno| (errno, last_words(&context)))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(plain)
}

/// The filesystem's last message about a failed mount: lines `e <text>`, one a read.
fn last_words(context: &OwnedFd) -> Said {
    let mut said = Said::default();
    let mut line = [0; 160];
    while let Ok(len @ 1..) = read(context, &mut line) {
        let text = line.get(2..len).and_then(|text| core::str::from_utf8(text).ok());
        if let Some(text) = text {
            said = text.trim_ascii_end().into();
        }
    }
    said
}

/// Whether that partition is mounted at `folder`.
pub fn is_at(device: &str, folder: &str) -> bool {
    matches!((stat(folder), stat(device)), (Ok(there), Ok(partition)) if there.st_dev == partition.st_rdev)
}

/// Mounts an ext4 partition at `folder` for all processes, and with suid, devices and programs allowed, as containers are on it. After
/// the first error in the filesystem the kernel makes it read-only.
///
/// # Errors
/// [`Exit::Io`].
pub fn at(device: &str, folder: &str) -> Result<(), Failure> {
    let context = fsopen(Kind::Ext4.name(), FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| Failure::new(Exit::Io, format_args!("mount {device} {folder}: {}", Reason(errno))))?;
    fsconfig_set_string(&context, "source", device)
        .and_then(|()| fsconfig_set_string(&context, "errors", "remount-ro"))
        .and_then(|()| fsconfig_create(&context))
        .and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME))
        .and_then(|mount| move_mount(mount, "", CWD, folder, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH))
        .map_err(|errno| {
            let said = last_words(&context);
            let colon = if said.is_empty() { "" } else { ": " };
            Failure::new(
                Exit::Io,
                format_args!(
                    "mount {device} at {folder}: {}{colon}{said}; check it with e2fsck -f {device}",
                    Reason(errno)
                ),
            )
        })
}
