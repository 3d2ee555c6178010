//! The failed health checks of this boot that `state.json` could not count: a file in the run folder, which needs no disk and is gone
//! after a restart.

use std::format;

use rustix::fd::AsFd;
use rustix::fs::CWD;

use crate::linux::device::Device;
use crate::linux::odd;
use crate::linux::replace::replace;
use kubesolo_core::text::decimal::decimal;

const FILE: &str = "failures";
/// Longest number that is read, in digits.
const LEN_MAX: usize = 10;

/// Counts one more; gives how many there are. `None` if the run folder takes no file.
pub fn count(run_folder: &str) -> Option<u32> {
    let folder = odd::folder(CWD, run_folder).ok()?;
    let mut bytes = [0; LEN_MAX];
    let text =
        core::str::from_utf8(Device::read_small(&folder, FILE, &mut bytes).unwrap_or_default()).unwrap_or_default();
    let failures = decimal::<u32>(text).unwrap_or_default().saturating_add(1);
    replace(folder.as_fd(), FILE, format!("{failures}").as_bytes()).ok()?;
    Some(failures)
}
