//! Knows what one story works with: its own disk, its firmware, the transcript of all it boots.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bus::Bus;
use crate::failure::{Result, Step};
use crate::firmware::Firmware;
use crate::image::{Image, Part};
use crate::machine::{Machine, Parts};
use crate::paths;
use crate::serial::Transcript;
use crate::writelog::WriteLog;

/// Longest wait for GRUB's line after power-on. Generous: three stories share two cores, and under OVMF a busy machine
/// makes GRUB's second up to four seconds long.
pub const GRUB: Duration = Duration::from_secs(180);
/// Longest wait from GRUB's line to a running system, or to whatever else ends a boot.
pub const BOOT: Duration = Duration::from_secs(270);
/// Longest wait for GRUB to load a slot of the shipped image: a BIOS reads from a stick or a card in small pieces.
pub const LOAD: Duration = Duration::from_secs(450);
/// Longest wait for a command at a prompt.
pub const COMMAND: Duration = Duration::from_secs(60);

/// A story's bench.
pub struct Rig {
    /// Its own copy of the disk.
    pub image: Image,
    /// What its machines start with.
    pub firmware: Firmware,
    work: PathBuf,
    transcript: Transcript,
    drive: Option<String>,
    more: Vec<String>,
    reset_ends_it: bool,
    memory: u32,
    /// What its disk is attached to.
    pub bus: Bus,
}

impl Rig {
    /// Lays out a fresh copy of the image under test.
    ///
    /// # Errors
    /// When there is no image.
    pub fn new(name: &str, firmware: Firmware, transcript: &Transcript) -> Result<Self> {
        let work = paths::work().join(format!("{name}-{firmware}"));
        drop(fs::remove_dir_all(&work)); // Left by a run that was killed, or not there.
        fs::create_dir_all(&work).step(|| format!("create {}", work.display()))?;
        let image = Image::copy(&paths::image(firmware)?, work.join("disk.img"))?;
        Ok(Self {
            image,
            firmware,
            work,
            transcript: transcript.clone(),
            drive: None,
            more: Vec::new(),
            reset_ends_it: false,
            memory: 256,
            bus: Bus::default(),
        })
    }

    /// Takes a copy of the image that is shipped, in place of the small one.
    ///
    /// # Errors
    /// When there is none.
    pub fn take_shipped_image(&mut self) -> Result {
        self.take_image(&paths::shipped_image()?)
    }

    /// Takes a copy of this image, in place of the small one.
    ///
    /// # Errors
    /// When it cannot be copied, or its grub.cfg is another.
    pub fn take_image(&mut self, original: &Path) -> Result {
        self.image = Image::copy(original, self.work.join("disk.img"))?;
        self.image.tell_kernel("no_timer_check")?;
        // In UEFI mode GRUB takes more than 256 MiB for its kernel.
        self.memory = 512;
        Ok(())
    }

    /// Switches the power on.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn power_on(&self) -> Result<Machine> {
        self.transcript.note("power on");
        // QEMU wants one that is there, and takes no other machine's.
        let log = self.write_log();
        fs::write(&log, b"").step(|| format!("write {}", log.display()))?;
        let healthy = self.healthy_drive();
        let more: Vec<_> = self.more.iter().map(String::as_str).collect();
        let parts = Parts {
            firmware: self.firmware,
            drive: self.drive.as_deref().unwrap_or(&healthy),
            bus: self.bus,
            memory: self.memory,
            work: &self.work,
            reset_ends_it: self.reset_ends_it,
            more: &more,
        };
        Machine::power_on(&parts, &self.transcript)
    }

    /// QEMU's words for its disk, where nothing is the matter with it.
    pub fn healthy_drive(&self) -> String {
        format!("format=raw,cache=unsafe,file={}", self.image.path().display())
    }

    /// Makes a reset end the machine, for [`Rig::restarted`]. GRUB and Linux then start in a fresh QEMU, and need half the
    /// time that they need in one that has run Linux before.
    pub fn end_at_reset(&mut self) {
        self.reset_ends_it = true;
    }

    /// Waits until the machine resets itself, and switches the next one on.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn restarted(&self, machine: Machine) -> Result<Machine> {
        machine.wait_exit(BOOT)?;
        self.power_on()
    }

    /// Gives its machines a network card. The build machine's loopback is [`crate::server::HOST`] for them.
    pub fn add_network(&mut self) {
        // Without a boot ROM the firmware leaves the card alone.
        let words = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="];
        self.more.extend(words.map(String::from));
    }

    /// Gives its machines a second disk, `/dev/vdb`: this raw image.
    pub fn add_disk(&mut self, image: &Path) {
        let drive = format!("if=none,id=second,format=raw,cache=unsafe,file={}", image.display());
        self.more.extend(["-drive", &drive, "-device", "virtio-blk-pci,drive=second"].map(String::from));
    }

    /// The same with a disk that takes a second for each byte from power-on.
    pub fn add_stalled_disk(&mut self, image: &Path) {
        let drive = format!("if=none,id=second,format=raw,throttling.bps-total=1,file={}", image.display());
        self.more.extend(["-drive", &drive, "-device", "virtio-blk-pci,drive=second"].map(String::from));
    }

    /// Gives its machines so many SCSI disks more, all of them this raw image, not to be written.
    pub fn add_spare_disks(&mut self, image: &Path, count: usize) {
        if count > 0 {
            self.more.extend(["-device", "virtio-scsi-pci"].map(String::from));
        }
        for _ in 0..count {
            let id = self.more.len();
            let drive = format!("if=none,id=spare{id},format=raw,readonly=on,file={}", image.display());
            let device = format!("scsi-hd,drive=spare{id}");
            self.more.extend(["-drive", &drive, "-device", &device].map(String::from));
        }
    }

    /// Gives its machines an optical drive without a disk in it.
    pub fn add_empty_optical_drive(&mut self) {
        self.more
            .extend(["-device", "virtio-scsi-pci,id=optical", "-device", "scsi-cd,bus=optical.0"].map(String::from));
    }

    /// Gives its machines a watchdog that resets them.
    pub fn add_watchdog(&mut self) {
        self.more.extend(["-device", "i6300esb", "-action", "watchdog=reset"].map(String::from));
    }

    /// Lets the watchdog of the board reset it. Before 8.0 QEMU's has a strap that forbids it by default, and its register does
    /// not say so: the driver is content, and nothing happens.
    pub fn wire_the_boards_watchdog(&mut self) {
        self.more.extend(["-global", "ICH9-LPC.noreboot=false"].map(String::from));
    }

    /// Gives its machines the memory in which firmware keeps a kernel's last words (ACPI ERST). It outlives power cuts.
    pub fn add_error_record(&mut self) {
        let file = self.work.join("erst");
        let memory = format!("memory-backend-file,id=erst,size=64K,share=on,mem-path={}", file.display());
        self.more.extend(["-object", &memory, "-device", "acpi-erst,memdev=erst"].map(String::from));
    }

    /// From now on the disk answers every write to this partition with an I/O error.
    ///
    /// # Errors
    /// When the rules cannot be written.
    pub fn fail_writes(&mut self, part: Part) -> Result {
        let rules = self.work.join("blkdebug.conf");
        fs::write(&rules, blkdebug_rules(self.image.extent(part).start, self.image.extent(part).len))
            .step(|| format!("write {}", rules.display()))?;
        self.drive = Some(format!(
            "format=raw,cache=unsafe,file.driver=blkdebug,file.config={},file.image.driver=file,file.image.filename={}",
            rules.display(),
            self.image.path().display()
        ));
        Ok(())
    }

    /// From now on every write and every flush is recorded, from each power-on anew.
    pub fn record_writes(&mut self) {
        // Flushes come as far as the log; below it nothing is lost, and they would only take time.
        self.drive = Some(format!(
            "driver=blklogwrites,cache=writeback,log-super-update-interval=1,log.driver=file,log.filename={},\
             log.cache.no-flush=on,file.driver=raw,file.file.driver=file,file.file.filename={},file.file.cache.no-flush=on",
            self.write_log().display(),
            self.image.path().display()
        ));
    }

    /// What the last machine wrote; it has ended.
    ///
    /// # Errors
    /// When nothing was recorded.
    pub fn recorded(&self) -> Result<WriteLog> {
        let log = self.write_log();
        let bytes = fs::read(&log).step(|| format!("read {}", log.display()))?;
        WriteLog::parse(&bytes)
    }

    fn write_log(&self) -> PathBuf {
        self.work.join("writes.log")
    }

    /// Puts a line into the transcript, for whoever reads it after a failure.
    pub fn note(&self, text: &str) {
        self.transcript.note(text);
    }

    /// The folder of this story's short-lived files.
    pub fn work(&self) -> &Path {
        &self.work
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::env::var_os("KSOLO_KEEP").is_none() {
            // What stays behind is overwritten by the next run.
            drop(fs::remove_dir_all(&self.work));
        }
    }
}

/// A rule fails each write that touches its one sector: GRUB writes single ones.
fn blkdebug_rules(start: u64, len: u64) -> String {
    let sectors = start / 512..(start + len) / 512;
    let rule = |sector| {
        format!("[inject-error]\nevent = \"none\"\niotype = \"write\"\nerrno = \"5\"\nsector = \"{sector}\"\n")
    };
    sectors.map(rule).collect()
}
