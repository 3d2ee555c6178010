//! `init`: the boot stage, from a kernel that has just started to the word for `/init`: go on, reboot, or shell.
//!
//! Nothing here stops a boot: what fails is said, and the box goes on degraded. The one exception is a trial without
//! a usable data partition while the other slot is good: that one reboots, GRUB counts, and the old slot comes back.

use core::time::Duration;

use crate::boot::BootState;
use crate::bootlog::{self, Mark as Reached};
use crate::boots::{self, Boot};
use crate::bootstage;
use crate::config::{Config, Mark};
use crate::console::Notes;
use crate::disk;
use crate::envblk::EnvBlock;
use crate::envfile::{EnvFiles, Loaded};
use crate::envstore::Bytes;
use crate::failure::{Exit, Failure};
use crate::host::{DATA_FOLDER, Host};
use crate::mount::{self, Access};
use crate::probe;
use crate::settings::{self, Settings};
use crate::slot::{Slot, SlotState};
use crate::split::{self, Split};
use crate::watchdog::Watchdog;

use super::boot_state::{store, too_big};
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
    let mut buffer = [0; settings::LEN_MAX];
    let Config { mark: decides, watchdog, .. } = settings(host, notes, &mut buffer);
    let watchdog = start_watchdog(host, notes, watchdog);
    wait_for_disk(host, notes);
    let mut loaded = Loaded::nothing();
    let mut record = read_record(host, notes, &mut loaded);
    if record.as_ref().is_ok_and(|record| record.split != Some(Split::OtherBlock)) {
        host.remember_disk();
    }
    let mut boot = None;
    let data = mount_data(host).and_then(|folder| {
        let reset = watchdog.as_ref().is_some_and(|watchdog| watchdog.was_it);
        boot = begin(host, notes, record.as_ref().ok(), reset, &mut buffer);
        probe::disk_writable(folder)
    });
    let exit = conclude(host, notes, &mut record, data, decides, &mut boot);
    let marks: &[_] = if exit == Exit::Reboot { &[Reached::Failed, Reached::Stopped] } else { &[Reached::HandedOver] };
    marks.iter().for_each(|mark| reached(&mut boot, *mark));
    if let Some(watchdog) = watchdog {
        watchdog.feed();
    }
    exit
}

/// Marks the boot or leaves it, and says how to go on.
fn conclude(
    host: &Host<'_>,
    notes: &Notes,
    record: &mut Result<Record<'_>, Failure>,
    data: Result<(), Failure>,
    decides: Mark,
    boot: &mut Option<Boot>,
) -> Exit {
    match (record, data) {
        (Ok(record), Ok(())) => match mark(host, notes, record, decides, boot) {
            Ok(state) => go_on(notes, record.booted, state),
            Err(failure) => go_on_degraded(notes, &failure),
        },
        (Ok(record), Err(failure)) => {
            let trial = record.booted == record.state.active && record.state.slot(record.booted) == SlotState::Trial;
            if let Err(failure) = keep(record) {
                notes.say(format_args!("init: {failure}"));
            }
            if trial && record.state.slot(!record.booted) == SlotState::Good {
                notes.say(format_args!("init: reboot: {failure}"));
                Exit::Reboot
            } else {
                go_on_degraded(notes, &failure)
            }
        }
        (Err(failure), Ok(())) => go_on_degraded(notes, failure),
        // Neither block nor data: a system without a driver for its disk, and on trial that is the trial's fault.
        (Err(failure), Err(_)) if host.cmdline().is_trial() => {
            notes.say(format_args!("init: reboot: {failure}"));
            Exit::Reboot
        }
        (Err(failure), Err(also)) => {
            notes.say(format_args!("init: {also}"));
            go_on_degraded(notes, failure)
        }
    }
}

/// The word for `/init` when the work itself did not end in time.
pub fn too_late(host: &Host<'_>, notes: &Notes, deadline: Duration) -> Exit {
    let seconds = deadline.as_secs();
    if host.cmdline().is_trial() {
        notes.say(format_args!("init: reboot: not done after {seconds} s; does a disk hang?"));
        Exit::Reboot
    } else {
        notes.say(format_args!("init: go on, degraded: not done after {seconds} s; does a disk hang?"));
        Exit::GoOnDegraded
    }
}

fn go_on(notes: &Notes, booted: Slot, state: BootState) -> Exit {
    let standing = state.slot(booted);
    notes.say(format_args!("init: go on (slot {booted}, {standing})"));
    Exit::Done
}

fn go_on_degraded(notes: &Notes, failure: &Failure) -> Exit {
    notes.say(format_args!("init: go on, degraded: {failure}"));
    Exit::GoOnDegraded
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
    let names_a_slot = bootstage::names_a_slot(loaded.chosen());
    let split = split::compare(&host.cmdline(), names_a_slot.then_some(&state));
    if let Some(split) = split {
        notes.say(format_args!("init: {split}"));
    }

    if !names_a_slot {
        bootstage::settle(&mut state, &block, booted);
    }
    state.write_to(&mut block).map_err(|_| too_big(&block))?;
    if loaded.first.flaw().is_some() || loaded.second.flaw().is_some() {
        for (name, found) in [("grubenv", &loaded.first), ("grubenv.bak", &loaded.second)] {
            if let Some(flaw) = found.flaw() {
                notes.say(format_args!("init: {name}: {flaw}; writing it anew"));
            }
        }
        store(&mut files, loaded, &block)?;
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

/// The data partition at its place; gives that.
fn mount_data<'a>(host: &Host<'a>) -> Result<&'a str, Failure> {
    if host.flags().data.is_none() {
        mount::at(&host.disk()?.partition(disk::DATA)?, DATA_FOLDER)?;
    }
    Ok(host.data_folder())
}

/// Marks the boot, if it is `init` that marks it, and takes GRUB's word about a slot it gave up out of the block once
/// that is recorded elsewhere: a power cut between the two records it twice.
fn mark(
    host: &Host<'_>,
    notes: &Notes,
    record: &mut Record<'_>,
    decides: Mark,
    boot: &mut Option<Boot>,
) -> Result<BootState, Failure> {
    let before = record.state;
    let recorded = |slot| record::given_up(host, notes, slot);
    bootstage::mark(&mut record.state, record.booted, recorded, decides == Mark::Init);
    if record.state != before {
        record.state.write_to(&mut record.block).map_err(|_| too_big(&record.block))?;
    }
    keep(record)?;
    if before.slot(record.booted) == SlotState::Trial && record.state.slot(record.booted) == SlotState::Good {
        reached(boot, Reached::Committed);
        record::committed(host, notes);
    }
    Ok(record.state)
}

/// What `update.conf` says; whatever is wrong there is said and stops nothing.
fn settings<'a>(host: &Host<'a>, notes: &Notes, buffer: &'a mut [u8; settings::LEN_MAX]) -> Config<'a> {
    match Settings::read(host.flags(), buffer) {
        Ok(settings) => settings.lenient(&|problem| notes.say(format_args!("init: {problem}"))),
        Err(failure) => {
            notes.say(format_args!("init: {failure}; using the defaults"));
            Config::default()
        }
    }
}

/// From here on a hang resets the box, until the real init feeds the watchdog, or `kubesolo-boot watchdog` does.
fn start_watchdog(host: &Host<'_>, notes: &Notes, seconds: Option<u32>) -> Option<Watchdog> {
    let started = Watchdog::start(host, seconds?);
    if let Err(failure) = &started {
        notes.say(format_args!("init: {failure}"));
    }
    let watchdog = started.ok()??;
    notes.say(format_args!("init: watchdog: resets the box if nobody feeds it for {} s", watchdog.seconds));
    Some(watchdog)
}

/// Records that this boot has reached the data partition.
fn begin(
    host: &Host<'_>,
    notes: &Notes,
    record: Option<&Record<'_>>,
    reset: bool,
    log: &mut [u8; bootlog::LEN],
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
fn keep(record: &mut Record<'_>) -> Result<(), Failure> {
    store(&mut record.files, record.loaded, &record.block)
}
