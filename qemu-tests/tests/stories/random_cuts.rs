//! The power goes at a random moment of a box's life: while it updates, restarts, is on trial, commits or goes back. It comes
//! up by itself each time, with a sound block and a slot that is good or has boots left, and takes its update in the end.
//!
//! A moment is a seed's share of the time that an update takes. What was not flushed is lost for half of the seeds: any
//! of it, in any order. Three seeds a story; one box lives through them. `make soak SEED=17 SEEDS=1` tells one again.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kubesolo_core::boot::slot::Slot;
use qemu_tests::dice::Dice;
use qemu_tests::failure::{Failure, Result, Step};
use qemu_tests::image::Part;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::release::Publisher;
use qemu_tests::replayed::Replayed;
use qemu_tests::rig::{BOOT, COMMAND, GRUB, Rig};
use qemu_tests::server::Server;
use qemu_tests::writelog::WriteLog;
use qemu_tests::{ensure, ensure_eq, host, shell};

pub fn random_cuts_1(rig: &mut Rig) -> Result {
    cut(rig, 1..=3)
}

pub fn random_cuts_2(rig: &mut Rig) -> Result {
    cut(rig, 4..=6)
}

/// Half of the seeds that were asked for.
pub fn soak_1(rig: &mut Rig) -> Result {
    cut(rig, soak(0)?)
}

/// The other half.
pub fn soak_2(rig: &mut Rig) -> Result {
    cut(rig, soak(1)?)
}

fn soak(half: u64) -> Result<impl Iterator<Item = u64>> {
    let number = |name: &str, default: u64| match env::var(name) {
        Ok(text) => text.parse::<u64>().step(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    };
    let (first, count) = (number("SEED", 7)?, number("SEEDS", 200)?);
    Ok((first..first + count).skip(half as usize).step_by(2))
}

/// One update in so many is a bad one, which the box has to come back from.
const BAD: usize = 5;

fn cut(rig: &mut Rig, seeds: impl Iterator<Item = u64>) -> Result {
    let mut seeds = seeds.peekable();
    if seeds.peek().is_none() {
        return Ok(());
    }
    let mut life = Life::begin(rig)?;
    let mut machine = life.comes_up()?;
    let began = Instant::now();
    life.publish(System::Normal)?;
    machine = life.update(machine, began + UNCUT)?;
    let mut takes = began.elapsed();

    for seed in seeds {
        let mut dice = Dice::new(seed);
        let (share, loses, is_bad) = (dice.below(1000) as u32, dice.coin(), dice.below(BAD) == 0);
        let is_whole = life.is_settled();
        if is_whole {
            life.publish(if is_bad { System::Restarts } else { System::Normal })?;
        }
        // Three boots that come to nothing take longer.
        let whole = if life.is_bad { takes * 3 / 2 } else { takes };
        let told = format!(
            "seed {seed}: version {} ({}), power cut after {} of {} ms, {}",
            life.version,
            if life.is_bad { "bad" } else { "good" },
            (whole * share / 1000).as_millis(),
            whole.as_millis(),
            if loses { "unflushed writes are lost" } else { "nothing is lost" },
        );
        life.rig.note(&told);
        let began = Instant::now();
        life.is_cut(machine, began + whole * share / 1000).step(|| told.clone())?;
        if is_whole && !life.is_bad && life.at == THE_END {
            // It is quicker when nothing else runs.
            takes = began.elapsed();
        }
        let left = if loses { life.loses_what_was_not_flushed(&mut dice) } else { Ok(()) };
        machine = left.and_then(|()| life.comes_up()).step(|| told.clone())?;
        eprintln!("{told}: at {}; then runs slot {} ({})", life.at, life.runs.0, life.runs.1);
        *life.met.entry(life.at).or_default() += 1;
    }
    if !life.is_settled() && life.is_bad {
        machine = life.update(machine, Instant::now() + UNCUT)?;
    }
    if life.is_settled() {
        life.publish(System::Normal)?;
    }
    life.update(machine, Instant::now() + UNCUT).step(|| "the last update".into())?;
    ensure_eq!(life.release, life.version, "what runs in the end");
    eprintln!("random cuts: {:?}", life.met);
    Ok(())
}

/// Where an update is when it is done.
const THE_END: &str = "the end";
/// No update takes longer.
const UNCUT: Duration = Duration::from_secs(600);
/// Times that a box may start until it is up: a bad update has three, and each may be cut off.
const STARTS: usize = 5;

/// A box and its publisher.
struct Life<'a> {
    rig: &'a mut Rig,
    publisher: Publisher,
    _server: Server,
    kernel: Vec<u8>,
    /// The disk as it was when the power came, and all that was written to it since.
    before: PathBuf,
    log: WriteLog,
    /// The newest version, whether it is a bad one, and whether it has had a boot.
    version: String,
    is_bad: bool,
    is_tried: bool,
    count: u32,
    /// The slot that runs, its standing, and the version in it.
    runs: (Slot, String),
    release: String,
    /// The version that was committed last.
    kept: String,
    /// What was going on.
    at: &'static str,
    met: BTreeMap<&'static str, usize>,
}

impl<'a> Life<'a> {
    fn begin(rig: &'a mut Rig) -> Result<Self> {
        rig.image.hurry_grub()?;
        rig.end_at_reset();
        rig.record_writes();
        let (server, publisher) = rig.add_update_server("")?;
        let kernel = rig.image.ext4_read(Part::SlotA, "vmlinuz")?;
        let before = rig.work().join("before.img");
        Ok(Self {
            rig,
            publisher,
            _server: server,
            kernel,
            before,
            log: WriteLog::default(),
            version: String::new(),
            is_bad: false,
            is_tried: false,
            count: 0,
            runs: (Slot::A, String::new()),
            release: String::new(),
            kept: String::new(),
            at: "",
            met: BTreeMap::new(),
        })
    }

    fn publish(&mut self, system: System) -> Result {
        self.count += 1;
        self.version = format!("1.1.{}", self.count);
        self.is_bad = system != System::Normal;
        self.is_tried = false;
        let initramfs = self.rig.image.initramfs(Slot::A, system, &[("etc/release", self.version.as_bytes())])?;
        self.publisher.publish(&self.version, &self.kernel, &initramfs)
    }

    /// Whether the newest version was committed, or tried and given up.
    fn is_settled(&self) -> bool {
        self.runs.1 == "good" && (self.release == self.version || self.is_tried)
    }

    /// The box updates until this moment, or until it is done, and then its power goes.
    fn is_cut(&mut self, machine: Machine, moment: Instant) -> Result {
        match self.update(machine, moment) {
            // The end of the update is a moment as well.
            Ok(machine) => {
                self.at = THE_END;
                machine.power_cut();
            }
            Err(_) if Instant::now() >= moment => (),
            Err(failure) => return Err(failure),
        }
        let log = self.rig.recorded()?;
        self.log.extend(log);
        Ok(())
    }

    fn loses_what_was_not_flushed(&self, dice: &mut Dice) -> Result {
        let (flushed, cut) = self.log.cut_at_end(dice);
        let mut disk = Replayed::new(&self.before, self.rig.image.path().to_owned())?;
        disk.go_on(&self.log, flushed)?;
        disk.leave(&self.log, &cut)
    }

    /// The power comes back, and nobody touches the box: a system runs.
    fn comes_up(&mut self) -> Result<Machine> {
        host::run("cp", ["--sparse=always".as_ref(), self.rig.image.path().as_os_str(), self.before.as_os_str()])?;
        self.log = WriteLog::default();
        let at = self.at;
        let mut machine = self.rig.power_on()?;
        for _ in 0..STARTS {
            if self.starts(&mut machine, Instant::now() + GRUB + BOOT)? {
                self.at = at;
                self.is_sound(&mut machine)?;
                return Ok(machine);
            }
            machine = self.restarts(machine, Instant::now() + BOOT)?;
        }
        Err(Failure::new(format!("no system runs after {STARTS} starts")))
    }

    /// Both copies of the block are the same, and say what GRUB did; the version is one that may run.
    fn is_sound(&mut self, machine: &mut Machine) -> Result {
        let (slot, standing) = &self.runs;
        let env = self.rig.image.env_of_both_copies()?;
        env.expect(&format!("active_slot={slot} {}={standing} rollback_from=", slot.variable()))?;
        self.release = shell::must(machine, "cat /etc/release 2>/dev/null || true", COMMAND)?;
        if standing == "good" {
            env.expect("boot_counter=3 boot_success=1")?;
            let is_known = self.release == self.kept || (self.release == self.version && !self.is_bad);
            ensure!(is_known, "slot {slot} is good, with version {:?}", self.release);
            self.kept.clone_from(&self.release);
        } else {
            env.expect("boot_success=0")?;
            ensure_eq!(self.release, self.version, "what is on trial");
        }
        Ok(())
    }

    /// Updates, from the prompt of a running system to that of the one that stays. All within this moment.
    fn update(&mut self, mut machine: Machine, moment: Instant) -> Result<Machine> {
        while !self.is_settled() {
            if self.runs.1 == "trial" {
                self.at = "commit";
                machine.type_line("kubesolo-boot commit")?;
                machine.wait_for("is good and stays", left(moment))?;
                machine.wait_for(shell::PROMPT, left(moment))?;
                self.at = "shutdown";
                machine.type_line("reboot")?;
            } else {
                self.at = "apply, activate";
                let network = "until grep -qs . /etc/resolv.conf; do usleep 50000; done";
                machine.type_line(&format!("{network}; kubesolo-boot apply && kubesolo-boot activate --reboot"))?;
                if machine.wait_for("boots next, on trial", left(moment)).is_ok() {
                    self.at = "shutdown";
                }
            }
            loop {
                machine = self.restarts(machine, moment)?;
                if self.starts(&mut machine, moment)? {
                    break;
                }
            }
            self.is_sound(&mut machine)?;
        }
        Ok(machine)
    }

    /// The machine resets itself, and the next one is on.
    fn restarts(&mut self, machine: Machine, moment: Instant) -> Result<Machine> {
        machine.wait_exit(left(moment))?;
        let log = self.rig.recorded()?;
        self.log.extend(log);
        self.at = "GRUB";
        self.rig.power_on()
    }

    /// GRUB boots a slot that it may boot. Whether a system runs then; it may also restart.
    fn starts(&mut self, machine: &mut Machine, moment: Instant) -> Result<bool> {
        machine.wait_for("ksolo: booting slot ", left(moment))?;
        let line = machine.wait_for(")", left(moment))?;
        let (slot, standing) = line.split_once(" (").unwrap_or_default();
        let standing = standing.split([',', ')']).next().unwrap_or_default();
        let slot = if slot == "A" { Slot::A } else { Slot::B };
        ensure!(matches!(standing, "good" | "trial"), "GRUB boots slot {line}");
        self.runs = (slot, standing.to_owned());
        self.is_tried |= standing == "trial";
        self.at = if standing == "trial" { "trial boot" } else { "good boot" };
        Ok(machine.wait_for_any(&[shell::PROMPT, System::LAST_WORDS], left(moment))?.0 == 0)
    }
}

fn left(moment: Instant) -> Duration {
    moment.saturating_duration_since(Instant::now())
}
