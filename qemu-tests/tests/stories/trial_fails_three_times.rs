//! An activated slot gets three boots. It spoils each in another way, and the fourth power-on is the old slot.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::failure::Result;
use qemu_tests::follow::PANIC;
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::shell;

const ACTIVATED: &str = "active_slot=B boot_counter=3 boot_success=0 slot_A=good slot_B=trial";

pub fn trial_fails_three_times(rig: &mut Rig) -> Result {
    rig.image.env_edit(ACTIVATED)?;
    rig.image.env()?.expect(ACTIVATED)?;
    rig.image.hurry_grub()?;

    rig.image.install(Slot::B, System::Panics)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    machine.wait_for(PANIC, BOOT)?;
    machine.power_cut();
    rig.image.env()?.expect("active_slot=B boot_counter=2 boot_success=0 slot_B=trial")?;

    rig.image.install(Slot::B, System::Reboots)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 1 boots left")?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    machine.power_cut();
    rig.image.env()?.expect("active_slot=B boot_counter=1 boot_success=0 slot_B=trial")?;

    rig.image.install(Slot::B, System::Hangs)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    machine.power_cut();
    rig.image.env()?.expect("active_slot=B boot_counter=0 boot_success=0 slot_B=trial")?;

    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    rig.image.env()?.expect("active_slot=A boot_counter=2 boot_success=0 slot_B=bad rollback_from=B")?;
    machine.init_ends("go on (slot A, good)")?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=bad")?;
    Ok(())
}

/// After those three, a person looks at the box.
pub fn status_says_why(rig: &mut Rig) -> Result {
    rig.image.env_edit("active_slot=B boot_counter=0 boot_success=0 slot_A=good slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.comes_up(Slot::A)?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    let why = status.lines().find(|line| line.trim_start().starts_with("B ")).unwrap_or_default();
    ensure!(why.contains("bad"), "status: {status}");
    ensure!(status.contains("was given up: no boot of it was committed"), "status: {status}");
    Ok(())
}

/// Nobody is there to switch the power off and on: `panic=` does it.
pub fn panic_resets_the_box(rig: &mut Rig) -> Result {
    rig.image.env_edit(ACTIVATED)?;
    rig.image.hurry_grub()?;
    rig.image.install(Slot::B, System::Panics)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.wait_for(PANIC, BOOT)?;
    machine.boots(Slot::B, "trial, 1 boots left")?;
    rig.image.env()?.expect("active_slot=B boot_counter=1 slot_B=trial")
}
