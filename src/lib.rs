//! kubesolo-boot: A/B boot state, update and rollback for KubeSolo OS.
//!
//! This is the edge: Linux, sockets, the command line. Formats and rules are in [`kubesolo_core`], the same rooms by the same
//! names; imports point one way, edge to core.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod boot;
pub mod cli;
pub mod disk;
pub mod failure;
pub mod flags;
pub mod health;
pub mod history;
pub mod host;
pub mod linux;
pub mod net;
pub mod report;
pub mod update;
pub mod verb;
