//! Whether GRUB and Linux go by the same env block: what grub.cfg said on the kernel command line, against what is found.
//!
//! GRUB counts the boot, saves the block, reads it back, and puts that on the kernel command line as `ksolo.slot=`, `ksolo.state=`
//! and `ksolo.counter=`. Nothing writes the block between GRUB and `init`, so the two must be equal. If they are not, `apply` must
//! not write a block that GRUB does not read.

use core::fmt;

use crate::boot::cmdline::Cmdline;
use crate::boot::state::BootState;

/// How the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvMismatch {
    /// The slot was chosen in GRUB's menu, and is not the active one.
    ByHand,
    /// GRUB could not save that it counted this boot.
    NotSaved,
    /// GRUB read another block, or none, or somebody changed this one.
    OtherBlock,
}

impl EnvMismatch {
    /// All of them.
    pub const ALL: [EnvMismatch; 3] = [EnvMismatch::ByHand, EnvMismatch::NotSaved, EnvMismatch::OtherBlock];

    /// The word in records and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            EnvMismatch::ByHand => "by_hand",
            EnvMismatch::NotSaved => "not_saved",
            EnvMismatch::OtherBlock => "other_block",
        }
    }
}

impl fmt::Display for EnvMismatch {
    /// What it is, and how to repair it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EnvMismatch::ByHand => "this slot was chosen by hand, and another is active; reboot",
            EnvMismatch::NotSaved => {
                "GRUB could not save that it counted this boot; check the ESP (fsck.vfat), then reboot"
            }
            EnvMismatch::OtherBlock => {
                "GRUB goes by another env block than Linux finds; look for a second disk or ESP, then reboot"
            }
        })
    }
}

/// Compares the kernel command line with the block: its state as found, or `None` if no copy names a slot. Gives `None` if they are
/// equal, or an older grub.cfg wrote the command line, which does not say enough.
pub fn compare(cmdline: &Cmdline<'_>, block: Option<&BootState>) -> Option<EnvMismatch> {
    let slot = cmdline.booted().ok()??;
    let (state, counter) = (cmdline.state?, cmdline.counter?);
    if cmdline.via == Some("unsaved") {
        return Some(EnvMismatch::NotSaved);
    }
    let Some(block) = block else {
        return (counter != "none").then_some(EnvMismatch::OtherBlock);
    };
    let by_hand = cmdline.via == Some("menu");
    // GRUB counts every boot but one from its menu.
    let counted = by_hand || (slot == block.active && !block.success);
    if counter.as_bytes() != [block.counter.saturating_add(b'0')] || state != block.slot(slot).name() || !counted {
        return Some(EnvMismatch::OtherBlock);
    }
    (slot != block.active).then_some(EnvMismatch::ByHand)
}

/// Whether this can be the block that GRUB has read, where there are several. If GRUB could not save its count, the command line
/// has the count before it.
pub fn is_the_same_block(cmdline: &Cmdline<'_>, block: Option<&BootState>) -> bool {
    let via = if cmdline.via == Some("unsaved") { Some("menu") } else { cmdline.via };
    compare(&Cmdline { via, ..*cmdline }, block) != Some(EnvMismatch::OtherBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::slot::{Slot, SlotState};

    #[test]
    fn what_differs_is_named() {
        let counted = BootState { counter: 2, success: false, ..BootState::fresh(SlotState::Staged) };
        let marked = BootState::fresh(SlotState::Staged);
        let other = BootState { active: Slot::B, b: SlotState::Trial, ..counted };
        let said = "ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=auto";
        for (what, cmdline, block, want) in [
            ("counted and saved", said, Some(&counted), None),
            ("not counted", said, Some(&marked), Some(EnvMismatch::OtherBlock)),
            ("another slot is active", said, Some(&other), Some(EnvMismatch::OtherBlock)),
            (
                "another count",
                "ksolo.slot=A ksolo.state=good ksolo.counter=1",
                Some(&counted),
                Some(EnvMismatch::OtherBlock),
            ),
            (
                "another state",
                "ksolo.slot=A ksolo.state=trial ksolo.counter=2",
                Some(&counted),
                Some(EnvMismatch::OtherBlock),
            ),
            (
                "GRUB found none",
                "ksolo.slot=A ksolo.state=none ksolo.counter=none",
                Some(&counted),
                Some(EnvMismatch::OtherBlock),
            ),
            ("Linux finds none", said, None, Some(EnvMismatch::OtherBlock)),
            ("neither finds one", "ksolo.slot=A ksolo.state=none ksolo.counter=none", None, None),
            (
                "not saved",
                "ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=unsaved",
                Some(&counted),
                Some(EnvMismatch::NotSaved),
            ),
            (
                "by hand",
                "ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=menu",
                Some(&other),
                Some(EnvMismatch::ByHand),
            ),
            (
                "by hand, the active one",
                "ksolo.slot=A ksolo.state=good ksolo.counter=3 ksolo.via=menu",
                Some(&marked),
                None,
            ),
            (
                "by hand, of another block",
                "ksolo.slot=A ksolo.state=good ksolo.counter=1 ksolo.via=menu",
                Some(&other),
                Some(EnvMismatch::OtherBlock),
            ),
            ("an older grub.cfg", "ksolo.slot=A", Some(&marked), None),
            ("another loader", "quiet", Some(&marked), None),
        ] {
            assert_eq!(compare(&Cmdline::parse(cmdline), block), want, "{what}");
        }
    }

    /// Of two disks with the same image.
    #[test]
    fn a_block_that_grub_did_not_count_in_is_another() {
        let counted = BootState { counter: 2, success: false, ..BootState::fresh(SlotState::Staged) };
        let copy = BootState::fresh(SlotState::Staged);
        for (cmdline, ours, other) in [
            ("ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=auto", Some(&counted), Some(&copy)),
            // GRUB could not save its count.
            ("ksolo.slot=A ksolo.state=good ksolo.counter=3 ksolo.via=unsaved", Some(&copy), Some(&counted)),
            ("ksolo.slot=B ksolo.state=staged ksolo.counter=3 ksolo.via=menu", Some(&copy), Some(&counted)),
            ("ksolo.slot=A ksolo.state=none ksolo.counter=none", None, Some(&counted)),
        ] {
            assert!(is_the_same_block(&Cmdline::parse(cmdline), ours), "{cmdline}");
            assert!(!is_the_same_block(&Cmdline::parse(cmdline), other), "{cmdline}");
        }
    }
}
