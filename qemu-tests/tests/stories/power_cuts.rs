//! A shop that switches the box off every evening: in ten power cuts a good slot does not lose its standing.
//!
//! Five come the moment after `init`, five in the running system; each leaves the block's bytes as they were, so the next
//! cut finds the box as the first did.

use kubesolo_boot::slot::Slot;
use qemu_tests::envblock::{FIRST, SECOND};
use qemu_tests::failure::Result;
use qemu_tests::rig::Rig;
use qemu_tests::ensure;

pub fn five_power_cuts_after_init(rig: &mut Rig) -> Result {
    five_times(rig, false)
}

pub fn five_power_cuts_of_a_running_system(rig: &mut Rig) -> Result {
    five_times(rig, true)
}

fn five_times(rig: &mut Rig, to_the_end: bool) -> Result {
    rig.image.skip_grub_waits()?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    let block = rig.image.esp_read(FIRST)?;
    for _ in 0..5 {
        let mut machine = rig.power_on()?;
        machine.boots(Slot::A, "good, 2 boots left")?;
        machine.init_ends("go on (slot A, good)")?;
        if to_the_end {
            machine.comes_up(Slot::A)?;
        }
        machine.power_cut();
        ensure!(rig.image.esp_read(FIRST)? == block, "the block has changed");
        ensure!(rig.image.esp_read(SECOND)? == block, "the second copy has changed");
    }
    Ok(())
}
