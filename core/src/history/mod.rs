//! Past boots.

pub mod boot_log;
