//! The program as `/init` runs it: seeds in folders and on disks, what it writes, says, and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

#[path = "../../../core/tests/scene/skips.rs"]
mod skips;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use skips::skipped;

const GOOD: &str = "#cloud-config\nupdates:\n  server: http://x/u/\n  mark: init\n";

/// A box made of folders: its data partition, and what the kernel lists. Removed with this value.
struct Scene(PathBuf);

impl Scene {
    fn new() -> Scene {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ksolo-seed-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        for folder in ["data", "sys", "dev"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        Scene(path)
    }

    fn with_seed(user_data: impl AsRef<[u8]>) -> Scene {
        let made = Scene::new();
        made.write("data/cloud-init/user-data", user_data);
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    /// The lines of `update.conf` that are settings; `None` if there is no such file.
    fn conf(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.path("data/update/update.conf")).ok()?;
        Some(text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect())
    }

    fn run(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubesolo-cloud-init"));
        for (flag, folder) in [("--data", "data"), ("--sys", "sys"), ("--dev", "dev")] {
            command.arg(flag).arg(self.path(folder));
        }
        command.output().unwrap()
    }

    /// Runs it; its exit code must be this one, and its message hold that text.
    fn expect(&self, exit: i32, want: &str) {
        let ran = self.run();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(exit), "{said}");
        assert!(said.contains(want), "{said:?} does not say {want:?}");
        assert!(said.lines().all(|line| line.starts_with("kubesolo-cloud-init: ")), "{said:?}");
        assert!(ran.stdout.is_empty());
    }

    /// What is in the folder `update`.
    fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(self.path("data/update")) else { return Vec::new() };
        let mut kept: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
            .collect();
        kept.sort();
        kept
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[test]
fn a_good_seed_becomes_update_conf() {
    let place = Scene::with_seed(GOOD);
    place.expect(0, "written to");
    assert_eq!(place.conf().unwrap(), ["server=http://x/u/", "mark=init"]);
    let meta = fs::metadata(place.path("data/update/update.conf")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o644);
    let names: Vec<String> = place.kept().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["cloud-init.seed", "update.conf"]);
}

#[test]
fn without_a_seed_there_is_nothing_to_do_and_to_say() {
    let place = Scene::new();
    let ran = place.run();
    assert_eq!((ran.status.code(), ran.stderr.len(), place.kept().len()), (Some(0), 0, 0));
}

#[test]
fn a_hand_edited_file_stays() {
    for text in [
        "#cloud-config\n",
        "#cloud-config\nupdates:\n",
        "#cloud-config\nupdates: {}\n",
        "#cloud-config\nupdates:\n  server: ~\n",
        "#cloud-config\nhostname: box\n",
        "#!/bin/sh\necho no\n",
        "",
    ] {
        let place = Scene::with_seed(text);
        place.write("data/update/update.conf", "server=/by/hand\n");
        let before = place.kept();
        place.expect(0, "nothing to do");
        assert_eq!(place.kept(), before, "{text:?}");
    }
}

#[test]
fn a_seed_counts_once_and_a_later_edit_survives() {
    let place = Scene::with_seed(GOOD);
    place.expect(0, "written to");
    place.write("data/update/update.conf", "server=/by/hand\n");
    let ran = place.run();
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert_eq!(place.conf().unwrap(), ["server=/by/hand"]);

    // Another instance-id with the same user-data is another seed, and so is another user-data.
    place.write("data/cloud-init/meta-data", "instance-id: box-2\nlocal-hostname: a\n");
    place.expect(0, "written to");
    assert_eq!(place.conf().unwrap(), ["server=http://x/u/", "mark=init"]);
    place.write("data/update/update.conf", "server=/by/hand\n");
    place.write("data/cloud-init/meta-data", "{\"instance-id\": \"box-2\", \"local-hostname\": \"b\"}");
    assert_eq!(place.run().status.code(), Some(0));
    assert_eq!(place.conf().unwrap(), ["server=/by/hand"], "the instance-id is the same");
    place.write("data/cloud-init/user-data", GOOD.replace("/u/", "/v/"));
    place.expect(0, "written to");
    assert_eq!(place.conf().unwrap(), ["server=http://x/v/", "mark=init"]);
}

#[test]
fn an_unknown_key_is_a_warning() {
    let place = Scene::with_seed("#cloud-config\nupdates:\n  server: /srv\n  colour: red\n");
    place.expect(0, "user-data:4: unknown key updates.colour");
    assert_eq!(place.conf().unwrap(), ["server=/srv"]);
}

/// A seed that is not read must not go by in silence.
#[test]
fn what_is_not_read_here_is_told_with_what_to_do() {
    for (text, want) in [
        ("", "its first line is not #cloud-config; put that line"),
        ("hostname: x\n", "its first line is not #cloud-config; put that line"),
        ("#!/bin/sh\n", "a script, which is not run here"),
        ("Content-Type: multipart/mixed; boundary=x\n", "a MIME document, which is not read here; put its"),
        ("#include\nhttp://x/\n", "are not fetched here"),
        ("#cloud-config\nhostname: x\n", "no updates: block"),
    ] {
        let place = Scene::with_seed(text);
        place.expect(0, want);
        place.expect(0, "; nothing to do");
        assert!(place.kept().is_empty(), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_and_changes_nothing() {
    let long = [GOOD.as_bytes(), &b"# padding\n".repeat(1 << 20)].concat();
    let rows: &[(&str, &[u8], &str)] = &[
        ("malformed", b"#cloud-config\nupdates:\n  server: [\n", "user-data:4: not YAML"),
        ("broken further down", b"#cloud-config\nupdates:\n  server: /srv\nruncmd: \"\n", "user-data:4: not YAML"),
        ("bad value", b"#cloud-config\nupdates:\n  server: /srv\n  mark: maybe\n", "user-data:4: updates.mark cannot"),
        (
            "second key in a value",
            b"#cloud-config\nupdates:\n  server: \"a\\nmark=init\"\n",
            "user-data:3: updates.server",
        ),
        ("NUL", b"#cloud-config\nupdates:\n  server: /a\0b\n", "user-data:3: holds a NUL"),
        ("not UTF-8", b"#cloud-config\nupdates:\n  server: /a\xff\n", "user-data:3: not text"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0", "user-data: packed by gzip"),
        ("UTF-16", b"\xff\xfe#\0c\0", "user-data: text in UTF-16; save it as UTF-8"),
        (
            "jinja",
            b"## template: jinja\n#cloud-config\nupdates:\n  server: /{{ a }}\n",
            "user-data:4: a jinja template",
        ),
        ("10 MB", &long, "longer than 1048576 bytes"),
        (
            "two documents",
            b"#cloud-config\nupdates:\n  server: /a\n---\nupdates: {}\n",
            "user-data:4: a second document",
        ),
        ("two blocks", b"#cloud-config\nupdates:\n  server: /a\nupdates: {}\n", "user-data:4: updates stands here"),
    ];
    for (name, text, want) in rows {
        for by_hand in [false, true] {
            let place = Scene::with_seed(text);
            if by_hand {
                place.write("data/update/update.conf", "server=/by/hand\n");
            }
            let before = place.kept();
            place.expect(7, want);
            place.expect(7, "; nothing was changed"); // again: a seed that failed is not remembered
            assert_eq!(place.kept(), before, "{name}");
        }
    }
}

#[test]
fn only_a_plain_file_is_read() {
    let place = Scene::new();
    place.write("elsewhere", GOOD);
    fs::create_dir_all(place.path("data/cloud-init")).unwrap();
    symlink(place.path("elsewhere"), place.path("data/cloud-init/user-data")).unwrap();
    place.expect(7, "is a symbolic link");

    let place = Scene::new();
    fs::create_dir_all(place.path("data/cloud-init")).unwrap();
    let made = Command::new("mkfifo").arg(place.path("data/cloud-init/user-data")).status().unwrap();
    assert!(made.success());
    place.expect(7, "is no file");
    assert_eq!(place.conf(), None);
}

#[test]
fn a_link_in_place_of_update_conf_is_replaced_and_not_written_through() {
    let place = Scene::with_seed(GOOD);
    place.write("elsewhere", "precious\n");
    fs::create_dir_all(place.path("data/update")).unwrap();
    for name in ["update.conf", "update.conf.new", "cloud-init.seed", "cloud-init.seed.new"] {
        symlink(place.path("elsewhere"), place.path("data/update").join(name)).unwrap();
    }
    place.expect(0, "written to");
    assert_eq!(fs::read_to_string(place.path("elsewhere")).unwrap(), "precious\n");
    assert!(fs::symlink_metadata(place.path("data/update/update.conf")).unwrap().is_file());
    assert_eq!(place.kept().len(), 2);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let place = Scene::with_seed(GOOD);
    place.write("data/update", "a file where the folder should be");
    place.expect(6, "data/update: Not a directory");
}

#[test]
fn the_new_file_is_synced_before_it_takes_the_name() {
    let place = Scene::with_seed(GOOD);
    let trace = place.path("trace");
    let ran = Command::new("strace")
        .args(["-f", "-e", "trace=renameat,renameat2,fsync,fdatasync,mkdirat", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_kubesolo-cloud-init"))
        .args(["--data", place.path("data").to_str().unwrap(), "--seed"])
        .arg(place.path("data/cloud-init"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let calls: Vec<String> = fs::read_to_string(trace)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('(').map(|(call, _)| call.to_owned()))
        .collect();
    let one = ["fsync", "renameat", "fsync"];
    assert_eq!(calls, [&["mkdirat", "fsync"], one.as_slice(), one.as_slice()].concat());
}

/// A FAT or ISO filesystem with that label and a good seed on it.
fn volume(place: &Scene, name: &str, kind: &str, label: &str) {
    place.write("seed/user-data", GOOD);
    place.write("seed/meta-data", "instance-id: stick\n");
    let image = place.path("dev").join(name);
    let must = |command: &mut Command| {
        let ran = command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    if kind == "vfat" {
        must(Command::new("mkfs.fat").args(["-n", label, "-C"]).arg(&image).arg("1024"));
        let files = [place.path("seed/user-data"), place.path("seed/meta-data")];
        must(Command::new("mcopy").arg("-i").arg(&image).args(files).arg("::"));
    } else {
        // The head of an ISO 9660 filesystem, as far as the label.
        let mut bytes = vec![0; 65536];
        bytes[32768..32774].copy_from_slice(b"\x01CD001");
        bytes[32808..32840].copy_from_slice(format!("{label:<32}").as_bytes());
        fs::write(&image, bytes).unwrap();
    }
    place.write(&format!("sys/{name}"), "");
}

#[test]
fn a_disk_is_found_by_its_label() {
    // A file is no block device: this far it comes without one, and says what it found.
    for (kind, label) in [("vfat", "CIDATA"), ("vfat", "cidata"), ("iso9660", "cidata"), ("iso9660", "CIDATA")] {
        let place = Scene::new();
        place.write("dev/vda", vec![0; 100_000]);
        place.write("sys/vda", "");
        volume(&place, "vdb", kind, label);
        place.expect(6, &format!("dev/vdb ({kind}): "));
        assert!(place.kept().is_empty());
    }
    for label in ["CIDATA2", "DATA", "XCIDATA"] {
        let place = Scene::new();
        volume(&place, "vdb", "vfat", label);
        assert_eq!(place.run().status.code(), Some(0), "{label}");
    }
}

/// Windows and mlabel write it there alone.
#[test]
fn a_fat_label_in_the_root_folder_alone_is_read() {
    for (kind, kilobytes, at) in [("12", "1024", 43), ("16", "16384", 43), ("32", "40000", 71)] {
        let place = Scene::new();
        let image = place.path("dev/vdb");
        let mut mkfs = Command::new("/usr/sbin/mkfs.fat");
        mkfs.args(["-F", kind, "-n", "CIDATA", "-C"]).arg(&image).arg(kilobytes);
        assert!(mkfs.output().unwrap().status.success());
        let mut bytes = fs::read(&image).unwrap();
        assert_eq!(&bytes[at..at + 11], b"CIDATA     ");
        bytes[at..at + 11].copy_from_slice(b"NO NAME    ");
        fs::write(&image, &bytes).unwrap();
        place.write("sys/vdb", "");
        place.expect(6, "dev/vdb (vfat): ");
        // A deleted entry is none.
        let root = bytes.windows(12).position(|part| part == b"CIDATA     \x08").unwrap();
        bytes[root] = 0xe5;
        fs::write(&image, &bytes).unwrap();
        assert_eq!(place.run().status.code(), Some(0), "FAT{kind}");
        // Nor is anything read into numbers that cannot be.
        for at in [11, 13, 14, 16, 17, 22, 36, 44] {
            bytes[at..at + 2].fill(0xff);
            fs::write(&image, &bytes).unwrap();
            assert_eq!(place.run().status.code(), Some(0), "FAT{kind}, byte {at}");
        }
    }
}

#[test]
fn an_empty_optical_drive_is_not_looked_into() {
    for (size, exit) in [("2097151\n", 0), ("0\n", 0), ("720\n", 6)] {
        let place = Scene::new();
        volume(&place, "sr0", "iso9660", "cidata");
        fs::remove_file(place.path("sys/sr0")).unwrap();
        place.write("sys/sr0/uevent", "MAJOR=11\nMINOR=0\nDEVNAME=sr0\nDEVTYPE=disk\n");
        place.write("sys/sr0/size", size);
        assert_eq!(place.run().status.code(), Some(exit), "{size}");
    }
}

#[test]
fn two_disks_with_the_label_are_one_too_many() {
    let place = Scene::new();
    volume(&place, "vdb", "vfat", "CIDATA");
    volume(&place, "vdc", "iso9660", "cidata");
    place.expect(4, "dev/vdb and ");
}

#[test]
fn the_data_partition_comes_before_a_disk() {
    let place = Scene::with_seed("#cloud-config\nupdates:\n  server: /from/data\n");
    volume(&place, "vdb", "vfat", "CIDATA");
    place.expect(0, "written to");
    assert_eq!(place.conf().unwrap(), ["server=/from/data"]);
}

/// The real thing, where this machine lets a filesystem be mounted; else it says that it was skipped.
#[test]
fn a_seed_is_read_from_a_mounted_disk() {
    let place = Scene::new();
    volume(&place, "image", "vfat", "CIDATA");
    fs::remove_file(place.path("sys/image")).unwrap();
    let losetup = |words: &[&str]| {
        Command::new("losetup")
            .args(words)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .ok()
            .filter(|ran| ran.status.success())
    };
    let drivers = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !drivers.lines().any(|line| line.ends_with("\tvfat")) {
        return skipped("this kernel has no vfat driver loaded");
    }
    let Some(made) = losetup(&["-r", "-f", "--show", place.path("dev/image").to_str().unwrap()]) else {
        return skipped("no loop device to be had");
    };
    let node = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    fs::write(place.path("sys").join(Path::new(&node).file_name().unwrap()), "").unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_kubesolo-cloud-init"))
        .args(["--dev", "/dev", "--data", place.path("data").to_str().unwrap(), "--sys"])
        .arg(place.path("sys"))
        .output()
        .unwrap();
    losetup(&["-d", &node]);
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(place.conf().unwrap(), ["server=http://x/u/", "mark=init"]);
}

#[test]
fn the_command_line_is_explained() {
    let run = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_kubesolo-cloud-init")).args(words).output().unwrap();
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    for code in ["   0  ", "   2  ", "   4  ", "   6  ", "   7  "] {
        assert!(text.contains(code), "{text}");
    }
    assert_eq!(run(&["--frob"]).status.code(), Some(2));
    assert_eq!(run(&["--data"]).status.code(), Some(2));
}
