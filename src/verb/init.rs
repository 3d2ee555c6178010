//! `init`: the boot stage. Its exit code tells `/init` to go on, to reboot, or to start a shell. The order of the steps is in
//! [`kubesolo_core::flow::init`]; here are the messages, and the steps on this machine.

use core::time::Duration;

use crate::boot::env_files::{EnvFiles, Loaded};
use crate::cli::console::Notes;
use crate::disk::{ours, partitions, probe};
use crate::failure::{Exit, Failure};
use crate::history::boots::{self, Boot};
use crate::host::{DATA_FOLDER, Host};
use crate::linux::mount::Access;
use crate::linux::watchdog::Watchdog;
use crate::report::degraded;
use crate::update::settings::{self, Settings};
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::env_copies::{Bytes, Source};
use kubesolo_core::boot::env_mismatch::{self, EnvMismatch};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::stage::Decision;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::init::{self as flow, BootStage, Ended, EnvCopies, Notice, Record};
use kubesolo_core::flow::ports::BootLog;
use kubesolo_core::history::boot_log::{self, Milestone};
use kubesolo_core::ignore::ignore;
use kubesolo_core::update::config::{CommitBy, Config};

use super::machine::{Machine, crowded, into_block};

/// Longest wait for the disk to turn up: USB and NVMe devices come late.
const DISK_TIMEOUT: Duration = Duration::from_secs(10);

/// What the boot stage holds open from beginning to end.
struct Open<'a> {
    env: Option<EnvFiles>,
    loaded: &'a mut Loaded,
    log: &'a mut [u8; boot_log::LEN],
    boot: Option<Boot>,
    /// The watchdog reset the box before this boot.
    reset_by_watchdog: bool,
}

/// Does the boot stage; gives how to go on.
pub fn run(host: &Host<'_>, notes: &Notes) -> Exit {
    if host.cmdline().mode == Some("emergency") {
        notes.say(format_args!("init: emergency shell asked for"));
        return Exit::Emergency;
    }
    let mut buffer = [[0; settings::LEN_MAX]; 2];
    // A mistake in the settings is reported and does not stop the boot.
    let settings = Settings::read(host.flags(), &mut buffer);
    let Config { commit_by, watchdog, .. } =
        settings.lenient(host.flags(), &|problem| notes.say(format_args!("init: {problem}")));
    let reset_by_watchdog = start_watchdog(host, notes, watchdog);
    wait_for_disk(host, notes);

    let (mut loaded, mut log) = (Loaded::nothing(), [0; boot_log::LEN]);
    let open = Open { env: None, loaded: &mut loaded, log: &mut log, boot: None, reset_by_watchdog };
    let mut machine = Machine::new(host, notes, open);
    let ended = flow::init(&mut machine, commit_by == CommitBy::Init);
    let exit = conclude(&mut machine, &ended);
    // The first start has reported an error already.
    if let Some(Ok(Some(watchdog))) = watchdog.map(|seconds| Watchdog::start(host.dev_folder(), host.process, seconds))
    {
        watchdog.keepalive();
    }
    exit
}

/// Reports and records how the boot goes on, and what is wrong.
fn conclude(machine: &mut Machine<'_, Open<'_>>, ended: &Ended<Failure>) -> Exit {
    let (host, notes) = (machine.host, machine.notes);
    let Ended { decision, record, data } = ended;
    let why = match (record, data) {
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
            machine.log(Milestone::Failed);
            machine.log(Milestone::Stopped);
            return Exit::Reboot;
        }
        (_, None, Ok(Record { state, booted, .. })) => {
            notes.say(format_args!("init: go on (slot {booted}, {})", state.slot(*booted)));
            ignore(
                degraded::note(host.run_folder(), None),
                "status then reports a degraded boot; the console does not",
            );
        }
        (_, why, _) => {
            let why = why.map_or("", |failure| failure.text());
            notes.say(format_args!("init: go on, degraded: {why}"));
            ignore(degraded::note(host.run_folder(), Some(why)), "the console has the reason");
            if let Some(boot) = &mut machine.job.boot {
                ignore(boot.degraded(why), "a log that cannot be written was reported when the boot began");
            }
        }
    }
    machine.log(Milestone::HandedOver);
    if why.is_none() { Exit::Done } else { Exit::GoOnDegraded }
}

/// How to go on if the boot stage did not end by the deadline.
pub fn too_late(host: &Host<'_>, notes: &Notes, deadline: Duration) -> Exit {
    let why = Failure::new(Exit::Io, format_args!("not done after {} s; does a disk hang?", deadline.as_secs()));
    if host.cmdline().is_trial() {
        notes.say(format_args!("init: reboot: {why}"));
        Exit::Reboot
    } else {
        notes.say(format_args!("init: go on, degraded: {why}"));
        ignore(degraded::note(host.run_folder(), Some(why.text())), "the console has the reason");
        Exit::GoOnDegraded
    }
}

/// Waits for the disk, up to a deadline.
fn wait_for_disk(host: &Host<'_>, notes: &Notes) {
    if host.flags().grubenv.is_some() && host.flags().data.is_some() {
        return;
    }
    let say = |why: core::fmt::Arguments<'_>| notes.say(format_args!("init: waiting for the disk: {why}"));
    ignore(host.wait_for_disk(DISK_TIMEOUT, &say), "the first step that needs the disk reports the error");
}

/// Starts the watchdog: from here on it resets a box that hangs, until the real init or `kubesolo-boot watchdog` sends keepalives. The
/// device is closed again, which does not stop the watchdog: if this run hung with the device open, no other process could send
/// keepalives. Gives whether the watchdog caused the last reset.
fn start_watchdog(host: &Host<'_>, notes: &Notes, seconds: Option<u32>) -> bool {
    match seconds.map(|seconds| Watchdog::start(host.dev_folder(), host.process, seconds)) {
        Some(Ok(Some(Watchdog { seconds, caused_last_reset, .. }))) => {
            notes.say(format_args!("init: watchdog: resets the box {seconds} s after the last keepalive"));
            caused_last_reset
        }
        Some(Err(failure)) => {
            notes.say(format_args!("init: {failure}"));
            false
        }
        None | Some(Ok(None)) => false,
    }
}

impl EnvCopies for Machine<'_, Open<'_>> {
    fn open_env(&mut self) -> Result<(), Failure> {
        self.job.env.insert(self.host.env_files(Access::Write)?).load(self.job.loaded);
        Ok(())
    }

    fn chosen(&self) -> Option<(EnvBlock<&[u8]>, Source)> {
        self.job.loaded.chosen()
    }

    fn are_whole(&mut self) -> bool {
        let copies = [("grubenv", &self.job.loaded.first), ("grubenv.bak", &self.job.loaded.second)];
        let mut are_whole = true;
        for (name, found) in copies {
            if let Some(fault) = found.fault() {
                are_whole = false;
                self.notes.say(format_args!("init: {name}: {fault}; writing it anew"));
            }
        }
        are_whole
    }

    fn fill(&self, block: &EnvBlock<Bytes>, state: BootState) -> Result<EnvBlock<Bytes>, Failure> {
        into_block(state, block)
    }

    fn store(&mut self, block: &EnvBlock<Bytes>) -> Result<(), Failure> {
        let Some(files) = &mut self.job.env else { return Ok(()) };
        // GRUB saves its count in the first copy only; the second is made equal here.
        if let Some(failure) = files.store(self.job.loaded, block, true)? {
            self.notes.say(format_args!("init: warning: {failure}"));
        }
        Ok(())
    }

    fn has_files(&self, slot: Slot) -> bool {
        self.host.has_files(slot)
    }
}

impl BootLog for Machine<'_, Open<'_>> {
    fn log(&mut self, milestone: Milestone) {
        if let Some(boot) = &mut self.job.boot {
            ignore(boot.log(milestone), "a log that cannot be written was reported when the boot began");
        }
    }
}

impl BootStage for Machine<'_, Open<'_>> {
    fn booted_by_grub(&self) -> Result<Option<Slot>, Failure> {
        self.host.booted_if_known()
    }

    fn grub_booted_a_trial(&self) -> bool {
        self.host.cmdline().is_trial()
    }

    fn compare(&self, block: Option<&BootState>) -> Option<EnvMismatch> {
        env_mismatch::compare(&self.host.cmdline(), block)
    }

    fn notice(&mut self, notice: Notice<'_>) {
        let notes = self.notes;
        match notice {
            Notice::Mismatch(mismatch) => notes.say(format_args!("init: {mismatch}")),
            Notice::Lost(booted) => notes.say(format_args!(
                "init: both copies of the env block are lost; slot {booted} is on trial until a commit"
            )),
            Notice::Assumptions(reading) => {
                for assumption in &reading.assumptions {
                    notes.say(format_args!("init: env block: {assumption}"));
                }
            }
            Notice::Writes(block) => {
                if let Some(warning) = crowded(block) {
                    notes.say(format_args!("init: warning: {warning}"));
                }
            }
            Notice::GivenUp(given_up, active) => {
                notes.say(format_args!("init: slot {given_up} was given up; slot {active} is active"));
            }
            Notice::NotActive(booted, active) => {
                notes.say(format_args!("init: slot {booted} runs, slot {active} is active: this boot marks nothing"));
            }
        }
    }

    fn remember_disk(&mut self) {
        self.host.remember_disk();
    }

    fn mount_data(&mut self) -> Result<(), Failure> {
        match self.host.flags().data {
            Some(_) => Ok(()),
            None => ours::mount(&self.host.disk()?.partition(partitions::DATA)?, DATA_FOLDER),
        }
    }

    fn begin_log(&mut self, record: Option<&Record>) {
        let known = record.map(|record| (record.booted, record.state.slot(record.booted)));
        let by_grub = || Some((self.host.cmdline().booted().ok()??, SlotState::Trial));
        let Some((slot, state)) = known.or_else(by_grub) else { return };
        let mismatch = record.and_then(|record| record.mismatch);
        match boots::begin(&self.host.boot_log(), slot, state, mismatch, self.job.reset_by_watchdog, self.job.log) {
            Ok(boot) => self.job.boot = Some(boot),
            Err(failure) => self.notes.say(format_args!("init: {failure}")),
        }
    }

    fn try_data(&mut self) -> Result<(), Failure> {
        probe::disk_writable(self.host.data_folder())
    }
}
