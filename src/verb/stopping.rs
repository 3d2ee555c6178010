//! `stopping`: this boot ends on purpose. For the real init, at shutdown.

use crate::bootlog::Mark;
use crate::boots;
use crate::failure::Failure;
use crate::host::Host;

/// Records it.
///
/// # Errors
/// Those of [`boots::mark`].
pub fn run(host: &Host<'_>) -> Result<(), Failure> {
    boots::mark(host, Mark::Stopped)
}
