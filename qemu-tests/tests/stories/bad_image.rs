//! A slot whose files are not what was installed: GRUB sees it by their sums, and the other slot comes back by itself.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::rig::{BOOT, GRUB, Rig};

const ACTIVATED: &str = "active_slot=B boot_counter=3 boot_success=0 slot_A=good slot_B=trial";
const SEEN: &str = "is not what was installed";

/// The archive would end early, and `/init` could mount nothing.
pub fn flipped_bits_in_the_initramfs_of_a_trial(rig: &mut Rig) -> Result {
    rig.image.env_edit(ACTIVATED)?;
    rig.image.rot(Slot::B, "kubesolo-os.gz", 64)?;
    a_is_back(rig)
}

/// The kernel would say "System halted", and stand still for ever.
pub fn zeros_in_the_kernel_of_a_trial(rig: &mut Rig) -> Result {
    rig.image.env_edit(ACTIVATED)?;
    let mut kernel = rig.image.ext4_read(Slot::B.into(), "vmlinuz")?;
    let middle = kernel.len() / 2;
    kernel.iter_mut().skip(middle).take(64 * 1024).for_each(|byte| *byte = 0);
    rig.image.ext4_write(Slot::B.into(), "vmlinuz", &kernel)?;
    a_is_back(rig)
}

fn a_is_back(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.wait_for(SEEN, GRUB)?;
    machine.boots(Slot::A, "good")?;
    rig.image.env()?.expect("active_slot=A boot_counter=2 slot_A=good slot_B=bad rollback_from=B retry_slot=")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=bad")
}

/// A steady boot looks at no sums: it ends as it may, and the next one looks.
pub fn flipped_bits_in_a_good_slot(rig: &mut Rig) -> Result {
    rig.image.rot(Slot::A, "kubesolo-os.gz", 64)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    // It ends by itself, or comes up without what was damaged, degraded, and says so until somebody restarts it.
    if machine.wait_for_any(&[SEEN, "ksolo: system up"], 2 * BOOT)?.0 == 1 {
        machine.power_cut();
        machine = rig.power_on()?;
        machine.wait_for(SEEN, GRUB)?;
    }
    machine.boots(Slot::B, "good")?;
    rig.image.env()?.expect("active_slot=B slot_A=bad slot_B=good rollback_from=A retry_slot=")?;
    machine.init_ends("go on (slot B, good)")?;
    Ok(())
}
