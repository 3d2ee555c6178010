//! `status`: what a person, or a script, needs to know about the two slots, on one screen.

use core::fmt::{self, Write};
use std::string::String;
use std::vec::Vec;

use rustix::fs::{AtFlags, statat};

use crate::boot::env_files::Loaded;
use crate::cli::console::{KEEPS_ITS_ERROR, Notes, Output};
use crate::disk::partitions::Disk;
use crate::failure::Failure;
use crate::history::boots;
use crate::host::{Host, SLOT_FILES};
use crate::linux::mount::Access;
use crate::report::progress::Size;
use crate::report::{degraded, last_update};
use crate::update::slot_version::{Version, read_version};
use crate::update::state::{State, read_unlocked};
use kubesolo_core::boot::env_copies::Source;
use kubesolo_core::boot::env_mismatch::EnvMismatch;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::status::{self as flow, EnvReading, Inspected, next_boot, why, why_next};
use kubesolo_core::history::boot_log::{self, Record};
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::json::{self, Shown, Writer};
use kubesolo_core::text::timestamp::Moment;

use super::machine::Machine;

/// How many boots before this one are shown.
const BOOTS_SHOWN: usize = 4;

/// What lies in a slot.
#[derive(Default)]
pub struct Content {
    version: Option<Version>,
    /// Kernel and initramfs together, in bytes.
    size: Option<u64>,
    /// When its `version` was written: the last step of an install.
    installed: Option<Moment>,
}

/// The past boots.
pub struct Boots {
    log: Vec<u8>,
    /// How GRUB's block differs from the one that this boot found.
    mismatch: Option<EnvMismatch>,
}

type Status<'a> = flow::Status<Machine<'a>>;

/// Prints it, for a log, in `colour` for a terminal, or as `json`.
///
/// # Errors
/// [`crate::failure::Exit::NoBlock`]; those of finding the disk.
pub fn run(host: &Host<'_>, notes: &Notes, json: bool, colour: bool, out: &mut Output<'_>) -> Result<(), Failure> {
    let status = flow::read(&mut Machine::new(host, notes, ()))?;
    ignore(if json { print_json(&status, out) } else { print(&status, colour, out) }, KEEPS_ITS_ERROR);
    Ok(())
}

impl Inspected for Machine<'_> {
    type Disk = Disk;
    type Content = Content;
    type Reason = String;
    type Update = State;
    type Boots = Boots;

    fn read_env(&mut self) -> Result<EnvReading, Failure> {
        let mut loaded = Loaded::nothing();
        self.host.env_files(Access::Read)?.load(&mut loaded);
        let reading = self.host.reading(&loaded)?;
        let source = loaded.chosen().map_or(Source::NoActiveSlot, |(_, source)| source);
        Ok(EnvReading { reading, source, copies: [loaded.first, loaded.second] })
    }

    fn disk(&mut self) -> Option<Disk> {
        self.host.disk().ok()
    }

    fn was_chosen_by_hand(&self) -> bool {
        self.host.cmdline().via == Some("menu")
    }

    fn content(&mut self, slot: Slot) -> Content {
        Content::read(self.host, slot)
    }

    fn degraded(&mut self) -> Option<String> {
        degraded::read(self.host.run_folder())
    }

    fn update(&mut self) -> Option<State> {
        read_unlocked(&self.host.state_path())
    }

    fn boots(&mut self) -> Boots {
        let mut log = [0; boot_log::LEN];
        let log = boots::read_unlocked(&self.host.boot_log(), &mut log);
        let mismatch = boots::this(&self.host.boot_log(), log).and_then(|boot| boot.mismatch());
        Boots { log: log.to_vec(), mismatch }
    }
}

/// For a log, or in `colour` for a terminal.
fn print(status: &Status<'_>, colour: bool, out: &mut Output<'_>) -> fmt::Result {
    print_running(status, out)?;
    print_slots(status, colour, out)?;
    print_next(status.state(), out)?;
    if let Some(why) = &status.degraded {
        writeln!(out, "Degraded    {why}")?;
    }
    last_update::print(status.update.as_ref(), out)?;
    print_boots(&status.boots, out)?;
    print_block(&status.env, out)
}

/// What runs, and from which disk.
fn print_running(status: &Status<'_>, out: &mut Output<'_>) -> fmt::Result {
    match status.booted {
        Some(slot) => write!(out, "Running slot {slot} ({})", status.state().slot(slot))?,
        None => write!(out, "Running: not booted by this box's GRUB")?,
    }
    if let Some(version) = status.booted.and_then(|slot| status.content(slot).version.as_ref()) {
        write!(out, ", version {version}")?;
    }
    match &status.disk {
        Some(disk) => writeln!(out, ", on {}", disk.path)?,
        None => writeln!(out)?,
    }
    if let Some((why, other)) = status.disk.as_ref().and_then(|disk| disk.choice.as_ref()) {
        writeln!(out, "Two disks have the same names; this is not {other}, for {why}.")?;
    }
    if status.by_hand {
        writeln!(out, "This slot was chosen by hand in GRUB's menu; the next boot goes by the block again.")?;
    }
    Ok(())
}

/// The table of the two slots.
fn print_slots(status: &Status<'_>, colour: bool, out: &mut Output<'_>) -> fmt::Result {
    writeln!(out, "\n  SLOT  STATE   VERSION     SIZE      INSTALLED   WHY")?;
    for slot in Slot::BOTH {
        let Content { version, size, installed } = status.content(slot);
        let (slot_state, why) = (status.state().slot(slot), why(status.state(), slot));
        let (on, off) = if colour { (shade(slot_state), "\x1b[m") } else { ("", "") };
        let version = version.as_deref().unwrap_or("-");
        let (mut long, mut when) = (heapless::String::<16>::new(), heapless::String::<20>::new());
        match size {
            Some(size) => write!(long, "{}", Size(*size))?,
            None => long.write_char('-')?,
        }
        match installed {
            Some(moment) => write!(when, "{moment}")?,
            None => when.write_char('-')?,
        }
        let day = when.split('T').next().unwrap_or_default();
        write!(out, "  {slot}     ")?;
        out.bytes(on.as_bytes());
        write!(out, "{:<6}", slot_state.name())?;
        out.bytes(off.as_bytes());
        writeln!(out, "  {version:<10}  {long:<8}  {day:<10}  {why}")?;
    }
    writeln!(out)
}

/// What the next power-on boots, and how often the active slot may still fail.
fn print_next(state: &BootState, out: &mut Output<'_>) -> fmt::Result {
    match next_boot(state) {
        Some(slot) => writeln!(out, "Next boot   slot {slot}: {}", why_next(state, slot))?,
        None => writeln!(out, "Next boot   nothing loads")?,
    }
    let BootState { counter, success, .. } = *state;
    let not = if success { "" } else { "not " };
    writeln!(out, "Counter     {counter} of 3 boots left; the newest boot was {not}marked good")
}

/// The copies of the env block, and what was assumed in place of its variables.
fn print_block(env: &EnvReading, out: &mut Output<'_>) -> fmt::Result {
    for (name, copy) in ["grubenv", "grubenv.bak"].iter().zip(&env.copies) {
        match copy.fault() {
            None => writeln!(out, "Env block   {name}: good")?,
            Some(fault) => writeln!(out, "Env block   {name}: {fault}; the next boot repairs it")?,
        }
    }
    if env.source == Source::Second {
        writeln!(out, "            going by grubenv.bak")?;
    }
    for assumption in &env.reading.assumptions {
        writeln!(out, "Assumed     {assumption}")?;
    }
    Ok(())
}

/// For a script; the members are in docs/formats.md.
fn print_json(status: &Status<'_>, out: &mut Output<'_>) -> fmt::Result {
    json::object(out, &mut |all| {
        let (state, disk) = (status.state(), status.disk.as_ref());
        let choice = disk.and_then(|disk| disk.choice.as_ref());
        all.member("booted", &status.booted.map(Slot::name))?;
        all.member("disk", &disk.map(|disk| disk.path.as_str()))?;
        all.member("disk_chosen_by", &choice.map(|(why, _)| why.name()))?;
        all.member("active", &state.active.name())?;
        all.member("next", &next_boot(state).map(Slot::name))?;
        all.member("boot_counter", &u32::from(state.counter))?;
        all.member("boot_success", &state.success)?;
        all.member("chosen_by_hand", &status.by_hand)?;
        all.member("rollback_from", &state.rollback_from.map(Slot::name))?;
        all.member("retry_slot", &state.retry.map(Slot::name))?;
        for (slot, name) in Slot::BOTH.into_iter().zip(["slot_A", "slot_B"]) {
            let Content { version, size, installed } = status.content(slot);
            all.object(name, &mut |of| {
                of.member("state", &state.slot(slot).name())?;
                of.member("version", &version.as_deref())?;
                of.member("size", size)?;
                of.member("installed", &installed.map(Shown))?;
                of.member("why", &why(state, slot))
            })?;
        }
        for (name, copy) in ["grubenv", "grubenv_bak"].iter().zip(&status.env.copies) {
            match copy.fault() {
                None => all.member(name, &"good")?,
                Some(fault) => all.member(name, &Shown(fault))?,
            }
        }
        all.member("degraded", &status.degraded.as_deref())?;
        all.member("update", &status.update)?;
        all.array("boots", &mut |boots| print_boots_json(&status.boots.log, boots))?;
        all.array("doubts", &mut |doubts| {
            let assumptions = &status.env.reading.assumptions;
            assumptions.iter().try_for_each(|assumption| doubts.value(&Shown(assumption)))
        })
    })?;
    writeln!(out)
}

/// The boots before the newest, and how they ended.
fn print_boots(Boots { log, mismatch }: &Boots, out: &mut Output<'_>) -> fmt::Result {
    let Some(mut after) = boot_log::newest(log) else { return Ok(()) };
    if let Some(mismatch) = mismatch {
        writeln!(out, "Mismatch    {mismatch}; until then apply refuses")?;
    }
    let mut label = "Last boots";
    for number in (0..after.number).rev().take(BOOTS_SHOWN) {
        let Some(boot) = boot_log::record(log, number) else { break };
        let mut words = boot.words().skip(2);
        let mut next = || words.next().unwrap_or_default();
        write!(out, "{label:<12}slot {} ({}), {}: ", next(), next(), next())?;
        write!(out, "{} {}", after.value("before").unwrap_or("?"), after.last_words())?;
        match boot.degraded() {
            Some(why) => writeln!(out, "; degraded: {}", why.replace('_', " "))?,
            None => writeln!(out)?,
        }
        (label, after) = ("", boot);
    }
    Ok(())
}

/// The elements of `boots` in `status --json`, the newest first.
fn print_boots_json(log: &[u8], boots: &mut Writer<'_>) -> fmt::Result {
    let last = boot_log::newest(log).map_or(0, |newest| newest.number);
    let mut after: Option<Record<'_>> = None;
    for number in (0..=last).rev() {
        let Some(boot) = boot_log::record(log, number) else { break };
        boots.object_value(&mut |one| {
            let mut words = boot.words();
            for (name, word) in ["number", "boot_id", "slot", "state", "at"].iter().zip(&mut words) {
                one.member(name, &word)?;
            }
            one.array("marks", &mut |marks| {
                words.by_ref().filter(|word| !word.contains('=')).try_for_each(|mark| marks.value(&mark))
            })?;
            one.member("degraded", &boot.degraded().map(|why| why.replace('_', " ")).as_deref())?;
            one.member("split", &boot.value("split"))?;
            one.member("ended", &after.as_ref().and_then(|after| after.value("before")))?;
            one.member("last_words", &after.as_ref().map(Record::last_words))
        })?;
        after = Some(boot);
    }
    Ok(())
}

impl Content {
    /// Empty if the slot cannot be mounted.
    fn read(host: &Host<'_>, slot: Slot) -> Content {
        let Ok(files) = host.slot_files(slot) else { return Content::default() };
        let of = |name: &str| statat(&files, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let size = SLOT_FILES.iter().try_fold(0_u64, |size, name| {
            Some(size.saturating_add(u64::try_from(of(name)?.st_size).unwrap_or_default()))
        });
        let installed = of("version").and_then(|stat| u64::try_from(stat.st_mtime).ok()).map(Moment);
        Content { version: read_version(&files), size, installed }
    }
}

/// The colour of a state on a terminal (ECMA-48, SGR).
const fn shade(slot_state: SlotState) -> &'static str {
    match slot_state {
        SlotState::Good => "\x1b[32m",
        SlotState::Bad => "\x1b[31m",
        SlotState::Trial | SlotState::Staged => "\x1b[33m",
        SlotState::Empty => "",
    }
}
