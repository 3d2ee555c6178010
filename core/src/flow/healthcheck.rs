//! `healthcheck`: commits a trial whose checks pass. Failures are counted, and at the N-th in a row the trial is rolled back. If no
//! trial runs, the checks are only reported. The env block says what a trial is; `state.json` only holds the count.
//!
//! A trial that is not committed in its time is left to GRUB: the box restarts, and GRUB counts the boot, as one that hung.

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;
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
    /// The trial's time is over: this boot has failed, and the box is to be restarted.
    OutOfTime,
}

/// To be called before the checks run. Gives the state of the update on trial, with the checks that are excused; `None` if no trial
/// runs, or `state.json` tells of another update or cannot be read, which was reported.
pub fn begin<M: Running>(machine: &mut M) -> Option<M::State> {
    // What keeps the block from being read is reported by `conclude`: the checks run all the same.
    if !read(machine).is_ok_and(|(state, booted)| is_on_trial(&state, booted)) {
        return None;
    }
    let opened = machine.open_state();
    let mut state = machine.if_recorded(opened)?;
    // The checks run even if the new phase cannot be recorded.
    if state.can_be_on_trial() && state.phase() != Phase::Verifying {
        let stored = machine.store_state(&mut state, Phase::Verifying);
        machine.if_recorded(stored);
    }
    machine.close_state();
    state.can_be_on_trial().then_some(state)
}

/// Acts on the result of the checks, if a trial runs. `reasons` is empty if all passed; `failed` are those that did not, the excused ones
/// too; `most` is how many failures in a row are too many; `is_late` says that a trial's time is over.
///
/// # Errors
/// Those of committing, rolling back, and reading the boot state; if another run holds the lock of `state.json`.
pub fn conclude<M: Running>(
    machine: &mut M,
    reasons: &str,
    failed: &str,
    most: Option<u32>,
    is_late: bool,
) -> Result<Outcome, M::Error> {
    let (state, booted) = read(machine)?;
    if !is_on_trial(&state, booted) {
        if Slot::BOTH.into_iter().any(|slot| state.slot(slot) == SlotState::Staged) {
            end_excuses(machine, failed);
        }
        return Ok(Outcome::Nothing);
    }
    if reasons.is_empty() {
        return commit(machine).map(|_| Outcome::Committed);
    }
    machine.log(Milestone::Failed);
    let failures = match count(machine, reasons, failed)? {
        Some(failures) => failures,
        None => machine.count_in_this_boot(),
    };
    if most.is_none_or(|most| failures < most) {
        let fails = is_late && can_run_out_of_time(&state, booted);
        return Ok(if fails { Outcome::OutOfTime } else { Outcome::Counted(failures, most) });
    }
    roll_back(machine, LastError::Checks(failures, reasons)).map(|_| Outcome::RolledBack)
}

/// Counts a failure in `state.json`. Gives how many there are in a row, or `None`, with a warning, if they cannot be counted.
fn count<M: Running>(machine: &mut M, reasons: &str, failed: &str) -> Result<Option<u32>, M::Error> {
    let Some(mut state) = machine.open_state_if_possible()? else { return Ok(None) };
    let failures = state.count_failure();
    state.end_excuses(failed);
    machine.set_last_error(&mut state, LastError::Checks(failures, reasons));
    // Of another update than this trial's, if the block or the file was lost, only the count is ours.
    let phase = if state.can_be_on_trial() { Phase::Verifying } else { state.phase() };
    let stored = machine.store_state(&mut state, phase);
    // Closed here, as `roll_back` opens the file itself and would wait for this lock.
    machine.close_state();
    Ok(machine.if_recorded(stored).map(|()| failures))
}

/// A check that passes before the update is activated has no excuse on its trial.
fn end_excuses<M: Running>(machine: &mut M, failed: &str) {
    let opened = machine.open_state();
    if let Some(mut state) = machine.if_recorded(opened)
        && state.end_excuses(failed)
    {
        let phase = state.phase();
        let stored = machine.store_state(&mut state, phase);
        machine.if_recorded(stored);
    }
    machine.close_state();
}

/// Whether a boot of `booted` has failed once the time for a trial is over: it is one, and there is a good slot to go back to. Where
/// there is none a box that runs is better than one that restarts.
pub fn can_run_out_of_time(state: &BootState, booted: Slot) -> bool {
    is_on_trial(state, booted) && state.slot(!booted) == SlotState::Good
}

/// Whether the slot that runs is on trial, by the block alone.
fn is_on_trial(state: &BootState, booted: Slot) -> bool {
    booted == state.active && state.slot(booted) == SlotState::Trial
}

/// The boot state and the slot that runs. Where the kernel command line does not say which one that is, it is the active one: the
/// grub.cfg of an older KubeSolo OS boots no other.
fn read<M: Env>(machine: &mut M) -> Result<(BootState, Slot), M::Error> {
    let state = machine.boot_state()?;
    let booted = machine.booted()?.unwrap_or(state.active);
    Ok((state, booted))
}
