//! Where a file may reach: imports go one way, from room to room and from file to file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test ends that way"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The rooms of the core, from the bottom; docs/architecture.md says what each holds.
const CORE: &[&str] = &["ignore", "text", "disk", "boot", "history", "net", "health", "update", "flow"];
/// Those of the edge; `failure`, `flags` and `host` are files.
const EDGE: &[&str] = &[
    "failure", "flags", "linux", "disk", "boot", "net", "update", "history", "cli", "report", "host", "health", "verb",
];

#[test]
fn no_import_runs_back() {
    for (folder, rooms) in [("core/src", CORE), ("src", EDGE)] {
        let files = imports(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).as_path());
        let rank = |file: &str| {
            let room = file.split("::").next().unwrap();
            rooms.iter().position(|known| *known == room).unwrap_or_else(|| panic!("{folder}: {file}: in no room"))
        };
        for (file, used) in &files {
            for other in used {
                assert!(rank(file) >= rank(other), "{folder}: {file} imports {other}, from a room above its own");
            }
        }
        let circles: Vec<String> = files
            .keys()
            .filter_map(|file| {
                let mut way = vec![file.as_str()];
                leads_back(&files, &mut way).then(|| way.join(" -> "))
            })
            .collect();
        assert!(circles.is_empty(), "{folder}: imports in circles:\n{}", circles.join("\n"));
    }
}

/// The tables of docs/architecture.md have each room, in the order of the imports.
#[test]
fn the_rooms_are_described_in_their_order() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap();
    for (folder, rooms) in [("core/src", CORE), ("src", EDGE)] {
        let rows = text.lines().filter_map(|line| line.strip_prefix(&format!("| `{folder}/"))?.split('`').next());
        let named: Vec<&str> = rows.map(|row| row.trim_end_matches('/').trim_end_matches(".rs")).collect();
        assert_eq!(named, rooms);
    }
}

/// A result is used, or `ignore` says why it is not.
#[test]
fn no_result_is_dropped_without_a_reason() {
    for folder in ["core/src", "src"] {
        for (file, source) in sources(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).as_path()) {
            let code = source.split("#[cfg(test)]").next().unwrap();
            let mut statement = String::new();
            for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                statement.push_str(line);
                if line.ends_with([';', '{', '}']) {
                    let dropped = [".unwrap_or_default();", ".ok();"].iter().any(|end| statement.ends_with(end));
                    // What stands in a text assigns nothing.
                    let code: String = statement.split('"').step_by(2).collect();
                    let used = ["=", "return"].iter().any(|word| code.contains(word));
                    assert!(!dropped || used, "{folder}: {file}: {statement}");
                    statement.clear();
                }
            }
        }
    }
}

/// Whether imports lead from the end of `way` to its beginning.
fn leads_back<'a>(files: &'a BTreeMap<String, Vec<String>>, way: &mut Vec<&'a str>) -> bool {
    for next in &files[*way.last().unwrap()] {
        if next == way[0] && way.len() > 1 {
            return true;
        }
        if !way.contains(&next.as_str()) && files.contains_key(next) {
            way.push(next);
            if leads_back(files, way) {
                return true;
            }
            way.pop();
        }
    }
    false
}

/// The modules of a crate by their names, and their texts.
fn sources(root: &Path) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().with_extension("").to_str().unwrap().replace('/', "::");
            if path.is_dir() {
                folders.push(path);
            } else if !["lib", "main", "process", "restart"].contains(&name.as_str()) {
                sources.insert(name.trim_end_matches("::mod").to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

/// Which modules each of a crate's imports outside its tests.
fn imports(root: &Path) -> BTreeMap<String, Vec<String>> {
    let sources = sources(root);
    let mut files = BTreeMap::new();
    for (file, source) in &sources {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let room = file.rsplit_once("::").map_or(String::new(), |(room, _)| format!("{room}::"));
        let mut used: Vec<String> = Vec::new();
        for (mark, base) in [("crate::", ""), ("super::", room.as_str())] {
            for (at, _) in code.match_indices(mark) {
                let path = format!("{base}{}", &code[at + mark.len()..]);
                let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
                // The longest beginning of it that is a file.
                let known =
                    sources.keys().filter(|known| path[..end].starts_with(known.as_str())).max_by_key(|k| k.len());
                used.extend(known.filter(|known| *known != file).cloned());
            }
        }
        used.sort();
        used.dedup();
        files.insert(file.clone(), used);
    }
    files
}
