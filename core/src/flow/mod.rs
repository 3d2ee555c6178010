//! The order in which a command does things.

pub mod install;
pub mod partial_file;
