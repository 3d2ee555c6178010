//! `stopping`: this boot ends on purpose. For the real init, at shutdown.

use crate::failure::Failure;
use crate::history::boots;
use crate::host::Host;
use kubesolo_core::history::boot_log::Mark;

/// Records it.
///
/// # Errors
/// Those of [`boots::mark`].
pub fn run(host: &Host<'_>) -> Result<(), Failure> {
    boots::mark(host, Mark::Stopped)
}
