//! A slot that holds nothing, or what nobody has activated, is not booted by itself, however bad the active one is.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::follow::standing;
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, Rig};

/// A trial that never comes up, with nothing to go back to.
pub fn empty_slot_is_never_booted(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=A boot_counter=2 boot_success=0 slot_A=trial slot_B=empty")?;
    rig.image.install(Slot::A, System::Reboots)?;
    let mut machine = rig.power_on()?;
    for left in [1, 0, 2] {
        machine.boots(Slot::A, &format!("trial, {left} boots left"))?;
        machine.wait_for(System::LAST_WORDS, BOOT)?;
    }
    rig.image.env()?.expect("active_slot=A slot_A=trial slot_B=empty rollback_from=")
}

/// A good slot that has broken, beside an update that was never activated; at last its kernel is gone as well.
pub fn staged_slot_is_never_booted(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=A boot_counter=1 boot_success=0 slot_A=good slot_B=staged")?;
    rig.image.install(Slot::A, System::Reboots)?;
    let mut machine = rig.power_on()?;
    for left in [0, 2] {
        machine.boots(Slot::A, &standing("good", left))?;
        machine.wait_for(System::LAST_WORDS, BOOT)?;
    }
    machine.power_cut();

    rig.image.ext4_delete(Slot::A.into(), "vmlinuz")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good, 1 boots left")?;
    machine.wait_for("ksolo: slot A does not load", BOOT)?;
    machine.boots(Slot::A, "good")?;
    machine.wait_for("ksolo: nothing to boot", BOOT)?;
    rig.image.env()?.expect("active_slot=A slot_A=good slot_B=staged rollback_from=")
}
