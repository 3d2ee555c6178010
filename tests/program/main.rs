//! The program as a user runs it, and its rooms on files, sockets and the system's own tools. One binary, so that all of
//! it is linked once; a test alone: `cargo test --test program update::`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::let_underscore_must_use,
    reason = "a test that panics has failed"
)]

mod boots;
mod chunks;
mod cli;
mod contents;
mod disk;
mod download;
mod fetch;
mod frugal;
mod grow;
mod grub_editenv;
mod health;
mod init;
mod nginx;
mod restarts;
mod scene;
mod servers;
mod side_by_side;
mod update;
mod waits;
