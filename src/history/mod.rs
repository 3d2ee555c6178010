//! Past boots, from the data partition and the kernel's records.

pub mod boots;
pub mod pstore;
