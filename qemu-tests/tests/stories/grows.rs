//! The image is written to a larger disk: the first boot gives the data partition all of it, and the disk GUIDs of its own.

use std::time::Duration;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::image::Part;
use qemu_tests::machine::Machine;
use qemu_tests::repair::Condition;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, ensure_eq, shell};

const GIB: u64 = 1 << 30;
/// Longest wait for a disk that grows.
pub const GROW: Duration = Duration::from_secs(240);

pub fn a_larger_disk_is_filled(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let image = rig.image.guids();
    rig.image.enlarge(16 * GIB)?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    grow(&mut machine)?;
    ensure!(size(&mut machine)? > 15 * GIB, "the filesystem has {} bytes", size(&mut machine)?);
    shell::must(&mut machine, "echo kept >/var/lib/kubesolo/file; sync", COMMAND)?;
    machine.power_cut();

    rig.image.verify_table()?;
    rig.image.reread()?;
    ensure_eq!(rig.image.extent(Part::State).len >> 20, (16 << 10) - 132, "MiB of the data partition");
    let own = rig.image.guids();
    for (part, (own, image)) in Part::ALL.iter().zip(own.iter().zip(&image)) {
        // Without a look at the firmware's boot entries, the ESP keeps its own.
        let is_new = own != image && own.as_bytes()[14] == b'4';
        ensure!(is_new || *part == Part::Esp && own == image, "GUID of {part:?}: {own}, of the image: {image}");
    }

    // GRUB tells the new GUID, and there is nothing more to do.
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    let told = shell::must(&mut machine, "cat /proc/cmdline", COMMAND)?;
    ensure!(told.contains(&format!("ksolo.partuuid={}", own[1])), "what GRUB told: {told}");
    ensure_eq!(grow(&mut machine)?, "", "what a second run says");
    ensure_eq!(shell::must(&mut machine, "cat /var/lib/kubesolo/file", COMMAND)?, "kept", "the file");
    shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    machine.power_cut();
    rig.image.reread()?;
    ensure_eq!(rig.image.guids(), own, "GUIDs after the second boot");
    ensure!(rig.image.repaired(Part::State)?.condition != Condition::Broken, "e2fsck cannot mend the filesystem");
    Ok(())
}

/// Runs the verb; gives what it said.
pub fn grow(machine: &mut Machine) -> Result<String> {
    shell::must(machine, "kubesolo-boot grow", GROW)
}

/// Bytes of the filesystem on the data partition.
pub fn size(machine: &mut Machine) -> Result<u64> {
    let told = shell::must(machine, "df -k /var/lib/kubesolo | tail -n 1", COMMAND)?;
    let kib = told.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    Ok(kib.unwrap_or_default() << 10)
}
