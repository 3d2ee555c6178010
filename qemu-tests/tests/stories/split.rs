//! GRUB and Linux go by different blocks: it is named and recorded, and no update makes it worse.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::envblock::FIRST;
use qemu_tests::failure::{Failure, Result};
use qemu_tests::grub::{CFG, Entry};
use qemu_tests::image::Part;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

const REFUSED: u8 = 7;

pub fn forced_update_of_a_slot_chosen_by_hand(rig: &mut Rig) -> Result {
    let (_server, publisher) = rig.add_update_server("")?;
    publisher.publish_system(&rig.image, "1.1.0", System::Normal)?;
    let mut machine = rig.power_on()?;
    machine.choose(Entry::SlotB, rig.firmware)?;
    machine.boots(Slot::B, "good")?;
    machine.comes_up_with_network(Slot::B)?;
    is_named(&mut machine, "by_hand", "this slot was chosen by hand, and another is active")?;
    // With --force the slot that runs is the one that is meant, and the active one the target.
    shell::must(&mut machine, "kubesolo-boot apply --force", BOOT)?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=0 slot_A=staged slot_B=good")?;
    machine.power_cut();
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    machine.comes_up(Slot::B)?;
    is_resolved(&mut machine)
}

pub fn grub_that_cannot_save(rig: &mut Rig) -> Result {
    rig.fail_writes(Part::Esp)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.comes_up(Slot::A)?;
    is_named(&mut machine, "not_saved", "GRUB could not save that it counted this boot")
}

pub fn grub_with_another_block(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let shipped = rig.image.esp_read(CFG)?;
    let cfg = String::from_utf8(shipped.clone()).map_err(|error| Failure::new(format!("grub.cfg: {error}")))?;
    let other = cfg.replace("set first_copy=\"$prefix/grubenv\"", "set first_copy=\"$prefix/other\"");
    ensure!(other != cfg, "grub.cfg names its first copy in another way");
    rig.image.esp_write(CFG, other.as_bytes())?;
    let block = rig.image.esp_read(FIRST)?;
    rig.image.esp_write("boot/grub/other", &block)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.comes_up(Slot::A)?;
    is_named(&mut machine, "other_block", "GRUB goes by another env block than Linux finds")?;
    machine.power_cut();

    rig.image.esp_write(CFG, &shipped)?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    is_resolved(&mut machine)
}

fn is_named(machine: &mut Machine, word: &str, text: &str) -> Result {
    let status = shell::must(machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains(&format!("Mismatch    {text}")), "status: {status}");
    let json = shell::must(machine, "kubesolo-boot status --json", COMMAND)?;
    ensure!(json.contains(&format!(r#""split":"{word}""#)), "status --json: {json}");
    let reply = shell::run(machine, "kubesolo-boot apply /mnt", COMMAND)?;
    ensure!(reply.status == REFUSED && reply.text.contains(text), "apply exits with {}: {}", reply.status, reply.text);
    Ok(())
}

fn is_resolved(machine: &mut Machine) -> Result {
    let status = shell::must(machine, "kubesolo-boot status", COMMAND)?;
    ensure!(!status.contains("Mismatch"), "status: {status}");
    let reply = shell::run(machine, "kubesolo-boot apply /mnt", COMMAND)?;
    ensure!(reply.text.contains("/mnt/latest.json"), "apply exits with {}: {}", reply.status, reply.text);
    Ok(())
}
