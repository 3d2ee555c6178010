//! A regular file below a folder (openat2(2)): no link leads out of the folder, and what is no regular file is never opened: opening a
//! device can be enough to act on it, as it is with a watchdog.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat, openat2};
use rustix::io::Errno;

/// Opens the file at `rest` below `folder` (empty: the current one) for reading.
///
/// # Errors
/// [`Errno::XDEV`] if the way leads out of the folder, [`Errno::NXIO`] if what is there is no regular file; the kernel's.
pub fn open_regular(folder: &str, rest: &str) -> Result<(OwnedFd, Stat), Errno> {
    let path = OFlags::PATH | OFlags::CLOEXEC;
    let folder = openat(CWD, if folder.is_empty() { "." } else { folder }, path | OFlags::DIRECTORY, Mode::empty())?;
    let rest = if rest.is_empty() { "." } else { rest };
    let stay = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let found = match openat2(&folder, rest, path, Mode::empty(), stay) {
        // A kernel before 5.6, or an emulated one.
        Err(Errno::NOSYS) => step_by_step(folder, rest),
        found => found,
    }?;
    let metadata = fstat(&found)?;
    if FileType::from_raw_mode(metadata.st_mode) != FileType::RegularFile {
        return Err(Errno::NXIO);
    }
    // By way of /proc it is this file for certain, whatever has become of the name.
    let again = std::format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = open(again, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    Ok((file, metadata))
}

/// The same without the kernel's help: no link is followed, and nothing leads up.
fn step_by_step(folder: OwnedFd, rest: &str) -> Result<OwnedFd, Errno> {
    rest.split('/').filter(|step| !step.is_empty()).try_fold(folder, |at, step| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = if step == ".." { return Err(Errno::XDEV) } else { openat(&at, step, flags, Mode::empty())? };
        let is_link = FileType::from_raw_mode(fstat(&next)?.st_mode) == FileType::Symlink;
        if is_link { Err(Errno::XDEV) } else { Ok(next) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_below_the_folder_are_opened() {
        let top = std::env::temp_dir().join(std::format!("kubesolo-beneath-{}", std::process::id()));
        let stick = top.join("stick");
        fs::create_dir_all(stick.join("sub")).unwrap();
        for name in ["outside", "stick/file", "stick/sub/file"] {
            fs::write(top.join(name), name).unwrap();
        }
        for (name, to) in [
            ("in", "sub/file"),
            ("sub/up", "../file"),
            ("folder", "sub"),
            ("out", "../outside"),
            ("device", "/dev/null"),
            ("absolute", "/etc/hostname"),
            ("way-out", ".."),
            ("loop", "loop"),
        ] {
            symlink(to, stick.join(name)).unwrap();
        }
        rustix::fs::mknodat(CWD, stick.join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let folder = std::format!("{}/", stick.display());
        for (rest, want) in [
            ("file", Ok(())),
            ("sub/file", Ok(())),
            ("sub/../file", Ok(())),
            ("in", Ok(())),
            ("sub/up", Ok(())),
            ("folder/file", Ok(())),
            ("", Err(Errno::NXIO)),
            ("sub", Err(Errno::NXIO)),
            ("pipe", Err(Errno::NXIO)),
            ("none", Err(Errno::NOENT)),
            ("out", Err(Errno::XDEV)),
            ("device", Err(Errno::XDEV)),
            ("absolute", Err(Errno::XDEV)),
            ("way-out/outside", Err(Errno::XDEV)),
            ("../outside", Err(Errno::XDEV)),
            ("loop", Err(Errno::LOOP)),
        ] {
            assert_eq!(open_regular(&folder, rest).map(drop), want, "{rest}");
            let folder = open(&*folder, OFlags::PATH, Mode::empty()).unwrap();
            // Without the kernel's help links are not followed at all.
            assert!(want.is_ok() || want == Err(Errno::NXIO) || step_by_step(folder, rest).is_err(), "{rest}");
        }
        assert_eq!(open_regular("/dev/", "null").map(drop), Err(Errno::NXIO));
        fs::remove_dir_all(&top).unwrap();
    }
}
