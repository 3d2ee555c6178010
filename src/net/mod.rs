//! Protocols over sockets.

pub mod body;
pub mod connection;
pub mod fetch;
pub mod names;
pub mod proxy;
// In a fuzz target the peer is in memory.
#[cfg_attr(fuzzing, path = "../../fuzz/src/tcp.rs")]
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
