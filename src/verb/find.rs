//! `find NAME`: the device node of a partition, for `/init` and for a person without blkid.

use crate::disk::{NAMES, NAMES_TEXT, Place};
use crate::failure::{Exit, Failure};
use crate::host::Host;

/// Finds one of the four partitions.
///
/// # Errors
/// [`Exit::Usage`] for any other name; those of finding the disk.
pub fn run(host: &Host<'_>, name: &str) -> Result<Place, Failure> {
    if !NAMES.contains(&name) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("find: {name}: no such partition; there are {}", NAMES_TEXT),
        ));
    }
    host.disk()?.partition(name)
}
