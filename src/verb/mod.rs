//! The verbs, one file each: the core's flow on this machine, and its messages.

pub mod activate;
pub mod apply;
pub mod check;
pub mod cost;
pub mod download;
pub mod env;
pub mod find;
pub mod grow;
pub mod grub_editenv;
pub mod healthcheck;
pub mod init;
pub mod machine;
pub mod metrics;
pub mod probe;
pub mod slot;
pub mod status;
pub mod stopping;
pub mod watchdog;
