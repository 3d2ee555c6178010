//! Whole lives of a box (apply, activate, trial boots, commit, rollback), cut at every write and every sync of every
//! command. After each cut GRUB boots a slot that is good, or a trial with tries left; the block parses; what is called
//! good, staged or on trial has all of its files; and the same command, run again, succeeds.
//!
//! The disk is stricter than hardware: a sector of 512 bytes is torn off from the next, and of what no sync has covered
//! any part may be there: bytes, lengths, marks, names.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

mod commands;
mod cuts;
mod filling;
mod folder;
mod machine;
mod power_on;
#[path = "../scene/mod.rs"]
mod scene;

use std::time::Instant;

use cuts::{Report, explore};
use filling::INDEX;
use folder::Name;
use kubesolo_core::boot::slot::{Slot, SlotState};
use machine::{Command, Command::*, Machine, Server::*, Stop, UNLOADABLE};
use scene::faults::Failing;
use scene::medium::Fuse;
use scene::{Random, cases, seed};

/// What happens to a box.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A command, and what it comes to.
    Runs(Command, Result<(), Stop>),
    /// The first or the second copy of the env block cannot be written, or can again.
    ReadOnly([bool; 2]),
    /// A copy loses its header.
    Damage(usize),
    /// The slot's kernel changes on the medium.
    Rot(Slot),
    /// Whether the data partition takes writes.
    Data(bool),
}

use Event::{Damage, Data, ReadOnly, Rot};

const fn ok(command: Command) -> Event {
    Event::Runs(command, Ok(()))
}

const fn fails(command: Command, stop: Stop) -> Event {
    Event::Runs(command, Err(stop))
}

const POWER: Event = ok(PowerOn { init_decides: false });
const DIES: Event = ok(Dies);
const COMMIT: Event = ok(Check { passes: true, most: 0 });
const FAILED_CHECK: Event = ok(Check { passes: false, most: 2 });
const LATE: Event = ok(Late);
const ACTIVATE: Event = ok(Activate);
const ROLLBACK: Event = ok(Rollback);

const fn apply(version: u8) -> Event {
    ok(Apply(version, Whole))
}

/// Its name, whether an older system lives it, what happens, and in the end: the active slot, the states, the versions.
type Life = (&'static str, bool, &'static [Event], (Slot, [SlotState; 2], [Option<u8>; 2]));

/// The lives.
const LIVES: &[Life] = &[
    (
        "two good updates",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, COMMIT, POWER, apply(3), ACTIVATE, POWER, COMMIT, POWER],
        (Slot::A, [SlotState::Good, SlotState::Good], [Some(3), Some(2)]),
    ),
    (
        "a trial that nobody commits, and the next",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, POWER, POWER, POWER, apply(3), ACTIVATE, POWER, COMMIT],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
    (
        "a trial that dies before init",
        false,
        &[POWER, apply(2), ACTIVATE, DIES, DIES, DIES, POWER, POWER, apply(3), ACTIVATE, POWER, COMMIT, POWER],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
    (
        "a kernel that does not load",
        false,
        &[POWER, apply(UNLOADABLE), ACTIVATE, POWER, fails(Apply(UNLOADABLE, Whole), Stop::Refused), apply(3)],
        (Slot::A, [SlotState::Good, SlotState::Staged], [Some(1), Some(3)]),
    ),
    (
        "health checks that fail",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, FAILED_CHECK, FAILED_CHECK, POWER, apply(3), ACTIVATE, POWER, COMMIT],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
    (
        "a trial whose time is over in each boot",
        false,
        &[
            POWER,
            apply(2),
            ACTIVATE,
            POWER,
            LATE,
            POWER,
            LATE,
            POWER,
            LATE,
            POWER,
            fails(Apply(2, Whole), Stop::Refused),
            apply(3),
            ACTIVATE,
            POWER,
            LATE,
            POWER,
            COMMIT,
        ],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
    (
        "init decides",
        false,
        &[POWER, apply(2), ACTIVATE, ok(PowerOn { init_decides: true }), apply(3), ACTIVATE],
        (Slot::A, [SlotState::Trial, SlotState::Good], [Some(3), Some(2)]),
    ),
    (
        "rolled back by hand from a good one",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, COMMIT, ROLLBACK, POWER, apply(3), ACTIVATE, POWER, ROLLBACK, POWER],
        (Slot::A, [SlotState::Good, SlotState::Bad], [Some(1), Some(3)]),
    ),
    (
        "downloads that break",
        false,
        &[
            POWER,
            fails(Apply(2, Breaks(1)), Stop::Server),
            fails(Apply(2, Breaks(1)), Stop::Server),
            fails(Apply(3, Breaks(5)), Stop::Server),
            fails(Apply(2, Breaks(2)), Stop::Server),
            fails(Apply(2, Wrong), Stop::Server),
            fails(Apply(2, Breaks(2)), Stop::Server),
            ok(Apply(2, FromTheStart)),
            ACTIVATE,
            POWER,
            COMMIT,
        ],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(2)]),
    ),
    (
        "downloads of what the running slot does not have",
        false,
        &[
            POWER,
            fails(Apply(2, Chunks(3)), Stop::Server),
            fails(Apply(2, Breaks(2)), Stop::Server),
            fails(Apply(3, Chunks(4)), Stop::Server),
            ok(Apply(2, Chunks(usize::MAX))),
            ACTIVATE,
            POWER,
            COMMIT,
            ok(Apply(3, Chunks(usize::MAX))),
            ok(Apply(4, Chunks(usize::MAX))),
            apply(5),
        ],
        (Slot::B, [SlotState::Staged, SlotState::Good], [Some(5), Some(2)]),
    ),
    (
        "another version over a staged one, and a staged one that rots",
        false,
        &[POWER, apply(2), apply(3), Rot(Slot::B), fails(Activate, Stop::Files), apply(3), ACTIVATE, POWER, COMMIT],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
    (
        "another version over a staged one, in a block that takes no writes",
        false,
        &[
            POWER,
            apply(2),
            ReadOnly([true, true]),
            fails(Apply(3, Whole), Stop::Env),
            ReadOnly([false, false]),
            ACTIVATE,
            DIES,
            DIES,
            DIES,
            POWER,
            // It is 2 that was given up, whatever was to come.
            fails(Apply(2, Whole), Stop::Refused),
        ],
        (Slot::A, [SlotState::Good, SlotState::Bad], [Some(1), Some(2)]),
    ),
    (
        "an update while the data partition takes no writes",
        false,
        &[POWER, Data(false), fails(Apply(2, Whole), Stop::Io), Data(true), fails(Activate, Stop::Refused)],
        (Slot::A, [SlotState::Good, SlotState::Empty], [Some(1), None]),
    ),
    (
        "a disk that gives back other bytes",
        false,
        &[POWER, fails(Apply(2, DiskRots), Stop::Files), apply(2), ACTIVATE, POWER, COMMIT],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(2)]),
    ),
    (
        "data that takes no writes",
        false,
        &[POWER, Data(false), POWER, DIES, POWER, Data(true), POWER, apply(2), ACTIVATE, POWER, COMMIT],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(2)]),
    ),
    (
        "copies that are damaged",
        false,
        &[
            POWER,
            Damage(0),
            POWER,
            apply(2),
            Damage(1),
            ACTIVATE,
            Damage(0),
            POWER,
            Damage(1),
            COMMIT,
            Damage(0),
            POWER,
        ],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(2)]),
    ),
    (
        "copies that cannot be written",
        false,
        &[
            POWER,
            ReadOnly([true, false]),
            POWER,
            fails(Apply(2, Whole), Stop::Env),
            // A spare that cannot be written holds up nothing.
            ReadOnly([false, true]),
            POWER,
            apply(2),
            ReadOnly([false, false]),
            apply(3),
            ReadOnly([true, false]),
            fails(Activate, Stop::Env),
            ReadOnly([false, false]),
            ACTIVATE,
            POWER,
            ReadOnly([true, true]),
            fails(Check { passes: true, most: 0 }, Stop::Env),
            POWER,
            ReadOnly([false, false]),
            POWER,
            COMMIT,
        ],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
    (
        "a good slot whose boots end before init",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, COMMIT, DIES, DIES, DIES, POWER, POWER, apply(3)],
        (Slot::B, [SlotState::Staged, SlotState::Good], [Some(3), Some(2)]),
    ),
    (
        "a good slot that never gets to init again",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, COMMIT, DIES, DIES, DIES, POWER, DIES, DIES, DIES, POWER, POWER, apply(2)],
        (Slot::A, [SlotState::Good, SlotState::Staged], [Some(1), Some(2)]),
    ),
    (
        "full data while GRUB gives a trial up, and a person keeps the old slot",
        false,
        &[
            POWER,
            apply(2),
            ACTIVATE,
            DIES,
            DIES,
            DIES,
            Data(false),
            POWER,
            Data(true),
            ok(Commit),
            POWER,
            fails(Apply(2, Whole), Stop::Refused),
        ],
        (Slot::A, [SlotState::Good, SlotState::Bad], [Some(1), Some(2)]),
    ),
    (
        "full data while GRUB gives a trial up, and the next update comes before the next boot",
        false,
        &[
            POWER,
            apply(2),
            ACTIVATE,
            DIES,
            DIES,
            DIES,
            Data(false),
            POWER,
            Data(true),
            apply(3),
            fails(Apply(2, Whole), Stop::Refused),
        ],
        (Slot::A, [SlotState::Good, SlotState::Staged], [Some(1), Some(3)]),
    ),
    (
        "full data from the activation to the rollback",
        false,
        &[
            POWER,
            apply(2),
            Data(false),
            ACTIVATE,
            POWER,
            ROLLBACK,
            Data(true),
            POWER,
            fails(Apply(2, Whole), Stop::Refused),
        ],
        (Slot::A, [SlotState::Good, SlotState::Bad], [Some(1), Some(2)]),
    ),
    (
        "a trial that a person keeps",
        false,
        &[POWER, apply(2), ACTIVATE, POWER, ok(Status), ok(Commit), POWER],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(2)]),
    ),
    (
        "an older KubeSolo OS",
        true,
        &[POWER, COMMIT, apply(3), ACTIVATE, POWER, COMMIT, POWER],
        (Slot::B, [SlotState::Good, SlotState::Good], [Some(1), Some(3)]),
    ),
];

/// Lives a life; `run` says what a command on a box comes to, and how the box is then.
fn live(
    (name, older, events, _): &Life,
    run: &mut dyn FnMut(&Machine, Command, &str) -> (Machine, Result<(), Stop>),
) -> Machine {
    let mut machine = if *older { Machine::older() } else { Machine::new() };
    for (number, event) in events.iter().enumerate() {
        let place = format!("\"{name}\", event {number}");
        match *event {
            Event::Runs(command, want) => {
                let (after, ended) = run(&machine, command, &place);
                assert_eq!(ended, want, "{place}: {command:?}");
                machine = after;
            }
            ReadOnly(copies) => machine.read_only = copies,
            Damage(copy) => machine.damage(copy),
            Rot(slot) => machine.rot(slot),
            Data(takes_writes) => {
                machine.data.faults.write = (!takes_writes).then_some(Failing { after: 0, stays: true });
            }
        }
    }
    machine
}

#[test]
fn an_uncut_life_changes_what_it_should() {
    for life in LIVES {
        let mut machine = live(life, &mut |before, command, place| {
            let fuse = Fuse::endless();
            let mut after = before.on(&fuse);
            let ended = after.run(command);
            // A boot that is counted and marked good again ends where it began, and so does a commit of what is good.
            let changes = ended.is_ok() && !matches!(command, PowerOn { .. } | Dies | Commit | Status);
            assert!(!changes || after.disk() != before.disk(), "{place}: {command:?} changed nothing");
            assert!(!changes || fuse.syncs() > 1, "{place}: {command:?} synced nothing");
            (after, ended)
        });
        let state = machine.state().unwrap();
        let systems = Slot::BOTH.map(|slot| machine.system(slot));
        assert_eq!((state.active, [state.a, state.b], systems), life.3, "{}", life.0);
        // The index stays beside what came with one, and goes with it.
        let has_index = |slot| machine.slot(slot).read(Name::Image(INDEX)).is_some();
        let want = [false, life.0 == "downloads of what the running slot does not have"];
        assert_eq!(Slot::BOTH.map(has_index), want, "{}", life.0);
    }
}

/// With so many, enough disks are visited.
const LIVES_AT_RANDOM: usize = 24;

/// Lives a life of so many commands that nobody has thought up.
fn live_at_random(number: usize, seed: u64, commands: usize, report: &mut Report) {
    let mut random = Random::seeded(seed + number as u64);
    let mut machine = if random.one_in(6) { Machine::older() } else { Machine::new() };
    for event in 0..commands {
        let whole = machine.is_whole() && machine.waiting() == 0;
        if whole && random.one_in(8) {
            machine.damage(random.below(2));
        } else if whole && random.one_in(8) {
            machine.read_only = *random.pick(&[[true, false], [false, true], [true, true]]);
        } else if random.one_in(2) {
            machine.read_only = [false; 2];
        }
        let state = machine.state().unwrap();
        let staged = Slot::BOTH.into_iter().find(|slot| state.slot(*slot) == SlotState::Staged);
        let rots = |slot: &Slot| machine.system(*slot).is_some() && machine.booted != Some(*slot);
        if let Some(staged) = staged.filter(rots)
            && random.one_in(8)
        {
            machine.rot(staged);
        }
        let version = *random.pick(&[2, 2, 3, 3, 4, 5, UNLOADABLE]);
        let server = *random.pick(&[
            Whole,
            Whole,
            Chunks(usize::MAX),
            Chunks(5),
            Breaks(1),
            Breaks(8),
            Breaks(14),
            Wrong,
            FromTheStart,
        ]);
        let power_on = PowerOn { init_decides: random.one_in(8) };
        let command = match machine.booted {
            None => power_on,
            Some(_) if staged.is_some() && random.one_in(2) => Activate,
            Some(booted) if state.slot(booted) == SlotState::Trial => *random.pick(&[
                power_on,
                Dies,
                Check { passes: true, most: 0 },
                Check { passes: true, most: 0 },
                Check { passes: false, most: 1 },
                Check { passes: false, most: 2 },
                Late,
                Rollback,
            ]),
            Some(booted) if booted != state.active => power_on,
            Some(_) => *random.pick(&[
                Apply(version, server),
                Apply(version, server),
                Apply(version, server),
                power_on,
                Rollback,
                Activate,
                Dies,
            ]),
        };
        let (after, ended) = explore(&machine, command, report, &format!("random life {number}, event {event}"), true);
        assert_ne!(ended, Err(Stop::NothingBoots), "random life {number}, event {event}");
        machine = after;
    }
}

#[test]
fn no_cut_of_any_write_or_sync_keeps_a_box_from_coming_back() {
    an_uncut_life_changes_what_it_should();
    let began = Instant::now();
    let mut report = Report::default();
    for life in LIVES {
        live(life, &mut |before, command, place| explore(before, command, &mut report, place, true));
    }
    let (seed, lives) = (seed(), cases(LIVES_AT_RANDOM));
    (0..lives).for_each(|number| live_at_random(number, seed, 12, &mut report));
    println!("{} lives and {lives} at random in {:.1} s\n{report}", LIVES.len(), began.elapsed().as_secs_f64());
    assert!(report.wrong.is_empty(), "{report}");
    assert!(lives < LIVES_AT_RANDOM || report.disks.len() >= 100_000, "{report}");
}
