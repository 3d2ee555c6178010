//! What happens to a box in the simulator: a command, with or without power to its end, or a fault.

use std::collections::BTreeMap;

use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::text::timestamp::Moment;
use kubesolo_core::update::window::Window;

use crate::machine::{Command, Machine, NOW, Server, Stop, UNLOADABLE};
use crate::scene::Random;
use crate::scene::faults::{Failing, Faults};
use crate::scene::medium::Fuse;

/// How often each thing was seen.
pub type Counts = BTreeMap<&'static str, usize>;

/// What the clock may say: mostly the time; 1970, as before the network has set it; a day, an hour or some minutes off; the last second
/// of 32 bits, and of four digits for the year.
const TIMES: [u64; 12] = [
    NOW.0,
    NOW.0,
    NOW.0,
    NOW.0 + 60,
    0,
    90,
    NOW.0 - 86_400,
    NOW.0 - 3600,
    NOW.0 + 7200,
    NOW.0 + 86_400,
    1 << 32,
    253_402_300_799,
];

/// What happens to a box.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A command; the power goes after so many steps of it, if it takes that many, and of what waits then those arrive whose
    /// bits are set.
    Run(Command, Option<(usize, u128)>),
    /// Copies of the block that take no writes.
    ReadOnly([bool; 2]),
    /// A copy loses its header, if the other has the same block.
    Damage(usize),
    /// The staged slot's kernel changes on the medium.
    Rot,
    /// A medium refuses this from now on.
    Refuses(Part, Faults),
    /// The clock says this.
    Clock(u64),
    /// From when to when updates may begin.
    Window(&'static str),
}

/// A part of the disk.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Copy(usize),
    Slot(usize),
    Data,
}

impl Part {
    fn faults(self, machine: &mut Machine) -> &mut Faults {
        match self {
            Part::Copy(copy) => &mut machine.env[copy].faults,
            Part::Slot(slot) => &mut machine.slots[slot].faults,
            Part::Data => &mut machine.data.faults,
        }
    }
}

const PARTS: [Part; 5] = [Part::Copy(0), Part::Copy(1), Part::Slot(0), Part::Slot(1), Part::Data];

/// One kind of error, mostly once, or a disk that is full sooner or later.
fn faults(random: &mut Random) -> Faults {
    let failing = Some(Failing { after: random.below(12), stays: random.one_in(4) });
    let arrived = u128::from(random.next()) << 64 | u128::from(random.next());
    match random.below(5) {
        0 => Faults { read: failing, ..Faults::default() },
        1 => Faults { write: failing, ..Faults::default() },
        2 | 3 => Faults { sync: failing, arrived, ..Faults::default() },
        _ => Faults { room: Some(random.below(30)), ..Faults::default() },
    }
}

impl Step {
    pub fn at_random(random: &mut Random) -> Step {
        let version = *random.pick(&[2, 2, 3, 3, 4, 5, UNLOADABLE]);
        let server = *random.pick(&[
            Server::Whole,
            Server::Whole,
            Server::Whole,
            Server::Breaks(1),
            Server::Breaks(14),
            Server::Wrong,
            Server::FromTheStart,
            Server::DiskRots,
        ]);
        let power_on = Command::PowerOn { init_decides: random.one_in(12) };
        let command = *random.pick(&[
            power_on,
            power_on,
            power_on,
            Command::Dies,
            Command::Apply(version, server),
            Command::Apply(version, server),
            Command::Apply(version, server),
            Command::Activate,
            Command::Activate,
            Command::Activate,
            Command::Check { passes: true, most: 2 },
            Command::Check { passes: false, most: 2 },
            Command::Late,
            Command::Rollback,
            Command::Commit,
            Command::Status,
        ]);
        let arrived = u128::from(random.next()) << 64 | u128::from(random.next());
        let cut = random.one_in(3).then(|| (random.below(60), arrived));
        match random.below(26) {
            0 => Step::ReadOnly(*random.pick(&[[true, false], [false, true], [true, true], [false, false]])),
            1 => Step::ReadOnly([false, false]),
            2 => Step::Damage(random.below(2)),
            3 => Step::Rot,
            4..=6 => Step::Refuses(*random.pick(&PARTS), faults(random)),
            7 | 8 => Step::Refuses(*random.pick(&PARTS), Faults::default()),
            9 => Step::Clock(*random.pick(&TIMES)),
            10 if random.one_in(3) => Step::Window(["02:00-04:30", "23:00-01:00"][random.below(2)]),
            _ => Step::Run(command, cut),
        }
    }

    /// The same with less in it, to tell a shorter story.
    pub fn simpler(self) -> Vec<Step> {
        let power_on = Command::PowerOn { init_decides: false };
        match self {
            Step::Run(command, Some((after, arrived))) => [
                Step::Run(power_on, None),
                Step::Run(command, None),
                Step::Run(command, Some((after, 0))),
                Step::Run(command, Some((after, u128::MAX))),
            ]
            .into_iter()
            .filter(|step| !matches!(step, Step::Run(_, Some((_, simple))) if *simple == arrived || matches!(arrived, 0 | u128::MAX)))
            .collect(),
            Step::Run(command, None) if command != power_on => vec![Step::Run(power_on, None)],
            _ => Vec::new(),
        }
    }

    /// Lets it happen; one that has no sense here does not.
    pub fn happen(self, machine: &mut Machine, counts: &mut Counts) -> Result<(), String> {
        match self {
            // Of two copies that both fail none is left; and to GRUB, that reads one which Linux can neither read nor write, nothing
            // can be told.
            Step::ReadOnly(copies) => {
                let works = machine.env.iter().all(|copy| copy.faults == Faults::default());
                machine.read_only = if works { copies } else { [false; 2] };
            }
            Step::Damage(copy) if is_spare(machine, copy) => machine.damage(copy),
            Step::Refuses(Part::Copy(copy), faults) if faults != Faults::default() && !is_spare(machine, copy) => {}
            Step::Damage(_) => {}
            Step::Refuses(part, faults) => *part.faults(machine) = faults,
            Step::Clock(seconds) => machine.clock = Moment(seconds),
            Step::Window(window) => machine.window = Window::parse(window),
            Step::Rot => {
                let state = mended(machine).state().ok_or("no block")?;
                let staged = Slot::BOTH.into_iter().find(|slot| state.slot(*slot) == SlotState::Staged);
                let rots = staged.filter(|slot| machine.system(*slot).is_some() && machine.booted != Some(*slot));
                if let Some(slot) = rots.filter(|_| machine.waiting() == 0) {
                    machine.rot(slot);
                }
            }
            Step::Run(command, cut) => {
                // Nobody types at a box that is off.
                let command = match (machine.booted, command) {
                    (None, Command::Dies) => Command::Dies,
                    (None, _) => Command::PowerOn { init_decides: false },
                    (Some(_), command) => command,
                };
                let fuse = cut.map_or_else(Fuse::endless, |(after, _)| Fuse::blows_after(after));
                let mut next = machine.on(&fuse);
                let ended = next.run(command);
                *counts.entry(word(command, ended)).or_default() += 1;
                *machine = match (ended, cut) {
                    (Err(Stop::Cut), Some((_, arrived))) => next.after_cut(|number| arrived >> (number % 128) & 1 == 1),
                    _ => next.on(&Fuse::endless()),
                };
                if ended == Err(Stop::NothingBoots) {
                    return Err("GRUB has nothing to boot".into());
                }
            }
        }
        Ok(())
    }
}

const fn word(command: Command, ended: Result<(), Stop>) -> &'static str {
    match (command, ended) {
        (_, Err(Stop::Cut)) => "cut",
        (_, Err(Stop::Refused)) => "refused",
        (_, Err(Stop::Io)) => "EIO",
        (_, Err(Stop::NoSpace)) => "ENOSPC",
        (_, Err(Stop::Clock)) => "wrong clock",
        (_, Err(Stop::Server)) => "server's fault",
        (_, Err(_)) => "failed",
        (Command::PowerOn { .. }, _) => "boots",
        (Command::Dies, _) => "boots that die",
        (Command::Apply(..), _) => "installs",
        (Command::Activate, _) => "activations",
        (Command::Check { .. } | Command::Late, _) => "health checks",
        (Command::Rollback, _) => "rollbacks",
        (Command::Commit, _) => "commits by hand",
        (Command::Status, _) => "looks",
    }
}

/// Whether the box can do without that copy: the other is whole, can be read and written, and has the same block. Of two copies that
/// both fail at once none is left, and nothing then says which slot was good.
fn is_spare(machine: &Machine, copy: usize) -> bool {
    let same = machine.env[0].durable == machine.env[1].durable;
    let works = machine.env[1 - copy].faults == Faults::default() && machine.read_only == [false; 2];
    same && works && machine.waiting() == 0 && mended(machine).is_whole()
}

/// The same box, on disks that refuse nothing and with the right time.
pub fn mended(machine: &Machine) -> Machine {
    let mut machine = Machine { read_only: [false; 2], clock: NOW, ..machine.clone() };
    PARTS.into_iter().for_each(|part| *part.faults(&mut machine) = Faults::default());
    machine
}
