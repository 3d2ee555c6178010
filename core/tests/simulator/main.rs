//! Whole lives of a box that nobody has thought up: the program's own flows and GRUB's model, on a disk that tears, reorders, lies and
//! refuses, with a server that stops and lies, power that goes at any step, and a person who types verbs in any order.
//!
//! - **Safety**, after every step: the block parses, what GRUB would boot is good or a trial with tries left, nothing is called good
//!   that has not passed its checks, and no image that was given up is forgotten.
//! - **Liveness**, once faults stop: within [`BOOTS`] boots a good slot runs, and the next update goes through.
//!
//! A seed is a life: `KSOLO_SEED=N KSOLO_CASES=1` lives it again. One that fails is made shorter as long as it still fails, and told.
//! What is not in it: a clock that jumps, for no flow of the core looks at one.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

#[path = "../crash_sim/commands.rs"]
mod commands;
#[path = "../crash_sim/filling.rs"]
mod filling;
#[path = "../crash_sim/folder.rs"]
mod folder;
#[path = "../crash_sim/machine.rs"]
mod machine;
#[path = "../crash_sim/power_on.rs"]
mod power_on;
#[path = "../scene/mod.rs"]
mod scene;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use kubesolo_core::boot::slot::{Slot, SlotState};
use machine::{Command, Machine, Server, Stop, UNLOADABLE, Version};
use scene::medium::Fuse;
use scene::{Random, cases, seed};

/// Lives in `make proof`; `make test` has a tenth of them, `make soak` as many as it is told.
const LIVES: usize = 20_000;
/// Steps of a life.
const STEPS: usize = 40;
/// Boots after the last fault within which a good slot runs: as many as `graph.rs` finds.
const BOOTS: usize = 7;
/// A version that no life installs: what a box takes in the end.
const LAST: Version = 6;

/// What happens to a box.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A command; the power goes after so many steps of it, if it takes that many, and of what waits then those arrive whose
    /// bits are set.
    Run(Command, Option<(usize, u128)>),
    /// Copies of the block that take no writes.
    ReadOnly([bool; 2]),
    /// Whether the data partition takes none.
    DataFails(bool),
    /// A copy loses its header, if the other has the same block.
    Damage(usize),
    /// The staged slot's kernel changes on the medium.
    Rot,
}

impl Step {
    fn at_random(random: &mut Random) -> Step {
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
            Command::Activate,
            Command::Activate,
            Command::Check { passes: true, most: 2 },
            Command::Check { passes: false, most: 2 },
            Command::Rollback,
        ]);
        let arrived = u128::from(random.next()) << 64 | u128::from(random.next());
        let cut = random.one_in(3).then(|| (random.below(60), arrived));
        match random.below(20) {
            0 => Step::ReadOnly(*random.pick(&[[true, false], [false, true], [true, true], [false, false]])),
            1 => Step::ReadOnly([false, false]),
            2 => Step::DataFails(random.one_in(2)),
            3 => Step::Damage(random.below(2)),
            4 => Step::Rot,
            _ => Step::Run(command, cut),
        }
    }

    /// Lets it happen; one that has no sense here does not.
    fn happen(self, machine: &mut Machine, told: &mut BTreeMap<&'static str, usize>) -> Result<(), String> {
        match self {
            Step::ReadOnly(copies) => machine.read_only = copies,
            Step::DataFails(fails) => machine.data_fails = fails,
            Step::Damage(copy) => {
                // One fault at a time: a spare that is behind is one already.
                let same = machine.env[0].durable == machine.env[1].durable;
                if machine.is_whole() && machine.waiting() == 0 && same {
                    machine.damage(copy);
                }
            }
            Step::Rot => {
                let state = machine.state().ok_or("no block")?;
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
                *told.entry(word(command, ended)).or_default() += 1;
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
        (_, Err(_)) => "failed",
        (Command::PowerOn { .. }, _) => "boots",
        (Command::Dies, _) => "boots that die",
        (Command::Apply(..), _) => "installs",
        (Command::Activate, _) => "activations",
        (Command::Check { .. }, _) => "health checks",
        (Command::Rollback, _) => "rollbacks",
    }
}

/// Lives the steps, and what must come after them. What is wrong, and after which step.
fn live(older: bool, steps: &[Step], told: &mut BTreeMap<&'static str, usize>) -> Result<(), (usize, String)> {
    let mut machine = if older { Machine::older() } else { Machine::new() };
    for (number, step) in steps.iter().enumerate() {
        step.happen(&mut machine, told).map_err(|what| (number, what))?;
        // What is still on its way, no cut has decided about.
        if machine.waiting() == 0 {
            machine.clone().look().map_err(|what| (number, what))?;
        }
    }
    comes_back(machine).map_err(|what| (steps.len(), what))
}

/// The faults have stopped.
fn comes_back(mut machine: Machine) -> Result<(), String> {
    (machine.read_only, machine.data_fails) = ([false; 2], false);
    let power_on = Command::PowerOn { init_decides: false };
    let pass = Command::Check { passes: true, most: 2 };
    let run = |machine: &mut Machine, command| {
        let mut next = machine.on(&Fuse::endless());
        let ended = next.run(command);
        *machine = next;
        ended
    };
    for boot in 1.. {
        run(&mut machine, power_on).map_err(|stop| format!("boot {boot} without faults: {stop:?}"))?;
        let (state, booted) = (machine.state().ok_or("no block")?, machine.booted.ok_or("nothing runs")?);
        if (state.active, state.slot(booted), state.success) == (booted, SlotState::Good, true) {
            break;
        }
        if boot == BOOTS {
            return Err(format!("no good slot runs within {BOOTS} boots: {state:?}"));
        }
    }
    for command in [Command::Apply(LAST, Server::Whole), Command::Activate, power_on, pass, power_on] {
        let mut ended = run(&mut machine, command);
        // What rotted in a part is seen when all of it is there: it is thrown away, and the next run begins anew.
        if matches!(command, Command::Apply(..)) && ended == Err(Stop::Server) {
            ended = run(&mut machine, command);
        }
        ended.map_err(|stop| format!("the next update, {command:?}: {stop:?}"))?;
    }
    let (state, booted) = (machine.state().ok_or("no block")?, machine.booted.ok_or("nothing runs")?);
    match machine.system(booted) == Some(LAST) && state.active == booted && state.slot(booted) == SlotState::Good {
        true => Ok(()),
        false => Err(format!("the next update ends with {state:?}")),
    }
}

/// The shortest story that still fails.
fn shortened(older: bool, mut steps: Vec<Step>) -> String {
    let mut place = 0;
    while place < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(place);
        match live(older, &fewer, &mut BTreeMap::new()) {
            Err((number, _)) => {
                fewer.truncate(number + 1);
                steps = fewer;
            }
            Ok(()) => place += 1,
        }
    }
    let mut story = String::new();
    let what = live(older, &steps, &mut BTreeMap::new()).unwrap_err().1;
    for step in &steps {
        writeln!(story, "    {step:?}").unwrap();
    }
    format!("{story}    {what}")
}

#[test]
fn every_life_is_safe_and_comes_back() {
    let (first, lives) = (seed(), cases(LIVES));
    let (began, mut told, mut wrong) = (Instant::now(), BTreeMap::new(), Vec::new());
    for seed in (first..).take(lives) {
        let mut random = Random::seeded(seed);
        let older = random.one_in(6);
        let steps: Vec<Step> = (0..STEPS).map(|_| Step::at_random(&mut random)).collect();
        if live(older, &steps, &mut told).is_err() {
            wrong.push(format!(
                "KSOLO_SEED={seed} KSOLO_CASES=1{}:\n{}",
                if older { ", an older block" } else { "" },
                shortened(older, steps)
            ));
        }
    }
    println!("{lives} lives in {:.1} s: {told:?}", began.elapsed().as_secs_f64());
    assert!(
        wrong.is_empty(),
        "{} of {lives} lives went wrong; the first:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
}
