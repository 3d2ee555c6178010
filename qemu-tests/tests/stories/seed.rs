//! A stick with a NoCloud seed sets a box up on its first boot, before anything is decided, and once.

use std::fs;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Result, Step};
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, host, shell};

const USER_DATA: &str = "#cloud-config\nupdates:\n  server: http://updates.invalid/\n  mark: init\nhostname: box\n";

pub fn seed_sets_a_box_up_once(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=B boot_counter=3 boot_success=0 slot_A=good slot_B=trial")?;
    let user_data = rig.work().join("user-data");
    fs::write(&user_data, USER_DATA).step(|| format!("write {}", user_data.display()))?;
    let stick = rig.work().join("seed.img");
    let name = stick.to_string_lossy().into_owned();
    host::run("truncate", ["-s", "8M", &name])?;
    host::run("mkfs.fat", ["-n", "CIDATA", &name])?;
    host::run("mcopy", ["-i", &name, &user_data.to_string_lossy(), "::user-data"])?;
    rig.add_disk(&stick);

    // `mark: init` of the seed counts from this boot on: nobody else commits the trial.
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.comes_up(Slot::B)?;
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;
    let conf = shell::must(&mut machine, "cat /etc/kubesolo/update.conf", COMMAND)?;
    ensure!(conf.contains("server=http://updates.invalid/") && conf.contains("mark=init"), "update.conf: {conf}");

    let edit = "echo channel=edge >>/var/lib/kubesolo/update/update.conf; sync";
    shell::must(&mut machine, edit, COMMAND)?;
    machine.power_cut();
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::B)?;
    let conf = shell::must(&mut machine, "cat /etc/kubesolo/update.conf", COMMAND)?;
    ensure!(conf.contains("channel=edge"), "the same seed undid what was changed by hand: {conf}");
    Ok(())
}
