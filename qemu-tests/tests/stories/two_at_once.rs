//! A timer and a person start an installation at the same time: one does it, the other says so and changes nothing.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::release::noise;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, ensure_eq, shell};

const BUSY: u8 = 8;

pub fn two_updates_at_once(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let (_server, publisher) = rig.add_update_server("slow/")?;
    publisher.publish("1.1.0", &noise(1, 100_000), &noise(2, 2_000_000))?;
    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;

    let both = "for who in one two; do (kubesolo-boot apply >/run/$who 2>&1; echo $? >/run/$who.code) & done; wait; \
                cat /run/one /run/two; cat /run/one.code /run/two.code | sort | tr '\\n' ' '";
    let said = shell::must(&mut machine, both, COMMAND)?;
    ensure!(said.ends_with(&format!("0 {BUSY}")), "exit codes: {said}");
    ensure_eq!(said.matches("another kubesolo-boot is at work").count(), 1, "refusals in {said}");
    ensure_eq!(said.matches("Version 1.1.0 is installed in slot B.").count(), 1, "installations in {said}");
    rig.image.env_of_both_copies()?.expect("active_slot=A slot_A=good slot_B=staged")
}
