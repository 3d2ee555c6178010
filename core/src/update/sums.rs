//! The list of a slot's sums, `SHA256SUMS`: GRUB verifies the files against it before it boots a trial, or a slot whose newest boot
//! was not marked good.
//!
//! One line for each file: 64 hexadecimal digits, two spaces, the name: the format that `sha256sum` writes and GRUB's `hashsum
//! --check` reads (GRUB `grub-core/commands/hashsum.c`, `check_list`).

use core::fmt;

use crate::update::digest::Hash;

/// Its name in the slot.
pub const FILE: &str = "SHA256SUMS";

/// The list of these files.
pub struct Sums<'a>(pub [(&'a str, Hash); 2]);

impl fmt::Display for Sums<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.0;
        [one, other].into_iter().try_for_each(|(name, hash)| writeln!(f, "{hash}  {name}"))
    }
}
