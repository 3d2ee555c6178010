//! kubesolo-boot: A/B boot state, update and rollback for KubeSolo OS.
//!
//! The core knows formats and rules: no operating system, no heap, no IO but through [`storage::Storage`]. With the
//! feature `std` (default) the edge comes on top: Linux, files, the command line. Imports point one way, edge → core.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "std")]
extern crate std;

pub mod boot;
pub mod bootlog;
pub mod bootstage;
pub mod clock;
pub mod cmdline;
pub mod config;
pub mod contents;
pub mod digest;
pub mod dns;
pub mod envblk;
pub mod envstore;
pub mod ext4;
pub mod gpt;
pub mod grow;
pub mod guid;
pub mod hex;
pub mod http;
pub mod install;
pub mod json;
pub mod label;
pub mod location;
pub mod manifest;
pub mod mbr;
pub mod part;
pub mod retry;
pub mod signature;
pub mod slot;
pub mod split;
pub mod storage;
pub mod sums;
pub mod units;
pub mod version;
pub mod window;

#[cfg(feature = "std")]
pub mod ask;
#[cfg(feature = "std")]
pub mod body;
#[cfg(feature = "std")]
pub mod boots;
#[cfg(feature = "std")]
pub mod chosen;
#[cfg(feature = "std")]
pub mod cli;
#[cfg(feature = "std")]
pub mod connection;
#[cfg(feature = "std")]
pub mod console;
#[cfg(feature = "std")]
pub mod degraded;
#[cfg(feature = "std")]
pub mod device;
#[cfg(feature = "std")]
pub mod disk;
#[cfg(feature = "std")]
pub mod efivars;
#[cfg(feature = "std")]
pub mod envfile;
#[cfg(feature = "std")]
pub mod failure;
#[cfg(feature = "std")]
pub mod fetch;
#[cfg(feature = "std")]
pub mod health;
#[cfg(feature = "std")]
pub mod host;
#[cfg(feature = "std")]
pub mod kubectl;
#[cfg(feature = "std")]
pub mod lock;
#[cfg(feature = "std")]
pub mod mount;
#[cfg(feature = "std")]
pub mod odd;
#[cfg(feature = "std")]
pub mod offer;
#[cfg(feature = "std")]
pub mod ours;
#[cfg(feature = "std")]
pub mod probe;
#[cfg(feature = "std")]
pub mod progress;
#[cfg(feature = "std")]
pub mod proxy;
#[cfg(feature = "std")]
pub mod pstore;
#[cfg(feature = "std")]
pub mod replace;
#[cfg(feature = "std")]
pub mod resolve;
#[cfg(feature = "std")]
pub mod settings;
#[cfg(feature = "std")]
pub mod state;
#[cfg(feature = "std")]
pub mod sysblock;
#[cfg(feature = "std")]
pub mod target;
// In a fuzz target the peer is in memory.
#[cfg(feature = "std")]
#[cfg_attr(fuzzing, path = "../fuzz/src/tcp.rs")]
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "std")]
pub mod verb;
#[cfg(feature = "std")]
pub mod watchdog;
