//! An update: what it is, and whether it may be.

pub mod config;
pub mod digest;
pub mod held;
pub mod index;
pub mod manifest;
pub mod phase;
pub mod rollout;
pub mod signature;
pub mod sums;
pub mod version;
pub mod window;
