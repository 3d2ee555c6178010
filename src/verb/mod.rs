//! The verbs: one file each, every one a plain story over the core.

#[cfg(feature = "update")]
pub mod activate;
#[cfg(feature = "update")]
pub mod apply;
pub mod boot_state;
#[cfg(feature = "update")]
pub mod check;
pub mod env;
pub mod find;
pub mod grub_editenv;
pub mod init;
pub mod probe;
#[cfg_attr(not(feature = "update"), path = "no_record.rs")]
pub mod record;
pub mod slot;
pub mod status;
