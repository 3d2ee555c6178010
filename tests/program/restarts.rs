//! When the box restarts: `watchdog --reboot`, at the end of a trial that no health check sees, and `--reboot-in`. The box is namespaces
//! of its own, whose init says what it is asked for, so that nothing restarts this machine.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::scene::machine::{Machine, state};
use crate::scene::{binary, skipped};
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Bad, Empty, Good, Trial};

/// Its init restarts by ending, and all in it ends then. /proc is this machine's, but for the one file that would reset it.
const INIT: &str = "
    [ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger || exit 9
    mount -t tmpfs none /sys/fs/cgroup || exit 9
    trap 'echo init: restarts; exit' INT
    \"$@\" </dev/null &
    wait $!
    echo ended: $?
";

/// The same, and the verb runs in a container: when it has ended, all that is left in its cgroup is killed, as containerd does where the
/// processes are the host's.
const CONTAINER: &str = "
    [ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger || exit 9
    mount -t cgroup2 none /sys/fs/cgroup && mkdir /sys/fs/cgroup/$0 && [ -e /sys/fs/cgroup/$0/cgroup.kill ] ||
        { echo unshare: no cgroup v2; exit; }
    trap 'echo init: restarts; rmdir /sys/fs/cgroup/$0; exit' INT
    sh -c 'echo 0 >/sys/fs/cgroup/$0/cgroup.procs; exec \"$@\"' $0 \"$@\" </dev/null &
    wait $!
    echo ended: $?
    echo 1 >/sys/fs/cgroup/$0/cgroup.kill
    sleep 50 &
    wait $!
    echo init: nobody has asked
    rmdir /sys/fs/cgroup/$0
";

/// What the verb and init say; `None`, with a note, if there are no namespaces here. A busy machine takes its time for a sync.
fn on_a_box(machine: &Machine, init: &str, words: &str) -> Option<(String, Duration)> {
    on_a_box_within("60", machine, init, words)
}

fn on_a_box_within(seconds: &str, machine: &Machine, init: &str, words: &str) -> Option<(String, Duration)> {
    let began = Instant::now();
    let name = format!("kubesolo-boot-{}", std::process::id());
    let ran = Command::new("timeout")
        .args([
            "--signal=KILL",
            seconds,
            "unshare",
            "--map-root-user",
            "--mount",
            "--pid",
            "--cgroup",
            "--fork",
            "--kill-child",
        ])
        .args(["sh", "-c", init, &name, binary()])
        .args(words.split(' '))
        .args(machine.flags_of(words.split(' ').next().unwrap()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    if said.contains("unshare:") {
        skipped("no namespaces, or no cgroup v2");
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
    let Some((said, _)) = on_a_box(&machine, INIT, &format!("watchdog --reboot --trial-timeout {over}")) else {
        return;
    };
    assert!(said.contains("init: restarts"), "{said}");
    assert!(uptime() >= over, "too early: {said}");
    assert_eq!(machine.state(), state(B, 2, false, Good, Trial), "GRUB counts");
}

#[test]
fn a_watchdog_that_does_not_work_does_not_keep_a_trial() {
    let machine = trial();
    // It takes no time-out, being a file.
    machine.folder.write("dev/watchdog", "");
    let Some((said, _)) = on_a_box(&machine, INIT, "watchdog --reboot --trial-timeout 1 --watchdog 60") else { return };
    assert!(said.contains("set the time-out of") && said.contains("init: restarts"), "{said}");
}

#[test]
fn a_commit_in_time_ends_the_wait_and_nothing_restarts() {
    let machine = trial();
    let timeout = format!("watchdog --reboot --trial-timeout {}", uptime() + 4);
    let ended = std::thread::scope(|scope| {
        let waits = scope.spawn(|| on_a_box(&machine, INIT, &timeout));
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
        let Some((said, _)) = on_a_box(&machine, INIT, words) else { return };
        assert!(said.contains("nothing to do.") && said.contains("ended: 0"), "{case}: {said}");
    }
}

/// It waits, as somebody may commit it, and a box that runs is better than one that restarts.
#[test]
fn a_trial_with_nothing_to_go_back_to_is_never_restarted() {
    let machine = Machine::with_state(state(B, 2, false, Empty, Trial)).booted(B);
    let Some((said, took)) = on_a_box_within("10", &machine, INIT, "watchdog --reboot --trial-timeout 1") else {
        return;
    };
    assert!(!said.contains("restarts") && took >= Duration::from_secs(9), "{said}");
}

#[test]
fn a_job_has_ended_before_the_box_restarts() {
    let machine = trial();
    let Some((said, took)) = on_a_box(&machine, CONTAINER, "rollback --reboot-in 2") else { return };
    assert_eq!(said, "Slot A boots next.\nended: 0\ninit: restarts\n");
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!(machine.state(), state(A, 3, false, Good, Bad));
}

/// What stays in the container's cgroup would be killed with it, and nothing would restart.
#[test]
fn where_the_container_cannot_be_left_the_box_restarts_at_once() {
    let Some((said, took)) = on_a_box(&trial(), INIT, "rollback --reboot-in 300") else { return };
    assert_eq!(said, "Slot A boots next.\ninit: restarts\n");
    assert!(took < Duration::from_secs(50), "{took:?}");
}

#[test]
fn a_command_that_fails_restarts_nothing_and_a_wrong_time_changes_nothing() {
    let machine = Machine::with_state(state(A, 3, true, Good, Empty)).booted(A);
    let Some((said, _)) = on_a_box(&machine, INIT, "rollback --reboot-in 0") else { return };
    assert!(said.contains("ended: 7") && !said.contains("restarts"), "{said}");
    for time in ["301", "soon", "-1", ""] {
        let machine = trial();
        let ran = machine.run_words(&["rollback", &format!("--reboot-in={time}")]);
        assert_eq!(ran.exit, 2, "{time}: {}", ran.stderr);
        assert_eq!(machine.state(), state(B, 2, false, Good, Trial), "{time}");
    }
}
