//! How billing calls out: HTTPS by rustls with ring, over HTTP/1.1; redirects are not followed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;

/// Longest address that is called.
const MAX_URL: usize = 512;

/// Sends requests and keeps connections.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why an address is none that billing calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongUrl {
    /// No URL, or a long one.
    #[error("is not a URL of at most {MAX_URL} characters")]
    Syntax,
    /// Not encrypted.
    #[error("must begin with https://")]
    NotEncrypted,
}

/// The public authorities, as they were when this program was built.
pub fn public_authorities() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// A client that trusts these authorities. Whoever calls must bound the whole call: only the connection has a bound here.
pub fn client(authorities: RootCertStore, connect_timeout: Duration) -> Result<HttpsClient, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(connect_timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// An address that billing may call: https, or http to this machine itself.
pub fn check_url(url: &str) -> Result<(), WrongUrl> {
    let uri: Uri = url.parse().map_err(|_| WrongUrl::Syntax)?;
    let host = uri
        .host()
        .filter(|_| url.len() <= MAX_URL)
        .ok_or(WrongUrl::Syntax)?;
    let own = host
        .trim_matches(['[', ']'])
        .parse()
        .is_ok_and(|address: IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if own => Ok(()),
        _ => Err(WrongUrl::NotEncrypted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_reads_along_is_called() {
        for right in [
            "https://acme.example/a?b=c",
            "http://127.0.0.1:8080/",
            "http://[::1]:80/",
        ] {
            assert_eq!(check_url(right), Ok(()), "{right}");
        }
        for wrong in [
            "http://acme.example/",
            "ftp://acme.example/",
            "http://10.0.0.1/",
            "http://localhost/",
        ] {
            assert_eq!(check_url(wrong), Err(WrongUrl::NotEncrypted), "{wrong}");
        }
        for wrong in [
            "",
            "/alerts",
            "acme",
            &format!("https://acme.example/{}", "a".repeat(512)),
        ] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }
}
