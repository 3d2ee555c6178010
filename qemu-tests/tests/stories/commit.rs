//! A trial that was committed stays, also when the power goes the moment after.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::shell;

pub fn committed_trial_stays(rig: &mut Rig) -> Result {
    rig.image.env_edit("active_slot=B boot_counter=3 boot_success=0 slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.init_ends("go on (slot B, trial)")?;
    machine.comes_up(Slot::B)?;
    rig.image.env()?.expect("active_slot=B boot_counter=2 boot_success=0 slot_B=trial")?;
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;

    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.comes_up(Slot::B)
}
