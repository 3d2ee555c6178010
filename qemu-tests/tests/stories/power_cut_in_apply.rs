//! The power goes at 10 moments of an installation. The box runs slot A each time, and the next try succeeds.
//!
//! A moment is a seed's share of the time that an installation takes. Five moments a story; one box lives through them.

use std::time::{Duration, Instant};

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Failure, Result};
use qemu_tests::image::Part;
use qemu_tests::machine::Machine;
use qemu_tests::release::noise;
use qemu_tests::rig::{BOOT, Rig};
use qemu_tests::{ensure, shell};

pub fn power_cut_in_apply_1(rig: &mut Rig) -> Result {
    cut(rig, 1)
}

pub fn power_cut_in_apply_2(rig: &mut Rig) -> Result {
    cut(rig, 6)
}

const KERNEL: usize = 200_000;
const INITRAMFS: usize = 500_000;

fn cut(rig: &mut Rig, first_seed: u64) -> Result {
    rig.image.hurry_grub()?;
    let (_server, publisher) = rig.add_update_server("slow/")?;
    let publish = |seed| publisher.publish(&format!("1.1.{seed}"), &noise(seed, KERNEL), &noise(seed + 100, INITRAMFS));
    publish(0)?;
    let mut machine = comes_up(rig)?;
    let takes = installs(rig, &mut machine, 0)?;

    for seed in first_seed..first_seed + 5 {
        let share = noise(seed, 2).iter().fold(0, |share, byte| share * 256 + u32::from(*byte));
        let moment = takes * share / 65_536;
        let told = format!("seed {seed}, power cut after {} ms of {}", moment.as_millis(), takes.as_millis());
        rig.note(&told);
        publish(seed)?;
        machine.type_line("kubesolo-boot apply --json")?;
        // The wait is the moment: what ends it early, the end of the installation, is one as well.
        drop(machine.wait_for(r#""staged""#, moment));
        machine.power_cut();
        machine = comes_up(rig)
            .and_then(|mut machine| installs(rig, &mut machine, seed).map(|_| machine))
            .map_err(|failure| Failure::new(format!("{told}: {failure}")))?;
    }
    Ok(())
}

fn comes_up(rig: &Rig) -> Result<Machine> {
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up_with_network(Slot::A)?;
    Ok(machine)
}

/// The files are in slot B, whole, and the block says so. Gives how long that took.
fn installs(rig: &Rig, machine: &mut Machine, seed: u64) -> Result<Duration> {
    let began = Instant::now();
    let applied = shell::must(machine, "kubesolo-boot apply", BOOT)?;
    let takes = began.elapsed();
    ensure!(applied.contains("installed in slot B."), "apply: {applied}");
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=staged")?;
    ensure!(rig.image.ext4_read(Part::SlotB, "vmlinuz")? == noise(seed, KERNEL), "the kernel in slot B is another");
    let initramfs = rig.image.ext4_read(Part::SlotB, "kubesolo-os.gz")?;
    ensure!(initramfs == noise(seed + 100, INITRAMFS), "the initramfs in slot B is another");
    Ok(takes)
}
