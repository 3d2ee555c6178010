//! The boot state and every transition of it: a pure value, read from and written to an [`EnvBlock`].
//!
//! All that decides what boots next stands in eight variables of GRUB's environment block:
//!
//! | variable | values | meaning |
//! |---|---|---|
//! | `active_slot` | `A` `B` | the slot GRUB boots |
//! | `boot_counter` | `3` … `0` | boots left before the active slot is given up |
//! | `boot_success` | `0` `1` | whether the newest boot of the active slot was marked good |
//! | `slot_A`, `slot_B` | `empty` `staged` `trial` `good` `bad` | what each slot holds |
//! | `rollback_from` | `A` `B` or unset | the slot that GRUB gave up or that was rolled back from; cleared once recorded |
//! | `retry_slot` | `A` `B` or unset | the good slot that GRUB gave up although its files are right, and tries once more |
//! | `data_excused` | `1` or unset | the data partition could not be used when the newest trial was activated |
//!
//! | who | when | change (one write) | here |
//! |---|---|---|---|
//! | GRUB | `boot_success=1` | `boot_counter=3`, then as the rows below | [`BootState::grub_boot`] |
//! | GRUB | `retry_slot` = the other slot, both `good` | active slot = the other, `boot_counter=3`, no `retry_slot` if this visit was not marked, then as the next row | ″ |
//! | GRUB | counter > 0 | `boot_success=0`, counter − 1, boot the active slot | ″ |
//! | GRUB | counter = 0 of a `good` slot without `retry_slot`, other slot `good` | `retry_slot`=`rollback_from`=active slot, switch, `boot_counter=2`, `boot_success=0`, boot | ″ |
//! | GRUB | counter = 0 of any other, or the active slot does not load, other slot `good` | active slot → `bad`, `rollback_from`=it, no `retry_slot`, switch, `boot_counter=2`, `boot_success=0`, boot | ″ |
//! | GRUB | counter = 0, or it does not load, other slot not `good` | `boot_counter=2`, boot the active slot again, whatever its sums | ″ |
//! | `init` | active slot `good` | `boot_success=1`, `boot_counter=3`, no `retry_slot` for it | [`BootState::after_init`] |
//! | `init` | active slot `trial`, `mark=init`, probe passed | as `commit` | ″ |
//! | `apply` | before the first byte is written | target → `empty`, no `retry_slot` and `rollback_from` for it; if it was active (`--force`), the booted slot is now, `boot_counter=3`, `boot_success=0` | [`BootState::invalidate`] |
//! | `apply` | written, synced, read back, verified | target → `staged` | [`BootState::stage`] |
//! | `activate` | target `staged` | active slot = target, target → `trial`, `boot_counter=3`, `boot_success=0`, no `retry_slot` | [`BootState::activate`] |
//! | `healthcheck` | all checks passed | booted slot → `good`, `boot_success=1`, `boot_counter=3`, no `retry_slot` | [`BootState::commit`] |
//! | `rollback` | the slot that is not active is `good` | `rollback_from`=active slot, which is `bad` if it was `trial`; switch, `boot_counter=3`, `boot_success=1` if that slot runs, else 0, no `retry_slot` | [`BootState::rollback`] |
//! | `rollback` | the same, and the active slot is a `trial` that was never booted | active slot → `staged`, the rest as above, but for `rollback_from` | ″ |
//! | `rollback`, `init` | the way back is recorded in `state.json` | no `rollback_from` | [`BootState::recorded`] |
//!
//! So an activated slot gets three boots; if none is committed, the fourth power-on boots the old slot. If three boots of a good
//! slot did not reach `init`, GRUB boots the other good slot once (a visit), and then gives the first slot three more boots. If none
//! of them reaches `init` either, but the visit did, the first slot becomes `bad` and the other one stays active.
//!
//! "Does not load" includes a slot whose files do not have the SHA-256 of its own list. GRUB verifies them before every boot,
//! except that of a good slot whose newest boot was marked good. A slot without a list is booted, unless it is on trial.
//!
//! GRUB's rows are executed by `grub/grub.cfg`; the function here is its model, and `qemu-tests/tests/grub_table.rs` runs
//! both. `core/tests/graph.rs` visits every state that can come of them.

use core::fmt;

use crate::boot::env_block::{EnvBlock, Error as BlockError, ONE_SECTOR, SIZE, Value};
use crate::boot::slot::{Slot, SlotState};
use crate::ignore::ignore;

/// Boots an activated slot gets.
pub const TRIES: u8 = 3;
/// Boots left after GRUB itself has fallen back to a slot: that boot is the first of the three.
const TRIES_AFTER_FALLBACK: u8 = 2;

/// Names of the variables that every block has, in the order in which a new one has them.
const VARIABLES: [&str; 5] = [ACTIVE_SLOT, BOOT_COUNTER, BOOT_SUCCESS, Slot::A.variable(), Slot::B.variable()];
const ACTIVE_SLOT: &str = "active_slot";
const BOOT_COUNTER: &str = "boot_counter";
const BOOT_SUCCESS: &str = "boot_success";
/// Names of the variables that a block has only where there is something to say.
const OPTIONAL: [&str; 3] = [ROLLBACK_FROM, RETRY_SLOT, DATA_EXCUSED];
const ROLLBACK_FROM: &str = "rollback_from";
const RETRY_SLOT: &str = "retry_slot";
const DATA_EXCUSED: &str = "data_excused";

/// What boots next, and how often it may still fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BootState {
    /// The slot GRUB boots next.
    pub active: Slot,
    /// Boots left before the active slot is given up, 0 to [`TRIES`].
    pub counter: u8,
    /// Whether the newest boot of the active slot was marked good.
    pub success: bool,
    /// State of slot A.
    pub a: SlotState,
    /// State of slot B.
    pub b: SlotState,
    /// The slot that GRUB gave up, or that was rolled back from, until that is recorded.
    pub rollback_from: Option<Slot>,
    /// The good slot that GRUB gave up because three boots did not reach `init`. While the other slot is active, GRUB goes back to
    /// this one after one boot. While this one is active, these are its second three boots, and the other slot reached `init`.
    pub retry: Option<Slot>,
    /// The data partition could not be used when the newest trial was activated: the trial is not rolled back because of it.
    pub data_excused: bool,
}

/// Why a transition is not made. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no good slot to go back to.
    NotGood {
        /// The slot of the request.
        slot: Slot,
        /// What it holds.
        state: SlotState,
    },
    /// Only a staged slot can be activated.
    NotStaged {
        /// The slot of the request.
        slot: Slot,
        /// What it holds.
        state: SlotState,
    },
    /// The booted slot is not the one that the block counts boots of: it was chosen by hand.
    NotActive {
        /// The slot that runs.
        booted: Slot,
        /// The slot the block is about.
        active: Slot,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotGood { slot, state } => write!(f, "slot {slot} is {state}, not good"),
            Refused::NotStaged { slot, state } => write!(f, "slot {slot} is {state}, not staged"),
            Refused::NotActive { booted, active } => {
                write!(f, "slot {booted} runs, but slot {active} is the active one")
            }
        }
    }
}

impl core::error::Error for Refused {}

/// A variable that was missing or impossible, and what was assumed in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// `active_slot` names no slot; this one was taken.
    Active(Slot),
    /// `boot_counter` is not 0 to 3; taken as [`TRIES`].
    Counter,
    /// `boot_success` is neither 0 nor 1; taken as 0.
    Success,
    /// The slot's state is no state; taken as bad.
    State(Slot),
    /// The slot's state is missing, as in the block of an older KubeSolo OS; judged by the slot's files, and good only
    /// if the block names an active slot, as that one does. The active one is on trial if its newest boot was not marked.
    Unrecorded(Slot, SlotState),
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Assumption::Active(slot) => write!(f, "active_slot is missing or impossible, taken as {slot}"),
            Assumption::Counter => write!(f, "boot_counter is missing or impossible, taken as {TRIES}"),
            Assumption::Success => f.write_str("boot_success is missing or impossible, taken as 0"),
            Assumption::State(slot) => write!(f, "{} is impossible, taken as bad", slot.variable()),
            Assumption::Unrecorded(slot, state) => write!(f, "{} is missing, taken as {state}", slot.variable()),
        }
    }
}

/// A boot state, and what was assumed where the block was damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The state, with a safe value in place of each missing or impossible one.
    pub state: BootState,
    /// One entry for each variable that was not as it should be.
    pub assumptions: heapless::Vec<Assumption, 5>,
}

/// Whether GRUB can go by this block: it names the active slot.
pub fn names_a_slot<B: AsRef<[u8]>>(block: &EnvBlock<B>) -> bool {
    block.get(ACTIVE_SLOT).and_then(parse_slot).is_some()
}

impl BootState {
    /// A box that has just been installed: slot A good and active, slot B as given.
    pub const fn fresh(b: SlotState) -> BootState {
        BootState {
            active: Slot::A,
            counter: TRIES,
            success: true,
            a: SlotState::Good,
            b,
            rollback_from: None,
            retry: None,
            data_excused: false,
        }
    }

    /// The state to record when no copy of the block could be read. The booted slot is on trial, as nothing says that it ever
    /// passed its checks; the other slot is not good for the same reason, so that GRUB does not fall back to it.
    pub fn lost(booted: Slot, has_files: impl Fn(Slot) -> bool) -> BootState {
        let other = if has_files(!booted) { SlotState::Staged } else { SlotState::Empty };
        BootState {
            active: booted,
            counter: TRIES,
            success: false,
            a: SlotState::Trial,
            b: SlotState::Trial,
            rollback_from: None,
            retry: None,
            data_excused: false,
        }
        .with_slot(!booted, other)
    }

    /// Reads the state. For a variable that is missing or impossible it takes a safe value, and lists that as an assumption. No
    /// other function does.
    ///
    /// `has_files` gives whether a slot holds a kernel and an initramfs; it is called only for a slot without a state.
    pub fn read_safely<B: AsRef<[u8]>>(block: &EnvBlock<B>, has_files: &dyn Fn(Slot) -> bool) -> Reading {
        let Reading { mut state, mut assumptions } = BootState::read_as_grub(block, has_files);
        // An older KubeSolo OS marks a boot that passed its checks, and has no other word for a slot on trial.
        let unmarked = Assumption::Unrecorded(state.active, SlotState::Good);
        if let Some(found) = assumptions.iter_mut().find(|found| !state.success && **found == unmarked) {
            *found = Assumption::Unrecorded(state.active, SlotState::Trial);
            state = state.with_slot(state.active, SlotState::Trial);
        }
        Reading { state, assumptions }
    }

    /// The same as `grub/grub.cfg` reads it: there a slot without a state is good if it has files, also if its newest boot was not
    /// marked, for it has no list of sums that a trial would need.
    pub fn read_as_grub<B: AsRef<[u8]>>(block: &EnvBlock<B>, has_files: &dyn Fn(Slot) -> bool) -> Reading {
        let mut assumptions = heapless::Vec::new();
        let mut assume = |found: Assumption| ignore(assumptions.push(found), "there is room for one of each variable");

        // In one pass; of a name that stands twice the last counts, as for GRUB.
        let [active, counter, success, a, b] = VARIABLES;
        let names = [active, counter, success, a, b, ROLLBACK_FROM, RETRY_SLOT, DATA_EXCUSED];
        let mut values = [None; 8];
        for var in block.variables() {
            let place = names.iter().zip(&mut values).find(|(name, _)| name.as_bytes() == var.name);
            place.into_iter().for_each(|(_, value)| *value = Some(var.value));
        }
        let [active, counter, success, a, b, rollback_from, retry, excused] = values;

        let mut slot_state = |slot: Slot, value: Option<Value<'_>>| match value {
            Some(value) => SlotState::ALL.into_iter().find(|state| value.is(state.name())).unwrap_or_else(|| {
                assume(Assumption::State(slot));
                SlotState::Bad
            }),
            None => {
                let state = match has_files(slot) {
                    true if names_a_slot(block) => SlotState::Good,
                    // Not the block of an older KubeSolo OS, which names an active slot: nothing says that this slot is good.
                    true => SlotState::Staged,
                    false => SlotState::Empty,
                };
                assume(Assumption::Unrecorded(slot, state));
                state
            }
        };
        let (a, b) = (slot_state(Slot::A, a), slot_state(Slot::B, b));

        let active = active.and_then(parse_slot).unwrap_or_else(|| {
            let safe = if a != SlotState::Good && b == SlotState::Good { Slot::B } else { Slot::A };
            assume(Assumption::Active(safe));
            safe
        });
        let counter = counter.and_then(parse_counter).unwrap_or_else(|| {
            assume(Assumption::Counter);
            TRIES
        });
        if !success.is_some_and(|value| value.is("0") || value.is("1")) {
            assume(Assumption::Success);
        }
        let success = success.is_some_and(|value| value.is("1"));
        let [rollback_from, retry] = [rollback_from, retry].map(|slot| slot.and_then(parse_slot));
        let data_excused = excused.is_some_and(|value| value.is("1"));
        Reading { state: BootState { active, counter, success, a, b, rollback_from, retry, data_excused }, assumptions }
    }

    /// Puts the state into the block: a variable that is there keeps its place, a missing one is appended. Give it a
    /// block that is [`EnvBlock::canonical`], where no name stands twice. Changes memory only.
    ///
    /// # Errors
    /// [`BlockError::NoRoom`]; the block may then hold a part of the state and must not be written.
    pub fn write_to<B: AsRef<[u8]> + AsMut<[u8]>>(&self, block: &mut EnvBlock<B>) -> Result<(), BlockError> {
        let digit = match self.counter {
            0 => "0",
            1 => "1",
            2 => "2",
            _ => "3",
        };
        let success = if self.success { "1" } else { "0" };
        let values = [self.active.name(), digit, success, self.a.name(), self.b.name()];
        for (name, value) in VARIABLES.iter().zip(values) {
            block.set(name.as_bytes(), value.as_bytes())?;
        }
        let excused = self.data_excused.then_some("1");
        let [rollback_from, retry] = [self.rollback_from, self.retry].map(|slot| slot.map(Slot::name));
        for (name, value) in OPTIONAL.iter().zip([rollback_from, retry, excused]) {
            match value {
                Some(value) => block.set(name.as_bytes(), value.as_bytes())?,
                None => block.unset(name.as_bytes()),
            };
        }
        Ok(())
    }

    /// The block with the state in it. Where all of it does not fit into the first sector, the state's variables come first,
    /// so that they do. Changes memory only.
    ///
    /// # Errors
    /// [`BlockError::NoRoom`].
    pub fn into_block(self, block: &EnvBlock<[u8; SIZE]>) -> Result<EnvBlock<[u8; SIZE]>, BlockError> {
        let mut new = block.clone();
        self.write_to(&mut new)?;
        if new.text_len() <= ONE_SECTOR {
            return Ok(new);
        }
        let mut sorted = EnvBlock::blank();
        self.write_to(&mut sorted)?;
        let ours = VARIABLES.iter().chain(&OPTIONAL);
        for var in new.variables().filter(|var| !ours.clone().any(|name| name.as_bytes() == var.name)) {
            let value: heapless::Vec<u8, SIZE> = var.value.bytes().take(SIZE).collect();
            sorted.set(var.name, &value)?;
        }
        Ok(sorted)
    }

    /// What that slot holds.
    pub const fn slot(&self, slot: Slot) -> SlotState {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }

    /// The same state with that slot holding `state`; no other rule is applied.
    #[must_use]
    pub const fn with_slot(mut self, slot: Slot, state: SlotState) -> BootState {
        match slot {
            Slot::A => self.a = state,
            Slot::B => self.b = state,
        }
        self
    }

    /// `init`'s transition: marks a boot of the active slot good, or commits a trial if `init` decides about trials
    /// (`mark=init`). `None`: nothing to write, either because all is written or because `healthcheck` decides.
    pub fn after_init(self, booted: Slot, init_decides: bool) -> Option<BootState> {
        if booted != self.active {
            return None;
        }
        let marked = match self.slot(booted) {
            SlotState::Good => {
                BootState { success: true, counter: TRIES, data_excused: false, ..self }.without_retry(booted)
            }
            SlotState::Trial if init_decides => {
                BootState { success: true, counter: TRIES, data_excused: false, ..self }
                    .with_slot(booted, SlotState::Good)
            }
            _ => return None,
        };
        (marked != self).then_some(marked)
    }

    /// The state in which that slot does not get its boots once more.
    const fn without_retry(self, slot: Slot) -> BootState {
        match (self.retry, slot) {
            (Some(Slot::A), Slot::A) | (Some(Slot::B), Slot::B) => BootState { retry: None, ..self },
            _ => self,
        }
    }

    /// The booted slot has passed its checks, or a person wants to keep it.
    ///
    /// # Errors
    /// [`Refused::NotActive`] if the booted slot was chosen by hand.
    pub fn commit(self, booted: Slot) -> Result<BootState, Refused> {
        if booted != self.active {
            return Err(Refused::NotActive { booted, active: self.active });
        }
        let committed = BootState { success: true, counter: TRIES, retry: None, data_excused: false, ..self };
        Ok(committed.with_slot(booted, SlotState::Good))
    }

    /// Back from the active slot to the other one: to the slot that is not booted, or to the booted one if the other was just
    /// activated or the booted one was chosen by hand.
    ///
    /// # Errors
    /// [`Refused::NotGood`] if the slot to go back to is not known good.
    pub fn rollback(self, booted: Slot) -> Result<BootState, Refused> {
        let (left, slot) = (self.active, !self.active);
        let state = self.slot(slot);
        if state != SlotState::Good {
            return Err(Refused::NotGood { slot, state });
        }
        let never_booted = booted != left && self.counter == TRIES;
        let (old, rollback_from) = match self.slot(left) {
            // Nothing is known against it: it can be activated once more.
            SlotState::Trial if never_booted => (SlotState::Staged, self.rollback_from),
            SlotState::Trial => (SlotState::Bad, Some(left)),
            other => (other, Some(left)),
        };
        // A slot that runs has reached `init`.
        let success = booted == slot;
        let back = BootState { active: slot, counter: TRIES, success, retry: None, rollback_from, ..self };
        Ok(back.with_slot(left, old))
    }

    /// The way back from that slot is recorded in `state.json`.
    #[must_use]
    pub fn recorded(self, left: Slot) -> BootState {
        BootState { rollback_from: self.rollback_from.filter(|from| *from != left), ..self }
    }

    /// Whether the slot that was left became one that is not tried again by itself: it was rolled back from, or GRUB gave it up for
    /// good. A good slot that GRUB gave up for one boot is not.
    pub fn is_left_for_good(&self, left: Slot) -> bool {
        self.slot(left) != SlotState::Good || (self.active != left && self.retry != Some(left))
    }

    /// The target slot is about to be overwritten. If it was the active one, that is now the other.
    #[must_use]
    pub fn invalidate(self, target: Slot) -> BootState {
        let state = if self.active == target {
            BootState { active: !target, counter: TRIES, success: false, ..self }
        } else {
            self
        };
        state.with_slot(target, SlotState::Empty).without_retry(target).recorded(target)
    }

    /// The target slot holds a whole, verified system.
    #[must_use]
    pub fn stage(self, target: Slot) -> BootState {
        self.with_slot(target, SlotState::Staged)
    }

    /// The target slot is booted next, on trial. The caller sets [`BootState::data_excused`].
    ///
    /// # Errors
    /// [`Refused::NotStaged`].
    pub fn activate(self, target: Slot) -> Result<BootState, Refused> {
        let state = self.slot(target);
        if state != SlotState::Staged {
            return Err(Refused::NotStaged { slot: target, state });
        }
        Ok(BootState { active: target, counter: TRIES, success: false, retry: None, ..self }
            .with_slot(target, SlotState::Trial))
    }

    /// The model of `ksolo_by_block` in `grub/grub.cfg`: one power-on with a readable block. `files` gives what GRUB
    /// finds in a slot, `saves` whether the disk takes what GRUB writes.
    pub fn grub_boot(self, files: impl Fn(Slot) -> Files, saves: bool) -> GrubBoot {
        let is_good = |slot| self.slot(slot) == SlotState::Good;
        // This boot was the one visit to this slot: the other one gets its boots once more.
        let goes_back = self.retry == Some(!self.active) && is_good(self.active) && is_good(!self.active);
        let now = if goes_back {
            // If the visit was not marked good either, the two slots failed alike: then `retry` is cleared, so that the other slot
            // does not become bad.
            let retry = self.retry.filter(|_| self.success);
            BootState { active: !self.active, counter: TRIES, success: false, retry, ..self }
        } else {
            BootState { counter: if self.success { TRIES } else { self.counter }, ..self }
        };
        let (active, other) = (now.active, !now.active);
        let on_trial = now.slot(active) == SlotState::Trial;
        let loads = |slot| files(slot).load_well(now.slot(slot));
        let loads_active = if now.success && is_good(active) { files(active).load() } else { loads(active) };
        let mut on_disk = self;
        let mut first_save = None;
        let mut tried = false;

        if now.counter > 0 && (on_trial || is_good(active) || !is_good(other)) {
            tried = true;
            let counted = BootState { counter: now.counter.saturating_sub(1), success: false, ..now };
            if saves {
                on_disk = counted;
                first_save = Some(counted);
            } else if (on_trial || goes_back) && is_good(other) && loads(other) {
                // GRUB cannot count this boot, so it could boot this slot for ever.
                return GrubBoot { on_disk, first_save, booted: Some(other) };
            }
            if loads_active {
                return GrubBoot { on_disk, first_save, booted: Some(active) };
            }
        }
        let given_up = BootState { counter: TRIES_AFTER_FALLBACK, success: false, ..now };
        let after = if !is_good(other) {
            given_up
        } else if is_good(active) && !tried && now.retry != Some(active) {
            BootState { active: other, rollback_from: Some(active), retry: Some(active), ..given_up }
        } else {
            BootState { active: other, rollback_from: Some(active), retry: None, ..given_up }
                .with_slot(active, SlotState::Bad)
        };
        if saves {
            on_disk = after;
        }
        // If the other slot is not good, the active one is booted even with a wrong sum.
        let boots = if is_good(other) { loads(after.active) } else { files(after.active).load() };
        GrubBoot { on_disk, first_save, booted: boots.then_some(after.active) }
    }
}

/// What GRUB finds in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Files {
    /// Kernel and initramfs load, and have the SHA-256 of the slot's list.
    Whole,
    /// They load, and there is no such list.
    Unlisted,
    /// They load, and do not have the sums of the list.
    Damaged,
    /// One of them is missing, or cannot be loaded.
    Absent,
}

impl Files {
    /// Whether they can be loaded, whatever their sums.
    pub const fn load(self) -> bool {
        !matches!(self, Files::Absent)
    }

    /// Whether GRUB loads them when it verifies the sums first, for a slot of that state.
    pub const fn load_well(self, state: SlotState) -> bool {
        match self {
            Files::Whole => true,
            Files::Unlisted => !matches!(state, SlotState::Trial),
            Files::Damaged | Files::Absent => false,
        }
    }
}

/// How a power-on ends in GRUB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrubBoot {
    /// The state that GRUB left in the block.
    pub on_disk: BootState,
    /// The state that GRUB saved before it tried to load anything, if it did. A power cut right after that leaves it.
    pub first_save: Option<BootState>,
    /// The slot whose kernel was started; `None`: none loads, and the box resets and tries again.
    pub booted: Option<Slot>,
}

/// The model of `ksolo_without_block`: the slot booted when no copy of the block names one. `a` and `b` are the
/// slots' states, if the first copy has them.
pub fn grub_boot_without_block(
    a: Option<SlotState>,
    b: Option<SlotState>,
    files: impl Fn(Slot) -> Files,
) -> Option<Slot> {
    let good = Some(SlotState::Good);
    let (first, second_state) = if a != good && b == good { (Slot::B, a) } else { (Slot::A, b) };
    let second = (second_state.is_none() || second_state == good).then_some(!first);
    let mut order = [Some(first), second].into_iter().flatten();
    // Without a block no slot is known to be on trial.
    let whole = order.clone().find(|slot| files(*slot).load_well(SlotState::Good));
    whole.or_else(|| order.find(|slot| files(*slot).load()))
}

fn parse_slot(value: Value<'_>) -> Option<Slot> {
    Slot::BOTH.into_iter().find(|slot| value.is(slot.name()))
}

fn parse_counter(value: Value<'_>) -> Option<u8> {
    let mut bytes = value.bytes();
    match (bytes.next()?, bytes.next()) {
        (digit @ b'0'..=b'3', None) => digit.checked_sub(b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::env_block::BlockDefect;
    use SlotState::*;

    extern crate std;
    use std::format;

    fn state(active: Slot, counter: u8, success: bool, a: SlotState, b: SlotState) -> BootState {
        BootState { active, counter, success, a, b, rollback_from: None, retry: None, data_excused: false }
    }

    fn block(pairs: &[(&str, &str)]) -> EnvBlock<[u8; crate::boot::env_block::SIZE]> {
        let mut block = EnvBlock::blank();
        for (name, value) in pairs {
            block.set(name.as_bytes(), value.as_bytes()).unwrap();
        }
        block
    }

    fn no_files(slot: Slot) -> bool {
        panic!("the files of slot {slot} were asked for although its state is recorded")
    }

    const ALL_STATES: [SlotState; 5] = SlotState::ALL;

    fn every_state() -> impl Iterator<Item = BootState> {
        Slot::BOTH.into_iter().flat_map(|active| {
            (0..=TRIES).flat_map(move |counter| {
                [false, true].into_iter().flat_map(move |success| {
                    ALL_STATES
                        .into_iter()
                        .flat_map(move |a| ALL_STATES.into_iter().map(move |b| state(active, counter, success, a, b)))
                })
            })
        })
    }

    #[test]
    fn every_state_is_read_back_as_it_was_written() {
        for from in every_state() {
            let gone = [None, Some(Slot::A), Some(Slot::B)];
            for (rollback_from, retry) in gone.iter().flat_map(|one| gone.map(|other| (*one, other))) {
                let from = BootState { rollback_from, retry, ..from };
                let mut block = block(&[("other", "kept")]);
                from.write_to(&mut block).unwrap();
                let reading = BootState::read_safely(&block, &no_files);
                assert_eq!(reading.state, from);
                assert!(reading.assumptions.is_empty());
                assert!(block.get("other").unwrap().is("kept"));
                assert!(block.text_len() <= crate::boot::env_block::ONE_SECTOR);
            }
        }
    }

    #[test]
    fn doubtful_variables_are_read_safely_and_named() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], BootState, &'a [Assumption]);
        let rows: &[Row] = &[
            (
                "older KubeSolo OS, both slots populated",
                &[("active_slot", "B"), ("boot_counter", "3"), ("boot_success", "1")],
                state(Slot::B, 3, true, Good, Good),
                &[Assumption::Unrecorded(Slot::A, Good), Assumption::Unrecorded(Slot::B, Good)],
            ),
            (
                "older KubeSolo OS, the newest boot was not marked",
                &[("active_slot", "B"), ("boot_counter", "2"), ("boot_success", "0")],
                state(Slot::B, 2, false, Good, Trial),
                &[Assumption::Unrecorded(Slot::A, Good), Assumption::Unrecorded(Slot::B, Trial)],
            ),
            (
                "nothing at all",
                &[],
                state(Slot::A, 3, false, Staged, Staged),
                &[
                    Assumption::Unrecorded(Slot::A, Staged),
                    Assumption::Unrecorded(Slot::B, Staged),
                    Assumption::Active(Slot::A),
                    Assumption::Counter,
                    Assumption::Success,
                ],
            ),
            (
                "no active slot: the good one",
                &[("boot_counter", "1"), ("boot_success", "0"), ("slot_A", "bad"), ("slot_B", "good")],
                state(Slot::B, 1, false, Bad, Good),
                &[Assumption::Active(Slot::B)],
            ),
            (
                "no active slot, nothing good: A",
                &[
                    ("active_slot", "C"),
                    ("boot_counter", "1"),
                    ("boot_success", "0"),
                    ("slot_A", "trial"),
                    ("slot_B", "staged"),
                ],
                state(Slot::A, 1, false, Trial, Staged),
                &[Assumption::Active(Slot::A)],
            ),
            (
                "values that are none",
                &[
                    ("active_slot", "A"),
                    ("boot_counter", "10"),
                    ("boot_success", "yes"),
                    ("slot_A", "fine"),
                    ("slot_B", ""),
                ],
                state(Slot::A, 3, false, Bad, Bad),
                &[Assumption::State(Slot::A), Assumption::State(Slot::B), Assumption::Counter, Assumption::Success],
            ),
        ];
        for (name, pairs, want, assumptions) in rows {
            let reading = BootState::read_safely(&block(pairs), &|_| true);
            assert_eq!(reading.state, *want, "{name}");
            assert_eq!(reading.assumptions, **assumptions, "{name}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_read_as_grub_reads_it_and_written_once() {
        let mut bytes = *block(&[("active_slot", "A"), ("active_slox", "B")]).bytes().first_chunk::<1024>().unwrap();
        let at = bytes.windows(11).position(|window| window == b"active_slox").unwrap();
        bytes[at + 10] = b't';
        let twice = EnvBlock::parse(bytes).unwrap();
        let reading = BootState::read_safely(&twice, &|_| true);
        assert_eq!(reading.state.active, Slot::B);
        let mut once = twice.canonical();
        reading.state.write_to(&mut once).unwrap();
        assert_eq!(once.variables().filter(|var| var.name == b"active_slot").count(), 1);
        assert!(once.get(ACTIVE_SLOT).unwrap().is("B"));
    }

    #[test]
    fn a_broken_line_hides_no_variable_for_long() {
        for line in ["boot_counter92\nboot_success=1", "slot_A", "#\\", "next=\\", ""] {
            let mut bytes = *EnvBlock::blank().bytes().first_chunk::<1024>().unwrap();
            let at = EnvBlock::blank().text_len();
            bytes[at..at + line.len()].copy_from_slice(line.as_bytes());
            bytes[at + line.len()] = b'\n';
            let broken = EnvBlock::parse(bytes).unwrap();
            assert_eq!(broken.defect(), Some(BlockDefect::Name), "{line}");
            let reading = BootState::read_safely(&broken, &|_| true);
            let mut repaired = broken.canonical();
            reading.state.write_to(&mut repaired).unwrap();
            assert_eq!(repaired.defect(), None, "{line}");
            let again = BootState::read_safely(&repaired, &|_| true);
            assert_eq!((again.state, again.assumptions.len()), (reading.state, 0), "{line}");
        }
    }

    #[test]
    fn transitions_follow_the_table() {
        let steady = state(Slot::A, 3, true, Good, Good);
        let trial = state(Slot::B, 2, false, Good, Trial);
        let visit = BootState { retry: Some(Slot::A), ..state(Slot::B, 2, false, Good, Good) };
        let again = BootState { retry: Some(Slot::A), ..state(Slot::A, 2, false, Good, Good) };
        let activated = steady.stage(Slot::B).activate(Slot::B).unwrap();
        let left = |slot, state| BootState { rollback_from: Some(slot), ..state };
        type Row = (&'static str, Result<BootState, Refused>, Result<BootState, Refused>);
        let rows: &[Row] = &[
            ("invalidate", Ok(steady.invalidate(Slot::B)), Ok(state(Slot::A, 3, true, Good, Empty))),
            ("stage", Ok(steady.stage(Slot::B)), Ok(state(Slot::A, 3, true, Good, Staged))),
            ("activate staged", steady.stage(Slot::B).activate(Slot::B), Ok(state(Slot::B, 3, false, Good, Trial))),
            ("activate good", steady.activate(Slot::B), Err(Refused::NotStaged { slot: Slot::B, state: Good })),
            ("commit", trial.commit(Slot::B), Ok(state(Slot::B, 3, true, Good, Good))),
            ("commit by hand", trial.commit(Slot::A), Err(Refused::NotActive { booted: Slot::A, active: Slot::B })),
            ("rollback of a trial", trial.rollback(Slot::B), Ok(left(Slot::B, state(Slot::A, 3, false, Good, Bad)))),
            (
                "rollback of a good slot",
                steady.rollback(Slot::A),
                Ok(left(Slot::A, state(Slot::B, 3, false, Good, Good))),
            ),
            ("rollback before the first boot", activated.rollback(Slot::A), Ok(state(Slot::A, 3, true, Good, Staged))),
            (
                "rollback of a trial by hand",
                trial.rollback(Slot::A),
                Ok(left(Slot::B, state(Slot::A, 3, true, Good, Bad))),
            ),
            (
                "rollback of a good slot by hand",
                steady.rollback(Slot::B),
                Ok(left(Slot::A, state(Slot::B, 3, true, Good, Good))),
            ),
            (
                "rollback by hand to a slot that is not good",
                state(Slot::A, 3, true, Good, Bad).rollback(Slot::B),
                Err(Refused::NotGood { slot: Slot::B, state: Bad }),
            ),
            (
                "rollback to nothing",
                steady.invalidate(Slot::B).rollback(Slot::A),
                Err(Refused::NotGood { slot: Slot::B, state: Empty }),
            ),
            ("commit during a visit", visit.commit(Slot::B), Ok(state(Slot::B, 3, true, Good, Good))),
            (
                "rollback during a visit",
                visit.rollback(Slot::B),
                Ok(left(Slot::B, state(Slot::A, 3, false, Good, Good))),
            ),
            ("apply during a visit", Ok(visit.invalidate(Slot::A)), Ok(state(Slot::B, 2, false, Empty, Good))),
            (
                "init during a visit",
                Ok(visit.after_init(Slot::B, false).unwrap()),
                Ok(BootState { counter: 3, success: true, ..visit }),
            ),
            ("init after it", Ok(again.after_init(Slot::A, false).unwrap()), Ok(state(Slot::A, 3, true, Good, Good))),
        ];
        for (name, got, want) in rows {
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn init_marks_only_a_good_active_slot_unless_it_decides() {
        let counted = state(Slot::A, 2, false, Good, Good);
        assert_eq!(counted.after_init(Slot::A, false), Some(state(Slot::A, 3, true, Good, Good)));
        assert_eq!(counted.after_init(Slot::B, true), None, "chosen by hand");
        assert_eq!(state(Slot::A, 3, true, Good, Good).after_init(Slot::A, false), None, "nothing to write");
        let trial = state(Slot::B, 2, false, Good, Trial);
        assert_eq!(trial.after_init(Slot::B, false), None);
        assert_eq!(trial.after_init(Slot::B, true), Some(state(Slot::B, 3, true, Good, Good)));
        for unfit in [Empty, Staged, Bad] {
            assert_eq!(state(Slot::A, 2, false, unfit, Good).after_init(Slot::A, true), None, "{unfit}");
        }
    }

    #[test]
    fn an_uncommitted_trial_gets_three_boots_and_then_the_old_slot() {
        let mut now = state(Slot::A, 3, true, Good, Staged).activate(Slot::B).unwrap();
        for left in [2, 1, 0] {
            let boot = now.grub_boot(|_| Files::Whole, true);
            assert_eq!((boot.booted, boot.on_disk.counter), (Some(Slot::B), left));
            now = boot.on_disk;
        }
        let boot = now.grub_boot(|_| Files::Whole, true);
        assert_eq!(boot.booted, Some(Slot::A));
        assert_eq!(boot.on_disk, BootState { rollback_from: Some(Slot::B), ..state(Slot::A, 2, false, Good, Bad) });
    }

    #[test]
    fn a_good_slot_that_never_reaches_init_is_tried_again_after_one_visit_and_then_given_up() {
        let mut now = state(Slot::A, 3, true, Good, Good);
        let mut boots = std::vec::Vec::new();
        for _ in 0..9 {
            let boot = now.grub_boot(|_| Files::Whole, true);
            let booted = boot.booted.unwrap();
            now = boot.on_disk;
            boots.push((booted, now.a, now.retry));
            // Slot B works.
            if booted == Slot::B {
                now = now.after_init(Slot::B, false).unwrap_or(now);
            }
        }
        let (owed, had) = ((Slot::A, Good, None), (Slot::A, Good, Some(Slot::A)));
        let (visit, stays) = ((Slot::B, Good, Some(Slot::A)), (Slot::B, Bad, None));
        assert_eq!(boots, [owed, owed, owed, visit, had, had, had, stays, stays]);
    }

    #[test]
    fn a_good_slot_with_a_wrong_sum_is_bad_at_once() {
        let damaged = |slot| if slot == Slot::A { Files::Damaged } else { Files::Whole };
        let steady = state(Slot::A, 3, true, Good, Good);
        // Nobody looks at the sums of a steady boot.
        let first = steady.grub_boot(damaged, true);
        assert_eq!(first.booted, Some(Slot::A));
        let second = first.on_disk.grub_boot(damaged, true);
        assert_eq!((second.booted, second.on_disk.a, second.on_disk.retry), (Some(Slot::B), Bad, None));
    }

    #[test]
    fn grub_never_falls_back_to_a_slot_that_is_not_good() {
        const ALL: [Files; 4] = [Files::Whole, Files::Unlisted, Files::Damaged, Files::Absent];
        let retries = [None, Some(Slot::A), Some(Slot::B)];
        for from in every_state().flat_map(|from| retries.map(|retry| BootState { retry, ..from })) {
            for (a, b, saves) in ALL.iter().flat_map(|a| ALL.map(|b| (*a, b, true))).chain(ALL.map(|a| (a, a, false))) {
                let boot = from.grub_boot(|slot| if slot == Slot::A { a } else { b }, saves);
                let fell_back = boot.booted == Some(!from.active);
                assert!(!fell_back || from.slot(!from.active) == Good, "{from:?} → {boot:?}");
                assert!(boot.on_disk.counter <= TRIES);
            }
        }
    }

    #[test]
    fn a_trial_that_cannot_be_counted_is_not_tried_while_there_is_a_good_slot() {
        for counter in 1..=TRIES {
            let boot = state(Slot::B, counter, false, Good, Trial).grub_boot(|_| Files::Whole, false);
            assert_eq!(boot.booted, Some(Slot::A));
        }
    }

    #[test]
    fn a_box_that_lost_its_block_trusts_no_slot_and_keeps_booting() {
        let lost = BootState::lost(Slot::B, |_| true);
        assert_eq!((lost.b, lost.a), (Trial, Staged));
        let mut now = lost;
        for _ in 0..10 {
            let boot = now.grub_boot(|_| Files::Whole, true);
            assert_eq!(boot.booted, Some(Slot::B));
            now = boot.on_disk;
        }
    }

    #[test]
    fn messages_name_slots_and_states() {
        let refused = Refused::NotGood { slot: Slot::B, state: Staged };
        assert_eq!(format!("{refused}"), "slot B is staged, not good");
    }
}
