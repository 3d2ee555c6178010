//! `healthcheck`: a trial that is healthy is committed; one that is not is counted, and given up at the N-th failure in a row. On
//! any other boot it only says what it sees. What boots next stands in the block; `state.json` holds the count.

use crate::boot::slot::SlotState;
use crate::flow::outcome::{commit, roll_back};
use crate::flow::ports::{Env, Progress, Running, Why};
use crate::history::boot_log::Mark;
use crate::update::phase::Phase;

/// What a check-up led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: no trial runs.
    Nothing,
    /// The trial was committed.
    Committed,
    /// So many failures in a row, of so many that are too many.
    Counted(u32, Option<u32>),
    /// The old slot boots next.
    RolledBack,
}

/// The checks are about to begin. Gives the state of the update that they decide about, with what is excused; `None` if there is
/// none, or `state.json` cannot be read, which was said.
///
/// # Errors
/// Those of reading the boot state, which is asked only where an update was activated.
pub fn begin<M: Running>(machine: &mut M) -> Result<Option<M::State>, M::Error> {
    let opened = machine.open_state();
    let Some(mut state) = machine.if_recorded(opened) else { return Ok(None) };
    // That something could not be recorded is no reason not to look at the box.
    if state.phase() == Phase::Activated && is_on_trial(machine)? {
        let stored = machine.store_state(&mut state, Phase::Verifying);
        machine.if_recorded(stored);
    }
    machine.close_state();
    Ok(state.is_on_trial().then_some(state))
}

/// What the reasons, if there are any, mean for a trial; `most`: how many failures in a row are too many.
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
    machine.reached(Mark::Failed);
    let opened = machine.open_state();
    // What cannot be counted has its three boots.
    let Some(mut state) = machine.if_recorded(opened) else { return Ok(Outcome::Nothing) };
    // Any other trial than that of an update has its three boots.
    let counted = state.is_on_trial().then(|| {
        let failures = state.count_failure();
        machine.explain(&mut state, Why::Checks(failures, reasons));
        machine.store_state(&mut state, Phase::Verifying).map(|()| failures)
    });
    // A rollback takes the lock for itself.
    machine.close_state();
    match counted.transpose()? {
        None => Ok(Outcome::Nothing),
        Some(failures) if most.is_none_or(|most| failures < most) => Ok(Outcome::Counted(failures, most)),
        Some(failures) => roll_back(machine, Why::Checks(failures, reasons)).map(|_| Outcome::RolledBack),
    }
}

/// Whether the slot that runs is the active one, and not known to be good.
fn is_on_trial<M: Env>(machine: &mut M) -> Result<bool, M::Error> {
    let state = machine.boot_state()?;
    let is_trial = state.slot(state.active) == SlotState::Trial || !state.success;
    Ok(machine.booted()? == Some(state.active) && is_trial)
}
