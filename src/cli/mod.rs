//! The command line and the terminal.

pub mod args;
pub mod console;
