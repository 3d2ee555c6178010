//! Knows the two firmwares a box can have and what QEMU needs for each.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, Step};

/// What runs before GRUB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS, QEMU's own.
    Bios,
    /// OVMF, from Debian's package `ovmf`.
    Uefi,
}

/// Code and variable store, in the pairs that distributions ship.
const OVMF: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];

impl Firmware {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bios, Self::Uefi];

    /// QEMU's arguments. The variable store is copied into `work` once and kept over power cuts, as on a real board.
    ///
    /// # Errors
    /// When OVMF is not installed.
    pub fn args(self, work: &Path) -> Result<Vec<String>> {
        if self == Self::Bios {
            return Ok(Vec::new());
        }
        let Some((code, fresh)) = OVMF.iter().find(|(code, _)| Path::new(code).is_file()) else {
            return Err(Failure::new("no UEFI firmware: install the package ovmf (`image/deps`)"));
        };
        let vars: PathBuf = work.join("vars.fd");
        if !vars.exists() {
            fs::copy(fresh, &vars).step(|| format!("copy {fresh} to {}", vars.display()))?;
        }
        Ok(vec![
            "-drive".into(),
            format!("if=pflash,format=raw,readonly=on,file={code}"),
            "-drive".into(),
            format!("if=pflash,format=raw,cache=unsafe,file={}", vars.display()),
        ])
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        })
    }
}
