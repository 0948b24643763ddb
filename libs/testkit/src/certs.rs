//! A certificate authority of one test's own, for mutual TLS between the services.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// PEM files, as `JANGTEO_TLS__CERT`, `JANGTEO_TLS__KEY` and `JANGTEO_TLS__CA` name them.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// A new authority that writes its PEM files into `folder`.
    pub fn new(folder: &Path) -> Authority {
        std::fs::create_dir_all(folder).expect("create the folder of certificates");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "jangteo test authority");
        let key = KeyPair::generate().expect("generate a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("sign the authority's certificate");
        std::fs::write(folder.join("ca.pem"), issuer.pem()).expect("write ca.pem");
        Authority { issuer, folder: folder.to_owned() }
    }

    /// A certificate for the service on 127.0.0.1, client and server, with the SPIFFE id that Istio would give it.
    pub fn issue(&self, service: &str) -> Identity {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), service.to_owned()];
        let mut params = CertificateParams::new(names).expect("valid names");
        let id = format!("spiffe://cluster.local/ns/jangteo/sa/{service}");
        params.subject_alt_names.push(SanType::URI(id.as_str().try_into().expect("an ASCII id")));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, service);
        let key = KeyPair::generate().expect("generate a key");
        let cert = params.signed_by(&key, &self.issuer).expect("sign a certificate");
        let identity = Identity {
            cert: self.folder.join(format!("{service}.pem")),
            key: self.folder.join(format!("{service}.key")),
            ca: self.folder.join("ca.pem"),
        };
        std::fs::write(&identity.cert, cert.pem()).expect("write a certificate");
        std::fs::write(&identity.key, key.serialize_pem()).expect("write a key");
        identity
    }
}
