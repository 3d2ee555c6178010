//! `make demo`: a real box, in QEMU, that gets a good update from a real web server, then a bad one, and comes back by
//! itself. For people: it explains itself.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Instant;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Failure, Result};
use qemu_tests::firmware::Firmware;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::serial::Transcript;
use qemu_tests::shell;

fn main() -> ExitCode {
    let began = Instant::now();
    let transcript = Transcript::default();
    match Rig::new("demo", Firmware::Bios, &transcript).and_then(|mut rig| tell(&mut rig)) {
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

fn tell(rig: &mut Rig) -> Result {
    rig.end_at_reset();
    let (_server, publisher) = rig.add_update_server("")?;

    chapter(1, "A box runs version 1.0.0. A web server offers 1.1.0, signed; the box fetches it into its other slot.");
    publisher.publish_system(&rig.image, "1.1.0", System::Normal)?;
    say("", "-- power on --");
    let mut machine = boots(rig.power_on()?, Slot::A, "good")?;
    comes_up(&mut machine, Slot::A, "good")?;
    machine.has_network()?;
    show(&mut machine, "kubesolo-boot check")?;
    show(&mut machine, "kubesolo-boot apply")?;

    chapter(
        2,
        "The new system gets a boot on trial, and is kept once somebody, or a health check, says that it is good.",
    );
    let mut machine = boots(activate(rig, machine)?, Slot::B, "trial, 2 boots left")?;
    comes_up(&mut machine, Slot::B, "trial")?;
    show(&mut machine, "kubesolo-boot commit")?;

    chapter(3, "The next update, 1.2.0, is a bad one: its system starts, and resets the box before it is of any use.");
    publisher.publish_system(&rig.image, "1.2.0", System::Restarts)?;
    machine.has_network()?;
    show(&mut machine, "kubesolo-boot apply")?;
    let mut machine = activate(rig, machine)?;
    for left in [2, 1, 0] {
        machine = boots(machine, Slot::A, &format!("trial, {left} boots left"))?;
        machine.init_ends("go on (slot A, trial)")?;
        machine.wait_for(System::LAST_WORDS, BOOT)?;
        say("Linux", "starts, and resets the box");
        machine = rig.restarted(machine)?;
    }

    chapter(4, "It had three boots, and none was committed. GRUB goes back to the slot that is known good.");
    let mut machine = boots(machine, Slot::B, "good")?;
    comes_up(&mut machine, Slot::B, "good")?;
    show(&mut machine, "kubesolo-boot status")
}

fn chapter(number: u32, text: &str) {
    println!("\n{number}. {text}\n");
}

fn say(who: &str, what: &str) {
    println!("   {who:<6} {what}");
}

fn boots(mut machine: Machine, slot: Slot, standing: &str) -> Result<Machine> {
    machine.boots(slot, standing)?;
    say("GRUB", &format!("boots slot {slot} ({standing})"));
    Ok(machine)
}

fn comes_up(machine: &mut Machine, slot: Slot, standing: &str) -> Result {
    let end = format!("go on (slot {slot}, {standing})");
    machine.init_ends(&end)?;
    say("init", &end);
    machine.comes_up(slot)
}

fn activate(rig: &Rig, mut machine: Machine) -> Result<Machine> {
    const COMMAND: &str = "kubesolo-boot activate --reboot";
    say("you", &format!("# {COMMAND}"));
    machine.type_line(COMMAND)?;
    rig.restarted(machine)
}

/// Types the command at the box and prints what it answers, as it comes: a bar grows on a terminal, and is printed once,
/// full, elsewhere.
fn show(machine: &mut Machine, command: &str) -> Result {
    const END: &str = "<end:";
    say("you", &format!("# {command}"));
    machine.type_line(&format!("echo '<''begin>'; {command}; echo '<''end:'$?'>'"))?;
    machine.wait_for("<begin>\r\n", COMMAND)?;
    let mut line = String::new();
    loop {
        let (which, text) = machine.wait_for_any(&["\r", END], COMMAND)?;
        match text.strip_prefix('\n') {
            Some(next) => {
                println!("{}{}", if stdout().is_terminal() { "\r" } else { "" }, indented(&line));
                line = next.to_owned();
            }
            None if text.is_empty() => {}
            None => line = text,
        }
        if which == 1 {
            break;
        }
        if stdout().is_terminal() {
            print!("\r{}\x1b[K", indented(&line));
            // A picture that lags behind is no reason to stop.
            drop(stdout().flush());
        }
    }
    let status = machine.wait_for(">", COMMAND)?;
    machine.wait_for(shell::PROMPT, COMMAND)?;
    if status == "0" { Ok(()) } else { Err(Failure::new(format!("`{command}` exited with {status}"))) }
}

fn indented(line: &str) -> String {
    let line = line.trim_end();
    if line.is_empty() { String::new() } else { format!("          {line}") }
}
