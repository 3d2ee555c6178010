//! A box finds an update on a web server, installs it, boots it on trial, and keeps it.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

pub fn update_from_the_web(rig: &mut Rig) -> Result {
    rig.image.skip_grub_waits()?;
    rig.end_at_reset();
    let (_server, publisher) = rig.add_update_server("")?;
    publisher.publish_system(&rig.image, "1.1.0", System::Normal)?;

    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.comes_up_with_network(Slot::A)?;
    let offer = shell::must(&mut machine, "kubesolo-boot check", COMMAND)?;
    ensure!(offer.contains("Version 1.1.0 is available; version 1.0.0 runs."), "check: {offer}");
    ensure!(offer.contains("This is 1.1.0."), "check shows the release notes: {offer}");
    let applied = shell::must(&mut machine, "kubesolo-boot apply", BOOT)?;
    ensure!(applied.contains("Version 1.1.0 is installed in slot B."), "apply: {applied}");
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=staged")?;

    machine.type_line("kubesolo-boot activate --reboot")?;
    let mut machine = rig.restarted(machine)?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.init_ends("go on (slot B, trial)")?;
    machine.comes_up(Slot::B)?;
    let release = shell::must(&mut machine, "cat /etc/release", COMMAND)?;
    ensure!(release == "1.1.0", "what runs: {release}");
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot B (good), version 1.1.0"), "status: {status}");
    ensure!(status.contains("success: 1.0.0 to 1.1.0"), "status: {status}");
    Ok(())
}
