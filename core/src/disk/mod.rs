//! What the bytes on a disk mean.

pub mod contents;
pub mod ext4;
pub mod field;
pub mod gpt;
pub mod grow;
pub mod guid;
pub mod label;
pub mod lba;
pub mod mbr;
pub mod storage;
