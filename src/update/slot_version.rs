//! What a slot's own files say that it holds: `version`, one line, and the image that `slot.json` names. Both are written once the two
//! images of an install are.

use std::string::String;

use rustix::fd::OwnedFd;

use crate::linux::device::Device;
use kubesolo_core::update::manifest::Manifest;

/// Longest `slot.json` that is read, in bytes: as long as a `latest.json` may be.
const DOCUMENT_MAX: usize = 64 * 1024;

/// First line of a slot's `version` file.
pub type Version = heapless::String<32>;

/// The version in the `version` file of that filesystem; `None` if there is none.
pub fn read_version(files: &OwnedFd) -> Option<Version> {
    let mut bytes = [0; 32];
    let text = core::str::from_utf8(Device::read_small(files, "version", &mut bytes)?).ok()?;
    let line = text.lines().next()?.trim_ascii();
    (!line.is_empty()).then(|| Version::try_from(line).ok())?
}

/// The image in the slot, as [`Manifest::image`] names it; `None` if its `slot.json` does not say.
pub fn read_image(files: &OwnedFd) -> Option<String> {
    let mut bytes = std::vec![0; DOCUMENT_MAX];
    let document = Device::read_small(files, "slot.json", &mut bytes)?;
    Some(Manifest::parse(document).ok()?.image().as_str().into())
}
