//! A person at the serial port asks GRUB for the emergency shell, looks around and goes back to the other slot.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::failure::Result;
use qemu_tests::follow::GRUB_STARTS;
use qemu_tests::grub::Entry;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::shell;

pub fn emergency_shell_rolls_back(rig: &mut Rig) -> Result {
    let block = rig.image.env_of_both_copies()?;
    let mut machine = rig.power_on()?;
    machine.choose(Entry::Emergency, rig.firmware)?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("emergency shell asked for")?;
    machine.wait_for(shell::PROMPT, BOOT)?;

    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot A (good)"), "status: {status}");
    let data = shell::must(&mut machine, "! grep -q kubesolo /proc/mounts", COMMAND);
    ensure!(data.is_ok(), "nothing is mounted in the emergency shell");
    ensure!(rig.image.env_of_both_copies()? == block, "the block is as it was");

    machine.type_line("kubesolo-boot rollback --reboot")?;
    machine.wait_for(GRUB_STARTS, BOOT)?;
    rig.image
        .env_of_both_copies()?
        .expect("active_slot=B boot_counter=3 boot_success=0 slot_A=good slot_B=good rollback_from=A")?;
    machine.boots(Slot::B, "good")?;
    machine.init_ends("go on (slot B, good)")?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=good slot_B=good")
}
