//! The update verbs on files: a folder for the server, a folder for the target slot, the env block in a file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::scene::machine::{Machine, state};
use crate::scene::{self, Ran, run};
use kubesolo_boot::update::target::partial_name;
use kubesolo_core::boot::slot::Slot::A;
use kubesolo_core::boot::slot::SlotState::{self, Bad, Empty, Good, Staged, Trial};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::manifest::Manifest;

const REFUSED: i32 = 7;
const UNTRUSTED: i32 = 9;
/// The verbs that take `--target`.
const TARGET: [&str; 3] = ["check", "apply", "activate"];

/// A box that runs slot A, and a folder that offers it an update.
pub struct Fleet {
    pub machine: Machine,
}

impl Fleet {
    pub fn new(b: SlotState) -> Fleet {
        let machine = Machine::with_state(state(A, 3, true, Good, b));
        machine.cmdline("ksolo.slot=A ksolo.state=good");
        machine.folder.write("target/keep", "");
        machine.folder.write("server/kernel", "a kernel of some length");
        machine.folder.write("server/initrd", vec![7; 200_000]);
        let fleet = Fleet { machine };
        fleet.publish("1.1.0", "");
        fleet
    }

    /// Writes `latest.json` for the files as they are.
    pub fn publish(&self, version: &str, more: &str) {
        let hash = |name: &str| Hash::of(&self.machine.folder.read(name).unwrap()).to_string();
        let size = |name: &str| self.machine.folder.read(name).unwrap().len();
        self.machine.folder.write(
            "server/latest.json",
            format!(
                "{{\"version\":\"{version}\",\"vmlinuz_url\":\"kernel\",\"initramfs_url\":\"initrd\",\
                 \"vmlinuz_sha256\":\"{}\",\"initramfs_sha256\":\"{}\",\"vmlinuz_size\":{},\"initramfs_size\":{}{more}}}",
                hash("server/kernel"),
                hash("server/initrd"),
                size("server/kernel"),
                size("server/initrd"),
            ),
        );
    }

    pub fn run(&self, words: &str) -> Ran {
        let target = self.machine.folder.text("target");
        let verb = words.split(' ').next().unwrap();
        let flags = self.machine.flags_of(verb);
        let words = words.split_whitespace().map(|word| word.replace("SERVER", &self.machine.folder.text("server")));
        let target = ["--target".to_owned(), target].into_iter().filter(|_| TARGET.contains(&verb));
        let all: Vec<String> = words.chain(flags).chain(target).collect();
        run(scene::binary(), all, Path::new("/"))
    }

    pub fn ran(&self, words: &str, exit: i32, says: &str) {
        let ran = self.run(words);
        assert_eq!(ran.exit, exit, "{words}: {}{}", ran.out(), ran.stderr);
        assert!(format!("{}{}", ran.out(), ran.stderr).contains(says), "{words}: {}{}", ran.out(), ran.stderr);
    }

    pub fn b(&self) -> SlotState {
        self.machine.state().b
    }

    pub fn target(&self, name: &str) -> Option<Vec<u8>> {
        self.machine.folder.read(&format!("target/{name}"))
    }

    fn state_json(&self) -> String {
        String::from_utf8(self.machine.folder.read("data/update/state.json").unwrap()).unwrap()
    }

    pub fn phase(&self) -> String {
        let text = self.machine.folder.read("data/update/state.json").unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        json["phase"].as_str().unwrap().to_owned()
    }
}

const BOX: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_box_waits_for_its_wave() {
    let fleet = Fleet::new(Empty);
    fleet.machine.folder.write("machine-id", format!("{BOX}\n"));
    let me = format!("--machine-id {}", fleet.machine.folder.text("machine-id"));
    let waves = |start: &str| format!(",\"rollout\":\"1h:1 1d:100\",\"rollout_start\":\"{start}\"");
    fleet.publish("1.1.0", &waves("2999-01-01T00:00:00Z"));
    let when = "offered to this box from 2999-01-01T";
    fleet.ran(&format!("check SERVER --allow-downgrade {me}"), REFUSED, when);
    fleet.ran(&format!("check SERVER --json --allow-downgrade {me}"), REFUSED, "\"offered_from\":\"2999-01-01T");
    fleet.ran(&format!("apply SERVER --allow-downgrade {me}"), REFUSED, when);
    assert_eq!(fleet.b(), Empty);
    // Its group says otherwise, or the person at the box.
    fleet.ran(&format!("check SERVER --allow-downgrade --rollout-group canary {me}"), 0, "1.1.0 is available");
    fleet.ran(
        &format!("check SERVER --allow-downgrade --rollout-group late {me}"),
        REFUSED,
        "from 2999-01-02T00:00:00Z",
    );
    fleet.ran(&format!("check SERVER --allow-downgrade --force {me}"), 0, "1.1.0 is available");
    fleet.ran("check SERVER --allow-downgrade --machine-id /nowhere", REFUSED, "from 2999-01-02T00:00:00Z");
    // Its time was.
    fleet.publish("1.1.0", &waves("2026-01-01T00:00:00Z"));
    fleet.ran(&format!("apply SERVER --allow-downgrade {me}"), 0, "1.1.0");
    assert_eq!(fleet.b(), Staged);
}

#[test]
fn a_version_is_pinned_withdrawn_or_too_old_to_believe() {
    let fleet = Fleet::new(Empty);
    fleet.ran("check SERVER --allow-downgrade --want 1.2.0", REFUSED, "this box is to have version 1.2.0");
    fleet.ran("check SERVER --allow-downgrade --want v1.1.0", 0, "1.1.0 is available");
    for (more, says) in [
        (",\"withdrawn\":\"1.1.0\"", "withdrawn"),
        (",\"expires\":\"2026-01-01T00:00:00Z\"", "good until 2026-01-01T00:00:00Z"),
        (",\"rollout_start\":\"2026-01-01T00:00:00Z\",\"release_date\":\"2999-01-01\"", "clock"),
        (",\"rollout_start\":\"2026-01-01T00:00:00Z\",\"rollout\":\"1m:1\"", "stops before this box"),
    ] {
        fleet.publish("1.1.0", more);
        fleet.ran("apply SERVER --allow-downgrade --rollout-group late", REFUSED, says);
        assert_eq!(fleet.b(), Empty, "{more}");
    }
    fleet.ran("apply SERVER --allow-downgrade --force", 0, "1.1.0");
}

#[test]
fn what_was_withdrawn_since_is_not_activated() {
    let fleet = Fleet::new(Empty);
    fleet.ran("apply SERVER --allow-downgrade", 0, "1.1.0");
    fleet.publish("1.2.0", ",\"withdrawn\":\"1.1.0\"");
    fleet.ran("activate --server SERVER", REFUSED, "version 1.1.0 has been withdrawn");
    assert_eq!(fleet.b(), Staged, "it can be activated all the same");
    // A box that does not reach its server goes by what it knows.
    fleet.ran("activate --server http://127.0.0.1:1/", 0, "whether version 1.1.0 has been withdrawn is not known");
    assert_eq!(fleet.b(), Trial);
    let fleet = Fleet::new(Empty);
    fleet.ran("apply SERVER --allow-downgrade", 0, "1.1.0");
    fleet.publish("1.2.0", ",\"withdrawn\":\"1.1.0\"");
    fleet.ran("activate --server SERVER --force", 0, "boots next, on trial");
}

#[test]
fn an_update_is_installed_activated_and_committed() {
    let fleet = Fleet::new(Good);
    fleet.ran("check SERVER --allow-downgrade", 0, "Version 1.1.0 is available");
    fleet.ran("apply SERVER --allow-downgrade", 0, "Version 1.1.0 is installed in slot B");
    assert_eq!((fleet.b(), fleet.phase()), (Staged, "staged".into()));
    assert_eq!(fleet.target("vmlinuz"), fleet.machine.folder.read("server/kernel"));
    assert_eq!(fleet.target("kubesolo-os.gz"), fleet.machine.folder.read("server/initrd"));
    assert_eq!(fleet.target("slot.json"), fleet.machine.folder.read("server/latest.json"));
    assert_eq!(fleet.target("version").unwrap(), b"1.1.0\n");
    // GRUB reads this list as sha256sum does.
    let mut sha256sum = std::process::Command::new("sha256sum");
    sha256sum.args(["--check", "--strict", "--status", "SHA256SUMS"]).current_dir(fleet.machine.folder.path("target"));
    assert!(sha256sum.status().unwrap().success(), "{:?}", fleet.target("SHA256SUMS"));
    assert_eq!(fs::read_dir(fleet.machine.folder.path("target")).unwrap().count(), 6, "no part is left");
    fleet.ran("apply SERVER --allow-downgrade", 0, "already installed");

    fleet.ran("activate", 0, "Slot B boots next, on trial");
    let b = kubesolo_core::boot::slot::Slot::B;
    assert_eq!(fleet.machine.state(), BootState { active: b, success: false, ..state(b, 3, false, Good, Trial) });
    assert_eq!(fleet.phase(), "activated");
    fleet.ran("apply SERVER --allow-downgrade", REFUSED, "slot B boots next");

    fleet.machine.cmdline("ksolo.slot=B ksolo.state=trial");
    fleet.ran("apply SERVER --allow-downgrade", REFUSED, "is trial, not good");
    fleet.ran("commit", 0, "Slot B is good");
    assert_eq!((fleet.b(), fleet.phase()), (Good, "success".into()));
}

#[test]
fn what_is_refused_changes_nothing() {
    let rows: &[(&str, &str, &str)] = &[
        ("", "--maintenance-window 03:00-03:00", "maintenance window"),
        (",\"channel\":\"edge\"", "--channel stable --allow-downgrade", "channel"),
        (",\"architecture\":\"riscv64\"", "--allow-downgrade", "riscv64"),
        ("", "", "version"),
    ];
    for (more, flags, says) in rows {
        let fleet = Fleet::new(Good);
        fleet.publish("1.1.0", more);
        let before = fleet.machine.copies();
        fleet.ran(&format!("apply SERVER {flags}"), REFUSED, says);
        assert_eq!(fleet.machine.copies(), before, "{says}");
        assert_eq!(fs::read_dir(fleet.machine.folder.path("target")).unwrap().count(), 1, "{says}");
        let recorded = fleet.state_json();
        assert!(recorded.contains("\"phase\":\"failed\"") && recorded.contains(says), "{says}: {recorded}");
    }
}

/// A box that is refused an update asks again every some hours: that must not hide what it waits for, or why it went back.
#[test]
fn a_refusal_is_recorded_unless_more_is_at_stake() {
    for (phase, want) in [
        ("idle", "failed"),
        ("success", "failed"),
        ("failed", "failed"),
        ("downloading", "failed"),
        ("staged", "staged"),
        ("activated", "activated"),
        ("verifying", "verifying"),
        ("rolled_back", "rolled_back"),
    ] {
        let fleet = Fleet::new(Good);
        fleet.machine.folder.write(
            "data/update/state.json",
            format!("{{\"phase\":\"{phase}\",\"last_error\":\"as before\",\"known_bad\":\"00\"}}"),
        );
        fleet.ran("apply SERVER --maintenance-window 03:00-03:00", REFUSED, "maintenance window");
        let recorded = fleet.state_json();
        assert_eq!(fleet.phase(), want);
        assert_eq!(recorded.contains("as before"), phase == want && phase != "failed", "{phase}: {recorded}");
        assert!(recorded.contains("\"known_bad\":\"00\""), "{phase}: {recorded}");
    }
}

#[test]
fn files_that_do_not_fit_the_manifest_are_never_staged() {
    for spoil in ["kernel", "initrd"] {
        for how in ["shorter", "longer", "changed"] {
            let fleet = Fleet::new(Good);
            let name = format!("server/{spoil}");
            let mut bytes = fleet.machine.folder.read(&name).unwrap();
            match how {
                "shorter" => drop(bytes.pop()),
                "longer" => bytes.extend([0; 1000]),
                _ => bytes[3] ^= 1,
            }
            fleet.machine.folder.write(&name, bytes);
            fleet.ran("apply SERVER --allow-downgrade", 6, "fetch ");
            if how != "changed" {
                // What shows before the first byte costs nothing.
                assert_eq!(fleet.b(), Good, "{how}");
                continue;
            }
            assert_eq!((fleet.b(), fleet.phase()), (Empty, "failed".into()));
            fleet.ran("activate", REFUSED, "slot B is empty, not staged");
            fleet.ran("rollback", REFUSED, "slot B is empty, not good");
        }
    }
}

/// Every name in the folder and those below it, with its bytes.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap() {
            metadata if metadata.is_dir() => all.extend(everything(&path)),
            metadata if metadata.is_symlink() => all.push((path, Vec::new())),
            _ => all.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    all.sort();
    all
}

/// A full or read-only data partition keeps nobody from an update, and `init` is told that it was so before.
#[test]
fn activate_goes_by_the_slot_and_remembers_data_that_were_of_no_use_before() {
    let fleet = Fleet::new(Good);
    fleet.ran("apply SERVER --allow-downgrade", 0, "installed in slot B");
    let data = fleet.machine.folder.path("data");
    fs::rename(&data, data.with_extension("gone")).unwrap();
    fleet.ran("activate", 0, "warning: ");
    assert!(fleet.machine.state().data_excused);

    let fleet = Fleet::new(Good);
    fleet.ran("apply SERVER --allow-downgrade", 0, "installed in slot B");
    fleet.ran("activate", 0, "Slot B boots next, on trial");
    assert!(!fleet.machine.state().data_excused);
}

#[test]
fn names_in_the_manifest_lead_to_no_file_outside_the_slot() {
    for (kernel, initrd) in [
        ("../server/kernel", "./../server/../server/initrd"),
        ("SERVER/kernel", "file://SERVER/initrd"),
        ("sub/../../server/kernel", "initrd"),
        ("state.json", "grubenv"),
    ] {
        let fleet = Fleet::new(Good);
        let folder = &fleet.machine.folder;
        fs::create_dir_all(folder.path("server/sub")).unwrap();
        fs::copy(folder.path("server/kernel"), folder.path("server/state.json")).unwrap();
        fs::copy(folder.path("server/initrd"), folder.path("server/grubenv")).unwrap();
        let text = String::from_utf8(folder.read("server/latest.json").unwrap()).unwrap();
        let quoted = |name: &str| format!("\"{}\"", name.replace("SERVER", &folder.text("server")));
        let text = text.replace("\"kernel\"", &quoted(kernel)).replace("\"initrd\"", &quoted(initrd));
        folder.write("server/latest.json", text);

        let server = everything(&folder.path("server"));
        let names = |name: &str| -> Vec<_> {
            let names = fs::read_dir(folder.path(name)).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let around = names("");
        fleet.ran("apply SERVER --allow-downgrade", 0, "is installed");
        assert_eq!(everything(&folder.path("server")), server, "{kernel}");
        assert_eq!(names(""), around, "{kernel}");
        assert_eq!(
            names("target"),
            ["SHA256SUMS", "keep", "kubesolo-os.gz", "slot.json", "version", "vmlinuz"],
            "{kernel}"
        );
        assert_eq!(names("esp"), ["grubenv", "grubenv.bak"], "{kernel}");
        assert_eq!(names("data/update"), ["state.json"], "{kernel}");
    }
}

/// Nothing that a stick or a server says leads to another file of the box, and no device is opened.
#[test]
fn what_is_named_is_in_the_folder_or_on_the_web() {
    for (kernel, says) in [
        ("/dev/watchdog", "outside of its folder"),
        ("file:///dev/watchdog", "outside of its folder"),
        ("../outside", "outside of its folder"),
        ("link", "leads out of the folder"),
        ("device", "leads out of the folder"),
        ("pipe", "not a file"),
    ] {
        let fleet = Fleet::new(Good);
        let folder = &fleet.machine.folder;
        fs::copy(folder.path("server/kernel"), folder.path("outside")).unwrap();
        symlink("../outside", folder.path("server/link")).unwrap();
        symlink("/dev/null", folder.path("server/device")).unwrap();
        let pipe = folder.path("server/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let text = String::from_utf8(folder.read("server/latest.json").unwrap()).unwrap();
        folder.write("server/latest.json", text.replace("\"kernel\"", &format!("\"{kernel}\"")));
        fleet.ran("apply SERVER --allow-downgrade", 6, says);
        assert_eq!(fleet.b(), Good, "{kernel}");
        // The signature's own place is followed before anything is known to be true.
        folder.write("keys", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n");
        let text = text.replace("{\"version\"", &format!("{{\"metadata_sig_url\":\"{kernel}\",\"version\""));
        folder.write("server/latest.json", text);
        let keys = folder.text("keys");
        fleet.ran(&format!("check SERVER --allow-downgrade --pubkey {keys}"), UNTRUSTED, says);
    }
}

/// A file that was whole and wrong would be fetched whole at each run.
#[test]
fn a_wrong_file_is_not_fetched_again_soon() {
    let fleet = Fleet::new(Good);
    let mut bytes = fleet.machine.folder.read("server/initrd").unwrap();
    bytes[3] ^= 1;
    fleet.machine.folder.write("server/initrd", &bytes);
    fleet.ran("apply SERVER --allow-downgrade", 6, "do not fit its latest.json");
    fleet.ran("apply SERVER --allow-downgrade", REFUSED, "did not fit its latest.json (1 times)");
    fleet.ran("apply SERVER --allow-downgrade --force", 6, "do not fit its latest.json");
    fleet.ran("apply SERVER --allow-downgrade", REFUSED, "(2 times); it is fetched again after 2");
    // Another release is another file.
    fleet.publish("1.2.0", "");
    fleet.ran("apply SERVER --allow-downgrade", 0, "is installed");
}

/// Whoever wrote it: what acts on a terminal is shown and does not act.
#[test]
fn nothing_from_outside_acts_on_a_terminal() {
    const EVIL: &str = "a\\u001b[2Jb\\u0007c\\u009b31md\u{9b}32m";
    let clean = |ran: &Ran| {
        let all = format!("{}{}", ran.out(), ran.stderr);
        let acts = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
        assert!(!all.contains(acts), "{all:?}");
        all
    };
    let fleet = Fleet::new(Good);
    fleet
        .publish("1.1.0", &format!(",\"release_notes\":\"{EVIL}\",\"release_date\":\"{EVIL}\",\"channel\":\"{EVIL}\""));
    for words in ["check SERVER", "check SERVER --json", "apply SERVER --channel x", "check SERVER/none\u{9b}\u{85}"] {
        clean(&fleet.run(words));
    }
    fleet.machine.folder.write(
        "data/update/state.json",
        format!("{{\"phase\":\"failed\",\"to_version\":\"1.1.0\",\"last_error\":\"{EVIL}\"}}"),
    );
    for words in ["status", "status --json"] {
        let all = clean(&fleet.run(words));
        assert!(all.contains("[2Jb"), "{all}");
        if words.ends_with("json") {
            let json: serde_json::Value = serde_json::from_str(&all).unwrap();
            assert!(json.to_string().contains("\u{9b}32m"), "the same text: {all}");
        }
    }
    fleet.ran("env set evil=\u{1b}[2J\u{9b}x", 0, "");
    for words in ["env list", "env get evil", "env list --json"] {
        let all = clean(&fleet.run(words));
        assert!(all.contains("[2J"), "{all}");
    }
}

#[test]
fn a_link_in_the_slot_or_beside_the_state_is_not_followed() {
    for (name, exit) in [
        ("target/vmlinuz", 0),
        ("target/version", 0),
        ("target/version.part", 0),
        ("target/slot.json.part", 0),
        ("target/vmlinuz.0123456789abcdef.part", 0),
        ("target/PART", 6),
        ("data/update/state.json", 0),
        ("data/update/state.json.part", 0),
    ] {
        let fleet = Fleet::new(Good);
        let folder = &fleet.machine.folder;
        let hash = Manifest::parse(&folder.read("server/latest.json").unwrap()).unwrap().vmlinuz.sha256;
        let name = name.replace("PART", &partial_name("vmlinuz", &hash));
        folder.write("outside", "not yours");
        fs::create_dir_all(folder.path("data/update")).unwrap();
        symlink(folder.path("outside"), folder.path(&name)).unwrap();
        fleet.ran("apply SERVER --allow-downgrade", exit, "");
        assert_eq!(folder.read("outside").unwrap(), b"not yours", "{name}");
        for (path, _) in everything(&folder.path("target")).iter().filter(|_| exit == 0) {
            assert!(fs::symlink_metadata(path).unwrap().is_file(), "{name}: {}", path.display());
        }
    }
}

#[test]
fn a_staged_slot_that_has_changed_is_not_activated() {
    let fleet = Fleet::new(Good);
    fleet.ran("apply SERVER --allow-downgrade", 0, "installed");
    fleet.machine.folder.write("target/vmlinuz", "another kernel, of sorts");
    fleet.ran("activate", 6, "verify vmlinuz");
    assert_eq!(fleet.b(), SlotState::Bad);
}

#[test]
fn a_part_of_this_image_is_gone_on_with_and_one_of_another_is_dropped() {
    let fleet = Fleet::new(Good);
    fleet.machine.folder.write("target/vmlinuz.0123456789abcdef.part", "of another");
    fleet.ran("apply SERVER --allow-downgrade", 0, "installed");
    assert!(fleet.target("vmlinuz.0123456789abcdef.part").is_none());
}

#[test]
fn with_a_key_an_unsigned_update_is_refused_and_force_does_not_help() {
    let fleet = Fleet::new(Good);
    // RFC 8032, section 7.1, test 1.
    fleet.machine.folder.write("keys", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n");
    let keys = fleet.machine.folder.text("keys");
    let before = fleet.machine.copies();
    for signature in [None, Some(vec![0; 64]), Some(b"not a signature".to_vec())] {
        if let Some(signature) = signature {
            fleet.machine.folder.write("server/latest.json.sig", signature);
        }
        let flags = format!("--allow-downgrade --force --pubkey {keys}");
        fleet.ran(&format!("check SERVER {flags}"), UNTRUSTED, "check signature");
        fleet.ran(&format!("apply SERVER {flags}"), UNTRUSTED, "check signature");
    }
    assert_eq!(fleet.machine.copies(), before);
}

#[test]
fn what_a_person_means_is_said() {
    let fleet = Fleet::new(Good);
    let key = "0123456789abcdef".repeat(4);
    for (words, says) in [
        ("check", "a line server= in /var/lib/kubesolo/update/update.conf"),
        ("check updates.example:8080", "of a web server: http://updates.example:8080"),
        ("check updates.example/edge", "of a web server: http://updates.example/edge"),
        ("apply 10.0.2.2:80", "of a web server: http://10.0.2.2:80"),
        (&format!("check SERVER --pubkey {key}"), "is a key itself; write it into a file"),
    ] {
        fleet.ran(words, 2, says);
    }
}

#[test]
fn without_a_key_everybody_is_told() {
    Fleet::new(Good).ran("check SERVER --allow-downgrade", 0, "WARNING: no public key is configured");
}

#[test]
fn a_state_file_that_does_not_parse_is_set_aside() {
    let fleet = Fleet::new(Good);
    fleet.machine.folder.write("data/update/state.json", "{\"phase\":\"on fire\"");
    fleet.ran("apply SERVER --allow-downgrade", 0, "set aside");
    assert_eq!(fleet.phase(), "staged");
    assert!(fleet.machine.folder.read("data/update/state.json.broken").is_some());
}

/// A script stands in for kubectl: what it answers is what counts here.
#[test]
fn a_node_that_is_held_back_is_asked_about_and_no_answer_is_no_leave() {
    let node =
        |block: &str, boot: &str| format!("printf 'Node\\tbox\\tu\\t\\t\\t\\t\\t{block}\\t\\t{boot}\\t\\tTrue\\n'");
    let held = "updates.kubesolo.io/block=true; remove the label, or --force";
    let unknown = "cannot ask whether updates are held back: ask Kubernetes: ";
    let rows = [
        (format!("echo \"$@\" >asked; {}", node("true", "b1")), held),
        (format!("{}; {}", node("false", "b1"), node("true", "b0")), ""),
        (format!("{}; {}", node("", "b1"), node("", "b0")), ""),
        (node("true", "b0"), held),
        ("exit 0".into(), ""),
        (format!("{}; exit 1", node("", "b1")), unknown),
        ("yes & exec yes true".into(), unknown),
        ("exec sleep 60".into(), unknown),
        ("rm kubectl; exit 127".into(), unknown),
    ];
    let asks = &|(script, want): (String, &str)| {
        let fleet = Fleet::new(Good);
        fleet.machine.folder.write("boot_id", "b1\n");
        let folder = scene::Folder::on_disk();
        folder.write("kubectl", format!("#!/bin/sh\ncd {}\n{script}\n", folder.text("")));
        folder.write("config", "");
        fs::set_permissions(folder.path("kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
        let flags = format!("--mark init --kubectl {} --kubeconfig {}", folder.text("kubectl"), folder.text("config"));
        let apply = format!("apply SERVER --allow-downgrade {flags}");
        if want.is_empty() {
            fleet.ran(&apply, 0, "installed");
            return;
        }
        let began = Instant::now();
        fleet.ran(&apply, REFUSED, want);
        // kubectl has ten seconds, also where its words never end: `yes` by two, as one may pause.
        assert!(began.elapsed() < Duration::from_secs(60), "{script}");
        if let Some(asked) = folder.read("asked") {
            let asked = String::from_utf8(asked).unwrap();
            assert!(asked.contains("get nodes -o jsonpath=") && asked.contains("labels.updates"), "{asked}");
        }
        fleet.ran(&format!("{apply} --force"), 0, "installed");
    };
    // A row without an answer waits for one.
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(move || asks(row));
        }
    });
    // No kubeconfig, no Kubernetes to ask.
    let fleet = Fleet::new(Good);
    fleet.ran("apply SERVER --allow-downgrade --mark init --kubeconfig /nowhere --kubectl /nowhere", 0, "installed");
}

#[test]
fn an_image_that_was_rolled_back_from_is_taken_again_by_force_only() {
    let fleet = Fleet::new(Good);
    let document = fleet.machine.folder.read("server/latest.json").unwrap();
    let image = Manifest::parse(&document).unwrap().image();
    fleet.machine.folder.write("data/update/state.json", format!("{{\"known_bad\":\"00 {image}\"}}"));
    let before = fleet.machine.copies();
    let words = "SERVER --allow-downgrade";
    fleet.ran(&format!("check {words}"), REFUSED, "tried here and rolled back from");
    fleet.ran(&format!("apply {words}"), REFUSED, "to try it again: --force");
    assert_eq!(fleet.machine.copies(), before);
    fleet.ran(&format!("apply {words} --force"), 0, "installed");

    // The power went between a rollback and its record.
    let fleet = Fleet::new(Bad);
    fleet
        .machine
        .folder
        .write("data/update/state.json", format!("{{\"phase\":\"verifying\",\"to_image\":\"{image}\"}}"));
    fleet.ran(&format!("apply {words}"), REFUSED, "tried here and rolled back from");

    // The same version with other files is another image.
    let fleet = Fleet::new(Good);
    fleet.machine.folder.write("data/update/state.json", format!("{{\"known_bad\":\"{image}\"}}"));
    fleet.machine.folder.write("server/kernel", "a kernel that was mended");
    fleet.publish("1.1.0", "");
    fleet.ran(&format!("apply {words}"), 0, "installed");
}

#[test]
fn the_metrics_are_what_promtool_and_the_textfile_collector_read() {
    let fleet = Fleet::new(Good);
    fleet.ran("apply SERVER --allow-downgrade", 0, "installed");
    let path = fleet.machine.folder.text("kubesolo.prom");
    fleet.ran(&format!("metrics {path}"), 0, "");
    let text = String::from_utf8(fleet.machine.folder.read("kubesolo.prom").unwrap()).unwrap();
    assert_eq!(fleet.run("metrics").out(), text);
    for line in [
        "kubesolo_boot_counter 3",
        "kubesolo_boot_success 1",
        "kubesolo_update_attempts 1",
        "# TYPE kubesolo_update_attempts_total counter",
        "kubesolo_update_attempts_total 1",
        "kubesolo_slot{slot=\"A\",state=\"good\"} 1",
        "kubesolo_slot{slot=\"B\",state=\"staged\"} 0",
        "kubesolo_update_phase{phase=\"staged\"} 1",
        "kubesolo_update_phase{phase=\"failed\"} 0",
    ] {
        assert!(text.lines().any(|got| got == line), "{line} is not in\n{text}");
    }
    let number = text.lines().find_map(|line| line.strip_prefix("kubesolo_update_last_attempt_timestamp_seconds "));
    assert!(number.unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    for name in text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(['{', ' ']).next().unwrap()) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert_eq!(text.matches(&format!("# TYPE {name} {kind}\n")).count(), 1, "{name}");
    }
    fleet.ran("metrics /nowhere/x", 6, "write /nowhere/x: No such file or directory");
}

/// An `apply` before Kubernetes is up, or on a box without it.
#[test]
fn apply_says_what_it_would_excuse() {
    let excused = |settings: &str| {
        let fleet = Fleet::new(Good);
        fleet.machine.folder.write("conf", format!("healthcheck_timeout=0\n{settings}"));
        let ran = fleet.run("apply SERVER --allow-downgrade");
        assert_eq!(ran.exit, 0, "{settings}: {}", ran.stderr);
        let text = fleet.machine.folder.read("data/update/state.json").unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let names = json["failed_before"].as_str().unwrap().to_owned();
        let says = format!("these checks fail before the update, so that they cannot undo it: {names}\n");
        assert!(names.is_empty() || ran.stderr.contains(&says), "{settings}: {}", ran.stderr);
        names
    };
    assert_eq!(excused("containerd=/nowhere/socket\n"), "kube_system_ready", "it has Kubernetes");
    assert_eq!(excused("kubeconfig=/nowhere/config\n"), "kube_system_ready", "it has Kubernetes");
    assert_eq!(excused("kubeconfig=/nowhere/config\nmark=init\n"), "", "no check decides");
    let url = "healthcheck_url=http://127.0.0.1:1/\n";
    assert_eq!(excused(&format!("kubeconfig=/nowhere/config\n{url}")), "kube_system_ready probe_url");
    assert_eq!(excused(url), "containerd api_server node_ready kube_system_ready probe_url", "it has no Kubernetes");
}

/// What a newer version wrote is read as far as it is known, and what was rolled back from is not installed again.
#[test]
fn a_state_file_of_a_newer_version_keeps_its_known_bad_images() {
    let image = |fleet: &Fleet| {
        let document = fleet.machine.folder.read("server/latest.json").unwrap();
        Manifest::parse(&document).unwrap().image().as_str().to_owned()
    };
    let long = format!("\"notes\":\"{}\"", "x".repeat(9000));
    for strange in [
        "\"phase\":\"transcended\"",
        "\"attempt_count\":3.0,\"health_check_failures\":-1",
        "\"started_at\":\"2026-11-23T15:30:00.123456789+01:00\"",
        &long,
    ] {
        let fleet = Fleet::new(Good);
        let text = format!("{{{strange},\"known_bad\":\"{}\"}}", image(&fleet));
        fleet.machine.folder.write("data/update/state.json", &text);
        for verb in ["check", "apply"] {
            let ran = fleet.run(&format!("{verb} SERVER --allow-downgrade"));
            assert_eq!(ran.exit, REFUSED, "{strange}: {}{}", ran.out(), ran.stderr);
            assert!(!ran.stderr.contains("not JSON"), "{strange}: {}", ran.stderr);
        }
    }
    // In pieces: as far as it can be read.
    let fleet = Fleet::new(Good);
    fleet.machine.folder.write("data/update/state.json", format!("{{\"known_bad\":\"{}\",\"pha", image(&fleet)));
    fleet.ran("apply SERVER --allow-downgrade", REFUSED, "tried here and rolled back from");
}
