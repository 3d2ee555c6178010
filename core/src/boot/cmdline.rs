//! The kernel command line: the `ksolo.*` words that grub.cfg writes for Linux.

use crate::boot::slot::{Slot, SlotState};

/// What grub.cfg said about this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cmdline<'a> {
    /// `ksolo.slot=`: the slot that was booted, as written.
    pub slot: Option<&'a str>,
    /// `ksolo.state=`: its state at that moment; `none` where no env block could be read.
    pub state: Option<&'a str>,
    /// `ksolo.counter=`: boots left after this one.
    pub counter: Option<&'a str>,
    /// `ksolo.via=`: `auto`; `unsaved` if GRUB could not save its count; `menu` if a person chose.
    pub via: Option<&'a str>,
    /// `ksolo.partuuid=`: GPT partition GUID of the booted slot.
    pub partuuid: Option<&'a str>,
    /// `ksolo.disk=`: the disk to use, given by a person.
    pub disk: Option<&'a str>,
    /// `ksolo.mode=`: `debug` or `emergency`.
    pub mode: Option<&'a str>,
}

/// `ksolo.slot=` names no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSlot<'a>(pub &'a str);

impl<'a> Cmdline<'a> {
    /// Reads the `ksolo.*` words. If a word stands twice the last one counts, as for the kernel. A word that is not UTF-8 is
    /// skipped.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(text: &'a T) -> Cmdline<'a> {
        let mut cmdline = Cmdline::default();
        let words = text.as_ref().split(u8::is_ascii_whitespace);
        for word in words.filter_map(|word| core::str::from_utf8(word).ok()) {
            let Some((name, value)) = word.strip_prefix("ksolo.").and_then(|word| word.split_once('=')) else {
                continue;
            };
            let value = (!value.is_empty()).then_some(value);
            match name {
                "slot" => cmdline.slot = value,
                "state" => cmdline.state = value,
                "counter" => cmdline.counter = value,
                "via" => cmdline.via = value,
                "partuuid" => cmdline.partuuid = value,
                "disk" => cmdline.disk = value,
                "mode" => cmdline.mode = value,
                _ => {}
            }
        }
        cmdline
    }

    /// The slot that runs; `None` if the command line does not say: another boot loader, or another grub.cfg.
    ///
    /// # Errors
    /// [`UnknownSlot`] if it says something that is no slot.
    pub fn booted(&self) -> Result<Option<Slot>, UnknownSlot<'a>> {
        self.slot.map(|text| Slot::parse(text).ok_or(UnknownSlot(text))).transpose()
    }

    /// Whether GRUB booted this slot on trial.
    pub fn is_trial(&self) -> bool {
        self.state == Some(SlotState::Trial.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_picked_out_of_the_others() {
        let cmdline = Cmdline::parse(
            "BOOT_IMAGE=(hd0,gpt2)/vmlinuz ksolo.slot=B ksolo.state=trial ksolo.counter=2 ksolo.partuuid=0a ksolo.new=1 \
             ksolo.disk= quiet\n",
        );
        assert_eq!(cmdline.booted(), Ok(Some(Slot::B)));
        assert!(cmdline.is_trial());
        assert_eq!((cmdline.counter, cmdline.partuuid, cmdline.disk), (Some("2"), Some("0a"), None));
    }

    #[test]
    fn a_slot_that_is_none_is_an_error_and_a_missing_one_is_not() {
        assert_eq!(Cmdline::parse("ksolo.slot=C").booted(), Err(UnknownSlot("C")));
        assert_eq!(Cmdline::parse("quiet").booted(), Ok(None));
        assert_eq!(Cmdline::parse("ksolo.slot=A ksolo.slot=B").booted(), Ok(Some(Slot::B)));
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_word_only() {
        let cmdline =
            Cmdline::parse(b"\xff ksolo.slot=A panic=\xe9 ksolo.disk=\x80 ksolo.via=auto\xc3\nksolo.counter=2");
        assert_eq!((cmdline.booted(), cmdline.counter), (Ok(Some(Slot::A)), Some("2")));
        assert_eq!((cmdline.disk, cmdline.via), (None, None));
    }
}
