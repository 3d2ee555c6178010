//! Two programs change the env block at the same time: our verbs beside our `grub-editenv`, which takes the same lock, and
//! beside the real one, which knows no lock and empties the file before it writes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::scene::machine::{Machine, state};
use crate::scene::{Ran, binary, run_as, tool};
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::slot::Slot::A;
use kubesolo_core::boot::slot::SlotState::{Good, Staged};

const ROUNDS: usize = 200;

const OTHERS: [&str; 3] = ["one", "two", "three"];

/// Runs our verb `ROUNDS` times while the others set their variables again and again; gives what each run came to, and how
/// often each of the others wrote.
fn beside(machine: &Machine, other: &Path) -> (Vec<Ran>, Vec<usize>) {
    let done = AtomicBool::new(false);
    let set = &|name: &str| {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            count += 1;
            let word = format!("{name}={count}");
            let ran = run_as(other, "grub-editenv", ["grubenv", "set", &word], &machine.folder.path("esp"));
            // The real one may itself meet the file half written.
            assert!(ran.exit == 0 || other != Path::new(binary()), "{}", ran.stderr);
        }
        count
    };
    thread::scope(|scope| {
        let others = OTHERS.map(|name| scope.spawn(move || set(name)));
        let state = |round| if round % 2 == 0 { "good" } else { "staged" };
        let ours = (0..ROUNDS).map(|round| machine.run(&format!("slot set B {}", state(round)))).collect();
        done.store(true, Ordering::Relaxed);
        (ours, others.map(|other| other.join().unwrap()).to_vec())
    })
}

#[test]
fn our_own_grub_editenv_waits_and_loses_nothing() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    let (ours, others) = beside(&machine, Path::new(binary()));
    for ran in &ours {
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    }
    let block = EnvBlock::parse(machine.folder.read("esp/grubenv").unwrap()).unwrap();
    assert_eq!(block.defect(), None);
    assert!(block.get("slot_B").unwrap().is("staged"), "the last of ours is there");
    for (name, count) in OTHERS.iter().zip(others) {
        assert!(block.get(name).unwrap().is(&count.to_string()), "the last of {name} is there");
    }
}

#[test]
fn the_real_grub_editenv_is_told_from_a_disk_that_fails() {
    let Some(real) = tool("grub-editenv") else { return };
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    let (ours, others) = beside(&machine, &real);
    let failed: Vec<_> = ours.iter().filter(|ran| ran.exit != 0).collect();
    println!("{ROUNDS} of ours beside {others:?} of the real grub-editenv: {} gave up", failed.len());
    for ran in &failed {
        let said = "another program changed it at the same time; try again";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert!(failed.len() < ROUNDS / 2, "{} of {ROUNDS} gave up", failed.len());
    let block = EnvBlock::parse(machine.folder.read("esp/grubenv").unwrap()).unwrap();
    assert_eq!(block.defect(), None);
    // Alone again, it goes through.
    assert_eq!(machine.run("slot set B good").exit, 0);
    assert_eq!(machine.state().b, Good);
}
