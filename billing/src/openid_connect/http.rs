//! Requests to a provider: bounded in time and size, encrypted, and never led elsewhere by a redirect.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::RootCertStore;

use crate::https::{self, HttpsClient, WrongUrl, check_url};
use crate::store::with_causes;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer.
const MAX_BODY: usize = 256 << 10;

/// Asks one provider.
#[derive(Clone, Debug)]
pub(super) struct ProviderHttp {
    client: HttpsClient,
    /// A provider without TLS is on this machine; one with TLS never leads to what is on it.
    is_encrypted: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The provider led to an address that is not called.
    #[error("its address")]
    Address(#[from] WrongUrl),
    /// Not reached, or the connection broke.
    #[error("it was not reached: {cause}")]
    Unreached { cause: String },
    /// Later than [`TIMEOUT`].
    #[error("it did not answer in time")]
    TimedOut,
    /// Longer than [`MAX_BODY`], or broken off.
    #[error("its answer is longer than {MAX_BODY} bytes, or broke off")]
    Body,
}

impl ProviderHttp {
    /// For a provider whose issuer has this address.
    pub(super) fn new(issuer: &str, authorities: RootCertStore) -> Result<Self, rustls::Error> {
        Ok(Self {
            client: https::client(authorities, TIMEOUT)?,
            is_encrypted: issuer.starts_with("https:"),
        })
    }

    /// Whether the provider may have that address.
    pub(super) fn check(&self, url: &str) -> Result<(), WrongUrl> {
        check_url(url)?;
        if self.is_encrypted && !url.starts_with("https:") {
            return Err(WrongUrl::NotEncrypted);
        }
        Ok(())
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.check(&request.uri().to_string())?;
        let request = request.map(|body| Full::from(Bytes::from(body)));
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| HttpError::Unreached {
                cause: with_causes(&error),
            })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY)
            .collect()
            .await
            .map_err(|_| HttpError::Body)?;
        Ok(HttpResponse::from_parts(parts, body.to_bytes().into()))
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderHttp {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, self.send(request)).await;
            answer.map_err(|_| HttpError::TimedOut)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_with_tls_leads_nowhere_without_it_and_not_to_this_machine() {
        let of = |issuer: &str| ProviderHttp::new(issuer, RootCertStore::empty()).unwrap();
        let (far, here) = (of("https://login.acme.example"), of("http://127.0.0.1:4000"));
        assert_eq!(far.check("https://keys.acme.example/"), Ok(()));
        assert_eq!(here.check("http://127.0.0.1:4000/keys"), Ok(()));
        assert_eq!(
            far.check("http://127.0.0.1:4000/keys"),
            Err(WrongUrl::NotEncrypted)
        );
        for http in [far, here] {
            assert_eq!(
                http.check("http://keys.acme.example/"),
                Err(WrongUrl::NotEncrypted)
            );
        }
    }
}
