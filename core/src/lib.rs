//! The part of kubesolo-boot that needs no operating system: no heap, and IO only through traits such as [`disk::storage::Storage`].
//!
//! Each folder is a room with a rule. Imports go one way, from [`flow`] down to [`text`]:
//!
//! | room | rule |
//! |---|---|
//! | [`flow`] | the order in which a command does things |
//! | [`update`] | an update: what it is, and whether it may be |
//! | [`health`] | whether Kubernetes runs, by what its API server says |
//! | [`net`] | protocols without sockets |
//! | [`history`] | past boots |
//! | [`boot`] | who boots next |
//! | [`disk`] | bytes on a disk |
//! | [`text`] | text and the values that it stands for |
//! | [`ignore`] | a result that is ignored on purpose, with the reason |
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod boot;
pub mod disk;
pub mod flow;
pub mod health;
pub mod history;
pub mod ignore;
pub mod net;
pub mod text;
pub mod update;
