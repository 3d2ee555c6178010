//! Through a link named `grub-editenv` the program is that tool: the recorded vectors, and random files and commands run
//! through both. Same output, same exit code, same bytes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::scene::{Folder, Ran, Random, binary, cases, run, run_as, seed, skipped, tool};
use kubesolo_core::boot::env_block::EnvBlock;

const HEADER: &[u8] = b"# GRUB Environment Block\n";

/// Our program under the tool's name.
fn ours(folder: &Folder) -> PathBuf {
    let link = folder.path("grub-editenv");
    symlink(binary(), &link).unwrap();
    link
}

/// Reads the notation of `tests/golden/grubenv/README.md`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    let mut times = 1;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        let byte = if character == '\\' {
            let (kind, behind) = rest.split_at(1);
            rest = behind;
            match kind {
                "n" => b'\n',
                "s" => b' ',
                "\\" => b'\\',
                "e" => continue,
                "x" => {
                    let (hex, behind) = rest.split_at(2);
                    rest = behind;
                    u8::from_str_radix(hex, 16).unwrap()
                }
                "{" => {
                    let (count, behind) = rest.split_once('}').unwrap();
                    (times, rest) = (count.parse().unwrap(), behind);
                    continue;
                }
                other => panic!("\\{other}"),
            }
        } else {
            u8::try_from(character).unwrap()
        };
        bytes.extend(std::iter::repeat_n(byte, times));
        times = 1;
    }
    bytes
}

#[derive(Default)]
struct Step {
    words: Vec<Vec<u8>>,
    exit: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    file: Option<Vec<u8>>,
}

struct Vector {
    name: String,
    file: Option<Vec<u8>>,
    steps: Vec<Step>,
}

fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in include_str!("../golden/grubenv/vectors.txt").lines() {
        let (key, value) = line.split_once(' ').unwrap();
        if key == "case" {
            vectors.push(Vector { name: value.to_owned(), file: None, steps: Vec::new() });
            continue;
        }
        let vector = vectors.last_mut().unwrap();
        match (key, vector.steps.last_mut()) {
            ("step", _) => {
                let words = value.split(' ').map(unescape).collect();
                vector.steps.push(Step { words, ..Step::default() });
            }
            ("file", None) => vector.file = Some(unescape(value)),
            ("file", Some(step)) => step.file = Some(unescape(value)),
            ("exit", Some(step)) => step.exit = value.parse().unwrap(),
            ("stdout", Some(step)) => step.stdout = unescape(value),
            ("stderr", Some(step)) => step.stderr = unescape(value),
            _ => panic!("{line}"),
        }
    }
    vectors
}

#[test]
fn every_recorded_vector_comes_out_the_same() {
    let vectors = vectors();
    let mut steps = 0;
    for vector in &vectors {
        let folder = Folder::new();
        let program = ours(&folder);
        let mut want = vector.file.clone();
        if let Some(bytes) = &want {
            folder.write("grubenv", bytes);
        }
        for step in &vector.steps {
            let words = step.words.iter().cloned().map(OsString::from_vec);
            let ran = run(&program, std::iter::once(OsString::from("grubenv")).chain(words), &folder.path(""));
            let at = format!("{}: {:?}", vector.name, step.words);
            assert_eq!((ran.exit, &ran.stdout), (step.exit, &step.stdout), "{at}");
            let said = ran.stderr.lines().next().unwrap_or_default().replace(program.to_str().unwrap(), "grub-editenv");
            assert_eq!(said.as_bytes(), step.stderr, "{at}");
            want = step.file.clone().or(want);
            assert!(folder.read("grubenv") == want, "{at}: the file differs");
            steps += 1;
        }
    }
    assert_eq!((vectors.len(), steps), (105, 264));
}

/// Text that is likely to hit a corner: short names that meet again, escapes, line ends, padding, NUL.
fn random_text(random: &mut Random, len: usize) -> Vec<u8> {
    const COMMON: &[u8] = b"aabAB=01\\\n#_ ";
    (0..random.below(len + 1))
        .map(|_| match random.below(40) {
            0 => 0,
            1 => b'\r',
            2 => random.next() as u8,
            _ => *random.pick(COMMON),
        })
        .collect()
}

fn random_name(random: &mut Random) -> Vec<u8> {
    const NAMES: &[&str] =
        &["a", "b", "ab", "active_slot", "boot_counter", "slot_A", "slot_B", "", "#", "a\nb", "env_block"];
    if random.one_in(10) { random_text(random, 5) } else { random.pick(NAMES).as_bytes().to_vec() }
}

/// A file as it may lie on a disk: mostly a block, with something wrong in it as often as not.
fn random_file(random: &mut Random) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    match random.below(12) {
        0 => return random_text(random, 2100),
        1 => return (0..random.below(2101)).map(|_| random.next() as u8).collect(),
        2 => bytes.truncate(random.below(HEADER.len() + 1)),
        3 => bytes.extend(b"# WARNING: Do not edit this file by tools other than grub-editenv!!!\n"),
        4 => bytes[random.below(HEADER.len())] ^= 1 << random.below(8),
        _ => {}
    }
    let end: &[u8] = if random.one_in(10) { b"\r\n" } else { b"\n" };
    for _ in 0..random.below(9) {
        match random.below(12) {
            0 => bytes.extend(random_text(random, 40)),
            1 => bytes.extend(end),
            2 => {
                bytes.push(b'#');
                bytes.extend(random_text(random, 20));
            }
            _ => {
                bytes.extend(random_name(random));
                bytes.push(b'=');
                let len = if random.one_in(8) { 400 } else { 12 };
                let value = random_text(random, len);
                for byte in value {
                    if (byte == b'\\' || byte == b'\n') && !random.one_in(6) {
                        bytes.push(b'\\');
                    }
                    bytes.push(byte);
                }
            }
        }
        if !random.one_in(10) {
            bytes.extend(end);
        }
    }
    let len = match random.below(6) {
        0 => random.below(2101),
        1 => bytes.len(),
        2 => bytes.len() + random.below(30),
        _ => 1024,
    };
    if random.one_in(10) {
        bytes.push(0);
    }
    bytes.resize(len, if random.one_in(10) { 0 } else { b'#' });
    bytes
}

fn random_command(random: &mut Random) -> Vec<Vec<u8>> {
    // No NUL: an argument cannot hold one.
    let argument = |mut bytes: Vec<u8>| {
        bytes.retain(|byte| *byte != 0);
        bytes
    };
    let mut words =
        vec![random.pick(&["list", "set", "set", "set", "set", "unset", "unset", "create"]).as_bytes().to_vec()];
    for _ in 0..random.below(6) {
        let mut word = random_name(random);
        if words[0] == b"set" && !random.one_in(60) {
            word.push(b'=');
            let len = match random.below(20) {
                0 => 1100,
                1..4 => 300,
                _ => 12,
            };
            word.extend(random_text(random, len));
        }
        words.push(argument(word));
    }
    if words[1..].iter().any(|word| word.starts_with(b"-")) {
        words.insert(0, b"--".to_vec());
    }
    words
}

/// Runs the same command through both programs, each in its folder.
fn both(real: &Path, words: &[OsString], folders: &[Folder; 2]) -> [Ran; 2] {
    let [left, right] = folders;
    [
        run_as(real, "grub-editenv", words, &left.path("")),
        run_as(Path::new(binary()), "grub-editenv", words, &right.path("")),
    ]
}

#[test]
fn random_files_and_commands_come_out_as_with_the_real_tool() {
    let Some(real) = tool("grub-editenv") else { return };
    let mut random = Random::seeded(seed());
    let folders = [Folder::new(), Folder::new()];
    let (mut edits, mut changed, mut refused) = (0, 0, 0);
    for case in 0..cases(1500) {
        let file = random_file(&mut random);
        folders.iter().for_each(|folder| folder.write("grubenv", &file));
        for _ in 0..2 {
            let words: Vec<_> = std::iter::once(b"grubenv".to_vec())
                .chain(random_command(&mut random))
                .map(OsString::from_vec)
                .collect();
            let before = folders[0].read("grubenv");
            let [want, got] = both(&real, &words, &folders);
            let at =
                || format!("case {case}: {words:?}\nfile: {}", before.as_deref().unwrap_or_default().escape_ascii());
            assert_eq!(got, want, "{}", at());
            let [want, got] = [0, 1].map(|which| folders[which].read("grubenv").unwrap());
            assert!(got == want, "{}\nwant: {}\n got: {}", at(), want.escape_ascii(), got.escape_ascii());
            edits += 1;
            changed += usize::from(Some(want) != before);
            refused += usize::from(got.is_empty());
        }
    }
    println!("{edits} commands run, {changed} of them changed the file");
    assert!(changed * 4 > edits, "the random commands are too dull: {changed} of {edits} changed anything");
    assert!(refused < edits);
}

/// What list shows, by the library: names and values end at a NUL, as C strings do.
fn listed(file: &[u8]) -> Option<Vec<u8>> {
    let block = EnvBlock::parse(file).ok()?;
    let mut lines = Vec::new();
    for var in block.variables() {
        lines.extend(var.name.iter().take_while(|byte| **byte != 0));
        lines.push(b'=');
        lines.extend(var.value.bytes().take_while(|byte| *byte != 0));
        lines.push(b'\n');
    }
    Some(lines)
}

/// Runs the tool, which is nearly all that a case costs; what it prints only where it is asked for.
fn quick(real: &Path, file: &OsString, words: &[OsString], listing: bool) -> (bool, Vec<u8>) {
    let mut command = Command::new(real);
    command.arg(file).args(words).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).stderr(Stdio::null());
    if listing {
        let output = command.output().unwrap();
        return (output.status.success(), output.stdout);
    }
    (command.stdout(Stdio::null()).status().unwrap().success(), Vec::new())
}

/// What a thread has done.
#[derive(Default)]
struct Tally {
    blocks: usize,
    others: usize,
    edits: usize,
    full: usize,
    lists: usize,
}

impl Tally {
    /// Lists the file by both.
    fn list(&mut self, real: &Path, path: &OsString, file: &[u8]) {
        let (well, listing) = quick(real, path, &["list".into()], true);
        assert_eq!(well.then_some(&listing), listed(file).as_ref(), "list {}", file.escape_ascii());
        self.lists += 1;
    }

    /// Edits the file by both, in one run of the tool.
    fn edit(&mut self, real: &Path, path: &OsString, random: &mut Random, file: &mut Vec<u8>) {
        let mut block = EnvBlock::parse(file.clone()).unwrap();
        let unset = random.one_in(3);
        let mut words: Vec<OsString> = vec![if unset { "unset" } else { "set" }.into()];
        let mut fits = true;
        for _ in 0..random.below(24) {
            let mut name = random_name(random);
            name.retain(|byte| !b"-=\0".contains(byte));
            if unset {
                block.unset(&name);
                words.push(OsString::from_vec(name));
            } else {
                let len = if random.one_in(60) { 500 } else { 20 };
                let mut value = random_text(random, len);
                value.retain(|byte| *byte != 0);
                fits = fits && block.set(&name, &value).is_ok();
                words.push(OsString::from_vec([&name[..], b"=", &value[..]].concat()));
            }
            self.edits += 1;
        }
        assert_eq!(quick(real, path, &words, false).0, fits, "{words:?} on {}", file.escape_ascii());
        self.full += usize::from(!fits);
        // The tool gives up at the first word that does not fit, and writes nothing.
        let want = if fits { block.bytes() } else { file.as_slice() };
        let got = fs::read(path).unwrap();
        assert!(
            got == want,
            "{words:?}\nfile: {}\nreal: {}\nours: {}",
            file.escape_ascii(),
            got.escape_ascii(),
            want.escape_ascii()
        );
        *file = got;
    }

    /// Compares that many random blocks; of the files that are none only some, for there is little to see.
    fn compare(mut self, real: &Path, random: &mut Random, blocks: usize) -> Tally {
        let folder = Folder::new();
        let path = folder.path("grubenv").into_os_string();
        while self.blocks < blocks {
            let mut file = random_file(random);
            let is_block = EnvBlock::parse(&file).is_ok();
            if !is_block && !random.one_in(10) {
                continue;
            }
            fs::write(&path, &file).unwrap();
            if !is_block || random.one_in(10) {
                self.list(real, &path, &file);
            }
            if is_block {
                self.edit(real, &path, random, &mut file);
                while random.one_in(16) {
                    self.edit(real, &path, random, &mut file);
                }
            }
            self.blocks += usize::from(is_block);
            self.others += usize::from(!is_block);
        }
        self
    }
}

/// Many edits a run: the library does the same to the bytes as the tool with many words. With `KSOLO_CASES=100000` some
/// seven minutes on two cores.
#[test]
fn the_library_edits_blocks_as_the_real_tool_does() {
    let Some(real) = tool("grub-editenv") else { return };
    let (threads, seed, wanted) = (2, seed(), cases(20_000));
    let tallies = thread::scope(|scope| {
        let work = |number: u64| {
            let real = &real;
            let mut random = Random::seeded(seed ^ (number + 1));
            scope.spawn(move || Tally::default().compare(real, &mut random, wanted.div_ceil(threads)))
        };
        let threads: Vec<_> = (0..threads as u64).map(work).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |part: fn(&Tally) -> usize| tallies.iter().map(part).sum::<usize>();
    let (blocks, full) = (sum(|tally| tally.blocks), sum(|tally| tally.full));
    println!(
        "{blocks} blocks and {} other files, {} edits, {full} times too many for the block, {} listings: 0 differences",
        sum(|tally| tally.others),
        sum(|tally| tally.edits),
        sum(|tally| tally.lists)
    );
    assert!(blocks >= wanted && full > 0);
}

/// The tool itself renames a new file into place when it creates one, whatever stands there, also a device: these name
/// nothing outside the folder that it could replace.
///
/// A command line, in a folder with the file `grubenv` (a=1), the link `link` to it, the folder `folder` and the link
/// `dangling` to the missing file `made`.
const ARGUMENTS: &[&[&str]] = &[
    &[],
    &["list"],
    &["-", "list"],
    &["frobnicate"],
    &["grubenv", "frobnicate"],
    &["grubenv", ""],
    &["--frobnicate", "grubenv", "list"],
    &["-x", "grubenv", "list"],
    &["-vx", "grubenv", "list"],
    &["grubenv", "list", "--no"],
    &["-h"],
    &["--frobnicate=3", "grubenv", "list"],
    &["--verbose=3", "grubenv", "list"],
    &["--v", "grubenv", "list"],
    &["--v=1", "grubenv", "list"],
    &["--verb", "grubenv", "list"],
    &["--he=3"],
    &["grubenv", "---", "list"],
    &["-v", "grubenv", "set", "b=2"],
    &["grubenv", "-v", "set", "b=2", "-v", "c=3", "--verbose"],
    &["grubenv", "set", "a", "b=1"],
    &["grubenv", "set", "b=1", "a"],
    &["grubenv", "set"],
    &["grubenv", "set", "=x"],
    &["grubenv", "set", "a="],
    &["grubenv", "unset"],
    &["grubenv", "unset", "a", "a", "nosuch"],
    &["grubenv", "list", "more"],
    &["grubenv", "create", "more"],
    &["--", "grubenv", "set", "-b=2"],
    &["grubenv", "--", "set", "-b=2"],
    &["grubenv", "set", "--", "-b=2", "--c=3"],
    &["grubenv", "--", "set", "--", "b=2"],
    &["grubenv", "set", "-b=2"],
    &["grubenv", "set", "-"],
    &["missing", "list"],
    &["missing", "set", "a=1"],
    &["missing", "unset", "a"],
    &["missing", "create"],
    &["nofolder/x", "list"],
    &["nofolder/x", "set", "a=1"],
    &["nofolder/x", "create"],
    &["grubenv/x", "list"],
    &["link", "list"],
    &["link", "set", "b=2"],
    &["dangling", "set", "b=2"],
    &["folder", "list"],
    &["folder", "set", "a=1"],
    &["/proc/version", "list"],
    &["/proc/version", "set", "a=1"],
];

#[test]
fn arguments_are_taken_as_by_the_real_tool() {
    let Some(real) = tool("grub-editenv") else { return };
    let mut failures = Vec::new();
    for arguments in ARGUMENTS {
        if arguments.first().is_none_or(|file| *file == "-" || *file == "list") && Path::new("/boot/grub").exists() {
            skipped(&format!("{arguments:?}: this machine has a /boot/grub of its own"));
            continue;
        }
        let folders = [Folder::new(), Folder::new()];
        for folder in &folders {
            let mut block = EnvBlock::blank();
            block.set(b"a", b"1").unwrap();
            folder.write("grubenv", block.bytes());
            symlink("grubenv", folder.path("link")).unwrap();
            symlink("made", folder.path("dangling")).unwrap();
            fs::create_dir(folder.path("folder")).unwrap();
        }
        let words: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let [want, got] = both(&real, &words, &folders);
        if got != want {
            failures.push(format!("{arguments:?}: got {got:?}, want {want:?}"));
        }
        let [want, got] = folders.map(|folder| contents(&folder));
        if got != want {
            failures.push(format!("{arguments:?}: files {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every name in the folder with what it is.
fn contents(folder: &Folder) -> Vec<(String, Option<PathBuf>, Option<String>)> {
    let mut names: Vec<_> = fs::read_dir(folder.path(""))
        .unwrap()
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            (
                name.clone(),
                fs::read_link(folder.path(&name)).ok(),
                folder.read(&name).map(|bytes| bytes.escape_ascii().to_string()),
            )
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_kept() {
    let folder = Folder::new();
    // /proc takes no new files and no writes to this one, whoever asks.
    let ran = run(ours(&folder), ["/proc/version", "create"], &folder.path(""));
    assert_eq!(ran.exit, 1);
    assert!(ran.stderr.contains("error: cannot open `/proc/version.new': "), "{}", ran.stderr);
    let ran = run(folder.path("grub-editenv"), ["/proc/nosuch", "set", "a=1"], &folder.path(""));
    assert_eq!(ran.exit, 1);
    assert!(ran.stderr.contains("error: cannot open `/proc/nosuch.new': "), "{}", ran.stderr);
}

#[test]
fn the_file_is_written_in_place() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let program = ours(&folder);
    folder.write("grubenv", EnvBlock::blank().bytes());
    fs::hard_link(folder.path("grubenv"), folder.path("same")).unwrap();
    let before = fs::metadata(folder.path("grubenv")).unwrap();
    for words in [["grubenv", "set", "a=1"], ["grubenv", "unset", "a"], ["grubenv", "create", ""]] {
        assert_eq!(run(&program, words, &folder.path("")).exit, 0);
        let after = fs::metadata(folder.path("same")).unwrap();
        assert_eq!((after.ino(), after.nlink(), after.len()), (before.ino(), 2, 1024));
        assert_eq!(folder.read("grubenv"), folder.read("same"));
    }
}
