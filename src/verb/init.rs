//! `init`: the boot stage, from a kernel that has just started to the word for `/init`: go on, reboot, or shell.
//!
//! Nothing here stops a boot: what fails is said, and the box goes on degraded; a good slot is marked all the same. The one
//! exception is a trial without a usable data partition while the other slot is good, if that was of use when the trial was
//! activated: it reboots, GRUB counts, and the old slot comes back.

use core::time::Duration;

use crate::boot::env_files::{EnvFiles, Loaded};
use crate::cli::console::Notes;
use crate::disk::ours;
use crate::disk::partitions;
use crate::disk::probe;
use crate::failure::{Exit, Failure};
use crate::history::boots::{self, Boot};
use crate::host::{DATA_FOLDER, Host};
use crate::linux::mount::Access;
use crate::linux::watchdog::Watchdog;
use crate::report::degraded;
use crate::update::settings::{self, Settings};
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::env_copies::Bytes;
use kubesolo_core::boot::env_mismatch::{self, Split};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::stage::{self, Decision, Seen};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::history::boot_log::{self, Mark as Reached};
use kubesolo_core::update::config::{Config, Mark};

use super::boot_state::{crowded, into_block};
use super::record;

/// Longest wait for the disk to turn up: USB and NVMe devices come late.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// The env block as `init` works on it.
struct Record<'a> {
    files: EnvFiles,
    loaded: &'a mut Loaded,
    block: EnvBlock<Bytes>,
    state: BootState,
    booted: Slot,
    split: Option<Split>,
}

/// Does the boot-time work and says how to go on.
pub fn run(host: &Host<'_>, notes: &Notes) -> Exit {
    if host.cmdline().mode == Some("emergency") {
        notes.say(format_args!("init: emergency shell asked for"));
        return Exit::Emergency;
    }
    let mut buffer = [[0; settings::LEN_MAX]; 2];
    // Whatever is wrong there is said and stops nothing.
    let settings = Settings::read(host.flags(), &mut buffer);
    let Config { mark: decides, watchdog, .. } =
        settings.lenient(host.flags(), &|problem| notes.say(format_args!("init: {problem}")));
    let was_the_watchdog = start_watchdog(host, notes, watchdog);
    wait_for_disk(host, notes);

    let mut loaded = Loaded::nothing();
    let mut record = read_record(host, notes, &mut loaded).and_then(|record| mark_good(notes, record));
    if record.as_ref().is_ok_and(|record| record.split != Some(Split::OtherBlock)) {
        host.remember_disk();
    }
    let mut data = mount_data(host);
    let mut boot = None;
    if data.is_ok() {
        boot = begin(host, notes, record.as_ref().ok(), was_the_watchdog, &mut [0; boot_log::LEN]);
        data = probe::disk_writable(host.data_folder());
    }

    let decision = stage::decide(&seen(host, record.as_ref().ok(), data.is_ok()));
    if let Ok(record) = &mut record {
        let kept = match decision {
            Decision::Reboot => keep(notes, record),
            Decision::GoOn { may_commit } => mark(host, notes, record, may_commit && decides == Mark::Init, &mut boot),
        };
        if let Err(failure) = kept {
            data = data.and(Err(failure));
        }
    }
    let exit = conclude(host, notes, decision, &record, data, &mut boot);
    // What was wrong with it was said.
    if let Some(Ok(Some(watchdog))) = watchdog.map(|seconds| Watchdog::start(host.dev_folder(), host.process, seconds))
    {
        watchdog.feed();
    }
    exit
}

/// What there is to decide by. Where the block says nothing, the kernel command line says what GRUB knew.
fn seen(host: &Host<'_>, record: Option<&Record<'_>>, data: bool) -> Seen {
    match record {
        Some(Record { state, booted, .. }) => Seen {
            block: true,
            on_trial: booted == &state.active && state.slot(*booted) == SlotState::Trial,
            way_back: state.slot(!*booted) == SlotState::Good,
            data,
            excused: state.data_excused,
        },
        None => Seen { block: false, on_trial: host.cmdline().is_trial(), way_back: true, data, excused: false },
    }
}

/// Says and records how the boot goes on, and why not better.
fn conclude(
    host: &Host<'_>,
    notes: &Notes,
    decision: Decision,
    record: &Result<Record<'_>, Failure>,
    data: Result<(), Failure>,
    boot: &mut Option<Boot>,
) -> Exit {
    let why = match (record, &data) {
        (Err(failure), Err(also)) => {
            notes.say(format_args!("init: {also}"));
            Some(failure)
        }
        (Err(failure), Ok(())) | (Ok(_), Err(failure)) => Some(failure),
        (Ok(_), Ok(())) => None,
    };
    match (decision, why, record) {
        (Decision::Reboot, Some(why), _) => {
            notes.say(format_args!("init: reboot: {why}"));
            reached(boot, Reached::Failed);
            reached(boot, Reached::Stopped);
            return Exit::Reboot;
        }
        (_, None, Ok(Record { state, booted, .. })) => {
            let standing = state.slot(*booted);
            notes.say(format_args!("init: go on (slot {booted}, {standing})"));
            degraded::note(host, None).unwrap_or_default();
        }
        (_, why, _) => {
            let why = why.map_or("", |failure| failure.text());
            notes.say(format_args!("init: go on, degraded: {why}"));
            // Where that is not possible either, it was said.
            degraded::note(host, Some(why)).unwrap_or_default();
            if let Some(boot) = boot {
                boot.degraded(why).unwrap_or_default();
            }
        }
    }
    reached(boot, Reached::HandedOver);
    if why.is_none() { Exit::Done } else { Exit::GoOnDegraded }
}

/// The word for `/init` when the work itself did not end in time.
pub fn too_late(host: &Host<'_>, notes: &Notes, deadline: Duration) -> Exit {
    let why = Failure::new(Exit::Io, format_args!("not done after {} s; does a disk hang?", deadline.as_secs()));
    if host.cmdline().is_trial() {
        notes.say(format_args!("init: reboot: {why}"));
        Exit::Reboot
    } else {
        notes.say(format_args!("init: go on, degraded: {why}"));
        degraded::note(host, Some(why.text())).unwrap_or_default();
        Exit::GoOnDegraded
    }
}

/// Returns when there is a disk, or when waiting has no more sense.
fn wait_for_disk(host: &Host<'_>, notes: &Notes) {
    if host.flags().grubenv.is_some() && host.flags().data.is_some() {
        return;
    }
    // What is wrong then, its first user says.
    host.wait_for_disk(DISK_PATIENCE, &|why| notes.say(format_args!("init: waiting for the disk: {why}")))
        .map(drop)
        .unwrap_or_default();
}

/// Reads the block, and makes both copies whole again if one is not.
fn read_record<'a>(host: &Host<'_>, notes: &Notes, loaded: &'a mut Loaded) -> Result<Record<'a>, Failure> {
    let told = host.booted_if_known()?;
    let mut files = host.env_files(Access::Write)?;
    files.load(loaded);
    let (mut block, mut state) = read_state(host, notes, loaded, told);
    let booted = told.unwrap_or(state.active);
    let names_a_slot = stage::names_a_slot(loaded.chosen());
    let split = env_mismatch::compare(&host.cmdline(), names_a_slot.then_some(&state));
    if let Some(split) = split {
        notes.say(format_args!("init: {split}"));
    }

    if !names_a_slot {
        stage::settle(&mut state, &block, booted);
    }
    block = into_block(state, &block)?;
    if let Some(warning) = crowded(&block) {
        notes.say(format_args!("init: warning: {warning}"));
    }
    if loaded.first.flaw().is_some() || loaded.second.flaw().is_some() {
        for (name, found) in [("grubenv", &loaded.first), ("grubenv.bak", &loaded.second)] {
            if let Some(flaw) = found.flaw() {
                notes.say(format_args!("init: {name}: {flaw}; writing it anew"));
            }
        }
        missing_spare(notes, files.store(loaded, &block, true)?);
    }
    if let Some(given_up) = state.rollback_from {
        notes.say(format_args!("init: GRUB gave slot {given_up} up and went back to slot {}", state.active));
    }
    if booted != state.active {
        notes.say(format_args!("init: slot {booted} runs, slot {} is active: this boot marks nothing", state.active));
    }
    Ok(Record { files, loaded, block, state, booted, split })
}

fn read_state(host: &Host<'_>, notes: &Notes, loaded: &Loaded, told: Option<Slot>) -> (EnvBlock<Bytes>, BootState) {
    let Some((block, _)) = loaded.chosen() else {
        let booted = told.unwrap_or(Slot::A);
        notes
            .say(format_args!("init: both copies of the env block are lost; slot {booted} is on trial until a commit"));
        return (EnvBlock::blank(), BootState::lost(booted, |slot| host.has_files(slot)));
    };
    let reading = BootState::read_safely(&block, |slot| host.has_files(slot));
    for doubt in &reading.doubts {
        notes.say(format_args!("init: env block: {doubt}"));
    }
    (block.sound(), reading.state)
}

/// The data partition at its place.
fn mount_data(host: &Host<'_>) -> Result<(), Failure> {
    match host.flags().data {
        Some(_) => Ok(()),
        None => ours::mount(&host.disk()?.partition(partitions::DATA)?, DATA_FOLDER),
    }
}

/// A good slot has got here, and that is all that GRUB wants to know of it: whatever becomes of its data, and of this run, the
/// boot is marked.
fn mark_good<'a>(notes: &Notes, mut record: Record<'a>) -> Result<Record<'a>, Failure> {
    if record.state.slot(record.booted) == SlotState::Good
        && let Some(marked) = record.state.after_init(record.booted, false)
    {
        record.state = marked;
        record.block = into_block(record.state, &record.block)?;
        keep(notes, &mut record)?;
    }
    Ok(record)
}

/// Marks the boot, if it is `init` that marks it, and takes GRUB's word about a slot it gave up out of the block once that
/// is recorded elsewhere: a power cut between the two records it twice.
fn mark(
    host: &Host<'_>,
    notes: &Notes,
    record: &mut Record<'_>,
    may_commit: bool,
    boot: &mut Option<Boot>,
) -> Result<(), Failure> {
    let before = record.state;
    let recorded = |slot, standing| record::given_up(host, notes, slot, standing);
    stage::mark(&mut record.state, record.booted, recorded, may_commit);
    if record.state != before {
        record.block = into_block(record.state, &record.block)?;
    }
    keep(notes, record)?;
    if before.slot(record.booted) == SlotState::Trial && record.state.slot(record.booted) == SlotState::Good {
        reached(boot, Reached::Committed);
        record::committed(host, notes);
    }
    Ok(())
}

/// From here on a hang resets the box, until the real init feeds the watchdog, or `kubesolo-boot watchdog` does. It is closed
/// again, which does not stop it: were this run left hanging with it open, nobody could feed it. Gives whether it was the
/// watchdog that reset the box before.
fn start_watchdog(host: &Host<'_>, notes: &Notes, seconds: Option<u32>) -> bool {
    match seconds.map(|seconds| Watchdog::start(host.dev_folder(), host.process, seconds)) {
        Some(Ok(Some(Watchdog { seconds, was_it, .. }))) => {
            notes.say(format_args!("init: watchdog: resets the box if nobody feeds it for {seconds} s"));
            was_it
        }
        Some(Err(failure)) => {
            notes.say(format_args!("init: {failure}"));
            false
        }
        None | Some(Ok(None)) => false,
    }
}

/// Records that this boot has reached the data partition.
fn begin(
    host: &Host<'_>,
    notes: &Notes,
    record: Option<&Record<'_>>,
    reset: bool,
    log: &mut [u8; boot_log::LEN],
) -> Option<Boot> {
    let told = record.map(|record| (record.booted, record.state.slot(record.booted)));
    let (slot, state) = told.or_else(|| Some((host.cmdline().booted().ok()??, SlotState::Trial)))?;
    let split = record.and_then(|record| record.split);
    let boot = boots::begin(host, slot, state, split, reset, log);
    if let Err(failure) = &boot {
        notes.say(format_args!("init: {failure}"));
    }
    boot.ok()
}

/// Records that this boot got there. What cannot be written now could not be at the beginning, and was said then.
fn reached(boot: &mut Option<Boot>, mark: Reached) {
    if let Some(boot) = boot {
        boot.mark(mark).unwrap_or_default();
    }
}

/// Writes the block where a copy does not hold it. GRUB counts in the first copy only; the second follows here.
fn keep(notes: &Notes, record: &mut Record<'_>) -> Result<(), Failure> {
    missing_spare(notes, record.files.store(record.loaded, &record.block, true)?);
    Ok(())
}

/// Only one copy took the block: the box goes on with that.
fn missing_spare(notes: &Notes, spare: Option<Failure>) {
    if let Some(failure) = spare {
        notes.say(format_args!("init: warning: {failure}"));
    }
}
