//! The verdict of `healthcheck` on a real API server: etcd, kube-apiserver and kubectl, without kubelet and controllers. The status of
//! every object is set through the API, as they would have; each row is a state that real boxes get into.
//!
//! `make kubernetes` builds what this needs, and runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::let_underscore_must_use,
    reason = "a test that panics has failed"
)]

mod cluster;
#[path = "../program/scene/mod.rs"]
mod scene;
mod verdict;
