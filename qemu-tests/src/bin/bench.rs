//! The guest's side of `make bench`: prints what it measured, one value a line, for bench/*.sh to make tables of.
//!
//! | command | lines |
//! |---|---|
//! | `stage` | `ours` or `theirs`, `wall` in ms or `processes`, value; a round each |
//! | `boots` | firmware, `ours`, `checked` or `bare`, `grub`, `kernel` or `init`, milliseconds; a boot each |
//! | `steps` | a step of `/init`, milliseconds; a boot each |
//! | `disks` | number of disks, microseconds of `find`; a round each |

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kubesolo_core::boot::slot::Slot;
use qemu_tests::failure::{Failure, Result, Step};
use qemu_tests::firmware::Firmware;
use qemu_tests::host;
use qemu_tests::image::Part;
use qemu_tests::initrd::System;
use qemu_tests::machine::Machine;
use qemu_tests::rig::{BOOT, GRUB, Rig};
use qemu_tests::serial::Transcript;
use qemu_tests::shell;

/// Longest wait for all the rounds of a script in the guest.
const ROUNDS: Duration = Duration::from_secs(600);
const INITRAMFS: &str = "kubesolo-os.gz";

fn main() -> ExitCode {
    let transcript = Transcript::default();
    let work = || -> Result {
        let rounds = env::var("KSOLO_ROUNDS").unwrap_or_else(|_| "5".into());
        let rounds: u32 = rounds.parse().step(|| format!("KSOLO_ROUNDS={rounds}"))?;
        let mut rig = Rig::new("bench", Firmware::Bios, &transcript)?;
        match env::args().nth(1).as_deref() {
            Some("stage") => stage(&rig, rounds),
            Some("boots") => Firmware::PC
                .into_iter()
                .try_for_each(|firmware| boots(&mut Rig::new("bench", firmware, &transcript)?, rounds)),
            Some("steps") => steps(&rig, rounds),
            Some("disks") => disks(&mut rig, rounds),
            _ => Err(Failure::new("usage: bench stage|boots|steps|disks")),
        }
    };
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}\n{}", transcript.tail(30));
            ExitCode::FAILURE
        }
    }
}

/// The shell of the guest knows no time that is finer than 10 ms, and must start no process while it measures.
/// `now` sets `n` to nanoseconds since power-on, `started` sets `p` to the number of processes started since then.
const TOOLS: &str = r#"
now() { while read -r a b n c; do [ "$a $b" = 'now at' ] && break; done </proc/timer_list; }
started() { while read -r a p; do [ "$a" = processes ] && break; done </proc/stat; }
cold() { sync; echo 3 >/proc/sys/vm/drop_caches; }
"#;

/// `init` and the shell script in turn, on the real disk.
fn stage(rig: &Rig, rounds: u32) -> Result {
    const ROUND: &str = r#"
round() {
    who=$1
    shift
    umount /var/lib/kubesolo /run/by_hand/data 2>/dev/null
    kubesolo-boot env set boot_success=0 boot_counter=2
    cold
    started; before=$p
    now; from=$n
    "$@" >/run/said 2>&1 || { cat /run/said; exit 1; }
    now; started
    [ "$(kubesolo-boot env get boot_success)" = 1 ] || { echo "$who: not marked"; exit 1; }
    echo "$who wall $(((n - from) / 1000))"
    echo "$who processes $((p - before))"
}
mkdir -p /lib64
mv /lib/ld-linux-x86-64.so.2 /lib64/
for _ in $(seq ROUNDS); do
    round ours kubesolo-boot init
    round theirs sh /bin/by_hand.sh
done
"#;
    let by_hand = env::var("KSOLO_BY_HAND").step(|| "KSOLO_BY_HAND: the script".into())?;
    let script = format!("{TOOLS}{}", ROUND.replace("ROUNDS", &rounds.to_string()));
    let mut files = vec![("bin/rounds".to_owned(), script.into_bytes()), ("bin/by_hand.sh".into(), read(&by_hand)?)];
    files.extend(grub_editenv()?);
    let mut machine = runs_with(rig, &files)?;
    for line in shell::must(&mut machine, "sh /bin/rounds", ROUNDS)?.lines() {
        // Microseconds become milliseconds.
        match line.trim().rsplit_once(' ') {
            Some((what, micros)) if what.ends_with("wall") => println!("{what} {:.1}", number(micros)? / 1000.0),
            _ => println!("{}", line.trim()),
        }
    }
    Ok(())
}

/// The whole boot of the real image; the same after a boot that nobody marked, where GRUB looks at the sums; and the same
/// system started by the shortest GRUB script and `/init` there can be.
fn boots(rig: &mut Rig, rounds: u32) -> Result {
    const BARE_INIT: &str = r#"#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
echo 'bare: start'
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
while read -r module; do insmod "/lib/modules/$module"; done </lib/modules/order
mount -t ext4 -o noatime /dev/vda4 /var/lib/kubesolo
echo 'bare: handing over'
exec /sbin/init
"#;
    const BARE_GRUB: &str = r#"
if [ "$grub_platform" = "pc" ]; then
    serial --unit=0 --speed=115200
    terminal_output serial console
fi
echo "bare: booting"
regexp --set=1:disk '^([^,]+)' "$root"
linux ($disk,gpt3)/vmlinuz ARGS ksolo.slot=B
initrd ($disk,gpt3)/kubesolo-os.gz
boot
"#;
    let grub = "boot/grub/grub.cfg";
    let shipped = String::from_utf8_lossy(&rig.image.esp_read(grub)?).into_owned();
    let args = shipped.lines().find_map(|line| line.strip_prefix("set kernel_args=")?.trim_matches('"').into());
    let args: &str = args.ok_or_else(|| Failure::new("grub.cfg has no kernel_args"))?;
    let bare = BARE_GRUB.replace("ARGS", args);
    let initramfs = rig.image.initramfs(Slot::B, System::Normal, &[("init", BARE_INIT.as_bytes())])?;
    rig.image.ext4_write(Part::SlotB, INITRAMFS, &initramfs)?;
    rig.image.seal(Slot::B)?;
    for _ in 0..rounds {
        let ours = ["ksolo: booting", "ksolo-init: start", "ksolo-init: handing over"];
        for (who, config, boot_success, markers) in [
            ("ours", shipped.as_str(), 1, ours),
            ("checked", &shipped, 0, ours),
            ("bare", &bare, 1, ["bare: booting", "bare: start", "bare: handing over"]),
        ] {
            rig.image.esp_write(grub, config.as_bytes())?;
            rig.image.env_edit(&format!("boot_counter=3 boot_success={boot_success}"))?;
            let mut from = Instant::now();
            let mut machine = rig.power_on()?;
            for (phase, marker) in ["grub", "kernel", "init"].into_iter().zip(markers) {
                machine.wait_for(marker, GRUB.max(BOOT))?;
                println!("{} {who} {phase} {}", rig.firmware, from.elapsed().as_millis());
                from = Instant::now();
            }
            machine.comes_up(if who == "bare" { Slot::B } else { Slot::A })?;
        }
    }
    Ok(())
}

/// What `/init` runs with a deadline, which is all that takes time.
fn steps(rig: &Rig, rounds: u32) -> Result {
    const FROM: &str = "\n        \"$@\"\n";
    const TIMED: &str = "
        now
        from=$n
        \"$@\"
        code=$?
        now
        echo \"step: $*: $(((n - from) / 1000000))\" >/dev/console
        (exit $code)
";
    let init = String::from_utf8_lossy(&read("initramfs/init")?).into_owned();
    if init.matches(FROM).count() != 1 {
        return Err(Failure::new("initramfs/init runs its steps in another way than `within` did"));
    }
    let now = TOOLS.lines().find(|line| line.starts_with("now()")).unwrap_or_default();
    let timed = init.replace(FROM, TIMED).replacen('\n', &format!("\n{now}\n"), 1);
    let initramfs = rig.image.initramfs(Slot::A, System::Normal, &[("init", timed.as_bytes())])?;
    rig.image.ext4_write(Part::SlotA, INITRAMFS, &initramfs)?;
    rig.image.seal(Slot::A)?;
    for _ in 0..rounds {
        let mut machine = rig.power_on()?;
        machine.wait_for("ksolo-init: start", GRUB.max(BOOT))?;
        let said = machine.wait_for("ksolo-init: handing over", BOOT)?;
        for (step, millis) in said.lines().filter_map(|line| line.trim().strip_prefix("step: ")?.rsplit_once(": ")) {
            println!("{step}: {millis}");
        }
        machine.comes_up(Slot::A)?;
    }
    Ok(())
}

/// `find` on machines with more and more disks.
fn disks(rig: &mut Rig, rounds: u32) -> Result {
    let spare = rig.work().join("spare.img");
    fs::write(&spare, b"")
        .and_then(|()| fs::File::options().write(true).open(&spare)?.set_len(4 << 20))
        .step(|| format!("write {}", spare.display()))?;
    host::run("sgdisk", ["-n", "1:0:0", "-c", "1:spare", &spare.to_string_lossy()])?;
    let script = format!(
        "{TOOLS}for _ in $(seq {rounds}); do cold; now; from=$n; kubesolo-boot find KSOLODATA >/dev/null || exit 1; now; \
         echo $(((n - from) / 1000)); done"
    );
    let mut there = 1;
    for count in [1, 4, 16, 64] {
        rig.add_spare_disks(&spare, count - there);
        there = count;
        let mut machine = runs_with(rig, &[("bin/rounds".to_owned(), script.clone().into_bytes())])?;
        shell::must(&mut machine, &format!("[ $(ls /sys/block | grep -c '^[sv]d') = {count} ]"), ROUNDS)?;
        for line in shell::must(&mut machine, "sh /bin/rounds", ROUNDS)?.lines() {
            println!("{count} {}", line.trim());
        }
    }
    Ok(())
}

/// A running system that has these files in its initramfs, at a prompt.
fn runs_with(rig: &Rig, files: &[(String, Vec<u8>)]) -> Result<Machine> {
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let initramfs = rig.image.initramfs(Slot::A, System::Normal, &files)?;
    rig.image.ext4_write(Part::SlotA, INITRAMFS, &initramfs)?;
    rig.image.seal(Slot::A)?;
    let mut machine = rig.power_on()?;
    machine.comes_up(Slot::A)?;
    Ok(machine)
}

/// Debian's grub-editenv and the libraries that it loads, by the names they get in the guest.
fn grub_editenv() -> Result<Vec<(String, Vec<u8>)>> {
    let program = host::run("sh", ["-c", "command -v grub-editenv"])?;
    let program = String::from_utf8_lossy(&program.stdout).trim().to_owned();
    let mut files = vec![("bin/grub-editenv".to_owned(), read(&program)?)];
    let libraries = host::run("ldd", [&program])?;
    for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let name = Path::new(word).file_name().unwrap_or_default();
        files.push((format!("lib/{}", name.to_string_lossy()), read(word)?));
    }
    Ok(files)
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).step(|| format!("read {path}"))
}

fn number(text: &str) -> Result<f64> {
    text.trim().parse().step(|| format!("number {text:?}"))
}
