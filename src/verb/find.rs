//! `find NAME`: the device node of a partition, for `/init` and for a person without blkid.

use core::time::Duration;

use crate::cli::console::Notes;
use crate::disk::ours;
use crate::disk::partitions::{NAMES, NAMES_TEXT, PartitionPath};
use crate::failure::{Exit, Failure};
use crate::host::Host;
use kubesolo_core::text::decimal::decimal;

/// Finds one of the four partitions; with `--wait`, waits for its disk to turn up; with `ext4`, only if that is what it holds.
///
/// # Errors
/// [`Exit::Usage`] for any other name, or a malformed time; those of finding the disk and of [`ours::check`].
pub fn run(host: &Host<'_>, notes: &Notes, name: &str, ext4: bool) -> Result<PartitionPath, Failure> {
    if !NAMES.contains(&name) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("find: {name}: no such partition; there are {}", NAMES_TEXT),
        ));
    }
    let disk = match host.flags().wait {
        None => host.disk()?,
        Some(seconds) => {
            let seconds: u32 = decimal(seconds).ok_or_else(|| {
                Failure::new(Exit::Usage, format_args!("find: --wait {seconds}: not a number of seconds"))
            })?;
            let say = |why: core::fmt::Arguments<'_>| {
                notes.say(format_args!("find: waiting for the disk with {name}: {why}"));
            };
            host.wait_for_disk(Duration::from_secs(seconds.into()), &say)?
        }
    };
    let place = disk.partition(name)?;
    if ext4 {
        ours::check(&place)?;
    }
    Ok(place)
}
