//! `/init` comes to no end: its dead-man restarts the box, and GRUB counts.

use std::fs;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Result, Step};
use qemu_tests::initrd::System;
use qemu_tests::rig::{BOOT, Rig};
use qemu_tests::{ensure_eq, paths};

/// Everything that it waits for hangs; its quarter of an hour is half a minute here.
pub fn a_trial_whose_init_hangs_is_restarted(rig: &mut Rig) -> Result {
    const WAIT: &str = "sleep 900\n";
    let file = paths::workspace().join("initramfs/init");
    let init = fs::read_to_string(&file).step(|| format!("read {}", file.display()))?;
    ensure_eq!(init.matches(WAIT).count(), 1, "times that /init has {WAIT:?}");
    let init = init.replace(WAIT, "sleep 30\n");
    let hangs = b"#!/bin/sh\nwhile :; do sleep 1000; done\n";
    let files = [("init", init.as_bytes()), ("bin/kubesolo-boot", hangs)];
    let initramfs = rig.image.initramfs(Slot::B, System::Normal, &files)?;
    rig.image.ext4_write(Slot::B.into(), "kubesolo-os.gz", &initramfs)?;
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=B boot_counter=1 boot_success=0 slot_A=good slot_B=trial")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    machine.wait_for("ksolo-init: no hand-over after 15 minutes", BOOT)?;
    machine.wait_for("ksolo-init: reboot", BOOT)?;
    machine.boots(Slot::A, "good")?;
    // Where nothing hangs it is called off.
    let said = machine.wait_for("ksolo: system up", BOOT)?;
    ensure_eq!(said.matches("can't kill").count(), 0, "the dead-man of a boot that goes well: {said}");
    Ok(())
}
