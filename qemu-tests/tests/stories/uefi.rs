//! What only UEFI can do: keep a panic in its variables, and boot from disks with large sectors.

use qemu_tests::bus::Bus;
use qemu_tests::failure::Result;
use qemu_tests::rig::Rig;
use qemu_tests::{host, paths};

use super::{hardware, last_boots};

/// A variable holds one KiB: the message stands in one and the trace in another.
pub fn panic_is_told_by_efi_variables(rig: &mut Rig) -> Result {
    last_boots::panic_is_kept(rig)
}

/// Sectors of 4096 bytes.
pub fn boots_from_a_4k_native_disk(rig: &mut Rig) -> Result {
    let image = rig.work().join("4k.img");
    let [kernel, initramfs] = ["vmlinuz", "kubesolo-os.gz"].map(paths::shipped_system);
    let words =
        ["--sector-size", "4096", "--size-slot", "64", "--size-data", "64", "--kernel"].map(std::ffi::OsStr::new);
    let files =
        [kernel.as_os_str(), "--initramfs".as_ref(), initramfs.as_os_str(), "--out".as_ref(), image.as_os_str()];
    host::run(&paths::workspace().join("image/build").to_string_lossy(), words.into_iter().chain(files))?;
    rig.take_image(&image)?;
    hardware::comes_up_from(rig, Bus::VirtioBlk4k)
}
