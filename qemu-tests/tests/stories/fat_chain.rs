//! What a power cut leaves of a copy that another tool was writing: a directory entry that promises more than the FAT chain
//! holds, or a file system without room. GRUB takes the other copy, `init` mends both, and what was to be written is.

use std::collections::HashSet;

use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use qemu_tests::dice::Dice;
use qemu_tests::envblock::{FIRST, SECOND};
use qemu_tests::failure::Result;
use qemu_tests::image::Part;
use qemu_tests::judge::{Judge, System};
use qemu_tests::repair::Condition;
use qemu_tests::replayed::Replayed;
use qemu_tests::rig::{COMMAND, Rig};
use qemu_tests::{ensure, host, shell};

/// One slot good, the other empty: a boot that is not marked would show.
const STEADY: &str = "active_slot=A boot_counter=2 boot_success=0 slot_A=good slot_B=empty";

/// Leaves the first `whole` bytes of a copy, and an entry that claims `claimed`.
fn cut_chain(rig: &Rig, copy: &str, whole: usize, claimed: u32) -> Result {
    let block = rig.image.esp_read(copy)?;
    rig.image.esp_write(copy, &block[..whole])?;
    rig.image.esp_claim_length(copy, claimed)
}

pub fn a_broken_fat_chain_is_mended(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    // Half of it, nothing of it, and more claimed than a block has.
    for (copy, whole, claimed) in
        [(FIRST, 512, 1024), (FIRST, 0, 1024), (FIRST, 1024, 2000), (SECOND, 512, 1024), (SECOND, 0, 1024)]
    {
        rig.note(&format!("{copy}: {whole} bytes, {claimed} claimed"));
        rig.image.env_edit(STEADY)?;
        cut_chain(rig, copy, whole, claimed)?;
        is_mended(rig)?;
    }
    Ok(())
}

pub fn a_folder_in_the_place_of_a_copy_makes_way(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_edit(STEADY)?;
    rig.image.esp_delete(SECOND)?;
    rig.image.esp_make_folder(SECOND)?;
    is_mended(rig)
}

fn is_mended(rig: &Rig) -> Result {
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good, 1 boots left")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=empty")?;
    ensure!(rig.image.repaired(Part::Esp)?.condition != Condition::Broken, "the ESP is broken");
    Ok(())
}

/// The power may go at any write of the mending: GRUB finds the state of one copy or of the other, and nothing older.
pub fn mending_a_fat_chain_replayed(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    // A state of long ago, which the clusters that are free now still hold.
    rig.image.env_edit("active_slot=B boot_counter=3 boot_success=1 slot_A=empty slot_B=good")?;
    let old = rig.image.esp_read(FIRST)?;
    for number in 0..4 {
        rig.image.esp_write(&format!("old{number}"), &old)?;
    }
    for number in 0..4 {
        rig.image.esp_delete(&format!("old{number}"))?;
    }
    rig.image.env_edit(STEADY)?;
    cut_chain(rig, FIRST, 512, 1024)?;
    let start = rig.work().join("start.img");
    host::run("cp", ["--sparse=always".as_ref(), rig.image.path().as_os_str(), start.as_os_str()])?;
    rig.record_writes();
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good, 1 boots left")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.power_cut();
    let log = rig.recorded()?;

    let file = |name| rig.image.ext4_read(Part::SlotA, name);
    let mut judge = Judge::new(vec![System { kernel: file("vmlinuz")?, initramfs: file("kubesolo-os.gz")? }]);
    let mut disk = Replayed::new(&start, rig.work().join("replayed.img"))?;
    let (mut dice, mut seen) = (Dice::new(1), HashSet::new());
    let (mut by_the_second, mut by_the_first) = (0, 0);
    for epoch in log.epochs() {
        for cut in log.cuts(&epoch, &mut dice) {
            let (which, verdict) =
                disk.at_cut(&log, &cut, |disk| Ok((disk.fingerprint_of_all(), judge.judge(disk)?)))?;
            if !seen.insert(which) {
                continue;
            }
            // That fsck.fat and mtools make another file of a broken chain is nothing new.
            let wrong: Vec<_> = verdict.wrong.into_iter().filter(|wrong| !wrong.starts_with("ESP: ")).collect();
            ensure!(wrong.is_empty(), "{cut}: {}", wrong.join("; "));
            let known =
                |state: BootState| (state.active, state.a, state.b) == (Slot::A, SlotState::Good, SlotState::Empty);
            ensure!(verdict.state.is_some_and(known), "{cut}: the block says {:?}", verdict.state);
            *(if verdict.second_copy { &mut by_the_second } else { &mut by_the_first }) += 1;
        }
        disk.go_on(&log, epoch)?;
    }
    eprintln!(
        "mending replayed: {} disks, {by_the_second} go by the second copy, {by_the_first} by the first",
        seen.len()
    );
    ensure!(by_the_second > 0 && by_the_first > 0, "{by_the_second} by the second copy, {by_the_first} by the first");
    Ok(())
}

/// Nobody knows which slot was good: the one that runs is on trial, and that can be committed.
pub fn both_fat_chains_broken(rig: &mut Rig) -> Result {
    rig.image.env_edit("active_slot=A boot_counter=2 boot_success=0 slot_A=trial slot_B=empty")?;
    cut_chain(rig, FIRST, 512, 1024)?;
    cut_chain(rig, SECOND, 0, 1024)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "none, none boots left")?;
    machine.init_ends("go on (slot A, trial)")?;
    machine.comes_up(Slot::A)?;
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_success=1 slot_A=good")?;
    ensure!(rig.image.repaired(Part::Esp)?.condition != Condition::Broken, "the ESP is broken");
    Ok(())
}

/// There is no room for a new first copy: the second takes the commit, GRUB goes by it, and both are whole when there is
/// room again.
pub fn a_full_esp_takes_a_commit(rig: &mut Rig) -> Result {
    const REC: &str = "FSCK0000.REC";
    rig.image.env_edit("active_slot=B boot_counter=3 boot_success=0 slot_A=good slot_B=trial")?;
    cut_chain(rig, FIRST, 512, 1024)?;
    rig.image.esp_fill(REC)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.init_ends("go on (slot B, trial)")?;
    machine.comes_up(Slot::B)?;
    let said = shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    ensure!(said.contains("warning: one copy of the env block is safe") && said.contains("FSCK*.REC"), "{said}");
    machine.power_cut();
    rig.image.env_of(SECOND)?.expect("active_slot=B boot_counter=3 boot_success=1 slot_B=good")?;

    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.power_cut();
    rig.image.esp_delete(REC)?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::B, "good")?;
    machine.init_ends("go on (slot B, good)")?;
    machine.power_cut();
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_B=good")
}
