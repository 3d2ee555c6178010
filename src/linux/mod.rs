//! One kernel interface a file. Knows nothing of slots.

pub mod beneath;
pub mod children;
pub mod device;
pub mod efivars;
pub mod folder;
pub mod lock;
pub mod mount;
pub mod odd;
pub mod process;
pub mod replace;
pub mod socket;
pub mod sysblock;
pub mod watchdog;
