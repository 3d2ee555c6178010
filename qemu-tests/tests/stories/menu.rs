//! A person picks the other slot in GRUB's menu: it boots this once, and nothing is counted or marked.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::envblock::{FIRST, SECOND};
use qemu_tests::failure::Result;
use qemu_tests::grub::Entry;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, shell};

pub fn slot_chosen_by_hand(rig: &mut Rig) -> Result {
    // Had `init` taken this for a boot of slot A, the counter would be 3 again.
    rig.image.env_edit("active_slot=A boot_counter=1 boot_success=0 slot_A=good slot_B=staged")?;
    let before = (rig.image.esp_read(FIRST)?, rig.image.esp_read(SECOND)?);
    let mut machine = rig.power_on()?;
    machine.choose(Entry::SlotB, rig.firmware)?;
    machine.boots(Slot::B, "staged, 1 boots left")?;
    machine.init_ends("go on (slot B, staged)")?;
    machine.comes_up(Slot::B)?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("chosen by hand"), "status: {status}");
    machine.power_cut();
    ensure!(before == (rig.image.esp_read(FIRST)?, rig.image.esp_read(SECOND)?), "the block has changed");

    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good, 0 boots left")
}
