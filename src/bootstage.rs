//! What the boot stage makes of the boot state: which slot is the active one where no copy of the block names one, and
//! what this boot is marked as. Changes memory only.

use crate::boot::BootState;
use crate::envblk::EnvBlock;
use crate::envstore::{Bytes, Source};
use crate::slot::{Slot, SlotState};

/// Whether a copy names an active slot.
pub fn names_a_slot(chosen: Option<(EnvBlock<&[u8]>, Source)>) -> bool {
    !matches!(chosen, None | Some((_, Source::Remains)))
}

/// For a `state` that was read from a `block` which does not say which slot is active: the one that runs is.
pub fn settle(state: &mut BootState, block: &EnvBlock<Bytes>, booted: Slot) {
    state.active = booted;
    if block.get(booted.variable()).is_none() {
        // Nor that it was ever good.
        *state = state.with_slot(booted, SlotState::Trial);
    }
}

/// Marks the boot, if it is `init` that marks it, and takes GRUB's word about a slot it gave up out of the state once that
/// is `recorded` elsewhere, with what the slot is now: a power cut between the two records it twice.
pub fn mark(state: &mut BootState, booted: Slot, recorded: impl FnOnce(Slot, SlotState) -> bool, init_decides: bool) {
    if let Some(slot) = state.rollback_from
        && recorded(slot, state.slot(slot))
    {
        state.rollback_from = None;
    }
    *state = state.after_init(booted, init_decides).unwrap_or(*state);
}
