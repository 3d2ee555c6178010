//! The disk or stick that carries a NoCloud seed: found by its filesystem's label, mounted read-only where no other
//! process sees it.
//!
//! | filesystem | offset | size | meaning | source |
//! |---|---|---|---|---|
//! | ISO 9660 | 32768 | 6 | `01` `CD001` | ECMA-119 §8.4 |
//! | ISO 9660 | 32808 | 32 | volume identifier, padded with spaces | ″ |
//!
//! A FAT label is read by [`kubesolo_core::disk::label`].

use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_boot::linux::device::Device;
use kubesolo_core::disk::label;
use kubesolo_core::disk::storage::read_at;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

/// The label, in either case.
const LABEL: &str = "cidata";

/// A filesystem with that label.
#[derive(Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its device node.
    pub device: String,
    filesystem: &'static str,
}

/// Finds the volume among the disks and partitions that `sys` (`/sys/class/block`) lists, as nodes under `dev`.
///
/// # Errors
/// [`Exit::AmbiguousDisk`] naming two of them.
pub fn find(sys: &str, dev: &str) -> Result<Option<Volume>, Failure> {
    let mut names: Vec<String> = std::fs::read_dir(sys)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort_unstable();
    let mut found: Option<Volume> = None;
    for name in names {
        let device = format!("{dev}/{name}");
        let Some(filesystem) = seed_filesystem(&device) else { continue };
        if let Some(before) = found {
            return Err(Failure::new(
                Exit::AmbiguousDisk,
                format_args!("{} and {device} both carry the label {LABEL}; unplug one", before.device),
            ));
        }
        found = Some(Volume { device, filesystem });
    }
    Ok(found)
}

/// The kernel's name for the filesystem, if the label fits. A disk that cannot be read carries none.
fn seed_filesystem(device: &str) -> Option<&'static str> {
    let mut disk = Device::open(CWD, device, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    if label::read(&mut disk, 0).ok()?.eq_ignore_ascii_case(LABEL) {
        return Some("vfat");
    }
    let mut head = [0; 72];
    let len = read_at(&mut disk, 32768, &mut head).ok()?;
    let head = head.get(..len)?;
    let name = head.strip_prefix(b"\x01CD001")?.get(34..66)?;
    name.trim_ascii_end().eq_ignore_ascii_case(LABEL.as_bytes()).then_some("iso9660")
}

impl Volume {
    /// Mounts it; gone when the descriptor is closed, also when the process dies.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn mount(&self) -> Result<OwnedFd, Failure> {
        let mounted = || {
            let context = fsopen(self.filesystem, FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&context, "source", self.device.as_str())?;
            fsconfig_set_flag(&context, "ro")?;
            fsconfig_create(&context)?;
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        };
        mounted().map_err(|errno| {
            let advice = match errno {
                Errno::NODEV => "; the kernel has no driver for this filesystem loaded",
                Errno::PERM => "; run as root",
                _ => "",
            };
            let (device, filesystem) = (&self.device, self.filesystem);
            Failure::new(Exit::Io, format_args!("mount {device} ({filesystem}): {}{advice}", Reason(errno)))
        })
    }
}
