//! Mutual TLS 1.3 between all parts.
//!
//! A part's *material* is its certificate, its key and the CA. A server takes only peers with a certificate of that CA;
//! a client takes only the server whose certificate carries the expected server name (see [`PeerIdentity::server_name`]),
//! whatever address it dialled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use springtide_proto::error::{ApiError, Reason};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::identity::PeerIdentity;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A machine that is there answers within this, however busy what runs on it is.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);
/// Handshakes under way at once; more wait in the listen queue.
const MAX_HANDSHAKES: usize = 256;

/// Where the material lies.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// Folder with tls.crt, tls.key and ca.crt
    #[arg(
        long,
        env = "SPRINGTIDE_TLS_DIR",
        default_value = "/etc/springtide/tls",
        value_name = "FOLDER"
    )]
    pub tls_dir: PathBuf,
}

/// Why material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is not what it should be.
    #[error("{} is not usable PEM", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the reader says.
        source: rustls::pki_types::pem::Error,
    },
    /// A text that should be PEM is not.
    #[error("the {what} is not usable PEM")]
    Pem {
        /// Certificate, key or CA.
        what: &'static str,
        /// What the reader says.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate, key and CA do not make a configuration.
    #[error("certificate, key and CA do not fit together")]
    Config(#[from] rustls::Error),
    /// The CA cannot verify clients.
    #[error("the CA cannot verify peers")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// An address is not one.
    #[error("{address:?} is not HOST:PORT")]
    Address {
        /// As it was given.
        address: String,
        /// What the parser says.
        source: tonic::transport::Error,
    },
}

/// Certificate, key and CA of one part.
#[derive(Clone)]
pub struct TlsMaterial {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsMaterial")
    }
}

impl TlsArgs {
    /// Reads the material from the folder.
    pub fn load(&self) -> Result<TlsMaterial, TlsError> {
        let read = |name: &str| self.tls_dir.join(name);
        TlsMaterial::new(
            certificates_in(&read("tls.crt"))?,
            PrivateKeyDer::from_pem_file(read("tls.key")).map_err(|source| TlsError::File {
                path: read("tls.key"),
                source,
            })?,
            &certificates_in(&read("ca.crt"))?,
        )
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |source| TlsError::File {
        path: path.to_owned(),
        source,
    };
    CertificateDer::pem_file_iter(path)
        .map_err(error)?
        .collect::<Result<_, _>>()
        .map_err(error)
}

impl TlsMaterial {
    /// From PEM texts, for a part that issues its own.
    pub fn from_pem(certificate: &str, key: &str, ca: &str) -> Result<Self, TlsError> {
        let certificates = |what, text: &str| {
            CertificateDer::pem_slice_iter(text.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| TlsError::Pem { what, source })
        };
        Self::new(
            certificates("certificate", certificate)?,
            PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|source| TlsError::Pem { what: "key", source })?,
            &certificates("CA", ca)?,
        )
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        ca: &[CertificateDer<'static>],
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = &[&rustls::version::TLS13];
        let mut roots = RootCertStore::empty();
        for certificate in ca {
            roots.add(certificate.clone())?;
        }
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// Connections with a finished handshake, for `Server::serve_with_incoming`. A peer that is slow or wrong in its
    /// handshake holds up no other. Ends at `shutdown`.
    pub fn incoming(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> ReceiverStream<std::io::Result<TlsStream<TcpStream>>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let acceptor = TlsAcceptor::from(self.server.clone());
        let permits = Arc::new(tokio::sync::Semaphore::new(MAX_HANDSHAKES));
        tokio::spawn(async move {
            loop {
                let Ok(permit) = permits.clone().acquire_owned().await else {
                    return;
                };
                let (stream, peer) = tokio::select! {
                    () = shutdown.cancelled() => return,
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            tracing::warn!(%error, "accept failed");
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            continue;
                        }
                    },
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set nodelay");
                    }
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                        // A closed channel means that the server ended: the connection ends with it.
                        Ok(Ok(tls)) => drop(sender.send(Ok(tls)).await),
                        Ok(Err(error)) => tracing::info!(%peer, %error, "handshake refused"),
                        Err(_) => tracing::info!(%peer, "handshake took too long"),
                    }
                });
            }
        });
        ReceiverStream::new(receiver)
    }

    /// A channel to `address` ("HOST:PORT") that accepts only `expected` there. Connects at the first call and again when
    /// the connection is lost.
    pub fn channel(&self, address: &str, expected: &PeerIdentity) -> Result<Channel, TlsError> {
        let (endpoint, connector) = self.endpoint(address, expected)?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT);
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    /// Like [`Self::channel`], but connects now; for how long it tries is the caller's to say.
    pub async fn connect(&self, address: &str, expected: &PeerIdentity) -> Result<Channel, TlsError> {
        let (endpoint, connector) = self.endpoint(address, expected)?;
        endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|source| TlsError::Address {
                address: address.to_owned(),
                source,
            })
    }

    fn endpoint(&self, address: &str, expected: &PeerIdentity) -> Result<(Endpoint, Connector), TlsError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|source| TlsError::Address {
                address: address.to_owned(),
                source,
            })?
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        Ok((
            endpoint,
            Connector {
                config: self.client.clone(),
                server_name: expected.server_name(),
            },
        ))
    }
}

#[derive(Clone)]
struct Connector {
    config: Arc<ClientConfig>,
    server_name: String,
}

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let Self { config, server_name } = self.clone();
        Box::pin(async move {
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            let stream = tokio::time::timeout(TCP_TIMEOUT, TcpStream::connect(authority)).await??;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(server_name).map_err(std::io::Error::other)?;
            Ok(TokioIo::new(
                TlsConnector::from(config).connect(name, stream).await?,
            ))
        })
    }
}

/// Who sent the request: from its connection's certificate, or from an extension that a test put there.
pub fn peer_identity<T>(request: &tonic::Request<T>) -> Result<PeerIdentity, ApiError> {
    if let Some(identity) = request.extensions().get::<PeerIdentity>() {
        return Ok(identity.clone());
    }
    request
        .peer_certs()
        .and_then(|chain| identity_of(chain.first()?))
        .ok_or_else(|| {
            ApiError::new(
                Reason::Unauthenticated,
                "a client certificate with an identity is needed",
            )
        })
}

/// The identity in a certificate's URI SAN, if it has exactly one of ours.
pub fn identity_of(certificate: &CertificateDer<'_>) -> Option<PeerIdentity> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        x509_parser::extensions::GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let identity = PeerIdentity::from_uri(uris.next()?)?;
    uris.next().is_none().then_some(identity)
}
