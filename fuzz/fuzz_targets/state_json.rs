//! `state.json`: what it says is written and read back the same, and what it remembers stays bounded.
#![no_main]

use kubesolo_boot::update::state::State;
use kubesolo_core::flow::ports::Progress;
use kubesolo_core::update::phase::Phase;
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

/// Longest file that is read.
const LEN_MAX: usize = 4096;
/// Most images that are remembered.
const KNOWN_BAD_MAX: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some(Ok(text)) = input.get(..input.len().min(LEN_MAX)).map(str::from_utf8) else { return };
    bounded(|| {
        let mut state = match State::parse(text) {
            Err(error) => return drop(error.to_string()),
            Ok(state) => state,
        };
        assert!(Phase::ALL.contains(&state.phase));
        same_again(&state);
        let before = state.known_bad.split(' ').count();
        for image in 0..2 * KNOWN_BAD_MAX {
            state.to_image = format!("{image:032x}");
            state.remember_bad();
            assert!(state.known_bad.ends_with(&state.to_image), "the newest is remembered");
            assert!(state.known_bad.split(' ').count() <= before.max(KNOWN_BAD_MAX));
        }
        same_again(&state);
        state.forget_bad();
        assert!(state.known_bad.split(' ').all(|image| image != state.to_image));
    });
});

fn same_again(state: &State) {
    let text = state.to_string();
    assert_eq!(State::parse(&text).as_ref(), Ok(state), "{text}");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
}
