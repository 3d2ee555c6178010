//! The shipped image boots from what people's machines have, and its watchdog runs. docs/image.md has the table.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::bus::Bus;
use qemu_tests::failure::Result;
use qemu_tests::follow::INIT_STARTS;
use qemu_tests::rig::{BOOT, COMMAND, LOAD, Rig};
use qemu_tests::{ensure, shell};

pub fn boots_from_virtio_blk(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::VirtioBlk)
}

pub fn boots_from_virtio_scsi(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::VirtioScsi)
}

pub fn boots_from_nvme(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::Nvme)
}

pub fn boots_from_sata(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::Ahci)
}

pub fn boots_from_ide(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::Ide)
}

pub fn boots_from_a_usb_stick(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::Usb)
}

/// The shipped image boots from there, and all of it works.
pub fn boots_from(rig: &mut Rig, bus: Bus) -> Result {
    rig.take_shipped_image()?;
    comes_up_from(rig, bus)
}

/// The same for the rig's image.
pub fn comes_up_from(rig: &mut Rig, bus: Bus) -> Result {
    rig.bus = bus;
    rig.image.hurry_grub()?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.wait_for(INIT_STARTS, LOAD)?;
    // Nothing but the image asks for it.
    machine.wait_for("watchdog: resets the box 60 s after the last keepalive", BOOT)?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    let first = status.lines().next().unwrap_or_default();
    ensure!(first.contains("Running slot A (good)") && first.ends_with(bus.disk()), "status: {status}");
    Ok(())
}
