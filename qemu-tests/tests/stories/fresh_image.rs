//! A box out of the factory boots slot A, marks it good, and has its data partition.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::failure::Result;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::shell;

pub fn fresh_image(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    rig.image
        .env_of_both_copies()?
        .expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good rollback_from=")?;
    machine.comes_up(Slot::A)?;

    let mounts = shell::must(&mut machine, "cat /proc/mounts", COMMAND)?;
    let data = mounts.lines().find(|line| line.contains(" /var/lib/kubesolo ")).unwrap_or_default();
    ensure!(data.contains(" ext4 rw"), "data partition: found {data:?} in {mounts}");
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot A (good)"), "status: {status}");
    Ok(())
}
