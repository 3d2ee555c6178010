//! A result that is not looked at, and why.

/// Does nothing with the result. `why` is for the reader: what a failure here costs, or why there is none.
pub fn ignore<T, E>(_: Result<T, E>, _why: &'static str) {}
