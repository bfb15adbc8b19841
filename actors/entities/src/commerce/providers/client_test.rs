//! The client over TLS: whom it believes, and whom not.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

/// An authority, and its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }
}

/// Serves `200 OK` for as long as somebody asks, as `localhost`; the address.
async fn serve(authority: &Authority) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}")
}

async fn ask(url: &str, trusted: &Authority, name: &str) -> Option<u16> {
    let file = std::env::temp_dir().join(format!("lyceum-{name}-{}.pem", std::process::id()));
    std::fs::write(&file, &trusted.certificate).unwrap();
    let client = HttpClient::new(&ClientSettings {
        url: url.to_owned(),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        ca_file: file.clone(),
    });
    let _ = std::fs::remove_file(&file);
    let answer = client.unwrap().exchange(Method::GET, "/", &[], vec![]).await;
    answer.map(|answer| answer.status)
}

#[tokio::test]
async fn an_encrypted_provider_is_believed_by_the_authorities_of_the_file_alone() {
    let (ours, another) = (Authority::new(), Authority::new());
    let url = serve(&ours).await;

    assert_eq!(ask(&url, &ours, "trusted").await, Some(200));
    assert_eq!(ask(&url, &another, "untrusted").await, None);
    // The certificate is of another name.
    let by_number = url.replace("localhost", "127.0.0.1");
    assert_eq!(ask(&by_number, &ours, "misnamed").await, None);
}
