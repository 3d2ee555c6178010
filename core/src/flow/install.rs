//! The order of an install: a power cut between any two steps leaves a box that comes back.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | target slot → `empty` | a slot that nobody boots, and the old system in it |
//! | old files removed | the same, with some of the old files |
//! | images written, synced, renamed; the small files too | the same; files may have lost their new names |
//! | names synced | a whole slot that nobody boots |
//! | read back and verified | the same |
//! | target slot → `staged` | a slot that can be activated |
//!
//! `core/tests/crash_sim` cuts whole lives at every write and sync of it.

use crate::boot::slot::Slot;
use crate::flow::change::Change;
use crate::flow::ports::Env;

/// The target slot, as an install and an activation need it.
pub trait TargetSlot: Env {
    /// Reads the images as the medium has them, and compares them with what they should be.
    ///
    /// # Errors
    /// Those of reading; if the images differ from what they should be.
    fn verify(&mut self, target: Slot) -> Result<(), Self::Error>;
}

/// The target slot as an install fills it.
pub trait WritableSlot: TargetSlot {
    /// Removes the old system, and partial downloads of other images. Not synced.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn remove_leftovers(&mut self) -> Result<(), Self::Error>;

    /// Downloads or copies the images into the slot. Their bytes are synced on return, their names are not.
    ///
    /// # Errors
    /// Those of the server and the filesystem.
    fn write_images(&mut self) -> Result<(), Self::Error>;

    /// Writes the small files that describe the system: version, manifest, sums. Synced as [`WritableSlot::write_images`] does.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn write_texts(&mut self) -> Result<(), Self::Error>;

    /// Makes all names durable.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn sync_names(&mut self) -> Result<(), Self::Error>;
}

/// Fills the slot. From the first step on nobody may boot it; after the last, all of it is on the medium and verified.
///
/// # Errors
/// Those of the steps. The slot is `empty` then, unless it is the first that failed.
pub fn install<M: WritableSlot>(machine: &mut M, target: Slot) -> Result<(), M::Error> {
    machine.change(Change::Invalidate)?;
    machine.remove_leftovers()?;
    machine.write_images()?;
    machine.write_texts()?;
    machine.sync_names()?;
    machine.verify(target)?;
    machine.change(Change::Stage)?;
    Ok(())
}
