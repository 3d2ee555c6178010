//! Who boots next.

pub mod advice;
pub mod cmdline;
pub mod env_block;
pub mod env_copies;
pub mod env_mismatch;
pub mod slot;
pub mod stage;
pub mod state;
