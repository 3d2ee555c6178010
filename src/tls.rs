//! TLS over a TCP connection: rustls with ring, and the certificates of a CA file. Names and dates are always checked.

use core::fmt;
use std::borrow::ToOwned;
use std::io::{self, Read, Write};
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::tcp::Tcp;

/// Where distributions keep the certificates they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why there is no TLS connection.
#[derive(Debug)]
pub enum Error {
    /// The connection broke, or timed out.
    Io(io::Error),
    /// The CA file cannot be used.
    Ca(String),
    /// The server is not who it should be.
    Certificate(CertificateError),
    /// The two could not agree, or one of them is broken.
    Handshake(rustls::Error),
}

/// This side never shows a certificate, so it needs no private key; without what could use one, the program is smaller.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("no keys".into()))
    }
}

/// A TLS connection.
pub struct Stream(StreamOwned<ClientConnection, Tcp>);

impl Stream {
    /// Shakes hands with `host`, whose certificate has to lead to one in the PEM file `ca` (empty: the system's own).
    ///
    /// # Errors
    /// If it does not, is for another name or not for today, or the connection breaks.
    pub fn open(mut tcp: Tcp, host: &str, ca: &str) -> Result<Stream, Error> {
        let provider = CryptoProvider { key_provider: &NoKeys, ..ring::default_provider() };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Handshake)?
            .with_root_certificates(roots(ca)?)
            .with_no_client_auth();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| Error::Certificate(CertificateError::NotValidForName))?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(Error::Handshake)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).map_err(failed)?;
        }
        Ok(Stream(StreamOwned::new(connection, tcp)))
    }

    /// The connection below.
    pub fn tcp(&mut self) -> &mut Tcp {
        self.0.get_mut()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn roots(ca: &str) -> Result<RootCertStore, Error> {
    let given = [ca];
    let files: &[&str] = if ca.is_empty() { &SYSTEM } else { &given };
    let unusable = || Error::Ca(files.first().copied().unwrap_or_default().into());
    let text = files.iter().find_map(|file| std::fs::read(file).ok()).ok_or_else(unusable)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|_| unusable())?;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 { Err(unusable()) } else { Ok(roots) }
}

/// rustls hands its own errors through as those of the stream.
fn failed(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => Error::Certificate(why.clone()),
        Some(why) => Error::Handshake(why.clone()),
        None => Error::Io(error),
    }
}

/// In own words: rustls' contain what `Debug` prints, and this program is built without it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateError as Why;
        match self {
            Error::Io(error) => error.fmt(f),
            Error::Ca(file) => write!(f, "no certificates to trust in {file}; give a PEM file with --ca or ca="),
            Error::Certificate(why) => f.write_str(match why {
                Why::Expired | Why::ExpiredContext { .. } => {
                    "the server's certificate has expired; or is this box's clock wrong?"
                }
                Why::NotValidYet | Why::NotValidYetContext { .. } => {
                    "the server's certificate is for later; is this box's clock wrong?"
                }
                Why::UnknownIssuer => "the server's certificate comes from nobody this box trusts; see --ca or ca=",
                Why::NotValidForName | Why::NotValidForNameContext { .. } => {
                    "the server's certificate is for another host"
                }
                Why::Revoked => "the server's certificate is revoked",
                _ => "the server's certificate is not sound",
            }),
            Error::Handshake(rustls::Error::AlertReceived(_)) => f.write_str("the server refuses the TLS connection"),
            Error::Handshake(rustls::Error::InvalidMessage(_)) => {
                f.write_str("the server does not speak TLS on this port")
            }
            Error::Handshake(_) => f.write_str("no TLS connection that both sides agree to"),
        }
    }
}

impl core::error::Error for Error {}
