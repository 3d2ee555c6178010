//! Whole lives of a box that nobody has thought up: the program's own flows and GRUB's model, on disks that tear, reorder, lie, give
//! errors (EIO) and are full (ENOSPC), with a server that stops and lies, a clock that jumps, power that goes at any step, and a
//! person who types verbs in any order.
//!
//! - **Safety**, after every step: the block parses, what GRUB would boot is good or a trial with tries left, nothing is called good
//!   that has not passed its checks, and no image that was given up is forgotten.
//! - **Liveness**, once faults stop: within [`BOOTS`] boots a good slot runs, and the next update goes through.
//!
//! A seed is a life: `KSOLO_SEED=N KSOLO_CASES=1` lives it again. One that fails is made shorter as long as it still fails, and told.
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
mod step;

use std::fmt::Write as _;
use std::time::Instant;

use kubesolo_core::boot::slot::SlotState;
use kubesolo_core::text::timestamp::Moment;
use machine::{Command, Machine, NOW, Server, Stop, Version};
use scene::medium::Fuse;
use scene::{Random, cases, seed};
use step::{Counts, Step, mended};

/// Lives in `make proof`; `make test` has a tenth of them, `make soak` as many as it is told.
const LIVES: usize = 20_000;
/// Steps of a life.
const STEPS: usize = 40;
/// Boots after the last fault within which a good slot runs: as many as `graph.rs` finds.
const BOOTS: usize = 7;
/// A version that no life installs: what a box takes in the end.
const LAST: Version = 6;

/// Whether an older system lives this life, and its steps.
fn life(seed: u64) -> (bool, Vec<Step>) {
    let mut random = Random::seeded(seed);
    (random.one_in(6), (0..STEPS).map(|_| Step::at_random(&mut random)).collect())
}

/// Lives the steps, and what must come after them. What is wrong, and after which step.
fn live(older: bool, steps: &[Step], counts: &mut Counts) -> Result<(), (usize, String)> {
    let mut machine = if older { Machine::older() } else { Machine::new() };
    for (number, step) in steps.iter().enumerate() {
        step.happen(&mut machine, counts).map_err(|what| (number, what))?;
        // The power may go now, and any part of what is still on its way may have arrived.
        let mut random = Random::seeded(number as u64);
        let arrived = u128::from(random.next()) << 64 | u128::from(random.next());
        let mut seen = mended(&machine).after_cut(|number| arrived >> (number % 128) & 1 == 1);
        seen.look().map_err(|what| (number, what))?;
    }
    comes_back(machine).map_err(|what| (steps.len(), what))
}

/// The faults have stopped.
fn comes_back(mut machine: Machine) -> Result<(), String> {
    machine = mended(&machine);
    // Midnight or three o'clock is in each window.
    let moments = [NOW, Moment(NOW.0 - 3 * 3600)];
    machine.clock = moments.into_iter().find(|at| machine.window.is_none_or(|window| window.holds(*at))).unwrap();
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
        // Nothing to go back to: only its health check makes it good.
        if state.slot(!booted) != SlotState::Good && state.slot(booted) == SlotState::Trial {
            run(&mut machine, pass).map_err(|stop| format!("a health check after boot {boot}: {stop:?}"))?;
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

/// The same steps without one of them, or with a simpler one.
fn shorter(steps: &[Step]) -> Vec<Vec<Step>> {
    let places = || 0..steps.len();
    let without = places().map(|place| [&steps[..place], &steps[place + 1..]].concat());
    let simpler = places().flat_map(|place| {
        let put = move |step| [&steps[..place], &[step], &steps[place + 1..]].concat();
        steps[place].simpler().into_iter().map(put)
    });
    without.chain(simpler).collect()
}

/// Steps that still fail, of which none can be left out or made simpler.
fn shortest(mut steps: Vec<Step>, fails: &dyn Fn(&[Step]) -> Option<(usize, String)>) -> Vec<Step> {
    while let Some(shorter) = shorter(&steps).into_iter().find_map(|mut shorter| {
        let (number, _) = fails(&shorter)?;
        shorter.truncate(number + 1);
        Some(shorter)
    }) {
        steps = shorter;
    }
    steps
}

/// The story of a failure.
fn shortened(older: bool, steps: Vec<Step>) -> String {
    let fails = |steps: &[Step]| live(older, steps, &mut Counts::new()).err();
    let steps = shortest(steps, &fails);
    let mut story = String::new();
    let what = fails(&steps).unwrap().1;
    for step in &steps {
        writeln!(story, "    {step:?}").unwrap();
    }
    format!("{story}    {what}")
}

#[test]
fn a_seed_is_a_life_and_a_failure_becomes_a_short_story() {
    for seed in 1..20 {
        let counts = [0, 1].map(|_| {
            let ((older, steps), mut counts) = (life(seed), Counts::new());
            live(older, &steps, &mut counts).unwrap();
            counts
        });
        assert_eq!(counts[0], counts[1], "seed {seed}");
    }
    // As if a full disk were a failure.
    let fails = |steps: &[Step]| {
        let fill = |step: &Step| matches!(step, Step::Refuses(_, faults) if faults.room.is_some());
        steps.iter().position(fill).map(|number| (number, String::new()))
    };
    let (_, steps) = (1..).map(life).find(|(_, steps)| fails(steps).is_some()).unwrap();
    assert!(steps.len() == STEPS && shortest(steps, &fails).len() == 1);
}

#[test]
fn every_life_is_safe_and_comes_back() {
    let (first, lives) = (seed(), cases(LIVES));
    let (began, mut counts) = (Instant::now(), Counts::new());
    for seed in (first..).take(lives) {
        let (older, steps) = life(seed);
        if live(older, &steps, &mut counts).is_err() {
            let older_block = if older { ", an older block" } else { "" };
            panic!("KSOLO_SEED={seed} KSOLO_CASES=1{older_block}:\n{}", shortened(older, steps));
        }
    }
    println!("{lives} lives in {:.1} s: {counts:?}", began.elapsed().as_secs_f64());
}
