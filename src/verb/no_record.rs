//! In place of `record`, in a build without the update verbs: there is no `state.json`, and the env block goes on saying
//! which slot GRUB gave up.

use core::fmt::{self, Write};

use crate::console::Notes;
use crate::host::Host;
use crate::slot::Slot;

/// Records nothing.
pub fn committed(_: &Host<'_>, _: &Notes) {}

/// Records nothing.
pub fn rolled_back(_: &Host<'_>, _: &Notes) {}

/// Records nothing, and says so.
pub fn given_up(_: &Host<'_>, _: &Notes, _: Slot) -> bool {
    false
}

/// Shows nothing.
pub fn print(_: &Host<'_>, _: &mut impl Write) -> fmt::Result {
    Ok(())
}

/// Shows nothing.
pub fn print_json(_: &Host<'_>, _: &mut impl Write) -> fmt::Result {
    Ok(())
}
