//! A partition that may be mounted for writing, or repaired: it holds our ext4 and nothing else.

use embedded_io::{Seek, SeekFrom};
use rustix::fs::{CWD, OFlags};

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::Device;
use crate::linux::mount;
use kubesolo_core::disk::contents::{Contents, identify};
use kubesolo_core::text::decimal::decimal;

/// Looks at what `place` carries: a device node, or `FILE@OFFSET` within an image file.
///
/// # Errors
/// [`Exit::Io`] if it cannot be read.
pub fn look(place: &str) -> Result<Contents, Failure> {
    let within = place.rsplit_once('@').and_then(|(file, offset)| Some((file, decimal(offset)?)));
    let (path, start) = within.unwrap_or((place, 0));
    let failed = |errno| Failure::new(Exit::Io, format_args!("look at {place}: {}", Reason(errno)));
    let mut device = Device::open(CWD, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(failed)?;
    // The length of a partition in an image file is not known here.
    let len = if within.is_none() { device.seek(SeekFrom::End(0)).ok() } else { None };
    identify(&mut device, start, len).map_err(|error| failed(error.0))
}

/// Succeeds if it carries our ext4.
///
/// # Errors
/// [`Exit::Refused`] if not; those of [`look`].
pub fn check(place: &str) -> Result<(), Failure> {
    match look(place)? {
        Contents::Ext4 => Ok(()),
        contents => {
            Err(Failure::new(Exit::Refused, format_args!("{place} holds {contents}, not our ext4: left as it is")))
        }
    }
}

/// Mounts it at `folder`, as [`mount::at`], unless it is mounted there already.
///
/// # Errors
/// Those of [`check`] and [`mount::at`].
pub fn mount(place: &str, folder: &str) -> Result<(), Failure> {
    if mount::is_at(place, folder) {
        return Ok(());
    }
    check(place)?;
    mount::at(place, folder)
}
