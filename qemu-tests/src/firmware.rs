//! Knows the firmwares a box can have, the machine that each runs on, and what QEMU needs for it.

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
    /// OVMF of 32 bits, as on some small boards whose processor has 64. Package `ovmf-ia32`.
    Uefi32,
    /// UEFI on arm64: AAVMF, from Debian's package `qemu-efi-aarch64`.
    Arm64,
}

/// Code and variable store, in the pairs that distributions ship.
type Flash = &'static [(&'static str, &'static str)];

const OVMF: Flash = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];
const OVMF32: Flash = &[("/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF32_VARS_4M.fd")];
const AAVMF: Flash = &[("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd")];

impl Firmware {
    /// The two of a PC.
    pub const PC: [Self; 2] = [Self::Bios, Self::Uefi];
    /// Those that every story about GRUB's choice is told under.
    pub const ALL: [Self; 3] = [Self::Bios, Self::Uefi, Self::Arm64];

    /// QEMU's name for itself, the machine and the processor.
    pub fn machine(self) -> [&'static str; 3] {
        match self {
            Self::Bios | Self::Uefi => ["qemu-system-x86_64", "q35", "max"],
            // `max` would sign its pointers, and take three times as long.
            // Debian builds that one for a machine whose variables only the firmware can write.
            Self::Uefi32 => ["qemu-system-x86_64", "q35,smm=on", "max"],
            Self::Arm64 => ["qemu-system-aarch64", "virt", "cortex-a72"],
        }
    }

    /// QEMU's arguments. The variable store is copied into `work` once and kept over power cuts, as on a real board.
    ///
    /// # Errors
    /// When the firmware is not installed.
    pub fn args(self, work: &Path) -> Result<Vec<String>> {
        let (flash, package) = match self {
            Self::Bios => return Ok(Vec::new()),
            Self::Uefi => (OVMF, "ovmf"),
            Self::Uefi32 => (OVMF32, "ovmf-ia32"),
            Self::Arm64 => (AAVMF, "qemu-efi-aarch64"),
        };
        let Some((code, fresh)) = flash.iter().find(|(code, _)| Path::new(code).is_file()) else {
            return Err(Failure::new(format!("no UEFI firmware: install the package {package} (`tools/deps`)")));
        };
        let vars: PathBuf = work.join("vars.fd");
        if !vars.exists() {
            fs::copy(fresh, &vars).step(|| format!("copy {fresh} to {}", vars.display()))?;
        }
        let secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"];
        let secure = if self == Self::Uefi32 { &secure[..] } else { &[] };
        let flash = [
            "-drive".into(),
            format!("if=pflash,format=raw,readonly=on,file={code}"),
            "-drive".into(),
            format!("if=pflash,format=raw,cache=unsafe,file={}", vars.display()),
        ];
        Ok(secure.iter().map(|word| String::from(*word)).chain(flash).collect())
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
            Self::Uefi32 => "uefi32",
            Self::Arm64 => "arm64",
        })
    }
}
