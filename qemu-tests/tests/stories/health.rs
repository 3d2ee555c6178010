//! The box judges an update by its health. Kubernetes is not in these images: those checks failed before the update, and
//! are excused; what counts is a URL on the build machine, and the data partition.

use std::fs;
use std::time::Duration;

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Result, Step};
use qemu_tests::hostile::{Act, serve};
use qemu_tests::image::Part;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::server::{HOST, Server};
use qemu_tests::{ensure, shell};

use super::last_boots::ended;

const SICK: u8 = 1;
const REFUSED: u8 = 7;

pub fn sick_update_is_rolled_back(rig: &mut Rig) -> Result {
    let (server, mut machine) = update_on_trial(rig)?;
    set_healthy(&server, false)?;
    for failure in ["Failure 1 of 3", "Failure 2 of 3"] {
        let reply = shell::run(&mut machine, "kubesolo-boot healthcheck", BOOT)?;
        ensure!(reply.status == SICK && reply.text.contains(failure), "healthcheck: {}", reply.text);
        ensure!(reply.text.contains("probe_url          FAILED: fetch http"), "healthcheck: {}", reply.text);
        ensure!(reply.text.contains("containerd         failed, as before"), "healthcheck: {}", reply.text);
        rig.image.env_of_both_copies()?.expect("active_slot=B slot_A=good slot_B=trial")?;
    }
    // The third is too many, and nobody has to touch the box any more.
    machine.type_line("kubesolo-boot healthcheck --reboot")?;
    let mut machine = rig.restarted(machine)?;
    machine.boots(Slot::A, "good")?;
    machine.init_ends("go on (slot A, good)")?;
    machine.comes_up(Slot::A)?;
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=bad")?;
    let status = shell::must(&mut machine, "kubesolo-boot status", COMMAND)?;
    ensure!(status.contains("rolled_back: 1.0.0 to 1.1.0"), "status: {status}");
    ensure!(status.contains("Last error  health check failed 3 times: probe_url: "), "status: {status}");
    ended(&mut machine, &["failed_health", "clean_stop"])?;

    // Once is enough: the same image is not taken again.
    machine.has_network()?;
    for verb in ["check", "apply"] {
        let reply = shell::run(&mut machine, &format!("kubesolo-boot {verb}"), BOOT)?;
        let said = reply.text.contains("this image was tried here and rolled back from");
        ensure!(reply.status == REFUSED && said, "{verb} exits with {}: {}", reply.status, reply.text);
    }
    rig.image.env_of_both_copies()?.expect("active_slot=A slot_A=good slot_B=bad")
}

pub fn health_may_come_late(rig: &mut Rig) -> Result {
    let (server, mut machine) = update_on_trial(rig)?;
    set_healthy(&server, false)?;
    machine.type_line("kubesolo-boot healthcheck --healthcheck-timeout 60; echo exit $?")?;
    let waited = machine.wait_for("exit 0", Duration::from_secs(4));
    ensure!(waited.is_err(), "the box is well without its URL: {waited:?}");
    set_healthy(&server, true)?;
    let said = machine.wait_for("exit 0", BOOT)?;
    ensure!(said.contains("The running slot is good and stays."), "healthcheck: {said}");
    rig.image.env_of_both_copies()?.expect("active_slot=B boot_counter=3 boot_success=1 slot_A=good slot_B=good")
}

/// The block says what a trial is: a data partition that takes no count keeps no sick trial.
pub fn full_or_read_only_data_keep_no_sick_trial(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.image.env_edit("active_slot=B boot_counter=3 boot_success=0 slot_A=good slot_B=trial")?;
    rig.image.ext4_write(
        Part::State,
        "state.json",
        br#"{"phase":"activated","failed_before":"containerd api_server node_ready kube_system_ready"}"#,
    )?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::B)?;
    let check = "kubesolo-boot healthcheck --state /var/lib/kubesolo/state.json --healthcheck-timeout 0 --auto-rollback-after 1";
    for (spoil, why) in [
        ("dd if=/dev/zero of=/var/lib/kubesolo/fill bs=64k; sync", "No space left on device"),
        ("rm /var/lib/kubesolo/fill; sync; mount -o remount,ro /var/lib/kubesolo", "Read-only file system"),
    ] {
        shell::run(&mut machine, spoil, COMMAND)?;
        let reply = shell::run(&mut machine, check, COMMAND)?;
        let said = reply.text.lines().any(|line| line.starts_with("disk_writable      FAILED") && line.contains(why));
        ensure!(reply.status != 0 && said, "healthcheck exits with {}: {}", reply.status, reply.text);
        rig.image.env_of_both_copies()?.expect("active_slot=A slot_A=good slot_B=bad")?;
    }
    Ok(())
}

pub fn the_url_decides_by_its_answer(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.add_network();
    let server = serve(vec![
        ("/well".into(), Act::file(b"well")),
        ("/sick".into(), Act::head(500, "Content-Length: 0\r\n", b"")),
        ("/slow".into(), Act::Stalls(Vec::new())),
    ])?;
    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    for (url, want) in [
        (format!("{server}/well"), r#""probe_url":true"#),
        (format!("{server}/sick"), "the server answers 500"),
        (format!("{server}/slow"), "the server does not answer in time"),
        (format!("http://{HOST}:1/"), "Connection refused"),
    ] {
        let check = format!("kubesolo-boot healthcheck --json --healthcheck-timeout 0 --healthcheck-url {url}");
        let reply = shell::run(&mut machine, &check, COMMAND)?;
        ensure!(reply.text.contains(want), "{url}: {}", reply.text);
    }
    rig.image.env_of_both_copies()?.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good")
}

/// A box that runs version 1.1.0 in slot B, on trial, and was well before.
fn update_on_trial(rig: &mut Rig) -> Result<(Server, Machine)> {
    rig.image.hurry_grub()?;
    rig.end_at_reset();
    let judge = |url: &str| format!("healthcheck_url={url}healthy\nhealthcheck_timeout=0\nauto_rollback_after=3\n");
    let (server, publisher) = rig.add_update_server_with("", judge)?;
    publisher.publish_system(&rig.image, "1.1.0", System::Normal)?;
    set_healthy(&server, true)?;

    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    shell::must(&mut machine, "kubesolo-boot apply", BOOT)?;
    machine.type_line("kubesolo-boot activate --reboot")?;
    let mut machine = rig.restarted(machine)?;
    machine.boots(Slot::B, "trial, 2 boots left")?;
    machine.comes_up_with_network(Slot::B)?;
    Ok((server, machine))
}

fn set_healthy(server: &Server, healthy: bool) -> Result {
    let file = server.www().join("healthy");
    let set = if healthy { fs::write(&file, "yes\n") } else { fs::remove_file(&file) };
    set.step(|| format!("{}: make or remove", file.display()))
}
