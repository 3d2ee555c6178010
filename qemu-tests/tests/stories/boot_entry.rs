//! A boot entry of the UEFI firmware goes by the ESP's GUID: then that one stays the image's, and all others change.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::image::{Image, Part};
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, ensure_eq, shell};

use super::grows::GROW;

const ENTRY: &str = "/mnt/Boot0099-8be4df61-93ca-11d2-aa0d-00e098032b8c";

pub fn a_boot_entry_keeps_the_guid_it_goes_by(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let image = rig.image.guids();
    // Not before there is such an entry.
    rig.image.own_conf("grow=no\n")?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    shell::must(&mut machine, "mount -t efivarfs efivarfs /mnt", COMMAND)?;
    let entry: String = entry(&rig.image).iter().map(|byte| format!("\\{byte:03o}")).collect();
    // A variable is written at once, or not at all.
    shell::must(&mut machine, &format!("printf '{entry}' >/tmp/entry"), COMMAND)?;
    shell::must(&mut machine, &format!("cat /tmp/entry >{ENTRY}"), COMMAND)?;
    let said = shell::must(&mut machine, "kubesolo-boot grow --grow yes", GROW)?;
    ensure!(said.contains("KSOLOEFI keeps its GUID"), "grow: {said}");
    machine.power_cut();
    rig.image.verify_table()?;
    rig.image.reread()?;
    let own = rig.image.guids();
    ensure_eq!(own[0], image[0], "the ESP's GUID");
    ensure!((1..4).all(|part| own[part] != image[part]), "the GUIDs are {own:?}, the image's were {image:?}");

    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.comes_up(Slot::A)?;
    let said = shell::must(&mut machine, "kubesolo-boot grow --grow yes", GROW)?;
    ensure_eq!(said, "", "what a second run says");
    Ok(())
}

/// Attributes of the variable and the entry "box", active: the ESP by its number, place, size and GUID, and GRUB on it.
fn entry(image: &Image) -> Vec<u8> {
    let esp = image.extent(Part::Esp);
    let utf16 = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let sector = |bytes: u64| (bytes / 512).to_le_bytes();
    let partition =
        [&[4, 1, 42, 0, 1, 0, 0, 0][..], &sector(esp.start), &sector(esp.len), &on_disk(&esp.guid), &[2, 2]].concat();
    let name = utf16("\\EFI\\BOOT\\BOOTX64.EFI");
    let file = [&[4, 4, 4 + name.len() as u8, 0], &name[..], &[0x7f, 0xff, 4, 0]].concat();
    let path = [partition, file].concat();
    let head = [&7_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &(path.len() as u16).to_le_bytes()].concat();
    [head, utf16("box"), path].concat()
}

/// A GUID's bytes: the first three fields are little-endian.
fn on_disk(guid: &str) -> Vec<u8> {
    let digits: String = guid.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap_or_default();
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte).to_vec()
}
