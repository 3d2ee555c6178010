//! Drives QEMU for the stories in `tests/`: one file knows one thing.
//!
//! A story gets a [`rig::Rig`]: its own copy of the disk image, and a machine that it powers on and cuts off as it likes.
//! Nothing here sleeps or polls: every wait is for a marker on the serial line, with a deadline.

pub mod bus;
pub mod dice;
pub mod envblock;
pub mod failure;
pub mod firmware;
pub mod follow;
pub mod grub;
pub mod grub_fstest;
pub mod host;
pub mod hostile;
pub mod image;
pub mod initrd;
pub mod judge;
pub mod machine;
pub mod newc;
pub mod paths;
pub mod powercut;
pub mod release;
pub mod repair;
pub mod replayed;
pub mod rig;
pub mod serial;
pub mod server;
pub mod shell;
pub mod stub;
pub mod superblock;
pub mod writelog;
