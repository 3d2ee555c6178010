//! Knows how to make a slot's system fail: a small segment behind its initramfs that overrides one program.

use kubesolo_boot::slot::Slot;

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
        let kept = self.beside(&format!("original-{slot}.gz"));
        if !kept.exists() {
            let original = self.ext4_read(Part::from(slot), INITRAMFS)?;
            std::fs::write(&kept, original).step(|| format!("write {}", kept.display()))?;
        }
        let mut initramfs = std::fs::read(&kept).step(|| format!("read {}", kept.display()))?;
        if let Some((program, script)) = system.overrides() {
            newc::pad(&mut initramfs);
            initramfs.extend(newc::encode(&[(program, script.as_bytes())]));
        }
        self.ext4_write(Part::from(slot), INITRAMFS, &initramfs)
    }
}
