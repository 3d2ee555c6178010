//! The command line and the terminal.

pub mod args;
pub mod console;
pub mod flags;
pub mod help;
pub mod verbs;
