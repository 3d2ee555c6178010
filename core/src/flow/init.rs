//! The boot stage: reads and repairs the env block, mounts the data partition, and marks the boot good.
//!
//! A failure does not stop the boot: it is reported, the box goes on degraded, and the boot of a good slot is marked good all the
//! same. There is one exception: a trial that cannot use the data partition, which worked when the trial was activated, while the
//! other slot is good. It reboots; GRUB counts its boots and goes back to the old slot.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | a damaged copy of the block is rewritten | the same state, in both copies |
//! | the boot of a good slot is marked good | a boot that counts as good, whether or not the data partition works |
//! | the data partition mounted, this boot logged, a file written and read back | the same |
//! | `rollback_from` recorded in `state.json` | the block has `rollback_from` still: it is recorded once more |
//! | the block without `rollback_from`; with `mark=init`, the trial committed | all but the record of the commit |

use crate::boot::env_block::EnvBlock;
use crate::boot::env_copies::{Bytes, Source};
use crate::boot::env_mismatch::EnvMismatch;
use crate::boot::slot::{Slot, SlotState};
use crate::boot::stage::{self, Decision, Seen};
use crate::boot::state::{BootState, Reading};
use crate::flow::outcome::{committed, given_up};
use crate::flow::ports::{BootLog, StateFile};
use crate::history::boot_log::Milestone;

/// A message for the console and the kernel log.
#[derive(Clone, Debug)]
pub enum Notice<'a> {
    /// GRUB and Linux do not go by the same block.
    Mismatch(EnvMismatch),
    /// No copy of the block can be read; this slot is on trial until a commit.
    Lost(Slot),
    /// Variables of the block that were missing or impossible, and what was assumed.
    Assumptions(&'a Reading),
    /// The block that is about to be written.
    Writes(&'a EnvBlock<Bytes>),
    /// The one slot was left for the other: GRUB gave it up, or a rollback is not recorded yet.
    GivenUp(Slot, Slot),
    /// The first slot runs, but the second is active: this boot is not marked good.
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

    /// Whether neither copy has a fault; reports each fault.
    fn are_whole(&mut self) -> bool;

    /// The block with this state in it.
    ///
    /// # Errors
    /// That other variables leave no room for it.
    fn fill(&self, block: &EnvBlock<Bytes>, state: BootState) -> Result<EnvBlock<Bytes>, Self::Error>;

    /// Writes the block where a copy does not hold it, the first one first. Durable on return.
    ///
    /// # Errors
    /// Those of writing. If only one copy could be written, that is reported and no error.
    fn store(&mut self, block: &EnvBlock<Bytes>) -> Result<(), Self::Error>;

    /// Whether the slot holds a kernel and an initramfs.
    fn has_files(&self, slot: Slot) -> bool;
}

/// A box that boots.
pub trait BootStage: EnvCopies + BootLog {
    /// The slot that runs, by the kernel command line; `None` if that does not say.
    ///
    /// # Errors
    /// If it names something that is no slot.
    fn booted_by_grub(&self) -> Result<Option<Slot>, Self::Error>;

    /// Whether GRUB called what it booted a trial.
    fn grub_booted_a_trial(&self) -> bool;

    /// Compares what GRUB put on the kernel command line with the block; `block` is `None` if that names no slot.
    fn compare(&self, block: Option<&BootState>) -> Option<EnvMismatch>;

    /// Reports it.
    fn notice(&mut self, notice: Notice<'_>);

    /// Records the disk that was found, for every later command of this boot.
    fn remember_disk(&mut self);

    /// Mounts the data partition.
    ///
    /// # Errors
    /// If there is none, or it holds something else than our filesystem; those of mounting.
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
    /// How GRUB's command line and this block differ.
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
        let stored = match decision {
            Decision::Reboot => machine.store(&record.block),
            Decision::GoOn { may_commit } => conclude(machine, record, may_commit && init_decides),
        };
        data = data.and(stored);
    }
    Ended { decision, record, data }
}

/// Reads the block, and repairs both copies if one has a fault.
fn take_over<M: BootStage>(machine: &mut M) -> Result<Record, M::Error> {
    let by_grub = machine.booted_by_grub()?;
    machine.open_env()?;
    let (block, mut state) = read(machine, by_grub);
    let booted = by_grub.unwrap_or(state.active);
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

fn read<M: BootStage>(machine: &mut M, by_grub: Option<Slot>) -> (EnvBlock<Bytes>, BootState) {
    let found = machine.chosen().map(|(block, _)| {
        let reading = BootState::read_safely(&block, &|slot| machine.has_files(slot));
        (block.canonical(), reading)
    });
    let Some((block, reading)) = found else {
        let booted = by_grub.unwrap_or(Slot::A);
        machine.notice(Notice::Lost(booted));
        return (EnvBlock::blank(), BootState::lost(booted, |slot| machine.has_files(slot)));
    };
    machine.notice(Notice::Assumptions(&reading));
    (block, reading.state)
}

/// Marks the boot of a good slot good. Before the data partition is touched: GRUB falls back from a good slot only if it does not
/// reach `init`, and a broken data partition would break the other slot as well.
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

/// What the decision is based on. If the block cannot be read, the kernel command line says whether this is a trial.
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

/// Commits a trial, if `init` decides about it, and removes `rollback_from` from the block once it is recorded in `state.json`: a
/// power cut between the two writes only records it twice.
fn conclude<M: BootStage>(machine: &mut M, record: &mut Record, may_commit: bool) -> Result<(), M::Error> {
    let before = record.state;
    let mut state = before;
    if let Some(slot) = before.rollback_from
        && given_up(machine, slot, &before)
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
        machine.log(Milestone::Committed);
        committed(machine, true);
    }
    Ok(())
}
