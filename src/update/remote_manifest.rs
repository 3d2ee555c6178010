//! The manifest of an update server, `latest.json`: fetched, and its signature verified before any of it is used.

use core::fmt;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use rustix::fs::{CWD, OFlags};

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::Device;
use crate::net::fetch::Client;
use crate::net::retry::patiently;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::net::url::{Location, Scheme};
use kubesolo_core::text::json::Text;
use kubesolo_core::update::manifest::Manifest;
use kubesolo_core::update::signature::Keys;

/// A manifest whose signature was verified, if a public key is configured.
pub struct RemoteManifest {
    /// Where it came from: the base of relative URLs in it.
    pub at: Location,
    document: Vec<u8>,
    /// Whether its signature was verified.
    pub signed: bool,
}

/// Longest `latest.json` and longest signature, in bytes.
const DOCUMENT_MAX: usize = 64 * 1024;
const SIGNATURE_MAX: usize = 1024;
const KEYS_MAX: usize = 8192;

/// How long to try again: after a connection that broke, and where document and signature do not belong together. The timer does the rest.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

impl RemoteManifest {
    /// Fetches the manifest at `at` and checks its signature with the keys in that file, if one is configured.
    ///
    /// # Errors
    /// [`Exit::Io`] if it cannot be fetched, [`Exit::Untrusted`] if the signature is missing or not by one of these keys.
    pub fn fetch(client: &Client<'_>, at: &Location, pubkey: Option<&str>) -> Result<RemoteManifest, Failure> {
        let keys = pubkey.map(read_keys).transpose()?;
        patiently(RETRY_TIMEOUT, &mut || {
            let document = fetch(client, at, DOCUMENT_MAX)?;
            let remote = RemoteManifest { at: at.clone(), document, signed: keys.is_some() };
            match &keys {
                Some(keys) => remote.verify(client, keys).map(|()| remote),
                None => Ok(remote),
            }
        })
    }

    /// The manifest. Before the signature is verified only the location of the signature's file is read from it.
    ///
    /// # Errors
    /// [`Exit::Io`] if the document is no manifest.
    pub fn manifest(&self) -> Result<Manifest<'_>, Failure> {
        Manifest::parse(&self.document).map_err(|error| {
            Failure::new(Exit::Io, format_args!("read {}: {error}; tell who runs the server", self.at))
        })
    }

    /// Where a URL in the manifest leads.
    ///
    /// # Errors
    /// [`Exit::Io`] if that is nowhere, or not on the web.
    pub fn join(&self, url: Text<'_>) -> Result<Location, Failure> {
        self.at.join(&url.chars().collect::<String>()).map_err(|error| self.unusable(&error))
    }

    /// Why the manifest is of no use.
    pub fn unusable(&self, error: &dyn fmt::Display) -> Failure {
        Failure::new(Exit::Io, format_args!("read {}: {error}", self.at))
    }

    /// The document as the server has it.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    fn verify(&self, client: &Client<'_>, keys: &Keys) -> Result<(), Failure> {
        let manifest = self.manifest()?;
        let untrusted = |at: &dyn fmt::Display, reason: &dyn fmt::Display| {
            Failure::new(
                Exit::Untrusted,
                format_args!(
                    "check signature {at}: {reason}; nothing of this update is used, and --force changes nothing"
                ),
            )
        };
        let at = match manifest.metadata_sig_url {
            Some(url) => self.at.join(&url.chars().collect::<String>()),
            None => self.at.with_ending(".sig"),
        }
        .map_err(|error| untrusted(&self.at, &error))?;
        let signature = fetch(client, &at, SIGNATURE_MAX)
            .map_err(|failure| untrusted(&at, &failure).transient(failure.is_transient()))?;
        // Two files that are two requests: at a release, a server of many nodes gives the old one with the new one for a while.
        let on_web = self.at.scheme() != Scheme::File;
        keys.verify(&self.document, &signature).map(|_| ()).map_err(|error| untrusted(&at, &error).transient(on_web))
    }
}

fn fetch(client: &Client<'_>, at: &Location, most: usize) -> Result<Vec<u8>, Failure> {
    let mut document = std::vec![0; most];
    let len = client.fetch_small(at, &mut document)?;
    document.truncate(len);
    Ok(document)
}

fn read_keys(path: &str) -> Result<Keys, Failure> {
    let failed = |reason: &dyn fmt::Display| {
        Failure::new(Exit::Usage, format_args!("read public keys {path}: {reason}; give one key a line, 64 hex digits"))
    };
    let mut text = std::vec![0; KEYS_MAX];
    let mut file = Device::open(CWD, path, OFlags::RDONLY).map_err(|errno| failed(&Reason(errno)))?;
    let len = read_at(&mut file, 0, &mut text).map_err(|error| failed(&error))?;
    Keys::parse(text.get(..len).unwrap_or_default()).map_err(|error| failed(&error))
}
