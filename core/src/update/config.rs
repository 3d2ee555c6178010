//! `update.conf`: `key=value` lines and `#` comments → one typed value.

use core::fmt;

use crate::text::decimal::decimal;
use crate::update::window::Window;

/// Every key there is.
pub const KEYS: [&str; 15] = [
    "server",
    "channel",
    "pubkey",
    "ca",
    "maintenance_window",
    "healthcheck_url",
    "auto_rollback_after",
    "kube_system_settle",
    "healthcheck_timeout",
    "containerd",
    "kubectl",
    "kubeconfig",
    "mark",
    "watchdog",
    "grow",
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

/// What `update.conf` says. A key that it does not have is `None`, or has its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config<'a> {
    /// `server=URL|PATH`: where `latest.json` is.
    pub server: Option<&'a str>,
    /// `channel=NAME`: the only one to take updates from.
    pub channel: Option<&'a str>,
    /// `pubkey=FILE`: file with the public keys that may sign `latest.json`.
    pub pubkey: Option<&'a str>,
    /// `ca=FILE`: file with the certificates that an `https` server must be vouched for by.
    pub ca: Option<&'a str>,
    /// `maintenance_window=HH:MM-HH:MM`: when `apply` may begin, UTC.
    pub maintenance_window: Option<Window>,
    /// `healthcheck_url=URL`: answers 200 when the box is healthy.
    pub healthcheck_url: Option<&'a str>,
    /// `auto_rollback_after=TIMES`: failed health checks in a row before a rollback.
    pub auto_rollback_after: Option<u32>,
    /// `kube_system_settle=SECONDS`: how long the pods of kube-system must have been running.
    pub kube_system_settle: u32,
    /// `healthcheck_timeout=SECONDS`: how long each check may take to come right.
    pub healthcheck_timeout: u32,
    /// `containerd=FILE`: containerd's socket.
    pub containerd: &'a str,
    /// `kubectl=FILE`: the program to ask Kubernetes with.
    pub kubectl: &'a str,
    /// `kubeconfig=FILE`: the administrator's kubeconfig.
    pub kubeconfig: &'a str,
    /// `mark=healthcheck|init`: who commits a trial; `init` as soon as the data partition takes writes.
    pub mark: Mark,
    /// `watchdog=SECONDS`: the time after which the hardware watchdog resets a box that hangs.
    pub watchdog: Option<u32>,
    /// `grow=yes|no`: whether the data partition gets all of a larger disk.
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
            containerd: "/var/lib/kubesolo/containerd/containerd.sock",
            kubectl: "kubectl",
            kubeconfig: "/var/lib/kubesolo/pki/admin/admin.kubeconfig",
            mark: Mark::Healthcheck,
            watchdog: None,
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
    /// No `=`.
    NoValue(&'a str),
}

impl Problem<'_> {
    /// Whether it is only worth a warning: a key that a later version may know.
    pub const fn is_warning(&self) -> bool {
        matches!(self, Problem::UnknownKey(_))
    }
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownKey(key) => write!(f, "unknown key {key}"),
            Problem::BadValue(key, value) => write!(f, "{key} cannot be '{value}'"),
            Problem::NoValue(line) => write!(f, "'{line}' is not key=value"),
        }
    }
}

impl<'a> Config<'a> {
    /// Reads the text; tells `problem` the number (from 1) of each line that is not right, and why. What such a line
    /// would have set keeps its default.
    pub fn parse(text: &'a str, problem: &mut dyn FnMut(u32, Problem<'a>)) -> Config<'a> {
        let mut config = Config::default();
        config.take(text, problem);
        config
    }

    /// The same, over what is set already.
    pub fn take(&mut self, text: &'a str, problem: &mut dyn FnMut(u32, Problem<'a>)) {
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                problem(number, Problem::NoValue(line));
                continue;
            };
            if let Err(found) = self.set(key.trim_ascii(), value.trim_ascii()) {
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
            "containerd" => self.containerd = text.unwrap_or(default.containerd),
            "kubectl" => self.kubectl = text.unwrap_or(default.kubectl),
            "kubeconfig" => self.kubeconfig = text.unwrap_or(default.kubeconfig),
            "watchdog" => self.watchdog = number()?.filter(|seconds| *seconds > 0),
            "grow" => {
                self.grow = match value {
                    "yes" | "" => true,
                    "no" => false,
                    _ => return Err(bad),
                }
            }
            "mark" => {
                self.mark = match value {
                    "init" => Mark::Init,
                    "healthcheck" | "" => Mark::Healthcheck,
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
             healthcheck_timeout=5\ncontainerd=/s\nkubectl=/k\nkubeconfig=/c\nmark=init\nwatchdog=60\ngrow=no\n\n",
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
                containerd: "/s",
                kubectl: "/k",
                kubeconfig: "/c",
                mark: Mark::Init,
                watchdog: Some(60),
                grow: false,
            }
        );
        assert_eq!(parse("").0, Config::default());
        assert_eq!(parse("server=\nmark=\nwatchdog=0\ngrow=\n"), (Config::default(), Vec::new()));
    }

    #[test]
    fn no_listed_key_is_unknown() {
        for key in KEYS {
            assert_eq!(Config::default().set(key, ""), Ok(()), "{key}");
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
        assert!(problems[1].1.is_warning() && !problems[0].1.is_warning());
    }
}
