//! Mutual TLS between services where no mesh gives it. A certificate names its service by a SPIFFE
//! id in the subject's alternative names (<https://spiffe.io>) and its host by a DNS name.

use crate::{Caller, caller::service_of_spiffe};
use jangteo_core::{Error, Result};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{io, path::PathBuf, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use x509_parser::extensions::GeneralName;

/// Where the PEM files are. Either all three or none.
#[derive(Debug, Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Signs everybody's certificates.
    pub ca: Option<PathBuf>,
}

impl TlsConfig {
    pub fn load(&self) -> Result<Option<TlsFiles>> {
        let (cert, key, ca) = match (&self.cert, &self.key, &self.ca) {
            (None, None, None) => return Ok(None),
            (Some(cert), Some(key), Some(ca)) => (cert, key, ca),
            _ => return Err(Error::invalid("tls", "INCOMPLETE", "needs cert, key and ca, or none of them")),
        };
        Ok(Some(TlsFiles { cert: read(cert)?, key: read(key)?, ca: read(ca)? }))
    }
}

/// The PEM text of a certificate chain, its key and the authority.
#[derive(Clone)]
pub struct TlsFiles {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
    pub ca: Vec<u8>,
}

impl TlsFiles {
    /// Whether they can be served with.
    pub fn check(&self) -> Result<()> {
        self.acceptor().map(drop)
    }

    /// Accepts only clients whose certificate the authority signed.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for ca in certificates(&self.ca)? {
            roots.add(ca).map_err(Error::internal)?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(Error::internal)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_client_cert_verifier(clients.build().map_err(Error::internal)?)
            .with_single_cert(certificates(&self.cert)?, key)
            .map_err(Error::internal)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// For calling `service`, whose certificate must carry that DNS name.
    pub(crate) fn client(&self, service: &str) -> Result<ClientTls> {
        let mut roots = RootCertStore::empty();
        for ca in certificates(&self.ca)? {
            roots.add(ca).map_err(Error::internal)?;
        }
        ClientTls::new(roots, Some((&self.cert, &self.key)), Some(service))
    }
}

/// How calls to a server are encrypted.
#[derive(Clone)]
pub(crate) struct ClientTls {
    connector: TlsConnector,
    /// What the certificate must carry and SNI tells; `None`: the host of the URL.
    name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// `own`: PEM of the certificate that is shown where the server asks for one, and of its key.
    fn new(roots: RootCertStore, own: Option<(&[u8], &[u8])>, name: Option<&str>) -> Result<ClientTls> {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(Error::internal)?;
                config.with_client_auth_cert(certificates(cert)?, key).map_err(Error::internal)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = name.map(|n| ServerName::try_from(n.to_owned()).map_err(Error::internal)).transpose()?;
        Ok(ClientTls { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub async fn wrap(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                ServerName::try_from(host).map_err(io::Error::other)?
            }
        };
        let stream = self.connector.connect(name, tcp).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err(io::Error::other("the server does not speak HTTP/2")),
        }
    }
}

/// Towards a server that is none of the platform's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM of the authorities that are believed; `None`: Mozilla's.
    pub ca: Option<PathBuf>,
    /// PEM of our own certificate and its key, where the server asks who calls. Both or none.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The name that the certificate must carry and that SNI tells; `None`: the URL's.
    pub name: Option<String>,
}

impl UpstreamTls {
    pub(crate) fn client(&self) -> Result<ClientTls> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(ca) => {
                roots.add_parsable_certificates(certificates(&read(ca)?)?);
                if roots.is_empty() {
                    let text = format!("{} holds no certificate", ca.display());
                    return Err(Error::invalid("tls", "UNREADABLE", text));
                }
            }
        }
        let own = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => {
                return Err(Error::invalid(
                    "tls",
                    "INCOMPLETE",
                    "a client certificate needs its key, and the key its certificate",
                ));
            }
        };
        ClientTls::new(roots, own.as_ref().map(|(cert, key)| (&cert[..], &key[..])), self.name.as_deref())
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::invalid("tls", "UNREADABLE", format!("{}: {e}", path.display())))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<_, _>>().map_err(Error::internal)
}

/// The service that a verified client certificate names.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Option<Caller> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    // The standard allows one; with two there is no telling whose the certificate is.
    match (uris.next(), uris.next()) {
        (Some(uri), None) => service_of_spiffe(uri).map(|s| Caller(s.into())),
        _ => None,
    }
}
