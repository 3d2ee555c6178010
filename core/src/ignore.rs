//! A result that is ignored on purpose, with the reason.

/// Does nothing with the result. `why` is for the reader: what a failure costs here, or why it cannot happen.
pub fn ignore<T, E>(_: Result<T, E>, _why: &'static str) {}
