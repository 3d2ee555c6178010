//! Knows what a person sees of GRUB: the menu and its entries; and the waits of grub.cfg, for tests that are about other things.

use crate::ensure_eq;
use crate::failure::Result;
use crate::firmware::Firmware;
use crate::follow::GRUB_STARTS;
use crate::image::Image;
use crate::machine::Machine;
use crate::rig::GRUB;

/// Where grub.cfg stands on the ESP.
pub const CFG: &str = "boot/grub/grub.cfg";

/// The waits of grub.cfg, and the same without waiting.
const WAITS: [(&str, &str); 2] =
    [("sleep --interruptible 2;", "sleep --interruptible 0;"), ("sleep 10\n", "sleep 0\n")];

/// The look at a slot's sums, and none.
const SUMS: (&str, &str) = ("hashsum --hash sha256 --check \"$dev/SHA256SUMS\" --prefix \"$dev\"\n", "true\n");

/// A line of the menu.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// As without the menu.
    Automatic,
    /// Slot A, once.
    SlotA,
    /// Slot B, once.
    SlotB,
    /// The active slot, with more messages.
    Debug,
    /// The active slot's initramfs, no further.
    Emergency,
}

impl Entry {
    const fn line(self) -> &'static str {
        match self {
            Entry::Automatic => "automatic",
            Entry::SlotA => "slot A, this once",
            Entry::SlotB => "slot B, this once",
            Entry::Debug => "debug messages",
            Entry::Emergency => "emergency shell",
        }
    }
}

impl Machine {
    /// Opens the menu at GRUB's question, chooses, and confirms.
    ///
    /// # Errors
    /// When the question, the menu or the line does not show in time.
    pub fn choose(&mut self, entry: Entry, firmware: Firmware) -> Result {
        self.wait_for(GRUB_STARTS, GRUB)?;
        self.escape(firmware)?;
        self.wait_for("ksolo: menu", GRUB)?;
        self.wait_for(&format!("ksolo:   {}", entry.line()), GRUB)?;
        self.escape(firmware)?;
        self.wait_for("ESC once more", GRUB)?;
        self.escape(firmware)
    }

    fn escape(&mut self, firmware: Firmware) -> Result {
        match firmware {
            Firmware::Bios => self.type_keys(b"\x1b"),
            // OVMF waits two seconds for what may follow an ESC on the serial line; a keyboard has no such doubt.
            Firmware::Uefi | Firmware::Uefi32 | Firmware::Arm64 => self.press("esc"),
        }
    }
}

impl Image {
    /// Takes the waits out of this image's grub.cfg, and changes nothing else in it.
    ///
    /// # Errors
    /// When grub.cfg does not have each wait once.
    pub fn skip_grub_waits(&self) -> Result {
        self.edit_grub(&WAITS)
    }

    /// Takes the waits and the look at the sums out: under TCG that is a quarter of a minute a boot. For stories that are about
    /// other things, and damage no slot.
    ///
    /// # Errors
    /// When grub.cfg does not have each once.
    pub fn hurry_grub(&self) -> Result {
        let [one, other] = WAITS;
        self.edit_grub(&[one, other, SUMS])
    }

    /// Replaces each of these, which stand there once.
    fn edit_grub(&self, edits: &[(&str, &str)]) -> Result {
        let mut text = String::from_utf8_lossy(&self.esp_read(CFG)?).into_owned();
        for (old, new) in edits {
            ensure_eq!(text.matches(old).count(), 1, "times that grub.cfg has {old:?}");
            text = text.replace(old, new);
        }
        self.esp_write(CFG, text.as_bytes())
    }

    /// Makes grub.cfg tell every kernel this besides: for an image that was not built for QEMU on a busy host, where the
    /// timer is late and Linux takes that for a broken board.
    ///
    /// # Errors
    /// When grub.cfg has no line for it.
    pub fn tell_kernel(&self, word: &str) -> Result {
        const LINE: &str = "set kernel_args=\"";
        self.edit_grub(&[(LINE, &format!("{LINE}{word} "))])
    }
}
