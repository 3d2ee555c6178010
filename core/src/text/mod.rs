//! Text and the values that it stands for.

pub mod base64;
pub mod decimal;
pub mod hex;
pub mod json;
pub mod similar;
pub mod timestamp;
