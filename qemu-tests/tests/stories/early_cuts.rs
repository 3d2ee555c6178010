//! Boots of a good slot that end before `init`: it is left for one visit to the other good slot, and then tried again.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::follow::standing;
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, Rig};

/// Somebody plays with the plug.
pub fn a_good_slot_is_not_lost_to_power_cuts_before_init(rig: &mut Rig) -> Result {
    rig.image.skip_grub_waits()?;
    for left in [2, 1, 0] {
        let mut machine = rig.power_on()?;
        machine.boots(Slot::A, &standing("good", left))?;
        machine.power_cut();
    }
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    rig.image.env()?.expect("active_slot=B slot_A=good slot_B=good rollback_from=A retry_slot=A")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect("slot_A=good slot_B=good rollback_from= retry_slot=A")?;

    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    rig.image
        .env_of_both_copies()?
        .expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good rollback_from= retry_slot=")
}

/// It has its tries once more, and then the other one stays.
pub fn a_good_slot_that_never_gets_up_again(rig: &mut Rig) -> Result {
    rig.image.skip_grub_waits()?;
    rig.image.env_edit("active_slot=A boot_counter=1 boot_success=0 slot_A=good slot_B=good")?;
    rig.image.install(Slot::A, System::Reboots)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good, 0 boots left")?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    machine.boots(Slot::B, "good")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.power_cut();
    let mut machine = rig.power_on()?;
    for left in [2, 1, 0] {
        machine.boots(Slot::A, &standing("good", left))?;
        machine.wait_for(System::LAST_WORDS, BOOT)?;
    }
    machine.boots(Slot::B, "good")?;
    rig.image.env()?.expect("active_slot=B slot_A=bad slot_B=good rollback_from=A retry_slot=")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.power_cut();
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")
}
