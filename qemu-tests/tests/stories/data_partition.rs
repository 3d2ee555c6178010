//! A sick data partition: one that takes no writes costs a trial its place, but no good slot; one that can be repaired is.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Result, Step};
use qemu_tests::image::Part;
use qemu_tests::rig::{BOOT, COMMAND, GRUB, Rig};
use qemu_tests::{ensure, shell};

pub fn trial_is_given_up_when_data_writes_fail(rig: &mut Rig) -> Result {
    rig.fail_writes(Part::State)?;
    falls_back_and_is_degraded(rig)
}

/// A filesystem that says of itself that it may only be read.
pub fn trial_is_given_up_when_data_is_read_only(rig: &mut Rig) -> Result {
    rig.image.debugfs(Part::State, &["feature read-only"])?;
    falls_back_and_is_degraded(rig)
}

fn falls_back_and_is_degraded(rig: &mut Rig) -> Result {
    rig.image.env_edit("active_slot=B boot_counter=1 boot_success=0 slot_A=good slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    let reason = machine.init_ends("reboot")?;
    ensure!(reason.contains("/var/lib/kubesolo"), "why it reboots: {reason}");
    // The reboot is the box's own.
    machine.boots(Slot::A, "good")?;
    rig.image.env()?.expect("active_slot=A boot_counter=2 slot_B=bad rollback_from=B")?;
    let reason = machine.init_ends("go on, degraded")?;
    ensure!(reason.contains("/var/lib/kubesolo"), "why it is degraded: {reason}");
    machine.comes_up(Slot::A)?;
    // Trouble with data costs a good slot nothing.
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_success=1 boot_counter=3 slot_A=good slot_B=bad")
}

/// A folder without its inode: `e2fsck -p` leaves what was in it to a person (exit code 4). Here there is none, so the whole check
/// mends that too, what it said is kept, and the rest of the data is there.
pub fn what_e2fsck_leaves_to_a_person_is_repaired(rig: &mut Rig) -> Result {
    rig.image.own_conf("grow=no\n")?;
    let file = rig.image.beside("file");
    std::fs::write(&file, b"lost and found\n").step(|| format!("write {}", file.display()))?;
    let write = format!("write {} folder/file", file.display());
    rig.image.debugfs(Part::State, &["mkdir folder", &write, "clri folder", "set_super_value state 2"])?;

    let mut machine = rig.power_on()?;
    machine.wait_for("exit code 4; checking all of it", GRUB + BOOT)?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    let said = shell::must(&mut machine, "cat /var/lib/kubesolo/update/e2fsck.txt", COMMAND)?;
    ensure!(said.contains("Unattached inode"), "e2fsck.txt: {said}");
    shell::must(&mut machine, "grep -r 'lost and found' /var/lib/kubesolo/lost+found", COMMAND)?;
    shell::must(&mut machine, "grep grow=no /etc/kubesolo/update.conf", COMMAND)?;
    shell::must(&mut machine, "grep '/var/lib/kubesolo ext4 rw,.*errors=remount-ro' /proc/mounts", COMMAND)?;
    machine.power_cut();

    // It was repaired for good.
    let mut machine = rig.power_on()?;
    let said = machine.wait_for("kubesolo-boot: init: go on (slot A, good)", GRUB + BOOT)?;
    ensure!(!said.contains("e2fsck"), "the second boot: {said}");
    Ok(())
}
