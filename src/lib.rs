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
pub mod cmdline;
pub mod envblk;
pub mod gpt;
pub mod guid;
pub mod label;
pub mod slot;
pub mod storage;
pub mod units;
