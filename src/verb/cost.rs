//! What an update would fetch: what of it the running slot does not have.

use crate::host::Host;
use crate::net::fetch::Client;
use crate::update::chunks::{Held, read_index};
use crate::update::remote_manifest::RemoteManifest;
use crate::update::target::Target;
use kubesolo_core::update::digest::Sha256;
use kubesolo_core::update::manifest::Manifest;

use super::download::{Source, index_source, running_slot};

/// Bytes of an update.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Those that are fetched, with the indexes.
    pub to_fetch: u64,
    /// All of them.
    pub total: u64,
}

/// Of the update that the manifest describes; `None` if it does not say how long its files are. An index that cannot be had saves
/// nothing.
pub fn cost(host: &Host<'_>, client: &Client<'_>, remote: &RemoteManifest, manifest: &Manifest<'_>) -> Option<Cost> {
    let booted = host.booted_if_known().ok().flatten();
    let running = booted.and_then(|booted| running_slot(host, booted));
    let mut cost = Cost { to_fetch: 0, total: 0 };
    for (name, image) in [("vmlinuz", &manifest.vmlinuz), ("kubesolo-os.gz", &manifest.initramfs)] {
        let size = image.size?;
        let missing = running.as_ref().and_then(|running| {
            if running.open_same(name, &image.sha256, size).is_some() {
                return Some(0);
            }
            missing(client, running, name, size, &index_source(remote, image).ok()??)
        });
        cost.to_fetch = cost.to_fetch.saturating_add(missing.unwrap_or(size));
        cost.total = cost.total.saturating_add(size);
    }
    Some(cost)
}

/// Bytes of the index, and of the file's chunks that are not in the slot; `None` if either has no index to go by.
fn missing(client: &Client<'_>, running: &Target, name: &str, size: u64, index: &Source) -> Option<u64> {
    let held = Held::of(running, name)?;
    let mut body = client.open(&index.location, 0).ok()?;
    let (mut hash, mut missing) = (Sha256::new(), index.size);
    let mut read = |bytes: &mut [u8]| {
        let is_read = body.fill(bytes).is_ok();
        hash.update(bytes);
        is_read
    };
    read_index(index.size, Some(size), &mut read, &mut |chunk, _| {
        if !held.has(&chunk) {
            missing = missing.saturating_add(chunk.len.into());
        }
    })
    .ok()?;
    (hash.finish() == index.sha256).then_some(missing.min(size))
}
