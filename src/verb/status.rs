//! `status`: what a person, or a script, needs to know about the two slots, on one screen.

use core::fmt::{self, Write};

use rustix::fs::{AtFlags, statat};

use crate::boot::env_files::Loaded;
use crate::cli::console::Output;
use crate::disk::partitions::Disk;
use crate::failure::Failure;
use crate::history::boots;
use crate::host::{Host, SLOT_FILES};
use crate::linux::mount::Access;
use crate::report::progress::Size;
use crate::report::{degraded, last_update};
use crate::update::slot_version::{Version, version_in};
use kubesolo_core::boot::env_copies::{Found, Source};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::{Assumption, BootState, Files};
use kubesolo_core::history::boot_log::{self, Record};
use kubesolo_core::text::json::Quoted;
use kubesolo_core::text::timestamp::Moment;

/// How many boots before this one are shown.
const BOOTS_SHOWN: usize = 4;

/// What lies in a slot.
#[derive(Default)]
struct Content {
    version: Option<Version>,
    /// Kernel and initramfs together, in bytes.
    size: Option<u64>,
    /// When its `version` was written: the last step of an install.
    installed: Option<Moment>,
}

/// Everything `status` shows.
pub struct Status {
    disk: Option<Disk>,
    booted: Option<Slot>,
    by_hand: bool,
    state: BootState,
    assumptions: heapless::Vec<Assumption, 5>,
    contents: [Content; 2],
    source: Source,
    copies: [Found; 2],
}

impl Status {
    /// Reads the block, the command line and the slots' versions. Writes nothing.
    ///
    /// # Errors
    /// [`crate::failure::Exit::NoBlock`]; those of finding the disk.
    pub fn read(host: &Host<'_>) -> Result<Status, Failure> {
        let mut loaded = Loaded::nothing();
        host.env_files(Access::Read)?.load(&mut loaded);
        let reading = host.reading(&loaded)?;
        let source = loaded.chosen().map_or(Source::NoActiveSlot, |(_, source)| source);
        Ok(Status {
            disk: host.disk().ok(),
            booted: host.booted_if_known()?,
            by_hand: host.cmdline().via == Some("menu"),
            state: reading.state,
            assumptions: reading.assumptions,
            contents: Slot::BOTH.map(|slot| Content::read(host, slot)),
            source,
            copies: [loaded.first, loaded.second],
        })
    }

    fn content(&self, slot: Slot) -> &Content {
        let [a, b] = &self.contents;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// The slot GRUB will try first at the next power-on.
    fn next(&self) -> Option<Slot> {
        self.state.grub_boot(|_| Files::Whole, true).booted
    }

    /// For a log, or in `colour` for a terminal.
    pub fn print(&self, host: &Host<'_>, colour: bool, out: &mut Output<'_>) -> fmt::Result {
        self.print_running(out)?;
        self.print_slots(colour, out)?;
        self.print_next(out)?;
        if let Some(why) = degraded::read(host) {
            writeln!(out, "Degraded    {why}")?;
        }
        last_update::print(host, out)?;
        print_boots(host, out)?;
        self.print_block(out)
    }

    /// What runs, and from which disk.
    fn print_running(&self, out: &mut Output<'_>) -> fmt::Result {
        match self.booted {
            Some(slot) => write!(out, "Running slot {slot} ({})", self.state.slot(slot))?,
            None => write!(out, "Running: not booted by this box's GRUB")?,
        }
        if let Some(version) = self.booted.and_then(|slot| self.content(slot).version.as_ref()) {
            write!(out, ", version {version}")?;
        }
        match &self.disk {
            Some(disk) => writeln!(out, ", on {}", disk.path)?,
            None => writeln!(out)?,
        }
        if let Some((why, other)) = self.disk.as_ref().and_then(|disk| disk.choice.as_ref()) {
            writeln!(out, "Two disks have the same names; this is not {other}, for {why}.")?;
        }
        if self.by_hand {
            writeln!(out, "This slot was chosen by hand in GRUB's menu; the next boot goes by the block again.")?;
        }
        Ok(())
    }

    /// The table of the two slots.
    fn print_slots(&self, colour: bool, out: &mut Output<'_>) -> fmt::Result {
        writeln!(out, "\n  SLOT  STATE   VERSION     SIZE      INSTALLED   WHY")?;
        for slot in Slot::BOTH {
            let Content { version, size, installed } = self.content(slot);
            let (slot_state, why) = (self.state.slot(slot), self.why(slot));
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
            writeln!(
                out,
                "  {slot}     {on}{:<6}{off}  {version:<10}  {long:<8}  {day:<10}  {why}",
                slot_state.name()
            )?;
        }
        writeln!(out)
    }

    /// What the next power-on boots, and how often the active slot may still fail.
    fn print_next(&self, out: &mut Output<'_>) -> fmt::Result {
        match self.next() {
            Some(slot) => writeln!(out, "Next boot   slot {slot}: {}", self.why_next(slot))?,
            None => writeln!(out, "Next boot   nothing loads")?,
        }
        let BootState { counter, success, .. } = self.state;
        let not = if success { "" } else { "not " };
        writeln!(out, "Counter     {counter} of 3 boots left; the newest boot was {not}marked good")
    }

    /// The copies of the env block, and what was assumed in place of its variables.
    fn print_block(&self, out: &mut Output<'_>) -> fmt::Result {
        for (name, copy) in ["grubenv", "grubenv.bak"].iter().zip(&self.copies) {
            match copy.fault() {
                None => writeln!(out, "Env block   {name}: good")?,
                Some(fault) => writeln!(out, "Env block   {name}: {fault}; the next boot repairs it")?,
            }
        }
        if self.source == Source::Second {
            writeln!(out, "            going by grubenv.bak")?;
        }
        for assumption in &self.assumptions {
            writeln!(out, "Assumed     {assumption}")?;
        }
        Ok(())
    }

    /// The reason for the slot's state.
    fn why(&self, slot: Slot) -> &'static str {
        let given_up = self.state.rollback_from == Some(slot);
        let active = self.state.active == slot;
        match self.state.slot(slot) {
            SlotState::Bad if given_up => "given up by GRUB: no boot of it was committed, or it did not load",
            SlotState::Bad => "given up, rolled back from, or set by hand",
            SlotState::Trial if active => "on trial until healthcheck or commit",
            SlotState::Trial => "was on trial, and is not active any more",
            SlotState::Staged => "installed and verified, waiting for activate",
            SlotState::Empty => "nothing installed, or an install did not finish",
            SlotState::Good if given_up => "given up by GRUB for one boot: three did not reach init",
            SlotState::Good if self.state.retry == Some(slot) => "given up by GRUB once, and tried once more",
            SlotState::Good if active => "active",
            SlotState::Good => "what a rollback goes back to",
        }
    }

    fn why_next(&self, next: Slot) -> &'static str {
        match (next == self.state.active, self.state.slot(next)) {
            (false, _) if self.state.retry == Some(next) => "it was given up, is good, and is tried once more",
            (false, _) => "the active slot has no boots left or is not fit, and this one is good",
            (true, SlotState::Good) => "it is active and good",
            (true, SlotState::Trial) => "it is active and on trial",
            (true, _) => "it is active, and the other slot is not good either",
        }
    }

    /// For a script; the members are in docs/formats.md.
    pub fn print_json(&self, host: &Host<'_>, out: &mut Output<'_>) -> fmt::Result {
        let state = &self.state;
        write!(out, "{{\"booted\":")?;
        json_slot(out, self.booted)?;
        write!(out, ",\"disk\":")?;
        let disk = self.disk.as_ref();
        json_text(out, disk.map(|disk| disk.path.as_str()))?;
        write!(out, ",\"disk_chosen_by\":")?;
        json_text(out, disk.and_then(|disk| disk.choice.as_ref()).map(|(why, _)| why.name()))?;
        write!(out, ",\"active\":\"{}\",\"next\":", state.active)?;
        json_slot(out, self.next())?;
        write!(
            out,
            ",\"boot_counter\":{},\"boot_success\":{},\"chosen_by_hand\":{},\"rollback_from\":",
            state.counter, state.success, self.by_hand
        )?;
        json_slot(out, state.rollback_from)?;
        write!(out, ",\"retry_slot\":")?;
        json_slot(out, state.retry)?;
        for slot in Slot::BOTH {
            write!(out, ",\"slot_{slot}\":{{\"state\":\"{}\",\"version\":", state.slot(slot))?;
            let Content { version, size, installed } = self.content(slot);
            json_text(out, version.as_deref())?;
            match size {
                Some(size) => write!(out, ",\"size\":{size}")?,
                None => write!(out, ",\"size\":null")?,
            }
            match installed {
                Some(moment) => write!(out, ",\"installed\":\"{moment}\"")?,
                None => write!(out, ",\"installed\":null")?,
            }
            write!(out, ",\"why\":\"{}\"}}", self.why(slot))?;
        }
        for (name, copy) in ["grubenv", "grubenv_bak"].iter().zip(&self.copies) {
            write!(out, ",\"{name}\":\"")?;
            match copy.fault() {
                None => write!(out, "good\"")?,
                Some(fault) => write!(out, "{fault}\"")?,
            }
        }
        write!(out, ",\"degraded\":")?;
        json_text(out, degraded::read(host).as_deref())?;
        last_update::print_json(host, out)?;
        print_boots_json(host, out)?;
        write!(out, ",\"doubts\":[")?;
        for (number, assumption) in self.assumptions.iter().enumerate() {
            write!(out, "{}\"{assumption}\"", if number == 0 { "" } else { "," })?;
        }
        writeln!(out, "]}}")
    }
}

/// The boots before the newest, and how they ended.
fn print_boots(host: &Host<'_>, out: &mut Output<'_>) -> fmt::Result {
    let mut log = [0; boot_log::LEN];
    let log = boots::read_unlocked(host, &mut log);
    let Some(mut after) = boot_log::newest(log) else { return Ok(()) };
    if let Some(mismatch) = boots::this(host, log).and_then(|boot| boot.mismatch()) {
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

/// The member `boots` of `status --json`, the newest first.
fn print_boots_json(host: &Host<'_>, out: &mut Output<'_>) -> fmt::Result {
    let mut log = [0; boot_log::LEN];
    let log = boots::read_unlocked(host, &mut log);
    let last = boot_log::newest(log).map_or(0, |newest| newest.number);
    let mut after = None;
    write!(out, ",\"boots\":[")?;
    for number in (0..=last).rev() {
        let Some(boot) = boot_log::record(log, number) else { break };
        out.write_str(if after.is_some() { ",{" } else { "{" })?;
        let mut words = boot.words();
        for (name, word) in ["number", "boot_id", "slot", "state", "at"].iter().zip(&mut words) {
            write!(out, "\"{name}\":{},", Quoted::text(word))?;
        }
        write!(out, "\"marks\":[")?;
        for (place, mark) in words.filter(|word| !word.contains('=')).enumerate() {
            write!(out, "{}{}", if place == 0 { "" } else { "," }, Quoted::text(mark))?;
        }
        write!(out, "],\"degraded\":")?;
        json_text(out, boot.degraded().map(|why| why.replace('_', " ")).as_deref())?;
        write!(out, ",\"split\":")?;
        json_text(out, boot.value("split"))?;
        write!(out, ",\"ended\":")?;
        json_text(out, after.and_then(|after: Record<'_>| after.value("before")))?;
        write!(out, ",\"last_words\":")?;
        json_text(out, after.map(|after| after.last_words()))?;
        out.write_char('}')?;
        after = Some(boot);
    }
    out.write_char(']')
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
        Content { version: version_in(&files), size, installed }
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

fn json_slot(out: &mut Output<'_>, slot: Option<Slot>) -> fmt::Result {
    json_text(out, slot.map(Slot::name))
}

fn json_text(out: &mut Output<'_>, text: Option<&str>) -> fmt::Result {
    match text {
        Some(text) => {
            write!(out, "{}", Quoted::text(text))
        }
        None => out.write_str("null"),
    }
}
