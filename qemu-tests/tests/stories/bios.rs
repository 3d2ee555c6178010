//! What the shipped image boots from by a BIOS, and not by the UEFI that the tests have.

use std::fs::OpenOptions;

use qemu_tests::bus::Bus;
use qemu_tests::failure::{Result, Step};
use qemu_tests::rig::Rig;

use super::hardware::{boots_from, comes_up_from};

pub fn boots_from_an_sd_card(rig: &mut Rig) -> Result {
    rig.take_shipped_image()?;
    // A card's size is a power of two, and the image is smaller.
    let file = OpenOptions::new().write(true).open(rig.image.path());
    file.and_then(|file| file.set_len(4 << 30)).step(|| "enlarge the image".into())?;
    comes_up_from(rig, Bus::Sd)
}

pub fn boots_from_pvscsi(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::Pvscsi)
}

pub fn boots_from_megaraid(rig: &mut Rig) -> Result {
    boots_from(rig, Bus::MegaRaid)
}
