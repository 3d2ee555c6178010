//! An update on its way into a slot.

pub mod chunks;
pub mod failures;
pub mod remote_manifest;
pub mod settings;
pub mod slot_version;
pub mod state;
pub mod target;
