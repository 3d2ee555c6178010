//! The box's own disk stops to answer while `/init` runs: every wait there ends, and GRUB counts.

use std::time::Duration;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::rig::{BOOT, Rig};

/// Drivers, disk and boot stage each use up their time; the dead-man would come after 15 minutes.
const WAITS: Duration = Duration::from_secs(600);

pub fn a_trial_whose_disk_stalls_is_restarted(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=B boot_counter=1 boot_success=0 slot_A=good slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    machine.wait_for("ksolo-init: start", BOOT)?;
    machine.stall("disk")?;
    machine.wait_for("ksolo-init: reboot", WAITS)?;
    machine.release("disk")?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    Ok(())
}
