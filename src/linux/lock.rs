//! A lock on a file or folder, with a limit to the wait for it.

use core::time::Duration;

use rustix::fd::AsFd;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Longest wait for another run to give a lock back.
const WAIT_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Whom else a lock lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Others that only read.
    Readers,
    /// Nobody.
    Nobody,
}

/// Takes the lock. It is given back when the last copy of the descriptor is closed.
///
/// # Errors
/// [`Errno::WOULDBLOCK`] if somebody else holds it for longer than five seconds; the kernel's.
pub fn take(file: impl AsFd, share: Share) -> Result<(), Errno> {
    let how = match share {
        Share::Readers => FlockOperation::NonBlockingLockShared,
        Share::Nobody => FlockOperation::NonBlockingLockExclusive,
    };
    let mut waited = Duration::ZERO;
    loop {
        match flock(&file, how) {
            Err(Errno::WOULDBLOCK) if waited < WAIT_MAX => {}
            result => return result,
        }
        std::thread::sleep(PAUSE);
        waited = waited.saturating_add(PAUSE);
    }
}
