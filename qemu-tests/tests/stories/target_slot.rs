//! The other slot cannot take an update. The box says why, and goes on as it is; once it is mended, the update comes.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::image::Part;
use qemu_tests::machine::Machine;
use qemu_tests::release::noise;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::server::Server;
use qemu_tests::{ensure, shell};

const IO: u8 = 6;
const REFUSED: u8 = 7;

pub fn target_is_full(rig: &mut Rig) -> Result {
    // More than what makes room when the slot's old system goes.
    let (_server, mut machine) = offered(rig, 30_000_000)?;
    let fill = "mount -t ext4 $(kubesolo-boot find KSOLOB) /mnt; dd if=/dev/zero of=/mnt/big bs=1M; umount /mnt";
    shell::run(&mut machine, fill, COMMAND)?;
    is_refused(rig, &mut machine, REFUSED, &["the target slot has", "are needed"])?;
    rig.image.env()?.expect("slot_B=good")?;

    let empty = "mount -t ext4 $(kubesolo-boot find KSOLOB) /mnt && rm /mnt/big && umount /mnt";
    shell::must(&mut machine, empty, COMMAND)?;
    installs(rig, &mut machine)
}

/// A broken download of a version that is not offered any more takes the room of the one that is.
pub fn leftovers_of_another_version_make_room(rig: &mut Rig) -> Result {
    rig.image.ext4_write(Part::SlotB, "kubesolo-os.gz.0123456789abcdef.part", &vec![1; 20_000_000])?;
    let (_server, mut machine) = offered(rig, 10_000_000)?;
    installs(rig, &mut machine)
}

/// Superblock and group descriptors are gone.
pub fn target_is_no_filesystem(rig: &mut Rig) -> Result {
    rig.image.wipe(Part::SlotB, 64 * 1024)?;
    let (_server, mut machine) = offered(rig, 500_000)?;
    is_refused(rig, &mut machine, REFUSED, &["KSOLOB (/dev/vda3): no ext4 filesystem", "e2fsck"])?;
    rig.image.env()?.expect("slot_B=good")
}

/// It can be mounted, and shows what is wrong with it at the first write.
pub fn target_filesystem_is_damaged(rig: &mut Rig) -> Result {
    rig.image
        .debugfs(Part::SlotB, &["set_block_group 0 block_bitmap_csum 0xbad", "set_block_group 0 checksum calc"])?;
    let (_server, mut machine) = offered(rig, 500_000)?;
    is_refused(rig, &mut machine, IO, &["KSOLOB/vmlinuz", "its filesystem is damaged: check it with e2fsck -f"])?;
    rig.image.env()?.expect("slot_B=empty")?;
    // From then on it is known, and nothing more is written.
    is_refused(rig, &mut machine, REFUSED, &["errors on record", "e2fsck"])?;

    shell::run(&mut machine, "e2fsck -fy $(kubesolo-boot find KSOLOB)", COMMAND)?;
    installs(rig, &mut machine)
}

fn offered(rig: &mut Rig, initramfs: usize) -> Result<(Server, Machine)> {
    rig.image.hurry_grub()?;
    let (server, publisher) = rig.add_update_server("")?;
    publisher.publish("1.1.0", &noise(1, 300_000), &vec![2; initramfs])?;
    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    Ok((server, machine))
}

fn is_refused(rig: &Rig, machine: &mut Machine, exit: u8, because: &[&str]) -> Result {
    let reply = shell::run(machine, "kubesolo-boot apply", BOOT)?;
    let said = because.iter().all(|words| reply.text.contains(words));
    ensure!(reply.status == exit && said, "apply exits with {}: {}", reply.status, reply.text);
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good")?;
    let status = shell::must(machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot A (good)"), "status: {status}");
    Ok(())
}

fn installs(rig: &Rig, machine: &mut Machine) -> Result {
    let applied = shell::must(machine, "kubesolo-boot apply", BOOT)?;
    ensure!(applied.contains("Version 1.1.0 is installed in slot B."), "apply: {applied}");
    rig.image.env_of_both_copies()?.expect("active_slot=A slot_A=good slot_B=staged")
}
