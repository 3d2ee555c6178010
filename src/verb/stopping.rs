//! `stopping`: logs that this boot ends on purpose. The real init runs it at shutdown.

use crate::failure::Failure;
use crate::history::boots;
use crate::host::Host;
use kubesolo_core::history::boot_log::Milestone;

/// Records it.
///
/// # Errors
/// Those of [`boots::log`].
pub fn run(host: &Host<'_>) -> Result<(), Failure> {
    boots::log(&host.boot_log(), Milestone::Stopped)
}
