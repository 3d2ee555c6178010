//! A slot's file `version`: one line, written once both images of an install are.

use rustix::fd::OwnedFd;
use rustix::fs::OFlags;

use crate::host::Host;
use crate::linux::device::Device;
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::disk::storage::read_at;

/// First line of a slot's `version` file.
pub type Version = heapless::String<32>;

/// The version in the slot's `version` file; `None` if there is none, or the slot cannot be mounted.
pub fn read_version(host: &Host<'_>, slot: Slot) -> Option<Version> {
    version_in(&host.slot_files(slot).ok()?)
}

/// The same, of a slot's filesystem.
pub fn version_in(files: &OwnedFd) -> Option<Version> {
    let mut file = Device::open(files, "version", OFlags::RDONLY | OFlags::NOFOLLOW).ok()?;
    let mut bytes = [0; 32];
    let len = read_at(&mut file, 0, &mut bytes).ok()?;
    let text = core::str::from_utf8(bytes.get(..len)?).ok()?;
    let line = text.lines().next()?.trim_ascii();
    (!line.is_empty()).then(|| Version::try_from(line).ok())?
}
