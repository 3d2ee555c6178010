//! A box without a network is updated from a stick that somebody brings.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::release::{Publisher, noise};
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, host, shell};

pub fn update_from_a_usb_stick(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let folder = rig.work().join("release");
    let publisher = Publisher::new(rig.work(), folder.clone())?;
    publisher.publish("1.1.0", &noise(1, 1_000_000), &noise(2, 1_000_000))?;
    rig.image.configure("http://unreachable.invalid/", &publisher.public_key()?, "")?;
    let stick = rig.work().join("stick.img");
    let name = stick.to_string_lossy().into_owned();
    host::run("truncate", ["-s", "8M", &name])?;
    host::run("mkfs.fat", ["-n", "STICK", &name])?;
    host::run("mcopy", ["-s", "-i", &name, &folder.to_string_lossy(), "::kubesolo"])?;
    rig.add_disk(&stick);

    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    shell::must(&mut machine, "mount -t vfat -o ro /dev/vdb /mnt", COMMAND)?;
    let offer = shell::must(&mut machine, "kubesolo-boot check /mnt/kubesolo", COMMAND)?;
    ensure!(offer.contains("Version 1.1.0 is available; version 1.0.0 runs."), "check: {offer}");
    let applied = shell::must(&mut machine, "kubesolo-boot apply /mnt/kubesolo", BOOT)?;
    ensure!(applied.contains("Version 1.1.0 is installed in slot B."), "apply: {applied}");
    rig.image.env_of_both_copies()?.expect("active_slot=A slot_A=good slot_B=staged")?;
    // The stick is not needed any more.
    shell::must(&mut machine, "umount /mnt && kubesolo-boot activate", COMMAND)?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 slot_A=good slot_B=trial")
}
