//! Knows how GRUB's own code reads a disk: with grub-fstest, which replays no journal and repairs nothing, as GRUB.

use std::path::Path;

use crate::host;
use crate::image::Part;

/// A file of a partition, `path` from its top without a leading slash; `None` if GRUB does not get all of it.
pub fn read(disk: &Path, part: Part, path: &str) -> Option<Vec<u8>> {
    let file = format!("(loop0,gpt{})/{path}", part as u8);
    host::run("grub-fstest", [&*disk.to_string_lossy(), "cat", &file]).ok().map(|answer| answer.stdout)
}
