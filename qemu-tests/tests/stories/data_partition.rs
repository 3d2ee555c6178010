//! The data partition takes no writes: a trial is given up for it, and the good slot comes up without it and says so.

use kubesolo_boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::failure::Result;
use qemu_tests::image::Part;
use qemu_tests::rig::Rig;

pub fn trial_is_given_up_when_data_writes_fail(rig: &mut Rig) -> Result {
    rig.fail_writes(Part::State)?;
    falls_back_and_is_degraded(rig)
}

/// A filesystem that says of itself that it may only be read.
pub fn trial_is_given_up_when_data_is_read_only(rig: &mut Rig) -> Result {
    rig.image.debugfs(Part::State, &["feature read-only"])?;
    falls_back_and_is_degraded(rig)
}

fn falls_back_and_is_degraded(rig: &mut Rig) -> Result {
    rig.image.env_edit("active_slot=B boot_counter=1 boot_success=0 slot_A=good slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    let reason = machine.init_ends("reboot")?;
    ensure!(reason.contains("/var/lib/kubesolo"), "why it reboots: {reason}");
    // The reboot is the box's own.
    machine.boots(Slot::A, "good, 2 boots left")?;
    rig.image.env()?.expect("active_slot=A boot_counter=2 slot_B=bad rollback_from=B")?;
    let reason = machine.init_ends("go on, degraded")?;
    ensure!(reason.contains("/var/lib/kubesolo"), "why it is degraded: {reason}");
    machine.comes_up(Slot::A)?;
    // Trouble with data costs a good slot nothing.
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_success=1 boot_counter=3 slot_A=good slot_B=bad")
}
