//! What GRUB cannot load is given up at once: no power-on is spent on it.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::failure::Result;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::shell;

pub fn kernel_is_missing(rig: &mut Rig) -> Result {
    rig.image.ext4_delete(Slot::A.into(), "vmlinuz")?;
    falls_back(rig)
}

pub fn initramfs_is_missing(rig: &mut Rig) -> Result {
    rig.image.ext4_delete(Slot::A.into(), "kubesolo-os.gz")?;
    falls_back(rig)
}

/// The superblock and the group descriptors are gone.
pub fn filesystem_is_unreadable(rig: &mut Rig) -> Result {
    rig.image.wipe(Slot::A.into(), 64 * 1024)?;
    falls_back(rig)
}

fn falls_back(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.boots(Slot::B, "good")?;
    rig.image.env()?.expect("active_slot=B boot_counter=2 boot_success=0 slot_A=bad slot_B=good rollback_from=A")?;
    machine.init_ends("go on (slot B, good)")?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=bad slot_B=good")?;
    machine.comes_up(Slot::B)?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot B (good)"), "status: {status}");
    Ok(())
}
