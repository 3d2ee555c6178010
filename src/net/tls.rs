//! TLS over any connection: rustls with ring, and the certificates of a CA file. Names and dates are always checked.

use core::fmt;
use std::borrow::ToOwned;
use std::boxed::Box;
use std::io::{self, Read, Write};
use std::string::String;
use std::sync::Arc;
use std::time::Instant;
use std::vec::Vec;

use rustix::io::Errno;
use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::failure::Reason;
use crate::net::transport;

/// Where distributions keep the certificates they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why there is no TLS connection.
#[derive(Debug)]
pub enum Error {
    /// The connection broke, or timed out.
    Io(Errno),
    /// The CA file cannot be used.
    Ca(String),
    /// The server's certificate is refused.
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
pub struct Stream(StreamOwned<ClientConnection, Socket>);

/// The connection below, as the standard library has it.
struct Socket(Box<dyn transport::Stream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer)?)
    }
}

/// Only `write`: the vectored form would raise SIGPIPE.
impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.write(bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Error {
    /// Whether the same may go well later: a server that is being restarted, or a node of several, sends alerts too.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Io(_) | Error::Handshake(rustls::Error::AlertReceived(_)))
    }
}

impl Stream {
    /// Shakes hands with `host`, whose certificate has to lead to one in the PEM file `ca` (empty: the system's own).
    ///
    /// # Errors
    /// If it does not, is for another name or not for today, or the connection breaks.
    pub fn open(below: Box<dyn transport::Stream>, host: &str, ca: &str) -> Result<Stream, Error> {
        let provider = CryptoProvider { key_provider: &NoKeys, ..ring::default_provider() };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::Handshake)?
            .with_root_certificates(roots(ca)?)
            .with_no_client_auth();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| Error::Certificate(CertificateError::NotValidForName))?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(Error::Handshake)?;
        let mut socket = Socket(below);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(failed)?;
        }
        Ok(Stream(StreamOwned::new(connection, socket)))
    }
}

impl transport::Stream for Stream {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.0.get_mut().0.set_deadline(deadline);
    }

    /// The end may be the server's or that of a cut connection: only what came shows which.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result.map_err(|error| errno(&error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.0.write(bytes).map_err(|error| errno(&error))
    }
}

/// What is none of the kernel's is rustls' own: the stream was tampered with.
fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::PROTO)
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
        None => Error::Io(errno(&error)),
    }
}

/// Own messages: rustls' need `Debug` output, which this program is built without.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => Reason(*error).fmt(f),
            Error::Ca(file) => write!(f, "no certificates to trust in {file}; give a PEM file with --ca or ca="),
            Error::Certificate(why) => write!(
                f,
                "TLS handshake failed: {}",
                match why {
                    CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                        "the server's certificate has expired; or is this box's clock wrong?"
                    }
                    CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                        "the server's certificate is for later; is this box's clock wrong?"
                    }
                    CertificateError::UnknownIssuer =>
                        "the server's certificate comes from nobody this box trusts; see --ca or ca=",
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                        "the server's certificate is for another host"
                    }
                    CertificateError::Revoked => "the server's certificate is revoked",
                    _ => "the server's certificate cannot be verified",
                }
            ),
            Error::Handshake(rustls::Error::AlertReceived(_)) => {
                f.write_str("TLS handshake failed: the server refuses it")
            }
            Error::Handshake(rustls::Error::InvalidMessage(_)) => {
                f.write_str("TLS handshake failed: the server does not speak TLS on this port")
            }
            Error::Handshake(_) => f.write_str("TLS handshake failed: no version or cipher that both sides have"),
        }
    }
}

impl core::error::Error for Error {}
