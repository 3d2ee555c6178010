//! `update.conf`: `key=value` lines and `#` comments → one typed value.

use core::fmt;

use crate::text::decimal::decimal;
use crate::update::rollout::Group;
use crate::update::version::Version;
use crate::update::window::Window;

/// The value of a key, a flag or a verb, and what a shell can complete there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A file, by this placeholder; `|` stands between two.
    File(&'static str),
    /// A folder.
    Folder(&'static str),
    /// Anything else: a number, a name.
    Text(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::OneOf(words) => {
                for (number, word) in words.iter().enumerate() {
                    write!(f, "{}{word}", if number == 0 { "" } else { "|" })?;
                }
                Ok(())
            }
            Value::File(name) | Value::Folder(name) | Value::Text(name) => f.write_str(name),
        }
    }
}

/// A key of `update.conf`, with what it says about itself. The command line takes each as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The word before the `=`.
    pub name: &'static str,
    /// What may stand behind it.
    pub value: Value,
    /// What it is, in a line.
    pub help: &'static str,
}

#[expect(missing_docs, reason = "each has its help")]
impl Key {
    pub const SERVER: Key = Key { name: "server", value: Value::File("URL|PATH"), help: "where latest.json is" };
    pub const CHANNEL: Key =
        Key { name: "channel", value: Value::Text("NAME"), help: "the only one to take updates from" };
    pub const PUBKEY: Key =
        Key { name: "pubkey", value: Value::File("FILE"), help: "file with the public keys that may sign latest.json" };
    pub const CA: Key = Key {
        name: "ca",
        value: Value::File("FILE"),
        help: "file with the certificates that an https server's must be signed by",
    };
    pub const MAINTENANCE_WINDOW: Key =
        Key { name: "maintenance_window", value: Value::Text("HH:MM-HH:MM"), help: "when apply may begin, UTC" };
    pub const HEALTHCHECK_URL: Key =
        Key { name: "healthcheck_url", value: Value::Text("URL"), help: "answers 200 when the box is healthy" };
    pub const AUTO_ROLLBACK_AFTER: Key = Key {
        name: "auto_rollback_after",
        value: Value::Text("TIMES"),
        help: "failed health checks in a row before a rollback",
    };
    pub const KUBE_SYSTEM_SETTLE: Key = Key {
        name: "kube_system_settle",
        value: Value::Text("SECONDS"),
        help: "how long the pods of kube-system must have been running",
    };
    pub const HEALTHCHECK_TIMEOUT: Key = Key {
        name: "healthcheck_timeout",
        value: Value::Text("SECONDS"),
        help: "how long each check may take to come right",
    };
    pub const TRIAL_TIMEOUT: Key = Key {
        name: "trial_timeout",
        value: Value::Text("SECONDS"),
        help: "so long after power-on a trial that is not committed has failed; 0: never",
    };
    pub const CONTAINERD: Key = Key { name: "containerd", value: Value::File("FILE"), help: "containerd's socket" };
    pub const KUBECTL: Key =
        Key { name: "kubectl", value: Value::File("FILE"), help: "the program to ask Kubernetes with" };
    pub const KUBECONFIG: Key =
        Key { name: "kubeconfig", value: Value::File("FILE"), help: "the administrator's kubeconfig" };
    pub const MARK: Key = Key {
        name: "mark",
        value: Value::OneOf(&["healthcheck", "init"]),
        help: "who commits a trial; init as soon as the data partition takes writes",
    };
    pub const WATCHDOG: Key = Key {
        name: "watchdog",
        value: Value::Text("SECONDS"),
        help: "the time after which the hardware watchdog resets a box that hangs",
    };
    pub const WANT: Key = Key { name: "want", value: Value::Text("X.Y.Z"), help: "the only version to take" };
    pub const ROLLOUT_GROUP: Key = Key {
        name: "rollout_group",
        value: Value::OneOf(&Group::WORDS),
        help: "when to take a version: at once, in its waves, or after all others",
    };
    pub const GROW: Key = Key {
        name: "grow",
        value: Value::OneOf(&["yes", "no"]),
        help: "whether the data partition gets all of a larger disk",
    };
}

/// Every key there is.
pub const KEYS: &[Key] = &[
    Key::SERVER,
    Key::CHANNEL,
    Key::PUBKEY,
    Key::CA,
    Key::MAINTENANCE_WINDOW,
    Key::HEALTHCHECK_URL,
    Key::AUTO_ROLLBACK_AFTER,
    Key::KUBE_SYSTEM_SETTLE,
    Key::HEALTHCHECK_TIMEOUT,
    Key::TRIAL_TIMEOUT,
    Key::CONTAINERD,
    Key::KUBECTL,
    Key::KUBECONFIG,
    Key::MARK,
    Key::WATCHDOG,
    Key::WANT,
    Key::ROLLOUT_GROUP,
    Key::GROW,
];

/// Who commits a trial: the key `mark`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitBy {
    /// `healthcheck`, in the running system.
    #[default]
    Healthcheck,
    /// `init`, once the disk probe has passed: for boxes without Kubernetes.
    Init,
}

/// What `update.conf` says. A key that it does not have is `None`, or has its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config<'a> {
    /// [`Key::SERVER`].
    pub server: Option<&'a str>,
    /// [`Key::CHANNEL`].
    pub channel: Option<&'a str>,
    /// [`Key::PUBKEY`].
    pub pubkey: Option<&'a str>,
    /// [`Key::CA`].
    pub ca: Option<&'a str>,
    /// [`Key::MAINTENANCE_WINDOW`].
    pub maintenance_window: Option<Window>,
    /// [`Key::HEALTHCHECK_URL`].
    pub healthcheck_url: Option<&'a str>,
    /// [`Key::AUTO_ROLLBACK_AFTER`].
    pub auto_rollback_after: Option<u32>,
    /// [`Key::KUBE_SYSTEM_SETTLE`].
    pub kube_system_settle: u32,
    /// [`Key::HEALTHCHECK_TIMEOUT`].
    pub healthcheck_timeout: u32,
    /// [`Key::TRIAL_TIMEOUT`].
    pub trial_timeout: Option<u32>,
    /// [`Key::CONTAINERD`].
    pub containerd: &'a str,
    /// [`Key::KUBECTL`].
    pub kubectl: &'a str,
    /// [`Key::KUBECONFIG`].
    pub kubeconfig: &'a str,
    /// [`Key::MARK`].
    pub commit_by: CommitBy,
    /// [`Key::WATCHDOG`].
    pub watchdog: Option<u32>,
    /// [`Key::WANT`].
    pub want: Option<Version>,
    /// [`Key::ROLLOUT_GROUP`].
    pub rollout_group: Group,
    /// [`Key::GROW`].
    pub grow: bool,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Config {
            server: None,
            channel: None,
            pubkey: None,
            ca: None,
            maintenance_window: None,
            healthcheck_url: None,
            auto_rollback_after: None,
            kube_system_settle: 30,
            healthcheck_timeout: 60,
            trial_timeout: Some(15 * 60),
            containerd: "/var/lib/kubesolo/containerd/containerd.sock",
            kubectl: "kubectl",
            kubeconfig: "/var/lib/kubesolo/pki/admin/admin.kubeconfig",
            commit_by: CommitBy::Healthcheck,
            watchdog: None,
            want: None,
            rollout_group: Group::Waves,
            grow: true,
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// No such key; the line is passed over.
    UnknownKey(&'a str),
    /// The key has no such value.
    BadValue(&'a str, &'a str),
    /// The key's value has a quote that does not end, or has more around it.
    Quote(&'a str, &'a str),
    /// No `=`.
    NoValue(&'a str),
}

impl<'a> Problem<'a> {
    /// The key that is not set because of it; of a line without `=`, the word that it may be.
    pub fn key(&self) -> &'a str {
        match self {
            Problem::UnknownKey(key) | Problem::BadValue(key, _) | Problem::Quote(key, _) => key,
            Problem::NoValue(line) => line.split([' ', '\t', ':']).next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownKey(key) => match instead_of(key) {
                Some(instead) => write!(f, "unknown key {key}: {instead}"),
                None => write!(f, "unknown key {key}"),
            },
            Problem::BadValue(key, value) => write!(f, "{key} cannot be '{value}'"),
            Problem::Quote(key, value) => {
                write!(f, "{key} cannot be {value}: write it without quotes, or in one pair of them")
            }
            Problem::NoValue(line) => write!(f, "'{line}' is not key=value"),
        }
    }
}

/// What to use in place of a key, or flag, that KubeSolo OS has and this program does not.
pub fn instead_of(name: &str) -> Option<&'static str> {
    match name {
        "registry" => {
            Some("updates come from a web server or a folder, not from a registry; give its address as server")
        }
        "tag" => {
            Some("the server's latest.json says which version; several lines of versions are channels, see channel")
        }
        _ => None,
    }
}

/// The value that stands behind `=`: without the quotes around it, and without a comment, which begins with white space and `#`.
/// `None`: a quote is not one of a pair around the value.
fn value_of(text: &str) -> Option<&str> {
    let is_comment =
        |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t']) && rest.trim_ascii().starts_with('#');
    if let Some(quote @ ('"' | '\'')) = text.trim_ascii().chars().next() {
        let (value, rest) = text.trim_ascii().get(1..)?.split_once(quote)?;
        return is_comment(rest).then_some(value.trim_ascii());
    }
    let end =
        text.char_indices().find(|(at, _)| text.get(*at..).is_some_and(|rest| !rest.is_empty() && is_comment(rest)));
    let value = end.map_or(text, |(at, _)| text.get(..at).unwrap_or_default()).trim_ascii();
    (!value.contains('"') && !value.ends_with('\'')).then_some(value)
}

impl<'a> Config<'a> {
    /// Reads the text; calls `problem` with the number (from 1) of each wrong line, and why. The key of such a line keeps its
    /// default.
    pub fn parse(text: &'a str, problem: &mut dyn FnMut(u32, Problem<'a>)) -> Config<'a> {
        let mut config = Config::default();
        config.take(text, problem);
        config
    }

    /// The same, on top of what is set already.
    pub fn take(&mut self, text: &'a str, problem: &mut dyn FnMut(u32, Problem<'a>)) {
        // Editors of Windows begin a file with a byte-order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                problem(number, Problem::NoValue(line));
                continue;
            };
            let (key, value) = (key.trim_ascii(), value_of(value).ok_or(value.trim_ascii()));
            let set = match value {
                Ok(value) => self.set(key, value),
                Err(quoted) => Err(Problem::Quote(key, quoted)),
            };
            if let Err(found) = set {
                problem(number, found);
            }
        }
    }

    /// Sets one key; an empty value unsets it.
    ///
    /// # Errors
    /// [`Problem::UnknownKey`], [`Problem::BadValue`].
    pub fn set(&mut self, key: &'a str, value: &'a str) -> Result<(), Problem<'a>> {
        let default = Config::default();
        let bad = Problem::BadValue(key, value);
        let text = (!value.is_empty()).then_some(value);
        let number = || text.map(|text| decimal(text).ok_or(bad)).transpose();
        match key {
            "server" => self.server = text,
            "channel" => self.channel = text,
            "pubkey" => self.pubkey = text,
            "ca" => self.ca = text,
            "healthcheck_url" => self.healthcheck_url = text,
            "maintenance_window" => {
                self.maintenance_window = text.map(|text| Window::parse(text).ok_or(bad)).transpose()?;
            }
            "auto_rollback_after" => self.auto_rollback_after = number()?.filter(|times| *times > 0),
            "kube_system_settle" => self.kube_system_settle = number()?.unwrap_or(default.kube_system_settle),
            "healthcheck_timeout" => self.healthcheck_timeout = number()?.unwrap_or(default.healthcheck_timeout),
            "trial_timeout" => {
                self.trial_timeout =
                    number()?.map_or(default.trial_timeout, |seconds| (seconds > 0).then_some(seconds));
            }
            "containerd" => self.containerd = text.unwrap_or(default.containerd),
            "kubectl" => self.kubectl = text.unwrap_or(default.kubectl),
            "kubeconfig" => self.kubeconfig = text.unwrap_or(default.kubeconfig),
            "watchdog" => self.watchdog = number()?.filter(|seconds| *seconds > 0),
            "want" => self.want = text.map(|text| Version::parse(text).map_err(|_| bad)).transpose()?,
            "rollout_group" => {
                self.rollout_group = text.map_or(Some(Group::Waves), Group::parse).ok_or(bad)?;
            }
            "grow" => {
                self.grow = match value {
                    "yes" | "" => true,
                    "no" => false,
                    _ => return Err(bad),
                }
            }
            "mark" => {
                self.commit_by = match value {
                    "init" => CommitBy::Init,
                    "healthcheck" | "" => CommitBy::Healthcheck,
                    _ => return Err(bad),
                }
            }
            _ => return Err(Problem::UnknownKey(key)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    fn parse(text: &str) -> (Config<'_>, Vec<(u32, Problem<'_>)>) {
        let mut problems = Vec::new();
        let config = Config::parse(text, &mut |line, problem| problems.push((line, problem)));
        (config, problems)
    }

    #[test]
    fn every_key_is_read() {
        let (config, problems) = parse(
            "# a box\n server = http://x/u/ \nchannel=stable\npubkey=/etc/k\nca=/etc/ca\nmaintenance_window=23:00-01:00\n\
             healthcheck_url=http://y/?a=b\nauto_rollback_after=3\nkube_system_settle=60\n\
             healthcheck_timeout=5\ntrial_timeout=600\ncontainerd=/s\nkubectl=/k\nkubeconfig=/c\nmark=init\nwatchdog=60\nwant=v1.2.0\nrollout_group=late\ngrow=no\n\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            config,
            Config {
                server: Some("http://x/u/"),
                channel: Some("stable"),
                pubkey: Some("/etc/k"),
                ca: Some("/etc/ca"),
                maintenance_window: Window::parse("23:00-01:00"),
                healthcheck_url: Some("http://y/?a=b"),
                auto_rollback_after: Some(3),
                kube_system_settle: 60,
                healthcheck_timeout: 5,
                trial_timeout: Some(600),
                containerd: "/s",
                kubectl: "/k",
                kubeconfig: "/c",
                commit_by: CommitBy::Init,
                watchdog: Some(60),
                want: Version::parse("1.2.0").ok(),
                rollout_group: Group::Late,
                grow: false,
            }
        );
        assert_eq!(parse("").0, Config::default());
        assert_eq!(parse("trial_timeout=0\n").0.trial_timeout, None);
        assert_eq!(parse("server=\ntrial_timeout=\nmark=\nwatchdog=0\ngrow=\n"), (Config::default(), Vec::new()));
    }

    #[test]
    fn no_listed_key_is_unknown() {
        for key in KEYS {
            assert_eq!(Config::default().set(key.name, ""), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn a_line_that_is_not_right_is_named_and_sets_nothing() {
        let (config, problems) =
            parse("mark=maybe\n\nmarks=init\ninit\nwatchdog=-1\nmaintenance_window=2-4\ngrow=off\n");
        assert_eq!(config, Config::default());
        let named: Vec<_> = problems.iter().map(|(line, problem)| (*line, problem.to_string())).collect();
        assert_eq!(
            named,
            [
                (1, "mark cannot be 'maybe'".into()),
                (3, "unknown key marks".into()),
                (4, "'init' is not key=value".into()),
                (5, "watchdog cannot be '-1'".into()),
                (6, "maintenance_window cannot be '2-4'".into()),
                (7, "grow cannot be 'off'".into()),
            ]
        );
        let keys: Vec<_> = problems.iter().map(|(_, problem)| problem.key()).collect();
        assert_eq!(keys, ["mark", "marks", "init", "watchdog", "maintenance_window", "grow"]);
    }

    #[test]
    fn quotes_comments_and_a_byte_order_mark_are_no_part_of_a_value() {
        for (line, want) in [
            ("server=http://x/u/", "http://x/u/"),
            ("\u{feff}server=http://x/u/", "http://x/u/"),
            ("server=\"http://x/u/\"", "http://x/u/"),
            ("server = 'http://x/u/' ", "http://x/u/"),
            ("server=http://x/u/ # the shop's", "http://x/u/"),
            ("server=http://x/u/\t#", "http://x/u/"),
            ("server=http://x/u/   \t  # a \"b\"", "http://x/u/"),
            ("server=\"http://x/u/\" # the shop's", "http://x/u/"),
            ("server=' http://x/u/ '", "http://x/u/"),
            ("server=\"/srv/a # b\"", "/srv/a # b"),
            ("server=/srv/a b", "/srv/a b"),
            ("server=/srv/#a", "/srv/#a"),
            ("server=/srv/bob's", "/srv/bob's"),
            ("server=\"/srv/bob's\"", "/srv/bob's"),
        ] {
            assert_eq!(parse(line), (Config { server: Some(want), ..Config::default() }, Vec::new()), "{line}");
        }
        for line in
            ["server=", "server= # none", "server=\t#none", "server=\"\"", "server='' #", "\u{feff}# only a comment"]
        {
            assert_eq!(parse(line), (Config::default(), Vec::new()), "{line}");
        }
        for line in [
            "server=\"/srv",
            "server=/srv\"",
            "server='/srv\"",
            "server=/srv'",
            "server=\"/srv\"x",
            "server=\"",
            "server=a\"b\"c",
        ] {
            let (config, problems) = parse(line);
            assert_eq!(config, Config::default(), "{line}");
            assert!(matches!(problems[..], [(1, Problem::Quote("server", _))]), "{line}: {problems:?}");
        }
        assert_eq!(parse("mark=\"init\"\nwatchdog='60' # s\n").0.watchdog, Some(60));
    }

    #[test]
    fn what_kubesolo_os_has_otherwise_says_how_it_is_done_here() {
        let (_, problems) = parse("registry=ghcr.io/x\ntag=edge\n");
        assert!(problems[0].1.to_string().contains("server"), "{problems:?}");
        assert!(problems[1].1.to_string().contains("channel"), "{problems:?}");
    }
}
