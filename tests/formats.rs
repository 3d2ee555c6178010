//! docs/formats.md has every variable, key, field and word that the code knows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test ends that way"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kubesolo_boot::update::state::State;
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::update::phase::Phase;
use kubesolo_core::update::{config, manifest};

const FORMATS: &str = "docs/formats.md";

#[test]
fn every_variable_of_the_env_block_is_described() {
    let state = BootState {
        active: Slot::A,
        counter: 3,
        success: true,
        a: SlotState::Good,
        b: SlotState::Good,
        rollback_from: Some(Slot::B),
        retry: Some(Slot::B),
        data_excused: true,
    };
    let mut block = EnvBlock::blank();
    state.write_to(&mut block).unwrap();
    let written = block.variables().map(|var| String::from_utf8(var.name.to_vec()).unwrap());
    // What GRUB saves, it may have been the first to know.
    let saved = read("grub/grub.cfg");
    let saved = saved.lines().filter_map(|line| line.trim().strip_prefix("save_env --file \"$env_file\" "));
    let saved: Vec<String> = saved.flat_map(str::split_whitespace).map(str::to_owned).collect();
    assert!(saved.len() >= 7, "grub.cfg saves {saved:?}");
    rows("Env block", written.chain(saved));
    mentioned("Env block", SlotState::ALL.map(|state| state.name().to_owned()));
}

#[test]
fn every_word_of_the_kernel_command_line_is_described() {
    let mut words = BTreeSet::new();
    for file in sources().into_iter().chain([root("grub/grub.cfg"), root("initramfs/init")]) {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for after in code.split("ksolo.").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
            if end > 0 && after[end..].starts_with('=') {
                words.insert(format!("ksolo.{}", &after[..end]));
            }
        }
    }
    // The words that are told apart: `"slot" => cmdline.slot = value,`.
    for line in read("core/src/boot/cmdline.rs").lines().filter(|line| line.contains("=> cmdline.")) {
        words.insert(format!("ksolo.{}", line.split('"').nth(1).unwrap()));
    }
    assert!(words.len() >= 7, "{words:?}");
    rows("Kernel words", words);
}

#[test]
fn every_key_of_the_settings_is_described() {
    rows("update.conf", config::KEYS.iter().map(|key| key.name.to_owned()));
}

#[test]
fn every_field_of_the_documents_is_described() {
    rows("latest.json", manifest::FIELDS.map(str::to_owned));
    let state: serde_json::Value = serde_json::from_str(&State::default().to_string()).unwrap();
    rows("state.json", state.as_object().unwrap().keys().cloned());
    mentioned("state.json", Phase::ALL.map(|phase| phase.name().to_owned()));
}

#[test]
fn every_member_that_a_verb_prints_is_described() {
    let mut names = BTreeSet::new();
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        // The names of a loop's members stand in a list of their own.
        for call in [".member(\"", ".object(\"", ".array(\"", "in [\"number\", \""] {
            names.extend(code.split(call).skip(1).map(|after| after.split('"').next().unwrap().to_owned()));
        }
        // One writer escapes; what is put together by hand does not.
        assert!(!code.contains("{{\\\"") && !code.contains(",\\\""), "{}: JSON by hand", file.display());
    }
    assert!(names.len() >= 30, "{names:?}");
    let text = read(FORMATS);
    let gone: Vec<&String> = names.iter().filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(gone.is_empty(), "{FORMATS} does not have the members {gone:?}");
}

#[test]
fn what_is_not_described_is_noticed() {
    let text = read(FORMATS);
    let section = section(&text, "Env block");
    assert!(has_row(section, "active_slot") && !has_row(section, "active") && !has_row(section, "server"));
}

/// Each has a row of its own in a table of that section.
fn rows(title: &str, names: impl IntoIterator<Item = String>) {
    all(title, names, has_row);
}

/// Each stands in that section, as code.
fn mentioned(title: &str, names: impl IntoIterator<Item = String>) {
    all(title, names, |section, name| section.contains(&format!("`{name}`")));
}

fn all(title: &str, names: impl IntoIterator<Item = String>, has: fn(&str, &str) -> bool) {
    let text = read(FORMATS);
    let section = section(&text, title);
    let gone: Vec<String> = names.into_iter().filter(|name| !has(section, name)).collect();
    assert!(gone.is_empty(), "{FORMATS}: section {title} does not have {gone:?}");
}

fn has_row(section: &str, name: &str) -> bool {
    section.lines().any(|line| line.starts_with(&format!("| `{name}` |")))
}

fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let begin = text.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("{FORMATS}: no section {title}"));
    let section = &text[begin + 1..];
    section.find("\n## ").map_or(section, |end| &section[..end])
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap()
}

/// Every source of program and core.
fn sources() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root("src"), root("core/src")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
