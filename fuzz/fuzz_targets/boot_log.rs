//! The log of the last boots: whatever stands in it, the newest record is found, marks are added to it once, and the next boot's
//! record is read back.
#![no_main]

use kubesolo_core::boot::env_mismatch::EnvMismatch;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::history::boot_log::{Begun, LEN, Milestone, Record, SECTOR, Traces, newest, offset, record, sector};
use kubesolo_core::text::timestamp::Moment;
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    bounded(|| {
        let mut log = input.get(..input.len().min(LEN)).unwrap_or_default().to_vec();
        let before = newest(&log);
        if let Some(before) = before {
            assert_eq!(record(&log, before.number), Some(before));
            if let Some(longer) = before.with_milestone(Milestone::Failed) {
                let bytes = sector(&longer);
                let longer = Record::parse(&bytes).expect("a record with a milestone is one");
                assert!(longer.number == before.number && longer.has(Milestone::Failed));
                assert!(longer.boot_id() == before.boot_id() || before.boot_id().is_empty());
                assert!(longer.with_milestone(Milestone::Failed).is_none());
            }
        }
        let panic = before.map(|before| before.last_words());
        let traces = Traces { panic, watchdog: input.len() % 2 == 1 };
        let (slot, state, mismatch) = (Slot::B, SlotState::Trial, Some(EnvMismatch::NotSaved));
        let begun = Begun { boot_id: "id", slot, state, at: Moment(0), mismatch, before, traces };
        let (number, text, follows) = (begun.number(), begun.to_string(), before.is_some());
        assert!(text.len() < SECTOR, "{text}");
        log.resize(LEN, b' ');
        log[offset(number)..][..SECTOR].copy_from_slice(&sector(&text));
        let found = record(&log, number).expect("the record is in the log");
        assert_eq!((found.boot_id(), found.mismatch()), ("id", mismatch));
        assert_eq!(found.value("before").is_some(), follows);
    });
});
