//! `latest.json` and what comes with it, parted by the byte `ff`: document, signature, key file, `update.conf`'s channel,
//! running version, and where the document came from.
//!
//! What is taken for JSON is JSON to serde_json too, with the same text in it; gates, signatures and URLs follow.
#![no_main]

use kubesolo_core::net::url::{self, Location, Scheme};
use kubesolo_core::text::json::{self, Text, Value};
use kubesolo_core::text::timestamp::Moment;
use kubesolo_core::update::manifest::{ARCHITECTURE, MAX, Manifest, Rollout, UpdatePolicy};
use kubesolo_core::update::rollout::Group;
use kubesolo_core::update::signature::Keys;
use kubesolo_core::update::version::Version;
use kubesolo_fuzz::{bounded, parts};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    let [document, signature, keys, channel, running, server] = parts(input);
    bounded(|| {
        as_serde_has_it(document);
        let [channel, running, server] =
            [channel, running, server].map(|part| str::from_utf8(part).unwrap_or_default());
        if let Err(error) = Keys::parse(keys).map(|keys| keys.verify(document, signature)) {
            drop(error.to_string());
        }
        let at = Location::manifest_of(server).unwrap_or_else(|_| Location::parse("http://h/d/latest.json").unwrap());
        joins_are_locations(&at, server);
        let manifest = match Manifest::parse(document) {
            Err(error) => return drop(error.to_string()),
            Ok(manifest) => manifest,
        };
        assert!(document.len() <= MAX);
        assert!([manifest.vmlinuz.size, manifest.initramfs.size].iter().all(|size| *size != Some(0)));
        let image = manifest.image();
        assert_eq!(image.len(), 32);
        let mut gate = UpdatePolicy {
            channel: Some(channel).filter(|channel| !channel.is_empty()),
            architecture: ARCHITECTURE,
            running: Version::parse(running).ok(),
            allow_downgrade: false,
            known_bad: "",
            rollout: Some(Rollout {
                machine_id: Some(channel).filter(|id| !id.is_empty()),
                group: Group::Waves,
                want: None,
                now: Moment(u64::from_le_bytes(image.as_bytes().first_chunk().copied().unwrap_or_default())),
            }),
        };
        let checked = gate.check(&manifest);
        checked.err().map(|refusal| refusal.to_string());
        gate.known_bad = &image;
        assert!(gate.check(&manifest).is_err(), "an image that was rolled back from is not taken");
        let urls = [manifest.vmlinuz.url, manifest.initramfs.url, manifest.metadata_sig_url];
        for url in urls.into_iter().flatten() {
            assert!(url.raw().len() <= url::MAX);
            joins_are_locations(&at, &url.chars().collect::<String>());
        }
        for text in [manifest.channel, manifest.architecture, manifest.release_notes, manifest.release_date] {
            let shown = text.map(|text| text.to_string()).unwrap_or_default();
            assert!(!shown.contains(|character: char| character.is_control() && !"\n\t".contains(character)));
        }
    });
});

fn as_serde_has_it(document: &[u8]) {
    let Ok(text) = str::from_utf8(document) else { return };
    let mut members = 0;
    let sound = json::members(text, |name, value| {
        members += 1;
        same_text(name);
        if let Value::Text(text) = value {
            same_text(text);
        }
        Ok::<(), json::Error>(())
    });
    if sound.is_ok() {
        assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "serde_json does not take it");
        assert!(members * 3 < text.len().max(1));
    }
}

fn same_text(text: Text<'_>) {
    let theirs = serde_json::from_str::<String>(&format!("\"{}\"", text.raw()));
    assert_eq!(theirs.ok(), Some(text.chars().collect::<String>()), "{}", text.raw());
    assert!(text.is(&text.chars().collect::<String>()));
}

fn joins_are_locations(at: &Location, reference: &str) {
    let Ok(joined) = at.join(reference) else { return };
    assert!(joined.as_str().len() <= url::MAX);
    assert!(!joined.as_str().contains(|character: char| character.is_ascii_control()));
    if joined.scheme() == Scheme::File {
        return;
    }
    assert_eq!(Location::parse(joined.as_str()).as_ref(), Ok(&joined), "a location is its own text");
    assert!(joined.target().starts_with('/') && !joined.host().is_empty() && joined.port() > 0);
    let path = joined.target().split('?').next().unwrap_or_default();
    assert!(path.split('/').all(|segment| segment != ".."), "{path}");
    assert!(joined.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{joined:?}");
}
