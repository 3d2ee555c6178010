//! A person who does not know the program makes one mistake after the other: each is answered with what was meant, and changes nothing.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::Result;
use qemu_tests::follow::GRUB_STARTS;
use qemu_tests::grub::Entry;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, ensure_eq, shell};

/// What is typed, the exit code, and what the answer has in it.
const MISTAKES: &[(&str, u8, &str)] = &[
    ("status --reboot", 2, "--reboot: not a flag of status, but of activate, healthcheck, rollback"),
    ("apply --reboot", 2, "--reboot: not a flag of apply"),
    ("commit --force", 2, "--force: not a flag of commit, but of check, apply"),
    ("activate --allow-downgrade", 2, "not a flag of activate"),
    ("stauts", 2, "did you mean status?"),
    ("apply --forse", 2, "did you mean --force?"),
    ("apply --registry ghcr.io/x", 2, "updates come from a web server or a folder"),
    ("help bogus", 2, "bogus: no such verb"),
    ("version", 0, "kubesolo-boot "),
    ("apply --help", 0, "kubesolo-boot apply: "),
    ("check", 2, "a line server= in /var/lib/kubesolo/update/update.conf"),
    ("check updates.example:8080", 2, "of a web server: http://updates.example:8080"),
    ("check /mnt --pubkey 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 2, "is a key itself"),
    ("status --disk ''", 2, "--disk: its value is empty"),
    ("status --json --disk /nowhere", 3, "{\"error\":\"find disk: /nowhere: "),
    ("healthcheck --healthcheck-timeout 0", 1, "Six checks at once"),
    ("healthcheck --healthcheck-timeout 0", 1, "probe_url          not set"),
];

pub fn a_person_makes_each_mistake(rig: &mut Rig) -> Result {
    rig.add_empty_optical_drive();
    let block = "active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good";
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    shell::must(&mut machine, "grep -q 'KubeSolo OS is up, slot A' /dev/vcs1", COMMAND)?;
    shell::must(&mut machine, "rm -f /var/lib/kubesolo/update/update.conf /etc/kubesolo/update.conf", COMMAND)?;
    for (words, exit, says) in MISTAKES {
        let reply = shell::run(&mut machine, &format!("kubesolo-boot {words} 2>&1"), COMMAND)?;
        ensure!(reply.status == *exit && reply.text.contains(says), "{words}: {}: {}", reply.status, reply.text);
    }
    // What was written a moment ago counts.
    shell::must(&mut machine, "echo server=/nowhere >/var/lib/kubesolo/update/update.conf", COMMAND)?;
    let reply = shell::run(&mut machine, "kubesolo-boot check 2>&1", COMMAND)?;
    ensure!(reply.text.contains("/nowhere/latest.json"), "check: {}", reply.text);
    let errors = shell::must(&mut machine, "dmesg | grep -c 'sr0.*error'; true", COMMAND)?;
    ensure_eq!(errors, "0", "errors of the empty drive");
    rig.image.env_of_both_copies()?.expect(block)?;
    machine.power_cut();

    let mut machine = rig.power_on()?;
    machine.choose(Entry::Emergency, rig.firmware)?;
    machine.init_ends("emergency shell asked for")?;
    machine.wait_for(shell::PROMPT, BOOT)?;
    machine.type_line("reboot")?;
    machine.wait_for(GRUB_STARTS, BOOT)?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect(block)
}
