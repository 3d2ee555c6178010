//! What a person or a script is told.

pub mod degraded;
pub mod last_update;
pub mod progress;
