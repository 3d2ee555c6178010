//! A shop that switches the box off every evening: in ten power cuts a good slot does not lose its standing.
//!
//! They come at four moments, one story each, so that none takes long. Each cut leaves the block's bytes as they were, so
//! the next one finds the box as the first did.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::envblock::{FIRST, SECOND};
use qemu_tests::failure::Result;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::shell;

pub fn two_power_cuts_after_init(rig: &mut Rig) -> Result {
    cut(rig, 2, |_| Ok(()))
}

pub fn three_power_cuts_at_the_handover(rig: &mut Rig) -> Result {
    cut(rig, 3, |machine| machine.wait_for("ksolo-init: handing over", BOOT).map(drop))
}

pub fn three_power_cuts_of_a_running_system(rig: &mut Rig) -> Result {
    cut(rig, 3, |machine| machine.comes_up(Slot::A))
}

pub fn two_power_cuts_after_a_look_at_the_box(rig: &mut Rig) -> Result {
    cut(rig, 2, |machine| {
        machine.comes_up(Slot::A)?;
        shell::must(machine, "kubesolo-boot status && kubesolo-boot probe", COMMAND).map(drop)
    })
}

fn cut(rig: &mut Rig, times: u8, moment: impl Fn(&mut Machine) -> Result) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    let block = rig.image.esp_read(FIRST)?;
    for _ in 0..times {
        let mut machine = rig.power_on()?;
        machine.boots(Slot::A, "good")?;
        machine.init_ends("go on (slot A, good)")?;
        moment(&mut machine)?;
        machine.power_cut();
        ensure!(rig.image.esp_read(FIRST)? == block, "the block has changed");
        ensure!(rig.image.esp_read(SECOND)? == block, "the second copy has changed");
    }
    Ok(())
}
