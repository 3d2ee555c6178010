//! The log of the last boots, on files: what `init` and the others put into it, and what `status` and `apply` make of it.

use std::fs;

use crate::scene::machine::{Machine, state};
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Bad, Good, Trial};
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
    for name in ["", ".2"] {
        machine.folder.write(&format!("data/.kubesolo-boot-probe{name}/file"), "");
    }
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

#[test]
fn the_count_of_boots_goes_on_whatever_numbers_stand_there() {
    let line = |text: &str| {
        let mut sector = text.as_bytes().to_vec();
        sector.resize(511, b' ');
        sector.push(b'\n');
        sector
    };
    let full = |numbers: [u64; 8]| -> Vec<u8> {
        numbers.iter().flat_map(|number| line(&format!("{number} id{number} A good 2026-11-23T15:30:00Z"))).collect()
    };
    let highest = u64::from(u32::MAX);
    for (what, log) in [
        ("the highest number, in its place", [vec![b' '; 7 * 512], line(&format!("{highest} id A good x"))].concat()),
        ("the highest number, elsewhere", line(&format!("{highest} id A good x"))),
        ("up to the highest", full([0, 1, 2, 3, 4, 5, 6, 7].map(|place| highest - 7 + place))),
        ("about to pass it", full([8, 9, 10, 3, 4, 5, 6, 7].map(|place| highest - 8 - 7 + place))),
        ("all the same", full([7; 8])),
        ("backwards", full([7, 6, 5, 4, 3, 2, 1, 0])),
        ("no text", [line("1 a"), [b"2147483649 ".to_vec(), vec![0xff; 501]].concat()].concat()),
    ] {
        let machine = machine();
        machine.folder.write(LOG, &log);
        for number in 0..20 {
            let id = format!("boot-{number}");
            boot(&machine, &id);
            let told = boots(&machine);
            assert_eq!(told[0]["boot_id"], *id, "{what}");
            assert_eq!(told[0]["marks"], json!(["handed_over"]), "{what}");
            // Where the count begins anew, so does the log.
            let before = told.get(1).filter(|_| number > 0);
            assert!(before.is_none_or(|before| before["boot_id"] == format!("boot-{}", number - 1)), "{what}");
        }
        assert_eq!(boots(&machine).len(), 8, "{what}");
    }
}

#[test]
fn stray_names_on_the_data_partition_make_way() {
    type Put = fn(&std::path::Path);
    let empty: Put = |path| fs::create_dir(path).unwrap();
    let full: Put = |path| fs::create_dir_all(path.join("kept")).unwrap();
    let file: Put = |path| fs::write(path, "kept").unwrap();
    let nowhere: Put = |path| std::os::unix::fs::symlink("nowhere", path).unwrap();
    let pipe: Put = |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let rows: [(&str, &[Put]); 5] = [
        ("data/update", &[file, nowhere, pipe]),
        (LOG, &[empty, full, nowhere, pipe]),
        ("data/update/state.json", &[empty, full, nowhere, pipe]),
        ("data/update/state.json.part", &[empty, full, nowhere, pipe]),
        ("data/.kubesolo-boot-probe", &[empty, full, nowhere, pipe]),
    ];
    for (name, puts) in rows {
        for (number, put) in puts.iter().enumerate() {
            let machine = machine();
            fs::create_dir_all(machine.folder.path(name).parent().unwrap()).unwrap();
            put(&machine.folder.path(name));
            machine.folder.write("boot_id", "one");
            machine
                .set(kubesolo_core::boot::state::BootState { rollback_from: Some(B), ..state(A, 2, false, Good, Bad) });
            let ran = machine.run("init");
            assert_eq!(ran.exit, 0, "{name} {number}: {}", ran.stderr);
            assert_eq!(machine.state(), state(A, 3, true, Good, Bad), "{name} {number}: {}", ran.stderr);
            assert_eq!(boots(&machine)[0]["marks"], json!(["handed_over"]), "{name} {number}: {}", ran.stderr);
            assert!(machine.run("status").out().contains("was given up"), "{name} {number}");
            // What was in the way has another name, and its content.
            let kept = |path: &str| fs::read(machine.folder.path(path)).is_ok_and(|bytes| bytes == b"kept");
            assert!(name != "data/update" || number != 0 || kept("data/update.odd"), "{name}");
        }
    }
}

#[test]
fn settings_that_are_no_file_stop_nothing() {
    let machine = machine();
    let conf = machine.folder.path("conf");
    let begins = |said: &str| {
        let ran = machine.run("init");
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("init: read {}: {said}", conf.display())), "{}", ran.stderr);
    };
    fs::write(&conf, vec![b'#'; 10 << 20]).unwrap();
    begins("4096 bytes or longer; going on without it");
    fs::remove_file(&conf).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&conf).status().unwrap().success());
    begins("Illegal seek; going on without it");
    fs::remove_file(&conf).unwrap();
    fs::create_dir(&conf).unwrap();
    begins("Is a directory; going on without it");
}
