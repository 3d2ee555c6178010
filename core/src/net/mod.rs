//! Protocols without sockets.

pub mod backoff;
pub mod dns;
pub mod http;
pub mod url;
