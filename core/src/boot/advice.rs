//! What a person can do where the boot state forbids a command: the one place that decides it. A test follows each advice in the
//! model of the boot state, and ends where it promised.

use core::fmt;

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To keep the slot that runs.
    Commit,
    /// To go back to another slot than the active one.
    RollBack,
    /// To boot the other slot, on trial.
    Activate,
    /// To install an update into the other slot.
    Apply,
}

/// One command, or a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `reboot`
    Reboot,
    /// `kubesolo-boot rollback`
    RollBack,
    /// `kubesolo-boot commit`
    Commit,
    /// `kubesolo-boot apply`
    Apply,
    /// `kubesolo-boot activate`
    Activate,
    /// `kubesolo-boot slot set SLOT good`, of the slot that runs.
    SetGood(Slot),
}

/// Where the steps lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// That slot is good, and the active one.
    Stays(Slot),
    /// That slot boots next.
    Boots(Slot),
    /// That slot holds an update, which boots next, on trial.
    Updated(Slot),
    /// That slot holds an update, staged.
    Staged(Slot),
}

/// What to do, in this order, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What comes of it.
    pub goal: Goal,
    steps: [Option<Step>; 4],
}

impl Advice {
    /// The steps, in their order.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        self.steps.iter().flatten().copied()
    }

    /// What to do where `state` forbids the wish while `booted` runs.
    pub fn of(wish: Wish, state: &BootState, booted: Slot) -> Advice {
        let is_good = state.slot(booted) == SlotState::Good;
        let is_active = state.active == booted;
        match (wish, is_active) {
            (Wish::Commit | Wish::RollBack, false) => Advice::keep(booted, is_good),
            // An update needs a slot that is good, and the active one, to go back to.
            (Wish::Apply, false) if is_good => {
                Advice::new(Goal::Staged(!booted), [Some(Step::RollBack), Some(Step::Apply), None, None])
            }
            // The other slot is the active one: it boots next already.
            (Wish::Apply | Wish::Activate, false) => {
                Advice::new(Goal::Boots(!booted), [Some(Step::Reboot), None, None, None])
            }
            (Wish::Commit, true) => Advice::new(Goal::Stays(booted), [Some(Step::Commit), None, None, None]),
            (Wish::Apply, true) => {
                Advice::new(Goal::Staged(!booted), [Advice::commit(is_good), Some(Step::Apply), None, None])
            }
            (Wish::RollBack, true) if state.slot(!booted) == SlotState::Staged => {
                Advice::new(Goal::Boots(!booted), [Some(Step::Activate), Some(Step::Reboot), None, None])
            }
            // Nothing to go back to: another system comes by an update.
            (Wish::Activate | Wish::RollBack, true) => Advice::new(
                Goal::Updated(!booted),
                [Advice::commit(is_good), Some(Step::Apply), Some(Step::Activate), None],
            ),
        }
    }

    const fn new(goal: Goal, steps: [Option<Step>; 4]) -> Advice {
        Advice { goal, steps }
    }

    /// To keep a slot that runs and is not the active one. If it is not good, only a person can know better.
    const fn keep(booted: Slot, is_good: bool) -> Advice {
        let good = if is_good { None } else { Some(Step::SetGood(booted)) };
        Advice::new(Goal::Stays(booted), [good, Some(Step::RollBack), None, None])
    }

    const fn commit(is_good: bool) -> Option<Step> {
        if is_good { None } else { Some(Step::Commit) }
    }
}

/// `to keep slot A: kubesolo-boot rollback`.
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.goal {
            Goal::Stays(slot) => write!(f, "to keep slot {slot}: ")?,
            Goal::Boots(slot) => write!(f, "to boot slot {slot}: ")?,
            Goal::Updated(slot) | Goal::Staged(slot) => write!(f, "for another system in slot {slot}: ")?,
        }
        for (number, step) in self.steps().enumerate() {
            f.write_str(if number == 0 { "" } else { ", then " })?;
            match step {
                Step::Reboot => f.write_str("reboot")?,
                Step::RollBack => f.write_str("kubesolo-boot rollback")?,
                Step::Commit => f.write_str("kubesolo-boot commit")?,
                Step::Apply => f.write_str("kubesolo-boot apply")?,
                Step::Activate => f.write_str("kubesolo-boot activate")?,
                Step::SetGood(slot) => write!(f, "kubesolo-boot slot set {slot} good")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::state::{Files, TRIES};

    extern crate std;
    use std::format;

    /// What a box does with one step; `None` if the program refuses it.
    fn follow(state: BootState, booted: &mut Slot, step: Step) -> Option<BootState> {
        match step {
            Step::Commit => state.commit(*booted).ok(),
            Step::RollBack => state.rollback(*booted).ok(),
            Step::Activate => state.activate(!*booted).ok(),
            Step::Apply => {
                let may = state.active == *booted && state.slot(*booted) == SlotState::Good;
                may.then(|| state.invalidate(!*booted).stage(!*booted))
            }
            Step::SetGood(slot) => {
                // Only of a slot that was seen to run.
                assert_eq!(slot, *booted);
                Some(state.with_slot(slot, SlotState::Good))
            }
            Step::Reboot => {
                let boot = state.grub_boot(|_| Files::Whole, true);
                *booted = boot.booted?;
                Some(boot.on_disk.after_init(*booted, false).unwrap_or(boot.on_disk))
            }
        }
    }

    fn is_refused(wish: Wish, state: BootState, booted: Slot) -> bool {
        let step = match wish {
            Wish::Commit => Step::Commit,
            Wish::RollBack => Step::RollBack,
            Wish::Activate => Step::Activate,
            Wish::Apply => Step::Apply,
        };
        follow(state, &mut booted.clone(), step).is_none()
    }

    fn is_reached(goal: Goal, state: BootState, booted: Slot) -> bool {
        match goal {
            Goal::Stays(slot) => state.active == slot && state.slot(slot) == SlotState::Good && booted == slot,
            Goal::Boots(slot) => booted == slot,
            Goal::Updated(slot) => state.active == slot && state.slot(slot) == SlotState::Trial,
            Goal::Staged(slot) => state.slot(slot) == SlotState::Staged && booted != slot,
        }
    }

    /// Every state in which the active slot may be one, as `core/tests/graph.rs` shows of all that can be reached.
    fn states() -> impl Iterator<Item = BootState> {
        let all = SlotState::ALL;
        let pairs = all.into_iter().flat_map(move |a| all.into_iter().map(move |b| (a, b)));
        let states = pairs.flat_map(|(a, b)| {
            Slot::BOTH.into_iter().flat_map(move |active| {
                (0..=TRIES).flat_map(move |counter| {
                    [false, true].map(|success| BootState { active, counter, success, a, ..BootState::fresh(b) })
                })
            })
        });
        states.filter(|state| matches!(state.slot(state.active), SlotState::Good | SlotState::Trial))
    }

    #[test]
    fn each_advice_ends_where_it_promised() {
        let mut followed = 0;
        for state in states() {
            for booted in Slot::BOTH {
                for wish in [Wish::Commit, Wish::RollBack, Wish::Activate, Wish::Apply] {
                    if !is_refused(wish, state, booted) {
                        continue;
                    }
                    // Out of boots, GRUB goes to a good slot whatever the person wants; a power-on has counted before that.
                    let advice = Advice::of(wish, &state, booted);
                    if state.counter == 0 && !state.success && advice.steps().next() == Some(Step::Reboot) {
                        continue;
                    }
                    let (mut now, mut runs) = (state, booted);
                    for step in advice.steps() {
                        now = follow(now, &mut runs, step)
                            .unwrap_or_else(|| panic!("{wish:?} {state:?} {booted}: {advice}: {step:?} is refused"));
                    }
                    assert!(is_reached(advice.goal, now, runs), "{wish:?} {state:?} {booted}: {advice}: {now:?}");
                    followed += 1;
                }
            }
        }
        assert!(followed > 500, "{followed}");
    }

    #[test]
    fn nobody_is_told_to_call_a_slot_good_that_does_not_run() {
        let activated = BootState::fresh(SlotState::Staged).activate(Slot::B).unwrap();
        let keeps = format!("{}", Advice::of(Wish::Commit, &activated, Slot::A));
        assert_eq!(keeps, "to keep slot A: kubesolo-boot rollback");
        let again = format!("{}", Advice::of(Wish::Apply, &activated, Slot::A));
        assert_eq!(again, "for another system in slot B: kubesolo-boot rollback, then kubesolo-boot apply");
        let alone = format!("{}", Advice::of(Wish::RollBack, &BootState::fresh(SlotState::Empty), Slot::A));
        assert_eq!(alone, "for another system in slot B: kubesolo-boot apply, then kubesolo-boot activate");
        let by_hand = BootState { active: Slot::A, ..BootState::fresh(SlotState::Bad) };
        let keeps = format!("{}", Advice::of(Wish::RollBack, &by_hand, Slot::B));
        assert_eq!(keeps, "to keep slot B: kubesolo-boot slot set B good, then kubesolo-boot rollback");
    }
}
