//! The log of the last boots, on files: what `init` and the others put into it, and what `status` and `apply` make of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

mod scene;

use std::fs;

use kubesolo_boot::slot::Slot::A;
use kubesolo_boot::slot::SlotState::{Good, Trial};
use scene::machine::{Machine, state};
use serde_json::{Value, json};

const LOG: &str = "data/update/boots";
const REFUSED: i32 = 7;

/// A good box, counted by GRUB.
fn machine() -> Machine {
    Machine::with_state(state(A, 2, false, Good, Good))
}

/// The power goes on: GRUB counts, and `init` runs; gives what that says.
fn boot(machine: &Machine, id: &str) -> String {
    machine.folder.write("boot_id", format!("{id}\n"));
    machine.set(state(A, 2, false, Good, Good));
    let ran = machine.run("init");
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    ran.stderr
}

fn boots(machine: &Machine) -> Vec<Value> {
    let status: Value = serde_json::from_slice(&machine.run("status --json").stdout).unwrap();
    status["boots"].as_array().unwrap().clone()
}

#[test]
fn each_boot_is_recorded_once_with_the_end_of_the_one_before() {
    let machine = machine();
    boot(&machine, "one");
    boot(&machine, "one");
    assert_eq!(boots(&machine).len(), 1);
    assert_eq!(machine.run("stopping").exit, 0);
    boot(&machine, "two");
    boot(&machine, "three");
    assert_eq!(machine.run("commit").exit, 0);
    let told = boots(&machine);
    assert_eq!(
        told.iter().map(|boot| &boot["ended"]).collect::<Vec<_>>(),
        [&Value::Null, &json!("power_cut"), &json!("clean_stop")]
    );
    assert_eq!(told.iter().map(|boot| &boot["boot_id"]).collect::<Vec<_>>(), ["three", "two", "one"]);
    assert_eq!(told[0]["marks"], json!(["handed_over", "committed"]));
    assert_eq!(told[2]["marks"], json!(["handed_over", "stopped"]));
    assert_eq!((&told[2]["slot"], &told[2]["state"], &told[2]["split"]), (&json!("A"), &json!("good"), &Value::Null));
    let status = machine.run("status");
    let lines: Vec<_> = status.out().lines().filter(|line| line.contains("slot A (good), 20")).collect();
    assert!(lines.len() == 2 && lines[0].starts_with("Last boots  ") && lines[0].contains("Z: power_cut"), "{lines:?}");
}

#[test]
fn a_trial_that_init_gives_up_has_failed() {
    let machine = Machine::with_state(state(A, 2, false, Trial, Good));
    machine.cmdline("ksolo.slot=A ksolo.state=trial ksolo.counter=2 ksolo.via=auto");
    // The data partition takes the log, and not the probe.
    fs::create_dir(machine.folder.path("data/.kubesolo-boot-probe")).unwrap();
    for id in ["one", "two"] {
        machine.folder.write("boot_id", id);
        assert_eq!(machine.run("init").exit, 20);
    }
    let told = boots(&machine);
    assert_eq!((&told[0]["marks"], &told[1]["ended"]), (&json!(["failed", "stopped"]), &json!("failed_health")));
}

#[test]
fn the_log_is_bounded_and_damage_to_it_stops_nothing() {
    let machine = machine();
    for number in 0..20 {
        boot(&machine, &number.to_string());
    }
    assert_eq!(boots(&machine).len(), 8);
    assert_eq!(machine.folder.read(LOG).unwrap().len(), 4096);
    for (content, kept) in [
        (Vec::new(), 0),
        (vec![0xff; 4096], 0),
        (vec![b'9'; 100_000], 0),
        (machine.folder.read(LOG).unwrap()[..512].to_vec(), 1),
    ] {
        machine.folder.write(LOG, &content);
        boot(&machine, "after");
        let told = boots(&machine);
        assert_eq!((told.len(), &told[0]["boot_id"]), (kept + 1, &json!("after")));
    }
    fs::remove_file(machine.folder.path(LOG)).unwrap();
    fs::create_dir(machine.folder.path(LOG)).unwrap();
    assert!(boot(&machine, "folder").contains("write update/boots on the data partition: Is a directory"));
    assert_eq!(boots(&machine), [] as [Value; 0]);
    assert_eq!(machine.run("stopping").exit, 6);
}

#[test]
fn a_split_is_named_recorded_and_keeps_updates_out_until_the_next_boot() {
    let machine = machine();
    for (number, (cmdline, word, said)) in [
        ("ksolo.slot=B ksolo.state=good ksolo.counter=2 ksolo.via=menu", "by_hand", "this slot was chosen by hand"),
        ("ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=unsaved", "not_saved", "GRUB could not save"),
        (
            "ksolo.slot=A ksolo.state=good ksolo.counter=1 ksolo.via=auto",
            "other_block",
            "GRUB goes by another env block",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        machine.cmdline(cmdline);
        let noted = boot(&machine, &format!("split {number}").replace(' ', "-"));
        assert!(noted.contains(&format!("init: {said}")), "{noted}");
        assert_eq!(boots(&machine)[0]["split"], word);
        assert!(machine.run("status").out().contains(&format!("Mismatch    {said}")));
        let refused = machine.run("apply /nowhere");
        assert!(refused.exit == REFUSED && refused.stderr.contains(said), "{}", refused.stderr);
        assert!(machine.run("apply /nowhere --force").stderr.contains("/nowhere/latest.json"));
    }
    machine.cmdline("ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=auto");
    boot(&machine, "well");
    assert!(!machine.run("status").out().contains("Mismatch"));
    assert!(machine.run("apply /nowhere").stderr.contains("/nowhere/latest.json"));
}
