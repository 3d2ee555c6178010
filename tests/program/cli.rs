//! The verbs as a person or a script meets them: what they print, how they end, and what they leave in the two copies
//! of the env block. All of it on files; no disk of the machine is looked at.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::scene::machine::{Machine, block_of, block_with, damages, state};
use crate::scene::{Folder, Ran, binary, run, skipped};
use kubesolo_boot::cli::args::{Action, Call};
use kubesolo_boot::cli::flags::FLAGS;
use kubesolo_boot::cli::verbs::{Name, VERBS};
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{self, Bad, Empty, Good, Staged, Trial};
use kubesolo_core::boot::state::BootState;
use serde_json::{Value, json};

fn steady() -> BootState {
    state(A, 3, true, Good, Staged)
}

fn parsed(ran: &Ran) -> Value {
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.out()))
}

/// Runs a verb that must be refused: its exit code, a message that says `want`, and not a byte changed.
fn refused(machine: &Machine, words: &str, exit: i32, want: &str) {
    let before = machine.copies();
    let ran = machine.run(words);
    assert_eq!(ran.exit, exit, "{words}: {}", ran.stderr);
    assert!(ran.stderr.contains(want), "{words}: {} does not say {want}", ran.stderr);
    assert!(ran.stderr.starts_with("kubesolo-boot: ") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    // A command line that is not understood is answered to a person.
    if words.contains("--json") && !want.contains("not a flag of ") {
        let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(answer["error"].as_str().unwrap().contains(want) && answer["exit_code"] == exit, "{words}: {answer}");
    } else {
        assert!(ran.stdout.is_empty(), "{words}: {}", ran.out());
    }
    assert_eq!(machine.copies(), before, "{words}: the block changed");
}

#[test]
fn status_shows_both_slots_and_what_boots_next() {
    let machine = Machine::with_state(BootState { rollback_from: Some(B), ..state(A, 2, false, Good, Bad) });
    let ran = machine.run("status");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    for line in [
        "Running slot A (good)",
        "  A     good    -           -         -           active",
        "  B     bad     -           -         -           given up: no boot of it was committed, it did not load, or it was rolled back from",
        "Next boot   slot A: it is active and good",
        "Counter     2 of 3 boots left; the newest boot was not marked good",
        "Env block   grubenv: good",
        "Env block   grubenv.bak: good",
    ] {
        assert!(ran.out().lines().any(|got| got == line), "{line:?} is not in\n{}", ran.out());
    }
    assert_eq!(
        parsed(&machine.run("status --json")),
        json!({
            "booted": "A", "disk": null, "disk_chosen_by": null, "active": "A", "next": "A", "boot_counter": 2, "boot_success": false,
            "chosen_by_hand": false, "rollback_from": "B",
            "slot_A": { "state": "good", "version": null, "size": null, "installed": null, "why": "active" },
            "slot_B": { "state": "bad", "version": null, "size": null, "installed": null,
                        "why": "given up: no boot of it was committed, it did not load, or it was rolled back from" },
            "grubenv": "good", "grubenv_bak": "good", "doubts": [], "update": null, "boots": [],
            "degraded": null, "retry_slot": null,
        })
    );
}

#[test]
fn status_says_what_grub_will_do() {
    let rows = [
        (state(A, 3, true, Good, Empty), Some("A")),
        (state(B, 1, false, Good, Trial), Some("B")),
        (state(B, 0, false, Good, Trial), Some("A")),
        (state(B, 0, false, Staged, Trial), Some("B")),
        (state(A, 2, false, Bad, Good), Some("B")),
        (state(A, 2, false, Empty, Empty), Some("A")),
    ];
    for (now, next) in rows {
        let status = parsed(&Machine::with_state(now).run("status --json"));
        assert_eq!(status["next"], json!(next), "{now:?}");
    }
}

#[test]
fn status_reads_and_writes_nothing() {
    let machine = Machine::with_copies(Some(b"corrupt"), Some(block_of(steady()).bytes()));
    let path = machine.folder.path("esp/grubenv.bak");
    let before = (machine.copies(), fs::metadata(&path).unwrap().mtime_nsec());
    for words in ["status", "status --json", "slot show", "env list", "env list --json", "env get active_slot"] {
        assert_eq!(machine.run(words).exit, 0, "{words}");
        assert_eq!((machine.copies(), fs::metadata(&path).unwrap().mtime_nsec()), before, "{words}");
    }
}

#[test]
fn a_flaw_of_either_copy_is_named_and_the_other_is_gone_by() {
    let block = block_of(steady());
    let whole = Some(block.bytes());
    for (name, readable, damaged) in damages(&block) {
        for first in [true, false] {
            let copies = if first { (damaged.as_deref(), whole) } else { (whole, damaged.as_deref()) };
            let machine = Machine::with_copies(copies.0, copies.1);
            let status = parsed(&machine.run("status --json"));
            let (hurt, sound) = if first { ("grubenv", "grubenv_bak") } else { ("grubenv_bak", "grubenv") };
            assert_eq!(status[sound], "good", "{name}");
            assert_ne!(status[hurt], "good", "{name}");
            assert_eq!(
                (&status["slot_A"]["state"], &status["slot_B"]["state"]),
                (&json!("good"), &json!("staged")),
                "{name}"
            );
            let text = machine.run("status");
            assert!(text.out().contains("the next boot repairs it"), "{name}: {}", text.out());
            assert_eq!(text.out().contains("going by grubenv.bak"), first && !readable, "{name}: {}", text.out());
        }
    }
}

#[test]
fn without_a_readable_copy_nothing_is_guessed_or_written() {
    let lost: [Option<&[u8]>; 4] = [None, Some(b""), Some(&[0; 1024]), Some(b"# GRUB Environment Block\n")];
    for first in lost {
        for second in lost {
            let machine = Machine::with_copies(first, second);
            for words in ["status", "status --json", "slot show", "slot set A good", "commit", "rollback", "env list"] {
                refused(&machine, words, 5, "read env block: grubenv: ");
            }
            refused(&machine, "env get active_slot", 5, "env create");
            refused(&machine, "env set active_slot=A", 5, "env create");
            refused(&machine, "env unset active_slot", 5, "env create");
        }
    }
}

#[test]
fn impossible_values_are_read_safely_and_named() {
    let block = block_with(&[
        ("active_slot", "Q"),
        ("boot_counter", "99"),
        ("boot_success", "maybe"),
        ("slot_A", "fine"),
        ("slot_B", "good"),
    ]);
    let machine = Machine::with_block(&block);
    let status = parsed(&machine.run("status --json"));
    assert_eq!(
        (&status["active"], &status["boot_counter"], &status["boot_success"], &status["slot_A"]["state"]),
        (&json!("B"), &json!(3), &json!(false), &json!("bad"))
    );
    let doubts = status["doubts"].as_array().unwrap();
    let text = machine.run("status");
    for (name, doubt) in ["slot_A", "active_slot", "boot_counter", "boot_success"].iter().zip(doubts) {
        assert!(doubt.as_str().unwrap().starts_with(name), "{name}: {doubts:?}");
        assert!(text.out().contains(&format!("Assumed     {name} is ")), "{}", text.out());
    }
    assert_eq!(doubts.len(), 4);
}

#[test]
fn an_unknown_slot_on_the_command_line_stops_every_verb_that_needs_it() {
    let machine = Machine::with_state(steady());
    for slot in ["C", "a", "AB"] {
        machine.cmdline(&format!("quiet ksolo.slot={slot}"));
        for words in ["status", "status --json", "commit", "rollback"] {
            refused(&machine, words, 2, &format!("ksolo.slot={slot}: not a slot"));
        }
    }
}

#[test]
fn a_box_that_another_loader_started_is_shown_as_such() {
    let machine = Machine::with_state(steady());
    machine.cmdline("quiet");
    assert!(machine.run("status").out().starts_with("Running: not booted by this box's GRUB"));
    assert_eq!(parsed(&machine.run("status --json"))["booted"], Value::Null);
    machine.cmdline("ksolo.slot=B ksolo.via=menu");
    assert!(machine.run("status").out().contains("chosen by hand"));
    assert_eq!(parsed(&machine.run("status --json"))["chosen_by_hand"], true);
}

#[test]
fn slot_show_and_set_see_and_record_states() {
    let machine = Machine::with_state(steady());
    assert_eq!(machine.run("slot show").out(), "A good\nB staged\n");
    assert_eq!(machine.run("slot").out(), "A good\nB staged\n");
    assert_eq!(parsed(&machine.run("slot show --json")), json!({ "slot_A": "good", "slot_B": "staged" }));
    for to in SlotState::ALL {
        let ran = machine.run(&format!("slot set B {to}"));
        assert_eq!((ran.exit, ran.out()), (0, format!("A good\nB {to}\n").as_str()), "{}", ran.stderr);
        assert_eq!(machine.state(), BootState { b: to, ..steady() });
    }
    refused(&machine, "slot set C good", 2, "slot set: C: not a slot");
    refused(&machine, "slot set A fine", 2, "slot set: fine: not a state");
    refused(&machine, "slot set A", 2, "slot takes: ");
}

#[test]
fn commit_keeps_the_running_slot() {
    for standing in [Trial, Good] {
        let machine = Machine::with_state(state(B, 1, false, Good, standing)).booted(B);
        let ran = machine.run("commit");
        assert_eq!((ran.exit, ran.out()), (0, "Slot B is good and stays.\n"));
        assert_eq!(machine.state(), state(B, 3, true, Good, Good));
    }
    let by_hand = Machine::with_state(state(B, 1, false, Good, Trial)).booted(A);
    refused(
        &by_hand,
        "commit",
        7,
        "commit: slot A runs, but slot B is the active one; to keep slot A: kubesolo-boot rollback",
    );
    // Which does what was said.
    assert_eq!(by_hand.run("rollback").exit, 0);
    assert_eq!(by_hand.state(), state(A, 3, true, Good, Bad));
}

/// Activated, not rebooted: the slot that runs is active again, and the other one can be activated once more.
#[test]
fn rollback_before_the_reboot_undoes_the_activation() {
    let machine = Machine::with_state(state(B, 3, false, Good, Trial)).booted(A);
    let update = |phase: &str| format!("{{\"phase\":\"{phase}\",\"to_image\":\"00aa\"}}");
    machine.folder.write("data/update/state.json", update("activated"));
    let ran = machine.run("rollback");
    assert_eq!((ran.exit, ran.out(), ran.stderr.as_str()), (0, "Slot A boots next.\n", ""));
    assert_eq!(machine.state(), state(A, 3, true, Good, Staged));
    let written = parsed(&machine.run("status --json"))["update"].clone();
    assert_eq!((&written["phase"], &written["known_bad"]), (&json!("staged"), &json!("")));
}

/// By hand, of a trial and of a slot that was committed long ago: `check` and `apply` know of it.
#[test]
fn each_way_back_is_remembered() {
    for (standing, phase) in [(Trial, "activated"), (Trial, "staged"), (Good, "success")] {
        let machine = Machine::with_state(state(B, 2, false, Good, standing)).booted(B);
        let update = format!("{{\"phase\":\"{phase}\",\"to_image\":\"00aa\"}}");
        machine.folder.write("data/update/state.json", &update);
        assert_eq!(machine.run("rollback").exit, 0);
        assert_eq!(machine.state().rollback_from, None, "{phase}");
        let written = parsed(&machine.run("status --json"))["update"].clone();
        assert_eq!(
            [&written["phase"], &written["known_bad"], &written["last_error"]],
            [&json!("rolled_back"), &json!("00aa"), &json!("rolled back by hand")]
        );

        // Without the data partition: the block has it, and the next `init` records it.
        let machine = Machine::with_state(state(B, 2, false, Good, standing)).booted(B);
        std::fs::rename(machine.folder.path("data"), machine.folder.path("gone")).unwrap();
        let ran = machine.run("rollback");
        assert_eq!((ran.exit, ran.out()), (0, "Slot A boots next.\n"));
        assert!(ran.stderr.contains("warning: not recorded in state.json"), "{}", ran.stderr);
        assert_eq!(machine.state().rollback_from, Some(B), "{phase}");
        std::fs::rename(machine.folder.path("gone"), machine.folder.path("data")).unwrap();
        machine.folder.write("data/update/state.json", &update);
        let machine = machine.booted(A);
        assert_eq!(machine.run("init").exit, 0);
        assert_eq!(machine.state().rollback_from, None, "{phase}");
        let written = parsed(&machine.run("status --json"))["update"].clone();
        assert_eq!((&written["phase"], &written["known_bad"]), (&json!("rolled_back"), &json!("00aa")), "{phase}");
        let why = written["last_error"].as_str().unwrap();
        assert!(why.contains("or it was rolled back from"), "{why}");
    }
}

#[test]
fn rollback_goes_to_a_good_slot_or_is_refused() {
    let machine = Machine::with_state(state(B, 1, false, Good, Trial)).booted(B);
    let ran = machine.run("rollback");
    assert_eq!((ran.exit, ran.out()), (0, "Slot A boots next.\n"));
    assert_eq!(machine.state(), state(A, 3, false, Good, Bad));

    let machine = Machine::with_state(state(A, 3, true, Good, Good)).booted(A);
    assert_eq!(machine.run("rollback").exit, 0);
    assert_eq!(machine.state(), state(B, 3, false, Good, Good), "a good slot stays good");

    for other in [Empty, Staged, Trial, Bad] {
        let machine = Machine::with_state(state(A, 3, true, Good, other)).booted(A);
        refused(&machine, "rollback", 7, &format!("rollback: slot B is {other}, not good"));
        let machine = Machine::with_state(state(B, 2, false, other, Trial)).booted(B);
        refused(&machine, "rollback", 7, &format!("rollback: slot A is {other}, not good"));
    }
}

#[test]
fn a_change_repairs_both_copies() {
    let block = block_of(steady());
    for (name, _, damaged) in damages(&block) {
        for (first, second) in [(damaged.as_deref(), Some(block.bytes())), (Some(block.bytes()), damaged.as_deref())] {
            let machine = Machine::with_copies(first, second);
            let ran = machine.run("slot set B good");
            assert_eq!(ran.exit, 0, "{name}: {}", ran.stderr);
            assert_eq!(machine.state(), BootState { b: Good, ..steady() }, "{name}");
        }
    }
}

#[test]
fn variables_of_others_are_kept_in_their_order() {
    let mut block = block_with(&[("saved_entry", "x"), ("z", "a\\b\nc=d")]);
    steady().write_to(&mut block).unwrap();
    block.set(b"last", b"1").unwrap();
    let machine = Machine::with_block(&block);
    assert_eq!(machine.run("slot set B bad").exit, 0);
    let mut want = block.clone();
    want.set(b"slot_B", b"bad").unwrap();
    assert_eq!(machine.copies().map(Option::unwrap), [want.bytes(), want.bytes()]);
}

#[test]
fn env_gives_back_what_was_set() {
    let machine = Machine::with_state(steady());
    let values =
        ["plain", "", "two words", "back\\slash", "new\nline", "a=b", "\\\n\\", "Grüße 中文", "#", "tab\t\u{7f}\u{1}"];
    for value in values {
        assert_eq!(machine.run_words(&["env", "set", &format!("x={value}"), "y=1"]).exit, 0, "{value:?}");
        // What acts on a terminal is shown; a script has the value itself by --json.
        let shown = value.replace('\u{7f}', "\\u007f").replace('\u{1}', "\\u0001");
        let got = machine.run("env get x");
        assert_eq!(got.out(), format!("{shown}\n"));
        let listed = machine.run("env list");
        assert!(listed.out().contains(&format!("\nx={shown}\ny=1\n")), "{}", listed.out());
        assert_eq!(parsed(&machine.run("env list --json"))["x"], value);
        assert_eq!(parsed(&machine.run("env get x --json")), json!({ "x": value }));
    }
    assert_eq!(machine.state(), steady(), "the boot's own variables are as they were");
    assert_eq!(machine.run("env unset x y nosuch").exit, 0);
    assert_eq!(machine.copies()[0].as_deref(), Some(block_of(steady()).bytes()), "every byte is as before");
    refused(&machine, "env get x", 1, "env get: x: not set");
    refused(&machine, "env get x --json", 1, "env get: x: not set");
    refused(&machine, "env set", 2, "env takes: ");
    refused(&machine, "env set a=1 b", 2, "env set: b: not NAME=VALUE");
}

#[test]
fn env_list_as_json_is_json_whatever_the_bytes() {
    let mut block = block_of(steady());
    block.set(b"quote\"back\\slash", b"\xff\x00\x1f\"\\/").unwrap();
    let listed = parsed(&Machine::with_block(&block).run("env list --json"));
    assert_eq!(listed["quote\"back\\slash"], "\u{fffd}\0\u{1f}\"\\/");
    assert_eq!(parsed(&Machine::with_block(&EnvBlock::blank()).run("env list --json")), json!({}));
}

#[test]
fn env_set_warns_past_the_first_sector_and_refuses_past_the_end() {
    let machine = Machine::with_state(steady());
    let ran = machine.run(&format!("env set note={}", "x".repeat(400)));
    assert_eq!(ran.exit, 0);
    assert!(
        ran.stderr.starts_with("kubesolo-boot: warning: ") && ran.stderr.contains("more than one sector of 512"),
        "{}",
        ran.stderr
    );
    assert_eq!(machine.state(), steady());
    // The boot verbs work on, and say the same.
    for (words, after) in [("slot set B good", Good), ("slot set B staged", Staged)] {
        let ran = machine.run(words);
        assert!(ran.exit == 0 && ran.stderr.contains("more than one sector of 512"), "{words}: {}", ran.stderr);
        assert_eq!(machine.state(), BootState { b: after, ..steady() });
    }
    refused(&machine, &format!("env set more={}", "x".repeat(500)), 7, "env set: more: no room left");
    refused(&machine, &format!("env set a=1 more={}", "x".repeat(500)), 7, "env set: more: no room left");
    assert_eq!(machine.run("env unset note").exit, 0);
    assert_eq!(machine.run("commit").exit, 0);
}

#[test]
fn env_create_starts_anew_and_env_set_makes_no_second_copy() {
    for (first, second) in [(None, None), (Some(&b"corrupt"[..]), Some(&[0; 4096][..]))] {
        let machine = Machine::with_copies(first, second);
        assert_eq!(machine.run("env create").exit, 0);
        assert_eq!(machine.copies().map(Option::unwrap), [EnvBlock::blank().bytes(), EnvBlock::blank().bytes()]);
        assert_eq!(machine.run("env list").out(), "");
    }
    let machine = Machine::with_copies(Some(block_of(steady()).bytes()), None);
    assert_eq!(machine.run("env set a=1").exit, 0);
    assert_eq!(machine.copies()[1], None);
}

#[test]
fn the_block_is_written_in_place() {
    let machine = Machine::with_state(steady());
    let files = ["esp/grubenv", "esp/grubenv.bak"].map(|name| machine.folder.path(name));
    let numbers = || files.clone().map(|path| fs::metadata(path).unwrap().ino());
    let before = numbers();
    for words in ["slot set B good", "rollback", "env set a=1", "env create"] {
        assert_eq!(machine.run(words).exit, 0);
        assert_eq!(numbers(), before, "{words}");
    }
    let mut names: Vec<_> =
        fs::read_dir(machine.folder.path("esp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["grubenv", "grubenv.bak"], "nothing else is left in the folder");
}

#[test]
fn a_link_in_the_place_of_the_block_is_not_followed() {
    let machine = Machine::with_copies(None, None);
    machine.folder.write("elsewhere", block_of(steady()).bytes());
    for name in ["esp/grubenv", "esp/grubenv.bak"] {
        std::os::unix::fs::symlink(machine.folder.path("elsewhere"), machine.folder.path(name)).unwrap();
    }
    assert_eq!(machine.run("status").exit, 5);
    assert_eq!(machine.run("slot set B good").exit, 5);
    assert_eq!(machine.run("env create").exit, 6);
    assert_eq!(machine.folder.read("elsewhere").as_deref(), Some(block_of(steady()).bytes()));
}

#[test]
fn two_writers_are_kept_apart() {
    let machine = Machine::with_state(steady());
    let folder = fs::File::open(machine.folder.path("esp")).unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockShared).unwrap();
    assert_eq!(machine.run("status").exit, 0, "readers do not keep each other out");

    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for words in ["status", "slot set B good", "env list", "env create", "commit"] {
            let machine = &machine;
            scope.spawn(move || refused(machine, words, 8, "is another kubesolo-boot running?"));
        }
        scope.spawn(|| assert_eq!(machine.run("init").exit, 10));
    });
    assert!((5..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(machine.state(), steady());

    // One that gives the lock back in time is waited for.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| machine.run("slot set B good"));
        std::thread::sleep(Duration::from_millis(300));
        drop(folder);
        assert_eq!(waits.join().unwrap().exit, 0);
    });
    assert_eq!(machine.state(), BootState { b: Good, ..steady() });
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let machine = Machine::with_state(steady());
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let machine = &machine;
            scope.spawn(move || {
                for round in 0..2 {
                    let ran = machine.run(&format!("env set w{writer}_{round}=1"));
                    assert_eq!(ran.exit, 0, "{}", ran.stderr);
                }
            });
        }
    });
    assert_eq!(machine.state(), steady());
    assert_eq!(machine.run("env list").out().lines().filter(|line| line.starts_with('w')).count(), 12);
}

/// As somebody who may read the block and not write it; root may everything, so root becomes nobody.
#[test]
fn a_block_that_cannot_be_written_is_an_error_with_advice() {
    let machine = Machine::with_state(steady());
    // Nobody may not be able to reach the folder that the program was built in.
    let place = Folder::on_disk();
    let program = place.path("kubesolo-boot");
    // By another process: a program that this one has open for writing, if only in a fork, cannot be run.
    assert_eq!(run("cp", [binary(), program.to_str().unwrap()], Path::new("/")).exit, 0);
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, mode) in [("", 0o755), ("esp", 0o555), ("esp/grubenv", 0o444), ("esp/grubenv.bak", 0o444)] {
        fs::set_permissions(machine.folder.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = |words: &str| -> Ran {
        let mut command = Command::new(&program);
        command.args(words.split(' ')).args(machine.flags_of(words.split(' ').next().unwrap())).current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command.output().unwrap().into()
    };
    let before = machine.copies();
    assert_eq!(run("status").exit, 0, "reading it is enough for status");
    for words in ["slot set B good", "env set a=1", "env unset slot_B", "env create"] {
        let ran = run(words);
        assert_eq!(ran.exit, 6, "{words}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("grubenv: Permission denied") && ran.stderr.contains("run as root"),
            "{}",
            ran.stderr
        );
    }
    let ran = run("init");
    assert_eq!(ran.exit, 10, "{}", ran.stderr);
    assert_eq!(machine.copies(), before);
    fs::set_permissions(machine.folder.path("esp"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_folder_that_is_not_there_or_takes_no_files_is_an_error_with_the_path() {
    let folder = Folder::new();
    let run = |words: &[&str]| run(binary(), words, &folder.path(""));
    let ran = run(&["env", "list", "--grubenv", "nofolder/grubenv"]);
    assert_eq!(ran.exit, 6);
    assert!(ran.stderr.contains("nofolder: No such file or directory"), "{}", ran.stderr);
    // /proc takes no new files, whoever asks.
    let ran = run(&["env", "create", "--grubenv", "/proc/grubenv"]);
    assert_eq!(ran.exit, 6);
    assert!(ran.stderr.contains("grubenv: "), "{}", ran.stderr);
    let ran = run(&["env", "create", "--grubenv", &format!("{}/x", "n".repeat(300))]);
    assert_eq!(ran.exit, 6);
    let ran = run(&["env", "create", "--grubenv", &"n".repeat(70)]);
    assert_eq!(ran.exit, 2);
    assert!(ran.stderr.contains("too long"), "{}", ran.stderr);
    // A name without a folder is one in the folder where the program runs.
    assert_eq!(run(&["env", "create", "--grubenv", "grubenv"]).exit, 0);
    assert!(folder.path("grubenv.bak").exists());
}

#[test]
fn probe_says_whether_the_folder_takes_writes() {
    let machine = Machine::with_state(steady());
    assert_eq!(machine.run("probe").exit, 0);
    assert_eq!(parsed(&machine.run("probe --json")), json!({ "disk_writable": true, "reason": "" }));
    assert_eq!(fs::read_dir(machine.folder.path("data")).unwrap().count(), 0, "the probe's file is gone");

    fs::remove_dir(machine.folder.path("data")).unwrap();
    refused(&machine, "probe", 1, "data/.kubesolo-boot-probe: No such file or directory");
    let ran = machine.run("probe --json");
    assert_eq!(ran.exit, 1);
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(answer["disk_writable"], false);
    assert!(answer["reason"].as_str().unwrap().contains("No such file"), "{answer}");
}

#[test]
fn find_and_status_without_disks_say_so() {
    let machine = Machine::with_state(steady());
    refused(&machine, "find KSOLOA", 3, "KSOLOEFI KSOLOA KSOLOB KSOLODATA");
    refused(&machine, "find KSOLOC", 2, "find: KSOLOC: no such partition");
    // Without --grubenv the block is on the ESP, which is on no disk here.
    for words in ["status --json", "slot show --json", "env list --json", "activate --json", "probe --json"] {
        let verb = words.split(' ').next().unwrap();
        let flags = machine.flags_of(verb);
        let flags = flags.chunks(2).filter(|pair| !["--grubenv", "--data"].contains(&pair[0].as_str())).flatten();
        let ran = run(binary(), words.split(' ').chain(flags.map(String::as_str)), Path::new("/"));
        let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let error = answer.get("error").or(answer.get("reason")).unwrap().as_str().unwrap();
        assert!(ran.exit == 3 && error.starts_with("find disk: "), "{words}: {answer}");
        assert!(verb == "probe" || answer["exit_code"] == 3, "{words}: {answer}");
    }
    for verb in ["status", "commit", "rollback"] {
        let flags: Vec<String> = machine.flags_of(verb).split_off(2);
        let ran = run(binary(), std::iter::once(verb).chain(flags.iter().map(String::as_str)), Path::new("/"));
        assert_eq!(ran.exit, 3, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("kubesolo-boot: find disk: "), "{}", ran.stderr);
    }
}

#[test]
fn what_is_not_understood_changes_nothing() {
    let machine = Machine::with_state(steady());
    for words in [
        "frobnicate",
        "status now",
        "env frobnicate",
        "slot set",
        "rollback B",
        "find",
        "init now",
        "--frobnicate",
        "env get",
        "stauts",
        "help bogus",
        "bogus --help",
        "apply --registry x --tag y",
    ] {
        let before = machine.copies();
        let ran = machine.run(words);
        assert_eq!(ran.exit, 2, "{words}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{words}");
        assert_eq!(machine.copies(), before);
    }
    for words in ["--help", "help", "env --help", "apply --help", "help apply", "--version", "version"] {
        let ran = machine.run(words);
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{words}");
        assert!(!ran.stdout.is_empty());
    }
}

/// A value that a verb does not go by must not stop it: a good update would be given up.
#[test]
fn a_malformed_value_stops_only_the_verbs_that_need_its_key() {
    let verbs = ["check /nowhere", "apply /nowhere", "activate", "healthcheck --healthcheck-timeout 0", "grow"];
    for (line, needs) in [
        ("watchdog=1m", &[][..]),
        ("mark=maybe", &["apply"]),
        ("grow=off", &["grow"]),
        ("auto_rollback_after=3x", &["healthcheck"]),
        ("trial_timeout=15m", &["healthcheck"]),
        ("kube_system_settle=30s", &["apply", "healthcheck"]),
        ("maintenance_window=2-4", &["apply"]),
        ("server=\"/srv", &["check", "apply"]),
        ("watchdog 60", &[]),
        ("pubkey /etc/key", &["check", "apply"]),
        ("<html>", &["check", "apply"]),
        ("colour=red", &[]),
    ] {
        for words in verbs {
            let machine = Machine::with_state(steady());
            machine.cmdline("ksolo.slot=A ksolo.state=good");
            machine.folder.write("conf", format!("# mine\n{line}\n"));
            let ran = machine.run(words);
            let is_needed = needs.iter().any(|verb| words.starts_with(verb));
            let want = if is_needed { "kubesolo-boot: read " } else { "kubesolo-boot: warning: " };
            let want = format!("{want}{}:2: ", machine.folder.text("conf"));
            assert!(ran.stderr.contains(&want), "{line}, {words}: {}", ran.stderr);
            assert_eq!(ran.exit == 2, is_needed, "{line}, {words}: {}", ran.stderr);
        }
    }
}

/// A flag that would be ignored, or do what the verb does not: `status --reboot` restarts nothing.
#[test]
fn a_flag_of_another_verb_is_refused_by_name() {
    let machine = Machine::with_state(steady());
    let mut pairs = 0;
    for row in VERBS {
        let words = match row.name {
            Name::Slot => "slot set B good",
            Name::Env => "env set a=1",
            Name::Find => "find KSOLOA",
            _ => row.word,
        };
        for flag in FLAGS.iter().filter(|flag| !flag.is_of(row.name)) {
            pairs += 1;
            let value = flag.value().map_or("", |_| " x");
            let want = format!("kubesolo-boot: {flag}: not a flag of {}, but of ", row.word);
            refused(&machine, &format!("{words} {flag}{value}"), 2, &want);
            let takers = VERBS.iter().filter(|taker| flag.is_of(taker.name));
            let ran = machine.run(&format!("{flag}{value} {words} --help"));
            assert_eq!((ran.exit, ran.out()), (2, ""), "{flag} {words}");
            assert!(takers.clone().count() > 0);
            for taker in takers {
                assert!(ran.stderr.contains(taker.word), "{}", ran.stderr);
            }
            assert!(!machine.folder.path("data/update").exists(), "{flag} {words}");
        }
    }
    assert!(pairs > 200, "{pairs}");
    for words in ["status --reboot", "apply /nowhere --reboot", "commit --reboot", "init --reboot", "grow --reboot"] {
        refused(&machine, words, 2, "--reboot: not a flag of ");
        refused(&machine, words, 2, ", but of activate, healthcheck, rollback, watchdog; see kubesolo-boot ");
    }
}

#[test]
fn the_help_of_a_verb_shows_its_flags_and_no_other() {
    let machine = Machine::with_state(steady());
    for row in VERBS {
        let ran = machine.run_words(&["help", row.word]);
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
        assert_eq!(machine.run_words(&[row.word, "--help"]), ran);
        assert!(ran.out().starts_with(&format!("kubesolo-boot {}", row.word)), "{}", ran.out());
        let (_, rows) = ran.out().split_once("\nFlags:\n").unwrap();
        for flag in FLAGS {
            let is_listed = rows.lines().any(|line| {
                let names = line.trim_start().split([' ', ',']);
                names.take_while(|name| name.is_empty() || name.starts_with('-')).any(|name| name == flag.to_string())
            });
            assert_eq!(is_listed, flag.is_of(row.name), "{flag}: {}", ran.out());
        }
    }
}

/// What a person, a service, a manifest or a bench of this repository calls.
#[test]
fn command_lines_in_use_are_taken() {
    for line in [
        "find KSOLODATA --wait 90",
        "find KSOLODATA --ext4",
        "find KSOLODATA --sys /run/list --run /run/none --wait 15",
        "find KSOLODATA --disk disk",
        "init",
        "init --grubenv grubenv --cmdline cmdline --data data --conf conf",
        "grow --grow yes",
        "grow --disk disk --conf conf",
        "healthcheck --reboot-in 20 --conf /conf/update.conf",
        "healthcheck --reboot",
        "healthcheck --state state --healthcheck-timeout 0 --auto-rollback-after 1",
        "healthcheck --json --healthcheck-timeout 0 --healthcheck-url http://x/",
        "check --conf /conf/update.conf",
        "check --server www --pubkey key --grubenv x --data x --state x --cmdline x --target x --allow-downgrade",
        "apply --conf /conf/update.conf",
        "apply http://x/ --allow-downgrade --grubenv x --cmdline x --data x --target x",
        "apply --server www --grubenv x --data x --state x --cmdline x --target x --allow-downgrade",
        "apply --force --json",
        "activate --reboot-in 20 --conf /conf/update.conf",
        "activate --reboot --conf /conf/update.conf",
        "rollback --reboot",
        "status --json",
        "env set slot_B=good --grubenv grubenv",
        "env create --grubenv grubenv",
        "metrics /x.prom",
        "stopping",
        "watchdog",
        "watchdog --reboot --trial-timeout 600",
    ] {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
        let call = Call::parse(&words).unwrap_or_else(|failure| panic!("{line}: {failure}"));
        assert!(matches!(call.action(), Ok(Action::Work(_))), "{line}: {:?}", call.action());
    }
}

#[test]
fn output_that_nobody_takes_is_an_error() {
    let machine = Machine::with_state(steady());
    for words in ["status", "env list", "slot show", "--help"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let flags = machine.flags_of(words.split(' ').next().unwrap());
        let ran: Ran = Command::new(binary()).args(words.split(' ')).args(flags).stdout(full).output().unwrap().into();
        assert_eq!(ran.exit, 6, "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("write to standard output: No space left"), "{}", ran.stderr);
    }
}

#[test]
fn a_test_that_is_skipped_is_heard_though_it_passes() {
    if std::env::var_os("KSOLO_SKIPS_HERE").is_some() {
        return skipped("no ears");
    }
    let name = "cli::a_test_that_is_skipped_is_heard_though_it_passes";
    let folder = Folder::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .envs([("KSOLO_SKIPS_HERE", "".into()), ("KSOLO_SKIPS", folder.path("skips"))])
        .output();
    let ran = Ran::from(output.unwrap());
    assert!(ran.exit == 0 && ran.out().contains("1 passed"), "{ran:?}");
    assert_eq!(ran.stderr, format!("skipped {name}: no ears\n"));
    assert_eq!(folder.read("skips").unwrap(), format!("{name}: no ears\n").as_bytes());
}

/// Makes something stand in the place of a copy, by its name in `esp`.
type Put = fn(&Folder, &str);

/// A link is never followed, and never taken away either.
fn link(folder: &Folder, name: &str) {
    std::os::unix::fs::symlink("elsewhere", folder.path(&format!("esp/{name}"))).unwrap();
}

fn empty_folder(folder: &Folder, name: &str) {
    fs::create_dir(folder.path(&format!("esp/{name}"))).unwrap();
}

fn full_folder(folder: &Folder, name: &str) {
    folder.write(&format!("esp/{name}/file"), "kept");
}

fn pipe(folder: &Folder, name: &str) {
    assert!(Command::new("mkfifo").arg(folder.path(&format!("esp/{name}"))).status().unwrap().success());
}

#[test]
fn a_spare_that_cannot_be_written_is_a_warning() {
    let trial = state(A, 2, false, Trial, Good);
    for words in ["commit", "rollback", "slot set B bad", "env set x=y", "env unset slot_B", "env create", "init"] {
        let machine = Machine::with_copies(Some(block_of(trial).bytes()), None);
        machine.folder.write("conf", "mark=init");
        link(&machine.folder, "grubenv.bak");
        let before = machine.folder.read("esp/grubenv");
        let ran = machine.run(words);
        assert_eq!(ran.exit, 0, "{words}: {}", ran.stderr);
        let want = "warning: one copy of the env block is safe, the other is not: write grubenv.bak: ";
        assert!(ran.stderr.contains(want), "{words}: {}", ran.stderr);
        let after = machine.folder.read("esp/grubenv");
        assert!(after != before && EnvBlock::parse(after.unwrap()).unwrap().defect().is_none(), "{words}");
    }
}

/// GRUB goes by the second copy then, and saves into it.
#[test]
fn where_the_first_copy_cannot_be_written_the_second_counts() {
    let machine = Machine::with_copies(None, Some(block_of(state(A, 2, false, Trial, Good)).bytes()));
    link(&machine.folder, "grubenv");
    let ran = machine.run("commit");
    assert_eq!((ran.exit, ran.out()), (0, "Slot A is good and stays.\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the other is not: write grubenv: "), "{}", ran.stderr);
    assert_eq!(machine.folder.read("esp/grubenv.bak").unwrap(), block_of(state(A, 3, true, Good, Good)).bytes());
    // The only copy there is.
    let machine = Machine::with_copies(None, None);
    link(&machine.folder, "grubenv");
    let ran = machine.run("init");
    assert_eq!(ran.exit, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("write grubenv: "), "{}", ran.stderr);
}

#[test]
fn whatever_stands_in_a_copys_place_makes_way_for_it() {
    let now = state(A, 2, false, Good, Good);
    let puts: [(&str, Put); 3] = [("empty folder", empty_folder), ("full folder", full_folder), ("pipe", pipe)];
    for (what, put) in puts {
        for (odd, sound) in [("grubenv", "grubenv.bak"), ("grubenv.bak", "grubenv")] {
            let machine = Machine::with_copies(None, None);
            machine.folder.write(&format!("esp/{sound}"), block_of(now).bytes());
            put(&machine.folder, odd);
            let ran = machine.run("init");
            assert_eq!(ran.exit, 0, "{what} {odd}: {}", ran.stderr);
            assert!(ran.stderr.contains(&format!("{odd}: unreadable; writing it anew")), "{what}: {}", ran.stderr);
            assert_eq!(machine.state(), state(A, 3, true, Good, Good), "{what} {odd}");
            assert_eq!(machine.folder.read(&format!("esp/{odd}.odd/file")).is_some(), what == "full folder");
            assert!(!machine.folder.path(&format!("esp/{odd}.part")).exists());
        }
        let machine = Machine::with_copies(None, None);
        ["grubenv", "grubenv.bak"].iter().for_each(|name| put(&machine.folder, name));
        let ran = machine.run("init");
        assert_eq!(ran.exit, 0, "{what}: {}", ran.stderr);
        assert_eq!(machine.state(), BootState::lost(A, |_| false), "{what}");
    }
}
