//! Knows how to make a slot's system fail: a small segment behind its initramfs that overrides one program.

use kubesolo_core::boot::slot::Slot;

use crate::failure::{Result, Step};
use crate::image::{Image, Part};
use crate::newc;

const INITRAMFS: &str = "kubesolo-os.gz";

/// What a slot's system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// What the builder made it do.
    Normal,
    /// Comes past `kubesolo-boot init` and panics where the real init should start.
    Panics,
    /// Comes past `kubesolo-boot init` and resets the machine where the real init should start.
    Restarts,
    /// Comes past `kubesolo-boot init`; then the kernel is dead, and stands still.
    HangsHard,
    /// Comes past `kubesolo-boot init`; then the real init does nothing, for ever.
    Loops,
    /// Resets the machine before `kubesolo-boot init` has run.
    Reboots,
    /// Hangs for ever before `kubesolo-boot init` has run.
    Hangs,
}

impl System {
    /// The line that it says just before it fails.
    pub const LAST_WORDS: &str = "story: failing now";

    fn overrides(self) -> Option<(&'static str, String)> {
        let (program, act) = match self {
            Self::Normal => return None,
            Self::Panics => ("sbin/init", "echo c >/proc/sysrq-trigger"),
            Self::HangsHard => ("sbin/init", "echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger"),
            Self::Restarts => ("sbin/init", "busybox reboot -f"),
            Self::Loops => ("sbin/init", "while :; do busybox sleep 1000; done"),
            Self::Reboots => ("init", "busybox reboot -f"),
            Self::Hangs => ("init", "while :; do busybox sleep 1000; done"),
        };
        Some((program, format!("#!/bin/sh\nPATH=/bin\necho '{}'\n{act}\n", Self::LAST_WORDS)))
    }
}

impl Image {
    /// Gives a slot the initramfs that it has in the original image, made to do this.
    ///
    /// # Errors
    /// When the slot cannot be read or written.
    pub fn install(&self, slot: Slot, system: System) -> Result {
        self.ext4_write(Part::from(slot), INITRAMFS, &self.initramfs(slot, system, &[])?)?;
        self.seal(slot)
    }

    /// The initramfs that a slot has in the original image, made to do this, with these files besides.
    ///
    /// # Errors
    /// When the slot cannot be read.
    pub fn initramfs(&self, slot: Slot, system: System, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
        let kept = self.beside(&format!("original-{slot}.gz"));
        if !kept.exists() {
            let original = self.ext4_read(Part::from(slot), INITRAMFS)?;
            std::fs::write(&kept, original).step(|| format!("write {}", kept.display()))?;
        }
        let mut initramfs = std::fs::read(&kept).step(|| format!("read {}", kept.display()))?;
        let act = system.overrides();
        let act = act.as_ref().map(|(program, script)| (*program, script.as_bytes()));
        let files: Vec<_> = act.into_iter().chain(files.iter().copied()).collect();
        if !files.is_empty() {
            newc::pad(&mut initramfs);
            initramfs.extend(newc::encode(&files));
        }
        Ok(initramfs)
    }
}
