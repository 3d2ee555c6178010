//! `status`: what is read of a box, and what follows from it. Nothing is written.
//!
//! The env block comes first, as all else is about it: without one there is no status. What else cannot be read is left out, so that a
//! box whose data partition or other slot is broken can still be asked.

use crate::boot::env_copies::{Found, Source};
use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::{BootState, Files, Reading};
use crate::flow::ports::Env;

/// A box that is looked at.
pub trait Inspected: Env {
    /// The disk that the box runs from.
    type Disk;
    /// What lies in a slot.
    type Content;
    /// Why a boot is degraded.
    type Reason;
    /// The last update, as `state.json` has it.
    type Update;
    /// The log of boots.
    type Boots;

    /// Reads both copies of the env block, under a lock that is given back.
    ///
    /// # Errors
    /// If neither copy is a block; those of finding the disk.
    fn read_env(&mut self) -> Result<EnvReading, Self::Error>;

    /// The disk; `None` if it is not found.
    fn disk(&mut self) -> Option<Self::Disk>;

    /// Whether a person chose in GRUB's menu what runs.
    fn was_chosen_by_hand(&self) -> bool;

    /// What lies in the slot.
    fn content(&mut self, slot: Slot) -> Self::Content;

    /// Why this boot is degraded, if it is.
    fn degraded(&mut self) -> Option<Self::Reason>;

    /// The last update, if there was one. Takes no lock: an update may be under way.
    fn update(&mut self) -> Option<Self::Update>;

    /// The past boots. Takes no lock.
    fn boots(&mut self) -> Self::Boots;
}

/// The env block as it was read.
#[derive(Clone, Debug)]
pub struct EnvReading {
    /// What it says, and what was assumed.
    pub reading: Reading,
    /// Which copy it comes from.
    pub source: Source,
    /// Both copies.
    pub copies: [Found; 2],
}

/// All that `status` shows.
pub struct Status<M: Inspected> {
    /// The env block.
    pub env: EnvReading,
    /// The disk.
    pub disk: Option<M::Disk>,
    /// The slot that runs, if that is known.
    pub booted: Option<Slot>,
    /// Whether a person chose it in GRUB's menu.
    pub by_hand: bool,
    /// What lies in slot A and in slot B.
    pub contents: [M::Content; 2],
    /// Why this boot is degraded, if it is.
    pub degraded: Option<M::Reason>,
    /// The last update.
    pub update: Option<M::Update>,
    /// The past boots.
    pub boots: M::Boots,
}

/// Reads all of it.
///
/// # Errors
/// [`Inspected::read_env`]; if the kernel command line names something that is no slot.
pub fn read<M: Inspected>(machine: &mut M) -> Result<Status<M>, M::Error> {
    let env = machine.read_env()?;
    Ok(Status {
        env,
        disk: machine.disk(),
        booted: machine.booted()?,
        by_hand: machine.was_chosen_by_hand(),
        contents: Slot::BOTH.map(|slot| machine.content(slot)),
        degraded: machine.degraded(),
        update: machine.update(),
        boots: machine.boots(),
    })
}

impl<M: Inspected> Status<M> {
    /// The boot state.
    pub const fn state(&self) -> &BootState {
        &self.env.reading.state
    }

    /// What lies in that slot.
    pub const fn content(&self, slot: Slot) -> &M::Content {
        let [a, b] = &self.contents;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }
}

/// The slot that GRUB will try first at the next power-on.
pub fn next_boot(state: &BootState) -> Option<Slot> {
    state.grub_boot(|_| Files::Whole, true).booted
}

/// The reason for the slot's state.
pub fn why(state: &BootState, slot: Slot) -> &'static str {
    let given_up = state.rollback_from == Some(slot);
    let active = state.active == slot;
    match state.slot(slot) {
        SlotState::Bad if given_up => {
            "given up: no boot of it was committed, it did not load, or it was rolled back from"
        }
        SlotState::Bad => "given up, rolled back from, or set by hand",
        SlotState::Trial if active => "on trial until healthcheck or commit",
        SlotState::Trial => "was on trial, and is not active any more",
        SlotState::Staged => "installed and verified, waiting for activate",
        SlotState::Empty => "nothing installed, or an install did not finish",
        SlotState::Good if given_up && state.is_left_for_good(slot) => "rolled back from, and good",
        SlotState::Good if given_up => "given up by GRUB for one boot: three did not reach init",
        SlotState::Good if state.retry == Some(slot) => "given up by GRUB once, and tried once more",
        SlotState::Good if active => "active",
        SlotState::Good => "what a rollback goes back to",
    }
}

/// The reason why that slot is the [`next_boot`].
pub fn why_next(state: &BootState, next: Slot) -> &'static str {
    match (next == state.active, state.slot(next)) {
        (false, _) if state.retry == Some(next) => "it was given up, is good, and is tried once more",
        (false, _) => "the active slot has no boots left or is not fit, and this one is good",
        (true, SlotState::Good) => "it is active and good",
        (true, SlotState::Trial) => "it is active and on trial",
        (true, _) => "it is active, and the other slot is not good either",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_boots_next_is_named_with_its_reason() {
        let fresh = BootState::fresh(SlotState::Staged);
        let trial = fresh.activate(Slot::B).unwrap();
        let spent = BootState { counter: 0, ..trial };
        let visit =
            BootState { retry: Some(Slot::B), counter: 2, success: false, ..fresh.with_slot(Slot::B, SlotState::Good) };
        for (what, state, next, why_it, why_b) in [
            ("a good slot", fresh, Slot::A, "it is active and good", "installed and verified, waiting for activate"),
            ("a trial", trial, Slot::B, "it is active and on trial", "on trial until healthcheck or commit"),
            (
                "a trial without boots left",
                spent,
                Slot::A,
                "the active slot has no boots left or is not fit, and this one is good",
                "on trial until healthcheck or commit",
            ),
            (
                "a visit to the other good slot",
                visit,
                Slot::B,
                "it was given up, is good, and is tried once more",
                "given up by GRUB once, and tried once more",
            ),
        ] {
            assert_eq!(next_boot(&state), Some(next), "{what}");
            assert_eq!((why_next(&state, next), why(&state, Slot::B)), (why_it, why_b), "{what}");
        }
    }
}
