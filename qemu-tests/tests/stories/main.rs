//! Boots the real image: one file a story, each told under both firmwares, two at a time.
//!
//! A failed story's serial line is kept in `qemu-tests/logs/STORY-FIRMWARE.log`. `cargo test --test stories NAME` tells
//! one; `KSOLO_KEEP=1` leaves its disk in `build/qemu-tests/`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::failure::Result;
use qemu_tests::firmware::Firmware;
use qemu_tests::paths;
use qemu_tests::rig::Rig;
use qemu_tests::serial::Transcript;

type Story = fn(&mut Rig) -> Result;

/// Declares the files and lists their stories.
macro_rules! stories {
    ($($file:ident: $($story:ident),+;)+) => {
        $(mod $file;)+
        const STORIES: &[(&str, Story)] = &[$($((stringify!($story), $file::$story),)+)+];
    };
}

stories! {
    trial_fails_three_times: trial_fails_three_times, panic_resets_the_box;
    power_cuts: four_power_cuts_after_init, three_power_cuts_at_the_handover, three_power_cuts_of_a_running_system;
    data_partition: trial_is_given_up_when_data_writes_fail, trial_is_given_up_when_data_is_read_only;
    unfit_other_slot: empty_slot_is_never_booted, staged_slot_is_never_booted;
    commit: committed_trial_stays;
    slot_does_not_load: kernel_is_missing, initramfs_is_missing, filesystem_is_unreadable;
    env_block: both_copies_corrupt, both_copies_empty, both_copies_missing, only_one_copy;
    emergency_shell: emergency_shell_rolls_back;
    menu: slot_chosen_by_hand;
    fresh_image: fresh_image;
}

fn main() -> ExitCode {
    let args = Arguments::from_args();
    if let Err(failure) = paths::image()
        && !args.list
    {
        eprintln!("stories: {failure}");
        return ExitCode::FAILURE;
    }
    let pairs = STORIES.iter().flat_map(|story| Firmware::ALL.map(|firmware| (story, firmware)));
    let trials = pairs.map(|((name, story), firmware)| {
        Trial::test(format!("{name}::{firmware}"), move || tell(name, *story, firmware))
    });
    let conclusion = libtest_mimic::run(&args, trials.collect());
    if let Ok(mut told) = TOLD.lock() {
        told.sort();
        told.iter().for_each(|(name, took)| eprintln!("{:5.1} s  {name}", took.as_secs_f32()));
    }
    conclusion.exit_code()
}

/// How long each story took.
static TOLD: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

fn tell(name: &str, story: Story, firmware: Firmware) -> std::result::Result<(), Failed> {
    let transcript = Transcript::default();
    let start = Instant::now();
    let told = Rig::new(name, firmware, &transcript).and_then(|mut rig| story(&mut rig));
    if let Ok(mut list) = TOLD.lock() {
        list.push((format!("{name}::{firmware}"), start.elapsed()));
    }
    let log = paths::logs().join(format!("{name}-{firmware}.log"));
    match told {
        Ok(()) => {
            // A log of an earlier failure says nothing any more. It need not be there.
            drop(std::fs::remove_file(log));
            Ok(())
        }
        Err(failure) => {
            let kept = transcript.keep(&log).map_or_else(|e| e.to_string(), |()| log.display().to_string());
            Err(format!("{failure}\nserial line (all of it: {kept}):\n{}", transcript.tail(40)).into())
        }
    }
}
