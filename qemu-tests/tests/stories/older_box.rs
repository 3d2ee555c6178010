//! A box of an older KubeSolo OS gets this system, and is moved by the lines of docs/migration.md: a block of three variables, one
//! copy, no sums, and a grub.cfg that does not say which slot it boots.

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Failure, Result};
use qemu_tests::grub::CFG;
use qemu_tests::image::Part;
use qemu_tests::release::noise;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, envblock, shell};

/// Stands in for the older project's file, which is not ours to copy: it does what DESIGN's first three variables say.
const OLDER_GRUB_CFG: &str = r#"
serial --unit=0 --speed=115200
terminal_output serial console
regexp --set=1:disk '^([^,]+)' "$root"
load_env --file "$prefix/grubenv"
if [ "$boot_success" = 1 ]; then set boot_counter=3; fi
if [ "$boot_counter" = 0 ]; then
    if [ "$active_slot" = A ]; then set active_slot=B; else set active_slot=A; fi
    set boot_counter=3
fi
if [ "$boot_counter" = 3 ]; then set boot_counter=2; elif [ "$boot_counter" = 2 ]; then set boot_counter=1; else set boot_counter=0; fi
set boot_success=0
save_env --file "$prefix/grubenv" active_slot boot_counter boot_success
echo "older: booting slot $active_slot, $boot_counter left"
if [ "$active_slot" = A ]; then set root="$disk,gpt2"; else set root="$disk,gpt3"; fi
linux /vmlinuz console=ttyS0,115200 no_timer_check panic=10
initrd /kubesolo-os.gz
boot
"#;

/// The commands of the move, as they stand for a person.
fn the_move() -> Result<&'static str> {
    let text = include_str!("../../../docs/migration.md");
    let lines = text.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```"));
    lines.map(|(lines, _)| lines).ok_or_else(|| Failure::new("docs/migration.md: no commands"))
}

pub fn an_older_box_is_moved(rig: &mut Rig) -> Result {
    rig.image.skip_grub_waits()?;
    rig.end_at_reset();
    let (_server, publisher) = rig.add_update_server("")?;
    publisher.publish("1.1.0", &noise(1, 100_000), &noise(2, 100_000))?;
    for name in ["vmlinuz", "kubesolo-os.gz"] {
        rig.image.ext4_write(Part::SlotB, name, &rig.image.ext4_read(Part::SlotA, name)?)?;
    }
    rig.image.ext4_delete(Part::SlotA, "SHA256SUMS")?;
    rig.image.ext4_write(Part::State, "grub.cfg", &rig.image.esp_read(CFG)?)?;
    rig.image.ext4_write(Part::State, "move", the_move()?.as_bytes())?;
    rig.image.esp_write(CFG, OLDER_GRUB_CFG.as_bytes())?;
    let block = rig.image.new_block("active_slot=A boot_counter=3 boot_success=1")?;
    rig.image.esp_write(envblock::FIRST, &block)?;
    rig.image.esp_delete(envblock::SECOND)?;

    let mut machine = rig.power_on()?;
    machine.wait_for("older: booting slot A, 2 left", BOOT)?;
    machine.wait_for("ksolo: system up, slot unknown", BOOT)?;
    machine.wait_for(shell::PROMPT, BOOT)?;
    machine.has_network()?;
    let refused = shell::run(&mut machine, "kubesolo-boot apply", COMMAND)?;
    ensure!(refused.status == 7 && refused.text.contains("docs/migration.md"), "apply: {refused:?}");
    shell::must(&mut machine, "kubesolo-boot commit", COMMAND)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")?;

    machine.type_line("cd /var/lib/kubesolo && sh -e move")?;
    let mut machine = rig.restarted(machine)?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up_with_network(Slot::A)?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("Running slot A (good)"), "status: {status}");
    for slot in Slot::BOTH {
        let sums = rig.image.ext4_read(Part::from(slot), "SHA256SUMS")?;
        ensure!(sums.ends_with(b"  kubesolo-os.gz\n"), "slot {slot} has no sums");
    }
    let applied = shell::must(&mut machine, "kubesolo-boot apply --allow-downgrade", BOOT)?;
    ensure!(applied.contains("Version 1.1.0 is installed in slot B."), "apply: {applied}");
    rig.image.env_of_both_copies()?.expect("active_slot=A slot_A=good slot_B=staged")
}
