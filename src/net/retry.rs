//! Trying again, with pauses, what may go well later.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use kubesolo_core::net::backoff::Retry;

/// Does `work` until it succeeds, fails for good, or has failed for `total`.
///
/// # Errors
/// The last one of `work`.
pub fn patiently<T>(total: Duration, work: &mut dyn FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let began = Instant::now();
    let mut retry = Retry::new(total, std::process::id());
    loop {
        let failure = match work() {
            Err(failure) if failure.is_transient() => failure,
            result => return result,
        };
        let Some(pause) = retry.after_failure(began.elapsed(), false) else { return Err(failure) };
        std::thread::sleep(pause);
    }
}
