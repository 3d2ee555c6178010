//! The man page, in mdoc.

use std::fmt::Write;

use kubesolo_boot::cli::flags::{FLAGS, Flag, Sets};
use kubesolo_boot::cli::verbs::{Argument, Form, Row, VERBS};
use kubesolo_boot::failure::Exit;
use kubesolo_core::update::config::{CommitBy, Config, KEYS, Key, Value};

use crate::grammar::{names, takers, value};

const FILES: &[(&str, &str)] = &[
    ("/etc/kubesolo/update.conf", "The settings: key=value, one a line; a line that begins with # is a comment."),
    (
        "/var/lib/kubesolo/update/update.conf",
        "The box's own settings. On KubeSolo OS /init lets the name above lead to them at boot.",
    ),
    (
        "/etc/kubesolo/image.conf",
        "What the image sets where update.conf says nothing, such as the time-out of a watchdog whose keepalives it sends.",
    ),
    ("/var/lib/kubesolo/update/state.json", "How far the update has come, and the last error."),
    ("/var/lib/kubesolo/update/boots", "The last boots, and how each ended."),
    ("/var/lib/kubesolo/update/panic.txt", "The kernel's last words, after a panic."),
    ("boot/grub/grubenv", "On the partition KSOLOEFI: GRUB's env block, which says what boots next."),
    ("boot/grub/grubenv.bak", "Its second copy. Each is repaired from the other."),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Install what the update server offers, and boot it on trial:",
        "kubesolo-boot apply && kubesolo-boot activate --reboot",
    ),
    ("The same from a USB stick, without a network:", "kubesolo-boot apply /mnt"),
    (
        "Keep the slot that runs if the box is healthy; else count it, and go back at once when it was too often:",
        "kubesolo-boot healthcheck --reboot",
    ),
    ("What boots next, for a script:", "kubesolo-boot status --json"),
];

/// `date` as in `November 24, 2026`.
pub fn page(date: &str) -> String {
    let mut page = format!(
        ".\\\" Made by tools/manual of the tables that the program goes by.\n\
         .Dd {date}\n.Dt KUBESOLO-BOOT 8\n.Os\n\
         .Sh NAME\n.Nm kubesolo-boot\n.Nd A/B boot and update helper of KubeSolo OS\n\
         .Sh SYNOPSIS\n.Nm\n.Ar verb\n.Op Ar argument ...\n.Op Ar flag ...\n\
         .Nm grub-editenv\n.Ar file\n.Ar command\n.Op Ar argument ...\n\
         .Sh DESCRIPTION\n.Nm\nboots, updates and rolls back a box whose system is in one of two slots,\nA and B.\n\
         What boots next stands in GRUB's env block, and nowhere else.\n\
         An update goes into the slot that does not run, and is on trial for three boots.\n\
         If none of them is committed, the old slot boots again.\n.Pp\n\
         Flags may stand anywhere.\nA value follows its flag, or stands behind an equals sign.\n\
         Behind\n.Fl \\-\nthere are only arguments.\n.Pp\n\
         Called by the name\n.Nm grub-editenv\nit is that tool.\n\
         .Sh VERBS\n"
    );
    list(&mut page, VERBS.iter().map(|verb| (heads(verb), format!("{}\n{}", sentence(verb.line), prose(verb.text)))));
    page.push_str(".Sh FLAGS\n");
    let own = FLAGS.iter().filter(|flag| !matches!(flag.sets, Sets::Key(_)));
    list(&mut page, own.map(|flag| (flag_head(flag), format!("{}{}", prose(&sentence(flag.help)), of_verbs(flag)))));
    page.push_str(
        ".Sh SETTINGS\nEach key of\n.Pa update.conf\nis a flag as well, with hyphens for underscores:\n\
         .Ic kube_system_settle=60\nis\n.Fl \\-kube\\-system\\-settle Ar 60 .\nFlags beat keys.\n",
    );
    list(&mut page, KEYS.iter().map(|key| (format!(".It Ic {}= Ns {}\n", key.name, macros(key.value)), key_text(key))));
    page.push_str(".Sh FILES\n");
    list(&mut page, FILES.iter().map(|(path, text)| (format!(".It Pa {path}\n"), prose(text))));
    page.push_str(".Sh EXIT STATUS\n");
    list(&mut page, Exit::TABLE.iter().map(|(exit, text)| (format!(".It {}\n", *exit as u8), prose(&sentence(text)))));
    page.push_str(".Sh EXAMPLES\n");
    for (text, command) in EXAMPLES {
        write!(page, "{}.Pp\n.Dl {}\n.Pp\n", prose(text), escaped(command)).unwrap();
    }
    page.truncate(page.len() - ".Pp\n".len());
    page.push_str(".Sh SEE ALSO\n.Xr grub-editenv 1 ,\n.Xr kubectl 1 ,\n.Xr systemd-system.conf 5\n");
    page
}

fn list(page: &mut String, items: impl Iterator<Item = (String, String)>) {
    page.push_str(".Bl -tag -width Ds\n");
    for (head, text) in items {
        page.push_str(&head);
        page.push_str(&text);
    }
    page.push_str(".El\n");
}

/// The forms of a verb, a line each.
fn heads(verb: &Row) -> String {
    let argument = |argument: &Argument| {
        let word = macros(value(argument));
        match argument {
            Argument::One(_) => format!(" {word}"),
            Argument::Optional(_) => format!(" Oo {word} Oc"),
            Argument::Many(_) => format!(" {word} ..."),
        }
    };
    let form = |form: &Form| format!(".It Ic {}{}\n", verb.word, form.iter().map(argument).collect::<String>());
    verb.forms.iter().map(form).collect()
}

fn flag_head(flag: &Flag) -> String {
    let names: Vec<_> = names(flag).iter().map(|name| flag_macro(name)).collect();
    let value = flag.value().map(|value| format!(" {}", macros(value))).unwrap_or_default();
    format!(".It {}{value}\n", names.join(" , "))
}

/// Which verbs take it, where not all do.
fn of_verbs(flag: &Flag) -> String {
    let Some(takers) = takers(flag) else { return String::new() };
    let takers: Vec<_> = takers.iter().map(|verb| format!(".Ic {verb}")).collect();
    format!("Of\n{} .\n", takers.join(" ,\n"))
}

fn key_text(key: &Key) -> String {
    let flag = FLAGS.iter().find(|flag| matches!(flag.sets, Sets::Key(of) if of == key)).unwrap();
    let default = default(key.name).map(|value| format!("Default\n.Ql {value} .\n")).unwrap_or_default();
    let takers = of_verbs(flag).replacen("Of\n", "As a flag of\n", 1);
    format!("{}{default}{takers}", prose(&sentence(key.help)))
}

/// Words to be typed, or a placeholder, each by its macro.
fn macros(value: Value) -> String {
    let (name, words): (_, Vec<_>) = match value {
        Value::OneOf(words) => ("Cm", words.iter().map(|word| (*word).to_owned()).collect()),
        Value::File(names) | Value::Folder(names) | Value::Text(names) => {
            ("Ar", names.split('|').map(str::to_lowercase).collect())
        }
    };
    words.iter().map(|word| format!("{name} {word}")).collect::<Vec<_>>().join(" | ")
}

fn flag_macro(name: &str) -> String {
    format!("Fl {}", name.strip_prefix('-').unwrap().replace('-', r"\-"))
}

/// The default of a key that has one to name.
fn default(key: &str) -> Option<String> {
    let config = Config::default();
    Some(match key {
        "kube_system_settle" => config.kube_system_settle.to_string(),
        "healthcheck_timeout" => config.healthcheck_timeout.to_string(),
        "trial_timeout" => config.trial_timeout?.to_string(),
        "containerd" => config.containerd.into(),
        "kubectl" => config.kubectl.into(),
        "kubeconfig" => config.kubeconfig.into(),
        "mark" if config.commit_by == CommitBy::Healthcheck => "healthcheck".into(),
        _ => return None,
    })
}

fn upper(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

/// A phrase of the help as a sentence.
fn sentence(phrase: &str) -> String {
    upper(phrase) + stop(phrase)
}

fn stop(phrase: &str) -> &'static str {
    if phrase.ends_with(['.', '?']) { "" } else { "." }
}

/// Lines of at most 80 characters, and each sentence begins one, as roff wants it.
fn prose(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in escaped(text).split_whitespace() {
        if !line.is_empty() && (line.ends_with(['.', '?']) || line.len() + word.len() >= 80) {
            lines += &(std::mem::take(&mut line) + "\n");
        }
        line += if line.is_empty() { "" } else { " " };
        line += word;
    }
    lines + &line + "\n"
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\e").replace("--", r"\-\-")
}
