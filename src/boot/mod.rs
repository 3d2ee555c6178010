//! The env block as files on the ESP.

pub mod env_files;
