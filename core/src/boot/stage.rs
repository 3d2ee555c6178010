//! The decisions of the boot stage: which slot is active if no copy of the block names one, whether the boot goes on, and whether a
//! trial may be committed. Changes memory only.

use crate::boot::env_block::EnvBlock;
use crate::boot::env_copies::{Bytes, Source};
use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;

/// What the boot stage has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The env block was read.
    pub block: bool,
    /// The slot that runs is the active one, and on trial.
    pub on_trial: bool,
    /// The other slot is good.
    pub way_back: bool,
    /// The data partition is mounted and takes writes.
    pub data: bool,
    /// The data partition did not take writes when this trial was activated, either.
    pub excused: bool,
}

/// How the boot goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The real init is started.
    GoOn {
        /// Whether a trial may be committed: everything works that worked before the update.
        may_commit: bool,
    },
    /// The box reboots: GRUB counts this boot of the trial as failed.
    Reboot,
}

/// Decides. It reboots only a trial, only if the data partition worked before the trial was activated, and only if the other slot
/// is good. If neither the block nor the data partition can be read, the new system may lack a driver for the disk: then what
/// GRUB said on the command line is enough to reboot.
pub const fn decide(seen: &Seen) -> Decision {
    let Seen { block, on_trial, way_back, data, excused } = *seen;
    if on_trial && !data && !excused && way_back {
        return Decision::Reboot;
    }
    Decision::GoOn { may_commit: block && (data || excused) }
}

/// Whether one of the copies names an active slot.
pub fn names_a_slot(chosen: Option<(EnvBlock<&[u8]>, Source)>) -> bool {
    !matches!(chosen, None | Some((_, Source::NoActiveSlot)))
}

/// Makes the booted slot the active one, for a `state` from a `block` that names no active slot.
pub fn adopt_booted(state: &mut BootState, block: &EnvBlock<Bytes>, booted: Slot) {
    state.active = booted;
    if block.get(booted.variable()).is_none() {
        // The block does not say either that this slot was ever good.
        *state = state.with_slot(booted, SlotState::Trial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REBOOT: Decision = Decision::Reboot;
    const GO_ON: Decision = Decision::GoOn { may_commit: false };
    const MAY_COMMIT: Decision = Decision::GoOn { may_commit: true };

    #[test]
    fn only_a_trial_that_broke_what_worked_is_sent_back() {
        let good = Seen { block: true, on_trial: false, way_back: true, data: true, excused: false };
        let trial = Seen { on_trial: true, ..good };
        for (what, seen, want) in [
            ("a good slot", good, MAY_COMMIT),
            ("a good slot without data", Seen { data: false, ..good }, GO_ON),
            ("a good slot without its block", Seen { block: false, ..good }, GO_ON),
            ("a good slot without either", Seen { block: false, data: false, ..good }, GO_ON),
            ("a trial", trial, MAY_COMMIT),
            ("a trial without data", Seen { data: false, ..trial }, REBOOT),
            ("the same, and there were none before", Seen { data: false, excused: true, ..trial }, MAY_COMMIT),
            ("the same, and nothing to go back to", Seen { data: false, way_back: false, ..trial }, GO_ON),
            ("a trial without its block", Seen { block: false, ..trial }, GO_ON),
            ("a trial that reaches no disk", Seen { block: false, data: false, ..trial }, REBOOT),
        ] {
            assert_eq!(decide(&seen), want, "{what}");
        }
    }
}
