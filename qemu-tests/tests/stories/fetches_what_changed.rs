//! Three releases in a row: of each only what changed crosses the wire, by the server's own count, also where the power goes in
//! the middle of it. A server without ranges gives all of it, once.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::image::Image;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::release::noise;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

/// What the first release has that the box has not: long enough for a resume point to lie in it.
const ADDED: u64 = 9_000_000;
/// At least so much of that is not fetched again after the power cut.
const KEPT: u64 = 1_000_000;
/// A line that changed: a few chunks of at most 64 KiB, and the index.
const SMALL: u64 = 300_000;

pub fn updates_fetch_what_changed(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.end_at_reset();
    let (server, publisher) = rig.add_update_server("")?;
    let url = server.url();
    let added = noise(7, ADDED as usize);
    let publish = |image: &Image, version: &str| {
        publisher.publish_system_with(image, version, System::Normal, &[("etc/added", &added)])
    };

    let len = publish(&rig.image, "1.1.0")?;
    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    machine.type_line(&format!("kubesolo-boot apply --server {url}slow/ 2>&1 | cat"))?;
    machine.wait_for("kubesolo-os.gz: 90 %", BOOT)?;
    machine.power_cut();
    rig.image.env()?.expect("active_slot=A slot_B=empty")?;
    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    let applied = apply(&mut machine, "")?;
    ensure!(applied.contains("kubesolo-os.gz: resuming at "), "1.1.0: {applied}");
    ensure!(applied.contains("Version 1.1.0 is installed in slot B."), "1.1.0: {applied}");
    rig.image.env()?.expect("slot_B=staged")?;
    let mut machine = boots(rig, machine, Slot::B, "1.1.0")?;
    // What the box has stands first in the file.
    let asked = server.asked()?;
    ensure!(!asked.contains("\"bytes=0-"), "1.1.0: what the box has is asked for: {asked}");
    let rest = server.sent("kubesolo-os-1.1.0.gz")?.pop().unwrap_or_default();
    ensure!((1..ADDED - KEPT).contains(&rest), "1.1.0: {rest} bytes in the second run of {len}: {asked}");
    // One byte is the look at it.
    let sent: u64 = server.sent("vmlinuz-1.1.0")?.iter().sum();
    ensure!(sent <= 2, "1.1.0: {sent} bytes of the kernel that runs");

    let len = publish(&rig.image, "1.2.0")?;
    apply(&mut machine, "")?;
    let mut machine = boots(rig, machine, Slot::A, "1.2.0")?;
    let sent: u64 =
        [server.sent("kubesolo-os-1.2.0.gz")?, server.sent("kubesolo-os-1.2.0.gz.idx")?].iter().flatten().sum();
    ensure!(sent < SMALL, "1.2.0: {sent} bytes of {len}");

    let len = publish(&rig.image, "1.3.0")?;
    apply(&mut machine, &format!("--server {url}whole/"))?;
    boots(rig, machine, Slot::B, "1.3.0")?;
    let whole = server.sent("kubesolo-os-1.3.0.gz")?.iter().filter(|sent| **sent == len).count();
    ensure!(whole == 1, "1.3.0: given whole {whole} times: {}", server.asked()?);
    Ok(())
}

fn apply(machine: &mut Machine, flags: &str) -> Result<String> {
    shell::must(machine, &format!("kubesolo-boot apply {flags} 2>&1 | cat"), BOOT)
}

/// What was applied boots in this slot, and is committed.
fn boots(rig: &Rig, mut machine: Machine, slot: Slot, version: &str) -> Result<Machine> {
    machine.type_line("kubesolo-boot activate --reboot")?;
    let mut machine = rig.restarted(machine)?;
    machine.comes_up_with_network(slot)?;
    let release = shell::must(&mut machine, "cat /etc/release", COMMAND)?;
    ensure!(release == version, "what runs: {release}");
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    Ok(machine)
}
