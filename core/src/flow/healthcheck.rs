//! `healthcheck`: commits a trial whose checks pass. Failures are counted, and at the N-th in a row the trial is rolled back. If no
//! trial runs, the checks are only reported. What boots next is in the env block; `state.json` holds the count.

use crate::boot::slot::SlotState;
use crate::flow::outcome::{commit, roll_back};
use crate::flow::ports::{Env, LastError, Progress, Running};
use crate::history::boot_log::Milestone;
use crate::update::phase::Phase;

/// What a health check led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: no trial runs.
    Nothing,
    /// The trial was committed.
    Committed,
    /// So many checks in a row have failed, and at how many the trial is rolled back, if that is configured.
    Counted(u32, Option<u32>),
    /// The old slot boots next.
    RolledBack,
}

/// To be called before the checks run. Gives the state of the update on trial, with the checks that are excused; `None` if there is
/// no such update, or `state.json` cannot be read, which was reported.
///
/// # Errors
/// Those of reading the boot state. It is read only if an update was activated: other boots need no disk for this.
pub fn begin<M: Running>(machine: &mut M) -> Result<Option<M::State>, M::Error> {
    let opened = machine.open_state();
    let Some(mut state) = machine.if_recorded(opened) else { return Ok(None) };
    // The checks run even if the new phase cannot be recorded.
    if state.phase() == Phase::Activated && is_on_trial(machine)? {
        let stored = machine.store_state(&mut state, Phase::Verifying);
        machine.if_recorded(stored);
    }
    machine.close_state();
    Ok(state.is_on_trial().then_some(state))
}

/// Acts on the result of the checks, if a trial runs. `reasons` is empty if all passed; `most` is how many failures in a row are too
/// many.
///
/// # Errors
/// Those of committing, rolling back, and reading the boot state.
pub fn conclude<M: Running>(machine: &mut M, reasons: &str, most: Option<u32>) -> Result<Outcome, M::Error> {
    if !is_on_trial(machine)? {
        return Ok(Outcome::Nothing);
    }
    if reasons.is_empty() {
        return commit(machine).map(|_| Outcome::Committed);
    }
    machine.log(Milestone::Failed);
    let opened = machine.open_state();
    // Without `state.json` failures cannot be counted. The trial still ends after three boots, by GRUB.
    let Some(mut state) = machine.if_recorded(opened) else { return Ok(Outcome::Nothing) };
    // Failures are counted only for a trial that an update began. Any other one ends after three boots, by GRUB.
    let counted = state.is_on_trial().then(|| {
        let failures = state.count_failure();
        machine.set_last_error(&mut state, LastError::Checks(failures, reasons));
        machine.store_state(&mut state, Phase::Verifying).map(|()| failures)
    });
    // Closed here, as `roll_back` opens the file itself and would wait for this lock.
    machine.close_state();
    match counted.transpose()? {
        None => Ok(Outcome::Nothing),
        Some(failures) if most.is_none_or(|most| failures < most) => Ok(Outcome::Counted(failures, most)),
        Some(failures) => roll_back(machine, LastError::Checks(failures, reasons)).map(|_| Outcome::RolledBack),
    }
}

/// Whether the slot that runs is the active one, and on trial or not yet marked good in this boot.
fn is_on_trial<M: Env>(machine: &mut M) -> Result<bool, M::Error> {
    let state = machine.boot_state()?;
    let is_trial = state.slot(state.active) == SlotState::Trial || !state.success;
    Ok(machine.booted()? == Some(state.active) && is_trial)
}
