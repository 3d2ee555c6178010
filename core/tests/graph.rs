//! Every state that GRUB and Linux can bring a box into, by every transition there is, with everything that can fail. Nothing
//! is sampled: the graph is small. What is proved of it stands beside each check; the numbers are printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends that way")]

use std::collections::{HashMap, HashSet};

use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::{BootState, Files, TRIES};

/// What a slot's system is, whatever the block says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum System {
    /// It loads, and reaches `init`.
    Works,
    /// The same, and there is no list of sums.
    WorksUnlisted,
    /// Its sums are right, and it never reaches `init`.
    Dies,
    /// Its sums are wrong, and it never reaches `init`.
    Damaged,
    /// It does not load.
    Absent,
}

const SYSTEMS: [System; 5] = [System::Works, System::WorksUnlisted, System::Dies, System::Damaged, System::Absent];

impl System {
    fn files(self) -> Files {
        match self {
            System::Works | System::Dies => Files::Whole,
            System::WorksUnlisted => Files::Unlisted,
            System::Damaged => Files::Damaged,
            System::Absent => Files::Absent,
        }
    }

    fn reaches_init(self) -> bool {
        matches!(self, System::Works | System::WorksUnlisted)
    }
}

/// The two systems.
type Pair = [System; 2];

fn of(pair: Pair, slot: Slot) -> System {
    match slot {
        Slot::A => pair[0],
        Slot::B => pair[1],
    }
}

fn pairs() -> impl Iterator<Item = Pair> {
    SYSTEMS.into_iter().flat_map(|a| SYSTEMS.map(|b| [a, b]))
}

/// What may come of one power-on in which anything can fail: the states that can be on the disk when it ends, at whatever
/// moment. GRUB booting what it must not is a panic.
fn power_on(from: BootState, pair: Pair, add: &mut dyn FnMut(BootState)) {
    for saves in [true, false] {
        let boot = from.grub_boot(|slot| of(pair, slot).files(), saves);
        // The power may go between GRUB's two saves.
        boot.first_save.into_iter().for_each(&mut *add);
        add(boot.on_disk);
        let Some(booted) = boot.booted else { continue };
        let standing = from.slot(booted);
        assert!(
            matches!(standing, SlotState::Good | SlotState::Trial),
            "GRUB boots slot {booted}, which is {standing}: {from:?}"
        );
        if of(pair, booted).reaches_init() {
            runs(boot.on_disk, booted, add);
        }
    }
    // A person chooses a slot by hand.
    for booted in Slot::BOTH.into_iter().filter(|slot| of(pair, *slot).reaches_init()) {
        runs(from, booted, add);
    }
}

/// What may be done in a system that runs, from `init` on, in any order: all of it changes the block by one write. The chain
/// ends anywhere, for the power may go; so each link is a state of its own.
fn runs(at: BootState, booted: Slot, add: &mut dyn FnMut(BootState)) {
    let mut seen = HashSet::from([at]);
    let mut left = vec![at];
    while let Some(now) = left.pop() {
        add(now);
        let target = !booted;
        // `apply` refuses to leave a slot that is not good.
        let may_apply = now.active == booted && now.slot(booted) == SlotState::Good;
        let next = [
            now.after_init(booted, false),
            now.after_init(booted, true),
            (now.rollback_from.is_some()).then_some(BootState { rollback_from: None, ..now }),
            now.commit(booted).ok(),
            now.rollback(booted).ok(),
            may_apply.then(|| now.invalidate(target)),
            // What is staged was written by `apply`, which made it empty first.
            (now.slot(target) == SlotState::Empty).then(|| now.stage(target)),
            now.activate(target).ok(),
            // `activate` that finds it changed.
            (now.slot(target) == SlotState::Staged).then(|| now.with_slot(target, SlotState::Bad)),
        ];
        left.extend(next.into_iter().flatten().filter(|state| seen.insert(*state)));
    }
}

/// A slot that has its tries once more has them because the other one was seen to reach `init`.
fn can_be(state: &BootState, pair: Pair) -> bool {
    state.retry != Some(state.active) || of(pair, !state.active).reaches_init()
}

fn beginnings() -> Vec<BootState> {
    let states = [SlotState::Good, SlotState::Empty, SlotState::Staged];
    // As it leaves the factory; and an older KubeSolo OS, whose block has any counter and a slot that may be no use.
    let legacy = |counter, success, active| {
        let own = if success { SlotState::Good } else { SlotState::Trial };
        BootState { counter, success, active, ..BootState::fresh(SlotState::Good) }.with_slot(active, own)
    };
    let both = Slot::BOTH.into_iter().flat_map(|active| (0..=TRIES).map(move |counter| (active, counter)));
    let older = both.flat_map(|(active, counter)| [true, false].map(|success| legacy(counter, success, active)));
    states.map(BootState::fresh).into_iter().chain(older).collect()
}

/// All states that can be reached, whatever fails, and whatever the slots hold at each moment.
fn reachable() -> HashSet<BootState> {
    let mut seen: HashSet<BootState> = beginnings().into_iter().collect();
    let mut left: Vec<_> = seen.iter().copied().collect();
    while let Some(from) = left.pop() {
        for pair in pairs() {
            power_on(from, pair, &mut |state| {
                if seen.insert(state) {
                    left.push(state);
                }
            });
        }
    }
    seen
}

/// One boot with no more faults than the systems have themselves; gives what ran to its end, and the next state.
fn quiet_boot(from: BootState, pair: Pair, saves: bool) -> (Option<Slot>, BootState) {
    let boot = from.grub_boot(|slot| of(pair, slot).files(), saves);
    match boot.booted.filter(|booted| of(pair, *booted).reaches_init()) {
        // Nobody commits a trial: a person or a sick system may be all there is.
        Some(booted) => (Some(booted), boot.on_disk.after_init(booted, false).unwrap_or(boot.on_disk)),
        None => (None, boot.on_disk),
    }
}

#[test]
fn no_state_that_can_be_reached_boots_what_is_neither_good_nor_on_trial() {
    // `power_on` looks at each boot.
    let states = reachable();
    println!("{} states can be reached", states.len());
    assert!(states.len() > 150, "the graph is not walked: {}", states.len());
    for state in &states {
        let fit = |slot| matches!(state.slot(slot), SlotState::Good | SlotState::Trial);
        assert!(fit(state.active), "the active slot may be booted: {state:?}");
        assert!(Slot::BOTH.iter().any(|slot| state.slot(*slot) == SlotState::Good), "one is good: {state:?}");
    }
}

#[test]
fn once_faults_stop_a_good_slot_that_works_runs_and_stays() {
    let states = reachable();
    let mut worst = (0, None);
    let (mut walks, mut unsaved) = (0, 0);
    for state in &states {
        for pair in pairs() {
            let works = |slot: &Slot| state.slot(*slot) == SlotState::Good && of(pair, *slot).reaches_init();
            if !Slot::BOTH.iter().any(works) || !can_be(state, pair) {
                continue;
            }
            for saves in [true, false] {
                let mut now = *state;
                let mut ran = Vec::new();
                for _ in 0..40 {
                    let (booted, next) = quiet_boot(now, pair, saves);
                    let good = booted.filter(|slot| next.slot(*slot) == SlotState::Good);
                    ran.push(good);
                    now = next;
                }
                if !saves {
                    // Nothing moves then: what counts is that the first boot is right.
                    let first = match state.slot(state.active) {
                        SlotState::Good => state.active,
                        _ => !state.active,
                    };
                    if works(&first) && (state.counter > 0 || state.success) {
                        unsaved += 1;
                        assert!(ran.iter().all(|slot| *slot == Some(first)), "{state:?} {pair:?} {ran:?}");
                    }
                    continue;
                }
                walks += 1;
                let last = ran.last().copied().flatten();
                assert!(last.is_some(), "no good slot runs: {state:?} {pair:?} {ran:?}");
                let settled = ran.iter().rposition(|slot| *slot != last).map_or(0, |at| at + 1);
                if settled > worst.0 {
                    worst = (settled, Some((*state, pair)));
                }
            }
        }
    }
    println!(
        "{walks} walks without faults: at most {} boots until a good slot runs for good; {unsaved} on a disk that takes nothing",
        worst.0
    );
    println!("the longest: {:?}", worst.1);
    assert!(worst.0 <= 8, "{worst:?}");
}

#[test]
fn a_good_slot_that_works_keeps_its_standing_however_often_the_power_goes_before_init() {
    for cuts in 0..40 {
        let mut now = BootState::fresh(SlotState::Good);
        for _ in 0..cuts {
            now = now.grub_boot(|_| Files::Whole, true).on_disk;
        }
        assert_eq!((now.a, now.b), (SlotState::Good, SlotState::Good), "after {cuts} cuts");
        // Slot A runs again, after one visit to B at most.
        let (first, next) = quiet_boot(now, [System::Works; 2], true);
        let (second, _) = quiet_boot(next, [System::Works; 2], true);
        assert_eq!(second, Some(Slot::A), "after {cuts} cuts and a boot of {first:?}");
    }
}

#[test]
fn no_cycle_of_boots_keeps_a_good_slot_that_works_from_being_booted() {
    // A cycle of the quiet graph, from every state: along it a good slot runs.
    let states = reachable();
    let mut cycles: HashMap<usize, usize> = HashMap::new();
    for state in &states {
        for pair in pairs().filter(|pair| can_be(state, *pair)) {
            let mut order = Vec::new();
            let mut now = *state;
            while !order.iter().any(|(seen, _)| *seen == now) {
                let (booted, next) = quiet_boot(now, pair, true);
                order.push((now, booted));
                now = next;
            }
            let begin = order.iter().position(|(seen, _)| *seen == now).unwrap();
            let cycle = &order[begin..];
            *cycles.entry(cycle.len()).or_default() += 1;
            let works = |slot: &Slot| now.slot(*slot) == SlotState::Good && of(pair, *slot).reaches_init();
            let good_runs =
                cycle.iter().any(|(_, booted)| booted.is_some_and(|slot| now.slot(slot) == SlotState::Good));
            assert!(good_runs || !Slot::BOTH.iter().any(works), "{state:?} {pair:?}: {cycle:?}");
            let slots: HashSet<_> = cycle.iter().filter_map(|(_, booted)| *booted).collect();
            assert!(slots.len() <= 1, "ping-pong: {state:?} {pair:?}: {cycle:?}");
        }
    }
    println!("cycles by their length in boots: {cycles:?}");
}
