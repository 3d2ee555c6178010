//! `make demo`: a real box, in QEMU, that gets a bad update and comes back by itself. For people: it explains itself.

use std::process::ExitCode;
use std::time::Instant;

use kubesolo_boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::firmware::Firmware;
use qemu_tests::follow::PANIC;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::serial::Transcript;
use qemu_tests::shell;

fn main() -> ExitCode {
    let began = Instant::now();
    let transcript = Transcript::default();
    match Rig::new("demo", Firmware::Bios, &transcript).and_then(|rig| tell(&rig)) {
        Ok(()) => {
            println!("\nThat took {} seconds, and nobody had to be there.", began.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("demo: {failure}\n{}", transcript.tail(30));
            ExitCode::FAILURE
        }
    }
}

fn tell(rig: &Rig) -> Result {
    chapter(1, "A good boot. GRUB counts it before it starts Linux; Linux marks it good.");
    let mut machine = power_on(rig)?;
    boots(&mut machine, Slot::A, "good, 2 boots left")?;
    init_ends(&mut machine, "go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    show(&mut machine, "kubesolo-boot status")?;

    chapter(2, "Slot B gets a system that never comes up, and is made the active slot, on trial.");
    rig.image.install(Slot::B, System::Panics)?;
    show(&mut machine, "kubesolo-boot env set active_slot=B slot_B=trial boot_counter=3 boot_success=0")?;
    show(&mut machine, "kubesolo-boot slot show")?;
    machine.power_cut();

    chapter(3, "It gets three boots. Each fails in another way, and GRUB has counted each before it began.");
    let mut machine = power_on(rig)?;
    boots(&mut machine, Slot::B, "trial, 2 boots left")?;
    machine.wait_for(PANIC, BOOT)?;
    say("Linux", "Kernel panic");
    machine.power_cut();

    rig.image.install(Slot::B, System::Reboots)?;
    let mut machine = power_on(rig)?;
    boots(&mut machine, Slot::B, "trial, 1 boots left")?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    say("Linux", "reboots before it has done anything");
    machine.power_cut();

    rig.image.install(Slot::B, System::Hangs)?;
    let mut machine = power_on(rig)?;
    boots(&mut machine, Slot::B, "trial, 0 boots left")?;
    machine.wait_for(System::LAST_WORDS, BOOT)?;
    say("Linux", "hangs; somebody pulls the plug");
    machine.power_cut();

    chapter(4, "No boot is left. GRUB gives slot B up and goes back to the slot that is known good.");
    let mut machine = power_on(rig)?;
    boots(&mut machine, Slot::A, "good, 2 boots left")?;
    init_ends(&mut machine, "go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    show(&mut machine, "kubesolo-boot status")?;
    machine.power_cut();
    Ok(())
}

fn chapter(number: u32, text: &str) {
    println!("\n{number}. {text}\n");
}

fn say(who: &str, what: &str) {
    println!("   {who:<6} {what}");
}

fn power_on(rig: &Rig) -> Result<Machine> {
    say("", "-- power on --");
    rig.power_on()
}

fn boots(machine: &mut Machine, slot: Slot, standing: &str) -> Result {
    machine.boots(slot, standing)?;
    say("GRUB", &format!("boots slot {slot} ({standing})"));
    Ok(())
}

fn init_ends(machine: &mut Machine, end: &str) -> Result {
    machine.init_ends(end)?;
    say("init", end);
    Ok(())
}

/// Types the command at the box and prints what it answers.
fn show(machine: &mut Machine, command: &str) -> Result {
    say("you", &format!("# {command}"));
    for line in shell::must(machine, command, COMMAND)?.lines() {
        println!("          {}", line.trim_end());
    }
    Ok(())
}
