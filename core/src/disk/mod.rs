//! What the bytes on a disk mean.

pub mod contents;
mod crc32;
pub mod ext4;
pub mod field;
pub mod gpt;
pub mod grow;
pub mod guid;
pub mod label;
pub mod lba;
pub mod mbr;
pub mod storage;
