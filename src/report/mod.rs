//! Parts of the output for people and scripts.

pub mod degraded;
pub mod last_update;
pub mod progress;
