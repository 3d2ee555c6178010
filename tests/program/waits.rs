//! Waits have an end, whatever a disk or a name server does. A disk that stalls is an image file whose reads strace holds
//! up.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::scene::machine::{Machine, state};
use crate::scene::{Ran, binary, run, tool};

use kubesolo_core::boot::slot::Slot::A;
use kubesolo_core::boot::slot::SlotState::{Good, Staged};

/// Longer than any wait of the program, in seconds.
const STALL: u64 = 600;

/// A disk in the kernel's list, with these partitions.
fn list(machine: &Machine, disk: &str, names: &[&str]) {
    let entry = |node: &str, folder: &str, uevent: String| {
        machine.folder.write(&format!("{folder}/uevent"), uevent);
        symlink(format!("../{folder}"), machine.folder.path(&format!("sys/{node}"))).unwrap();
        machine.folder.write(&format!("dev/{node}"), [0; 4096]);
    };
    let folder = format!("devices/pci0000:00/block/{disk}");
    entry(disk, &folder, format!("DEVNAME={disk}\nDEVTYPE=disk\nDISKSEQ=1\n"));
    for (number, name) in (1..).zip(names) {
        let node = format!("{disk}{number}");
        let uevent = format!("DEVNAME={node}\nDEVTYPE=partition\nDISKSEQ=1\nPARTN={number}\nPARTNAME={name}\n");
        entry(&node, &format!("{folder}/{node}"), uevent);
    }
}

fn ours(machine: &Machine, disk: &str) {
    list(machine, disk, &["KSOLOEFI", "KSOLOA", "KSOLOB", "KSOLODATA"]);
}

/// The flags of a machine whose block is on its disk.
fn flags(machine: &Machine) -> Vec<String> {
    machine.flags_of("find")
}

/// Runs a verb on a machine whose disk `stalls`; `None` without strace.
fn run_stalled(machine: &Machine, stalls: &str, words: &str, flags: &[String]) -> Option<Ran> {
    run_held_up(machine, &machine.folder.text(stalls), "pread64", words, flags)
}

/// Runs a verb whose every such system call on that file is held up; `None` without strace. Its output is a file: strace stays
/// for as long as it holds a call up, and would hold a pipe open.
fn run_held_up(machine: &Machine, path: &str, call: &str, words: &str, flags: &[String]) -> Option<Ran> {
    let strace = tool("strace")?;
    let hold = format!("inject={call}:delay_enter={STALL}s");
    let trace = format!("trace={call}");
    let [out, err] = ["stdout", "stderr"].map(|name| fs::File::create(machine.folder.path(name)).unwrap());
    let mut child = Command::new(strace)
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", &trace, "-e", &hold, binary()])
        .args(words.split(' '))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .unwrap();
    let exit = child.wait().unwrap().code().unwrap_or(-1);
    let group = rustix::process::Pid::from_child(&child);
    // Those left behind, and strace.
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap_or_default();
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| machine.folder.read(name).unwrap());
    // What strace itself complains of is nothing that the program said.
    let stderr = String::from_utf8(stderr).unwrap();
    let said = stderr.split_inclusive('\n').filter(|line| !line.contains("strace: "));
    Some(Ran { exit, stdout, stderr: said.collect() })
}

#[test]
fn a_foreign_disk_that_stalls_is_not_touched() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    list(&machine, "sda", &["", "Windows"]);
    ours(&machine, "sdb");
    let began = Instant::now();
    let Some(ran) = run_stalled(&machine, "dev/sda", "find KSOLODATA", &flags(&machine)) else { return };
    assert_eq!((ran.exit, ran.out().trim_end()), (0, &*machine.folder.text("dev/sdb4")), "{}", ran.stderr);
    assert!(began.elapsed().as_secs() < STALL);
}

/// No disk has our names, so that all are read: for labels.
#[test]
fn a_disk_that_does_not_answer_is_left_out_and_named() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    list(&machine, "sda", &[]);
    list(&machine, "sdb", &[]);
    let began = Instant::now();
    for words in ["find KSOLODATA", "find KSOLODATA --wait 3", "status"] {
        let Some(ran) = run_stalled(&machine, "dev/sda", words, &flags(&machine)) else { return };
        assert_eq!(ran.exit, 3, "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("There is: sdb; of these no answer came: sda"), "{words}: {}", ran.stderr);
    }
    let path = machine.folder.text("dev/sda");
    let words = format!("find KSOLODATA --disk {path}");
    let ran = run_stalled(&machine, "dev/sda", &words, &flags(&machine)).unwrap();
    assert_eq!(ran.exit, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{path}: does not answer")), "{}", ran.stderr);
    assert!(began.elapsed().as_secs() < STALL);
}

/// Of two disks with our names one stalls: it is a rival all the same.
#[test]
fn a_rival_that_does_not_answer_is_named() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    ours(&machine, "sda");
    ours(&machine, "sdb");
    let Some(ran) = run_stalled(&machine, "dev/sda", "find KSOLODATA", &flags(&machine)) else { return };
    assert_eq!(ran.exit, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("dev/sda (does not answer)"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("dev/sdb (does not answer)"), "{}", ran.stderr);
}

/// The data partition's own disk hangs. At shutdown, ten seconds of that are enough.
#[test]
fn a_verb_whose_disk_hangs_ends_and_says_so() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    machine.folder.write("data/update/boots", "0 id A good 2026-11-23T15:30:00Z\n");
    machine.folder.write("boot_id", "id\n");
    let began = Instant::now();
    let Some(ran) = run_stalled(&machine, "data/update/boots", "stopping", &machine.flags_of("stopping")) else {
        return;
    };
    assert_eq!((ran.exit, ran.out()), (6, ""), "{}", ran.stderr);
    let want = "kubesolo-boot: stopping: not done after 10 s: the disk does not answer; dmesg may say why\n";
    assert!(ran.stderr.ends_with(want), "{}", ran.stderr);
    assert!(began.elapsed().as_secs() < STALL);
}

/// The resolver's first look, at its file, takes for ever: so would a name server that does not answer.
#[test]
fn a_name_that_nobody_looks_up_in_time_is_given_up() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    let words = "healthcheck --healthcheck-timeout 0 --healthcheck-url http://updates.example/";
    let began = Instant::now();
    let Some(ran) = run_held_up(&machine, "/etc/resolv.conf", "openat", words, &machine.flags()) else { return };
    let want = "fetch http://updates.example/: look up the host: no name server answers in time; see /etc/resolv.conf";
    assert_eq!(ran.exit, 1, "{}", ran.stderr);
    assert!(ran.out().contains(want) || ran.stderr.contains(want), "{}{}", ran.out(), ran.stderr);
    assert!((9..STALL).contains(&began.elapsed().as_secs()));
}

#[test]
fn a_disk_that_turns_up_late_is_waited_for() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    machine.cmdline("ksolo.slot=A");
    let find = |seconds: &str| {
        let mut find = Command::new(binary());
        find.args(["find", "KSOLODATA", "--wait", seconds]).args(flags(&machine));
        find.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let began = Instant::now();
    let waiting = find("600");
    // It has said once what it waits for.
    while began.elapsed() < Duration::from_secs(11) {
        std::thread::sleep(Duration::from_millis(100));
    }
    list(&machine, "sda", &["Windows"]);
    ours(&machine, "sdb");
    let ran: Ran = waiting.wait_with_output().unwrap().into();
    assert_eq!((ran.exit, ran.out().trim_end()), (0, &*machine.folder.text("dev/sdb4")), "{}", ran.stderr);
    let said: Vec<_> = ran.stderr.lines().collect();
    let want = "kubesolo-boot: find: waiting for the disk with KSOLODATA: find disk: none of the disks";
    assert!(!said.is_empty() && said.iter().all(|line| line.starts_with(want)), "{}", ran.stderr);
}

#[test]
fn a_wait_ends() {
    let machine = Machine::with_state(state(A, 3, true, Good, Staged));
    for (seconds, exit) in [("0", 3), ("1", 3), ("-1", 2), ("soon", 2), ("4294967296", 2)] {
        let ran = run(
            binary(),
            ["find", "KSOLODATA", "--wait", seconds].into_iter().chain(flags(&machine).iter().map(String::as_str)),
            Path::new("/"),
        );
        assert_eq!((ran.exit, ran.out()), (exit, ""), "{seconds}: {}", ran.stderr);
    }
    // A disk with our names that is not the one that GRUB booted is taken when the time is over.
    ours(&machine, "sda");
    machine.cmdline("ksolo.slot=A ksolo.partuuid=00000000-0000-4000-8000-000002000001");
    let ran = machine.run("find KSOLODATA --wait 2");
    assert_eq!((ran.exit, ran.out().trim_end()), (0, &*machine.folder.text("dev/sda4")), "{}", ran.stderr);
    fs::remove_dir_all(machine.folder.path("sys")).unwrap();
    let ran = machine.run("find KSOLODATA --wait 1");
    assert_eq!(ran.exit, 3, "{}", ran.stderr);
}
