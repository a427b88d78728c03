//! What ends TLS in front of billing, as an ingress does: bytes go through as they come.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "127.0.0.1";

/// Open until it is dropped.
pub(super) struct Door {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    listening: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Door {
    /// In front of a listener of plain HTTP.
    pub(super) async fn open(behind: &str) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((NAME, 0)).await?;
        let address = listener.local_addr()?;
        let behind = behind.to_owned();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks is the reader's to see.
                tokio::spawn(pass(acceptor.clone(), stream, behind.clone()));
            }
        });
        Ok(Self {
            address,
            certificate,
            listening: listening.abort_handle(),
        })
    }

    /// As "https://ADDRESS".
    pub(super) fn address(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Who is to be trusted.
    pub(super) fn authorities(&self) -> anyhow::Result<RootCertStore> {
        let mut authorities = RootCertStore::empty();
        authorities.add(self.certificate.clone())?;
        Ok(authorities)
    }
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, behind: String) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = acceptor.accept(stream).await?;
    let mut billing = TcpStream::connect(behind).await?;
    billing.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut reader, &mut billing).await?;
    Ok(())
}
