//! Power on: GRUB by the model of its table and its `save_env`.

use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::{Found, Source, choose};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::{BootState, GrubBoot, grub_boot_without_block};

use crate::machine::{Firmware, Machine, Stop};

impl Machine {
    /// What GRUB makes of the block, by the model of its table, and the copy it goes by.
    pub fn grub_decides(&self, found: &[Found; 2]) -> (GrubBoot, Option<usize>) {
        let files = |slot| self.files(slot);
        match choose(&found[0], &found[1]) {
            Some((block, source @ (Source::First | Source::Second))) => {
                let copy = usize::from(source == Source::Second);
                let state = BootState::read_as_grub(&block, &|slot| self.is_populated(slot)).state;
                (state.grub_boot(files, self.grub_saves(found, copy)), Some(copy))
            }
            _ => {
                let on_disk = BootState::lost(Slot::A, |_| true);
                (GrubBoot { on_disk, first_save: None, booted: grub_boot_without_block(None, None, files) }, None)
            }
        }
    }

    pub fn grub_saves(&self, found: &[Found; 2], copy: usize) -> bool {
        !self.read_only[copy] && found[copy].fault().is_none()
    }

    /// Power on: GRUB reads, counts, saves and boots.
    pub fn grub(&mut self) -> Result<Slot, Stop> {
        self.booted = None;
        let found = self.load();
        let (boot, copy) = self.grub_decides(&found);
        if let Some(copy) = copy
            && self.grub_saves(&found, copy)
        {
            let block = found[copy].block().unwrap();
            let state = BootState::read_as_grub(&block, &|slot| self.is_populated(slot)).state;
            // It counts before it tries to load.
            for saved in
                boot.first_save.into_iter().chain((boot.first_save != Some(boot.on_disk)).then_some(boot.on_disk))
            {
                self.save_env(copy, saved)?;
            }
            if boot.on_disk.rollback_from != state.rollback_from && state.slot(state.active) == SlotState::Trial {
                let system = self.system(state.active);
                self.given_up = system.map(|version| (state.active, version));
            }
        }
        self.booted = boot.booted;
        boot.booted.ok_or(Stop::NothingBoots)
    }

    /// GRUB's `save_env`: the named variables, in the file's own blocks, without a sync.
    pub fn save_env(&mut self, copy: usize, state: BootState) -> Result<(), Stop> {
        use embedded_io::{Seek, SeekFrom, Write};

        let medium = &mut self.env[copy];
        let old = medium.cached.clone();
        let mut block = EnvBlock::parse(old.clone()).unwrap();
        let before = block.clone();
        state.write_to(&mut block).unwrap();
        // What an older block does not say of a slot, GRUB does not save, unless it gives the slot up.
        let unsaid = |slot: &Slot| before.get(slot.variable()).is_none() && state.slot(*slot) != SlotState::Bad;
        for slot in Slot::BOTH.into_iter().filter(unsaid) {
            block.unset(slot.variable().as_bytes());
        }
        for at in [0, SIZE / 2].into_iter().filter(|at| old[*at..at + SIZE / 2] != block.bytes()[*at..at + SIZE / 2]) {
            medium.seek(SeekFrom::Start(at as u64))?;
            medium.write(&block.bytes()[at..at + SIZE / 2])?;
        }
        let writes = medium.pending.len();
        self.firmware = Some(Firmware { copy, its_syncs: medium.syncs, all_syncs: self.fuse.syncs(), writes });
        Ok(())
    }
}
