//! Keys that nobody pressed: a terminal that reports, a line that echoes. GRUB asks, waits its seconds, and boots.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::firmware::Firmware;
use qemu_tests::follow::GRUB_STARTS;
use qemu_tests::rig::{GRUB, Rig};

/// A terminal tells where its cursor is. It begins with ESC: the menu opens, and goes by.
pub fn stray_keys_at_the_question(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.wait_for(GRUB_STARTS, GRUB)?;
    machine.type_keys(b"\x1b[24;80R\x1bx")?;
    if rig.firmware == Firmware::Bios {
        machine.wait_for("ksolo: menu", GRUB)?;
        machine.type_keys(b"e\x1b[Ac\r")?;
    }
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    Ok(())
}

/// Every byte comes back. OVMF would take the echo of its own escape sequences for a wish to see its setup: there the line
/// begins to echo at GRUB's question.
pub fn a_line_that_echoes(rig: &mut Rig) -> Result {
    let mut machine = rig.power_on()?;
    if rig.firmware != Firmware::Bios {
        machine.wait_for(GRUB_STARTS, GRUB)?;
    }
    machine.echo();
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    Ok(())
}
