//! Cuts a command at every write and sync of it, and looks at everything that the disk may then hold.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use kubesolo_core::boot::env_copies::Found;
use kubesolo_core::boot::slot::SlotState;
use kubesolo_core::boot::state::BootState;

use crate::machine::{Command, Machine, Server, Stop, UNLOADABLE, Version};
use crate::scene::Random;
use crate::scene::faults::Faults;
use crate::scene::medium::Fuse;

/// A version that no life installs: what a box takes in the end.
const LAST: Version = 6;
/// All parts of up to so many waiting writes are tried; of more, a sample.
const ALL_OF: usize = 10;
/// One in so many disks goes on with a whole good update.
const GOES_ON: usize = 61;
/// One in so many is cut a second time: an apply leaves many disks, and most of them differ in what nobody boots.
const IS_CUT_AGAIN: usize = 19;
const APPLY_IS_CUT_AGAIN: usize = 499;

/// What was seen.
#[derive(Default)]
pub struct Report {
    pub visits: usize,
    pub stops: usize,
    pub steps: usize,
    pub syncs: usize,
    pub again: usize,
    pub lives_gone_on: usize,
    pub cut_twice: usize,
    pub disks: HashSet<u64>,
    /// The boxes that a command was cut on already.
    explored: HashSet<(u64, Command)>,
    pub outcomes: BTreeMap<(&'static str, String, &'static str), usize>,
    /// What is wrong, with how often, and where first.
    pub wrong: BTreeMap<String, (usize, String)>,
}

impl Report {
    fn is_wrong(&mut self, what: String, place: &dyn Fn() -> String) {
        self.wrong.entry(what).or_insert_with(|| (0, place())).0 += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { visits, stops, steps, syncs, again, lives_gone_on, cut_twice, disks, .. } = self;
        writeln!(f, "{} writes and {syncs} syncs, {stops} stops", steps - syncs)?;
        writeln!(f, "{visits} disks visited, {} of them distinct", disks.len())?;
        writeln!(f, "{again} commands run again, {lives_gone_on} lives gone on with, {cut_twice} cut a second time")?;
        for ((command, boots, state), count) in &self.outcomes {
            writeln!(f, "{count:>9}  {command:<12} {state:<12} GRUB boots {boots}")?;
        }
        for (what, (count, place)) in &self.wrong {
            writeln!(f, "{count:>9}  WRONG: {what}; first {place}")?;
        }
        Ok(())
    }
}

const fn word(command: Command) -> &'static str {
    match command {
        Command::PowerOn { .. } | Command::Dies => "power-on",
        Command::Apply(..) => "apply",
        Command::Activate => "activate",
        Command::Check { passes: true, .. } | Command::Commit => "commit",
        Command::Check { passes: false, .. } => "failed check",
        Command::Rollback => "rollback",
        Command::Status => "status",
    }
}

/// Runs the command without a cut and gives what it came to, and looks at all that its cuts may leave; more closely if it
/// goes `in_depth`.
pub fn explore(
    start: &Machine,
    command: Command,
    report: &mut Report,
    place: &str,
    in_depth: bool,
) -> (Machine, Result<(), Stop>) {
    let fuse = Fuse::endless();
    let mut end = start.on(&fuse);
    let ended = end.run(command);
    let before = start.on(&Fuse::endless()).state();
    let after = end.state();
    if !report.explored.insert((start.identity(), command)) {
        return (end, ended);
    }
    if let (Command::PowerOn { .. }, Ok(()), Some(state), Some(booted), [false, _]) =
        (command, ended, after, end.booted, end.read_only)
        && state.active == booted
        && state.slot(booted) == SlotState::Good
        && !state.success
    {
        report.is_wrong("a good slot's boot is not marked".into(), &|| format!("in {place}"));
    }
    report.steps += fuse.steps();
    report.syncs += fuse.syncs();
    let mut seen = HashSet::new();
    for stop in 0..=fuse.steps() {
        let mut cut = start.on(&Fuse::blows_after(stop));
        assert_eq!(cut.run(command) == Err(Stop::Cut), stop < fuse.steps(), "{place}, {command:?}: stop {stop}");
        report.stops += 1;
        for arrived in choices(cut.waiting(), stop as u64, in_depth) {
            let mut disk = cut.after_cut(|number| arrived >> number & 1 == 1);
            report.visits += 1;
            report.disks.insert(disk.disk());
            if !seen.insert(disk.identity()) {
                continue;
            }
            let at = || format!("in {place}, {command:?}, stop {stop} of {}, {arrived:b} arrived", fuse.steps());
            let (slot, slot_state, state) = match disk.look() {
                Ok(looked) => looked,
                Err(what) => {
                    report.is_wrong(what, &at);
                    continue;
                }
            };
            // What GRUB wrote may still be on its way when `init` writes the second copy.
            let by_grub = matches!(command, Command::PowerOn { .. } | Command::Dies);
            if !by_grub && before != after && is_second_before_first(start, &disk) {
                report.is_wrong("the second copy is written before the first".into(), &at);
                continue;
            }
            let boots = match (slot_state, state.slot(state.active)) {
                (SlotState::Trial, _) => {
                    format!("a trial, {} tries left", if state.success { 3 } else { state.counter })
                }
                (_, SlotState::Trial) => "the good slot, the trial is given up".into(),
                _ if slot != state.active => "the good slot, the active one does not load".into(),
                _ => "the good slot".into(),
            };
            let state = match Some(state) {
                state if state == after && state == before => "same state",
                state if state == after => "new state",
                state if state == before => "old state",
                _ => "in between",
            };
            *report.outcomes.entry((word(command), boots, state)).or_default() += 1;

            let one_in = if matches!(command, Command::Apply(..)) { APPLY_IS_CUT_AGAIN } else { IS_CUT_AGAIN };
            if in_depth && seen.len() % one_in == 0 {
                report.cut_twice += 1;
                let twice = format!("{place}, a second time after stop {stop} of {command:?}");
                let (on, _) = explore(&disk, Command::PowerOn { init_decides: false }, report, &twice, false);
                if on.booted.is_some() {
                    drop(explore(&on, command, report, &twice, false));
                }
            }
            report.again += 1;
            let goes_on = seen.len() % GOES_ON == 0;
            report.lives_gone_on += usize::from(goes_on);
            let again = run_again(&mut disk, command, ended)
                .and_then(|()| if goes_on { take_an_update(&mut disk) } else { Ok(()) })
                .and_then(|()| disk.look().map(|_| ()));
            if let Err(what) = again {
                report.is_wrong(what, &at);
            }
        }
    }
    (end, ended)
}

/// Whether the second copy says something new while the first, which GRUB goes by, does not.
fn is_second_before_first(before: &Machine, now: &Machine) -> bool {
    let says = |content: &[u8]| {
        let found = Found::with(content);
        let block = found.block().filter(|_| found.fault().is_none())?;
        Some(BootState::read_safely(&block, &|_| false).state)
    };
    let [first, second] = [0, 1].map(|copy| says(&now.env[copy].durable));
    first.is_some() && first == says(&before.env[0].cached) && second != first && second != says(&before.env[1].cached)
}

/// Which of the waiting writes arrive, as bits: all choices of a few; of many, none, all, each prefix, each without one,
/// each alone, and some at random.
fn choices(waiting: usize, seed: u64, in_depth: bool) -> Vec<u128> {
    assert!(waiting < 128);
    let all = (1_u128 << waiting) - 1;
    let all_of = if in_depth { ALL_OF } else { 3 };
    if waiting <= all_of {
        return (0..=all).collect();
    }
    let prefixes = (0..=waiting).map(|count| (1 << count) - 1);
    let single = (0..waiting).flat_map(|number| [1 << number, all & !(1 << number)]);
    let mut choices: Vec<u128> = prefixes.chain(single).collect();
    if in_depth {
        let mut random = Random::seeded(seed);
        choices
            .extend((0..1 << ALL_OF).map(|_| u128::from(random.next()) << 64 & all | u128::from(random.next()) & all));
    }
    choices
}

/// The power is back, and the same command is run again: it succeeds, or has done so before, or is refused as it was when
/// nothing `ended` it before its time.
fn run_again(machine: &mut Machine, command: Command, ended: Result<(), Stop>) -> Result<(), String> {
    let failed = |what: &str, stop: Stop| Err(format!("{what}, run again, fails: {stop:?}"));
    // What cannot be written stays so until somebody mends it.
    machine.read_only = [false; 2];
    machine.data.faults = Faults::default();
    if let Err(stop) = machine.run(Command::PowerOn { init_decides: false }) {
        return failed("power-on", stop);
    }
    let (Some(state), Some(booted)) = (machine.state(), machine.booted) else { return Err("no state".into()) };
    if let Some((slot, version)) = machine.rolled_back
        && (state.slot(slot), machine.system(slot)) == (SlotState::Bad, Some(version))
        && booted == state.active
        && state.slot(booted) == SlotState::Good
        && machine.clone().run(Command::Apply(version, Server::Whole)) != Err(Stop::Refused)
    {
        return Err("a version that was rolled back from is taken again".into());
    }
    if let Command::Check { passes: true, .. } = command {
        dies_after(machine.clone())?;
    }
    // What does not load is given up at once, and not taken again.
    let is_given_up = state.slot(!booted) == SlotState::Bad && machine.system(!booted) == Some(UNLOADABLE);
    let again = match command {
        Command::PowerOn { .. } | Command::Dies => return Ok(()),
        // Already done, or done and undone.
        Command::Activate if state.slot(booted) == SlotState::Trial || is_given_up => return Ok(()),
        Command::Apply(UNLOADABLE, _) if is_given_up => return Ok(()),
        Command::Apply(version, _) => Command::Apply(version, Server::Whole),
        Command::Rollback if state.slot(!booted) != SlotState::Good => return Ok(()),
        command => command,
    };
    let mut ends = machine.run(again);
    // What rotted in a part is seen when all of it is there: it is thrown away, and the next run begins anew.
    if ends == Err(Stop::Server) && matches!(command, Command::Apply(_, Server::DiskRots)) {
        ends = machine.run(again);
    }
    match ends {
        Ok(()) => {}
        Err(Stop::Files | Stop::Refused) if machine.rotten == Some(!booted) => {}
        Err(Stop::Refused) if ended == Err(Stop::Refused) => return Ok(()),
        Err(stop) => return failed(word(command), stop),
    }
    let state = machine.state().ok_or("no state")?;
    let done = match command {
        Command::Apply(version, _) => {
            state.slot(!booted) == SlotState::Staged
                && (machine.system(!booted) == Some(version) || machine.rotten == Some(!booted))
        }
        Command::Activate => machine.rotten.is_some() || state.slot(!booted) == SlotState::Trial,
        Command::Check { passes: true, .. } => state.success && state.slot(booted) == SlotState::Good,
        _ => true,
    };
    if done { Ok(()) } else { Err(format!("{}, run again, does nothing", word(command))) }
}

/// Whatever a commit that was cut left of it: a trial that nobody commits is remembered when GRUB gives it up.
fn dies_after(mut machine: Machine) -> Result<(), String> {
    for command in [Command::Dies, Command::Dies, Command::Dies, Command::PowerOn { init_decides: false }] {
        machine.run(command).map_err(|stop| format!("{}, after a commit: {stop:?}", word(command)))?;
    }
    machine.look().map(drop)
}

/// A box that has come so far can be brought to the last version.
fn take_an_update(machine: &mut Machine) -> Result<(), String> {
    let pass = Command::Check { passes: true, most: 0 };
    let power_on = Command::PowerOn { init_decides: false };
    let all = [power_on, pass, Command::Apply(LAST, Server::Whole), Command::Activate, power_on, pass, power_on];
    for command in all {
        machine.run(command).map_err(|stop| format!("an update afterwards fails in {}: {stop:?}", word(command)))?;
    }
    let (state, booted) = (machine.state().ok_or("no state")?, machine.booted.ok_or("nothing runs")?);
    if machine.system(booted) == Some(LAST) && state.active == booted && state.slot(booted) == SlotState::Good {
        Ok(())
    } else {
        Err(format!("an update afterwards ends with {state:?}"))
    }
}
