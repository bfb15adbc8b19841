//! The link under mutual TLS: only who has a certificate of the cluster's authority gets as far as the handshake.

use std::fs;
use std::path::{Path, PathBuf};

use lyceum_runtime::AskError;
use lyceum_runtime::link::{Link, LinkSettings, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use uuid::Uuid;

use crate::counter::{Command, CounterId, soon};
use crate::nodes::{LinkedNode, settings};

const NAME: &str = "lyceum";
const ID: CounterId = CounterId::from_u128(7);

/// Certificates in a folder that goes with them.
struct Certificates(PathBuf);

impl Certificates {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("lyceum-tls-{}", Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        Certificates(folder)
    }

    /// A node's files, its certificate signed by an authority of this name.
    fn of(&self, node: &str, authority: &Issuer<'static, KeyPair>, ca: &str) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let cert = params.signed_by(&key, authority).unwrap();
        let write = |name: String, text: &str| {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            cert: write(format!("{node}.pem"), &cert.pem()),
            key: write(format!("{node}.key"), &key.serialize_pem()),
            ca: write(format!("{node}-ca.pem"), ca),
            name: NAME.to_owned(),
        }
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An authority, and its certificate.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), cert)
}

fn under(tls: TlsFiles) -> LinkSettings {
    LinkSettings {
        tls: Some(tls),
        ..settings()
    }
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_ask_one_another() {
    let (certificates, (issuer, ca)) = (Certificates::new(), authority());
    let here = LinkedNode::start(1, under(certificates.of("here", &issuer, &ca))).await;
    let there = LinkedNode::start(2, under(certificates.of("there", &issuer, &ca))).await;
    there.serve_all(1);
    here.learn_all(&there.owner(1));

    let outcome = here.counters.ask(ID, Command::Add(2), (), &soon()).await;

    assert_eq!(outcome, Ok(2));
}

#[tokio::test]
async fn a_node_with_a_certificate_of_another_authority_or_none_is_refused() {
    let (certificates, (issuer, ca), (other, other_ca)) = (Certificates::new(), authority(), authority());
    let there = LinkedNode::start(2, under(certificates.of("there", &issuer, &ca))).await;
    there.serve_all(1);
    // It trusts the right authority, and is not trusted by it.
    let stranger = LinkedNode::start(3, under(certificates.of("stranger", &other, &ca))).await;
    let believer = LinkedNode::start(4, under(certificates.of("believer", &issuer, &other_ca))).await;
    let naked = LinkedNode::start(5, settings()).await;

    for caller in [stranger, believer, naked] {
        caller.learn_all(&there.owner(1));

        let outcome = caller.counters.ask(ID, Command::Add(2), (), &soon()).await;

        assert_eq!(outcome, Err(AskError::Unavailable));
    }
    assert_eq!(there.counters.alive(), 0);
}

#[tokio::test]
async fn a_link_without_readable_certificates_does_not_start_and_names_the_file() {
    let missing = TlsFiles {
        cert: Path::new("missing.pem").into(),
        key: Path::new("missing.key").into(),
        ca: Path::new("missing-ca.pem").into(),
        name: NAME.to_owned(),
    };

    let started = Link::start(under(missing), Uuid::from_u128(1), Default::default()).await;

    let error = started.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.starts_with("link.tls: missing.pem"), "{error}");
}
