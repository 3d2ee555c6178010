//! `commit` and `rollback`: one transition of the boot state, written or refused.

use crate::cli::console::Notes;
use kubesolo_core::boot::env_block::{EnvBlock, ONE_SECTOR};
use kubesolo_core::boot::state::{BootState, Refused};
use kubesolo_core::history::boot_log::Mark;

use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::linux::mount::Access;
use kubesolo_core::boot::env_copies::{Bytes, fits_one_sector};
use kubesolo_core::boot::slot::Slot;

use super::record;

/// Marks the booted slot good.
///
/// # Errors
/// [`Exit::Refused`] if it is not the active one; those of [`change`].
pub fn commit(host: &Host<'_>, notes: &Notes) -> Result<BootState, Failure> {
    let state = change(host, notes, &|state, booted| {
        state.commit(booted).map_err(|refused| {
            Failure::new(
                Exit::Refused,
                format_args!(
                    "commit: {refused}; to keep the slot that runs: kubesolo-boot rollback, then boot it again"
                ),
            )
        })
    })?;
    record::reached(host, notes, Mark::Committed);
    record::committed(host, notes);
    Ok(state)
}

/// Makes the slot that is not booted the one to boot next, and records `why`.
///
/// # Errors
/// [`Exit::Refused`] if that slot is not good; those of [`change`].
pub fn rollback(host: &Host<'_>, notes: &Notes, why: &str) -> Result<BootState, Failure> {
    let state = change(host, notes, &|state, booted| {
        state.rollback(booted).map_err(|refused: Refused| {
            Failure::new(
                Exit::Refused,
                format_args!("rollback: {refused}; if you know better: kubesolo-boot slot set {} good", !booted),
            )
        })
    })?;
    record::rolled_back(host, notes, why);
    Ok(state)
}

/// A new state for the old one and the booted slot.
pub type Transition<'a> = dyn Fn(BootState, Slot) -> Result<BootState, Failure> + 'a;

/// Reads the block, applies `transition` (state, booted slot) and writes both copies. Durable on return: a power cut
/// leaves the old state or the new one. That only one copy took it is a warning.
///
/// # Errors
/// That of `transition`; [`Exit::NoBlock`], [`Exit::Io`], [`Exit::Busy`], and those of finding the disk.
pub fn change(host: &Host<'_>, notes: &Notes, transition: &Transition<'_>) -> Result<BootState, Failure> {
    let mut files = host.env_files(Access::Write)?;
    let (state, spare) = files.edit(true, &|loaded| {
        let state = host.reading(loaded)?.state;
        let new = transition(state, host.booted(state.active)?)?;
        let block = into_block(new, &loaded.block()?.sound())?;
        let crowded = crowded(&block);
        Ok((block, (new, crowded)))
    })?;
    let (state, crowded) = state;
    warn(notes, crowded);
    warn(notes, spare);
    Ok(state)
}

/// The block with the state in it.
///
/// # Errors
/// [`Exit::Refused`] if other variables leave no room for it.
pub fn into_block(state: BootState, block: &EnvBlock<Bytes>) -> Result<EnvBlock<Bytes>, Failure> {
    state.into_block(block).map_err(|_| {
        Failure::new(
            Exit::Refused,
            format_args!(
                "write env block: other programs' variables leave no room for the boot state; remove some with \
                 kubesolo-boot env unset"
            ),
        )
    })
}

/// Says that a copy of the block could not be written. What boots next does not hang on it.
pub fn warn(notes: &Notes, spare: Option<Failure>) {
    if let Some(failure) = spare {
        notes.say(format_args!("warning: {failure}"));
    }
}

/// The warning about a block that takes more than one sector: it is changed by several writes, the second copy standing in
/// for the first meanwhile.
pub fn crowded(block: &EnvBlock<Bytes>) -> Option<Failure> {
    (!fits_one_sector(block)).then(|| {
        Failure::new(
            Exit::Refused,
            format_args!(
                "env block: its variables take {} bytes, more than one sector of {ONE_SECTOR}; remove those of other \
                 programs with kubesolo-boot env unset",
                block.text_len()
            ),
        )
    })
}
