//! The `updates:` block → the text of `update.conf`, by the rules of kubesolo-boot's own parser.

use kubesolo_boot::update::settings::LEN_MAX;
use kubesolo_core::update::config::{Config, KEYS, Problem};

use crate::yaml::{self, CopyFault, Value};

/// The block's name in `user-data`.
const BLOCK: &str = "updates";
/// How the kind of `user-data` begins that is read here, in any case, behind blank lines and a byte-order mark.
const HEADER: &str = "#cloud-config";
/// First line of `user-data` that cloud-init takes for a template; its next line says of what.
const TEMPLATE: &str = "## template: jinja";

/// Other kinds of `user-data`: how they begin, in lower case, and what to do.
const OTHER_KINDS: &[(&str, &str)] = &[
    (
        "#cloud-config-archive",
        "a list of several parts, which is not read here; put the #cloud-config part alone into user-data",
    ),
    ("content-type:", "a MIME document, which is not read here; put its text/cloud-config part alone into user-data"),
    ("mime-version:", "a MIME document, which is not read here; put its text/cloud-config part alone into user-data"),
    ("from ", "a MIME document, which is not read here; put its text/cloud-config part alone into user-data"),
    ("#include", "a list of addresses, which are not fetched here; put the #cloud-config itself into user-data"),
    ("#!", "a script, which is not run here; settings are read from a #cloud-config with an updates: block"),
    (
        "#cloud-boothook",
        "a script, which is not run here; settings are read from a #cloud-config with an updates: block",
    ),
    (
        "#part-handler",
        "a program, which is not run here; settings are read from a #cloud-config with an updates: block",
    ),
];

/// What a `user-data` comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Settings to write.
    Text(String),
    /// Nothing is asked for, and why.
    Nothing(&'static str),
}

/// Makes `update.conf` from `user-data`; `source` names it in the text, `warn` is told line and reason of what is
/// passed over.
///
/// # Errors
/// Text that is not YAML, or a value that its key cannot have.
pub fn from_user_data(text: &str, source: &str, warn: &mut dyn FnMut(usize, String)) -> Result<Outcome, CopyFault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(why) = other_kind(text)? {
        return Ok(Outcome::Nothing(why));
    }
    let Some(block) = yaml::member(text, BLOCK)? else { return Ok(Outcome::Nothing("no updates: block")) };
    let members = match block.value {
        Value::Text(text) if text.is_empty() => return Ok(Outcome::Nothing("an empty updates: block")),
        Value::Text(_) => return Err(CopyFault::new(block.line, "updates is a text, not a mapping (key: value)")),
        Value::Other(what) => return Err(CopyFault::new(block.line, format!("updates is {what}, not a mapping"))),
        Value::Members(members) if members.is_empty() => {
            return Ok(Outcome::Nothing("an empty updates: block"));
        }
        Value::Members(members) => members,
    };

    let mut config = Config::default();
    let mut conf = format!(
        "# Made by kubesolo-cloud-init from the updates: block of {source}.\n\
         # Yours to change: only a seed with another instance-id or another user-data replaces it.\n"
    );
    let empty = conf.len();
    for member in &members {
        let (key, line) = (member.key.as_str(), member.line);
        if !KEYS.iter().any(|known| known.name == key) {
            warn(line, format!("unknown key updates.{}", key.escape_debug()));
            continue;
        }
        let value = match &member.value {
            Value::Text(text) => text.as_str(),
            Value::Members(_) => {
                return Err(CopyFault::new(line, format!("updates.{key} is a mapping, not one value")));
            }
            Value::Other(what) => return Err(CopyFault::new(line, format!("updates.{key} is {what}, not one value"))),
        };
        if let Some(found) = value.chars().find(|found| found.is_control()) {
            return Err(CopyFault::new(
                line,
                format!("updates.{key} holds a control character, {}", found.escape_unicode()),
            ));
        }
        if value.trim_ascii() != value {
            return Err(CopyFault::new(line, format!("updates.{key} begins or ends with a space")));
        }
        config.set(key, value).map_err(|problem| CopyFault::new(line, format!("updates.{problem}")))?;
        if !value.is_empty() {
            conf += &format!("{key}={}\n", quoted(value));
        }
    }
    if conf.len() == empty {
        return Ok(Outcome::Nothing("no value in the updates: block"));
    }
    if conf.len() >= LEN_MAX {
        return Err(CopyFault::new(
            block.line,
            format!("updates comes to more than the {LEN_MAX} bytes of an update.conf"),
        ));
    }
    // What will be read must be what was meant: to the letter, and nothing besides.
    let mut problems = 0_u32;
    let mut count = |_: u32, _: Problem<'_>| problems = problems.saturating_add(1);
    if Config::parse(&conf, &mut count) != config || problems > 0 {
        return Err(CopyFault::new(block.line, "updates reads otherwise once it is an update.conf"));
    }
    Ok(Outcome::Text(conf))
}

/// Why the text is not of the kind that is read here; `None` if it is.
///
/// # Errors
/// A template that has anything to fill in.
fn other_kind(text: &str) -> Result<Option<&'static str>, CopyFault> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let mut first = lines.next().map_or("", |(line, _)| line).trim().to_ascii_lowercase();
    if first.starts_with(TEMPLATE) {
        let is_filled_in = |line: &str| ["{{", "{%", "{#"].iter().any(|mark| line.contains(mark));
        if let Some((_, number)) = lines.clone().find(|(line, _)| is_filled_in(line)) {
            return Err(CopyFault::new(
                number,
                "a jinja template, which is not filled in here; write the value itself",
            ));
        }
        first = lines.next().map_or("", |(line, _)| line).trim().to_ascii_lowercase();
    }
    if first.strip_prefix(HEADER).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
        return Ok(None);
    }
    let known = OTHER_KINDS.iter().find(|(start, _)| first.starts_with(start));
    Ok(Some(
        known.map_or("its first line is not #cloud-config; put that line before the updates: block", |(_, why)| why),
    ))
}

/// The value as it stands in `update.conf`: in quotes where it would be read otherwise.
fn quoted(value: &str) -> String {
    let is_plain = !value.contains(['#', '"', '\'']);
    let quote = if value.contains('"') { '\'' } else { '"' };
    if is_plain { value.into() } else { format!("{quote}{value}{quote}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> (Result<Outcome, CopyFault>, Vec<(usize, String)>) {
        let mut warnings = Vec::new();
        let outcome = from_user_data(text, "a seed", &mut |line, reason| warnings.push((line, reason)));
        (outcome, warnings)
    }

    fn lines(text: &str) -> Vec<String> {
        match made(text).0 {
            Ok(Outcome::Text(conf)) => conf.lines().filter(|line| !line.starts_with('#')).map(String::from).collect(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn the_full_example_sets_every_key() {
        let full = include_str!("../full-config.yaml");
        let lines = lines(full);
        let mut keys: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        keys.sort_unstable();
        let mut all: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        all.sort_unstable();
        assert_eq!(keys, all);
        assert_eq!(made(full).1, []);
    }

    #[test]
    fn a_block_becomes_key_and_value_lines() {
        let rows: &[(&str, &[&str])] = &[
            ("server: http://x/u/", &["server=http://x/u/"]),
            ("server: 'http://x/?a=b#c'", &["server=\"http://x/?a=b#c\""]),
            ("server: /srv/a # b", &["server=/srv/a"]),
            ("server: '/srv/a # b'", &["server=\"/srv/a # b\""]),
            ("server: '\"/srv\"'", &["server='\"/srv\"'"]),
            ("watchdog: 60\n  mark: \"init\"", &["watchdog=60", "mark=init"]),
            ("maintenance_window: 23:00-01:00", &["maintenance_window=23:00-01:00"]),
            ("channel: 'null'", &["channel=null"]),
            ("channel:\n  server: /srv", &["server=/srv"]),
            ("{server: /srv, channel: beta}", &["server=/srv", "channel=beta"]),
            ("server: /srv  # where it is", &["server=/srv"]),
            ("server: >-\n    /srv", &["server=/srv"]),
        ];
        for (block, want) in rows {
            for end in ["\n", "\r\n"] {
                let text = format!("#cloud-config\nhostname: box\nupdates:\n  {block}\nruncmd:\n  - [a, b]\n");
                assert_eq!(lines(&text.replace('\n', end)), *want, "{block}");
            }
        }
    }

    #[test]
    fn nothing_comes_of_no_block() {
        for (text, want) in [
            ("", "first line"),
            ("#!/bin/sh\necho updates:\n", "a script"),
            ("updates:\n  server: /srv\n", "first line"),
            ("#cloud-configuration\nupdates:\n  server: /srv\n", "first line"),
            ("#cloud-config-archive\n- content: x\n", "a list of several parts"),
            ("Content-Type: multipart/mixed; boundary=\"=1=\"\nMIME-Version: 1.0\n\n--=1=\n", "a MIME document"),
            ("MIME-Version: 1.0\nContent-Type: text/cloud-config\n\n#cloud-config\n", "a MIME document"),
            ("From nobody Mon Nov 23 2026\nContent-Type: x\n", "a MIME document"),
            ("#include\nhttp://x/\n", "a list of addresses"),
            ("#cloud-boothook\n#!/bin/sh\n", "a script"),
            ("## template: jinja\n#!/bin/sh\n", "a script"),
            ("## template: jinja\n", "first line"),
            ("#cloud-config\n", "no updates"),
            ("#cloud-config\nhostname: box\n", "no updates"),
            ("#cloud-config\nupdates:\n", "empty"),
            ("#cloud-config\nupdates: {}\n", "empty"),
            ("#cloud-config\nupdates:\n  server:\n  channel: ~\n", "no value"),
            ("#cloud-config\nupdates:\n  servre: /srv\n", "no value"),
        ] {
            match made(text).0 {
                Ok(Outcome::Nothing(why)) => assert!(why.contains(want), "{text:?}: {why}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_cloud_config_is_known_however_it_begins() {
        for head in [
            "#cloud-config",
            "#cloud-config # of the shop",
            "#cloud-config\t",
            "\u{feff}#cloud-config",
            "\n\n#cloud-config",
            "\u{feff}\r\n  \r\n#cloud-config\r",
            " #cloud-config",
            "#Cloud-Config",
            "## template: jinja\n#cloud-config",
            "## template: jinja\n\n#cloud-config # x",
        ] {
            assert_eq!(lines(&format!("{head}\nupdates:\n  server: /srv\n")), ["server=/srv"], "{head:?}");
        }
        for (template, line) in [("server: /{{ v1.region }}", 4), ("{% if x %}", 4), ("server: /srv {# x #}", 4)] {
            let text = format!("## template: jinja\n#cloud-config\nupdates:\n  {template}\n");
            let fault = made(&text).0.unwrap_err();
            assert!(fault.line == line && fault.reason.contains("jinja"), "{text}: {fault:?}");
        }
        assert!(matches!(made("#cloud-config\nhostname: '{{ x }}'\n").0, Ok(Outcome::Nothing("no updates: block"))));
    }

    #[test]
    fn an_unknown_key_is_a_warning_and_not_written() {
        let text = "#cloud-config\nupdates:\n  server: /srv\n  colour: [red, {a: b}]\n  \"x\\ny=1\": 2\n";
        assert_eq!(lines(text), ["server=/srv"]);
        let warnings = made(text).1;
        assert_eq!(warnings, [(4, "unknown key updates.colour".into()), (5, "unknown key updates.x\\ny=1".into())]);
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_by_line_and_key() {
        let long = format!("server: /{}", "x".repeat(LEN_MAX));
        let rows: &[(&str, usize, &str)] = &[
            ("mark: maybe", 3, "updates.mark cannot be 'maybe'"),
            ("server: /srv\n  watchdog: -1", 4, "updates.watchdog cannot be '-1'"),
            ("watchdog: 60s", 3, "updates.watchdog cannot be '60s'"),
            ("auto_rollback_after: 3.0", 3, "updates.auto_rollback_after cannot be"),
            ("maintenance_window: 2-4", 3, "updates.maintenance_window cannot be '2-4'"),
            ("server: [a, b]", 3, "updates.server is a list, not one value"),
            ("server: {a: b}", 3, "updates.server is a mapping, not one value"),
            ("server: !!binary L3Nydg==", 3, "updates.server is a value with a tag"),
            ("server: /a\n  server: /b", 4, "updates.server stands in line 3 already"),
            // A second key must not come in with the value of a first.
            ("server: \"/srv\\nmark=init\"", 3, "updates.server holds a control character"),
            ("server: |\n    /srv\n    mark=init", 3, "updates.server holds a control character"),
            ("server: \"/srv\\rmark=init\"", 3, "updates.server holds a control character"),
            ("server: \"/srv\\0\"", 3, "updates.server holds a control character"),
            ("server: \"/srv\\e[2J\"", 3, "updates.server holds a control character"),
            ("server: \"/srv\\N\"", 3, "updates.server holds a control character"),
            ("server: \" /srv\"", 3, "updates.server begins or ends with a space"),
            (&long, 2, "more than the 4096 bytes"),
            ("[server]", 2, "updates is a list, not a mapping"),
            ("/srv", 2, "updates is a text, not a mapping"),
            ("server: /srv\n mark: init", 4, "not YAML"),
        ];
        for (block, line, want) in rows {
            match made(&format!("#cloud-config\nupdates:\n  {block}\n")).0 {
                Err(flaw) => assert!(flaw.line == *line && flaw.reason.contains(want), "{block}: {flaw:?}"),
                other => panic!("{block}: {other:?}"),
            }
        }
    }
}
