//! A disk that GRUB read, and that Linux sees only after half a minute, as some USB disks: it is waited for, and nobody is blamed.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::bus::Bus;
use qemu_tests::failure::Result;
use qemu_tests::follow::INIT_STARTS;
use qemu_tests::rig::{BOOT, LOAD, Rig};

pub fn a_trial_waits_for_a_late_usb_disk(rig: &mut Rig) -> Result {
    rig.take_shipped_image()?;
    rig.bus = Bus::Usb;
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=B boot_counter=1 boot_success=0 slot_A=good slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.wait_for(INIT_STARTS, LOAD)?;
    machine.pull_stick()?;
    // Said every ten seconds.
    for _ in 0..3 {
        machine.wait_for("find: waiting for the disk with KSOLODATA", BOOT)?;
    }
    machine.put_stick_back(&rig.healthy_drive())?;
    machine.init_ends("go on (slot B, trial)")?;
    machine.comes_up(Slot::B)?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=0 boot_success=0 slot_A=good slot_B=trial")
}
