//! Protocols without sockets.

pub mod backoff;
pub mod http;
pub mod url;
