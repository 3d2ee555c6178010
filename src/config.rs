//! `update.conf`: `key=value` lines and `#` comments → one typed value.

/// Keys of `update.conf` that other verbs read.
const OTHER_KEYS: [&str; 8] = [
    "server",
    "channel",
    "pubkey",
    "maintenance_window",
    "healthcheck_url",
    "auto_rollback_after",
    "kube_system_settle",
    "watchdog",
];

/// Who decides that a trial boot was good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// `healthcheck`, in the running system.
    #[default]
    Healthcheck,
    /// `init`, once the disk probe has passed: for boxes without Kubernetes.
    Init,
}

/// What `update.conf` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `mark=`: `init` or `healthcheck`.
    pub mark: Mark,
}

/// A line that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// No such key; the line is passed over.
    UnknownKey(&'a str),
    /// The key has no such value; the default holds.
    BadValue(&'a str, &'a str),
    /// No `=`; the line is passed over.
    NoValue(&'a str),
}

impl core::fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Problem::UnknownKey(key) => write!(f, "unknown key {key}"),
            Problem::BadValue(key, value) => write!(f, "{key} cannot be '{value}'"),
            Problem::NoValue(line) => write!(f, "'{line}' is not key=value"),
        }
    }
}

impl Config {
    /// Reads the text; tells `problem` the number (from 1) of each line that was not taken, and why.
    pub fn parse<'a>(text: &'a str, mut problem: impl FnMut(u32, Problem<'a>)) -> Config {
        let mut config = Config::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                problem(number, Problem::NoValue(line));
                continue;
            };
            match (key.trim_ascii(), value.trim_ascii()) {
                ("mark", "init") => config.mark = Mark::Init,
                ("mark", "healthcheck") => config.mark = Mark::Healthcheck,
                ("mark", value) => problem(number, Problem::BadValue("mark", value)),
                (key, _) if OTHER_KEYS.contains(&key) => {}
                (key, _) => problem(number, Problem::UnknownKey(key)),
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn parse(text: &str) -> (Config, Vec<(u32, Problem<'_>)>) {
        let mut problems = Vec::new();
        let config = Config::parse(text, |line, problem| problems.push((line, problem)));
        (config, problems)
    }

    #[test]
    fn mark_decides_who_commits_and_healthcheck_is_the_default() {
        assert_eq!(parse(""), (Config { mark: Mark::Healthcheck }, Vec::new()));
        assert_eq!(parse("# who\n mark = init \nserver=http://x/\n"), (Config { mark: Mark::Init }, Vec::new()));
    }

    #[test]
    fn a_line_that_is_not_taken_is_named() {
        let (config, problems) = parse("mark=maybe\n\nmarks=init\ninit\n");
        assert_eq!(config, Config::default());
        assert_eq!(
            problems,
            [(1, Problem::BadValue("mark", "maybe")), (3, Problem::UnknownKey("marks")), (4, Problem::NoValue("init"))]
        );
    }
}
