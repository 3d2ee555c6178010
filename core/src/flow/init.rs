//! The boot stage, from a disk that is there to a boot that is marked.
//!
//! Nothing here stops a boot: what fails is said, and the box goes on degraded; a good slot is marked all the same. The one
//! exception is a trial without a usable data partition while the other slot is good, if that was of use when the trial was
//! activated: it reboots, GRUB counts, and the old slot comes back.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | a copy of the block that is not whole is written anew | the same state, in both copies |
//! | a good slot's boot is marked | a boot that counts as good, whatever becomes of its data |
//! | the data partition mounted, this boot logged, a file written and read back | the same |
//! | what GRUB gave up recorded in `state.json` | the block still says so: it is recorded twice |
//! | the block without that; a trial committed, if it is `init` that decides | all but the record of the commit |

use crate::boot::env_block::EnvBlock;
use crate::boot::env_copies::{Bytes, Source};
use crate::boot::env_mismatch::EnvMismatch;
use crate::boot::slot::{Slot, SlotState};
use crate::boot::stage::{self, Decision, Seen};
use crate::boot::state::{BootState, Reading};
use crate::flow::outcome::{ended, given_up};
use crate::flow::ports::{BootLog, StateFile, Why};
use crate::history::boot_log::Mark;
use crate::update::phase::Phase;

/// What a person is told on the way.
#[derive(Clone, Debug)]
pub enum Notice<'a> {
    /// GRUB and Linux do not go by the same block.
    Mismatch(EnvMismatch),
    /// No copy of the block can be read; this slot is on trial until a commit.
    Lost(Slot),
    /// Variables that were missing or impossible.
    Assumptions(&'a Reading),
    /// The block that is about to be written.
    Writes(&'a EnvBlock<Bytes>),
    /// GRUB gave the one slot up and went back to the other.
    GivenUp(Slot, Slot),
    /// The first runs, the second is active: this boot marks nothing.
    NotActive(Slot, Slot),
}

/// The env block's two copies, from the first look to the last write under one lock.
pub trait EnvCopies: StateFile {
    /// Takes the lock and reads both copies.
    ///
    /// # Errors
    /// Those of finding the disk; that another run holds the lock.
    fn open_env(&mut self) -> Result<(), Self::Error>;

    /// The block to go by and where it came from; `None` if neither copy is a block.
    fn chosen(&self) -> Option<(EnvBlock<&[u8]>, Source)>;

    /// Whether both copies are as they should be; says what is wrong with one that is not.
    fn are_whole(&mut self) -> bool;

    /// The block with this state in it.
    ///
    /// # Errors
    /// That other variables leave no room for it.
    fn fill(&self, block: &EnvBlock<Bytes>, state: BootState) -> Result<EnvBlock<Bytes>, Self::Error>;

    /// Writes the block where a copy does not hold it, the first one first. Durable on return.
    ///
    /// # Errors
    /// Those of writing; that only one copy took it is said, and is none.
    fn store(&mut self, block: &EnvBlock<Bytes>) -> Result<(), Self::Error>;

    /// Whether the slot holds a kernel and an initramfs.
    fn has_files(&self, slot: Slot) -> bool;
}

/// A box that boots.
pub trait BootStage: EnvCopies + BootLog {
    /// The slot that runs, if GRUB told.
    ///
    /// # Errors
    /// That what it told is no slot.
    fn booted_by_grub(&self) -> Result<Option<Slot>, Self::Error>;

    /// Whether GRUB called what it booted a trial.
    fn grub_booted_a_trial(&self) -> bool;

    /// What GRUB told, held against the block; `None` where that names no slot.
    fn compare(&self, block: Option<&BootState>) -> Option<EnvMismatch>;

    /// Tells a person.
    fn notice(&mut self, notice: Notice<'_>);

    /// Every later command of this boot runs from the disk that was found.
    fn remember_disk(&mut self);

    /// Mounts the data partition at its place.
    ///
    /// # Errors
    /// That there is none, that it is not ours, those of mounting.
    fn mount_data(&mut self) -> Result<(), Self::Error>;

    /// Records that this boot has reached the data partition.
    fn begin_log(&mut self, record: Option<&Record>);

    /// Writes a file on the data partition, syncs it, and reads it back.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn try_data(&mut self) -> Result<(), Self::Error>;
}

/// The env block as the boot stage works on it.
#[derive(Clone, Debug)]
pub struct Record {
    block: EnvBlock<Bytes>,
    /// What boots next.
    pub state: BootState,
    /// The slot that runs.
    pub booted: Slot,
    /// How GRUB's block and this one differ.
    pub mismatch: Option<EnvMismatch>,
}

/// How the boot stage ended.
#[derive(Debug)]
pub struct Ended<E> {
    /// How the boot goes on.
    pub decision: Decision,
    /// The block, or why there is none.
    pub record: Result<Record, E>,
    /// What is wrong with the data partition, or with the last write of the block.
    pub data: Result<(), E>,
}

/// Does the boot-time work; `init_decides`: whether it commits a trial.
pub fn init<M: BootStage>(machine: &mut M, init_decides: bool) -> Ended<M::Error> {
    let mut record = take_over(machine).and_then(|record| mark_good(machine, record));
    if record.as_ref().is_ok_and(|record| record.mismatch != Some(EnvMismatch::OtherBlock)) {
        machine.remember_disk();
    }
    let mut data = machine.mount_data();
    if data.is_ok() {
        machine.begin_log(record.as_ref().ok());
        data = machine.try_data();
    }
    let decision = stage::decide(&seen(machine, record.as_ref().ok(), data.is_ok()));
    if let Ok(record) = &mut record {
        let kept = match decision {
            Decision::Reboot => machine.store(&record.block),
            Decision::GoOn { may_commit } => mark(machine, record, may_commit && init_decides),
        };
        data = data.and(kept);
    }
    Ended { decision, record, data }
}

/// Reads the block, and makes both copies whole again if one is not.
fn take_over<M: BootStage>(machine: &mut M) -> Result<Record, M::Error> {
    let told = machine.booted_by_grub()?;
    machine.open_env()?;
    let (block, mut state) = read(machine, told);
    let booted = told.unwrap_or(state.active);
    let names_a_slot = stage::names_a_slot(machine.chosen());
    let mismatch = machine.compare(names_a_slot.then_some(&state));
    if let Some(mismatch) = mismatch {
        machine.notice(Notice::Mismatch(mismatch));
    }
    if !names_a_slot {
        stage::adopt_booted(&mut state, &block, booted);
    }
    let block = machine.fill(&block, state)?;
    machine.notice(Notice::Writes(&block));
    if !machine.are_whole() {
        machine.store(&block)?;
    }
    if let Some(given_up) = state.rollback_from {
        machine.notice(Notice::GivenUp(given_up, state.active));
    }
    if booted != state.active {
        machine.notice(Notice::NotActive(booted, state.active));
    }
    Ok(Record { block, state, booted, mismatch })
}

fn read<M: BootStage>(machine: &mut M, told: Option<Slot>) -> (EnvBlock<Bytes>, BootState) {
    let found = machine.chosen().map(|(block, _)| {
        let reading = BootState::read_safely(&block, |slot| machine.has_files(slot));
        (block.canonical(), reading)
    });
    let Some((block, reading)) = found else {
        let booted = told.unwrap_or(Slot::A);
        machine.notice(Notice::Lost(booted));
        return (EnvBlock::blank(), BootState::lost(booted, |slot| machine.has_files(slot)));
    };
    machine.notice(Notice::Assumptions(&reading));
    (block, reading.state)
}

/// A good slot has got here, and that is all that GRUB wants to know of it: whatever becomes of its data, and of this run, the
/// boot is marked.
fn mark_good<M: BootStage>(machine: &mut M, mut record: Record) -> Result<Record, M::Error> {
    if record.state.slot(record.booted) == SlotState::Good
        && let Some(marked) = record.state.after_init(record.booted, false)
    {
        record.state = marked;
        record.block = machine.fill(&record.block, marked)?;
        machine.store(&record.block)?;
    }
    Ok(record)
}

/// What there is to decide by. Where the block says nothing, GRUB told what it knew.
fn seen<M: BootStage>(machine: &M, record: Option<&Record>, data: bool) -> Seen {
    match record {
        Some(Record { state, booted, .. }) => Seen {
            block: true,
            on_trial: booted == &state.active && state.slot(*booted) == SlotState::Trial,
            way_back: state.slot(!*booted) == SlotState::Good,
            data,
            excused: state.data_excused,
        },
        None => Seen { block: false, on_trial: machine.grub_booted_a_trial(), way_back: true, data, excused: false },
    }
}

/// Marks the boot, if it is `init` that marks it, and takes GRUB's word about a slot it gave up out of the block once that
/// is recorded elsewhere: a power cut between the two records it twice.
fn mark<M: BootStage>(machine: &mut M, record: &mut Record, may_commit: bool) -> Result<(), M::Error> {
    let before = record.state;
    let mut state = before;
    if let Some(slot) = before.rollback_from
        && given_up(machine, slot, before.slot(slot))
    {
        state.rollback_from = None;
    }
    state = state.after_init(record.booted, may_commit).unwrap_or(state);
    if state != before {
        record.block = machine.fill(&record.block, state)?;
        record.state = state;
    }
    machine.store(&record.block)?;
    if before.slot(record.booted) == SlotState::Trial && state.slot(record.booted) == SlotState::Good {
        machine.reached(Mark::Committed);
        ended(machine, true, Phase::Success, Why::Well);
    }
    Ok(())
}
