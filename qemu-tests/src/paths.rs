//! Knows where things stand in the workspace: the image under test, work files, kept logs.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::firmware::Firmware;

/// The workspace's top folder.
pub fn workspace() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member).to_path_buf()
}

/// The image that stories copy: for a PC `KSOLO_IMAGE`, else `dist/kubesolo-test.img`; `dist/kubesolo-test-arm64.img`.
///
/// # Errors
/// When it is not there, with the command that makes it.
pub fn image(firmware: Firmware) -> Result<PathBuf> {
    let (given, made) = match firmware {
        Firmware::Bios | Firmware::Uefi => (env::var_os("KSOLO_IMAGE"), "dist/kubesolo-test.img"),
        Firmware::Arm64 => (None, "dist/kubesolo-test-arm64.img"),
    };
    let path = workspace().join(given.unwrap_or(made.into()));
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("no image at {}: run `make qemu-test`", path.display())))
}

/// The image that is shipped: every driver, and the settings that it comes with.
///
/// # Errors
/// When it is not there, with the command that makes it.
pub fn shipped_image() -> Result<PathBuf> {
    let path = workspace().join("dist/kubesolo.img");
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("no image at {}: run `make image`", path.display())))
}

/// A file of the shipped image's system, whose kernel has drivers for watchdogs: `vmlinuz` or `kubesolo-os.gz`.
pub fn shipped_system(file: &str) -> PathBuf {
    workspace().join("build").join(file)
}

/// Where a story's disk copy and its other short-lived files stand.
pub fn work() -> PathBuf {
    workspace().join("build/qemu-tests")
}

/// Where the serial log of a failed story is kept.
pub fn logs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("logs")
}
