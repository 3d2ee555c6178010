//! The order in which a command does things: what is written, synced and recorded, and what a failure there leaves. The program and
//! the crash proof (`core/tests/crash_sim`) run the same functions, over the ports of [`ports`].

pub mod activate;
pub mod apply;
pub mod assemble;
pub mod change;
pub mod healthcheck;
pub mod init;
pub mod install;
pub mod outcome;
pub mod partial_file;
pub mod ports;
pub mod status;
