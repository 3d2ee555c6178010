//! An update that boots and is never committed gets its three boots; then the old version is back and names the bad one.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

pub fn bad_update_is_given_up(rig: &mut Rig) -> Result {
    rig.image.skip_grub_waits()?;
    rig.end_at_reset();
    let (_server, publisher) = rig.add_update_server("")?;
    publisher.publish_system(&rig.image, "1.1.0", System::Restarts)?;

    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    shell::must(&mut machine, "kubesolo-boot apply", BOOT)?;
    machine.type_line("kubesolo-boot activate --reboot")?;
    // From here on nobody touches the box.
    for left in [2, 1, 0] {
        machine = rig.restarted(machine)?;
        machine.boots(Slot::B, &format!("trial, {left} boots left"))?;
        machine.init_ends("go on (slot B, trial)")?;
        machine.wait_for(System::LAST_WORDS, BOOT)?;
    }
    machine = rig.restarted(machine)?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=bad")?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot A (good), version 1.0.0"), "status: {status}");
    ensure!(status.contains("rolled_back: 1.0.0 to 1.1.0"), "status: {status}");
    ensure!(status.contains("slot B (version 1.1.0) was given up"), "status: {status}");
    Ok(())
}
