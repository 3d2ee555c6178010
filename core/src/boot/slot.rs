//! The two system slots and what each of them can hold.

use core::fmt;
use core::ops::Not;

/// One of the two system partitions. `!slot` is the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Partition `KSOLOA`.
    A,
    /// Partition `KSOLOB`.
    B,
}

impl Slot {
    /// Both, in the order in which a box without any record tries them.
    pub const BOTH: [Slot; 2] = [Slot::A, Slot::B];

    /// The slot called `A` or `B`; nothing else is a slot.
    pub fn parse(text: &str) -> Option<Slot> {
        Slot::BOTH.into_iter().find(|slot| slot.name() == text)
    }

    /// `A` or `B`, as the env block and the kernel command line write it.
    pub const fn name(self) -> &'static str {
        match self {
            Slot::A => "A",
            Slot::B => "B",
        }
    }

    /// The GPT partition name and filesystem label.
    pub const fn partition(self) -> &'static str {
        match self {
            Slot::A => "KSOLOA",
            Slot::B => "KSOLOB",
        }
    }

    /// The env block variable that records this slot's state.
    pub const fn variable(self) -> &'static str {
        match self {
            Slot::A => "slot_A",
            Slot::B => "slot_B",
        }
    }
}

impl Not for Slot {
    type Output = Slot;

    fn not(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a slot holds. GRUB falls back only to a `Good` slot, and activates no other slot by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Nothing, or an install that has not finished.
    Empty,
    /// A whole, verified system that has never been activated.
    Staged,
    /// Activated, and not yet committed.
    Trial,
    /// Committed: a boot of it passed its checks.
    Good,
    /// Given up, by GRUB or by a rollback.
    Bad,
}

impl SlotState {
    /// Every state, in the order of a slot's life.
    pub const ALL: [SlotState; 5] =
        [SlotState::Empty, SlotState::Staged, SlotState::Trial, SlotState::Good, SlotState::Bad];

    /// The state of that name; nothing else is a state.
    pub fn parse(text: &str) -> Option<SlotState> {
        SlotState::ALL.into_iter().find(|state| state.name() == text)
    }

    /// The word in the env block.
    pub const fn name(self) -> &'static str {
        match self {
            SlotState::Empty => "empty",
            SlotState::Staged => "staged",
            SlotState::Trial => "trial",
            SlotState::Good => "good",
            SlotState::Bad => "bad",
        }
    }
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_letters_are_slots() {
        assert_eq!(Slot::parse("A"), Some(Slot::A));
        assert_eq!(Slot::parse("B"), Some(Slot::B));
        for text in ["", "a", "C", "A ", "AB"] {
            assert_eq!(Slot::parse(text), None, "{text:?}");
        }
        assert_eq!(!Slot::A, Slot::B);
        assert_eq!(!!Slot::B, Slot::B);
    }

    #[test]
    fn every_state_is_read_back_from_its_name() {
        for state in SlotState::ALL {
            assert_eq!(SlotState::parse(state.name()), Some(state));
        }
        assert_eq!(SlotState::parse("Good"), None);
    }
}
