//! A download that breaks off goes on where it was: the server says which bytes it was asked for.

use std::time::Duration;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::ensure;
use qemu_tests::failure::Result;
use qemu_tests::machine::Machine;
use qemu_tests::release::noise;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::server::Server;

/// Progress in lines, as in a log.
const APPLY: &str = "(kubesolo-boot apply; echo exit $?) 2>&1 | cat";

pub fn download_resumes_when_the_server_is_back(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    let (mut server, publisher) = rig.add_update_server("slow/")?;
    publisher.publish("1.1.0", &noise(1, 100_000), &noise(2, 4_000_000))?;
    let mut machine = comes_up(rig)?;

    machine.type_line(APPLY)?;
    machine.wait_for("kubesolo-os.gz: 30 %", COMMAND)?;
    server.stop();
    machine.wait_for("trying again in 1 s", COMMAND)?;
    server.restart()?;
    machine.wait_for("kubesolo-os.gz: 50 %", COMMAND)?;
    // The cable is out for a while: nothing comes, and nothing is lost.
    machine.cable(false)?;
    let waited = machine.wait_for("kubesolo-os.gz: 90 %", Duration::from_secs(3));
    ensure!(waited.is_err(), "the download goes on without a cable");
    machine.cable(true)?;
    machine.wait_for("Version 1.1.0 is installed in slot B.", BOOT)?;
    machine.wait_for("exit 0", COMMAND)?;
    rig.image.env()?.expect("slot_B=staged")?;
    asked_for_the_rest(&server, 1_000_000)
}

fn comes_up(rig: &Rig) -> Result<Machine> {
    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    Ok(machine)
}

/// The last request for the initramfs was for its end, from `least` or a later byte on.
fn asked_for_the_rest(server: &Server, least: u64) -> Result {
    let asked = server.asked()?;
    let range = |line: &str| -> Option<u64> {
        let (_, rest) = line.split_once("/kubesolo-os-1.1.0.gz 206 ")?;
        rest.split_once(r#""bytes="#)?.1.split_once('-')?.0.parse().ok()
    };
    let from = asked.lines().filter_map(range).next_back();
    ensure!(from.is_some_and(|from| from >= least), "what the server was asked: {asked}");
    Ok(())
}
