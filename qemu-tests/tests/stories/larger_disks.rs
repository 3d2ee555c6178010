//! Larger disks on which growing is cut off, goes far, or is turned off.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use kubesolo_boot::flags::Flags;
use kubesolo_boot::host::Host;
use kubesolo_boot::linux::process::Process;
use kubesolo_core::boot::slot::Slot;
use qemu_tests::dice::Dice;
use qemu_tests::failure::{Failure, Result, Step};
use qemu_tests::grub_fstest;
use qemu_tests::image::Part;
use qemu_tests::powercut::{Cut, Fate};
use qemu_tests::repair::Condition;
use qemu_tests::replayed::Replayed;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::writelog::WriteLog;
use qemu_tests::{ensure, ensure_eq, host, shell};

use super::grows::{GROW, grow, size};

const GIB: u64 = 1 << 30;
/// Large enough for all that is tried while the power may go.
const DISK: u64 = GIB / 2;

/// What Linux really writes while a disk grows is recorded. The power may go at any of it: GRUB and Linux find their partitions,
/// e2fsck mends the filesystem, and at the moments between the steps the box boots and finishes.
pub fn power_cuts_while_it_grows(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.enlarge(DISK)?;
    let start = rig.work().join("start.img");
    host::run("cp", ["--sparse=always".as_ref(), rig.image.path().as_os_str(), start.as_os_str()])?;
    rig.record_writes();
    let mut machine = rig.power_on()?;
    // /init lets it grow before it hands over.
    machine.wait_for("ksolo-init: start", BOOT)?;
    let before = rig.recorded()?.events.len();
    machine.comes_up(Slot::A)?;
    ensure_eq!(grow(&mut machine)?, "", "what a second run says");
    shell::must(&mut machine, "sync", COMMAND)?;
    machine.power_cut();
    let log = rig.recorded()?;

    let mut disk = Replayed::new(&start, rig.work().join("replayed.img"))?;
    let mut dice = Dice::new(1);
    let (mut disks, mut moments) = (0, Vec::new());
    for epoch in log.epochs() {
        if epoch.end > before {
            let cuts = log.cuts(&epoch, &mut dice);
            // All of them where the table is written; of the filesystem's many, some.
            let step = if touches_the_table(&log, &epoch) { 1 } else { cuts.len() / 8 + 1 };
            for cut in cuts.iter().step_by(step) {
                disks += 1;
                let judged = |disk: &Replayed| {
                    judge(disk.image.path())?;
                    if step > 1 { mends(disk) } else { Ok(()) }
                };
                disk.at_cut(&log, cut, |disk| judged(disk).step(|| cut.to_string()))?;
            }
            if let Some(cut) = cuts.into_iter().rfind(|cut| cut.fate == Fate::After) {
                moments.push((epoch.clone(), cut, touches_the_table(&log, &epoch)));
            }
        }
        disk.go_on(&log, epoch)?;
    }
    eprintln!("grow: {disks} disks of a cut while it grows, {} flushes", moments.len());
    ensure!(disks > 60, "only {disks} disks");
    let (table, rest): (Vec<_>, Vec<_>) = moments.into_iter().partition(|(_, _, table)| *table);
    ensure_eq!(table.len(), 4, "flushes of the table: backup, primary entries, primary header, MBR");
    let of_table = table.last().map_or(0, |(epoch, ..)| epoch.start);
    let rest: Vec<_> = rest.into_iter().filter(|(epoch, ..)| epoch.start > of_table).collect();
    ensure!(!rest.is_empty(), "the filesystem's own flushes");

    // After the backup, between entries and header, after the header, and in the middle of the filesystem's growing.
    for (epoch, cut, _) in table[..3].iter().chain(&rest[..1]) {
        finishes(rig, &start, &log, epoch.start, cut).step(|| cut.to_string())?;
    }
    Ok(())
}

fn touches_the_table(log: &WriteLog, epoch: &std::ops::Range<usize>) -> bool {
    let end = DISK - 33 * 512;
    let mut writes = epoch.clone().filter_map(|place| log.write(place));
    writes.any(|write| write.at < 34 * 512 || write.at + write.bytes.len() as u64 > end)
}

/// What must hold after any cut.
fn judge(disk: &Path) -> Result {
    for (part, file) in [(Part::Esp, "boot/grub/grub.cfg"), (Part::SlotA, "version"), (Part::SlotB, "version")] {
        ensure!(grub_fstest::read(disk, part, file).is_some(), "GRUB does not find {file} of {part:?}");
    }
    let name = disk.to_string_lossy();
    let flags = Flags { disk: Some(&name), ..Flags::default() };
    let found = Host::new(&flags, Process::BARE).disk();
    let found = found.map_err(|error| Failure::new(format!("Linux finds no table: {error}")))?;
    ensure!(found.is_complete(), "a partition is missing");
    let answer = host::run("sgdisk", ["-p", &name])?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    ensure!(text.contains("KSOLODATA"), "sgdisk -p: {text}");
    Ok(())
}

/// The filesystem, which is in the middle of growing, comes right by what /init runs.
fn mends(disk: &Replayed) -> Result {
    let (image, data) = (disk.image.path(), disk.image.beside("growing.img"));
    let skip = format!("skip={}", disk.image.extent(Part::State).start >> 20);
    let files = [("if=", image), ("of=", &data)].map(|(word, file)| format!("{word}{}", file.display()));
    host::run("dd", [&files[0], &files[1], "bs=1M", "conv=sparse", &skip])?;
    let name = data.to_string_lossy();
    let code = host::exit_code("e2fsck", ["-p", &*name])?;
    ensure!(code < 4, "e2fsck -p: exit code {code}");
    ensure_eq!(host::exit_code("e2fsck", ["-fn", &*name])?, 0, "exit code of e2fsck -fn after e2fsck -p");
    Ok(())
}

/// Boots the disk that this cut leaves, and lets it grow on.
fn finishes(rig: &mut Rig, start: &Path, log: &WriteLog, epoch: usize, cut: &Cut) -> Result {
    let mut disk = Replayed::new(start, rig.work().join("cut.img"))?;
    disk.go_on(log, 0..epoch)?;
    disk.leave(log, cut)?;
    host::run("cp", ["--sparse=always".as_ref(), disk.image.path().as_os_str(), rig.image.path().as_os_str()])?;
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    grow(&mut machine)?;
    let bytes = size(&mut machine)?;
    ensure!(bytes > DISK / 100 * 65, "the filesystem has {bytes} bytes");
    ensure_eq!(grow(&mut machine)?, "", "what one more run says");
    shell::must(&mut machine, "sync", COMMAND)?;
    machine.power_cut();
    rig.image.verify_table()?;
    rig.image.reread()?;
    ensure!(rig.image.extent(Part::SlotA).guid.as_bytes()[14] == b'4', "the GUIDs are the image's");
    ensure!(rig.image.repaired(Part::State)?.condition != Condition::Broken, "e2fsck cannot mend the filesystem");
    Ok(())
}

/// From 32 MiB, to more than the blocks that mkfs set aside for descriptors are good for (32 GiB).
pub fn a_disk_of_two_tebibytes(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.enlarge(2048 * GIB)?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    let said = shell::must(&mut machine, "time kubesolo-boot grow", GROW)?;
    eprintln!("grow: 2 TiB: {said}");
    ensure!(size(&mut machine)? > 2000 * GIB, "the filesystem has {} bytes", size(&mut machine)?);
    ensure_eq!(grow(&mut machine)?, "", "what a second run says");
    shell::must(&mut machine, "dd if=/dev/zero of=/var/lib/kubesolo/file bs=1M count=8; sync", COMMAND)?;
    machine.power_cut();
    rig.image.verify_table()?;
    let mut machine = rig.power_on()?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    ensure!(size(&mut machine)? > 2000 * GIB, "the filesystem has {} bytes", size(&mut machine)?);
    Ok(())
}

pub fn no_growing_where_it_is_turned_off(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.enlarge(GIB)?;
    rig.image.own_conf("grow=no\n")?;
    let table = || -> Result<Vec<u8>> {
        let mut bytes = vec![0; 34 * 512];
        let file = File::open(rig.image.path()).step(|| "open the image".into())?;
        file.read_exact_at(&mut bytes, 0).step(|| "read the image".into())?;
        Ok(bytes)
    };
    let before = table()?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    let said = grow(&mut machine)?;
    ensure!(said.contains("grow=no"), "grow: {said}");
    machine.power_cut();
    ensure!(table()? == before, "the table changed");
    Ok(())
}
