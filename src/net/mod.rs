//! Protocols over sockets.

pub mod body;
pub mod connection;
pub mod fetch;
#[cfg(feature = "minreq")]
pub mod minreq;
pub mod names;
pub mod proxy;
pub mod retry;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod transport;
