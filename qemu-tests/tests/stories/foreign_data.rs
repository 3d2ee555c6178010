//! What is not our ext4 on the data partition is neither repaired nor mounted: the box runs without it, and says why.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Result, Step};
use qemu_tests::image::Part;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, shell};

/// Somebody encrypted it: what is left of our ext4 behind the header is not put together again, and nothing is written.
pub fn a_data_partition_of_another_kind_is_left_alone(rig: &mut Rig) -> Result {
    let extent = rig.image.extent(Part::State);
    let (start, len) = (extent.start, extent.len as usize);
    rig.image.wipe(Part::State, 4096)?;
    let file = OpenOptions::new().read(true).write(true).open(rig.image.path()).step(|| "open the image".into())?;
    file.write_all_at(b"LUKS\xba\xbe\x00\x02", start).step(|| "write a LUKS header".into())?;
    let content = || -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, start).step(|| "read the data partition".into())?;
        Ok(bytes)
    };
    let before = content()?;
    for _ in 0..2 {
        let mut machine = rig.power_on()?;
        machine.boots(Slot::A, "good")?;
        let reason = machine.init_ends("go on, degraded")?;
        ensure!(reason.contains("LUKS"), "why it is degraded: {reason}");
        machine.comes_up(Slot::A)?;
        let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
        ensure!(status.contains("Degraded ") && status.contains("LUKS"), "status: {status}");
        machine.power_cut();
        ensure!(content()? == before, "the data partition has changed");
    }
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_success=1 slot_A=good slot_B=good")
}
