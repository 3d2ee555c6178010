//! Boots the real image: one file a story, two at a time on each core. One of each kind in which GRUB decides is told under both
//! firmwares of a PC, the first of them on arm64 too; the others, in which the same grub.cfg decides, and those about the running
//! system are told under one.
//!
//! A failed story's serial line is kept in `qemu-tests/logs/STORY-FIRMWARE.log`. `cargo test --test stories NAME` tells
//! one; `KSOLO_KEEP=1` leaves its disk in `build/qemu-tests/`.

mod bad_image;
mod bad_update;
mod bios;
mod boot_entry;
mod broken_download;
mod commit;
mod data_partition;
mod dead_man;
mod early_cuts;
mod emergency_shell;
mod env_block;
mod fat_chain;
mod fetches_what_changed;
mod foreign_data;
mod fresh_image;
mod grows;
mod hardware;
mod health;
mod hostile_server;
mod larger_disks;
mod last_boots;
mod late_disk;
mod menu;
mod mistakes;
mod noise;
mod older_box;
mod power_cut_in_apply;
mod power_cuts;
mod random_cuts;
mod replay;
mod seed;
mod slot_does_not_load;
mod split;
mod stalled_disk;
mod target_slot;
mod trial_fails_three_times;
mod two_at_once;
mod two_disks;
mod uefi;
mod uefi32;
mod unfit_other_slot;
mod update;
mod update_back;
mod usb_stick;
mod watchdog;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::failure::Result;
use qemu_tests::firmware::Firmware;
use qemu_tests::machine;
use qemu_tests::paths;
use qemu_tests::rig::Rig;
use qemu_tests::serial::Transcript;

type Story = fn(&mut Rig) -> Result;

/// Lists the stories of the files, with the firmwares that each is told under.
macro_rules! stories {
    ($($firmwares:expr => { $($file:ident: $($story:ident),+;)+ })+) => {
        const STORIES: &[(&str, Story, &[Firmware])] =
            &[$($($((stringify!($story), $file::$story, $firmwares),)+)+)+];
    };
}

stories! {
    &Firmware::ALL => {
        trial_fails_three_times: trial_fails_three_times, status_says_why, panic_resets_the_box;
        slot_does_not_load: kernel_is_missing, initramfs_is_missing, filesystem_is_unreadable;
        update: update_from_the_web;
    }
    &Firmware::PC => {
        power_cuts: two_power_cuts_after_init;
        commit: committed_trial_stays;
        env_block: both_copies_corrupt;
        emergency_shell: emergency_shell_rolls_back;
        menu: slot_chosen_by_hand;
        bad_image: flipped_bits_in_the_initramfs_of_a_trial, zeros_in_the_kernel_of_a_trial;
        noise: stray_keys_at_the_question, a_line_that_echoes;
        fresh_image: fresh_image;
        hardware: boots_from_virtio_blk, boots_from_virtio_scsi, boots_from_nvme, boots_from_sata, boots_from_ide,
            boots_from_a_usb_stick;
    }
    &[Firmware::Bios] => {
        bios: boots_from_an_sd_card, boots_from_pvscsi, boots_from_megaraid;
        power_cuts: three_power_cuts_at_the_handover, three_power_cuts_of_a_running_system,
            two_power_cuts_after_a_look_at_the_box;
        unfit_other_slot: empty_slot_is_never_booted, staged_slot_is_never_booted;
        env_block: both_copies_empty, both_copies_missing, only_one_copy;
        bad_image: flipped_bits_in_a_good_slot;
        early_cuts: a_good_slot_is_not_lost_to_power_cuts_before_init, a_good_slot_that_never_gets_up_again;
        data_partition: trial_is_given_up_when_data_writes_fail, trial_is_given_up_when_data_is_read_only,
            what_e2fsck_leaves_to_a_person_is_repaired;
        late_disk: a_trial_waits_for_a_late_usb_disk;
        last_boots: clean_stop_and_power_cut_are_told_apart, panic_is_told;
        grows: a_larger_disk_is_filled;
        replay: replayed_writes;
        random_cuts: random_cuts_1, random_cuts_2, soak_1, soak_2;
        fat_chain: a_broken_fat_chain_is_mended, a_folder_in_the_place_of_a_copy_makes_way, mending_a_fat_chain_replayed, both_fat_chains_broken, a_full_esp_takes_a_commit;
        update_back: next_update_goes_into_the_first_slot;
        bad_update: bad_update_is_given_up;
        power_cut_in_apply: power_cut_in_apply_1, power_cut_in_apply_2;
        broken_download: download_resumes_when_the_server_is_back;
        fetches_what_changed: updates_fetch_what_changed;
        usb_stick: update_from_a_usb_stick;
        hostile_server: hostile_servers_change_nothing;
        larger_disks: power_cuts_while_it_grows, a_disk_of_two_tebibytes, no_growing_where_it_is_turned_off;
        target_slot: target_is_full, target_is_no_filesystem, target_filesystem_is_damaged,
            leftovers_of_another_version_make_room;
        watchdog: a_trial_that_hangs_hard_ends_in_the_old_slot, a_fed_trial_lives_and_is_committed,
            a_trial_whose_real_init_loops_is_reset_by_the_board, a_trial_whose_real_init_loops_is_reset_by_softdog;
        split: forced_update_of_a_slot_chosen_by_hand, grub_that_cannot_save, grub_with_another_block;
        dead_man: a_trial_whose_init_hangs_is_restarted;
        stalled_disk: a_trial_whose_disk_stalls_is_restarted;
        two_at_once: two_updates_at_once;
        older_box: an_older_box_is_moved;
        seed: seed_sets_a_box_up_once;
        mistakes: a_person_makes_each_mistake;
        foreign_data: a_data_partition_of_another_kind_is_left_alone;
        two_disks: of_two_copies_the_booted_one_is_marked, a_foreign_disk_that_stalls_holds_nothing_up,
            a_foreign_disk_that_stalls_at_power_on, what_is_written_after_the_sync_holds_no_restart_up, a_verb_ends_when_the_disk_stalls;
        health: sick_update_is_rolled_back, health_may_come_late, full_or_read_only_data_keep_no_sick_trial,
            the_url_decides_by_its_answer;
    }
    &[Firmware::Uefi] => {
        boot_entry: a_boot_entry_keeps_the_guid_it_goes_by;
        uefi: panic_is_told_by_efi_variables, boots_from_a_4k_native_disk;
    }
    &[Firmware::Uefi32] => {
        uefi32: boots_by_32_bit_uefi;
    }
}

/// Told by `make test`, under both firmwares of a PC, with `-- '[smoke]'`: a story of each kind. `make proof` tells the others.
const SMOKE: &[&str] = &[
    "fresh_image",
    "trial_fails_three_times",
    "kernel_is_missing",
    "two_power_cuts_after_init",
    "update_from_the_web",
    "committed_trial_stays",
    "both_copies_corrupt",
    "emergency_shell_rolls_back",
    "slot_chosen_by_hand",
];

/// Told with `-- '[waits]'`, beside others: they wait for time-outs, and need a core for a small part of their time.
const WAITS: &[&str] = &[
    "a_foreign_disk_that_stalls_at_power_on",
    "a_foreign_disk_that_stalls_holds_nothing_up",
    "a_fed_trial_lives_and_is_committed",
    "a_trial_that_hangs_hard_ends_in_the_old_slot",
    "a_trial_whose_disk_stalls_is_restarted",
    "a_trial_whose_init_hangs_is_restarted",
    "a_trial_whose_real_init_loops_is_reset_by_softdog",
    "a_trial_whose_real_init_loops_is_reset_by_the_board",
    "a_verb_ends_when_the_disk_stalls",
    "health_may_come_late",
    "what_is_written_after_the_sync_holds_no_restart_up",
];

fn main() -> ExitCode {
    for name in SMOKE.iter().chain(WAITS) {
        assert!(STORIES.iter().any(|(story, ..)| story == name), "no story is named {name}");
    }
    let mut args = Arguments::from_args();
    // A guest waits for GRUB's seconds, for disks and for timers: each keeps about half of a core busy.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    args.test_threads.get_or_insert(2 * cores);
    if let Err(failure) = paths::image(Firmware::Bios)
        && !args.list
    {
        eprintln!("stories: {failure}");
        return ExitCode::FAILURE;
    }
    let trials = STORIES.iter().flat_map(|(name, story, firmwares)| {
        let trial = move |firmware| {
            let trial = Trial::test(format!("{name}::{firmware}"), move || tell(name, *story, firmware));
            let kind = match *name {
                name if SMOKE.contains(&name) && Firmware::PC.contains(&firmware) => "smoke",
                name if WAITS.contains(&name) => "waits",
                _ => "",
            };
            // Only for who asks for it: `make soak`.
            trial.with_ignored_flag(name.starts_with("soak_")).with_kind(kind)
        };
        firmwares.iter().copied().map(trial)
    });
    let conclusion = libtest_mimic::run(&args, trials.collect());
    if let Ok(mut told) = TOLD.lock() {
        told.sort();
        for (name, took, busy) in told.iter() {
            eprintln!("{:5.1} s, of which {:5.1} s of a core  {name}", took.as_secs_f32(), busy.as_secs_f32());
        }
    }
    conclusion.exit_code()
}

/// How long each story took, and how long of that its machines kept a core busy.
static TOLD: Mutex<Vec<(String, Duration, Duration)>> = Mutex::new(Vec::new());

fn tell(name: &str, story: Story, firmware: Firmware) -> std::result::Result<(), Failed> {
    let transcript = Transcript::default();
    let (start, idle) = (Instant::now(), machine::busy());
    let told = Rig::new(name, firmware, &transcript).and_then(|mut rig| story(&mut rig));
    if let Ok(mut list) = TOLD.lock() {
        list.push((format!("{name}::{firmware}"), start.elapsed(), machine::busy() - idle));
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
