//! Past boots, as the data partition and the kernel keep them.

pub mod boots;
pub mod pstore;
