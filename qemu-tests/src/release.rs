//! Knows the side of an update's publisher: what image/release makes of a system, signed by a key of this story's own, and
//! a box that was told where to find it.

use std::fs;
use std::path::{Path, PathBuf};

use kubesolo_core::boot::slot::Slot;

use crate::dice::Dice;
use crate::failure::{Failure, Result, Step};
use crate::host;
use crate::image::{Image, Part};
use crate::initrd::System;
use crate::paths;
use crate::rig::Rig;
use crate::server::Server;

/// Where releases are made.
pub struct Publisher {
    folder: PathBuf,
    key: PathBuf,
    kernel: PathBuf,
    initramfs: PathBuf,
}

impl Publisher {
    /// Publishes into `folder`, with files of its own in `work`. The image's own system is what it publishes.
    ///
    /// # Errors
    /// When image/release makes no key.
    pub fn new(work: &Path, folder: PathBuf) -> Result<Self> {
        let own = |name: &str| work.join(format!("release-{name}"));
        let publisher = Self { folder, key: own("key"), kernel: own("vmlinuz"), initramfs: own("initramfs") };
        release(&[&["--new-key".as_ref(), publisher.key.as_path()]])?;
        Ok(publisher)
    }

    /// The public half of its key: the text of a `pubkey=` file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn public_key(&self) -> Result<Vec<u8>> {
        let public = self.key.with_extension("pub");
        fs::read(&public).step(|| format!("read {}", public.display()))
    }

    /// Publishes the system that slot A of the image came with, made to do this.
    ///
    /// # Errors
    /// When the slot cannot be read, or image/release refuses.
    pub fn publish_system(&self, image: &Image, version: &str, system: System) -> Result {
        self.publish_system_with(image, version, system, &[]).map(drop)
    }

    /// The same with these files besides. Gives the length of its initramfs.
    ///
    /// # Errors
    /// When the slot cannot be read, or image/release refuses.
    pub fn publish_system_with(
        &self,
        image: &Image,
        version: &str,
        system: System,
        files: &[(&str, &[u8])],
    ) -> Result<u64> {
        let kernel = image.ext4_read(Part::SlotA, "vmlinuz")?;
        // No two releases are the same bytes.
        let stamp = format!("{version}\n");
        let initramfs = image.initramfs(Slot::A, system, &[files, &[("etc/release", stamp.as_bytes())]].concat())?;
        self.publish(version, &kernel, &initramfs)?;
        Ok(initramfs.len() as u64)
    }

    /// Publishes any two files.
    ///
    /// # Errors
    /// When image/release refuses.
    pub fn publish(&self, version: &str, kernel: &[u8], initramfs: &[u8]) -> Result {
        fs::write(&self.kernel, kernel).step(|| format!("write {}", self.kernel.display()))?;
        fs::write(&self.initramfs, initramfs).step(|| format!("write {}", self.initramfs.display()))?;
        let notes = format!("This is {version}.");
        release(&[
            &["--key".as_ref(), &self.key, "--version".as_ref(), version.as_ref()],
            &["--kernel".as_ref(), &self.kernel, "--initramfs".as_ref(), &self.initramfs],
            &["--out".as_ref(), &self.folder, "--release-notes".as_ref(), notes.as_ref()],
        ])
    }
}

impl Rig {
    /// Gives the box a network, and a web server that it takes updates from: `path` on it, such as `slow/` or none.
    ///
    /// # Errors
    /// When one of the tools is missing.
    pub fn add_update_server(&mut self, path: &str) -> Result<(Server, Publisher)> {
        self.add_update_server_with(path, |_| String::new())
    }

    /// The same, with more lines of `update.conf`, made from the server's address.
    ///
    /// # Errors
    /// When one of the tools is missing.
    pub fn add_update_server_with(&mut self, path: &str, more: impl Fn(&str) -> String) -> Result<(Server, Publisher)> {
        self.add_network();
        let server = Server::start(&self.work().join("web"))?;
        let publisher = Publisher::new(self.work(), server.www())?;
        let url = server.url();
        self.image.configure(&format!("{url}{path}"), &publisher.public_key()?, &more(&url))?;
        Ok((server, publisher))
    }
}

/// Bytes that cannot be packed, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let words = std::iter::repeat_with(|| dice.any().to_le_bytes());
    words.flatten().take(len).collect()
}

impl Image {
    /// Tells the box where its updates come from, and by whose key, with `more` lines of `update.conf`: for good, on the
    /// data partition.
    ///
    /// # Errors
    /// When debugfs cannot, for instance as it was told before.
    pub fn configure(&self, server: &str, public_key: &[u8], more: &str) -> Result {
        self.ext4_write(Part::State, "pubkey", public_key)?;
        self.own_conf(&format!("server={server}\npubkey=/var/lib/kubesolo/pubkey\n{more}"))
    }

    /// Gives the box an `update.conf` of its own, on the data partition.
    ///
    /// # Errors
    /// When debugfs cannot, for instance as it has one.
    pub fn own_conf(&self, conf: &str) -> Result {
        let file = self.beside("update.conf");
        fs::write(&file, conf).step(|| format!("write {}", file.display()))?;
        let write = format!("write {} update.conf", file.display());
        self.debugfs(Part::State, &["mkdir update", "cd update", &write])
    }
}

fn release(words: &[&[&Path]]) -> Result {
    let tool = paths::workspace().join("image/release");
    let tool = tool.to_str().ok_or_else(|| Failure::new("image/release: its path is not UTF-8"))?;
    host::run(tool, words.concat()).map(drop)
}
