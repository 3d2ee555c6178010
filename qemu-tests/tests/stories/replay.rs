//! What the kernel and GRUB really write to FAT and ext4 during an update is recorded; then a disk is made for every moment
//! at which the power can go in it, with writes lost, torn and out of order. All of them boot.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use qemu_tests::dice::Dice;
use qemu_tests::failure::{Failure, Result, Step};
use qemu_tests::image::{Image, Part};
use qemu_tests::initrd;
use qemu_tests::judge::{Judge, System, Verdict};
use qemu_tests::powercut::{Cut, Fate, Piece};
use qemu_tests::replayed::Replayed;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::writelog::{Event, Write, WriteLog};
use qemu_tests::{ensure, ensure_eq, follow, host, shell};

const SEED: u64 = 1;
const DISKS: usize = 500;

pub fn replayed_writes(rig: &mut Rig) -> Result {
    let recording = record(rig)?;
    let mut disk = recording.disk(rig, "replayed.img")?;
    let mut judge = Judge::new(recording.systems.clone());
    let replay = replay(&recording, &mut disk, &mut judge)?;
    replay.report(&recording);
    ensure!(replay.distinct.len() >= DISKS, "only {} disks are distinct", replay.distinct.len());
    ensure!(replay.wrong.is_empty(), "{} things are wrong:\n{}", replay.wrong.len(), replay.wrong.join("\n"));
    ensure_eq!(replay.runs.keys().cloned().collect::<Vec<_>>(), RUNS, "what boots at one moment or another");
    is_what_the_box_has(rig, &recording, &mut disk)?;
    early_record_is_noticed(rig, &recording, &mut judge)?;
    missing_flushes_are_noticed(rig, &recording, &mut judge)?;
    // The disk is now what the box was when it wrote these.
    is_noticed("a block that is truncated and written anew", &recording.truncating, &ANY_ORDER, &mut disk, &mut judge)?;
    some_boot(rig, &recording, &replay.candidates)
}

/// What boots after a power cut: the old system, the new one on trial, the new one for good.
const RUNS: [&str; 3] = ["slot A, good", "slot B, good", "slot B, trial"];

/// One update, from a box that was delivered to one that has committed.
struct Recording {
    start: PathBuf,
    log: WriteLog,
    /// The box goes on to write both copies of the block as it must not.
    truncating: WriteLog,
    systems: Vec<System>,
}

impl Recording {
    fn disk(&self, rig: &Rig, name: &str) -> Result<Replayed> {
        Replayed::new(&self.start, rig.work().join(name))
    }
}

fn record(rig: &mut Rig) -> Result<Recording> {
    rig.image.hurry_grub()?;
    rig.end_at_reset();
    let (_server, publisher) = rig.add_update_server("")?;
    publisher.publish_system(&rig.image, "1.1.0", initrd::System::Normal)?;
    let start = rig.work().join("start.img");
    copy(rig.image.path(), &start)?;
    let mut systems = vec![system(&rig.image, Slot::A)?];

    rig.record_writes();
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.comes_up_with_network(Slot::A)?;
    shell::must(&mut machine, "kubesolo-boot apply", BOOT)?;
    machine.type_line("kubesolo-boot activate --reboot")?;
    machine.wait_exit(BOOT)?;
    let mut log = rig.recorded()?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.comes_up(Slot::B)?;
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    log.extend(rig.recorded()?);
    let events = rig.recorded()?.events.len();
    shell::must(&mut machine, TRUNCATE, COMMAND)?;
    machine.power_cut();
    let truncating = WriteLog { events: rig.recorded()?.events.split_off(events) };

    systems.push(system(&rig.image, Slot::B)?);
    ensure!(systems[0] != systems[1], "the update is what the box had before");
    Ok(Recording { start, log, truncating, systems })
}

/// What grub-editenv does, to both copies.
const TRUNCATE: &str = "mount -t vfat $(kubesolo-boot find KSOLOEFI) /mnt && cp /mnt/boot/grub/grubenv /tmp/block && \
    cat /tmp/block >/mnt/boot/grub/grubenv && cat /tmp/block >/mnt/boot/grub/grubenv.bak && umount /mnt";

fn system(image: &Image, slot: Slot) -> Result<System> {
    let file = |name| image.ext4_read(slot.into(), name);
    Ok(System { kernel: file("vmlinuz")?, initramfs: file("kubesolo-os.gz")? })
}

fn copy(from: &Path, to: &Path) -> Result {
    host::run("cp", ["--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()]).map(drop)
}

/// What became of all disks.
#[derive(Default)]
struct Replay {
    replayed: usize,
    distinct: HashSet<[u64; 5]>,
    fates: BTreeMap<Fate, usize>,
    runs: BTreeMap<String, usize>,
    second_copy: usize,
    mended: usize,
    torn_superblocks: usize,
    wrong: Vec<String>,
    candidates: Vec<Candidate>,
}

/// A disk that may be booted.
struct Candidate {
    epoch: Range<usize>,
    cut: Cut,
    verdict: Verdict,
    part: Part,
}

fn replay(recording: &Recording, disk: &mut Replayed, judge: &mut Judge) -> Result<Replay> {
    let mut dice = Dice::new(SEED);
    let log = &recording.log;
    let mut replay = Replay::default();
    for epoch in log.epochs() {
        // Old or new: what the block says while the writes come one after the other. Nothing else is ever there.
        let mut steps: Vec<Option<BootState>> = vec![judge.judge(disk)?.state];
        let mut said = Vec::new();
        for cut in log.cuts(&epoch, &mut dice) {
            let (seen, verdict) = disk.at_cut(log, &cut, |disk| Ok((disk.fingerprint_of_all(), judge.judge(disk)?)))?;
            replay.replayed += 1;
            if cut.fate == Fate::After {
                steps.push(verdict.state);
            }
            if !replay.distinct.insert(seen) {
                continue;
            }
            replay.count(&cut, &verdict);
            said.push((cut.to_string(), verdict.state));
            let last = cut.pieces.last().and_then(|piece| log.write(piece.write));
            if let Some(part) = last.and_then(|write| disk.image.part_at(write.at)) {
                replay.candidates.push(Candidate { epoch: epoch.clone(), cut, verdict, part });
            }
        }
        let wrong = said.iter().filter(|(_, state)| !steps.contains(state));
        replay.wrong.extend(wrong.map(|(cut, state)| format!("{cut}: the block says {state:?}, which nobody wrote")));
        disk.go_on(log, epoch)?;
    }
    Ok(replay)
}

impl Replay {
    fn count(&mut self, cut: &Cut, verdict: &Verdict) {
        *self.fates.entry(cut.fate).or_default() += 1;
        *self.runs.entry(verdict.runs_as()).or_default() += 1;
        self.second_copy += usize::from(verdict.second_copy);
        self.mended += usize::from(verdict.mended);
        self.torn_superblocks += usize::from(verdict.torn_superblock);
        self.wrong.extend(verdict.wrong.iter().map(|wrong| format!("{cut}: {wrong}")));
    }

    fn report(&self, recording: &Recording) {
        let events = &recording.log.events;
        let writes = recording.log.writes().count();
        eprintln!("replay: {writes} writes, {} flushes", events.len() - writes);
        eprintln!("replay: {} disks, {} of them distinct: {:?}", self.replayed, self.distinct.len(), self.fates);
        eprintln!("replay: boots {:?}; by the second copy {}", self.runs, self.second_copy);
        eprintln!("replay: mended {}, of them with a torn superblock {}", self.mended, self.torn_superblocks);
        eprintln!("replay: unbootable, or wrong in any other way: {}", self.wrong.len());
    }
}

/// Nothing was written that the log has not: replayed to its end it is the box's disk, byte for byte.
fn is_what_the_box_has(rig: &Rig, recording: &Recording, disk: &mut Replayed) -> Result {
    let log = &recording.truncating;
    let whole = |(place, write): (usize, &Write)| Piece { write: place, bytes: 0..write.bytes.len() };
    let all = Cut { fate: Fate::After, pieces: log.writes().map(whole).collect() };
    disk.at_cut(log, &all, |disk| host::run("cmp", [disk.image.path(), rig.image.path()]).map(drop))
}

/// The replay has teeth: were the slot called staged before its files are written, it would say so.
fn early_record_is_noticed(rig: &Rig, recording: &Recording, judge: &mut Judge) -> Result {
    let mut log = recording.log.clone();
    let (written, staged) = recording.install()?;
    let record = log.events.remove(staged);
    log.events.splice(written..written, [record, Event::Flush]);
    is_noticed("a slot that is staged first", &log, &[Fate::After], &mut recording.disk(rig, "teeth.img")?, judge)
}

/// And were the slot's files not flushed before it is called staged.
fn missing_flushes_are_noticed(rig: &Rig, recording: &Recording, judge: &mut Judge) -> Result {
    let (written, staged) = recording.install()?;
    let mut log = recording.log.clone();
    log.events.truncate(staged + 1);
    let later = log.events.split_off(written);
    log.events.extend(later.into_iter().filter(|event| *event != Event::Flush));
    is_noticed("a slot that is not flushed", &log, &ANY_ORDER, &mut recording.disk(rig, "teeth.img")?, judge)
}

const ANY_ORDER: [Fate; 2] = [Fate::Lost, Fate::Some];

fn is_noticed(what: &str, log: &WriteLog, fates: &[Fate], disk: &mut Replayed, judge: &mut Judge) -> Result {
    let mut dice = Dice::new(SEED);
    for epoch in log.epochs() {
        for cut in log.cuts(&epoch, &mut dice).iter().filter(|cut| fates.contains(&cut.fate)) {
            let wrong = disk.at_cut(log, cut, |disk| judge.judge(disk))?.wrong;
            if let Some(wrong) = wrong.first() {
                eprintln!("replay: noticed: {what}: {cut}: {wrong}");
                return Ok(());
            }
        }
        disk.go_on(log, epoch)?;
    }
    Err(Failure::new(format!("{what} is not noticed")))
}

impl Recording {
    /// The places of the first write of the new system, and of the record that it is staged.
    fn install(&self) -> Result<(usize, usize)> {
        let says = |words: &'static str| {
            let mut writes = self.log.writes();
            let found =
                writes.find(|(_, write)| write.bytes.windows(words.len()).any(|bytes| bytes == words.as_bytes()));
            found.map(|(place, _)| place).ok_or_else(|| Failure::new(format!("nobody wrote {words}")))
        };
        let (empty, staged) = (says("slot_B=empty")?, says("slot_B=staged")?);
        let flush = self.log.events[empty..].iter().position(|event| *event == Event::Flush).unwrap_or_default();
        Ok((empty + flush + 1, staged))
    }
}

/// A few of the disks are booted, with the real GRUB and Linux: they do what was said of them.
fn some_boot(rig: &Rig, recording: &Recording, candidates: &[Candidate]) -> Result {
    let mut dice = Dice::new(SEED);
    let mut pick = |what: &str, fits: &dyn Fn(&Candidate) -> bool| {
        let fitting: Vec<_> = candidates.iter().filter(|candidate| fits(candidate)).collect();
        ensure!(!fitting.is_empty(), "no disk to boot: {what}");
        Ok((what.to_owned(), fitting[dice.below(fitting.len())]))
    };
    let picked = [
        pick("GRUB saves for the first time", &|c| c.epoch.start == 0 && c.part == Part::Esp)?,
        pick("the slot is written", &|c| c.part == Part::SlotB && c.is(SlotState::Empty))?,
        pick("the slot is staged", &|c| c.part == Part::SlotB && c.is(SlotState::Staged))?,
        pick("the block, on trial", &|c| c.part == Part::Esp && c.verdict.runs_as() == RUNS[2])?,
        pick("the block, committed", &|c| c.part == Part::Esp && c.verdict.runs_as() == RUNS[1])?,
        // A trial would be given up, and rightly.
        pick("the superblock of the data partition", &|c| {
            c.part == Part::State && c.verdict.torn_superblock && c.verdict.runs_as() == RUNS[0]
        })?,
    ];
    for (what, candidate) in picked {
        boots(rig, recording, candidate).step(|| format!("{what}, {}", candidate.cut))?;
        eprintln!("replay: boots: {what}, {}", candidate.cut);
    }
    Ok(())
}

fn boots(rig: &Rig, recording: &Recording, candidate: &Candidate) -> Result {
    let mut disk = recording.disk(rig, "booted.img")?;
    disk.go_on(&recording.log, 0..candidate.epoch.start)?;
    disk.at_cut(&recording.log, &candidate.cut, |disk| copy(disk.image.path(), rig.image.path()))?;

    let (boot, (slot, standing)) = match (candidate.verdict.boot, candidate.verdict.runs()) {
        (Some(boot), Some(runs)) => (boot, runs),
        _ => return Err(Failure::new("it does not boot")),
    };
    let mut machine = rig.power_on()?;
    machine.boots(slot, &follow::standing(standing.name(), boot.on_disk.counter))?;
    machine.comes_up(slot)?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect(&format!("active_slot={slot} {}={standing}", slot.variable()))
}

impl Candidate {
    /// Whether the block says this of the slot that the update goes into.
    fn is(&self, standing: SlotState) -> bool {
        self.verdict.state.is_some_and(|state| state.b == standing)
    }
}
