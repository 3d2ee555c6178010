//! `commit` and `rollback`: one transition of the boot state, written or refused.

use crate::boot::{BootState, Refused};
use crate::console::Notes;
use crate::envblk::{EnvBlock, ONE_SECTOR};
use crate::envfile::Loaded;
use crate::envstore::{Bytes, fits_one_sector};
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::mount::Access;
use crate::slot::Slot;
use crate::state::{Journal, Phase};

/// Marks the booted slot good.
///
/// # Errors
/// [`Exit::Refused`] if it is not the active one; those of [`change`].
pub fn commit(host: &Host<'_>, notes: &Notes) -> Result<BootState, Failure> {
    let state = change(host, &|state, booted| {
        state.commit(booted).map_err(|refused| {
            Failure::new(
                Exit::Refused,
                format_args!(
                    "commit: {refused}; to keep the slot that runs: kubesolo-boot rollback, then boot it again"
                ),
            )
        })
    })?;
    record(host, notes, Phase::Success, "");
    Ok(state)
}

/// Makes the slot that is not booted the one to boot next.
///
/// # Errors
/// [`Exit::Refused`] if that slot is not good; those of [`change`].
pub fn rollback(host: &Host<'_>, notes: &Notes) -> Result<BootState, Failure> {
    let state = change(host, &|state, booted| {
        state.rollback(booted).map_err(|refused: Refused| {
            Failure::new(
                Exit::Refused,
                format_args!("rollback: {refused}; if you know better: kubesolo-boot slot set {} good", !booted),
            )
        })
    })?;
    record(host, notes, Phase::RolledBack, "rolled back by hand");
    Ok(state)
}

/// Tells `state.json` how an update ended. What boots next is settled by then, so that a data partition that cannot be
/// written, as in the emergency shell, is worth no more than a note. An end that nothing led to is not recorded.
pub fn record(host: &Host<'_>, notes: &Notes, phase: Phase, last_error: &str) {
    let say = |line: core::fmt::Arguments<'_>| notes.say(line);
    let stored = Journal::open(host.state_path(), &say).and_then(|mut journal| {
        if !matches!(journal.state.phase, Phase::Activated | Phase::Verifying) {
            return Ok(());
        }
        journal.state.last_error = last_error.into();
        if phase == Phase::Success {
            journal.state.attempt_count = 0;
            journal.state.health_check_failures = 0;
        }
        journal.store(phase)
    });
    if let Err(failure) = stored {
        notes.say(format_args!("warning: not recorded in state.json: {failure}"));
    }
}

/// A new state for the old one and the booted slot.
pub type Transition<'a> = dyn Fn(BootState, Slot) -> Result<BootState, Failure> + 'a;

/// Reads the block, applies `transition` (state, booted slot) and writes both copies. Durable on return: a power cut
/// leaves the old state or the new one.
///
/// # Errors
/// That of `transition`; [`Exit::NoBlock`], [`Exit::Io`], [`Exit::Busy`], and those of finding the disk.
pub fn change(host: &Host<'_>, transition: &Transition<'_>) -> Result<BootState, Failure> {
    let mut files = host.env_files(Access::Write)?;
    let mut loaded = Loaded::nothing();
    files.load(&mut loaded);
    let state = host.reading(&loaded)?.state;
    let new = transition(state, host.booted(state.active)?)?;
    let mut block = loaded.block()?.sound();
    new.write_to(&mut block).map_err(|_| too_big(&block))?;
    if !fits_one_sector(&block) {
        return Err(too_big(&block));
    }
    files.store(&mut loaded, &block, true)?;
    Ok(new)
}

/// The refusal to write boot variables that could not be changed by one sector write.
pub fn too_big(block: &EnvBlock<Bytes>) -> Failure {
    Failure::new(
        Exit::Refused,
        format_args!(
            "write env block: its variables take {} bytes, more than one sector of {ONE_SECTOR}: a power cut could tear \
             it; remove some with kubesolo-boot env unset",
            block.text_len()
        ),
    )
}
