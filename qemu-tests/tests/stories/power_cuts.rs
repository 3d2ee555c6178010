//! A shop that switches the box off every evening: a good slot does not lose its standing.

use kubesolo_boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::rig::Rig;

pub fn ten_power_cuts_keep_a_good_slot(rig: &mut Rig) -> Result {
    // Ten count-downs are half of this story's time, and tell nothing.
    rig.image.skip_grub_waits()?;
    for _ in 0..10 {
        let mut machine = rig.power_on()?;
        machine.boots(Slot::A, "good, 2 boots left")?;
        machine.init_ends("go on (slot A, good)")?;
        machine.power_cut();
        rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    }
    Ok(())
}
