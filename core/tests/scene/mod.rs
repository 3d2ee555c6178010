//! What several tests need: a disk that is cut, and random numbers that can be had again.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

pub mod medium;
mod random;

pub use random::{Random, cases, seed};
