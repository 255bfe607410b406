//! TLS in: which certificate is shown, and when it is read again.
//!
//! A certificate is renewed by replacing its files, every few weeks, while the
//! host runs. They are looked at once a minute; what can't be used is logged and
//! the certificate before it stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsSettings;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// The listener's side of TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
}

/// The certificate that new connections are shown.
#[derive(Debug)]
struct Shown {
    files: TlsSettings,
    /// With the times of its files when they were read.
    current: RwLock<(Arc<CertifiedKey>, Times)>,
}

type Times = [Option<SystemTime>; 2];

impl Tls {
    /// Reads the certificate and its key. The error says which file, and why.
    pub fn new(files: &TlsSettings) -> Result<Tls> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let times = times(files);
        let current = RwLock::new((Arc::new(read(files, &provider)?), times));
        let shown = Arc::new(Shown { files: files.clone(), current });
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), provider, shown })
    }

    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads the files again from time to time, for ever.
    pub async fn keep_current(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }

    /// Reads the files again if they have changed.
    fn look(&self) {
        let Shown { files, current } = &*self.shown;
        let times = times(files);
        if current.read().unwrap_or_else(PoisonError::into_inner).1 == times {
            return;
        }
        let certificate = files.certificate.display();
        match read(files, &self.provider) {
            Ok(key) => {
                *current.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(key), times);
                tracing::info!(%certificate, "the certificate was read again");
            }
            // One of the two may have been replaced and the other not yet.
            Err(reason) => {
                tracing::error!(%certificate, reason = format!("{reason:#}"), "the new certificate is of no use; the one before stays");
            }
        }
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn times(files: &TlsSettings) -> Times {
    let time = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    [time(&files.certificate), time(&files.key)]
}

fn read(files: &TlsSettings, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let certificates = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("the private key {}, in PEM", files.key.display()))?;
    CertifiedKey::from_der(certificates, key, provider).with_context(|| {
        format!("the certificate {} and the private key {}", files.certificate.display(), files.key.display())
    })
}

/// The server's certificate, and those that lead to its issuer.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let chain = chain.with_context(|| format!("the certificate {}, in PEM", path.display()))?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate in {}", path.display());
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Writes a new certificate and its key, and answers them.
    fn renew(folder: &Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.into()
    }

    fn shown(tls: &Tls) -> CertificateDer<'static> {
        tls.shown.current.read().unwrap().0.cert[0].clone()
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsSettings { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let first = renew(folder.path());
        let tls = Tls::new(&files).unwrap();
        tls.look();
        assert_eq!(shown(&tls), first);

        let second = renew(folder.path());
        tls.look();
        assert_eq!(shown(&tls), second);

        // Another key than the certificate's.
        let certificate = std::fs::read(&files.certificate).unwrap();
        renew(folder.path());
        std::fs::write(&files.certificate, certificate).unwrap();
        tls.look();
        assert_eq!(shown(&tls), second);

        let third = renew(folder.path());
        tls.look();
        assert_eq!(shown(&tls), third);
    }

    #[test]
    fn files_that_are_of_no_use_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsSettings { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let refused = || format!("{:#}", Tls::new(&files).err().expect("a refusal"));
        assert!(refused().contains("cert.pem, in PEM"), "{}", refused());
        renew(folder.path());
        std::fs::write(&files.certificate, "").unwrap();
        assert!(refused().contains("there is no certificate in"), "{}", refused());
        renew(folder.path());
        std::fs::write(&files.key, "no key").unwrap();
        assert!(refused().contains("key.pem, in PEM"), "{}", refused());
        let certificate = {
            renew(folder.path());
            std::fs::read(&files.certificate).unwrap()
        };
        renew(folder.path());
        std::fs::write(&files.certificate, certificate).unwrap();
        assert!(refused().contains("KeyMismatch") || refused().contains("keys may not be consistent"), "{}", refused());
    }
}
