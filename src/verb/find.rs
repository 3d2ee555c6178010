//! `find NAME`: the device node of a partition, for `/init` and for a person without blkid.

use crate::disk::{NAMES, NAMES_TEXT, Place};
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::ours;

/// Finds one of the four partitions; with `ext4`, only if that is what it holds.
///
/// # Errors
/// [`Exit::Usage`] for any other name; those of finding the disk and of [`ours::check`].
pub fn run(host: &Host<'_>, name: &str, ext4: bool) -> Result<Place, Failure> {
    if !NAMES.contains(&name) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("find: {name}: no such partition; there are {}", NAMES_TEXT),
        ));
    }
    let place = host.disk()?.partition(name)?;
    if ext4 {
        ours::check(&place)?;
    }
    Ok(place)
}
