//! Servers that are broken or worse: the box says what is wrong, stages nothing, and takes the next honest update.

use kubesolo_core::boot::slot::Slot;
use kubesolo_core::update::digest::Hash;
use qemu_tests::failure::Result;
use qemu_tests::hostile::{Act, answer, serve};
use qemu_tests::machine::Machine;
use qemu_tests::release::{Publisher, noise};
use qemu_tests::rig::{BOOT, COMMAND, Rig};
use qemu_tests::{ensure, shell};

const IO: u8 = 6;
const REFUSED: u8 = 7;
const UNTRUSTED: u8 = 9;

const LEN: usize = 200_000;
const ENDLESS: &str = "Transfer-Encoding: chunked\r\n";

pub fn hostile_servers_change_nothing(rig: &mut Rig) -> Result {
    rig.image.hurry_grub()?;
    rig.add_network();
    // A key, and nothing that it has signed.
    let publisher = Publisher::new(rig.work(), rig.work().join("web"))?;
    rig.image.configure("", &publisher.public_key()?, "")?;
    let (kernel, initramfs) = (noise(1, LEN), noise(2, LEN));
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat();
    let endless = || Act::Forever(answer(200, ENDLESS, b""), chunk.clone());
    let loops = |path: &str| Act::head(302, &format!("Location: {path}\r\nContent-Length: 0\r\n"), b"");
    let head = || Act::head(200, &format!("X: {}\r\nContent-Length: 1\r\n", "x".repeat(20_000)), b"x");
    let half = || Act::Says(answer(200, &format!("Content-Length: {LEN}\r\n"), &kernel[..LEN / 2]));
    let honest = |kernel_url: &str| Act::file(manifest(kernel_url, &kernel, &initramfs, true).as_bytes());
    let unsized_ = |kernel_url: &str| Act::file(manifest(kernel_url, &kernel, &initramfs, false).as_bytes());
    let gone = || Act::head(404, "Content-Length: 0\r\n", b"");

    // Name, latest.json, kernel; exit code, words.
    let rows: &[(&str, Act, Act, u8, &str)] = &[
        ("missing", gone(), gone(), IO, "latest.json: the server answers 404; there is no such file on the server"),
        ("cut", Act::head(200, "Content-Length: 500\r\n", b"{\"version\":"), gone(), IO, "the connection ended before"),
        ("endless", endless(), gone(), IO, "longer than 65536 bytes"),
        ("loop", loops("/loop/latest.json"), gone(), IO, "more than 5 redirects"),
        ("head", head(), gone(), IO, "the answer's headers are longer than 16384 bytes"),
        ("noise", Act::file(&kernel[..500]), gone(), IO, "tell who runs the server"),
        ("file", loops("file:///etc/kubesolo/update.conf"), gone(), IO, "redirect: leads to a file of this box"),
        ("unsigned", honest("kernel"), Act::file(&kernel), UNTRUSTED, "check signature"),
        (
            "huge",
            unsized_("kernel"),
            Act::head(200, "Content-Length: 3000000000\r\n", b"x"),
            REFUSED,
            "3.3 GB are needed",
        ),
        ("image-missing", honest("kernel"), gone(), IO, "kernel: the server answers 404"),
        ("image-loop", honest("kernel"), loops("/image-loop/kernel"), IO, "more than 5 redirects"),
        ("image-head", honest("kernel"), head(), IO, "the answer's headers are longer than 16384 bytes"),
        ("image-endless", honest("kernel"), endless(), IO, "longer than the 200000 bytes promised"),
        ("image-cut", honest("kernel"), Act::Once(Box::new(half()), Box::new(gone())), IO, "the server answers 404"),
        ("image-other", honest("kernel"), Act::file(&initramfs), IO, "do not fit its latest.json"),
    ];
    let mut acts: Vec<(String, Act)> = Vec::new();
    for (name, manifest, kernel, ..) in rows {
        acts.push((format!("/{name}/latest.json"), manifest.clone()));
        acts.push((format!("/{name}/kernel"), kernel.clone()));
    }
    acts.push(("/stalls/latest.json".into(), Act::Stalls(answer(200, "Content-Length: 500\r\n", b"{"))));
    acts.push(("/honest/latest.json".into(), honest("kernel")));
    acts.push(("/honest/kernel".into(), Act::file(&kernel)));
    acts.push(("/initramfs".into(), Act::file(&initramfs)));
    let server = serve(acts)?;

    let mut machine = rig.power_on()?;
    machine.comes_up_with_network(Slot::A)?;
    // Half a minute is what a server gets; the others have their turn meanwhile. `check` takes no lock.
    let stalls = format!("(kubesolo-boot check {server}/stalls >/run/stalls 2>&1; echo exit $? >>/run/stalls) &");
    shell::must(&mut machine, &format!("({stalls})"), COMMAND)?;
    for (name, _, _, exit, words) in rows {
        let trust = if *exit == UNTRUSTED { "" } else { "--conf /dev/null" };
        let reply = shell::run(&mut machine, &format!("kubesolo-boot apply {server}/{name} {trust}"), BOOT)?;
        ensure!(
            reply.status == *exit && reply.text.contains(words),
            "{name}: apply exits with {}: {}",
            reply.status,
            reply.text
        );
        is_as_before(rig, &mut machine)?;
    }
    let applied = shell::must(&mut machine, &format!("kubesolo-boot apply {server}/honest --conf /dev/null"), BOOT)?;
    ensure!(applied.contains("WARNING: no public key is configured"), "apply: {applied}");
    ensure!(applied.contains("Version 1.1.0 is installed in slot B."), "apply: {applied}");

    let stalled = "until grep -q exit /run/stalls; do usleep 50000; done; cat /run/stalls";
    let stalled = shell::must(&mut machine, stalled, BOOT)?;
    ensure!(stalled.contains("the server stopped sending in the middle") && stalled.ends_with("exit 6"), "{stalled}");
    Ok(())
}

fn is_as_before(rig: &Rig, machine: &mut Machine) -> Result {
    let env = rig.image.env_of_both_copies()?;
    env.expect("active_slot=A boot_counter=3 boot_success=1 slot_A=good")?;
    ensure!(env.get("slot_B") != "staged", "slot B is staged");
    let activated = shell::run(machine, "kubesolo-boot activate", COMMAND)?;
    ensure!(activated.status == REFUSED, "activate exits with {}: {}", activated.status, activated.text);
    Ok(())
}

fn manifest(kernel_url: &str, kernel: &[u8], initramfs: &[u8], sizes: bool) -> String {
    let sizes = if sizes { format!(r#","vmlinuz_size":{LEN},"initramfs_size":{LEN}"#) } else { String::new() };
    format!(
        r#"{{"version":"1.1.0","vmlinuz_url":"{kernel_url}","initramfs_url":"/initramfs","vmlinuz_sha256":"{}","initramfs_sha256":"{}"{sizes}}}"#,
        Hash::of(kernel),
        Hash::of(initramfs)
    )
}
