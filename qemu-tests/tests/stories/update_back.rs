//! A box that runs slot B gets its next update into slot A, over what it was delivered with.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::image::Part;
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

pub fn next_update_goes_into_the_first_slot(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.end_at_reset();
    rig.image.env_edit("active_slot=B")?;
    rig.image.ext4_write(Part::SlotB, "version", b"1.1.0\n")?;
    let (_server, publisher) = rig.add_update_server("")?;
    publisher.publish_system(&rig.image, "1.2.0", System::Normal)?;

    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    machine.comes_up_with_network(Slot::B)?;
    let applied = shell::must(&mut machine, "kubesolo-boot apply", BOOT)?;
    ensure!(applied.contains("Version 1.2.0 is installed in slot A."), "apply: {applied}");
    machine.type_line("kubesolo-boot activate --reboot")?;
    let mut machine = rig.restarted(machine)?;
    machine.boots(Slot::A, "trial, 2 boots left")?;
    machine.comes_up(Slot::A)?;
    let release = shell::must(&mut machine, "cat /etc/release && kubesolo-boot commit", COMMAND)?;
    ensure!(release.starts_with("1.2.0"), "what runs: {release}");
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot A (good), version 1.2.0"), "status: {status}");
    ensure!(status.contains("success: 1.1.0 to 1.2.0"), "status: {status}");
    Ok(())
}
