//! What several tests need: a disk that is cut, the tools of this machine, and random numbers that can be had again.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

pub mod faults;
pub mod medium;
mod random;
mod skips;
mod tools;

pub use random::{Random, cases, seed};
pub use skips::skipped;
pub use tools::{Folder, Ran, must, run, run_as, tool};
