//! The disk to work on, and the partition that data is on.

pub mod chosen;
pub mod ours;
pub mod partitions;
pub mod probe;
pub mod search;
