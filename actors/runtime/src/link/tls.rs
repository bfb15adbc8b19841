//! Mutual TLS below the link: each side shows a certificate of the cluster's own authority.
//!
//! Addresses of nodes come and go, so certificates do not name them: every one bears the same name, which says that its
//! holder is a node of this cluster. TLS 1.3 only; the provider of its cryptography is ring.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Where a node's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// This node's certificate, and those between it and the authority's, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The certificate of the authority that signs those of all nodes, as PEM.
    pub ca: PathBuf,
    /// The name that all of them bear.
    pub name: String,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct TlsError {
    what: String,
    cause: String,
}

/// Both sides of TLS as this node speaks it.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let error = |what: &dyn std::fmt::Display, cause: &dyn std::fmt::Display| TlsError {
            what: what.to_string(),
            cause: cause.to_string(),
        };
        let certificates = |path: &PathBuf| {
            CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|cause| error(&path.display(), &cause))
        };
        let chain = certificates(&files.cert)?;
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| error(&files.key.display(), &cause))?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&files.ca)? {
            roots
                .add(root)
                .map_err(|cause| error(&files.ca.display(), &cause))?;
        }
        let roots = Arc::new(roots);
        let unusable = |cause: &dyn std::fmt::Display| error(&"the certificates cannot be used", cause);
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|cause| unusable(&cause))?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|cause| unusable(&cause))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|cause| unusable(&cause))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|cause| unusable(&cause))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|cause| unusable(&cause))?;
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            name: ServerName::try_from(files.name.clone()).map_err(|cause| unusable(&cause))?,
        })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> std::io::Result<client::TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<server::TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}
