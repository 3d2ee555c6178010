//! The box says why its last boots ended. (A hang: `watchdog`; failed health: `health`.)

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

pub fn clean_stop_and_power_cut_are_told_apart(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.end_at_reset();
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    ended(&mut machine, &[])?;
    machine.type_line("reboot")?;
    let mut machine = rig.restarted(machine)?;
    machine.comes_up(Slot::A)?;
    ended(&mut machine, &["clean_stop"])?;
    machine.power_cut();
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    ended(&mut machine, &["power_cut", "clean_stop"])?;
    let json = shell::must(&mut machine, "kubesolo-boot status --json", COMMAND)?;
    let marks =
        r#""marks":["handed_over","stopped"],"degraded":null,"split":null,"ended":"clean_stop","last_words":""}]"#;
    ensure!(json.contains(marks), "status --json: {json}");
    Ok(())
}

pub fn panic_is_told(rig: &mut Rig) -> Result {
    rig.add_error_record();
    panic_is_kept(rig)
}

/// The firmware keeps it, wherever that is.
pub fn panic_is_kept(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    machine.type_line("echo c >/proc/sysrq-trigger")?;
    // By then it has kept its words; the power goes before it resets the box.
    machine.wait_for("Rebooting in 10 seconds", COMMAND)?;
    machine.power_cut();
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    let words = "Kernel panic - not syncing: sysrq triggered crash";
    ended(&mut machine, &[&format!("panic {words}")])?;
    let log = shell::must(&mut machine, "cat /var/lib/kubesolo/update/panic.txt", COMMAND)?;
    ensure!(log.contains(words) && log.contains("sysrq_handle_crash"), "panic.txt: {log}");
    // Told once: the next boot has its own end.
    machine.power_cut();
    let mut machine = rig.power_on()?;
    machine.boots(Slot::A, "good")?;
    machine.wait_for(shell::PROMPT, BOOT)?;
    ended(&mut machine, &["power_cut", &format!("panic {words}")])
}

/// What `status` says of the last boots, the newest first.
pub fn ended(machine: &mut Machine, want: &[&str]) -> Result {
    let status = shell::must(machine, "kubesolo-boot status", COMMAND)?;
    let told = status.lines().skip_while(|line| !line.starts_with("Last boots")).filter_map(|line| {
        let (_, boot) =
            line.split_once(" slot ").filter(|(label, _)| ["Last boots ", "           "].contains(label))?;
        boot.split_once("Z: ").map(|(_, end)| end.trim())
    });
    ensure!(
        told.clone().eq(want.iter().copied()),
        "the last boots: {:?}, not {want:?}: {status}",
        told.collect::<Vec<_>>()
    );
    Ok(())
}
