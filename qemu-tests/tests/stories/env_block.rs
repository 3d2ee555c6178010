//! The block is damaged in every way that users of others report. The box boots, and repairs it.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::envblock::{FIRST, SECOND};
use qemu_tests::failure::Result;
use qemu_tests::rig::Rig;

pub fn both_copies_corrupt(rig: &mut Rig) -> Result {
    let garbage = b"\0not a block\n".repeat(79)[..1024].to_vec();
    rig.image.esp_write(FIRST, &garbage)?;
    rig.image.esp_write(SECOND, &garbage)?;
    boots_and_repairs(rig)
}

/// What grub-editenv leaves when the power goes between its truncation and its write.
pub fn both_copies_empty(rig: &mut Rig) -> Result {
    rig.image.esp_write(FIRST, b"")?;
    rig.image.esp_write(SECOND, b"")?;
    boots_and_repairs(rig)
}

pub fn both_copies_missing(rig: &mut Rig) -> Result {
    rig.image.esp_delete(FIRST)?;
    rig.image.esp_delete(SECOND)?;
    boots_and_repairs(rig)
}

/// Nobody can say which slot was good: A is booted, and is on trial.
fn boots_and_repairs(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "none, none boots left")?;
    machine.init_ends("go on (slot A, trial)")?;
    machine.comes_up(Slot::A)?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=0 slot_A=trial slot_B=staged")
}

/// One copy knows that B was committed: it is believed, whichever it is.
pub fn only_one_copy(rig: &mut Rig) -> Result {
    let committed = "active_slot=B boot_counter=3 boot_success=1 slot_A=bad slot_B=good";
    rig.image.env_edit(committed)?;
    rig.image.esp_write(FIRST, b"")?;
    one_boot(rig)?;
    rig.image.env_of_both_copies()?.expect(committed)?;

    rig.image.esp_delete(SECOND)?;
    one_boot(rig)?;
    rig.image.env_of_both_copies()?.expect(committed)
}

fn one_boot(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.power_cut();
    Ok(())
}
