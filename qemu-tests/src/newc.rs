//! Knows the cpio format `newc` that the kernel unpacks as initramfs, writing only.
//!
//! Source: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`. An entry is `070701`, thirteen fields of
//! eight hex digits, the name with its NUL, the content; header with name and content are each padded to four bytes.

/// Encodes regular files that anybody may execute, with the closing entry.
pub fn encode(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (at, (name, content)) in files.iter().enumerate() {
        // Inode numbers stand apart from those of the archive before, or the kernel takes two names for hard links.
        entry(&mut archive, 0x7fff_0000 + at, 0o100_755, name, content);
    }
    entry(&mut archive, 0, 0, "TRAILER!!!", b"");
    archive
}

fn entry(archive: &mut Vec<u8>, inode: usize, mode: usize, name: &str, content: &[u8]) {
    let (uid, gid, links, mtime, device, check) = (0, 0, 1, 0, 0, 0);
    let fields =
        [inode, mode, uid, gid, links, mtime, content.len(), device, device, device, device, name.len() + 1, check];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(content);
    pad(archive);
}

/// Fills up with zeros to a multiple of four.
pub fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpio_lists_what_was_encoded() {
        let archive = encode(&[("init", b"#!/bin/sh\n"), ("sbin/init", b"x")]);
        let mut cpio = Command::new("cpio").arg("-t").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        cpio.stdin.take().unwrap().write_all(&archive).unwrap();
        let out = cpio.wait_with_output().unwrap();
        assert!(out.status.success());
        assert_eq!(String::from_utf8_lossy(&out.stdout), "init\nsbin/init\n");
    }
}
