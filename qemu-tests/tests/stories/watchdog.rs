//! A box with a hardware watchdog, and nobody beside it.

use std::fs;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::bus::Bus;
use qemu_tests::failure::{Result, Step};
use qemu_tests::follow::INIT_STARTS;
use qemu_tests::image::Part;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, LOAD, Rig};
use qemu_tests::{ensure_eq, paths, shell};

use super::last_boots::ended;

/// That the old slot comes back after three tries, and not before, others tell.
const LAST_TRY: &str = "active_slot=B boot_counter=1 boot_success=0 slot_A=good slot_B=trial";

pub fn a_trial_that_hangs_hard_ends_in_the_old_slot(rig: &mut Rig) -> Result {
    rig.add_watchdog();
    prepare(rig, System::HangsHard, "watchdog=10\n")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    machine.wait_for(INIT_STARTS, LOAD)?;
    machine.wait_for("watchdog: resets the box 10 s after the last keepalive", BOOT)?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    machine.wait_for("end Kernel panic", COMMAND)?;
    machine.boots(Slot::A, "good")?;
    machine.wait_for(INIT_STARTS, LOAD)?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=bad")?;
    ended(&mut machine, &["hang"])
}

pub fn a_fed_trial_lives_and_is_committed(rig: &mut Rig) -> Result {
    rig.add_watchdog();
    prepare(rig, System::Normal, "watchdog=4\n")?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    machine.comes_up(Slot::B)?;
    // /etc/start sends keepalives: three time-outs pass, and the box still answers.
    let began = seconds(&mut machine)?;
    while seconds(&mut machine)? < began + 12 {}
    shell::must(&mut machine, "pidof kubesolo-boot", COMMAND)?;
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    shell::must(&mut machine, "while pidof kubesolo-boot; do usleep 100000; done", COMMAND)?;
    // And now it is stopped.
    let began = seconds(&mut machine)?;
    while seconds(&mut machine)? < began + 8 {}
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=good slot_B=good")
}

/// The board's own: Intel's TCO.
pub fn a_trial_whose_real_init_loops_is_reset_by_the_board(rig: &mut Rig) -> Result {
    rig.wire_the_boards_watchdog();
    ends_in_the_old_slot(rig, "iTCO_wdt")
}

/// A board that has none.
pub fn a_trial_whose_real_init_loops_is_reset_by_softdog(rig: &mut Rig) -> Result {
    rig.bus = Bus::Ide;
    ends_in_the_old_slot(rig, "Software Watchdog")
}

/// Nobody set anything up in the shipped image, but a shorter time-out.
fn ends_in_the_old_slot(rig: &mut Rig, watchdog: &str) -> Result {
    rig.take_shipped_image()?;
    rig.image.hurry_grub()?;
    rig.end_at_reset();
    rig.image.install(Slot::B, System::Loops)?;
    rig.image.own_conf("watchdog=10\n")?;
    rig.image.env_edit(LAST_TRY)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 0 boots left")?;
    machine.wait_for(INIT_STARTS, LOAD)?;
    machine.wait_for("watchdog: resets the box 10 s after the last keepalive", BOOT)?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    machine = rig.restarted(machine)?;
    machine.boots(Slot::A, "good")?;
    machine.wait_for(INIT_STARTS, LOAD)?;
    machine.comes_up(Slot::A)?;
    let which = shell::must(&mut machine, "cat /sys/class/watchdog/watchdog0/identity", COMMAND)?;
    ensure_eq!(which, watchdog, "the watchdog");
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=bad")
}

/// Slot B is on trial and does this; both slots have a kernel that knows the watchdog.
fn prepare(rig: &mut Rig, system: System, conf: &str) -> Result {
    rig.image.hurry_grub()?;
    for (slot, part, system) in [(Slot::A, Part::SlotA, System::Normal), (Slot::B, Part::SlotB, system)] {
        for name in ["vmlinuz", "kubesolo-os.gz"] {
            let file = paths::shipped_system(name);
            let content = fs::read(&file).step(|| format!("read {}: run `make image`", file.display()))?;
            rig.image.ext4_write(part, name, &content)?;
        }
        let initramfs = rig.image.initramfs(slot, system, &[("etc/kubesolo/update.conf", conf.as_bytes())])?;
        rig.image.ext4_write(part, "kubesolo-os.gz", &initramfs)?;
        rig.image.seal(slot)?;
    }
    rig.image.env_edit(LAST_TRY)
}

/// How long the guest has been up.
fn seconds(machine: &mut Machine) -> Result<u64> {
    let uptime = shell::must(machine, "cut -d. -f1 /proc/uptime", COMMAND)?;
    uptime.parse().step(|| format!("/proc/uptime: {uptime}"))
}
