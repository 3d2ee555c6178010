//! Cutting a file by its content, so that what two files have in common is cut alike in both.

pub mod cut;
pub mod gzip;
pub mod index;
pub mod newc;
