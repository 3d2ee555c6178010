//! Why this boot goes on degraded: a file in the run folder, which can be written without any disk and is gone after a restart.

use std::string::String;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;

use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use crate::linux::odd;
use crate::linux::replace::replace;

const FILE: &str = "degraded";
/// Longest reason that is read, in bytes.
const LEN_MAX: usize = 512;

/// Writes the reason, or removes an old one. Not synced: it is meant to be gone after a restart.
///
/// # Errors
/// The kernel's.
pub fn note(run_folder: &str, why: Option<&str>) -> Result<(), Errno> {
    let folder = odd::folder(CWD, run_folder)?;
    match why {
        Some(why) => replace(folder.as_fd(), FILE, why.as_bytes()),
        None => match unlinkat(&folder, FILE, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        },
    }
}

/// Why this boot is degraded; `None` if it is not.
pub fn read(run_folder: &str) -> Option<String> {
    let folder = open_folder(CWD, run_folder).ok()?;
    let mut bytes = [0; LEN_MAX];
    Some(String::from_utf8_lossy(Device::read_small(folder, FILE, &mut bytes)?).into_owned())
}
