//! The boot stage on files: the word for `/init`, the mark, and the repair of the env block.

use std::fs;
use std::path::Path;

use crate::scene::machine::{Machine, block_of, block_with, damages, state};
use crate::scene::{Ran, binary, run};
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Bad, Empty, Good, Staged, Trial};
use kubesolo_core::boot::state::BootState;

const GO_ON: i32 = 0;
const DEGRADED: i32 = 10;
const REBOOT: i32 = 20;
const EMERGENCY: i32 = 30;

/// Runs `init`, which must end so and say so.
fn init(machine: &Machine, exit: i32, said: &str) -> Ran {
    let ran = machine.run("init");
    assert_eq!(ran.exit, exit, "{}", ran.stderr);
    assert!(ran.stderr.contains(said), "{} does not say {said}", ran.stderr);
    assert!(ran.stderr.lines().all(|line| line.starts_with("kubesolo-boot: init: ")), "{}", ran.stderr);
    assert!(ran.stdout.is_empty());
    ran
}

fn counted(a: kubesolo_core::boot::slot::SlotState, b: kubesolo_core::boot::slot::SlotState) -> BootState {
    state(A, 2, false, a, b)
}

#[test]
fn a_boot_of_a_good_slot_is_marked() {
    for other in [Empty, Staged, Trial, Good, Bad] {
        let machine = Machine::with_state(counted(Good, other));
        init(&machine, GO_ON, "init: go on (slot A, good)");
        assert_eq!(machine.state(), state(A, 3, true, Good, other));
        let before = fs::metadata(machine.folder.path("esp/grubenv")).unwrap().modified().unwrap();
        init(&machine, GO_ON, "go on");
        assert_eq!(
            fs::metadata(machine.folder.path("esp/grubenv")).unwrap().modified().unwrap(),
            before,
            "nothing to write"
        );
    }
    assert_eq!(fs::read_dir(Machine::with_state(counted(Good, Empty)).folder.path("data")).unwrap().count(), 0);
}

#[test]
fn a_trial_is_left_to_healthcheck_unless_init_decides() {
    let trial = state(B, 2, false, Good, Trial);
    for conf in ["", "mark=healthcheck\n", "# mark=init\n", "mark=perhaps\n", "marks=init\n"] {
        let machine = Machine::with_state(trial).booted(B);
        machine.folder.write("conf", conf);
        init(&machine, GO_ON, "init: go on (slot B, trial)");
        assert_eq!(machine.state(), trial, "{conf:?}");
    }
    for conf in ["mark=init", "server=http://x/\r\n\r\n mark = init \r\n"] {
        let machine = Machine::with_state(trial).booted(B);
        machine.folder.write("conf", conf);
        init(&machine, GO_ON, "init: go on (slot B, good)");
        assert_eq!(machine.state(), state(B, 3, true, Good, Good), "{conf:?}");
    }
}

#[test]
fn a_line_of_the_configuration_that_is_not_taken_is_named_and_stops_nothing() {
    let machine = Machine::with_state(counted(Good, Empty));
    for (conf, want) in [
        (&b"mark=perhaps\n"[..], "conf:1: mark cannot be 'perhaps'"),
        (b"\n\nmark\n", "conf:3: 'mark' is not key=value"),
        (b"color=red\n", "conf:1: unknown key color"),
        (b"mark=init\xff\n", "not text"),
    ] {
        machine.folder.write("conf", conf);
        init(&machine, GO_ON, want);
    }
    machine.folder.write("conf", vec![b'#'; 100_000]);
    init(&machine, GO_ON, "go on");
    fs::remove_file(machine.folder.path("conf")).unwrap();
    init(&machine, GO_ON, "go on");
    fs::create_dir(machine.folder.path("conf")).unwrap();
    init(&machine, GO_ON, "conf: Is a directory");
}

#[test]
fn a_box_that_says_nothing_about_a_key_keeps_the_images_word() {
    let trial = state(B, 2, false, Good, Trial);
    let long = "#".repeat(5000);
    for (image, own, marks) in [
        ("mark=init\n", "", true),
        ("mark=init\n", "server=http://x/\nmark=perhaps\n", true),
        ("mark=init\n", "mark=healthcheck\n", false),
        ("mark=init\n", "mark=\n", false),
        ("mark=healthcheck\n", "mark=init\n", true),
        // A file that cannot be read takes nothing away from the other.
        ("mark=init\n", &long, true),
        (&long, "mark=init\n", true),
    ] {
        let machine = Machine::with_state(trial).booted(B);
        machine.folder.write("image.conf", image);
        machine.folder.write("conf", own);
        init(&machine, GO_ON, &format!("init: go on (slot B, {})", if marks { Good } else { Trial }));
    }
    // The verbs that judge by the settings refuse a file that they cannot read, whichever it is.
    for name in ["image.conf", "conf"] {
        let machine = Machine::with_state(trial).booted(B);
        machine.folder.write(name, &long);
        let ran = machine.run("check");
        assert_eq!(
            (ran.exit, ran.stderr.contains(&format!("{name}: 4096 bytes or longer"))),
            (6, true),
            "{}",
            ran.stderr
        );
        machine.folder.write(name, "watchdog=soon\n");
        let ran = machine.run("check");
        let wrong = format!("{name}:1: watchdog cannot be 'soon'");
        assert_eq!((ran.exit, ran.stderr.contains(&wrong)), (2, true), "{}", ran.stderr);
    }
}

#[test]
fn the_images_watchdog_is_started_unless_the_box_turns_it_off() {
    for (image, own, starts) in [
        ("watchdog=60\n", "", true),
        ("watchdog=60\n", "server=http://x/\n", true),
        ("watchdog=60\n", "watchdog=0\n", false),
        ("watchdog=60\n", "watchdog=\n", false),
        ("", "watchdog=60\n", true),
        ("", "", false),
    ] {
        let machine = Machine::with_state(counted(Good, Empty));
        machine.folder.write("image.conf", image);
        machine.folder.write("conf", own);
        // It takes no time-out, being a file, and that is said.
        machine.folder.write("dev/watchdog", "");
        let ran = init(&machine, GO_ON, "go on");
        assert_eq!(ran.stderr.contains("set the time-out of"), starts, "{image:?} {own:?}: {}", ran.stderr);
    }
}

#[test]
fn what_init_has_started_is_fed_whatever_else_stands_in_the_settings() {
    for own in ["mark=perhaps\n", "color=red\nmark\nwatchdog=soon\n", &"#".repeat(5000)] {
        let machine = Machine::with_state(counted(Good, Empty));
        machine.folder.write("image.conf", "watchdog=60\n");
        machine.folder.write("conf", own);
        machine.folder.write("dev/watchdog", "");
        let started = init(&machine, GO_ON, "set the time-out of");
        let fed = machine.run("watchdog");
        assert!(fed.stderr.contains("set the time-out of"), "{own:.20}: {} {}", started.stderr, fed.stderr);
    }
}

#[test]
fn a_slot_that_is_not_fit_is_never_marked() {
    for unfit in [Empty, Staged, Bad] {
        for conf in ["", "mark=init"] {
            let now = counted(unfit, Good);
            let machine = Machine::with_state(now);
            machine.folder.write("conf", conf);
            machine.run("init");
            assert_eq!(machine.state(), now, "{unfit}");
        }
    }
}

#[test]
fn a_boot_chosen_by_hand_marks_nothing() {
    for conf in ["", "mark=init"] {
        for now in [state(B, 2, false, Good, Trial), state(B, 0, false, Good, Good), state(B, 3, true, Bad, Good)] {
            let machine = Machine::with_state(now);
            machine.cmdline("ksolo.slot=A ksolo.via=menu");
            machine.folder.write("conf", conf);
            init(&machine, GO_ON, "init: slot A runs, slot B is active: this boot marks nothing");
            assert_eq!(machine.state(), now);
        }
    }
}

#[test]
fn without_data_a_trial_is_given_up_and_a_good_slot_goes_on() {
    let without_data = |now: BootState, booted| {
        let machine = Machine::with_state(now).booted(booted);
        fs::remove_dir(machine.folder.path("data")).unwrap();
        machine.folder.write("conf", "mark=init");
        machine
    };
    let trial = state(B, 2, false, Good, Trial);
    let machine = without_data(trial, B);
    init(&machine, REBOOT, "init: reboot: probe: open folder of ");
    assert_eq!(machine.state(), trial, "GRUB counts, not init");

    // Where there is nothing good to go back to, a box that runs is better than one that reboots.
    for other in [Empty, Staged, Trial, Bad] {
        let trial = state(B, 2, false, other, Trial);
        let machine = without_data(trial, B);
        init(&machine, DEGRADED, "init: go on, degraded: probe: ");
        assert_eq!(machine.state(), trial);
    }
    let machine = without_data(counted(Good, Good), A);
    init(&machine, DEGRADED, "init: go on, degraded: probe: ");
    assert_eq!(machine.state(), state(A, 3, true, Good, Good), "trouble with data costs a good slot nothing");
    // A trial that does not run is none to give up.
    let machine = without_data(trial, A);
    init(&machine, DEGRADED, "init: go on, degraded: probe: ");

    // A file in the folder's place.
    let machine = without_data(trial, B);
    machine.folder.write("data", "");
    init(&machine, REBOOT, "Not a directory");
}

/// What was broken before does not speak against the update, which may be what mends it.
#[test]
fn a_trial_is_not_given_up_for_data_that_were_of_no_use_before_it() {
    let trial = BootState { data_excused: true, ..state(B, 2, false, Good, Trial) };
    for (conf, after) in [("", trial), ("mark=init", state(B, 3, true, Good, Good))] {
        let machine = Machine::with_state(trial).booted(B);
        machine.folder.write("conf", conf);
        fs::remove_dir(machine.folder.path("data")).unwrap();
        let ran = machine.run("init");
        assert_eq!(ran.exit, DEGRADED, "{conf}: {}", ran.stderr);
        assert_eq!(machine.state(), after, "{conf}: {}", ran.stderr);
    }
}

#[test]
fn a_boot_that_goes_on_degraded_says_so_in_status_metrics_and_log() {
    let machine = Machine::with_state(counted(Good, Good));
    machine.folder.write("cmdline", "ksolo.slot=A ksolo.state=good ksolo.counter=2");
    machine.folder.write("boot_id", "11111111-2222-3333-4444-555555555555");
    init(&machine, GO_ON, "go on (slot A, good)");
    assert!(machine.run("status --json").out().contains("\"degraded\":null"));
    assert!(machine.run("metrics").out().contains("kubesolo_boot_degraded 0\n"));

    machine.folder.write("boot_id", "11111111-2222-3333-4444-666666666666");
    machine.folder.write("cmdline", "ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=auto");
    let [first, second] = ["esp/grubenv", "esp/grubenv.bak"].map(|name| machine.folder.path(name));
    fs::remove_file(&first).unwrap();
    fs::remove_file(&second).unwrap();
    // Links are neither followed nor taken away.
    for path in [&first, &second] {
        std::os::unix::fs::symlink("nowhere", path).unwrap();
    }
    init(&machine, DEGRADED, "init: go on, degraded: ");
    for path in [&first, &second] {
        fs::remove_file(path).unwrap();
    }
    fs::write(&first, block_of(counted(Good, Good)).bytes()).unwrap();
    let status = machine.run("status").out().to_owned();
    assert!(status.contains("\nDegraded    "), "{status}");
    assert!(machine.run("metrics").out().contains("kubesolo_boot_degraded 1\n"));
    // The next boot tells of it, too.
    machine.folder.write("boot_id", "11111111-2222-3333-4444-777777777777");
    init(&machine, GO_ON, "go on (slot A, good)");
    let status = machine.run("status").out().to_owned();
    assert!(!status.contains("\nDegraded    ") && status.contains("; degraded: "), "{status}");
}

#[test]
fn the_emergency_shell_is_given_whatever_is_broken() {
    for machine in [
        Machine::with_state(state(B, 2, false, Good, Trial)),
        Machine::with_copies(None, None),
        Machine::with_copies(Some(&[0; 1024]), Some(b"")),
    ] {
        machine.cmdline("ksolo.slot=C ksolo.mode=emergency");
        let before = machine.copies();
        init(&machine, EMERGENCY, "init: emergency shell asked for");
        assert_eq!(machine.copies(), before);
    }
}

#[test]
fn a_damaged_copy_is_repaired_from_the_other() {
    let now = BootState { rollback_from: Some(B), ..counted(Good, Bad) };
    let block = block_of(now);
    for (name, _, damaged) in damages(&block) {
        for (hurt, copies) in [
            ("grubenv", (damaged.as_deref(), Some(block.bytes()))),
            ("grubenv.bak", (Some(block.bytes()), damaged.as_deref())),
        ] {
            let machine = Machine::with_copies(copies.0, copies.1);
            let ran = init(&machine, GO_ON, &format!("init: {hurt}: "));
            assert!(ran.stderr.contains("slot B was given up; slot A is active"), "{name}: {}", ran.stderr);
            let repaired = machine.state();
            assert_eq!((repaired.active, repaired.a, repaired.b), (A, Good, Bad), "{name}: {}", ran.stderr);
            assert_eq!((repaired.counter, repaired.success), (3, true), "{name}: it is marked as well");
        }
    }
}

/// The power went between the flip and its record.
#[test]
fn an_image_that_was_given_up_is_remembered_although_its_activation_was_not_recorded() {
    let journal = "{\"phase\":\"staged\",\"to_image\":\"00aa\"}";
    let remembered = |machine: &Machine| {
        let text = String::from_utf8(machine.folder.read("data/update/state.json").unwrap()).unwrap();
        assert!(text.contains("\"rolled_back\"") && text.contains("\"known_bad\":\"00aa\""), "{text}");
    };
    let machine = Machine::with_state(BootState { rollback_from: Some(B), ..counted(Good, Bad) });
    machine.folder.write("data/update/state.json", journal);
    init(&machine, GO_ON, "init: slot B was given up");
    assert_eq!(machine.state().rollback_from, None);
    remembered(&machine);

    let machine = Machine::with_state(BootState { active: B, ..counted(Good, Trial) });
    machine.cmdline("ksolo.slot=B ksolo.state=trial ksolo.counter=2");
    machine.folder.write("data/update/state.json", journal);
    assert_eq!(machine.run("rollback").exit, 0);
    remembered(&machine);
}

#[test]
fn two_damaged_copies_are_repaired_from_what_is_left() {
    let now = counted(Good, Staged);
    let block = block_of(now);
    let damages = damages(&block);
    for (row, (name, readable, first)) in damages.iter().enumerate() {
        for (column, (other, other_readable, second)) in damages.iter().enumerate() {
            // Every damage twice over, and some thirty pairs of two.
            if row != column && (row + 3 * column) % 8 != 0 {
                continue;
            }
            let machine = Machine::with_copies(first.as_deref(), second.as_deref());
            let ran = machine.run("init");
            assert_eq!(ran.exit, GO_ON, "{name}, {other}: {}", ran.stderr);
            let repaired = machine.state();
            if *readable || *other_readable {
                assert_eq!(repaired, state(A, 3, true, Good, Staged), "{name}, {other}: {}", ran.stderr);
            } else {
                // Nothing is known of either slot: the one that runs is on trial, and there is nothing to fall back to.
                assert_eq!((repaired.active, repaired.counter), (A, 3), "{name}, {other}: {}", ran.stderr);
                assert_ne!(repaired.a, Good, "{name}, {other}");
                assert_ne!(repaired.b, Good, "{name}, {other}");
            }
        }
    }
}

#[test]
fn a_lost_block_makes_the_running_slot_a_trial() {
    for booted in [A, B] {
        let machine = Machine::with_copies(None, Some(b"")).booted(booted);
        init(
            &machine,
            GO_ON,
            &format!("both copies of the env block are lost; slot {booted} is on trial until a commit"),
        );
        let want = BootState::lost(booted, |_| false);
        assert_eq!(machine.state(), want);
        assert_eq!(machine.run("commit").exit, 0);
        assert_eq!(machine.state().slot(booted), Good);
    }
    let machine = Machine::with_copies(None, None);
    machine.folder.write("conf", "mark=init");
    init(&machine, GO_ON, "init: go on (slot A, good)");
    assert_eq!(machine.state(), state(A, 3, true, Good, Empty));
}

/// What `env create` leaves: whole copies that say nothing. No slot is good for that.
#[test]
fn a_blank_block_vouches_for_no_slot() {
    let machine = Machine::with_block(&EnvBlock::blank()).booted(B);
    init(&machine, GO_ON, "init: go on (slot B, trial)");
    assert_eq!(machine.state(), state(B, 3, false, Empty, Trial));
    assert_eq!(machine.run("commit").exit, 0);
    assert_eq!(machine.state(), state(B, 3, true, Empty, Good));
}

#[test]
fn variables_of_others_survive_a_repair() {
    let mut block = block_with(&[("saved_entry", "a\\b\nc")]);
    counted(Good, Empty).write_to(&mut block).unwrap();
    for (name, readable, damaged) in damages(&block) {
        if readable {
            let machine = Machine::with_copies(damaged.as_deref(), None);
            init(&machine, GO_ON, "go on");
            let repaired = EnvBlock::parse(machine.copies()[0].clone().unwrap()).unwrap();
            assert!(repaired.get("saved_entry").unwrap().is("a\\b\nc"), "{name}");
        }
    }
}

#[test]
fn grub_counted_in_the_first_copy_and_the_second_follows() {
    let old = block_of(state(B, 3, false, Good, Trial));
    let counted = block_of(state(B, 2, false, Good, Trial));
    let machine = Machine::with_copies(Some(counted.bytes()), Some(old.bytes())).booted(B);
    init(&machine, GO_ON, "init: go on (slot B, trial)");
    assert_eq!(machine.state(), state(B, 2, false, Good, Trial));

    // Also when the data partition is gone.
    let machine = Machine::with_copies(Some(counted.bytes()), Some(old.bytes())).booted(B);
    fs::remove_dir(machine.folder.path("data")).unwrap();
    init(&machine, REBOOT, "reboot");
    assert_eq!(machine.state(), state(B, 2, false, Good, Trial));
}

/// An existing box: three variables. Which slots are populated is asked of the disk; here there is none to ask.
#[test]
fn the_block_of_an_older_system_gets_the_missing_variables() {
    let block = block_with(&[("active_slot", "A"), ("boot_counter", "2"), ("boot_success", "0")]);
    let machine = Machine::with_block(&block);
    let status = machine.run("status");
    assert!(status.out().contains("Assumed     slot_A is missing, taken as trial"), "{}", status.out());
    init(&machine, GO_ON, "init: env block: slot_A is missing, taken as trial");
    // The slot that runs is there, and nothing says that this boot is healthy. One that cannot be looked into is not fallen back to.
    assert_eq!(machine.state(), state(A, 2, false, Trial, Empty));
    assert_eq!(machine.run("commit").exit, 0);
    assert_eq!(machine.state(), state(A, 3, true, Good, Empty));

    // A boot that was marked already.
    let block = block_with(&[("active_slot", "A"), ("boot_counter", "3"), ("boot_success", "1")]);
    let machine = Machine::with_block(&block);
    init(&machine, GO_ON, "init: env block: slot_A is missing, taken as good");
    assert_eq!(machine.state(), state(A, 3, true, Good, Empty));

    // Its grub.cfg does not say which slot it boots.
    let machine =
        Machine::with_block(&block_with(&[("active_slot", "B"), ("boot_counter", "2"), ("boot_success", "0")]));
    machine.cmdline("root=/dev/ram0 kubesolo.data=LABEL=KSOLODATA");
    init(&machine, GO_ON, "go on (slot B, ");
}

#[test]
fn an_unknown_slot_goes_on_degraded_and_writes_nothing() {
    for copies in [(None, None), (Some(block_of(counted(Good, Empty)).bytes().to_vec()), None)] {
        let machine = Machine::with_copies(copies.0.as_deref(), copies.1);
        machine.cmdline("ksolo.slot=C");
        let before = machine.copies();
        init(&machine, DEGRADED, "init: go on, degraded: kernel command line: ksolo.slot=C: not a slot");
        assert_eq!(machine.copies(), before);
    }
}

#[test]
fn impossible_values_are_named_and_mended() {
    let block = block_with(&[
        ("active_slot", "A"),
        ("boot_counter", "7"),
        ("boot_success", "yes"),
        ("slot_A", "good"),
        ("slot_B", "great"),
    ]);
    let machine = Machine::with_block(&block);
    let ran = init(&machine, GO_ON, "init: env block: slot_B is impossible, taken as bad");
    for name in ["boot_counter", "boot_success"] {
        assert!(ran.stderr.contains(&format!("env block: {name} is ")), "{}", ran.stderr);
    }
    assert_eq!(machine.state(), state(A, 3, true, Good, Bad));
}

#[test]
fn a_block_with_line_ends_of_windows_is_mended() {
    let text = String::from_utf8(block_of(counted(Good, Good)).bytes().to_vec()).unwrap();
    let mut bytes = text.replace('\n', "\r\n").replacen("\r\n", "\n", 1).into_bytes();
    bytes.truncate(1024);
    let machine = Machine::with_copies(Some(&bytes), Some(&bytes));
    // Each value ends in a carriage return, so none is one; the slot that runs stays the active one.
    init(&machine, GO_ON, "init: grubenv: names no active slot; writing it anew");
    assert_eq!(machine.state(), state(A, 3, false, Bad, Bad));
    assert_eq!(machine.run("commit").exit, 0);
    assert_eq!(machine.state(), state(A, 3, true, Good, Bad));
}

#[test]
fn a_block_that_takes_more_than_one_sector_is_marked_and_keeps_what_others_wrote() {
    for len in [320, 321, 400, 700] {
        // Before ours, between them, and behind.
        let mut block = EnvBlock::blank();
        block.set(b"saved_entry", b"with=\\backslash\\").unwrap();
        block.set(b"note", "x".repeat(len).as_bytes()).unwrap();
        counted(Good, Good).write_to(&mut block).unwrap();
        block.set(b"last", b"1").unwrap();
        let machine = Machine::with_block(&block);
        let ran = init(&machine, GO_ON, "go on (slot A, good)");
        assert!(ran.stderr.contains("more than one sector of 512"), "{}", ran.stderr);
        assert_eq!(machine.state(), state(A, 3, true, Good, Good));
        let written = EnvBlock::parse(machine.copies()[0].clone().unwrap()).unwrap();
        for name in ["saved_entry", "note", "last"] {
            let value = |value: kubesolo_core::boot::env_block::Value<'_>| value.bytes().collect::<Vec<_>>();
            assert_eq!(written.get(name).map(value), block.get(name).map(value), "{name}");
        }
        let machine = Machine::with_block(&block);
        assert_eq!(machine.run("rollback").exit, 0);
        assert_eq!(machine.state().active, B);
    }
    // Nor is there a word too many.
    let mut full = block_of(counted(Good, Good));
    full.set(b"note", "x".repeat(600).as_bytes()).unwrap();
    full.unset(b"slot_B");
    full.set(b"more", "x".repeat(1023 - full.text_len() - 6).as_bytes()).unwrap();
    let machine = Machine::with_block(&full);
    let before = machine.copies();
    init(&machine, DEGRADED, "leave no room for the boot state");
    assert_eq!(machine.copies(), before);
}

#[test]
fn without_a_disk_a_good_slot_goes_on_after_ten_seconds() {
    let machine = Machine::with_state(counted(Good, Good));
    without_a_disk(&machine, DEGRADED);
}

#[test]
fn without_a_disk_a_trial_is_given_up_after_ten_seconds() {
    let machine = Machine::with_state(counted(Trial, Good));
    machine.cmdline("ksolo.slot=A ksolo.state=trial");
    without_a_disk(&machine, REBOOT);
}

/// All flags but --grubenv: the ESP has to be found, and there is no disk.
fn without_a_disk(machine: &Machine, exit: i32) {
    let flags = machine.flags();
    let began = std::time::Instant::now();
    let data = machine.folder.path("no/such/folder");
    let more = ["--data", data.to_str().unwrap()];
    let words = std::iter::once("init").chain(flags[2..].iter().map(String::as_str)).chain(more);
    let ran = run(binary(), words, Path::new("/"));
    assert_eq!(ran.exit, exit, "{}", ran.stderr);
    assert!(ran.stderr.contains("find disk: none of the disks"), "{}", ran.stderr);
    assert!((9..20).contains(&began.elapsed().as_secs()));
}

/// A word of the kernel's command line that is not ours may be anything.
#[test]
fn a_byte_that_is_no_text_on_the_command_line_costs_nothing() {
    let machine = Machine::with_state(counted(Good, Good));
    machine.folder.write("cmdline", b"quiet name=caf\xe9 ksolo.slot=B ksolo.via=menu\n");
    init(&machine, GO_ON, "init: slot B runs, slot A is active: this boot marks nothing");
    assert_eq!(machine.state(), counted(Good, Good));
}

#[test]
fn messages_go_nowhere_when_the_standard_streams_are_closed() {
    for words in ["init", "commit", "status", "env list", "env set a=b", "nonsense"] {
        // Something to say: a repair, and an answer.
        let machine = Machine::with_copies(Some(block_of(counted(Good, Good)).bytes()), Some(b""));
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh", binary()])
            .args(words.split(' '))
            .args(machine.flags_of(words.split(' ').next().unwrap()));
        let status = shell.status().unwrap();
        assert_eq!(status.success(), words != "nonsense", "{words}: {status}");
        for copy in machine.copies().into_iter().take(1).flatten() {
            assert_eq!(EnvBlock::parse(copy).map(|block| block.defect()), Ok(None), "{words}");
        }
    }
    // As a link, too.
    let machine = Machine::with_state(counted(Good, Good));
    std::os::unix::fs::symlink(binary(), machine.folder.path("grub-editenv")).unwrap();
    let script = "exec \"$0\" \"$1\" set a=b <&- >&- 2>&-";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script]).args([machine.folder.path("grub-editenv"), machine.folder.path("esp/grubenv")]);
    assert!(shell.status().unwrap().success());
    let block = EnvBlock::parse(machine.copies()[0].clone().unwrap()).unwrap();
    assert!(block.defect().is_none() && block.get("a").unwrap().is("b"));
}
