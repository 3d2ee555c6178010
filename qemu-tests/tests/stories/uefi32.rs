//! A board whose firmware has 32 bits, and whose processor 64: GRUB is of its kind, the kernel is not.

use qemu_tests::bus::Bus;
use qemu_tests::failure::Result;
use qemu_tests::rig::Rig;

use super::hardware;

pub fn boots_by_32_bit_uefi(rig: &mut Rig) -> Result {
    hardware::boots_from(rig, Bus::VirtioBlk)
}
