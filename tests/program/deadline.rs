//! `watchdog --reboot`: the end of a trial that no health check sees. The box is a process namespace of its own, whose init says what it
//! is asked for, so that nothing restarts this machine.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::scene::machine::{Machine, state};
use crate::scene::{binary, skipped};
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Bad, Empty, Good, Trial};

/// Its init restarts by ending, and all in it ends then. /proc is this machine's, but for the one file that would reset it.
const INIT: &str = "
    [ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger || exit 9
    trap 'echo init: restarts; exit' INT
    \"$@\" </dev/null &
    wait $!
    echo \"ended: $?\"
";

/// What the verb and init say within ten seconds; `None`, with a note, if there are no namespaces here.
fn on_a_box(machine: &Machine, words: &str) -> Option<(String, Duration)> {
    let began = Instant::now();
    let ran: Output = Command::new("timeout")
        .args(["--signal=KILL", "10", "unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", INIT, "init", binary()])
        .args(words.split(' '))
        .args(machine.flags_of("watchdog"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    if said.contains("unshare:") {
        skipped("no namespaces");
        return None;
    }
    Some((said, began.elapsed()))
}

fn uptime() -> i64 {
    rustix::system::sysinfo().uptime
}

fn trial() -> Machine {
    Machine::with_state(state(B, 2, false, Good, Trial)).booted(B)
}

#[test]
fn a_trial_that_nothing_judges_restarts_the_box_when_its_time_is_over() {
    let machine = trial();
    let over = uptime() + 3;
    let Some((said, _)) = on_a_box(&machine, &format!("watchdog --reboot --trial-timeout {over}")) else { return };
    assert!(said.contains("init: restarts"), "{said}");
    assert!(uptime() >= over, "too early: {said}");
    assert_eq!(machine.state(), state(B, 2, false, Good, Trial), "GRUB counts");
}

#[test]
fn a_watchdog_that_does_not_work_does_not_keep_a_trial() {
    let machine = trial();
    // It takes no time-out, being a file.
    machine.folder.write("dev/watchdog", "");
    let Some((said, _)) = on_a_box(&machine, "watchdog --reboot --trial-timeout 1 --watchdog 60") else { return };
    assert!(said.contains("set the time-out of") && said.contains("init: restarts"), "{said}");
}

#[test]
fn a_commit_in_time_ends_the_wait_and_nothing_restarts() {
    let machine = trial();
    let timeout = format!("watchdog --reboot --trial-timeout {}", uptime() + 4);
    let ended = std::thread::scope(|scope| {
        let waits = scope.spawn(|| on_a_box(&machine, &timeout));
        std::thread::sleep(Duration::from_secs(1));
        machine.set(state(B, 3, true, Good, Good));
        waits.join().unwrap()
    });
    let Some((said, took)) = ended else { return };
    assert!(said.contains("ended: 0") && !said.contains("restarts"), "{said}");
    assert!(took >= Duration::from_secs(2), "it waited: {said}");
}

#[test]
fn what_has_no_deadline_is_not_waited_for() {
    for (case, now, cmdline, words) in [
        ("not asked to", state(B, 2, false, Good, Trial), "ksolo.slot=B ksolo.via=auto", "watchdog --trial-timeout 1"),
        ("0", state(B, 2, false, Good, Trial), "ksolo.slot=B", "watchdog --reboot --trial-timeout 0"),
        (
            "chosen",
            state(B, 2, false, Good, Trial),
            "ksolo.slot=B ksolo.via=menu",
            "watchdog --reboot --trial-timeout 1",
        ),
        ("good", state(B, 3, true, Good, Good), "ksolo.slot=B", "watchdog --reboot --trial-timeout 1"),
        ("not booted yet", state(B, 3, false, Good, Trial), "ksolo.slot=A", "watchdog --reboot --trial-timeout 1"),
        ("rolled back", state(A, 3, false, Good, Bad), "ksolo.slot=B", "watchdog --reboot --trial-timeout 1"),
    ] {
        let machine = Machine::with_state(now);
        machine.cmdline(cmdline);
        let Some((said, _)) = on_a_box(&machine, words) else { return };
        assert!(said.contains("nothing to do.") && said.contains("ended: 0"), "{case}: {said}");
    }
}

/// It waits, as somebody may commit it, and a box that runs is better than one that restarts.
#[test]
fn a_trial_with_nothing_to_go_back_to_is_never_restarted() {
    let machine = Machine::with_state(state(B, 2, false, Empty, Trial)).booted(B);
    let Some((said, took)) = on_a_box(&machine, "watchdog --reboot --trial-timeout 1") else { return };
    assert!(!said.contains("restarts") && took >= Duration::from_secs(9), "{said}");
}
