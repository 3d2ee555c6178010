//! A second disk: a copy of the booted one that somebody left plugged in, or one that stalls.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Result, Step};
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, ensure_eq, host, shell};

const NO_DISK: u8 = 3;
const IO: u8 = 6;

/// The same image on two disks: at first only the block that GRUB counts tells them apart, then the GUIDs that the first boot gave
/// the one; and a good slot has four boots like any other.
pub fn of_two_copies_the_booted_one_is_marked(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let copy = rig.work().join("copy.img");
    host::run("cp", ["--sparse=always".as_ref(), rig.image.path().as_os_str(), copy.as_os_str()])?;
    rig.add_disk(&copy);
    let untouched = sum(&copy)?;
    for boot in 1..=4 {
        let mut machine = rig.power_on()?;
        machine.boots(Slot::A, "good")?;
        machine.init_ends("go on (slot A, good)")?;
        machine.comes_up(Slot::A)?;
        if boot == 4 {
            // The block says by now what the copy's says; this boot still knows which one it is.
            let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
            ensure!(status.lines().any(|line| line.trim_end().ends_with(", on /dev/vda")), "status: {status}");
            let why = "Two disks have the same names; this is not /dev/vdb, for it has the partition that GRUB booted";
            ensure!(status.contains(why), "status: {status}");
            let json = shell::must(&mut machine, "kubesolo-boot status --json", COMMAND)?;
            ensure!(json.contains(r#""disk":"/dev/vda","disk_chosen_by":"partuuid""#), "status --json: {json}");
            shell::must(&mut machine, "kubesolo-boot env set note=here", COMMAND)?;
            let mounted = shell::must(&mut machine, "grep /var/lib/kubesolo /proc/mounts", COMMAND)?;
            ensure!(mounted.starts_with("/dev/vda4 "), "mounted: {mounted}");
        }
        machine.power_cut();
        rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good")?;
    }
    rig.image.env()?.expect("note=here")?;
    ensure_eq!(sum(&copy)?, untouched, "the copy");
    Ok(())
}

/// In a running system a second disk stalls for good: what does not need it is not held up, what does ends in time.
pub fn a_foreign_disk_that_stalls_holds_nothing_up(rig: &mut Rig) -> Result {
    let mut machine = beside_a_stalled_disk(rig)?;
    let found = shell::must(&mut machine, "echo $(kubesolo-boot find KSOLODATA)", COMMAND)?;
    ensure_eq!(found, "/dev/vda4", "what is found");
    shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;

    // Where no disk has the names, all of them are read; the shell waits for the end of what was said.
    shell::must(&mut machine, "mkdir /run/list && ln -s /sys/class/block/vdb /run/list/vdb", COMMAND)?;
    let find = "said=$(kubesolo-boot find KSOLODATA --sys /run/list --run /run/none --wait 15 2>&1); code=$?; echo $said; (exit $code)";
    let began = Instant::now();
    let reply = shell::run(&mut machine, find, BOOT)?;
    rig.note(&format!("find --wait 15 took {} s", began.elapsed().as_secs()));
    ensure_eq!(reply.status, NO_DISK, "exit code of find ({})", reply.text);
    ensure!(reply.text.contains("no answer came: vdb"), "find: {}", reply.text);

    // Nor is a restart, although what was written last cannot be synced.
    shell::must(&mut machine, "(dd if=/dev/zero of=/dev/vdb bs=4096 count=4 >/dev/null 2>&1 &)", COMMAND)?;
    shell::must(&mut machine, "kubesolo-boot slot set B good", COMMAND)?;
    machine.type_line("kubesolo-boot rollback --reboot")?;
    machine.wait_for("Slot B boots next.", COMMAND)?;
    machine.wait_for("ksolo: booting slot B (good)", BOOT + BOOT)?;
    Ok(())
}

/// Something is written to it when the restart has synced. If init, which syncs once more, hangs in that, it has killed everybody by
/// then, and the watchdog is left.
pub fn what_is_written_after_the_sync_holds_no_restart_up(rig: &mut Rig) -> Result {
    let mut machine = beside_a_stalled_disk(rig)?;
    let write = "dd if=/dev/zero of=/dev/vdb bs=4096 count=4";
    shell::must(
        &mut machine,
        &format!("((trap '{write}' TERM; while :; do usleep 100000; done) >/dev/null 2>&1 &)"),
        COMMAND,
    )?;
    shell::must(&mut machine, "kubesolo-boot slot set B good", COMMAND)?;
    machine.type_line("kubesolo-boot rollback --reboot")?;
    machine.wait_for("ksolo: booting slot B (good)", BOOT)?;
    Ok(())
}

/// A second disk that never answered from power-on: its driver waits for the partition table. All other drivers are loaded, and the
/// box comes up as ever.
pub fn a_foreign_disk_that_stalls_at_power_on(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let blank = blank_disk(rig)?;
    rig.add_stalled_disk(&blank);
    rig.add_network();
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.wait_for("module virtio_blk.ko is not done after 25 seconds: does a disk hang?", BOOT)?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good")?;
    // It comes behind the disk's driver.
    shell::must(&mut machine, "ls /sys/class/net/eth0", COMMAND)?;
    Ok(())
}

/// The box's own disk stalls for good.
pub fn a_verb_ends_when_the_disk_stalls(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    stall(&mut machine, "disk", "vda")?;
    let found = shell::must(&mut machine, "echo $(kubesolo-boot find KSOLODATA)", COMMAND)?;
    ensure_eq!(found, "/dev/vda4", "what is found");
    let reply = shell::run(
        &mut machine,
        "said=$(kubesolo-boot env set note=here 2>&1); code=$?; echo $said; (exit $code)",
        BOOT + BOOT,
    )?;
    ensure_eq!(reply.status, IO, "exit code of env set ({})", reply.text);
    ensure!(reply.text.contains("env: not done after 60 s: the disk does not answer"), "env set: {}", reply.text);
    Ok(())
}

/// A system that runs, with a second disk, `/dev/vdb`, that answers nothing more.
fn beside_a_stalled_disk(rig: &mut Rig) -> Result<Machine> {
    rig.image.hurry_grub()?;
    let blank = blank_disk(rig)?;
    rig.add_disk(&blank);
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    stall(&mut machine, "second", "vdb")?;
    Ok(machine)
}

/// From now on the disk answers nothing more: what it still has credit for, a read behind the table takes.
fn stall(machine: &mut Machine, drive: &str, node: &str) -> Result {
    machine.stall(drive)?;
    let read = format!("dd if=/dev/{node} of=/dev/null bs=1M count=2 skip=8");
    shell::must(machine, &format!("echo 3 >/proc/sys/vm/drop_caches; ({read} >/dev/null 2>&1 &)"), COMMAND).map(drop)
}

fn blank_disk(rig: &Rig) -> Result<PathBuf> {
    let disk = rig.work().join("blank.img");
    fs::write(&disk, vec![0; 16 << 20]).step(|| format!("write {}", disk.display()))?;
    Ok(disk)
}

fn sum(file: &std::path::Path) -> Result<String> {
    let answer = host::run("sha256sum", [file])?;
    Ok(String::from_utf8_lossy(&answer.stdout).split(' ').next().unwrap_or_default().to_owned())
}
