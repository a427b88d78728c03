//! One provider: where it is asked, where browsers are sent, and what its word for a person is.
//!
//! What it publishes of itself (its *metadata*: addresses and keys) is read when it is first needed and kept for an hour. A token
//! by an unknown key has it read once more, at most once a minute. While it is away it is asked every ten seconds.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreProviderMetadata,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DiscoveryError, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, TokenResponse as _,
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::attempt::Attempt;
use super::claims::{person_of, role_of};
use super::http::{HttpError, ProviderHttp};
use super::settings::{ProviderSettings, secret_in};
use super::verify::{Unverified, verified};
use crate::metering::report::Party;
use crate::store::{Role, with_causes};

/// How long metadata is believed.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// How soon it may be read again for a token by an unknown key.
const READ_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// How soon a provider that was away is asked again.
const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// One provider.
pub struct Provider {
    settings: ProviderSettings,
    redirect: String,
    http: ProviderHttp,
    known: Mutex<Known>,
}

/// What is known of it.
#[derive(Default)]
struct Known {
    metadata: Option<(Arc<CoreProviderMetadata>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

/// Somebody whom a provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// For the audit: with subject and issuer.
    pub name: String,
    /// What it may.
    pub role: Role,
}

/// Why nobody is let in. Its words may be in a log: nothing of a person, a token or a secret is in them.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The provider cannot be asked, or what it says of itself is not understood.
    #[error("the provider is away: {0}")]
    Away(String),
    /// It does not give a token for this code.
    #[error("the provider gave no token: {0}")]
    NoToken(String),
    /// Its token is not what it must be.
    #[error("the provider's token is refused: {0}")]
    Unverified(#[from] Unverified),
    /// It names nobody.
    #[error("the provider's token has no subject that can be kept")]
    Nobody,
    /// Nothing that it says of the person is a role here.
    #[error("the person has no role here")]
    NoRole,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl Provider {
    pub(super) fn new(mut settings: ProviderSettings, public_url: &str) -> Result<Self, rustls::Error> {
        let authorities = std::mem::replace(&mut settings.authorities, rustls::RootCertStore::empty());
        Ok(Self {
            redirect: format!("{public_url}/sign-in/openid-connect/{}/return", settings.name),
            http: ProviderHttp::new(settings.issuer.as_str(), authorities)?,
            settings,
            known: Mutex::default(),
        })
    }

    /// Its entry.
    pub fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    /// Whether its people are this account's.
    pub fn speaks_for(&self, party: &Party) -> bool {
        let settings = &self.settings;
        settings.tenant == party.tenant
            && settings
                .tenant_uid
                .as_ref()
                .is_none_or(|uid| *uid == party.tenant_uid)
    }

    /// Where the attempt's browser is sent.
    pub async fn authorization_url(&self, attempt: &Attempt, now: Timestamp) -> Result<String, Refusal> {
        let metadata = self.metadata(now, FRESH).await?;
        let name = &self.settings.name;
        let (state, nonce) = (attempt.state(name), attempt.nonce(name));
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier_of(attempt, name));
        let client = self.client(&metadata, None)?;
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, ..) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        Ok(url.into())
    }

    /// Whom the provider vouches for by the code that the attempt's browser brought back.
    pub async fn person(&self, attempt: &Attempt, code: &str, now: Timestamp) -> Result<Person, Refusal> {
        let metadata = self.metadata(now, FRESH).await?;
        let token = self.token(&metadata, attempt, code).await?;
        let settings = &self.settings;
        let verify = |metadata: &CoreProviderMetadata| {
            let nonce = attempt.nonce(&settings.name);
            verified(&token, metadata, &settings.client_id, &nonce, now)
        };
        let claims = match verify(&metadata) {
            Err(Unverified::UnknownKey) => verify(&*self.metadata(now, READ_AGAIN_AFTER).await?),
            other => other,
        };
        self.known_person(&claims?)
    }

    fn known_person(&self, claims: &Value) -> Result<Person, Refusal> {
        let settings = &self.settings;
        Ok(Person {
            name: person_of(claims, &settings.name_claim, settings.issuer.as_str()).ok_or(Refusal::Nobody)?,
            role: role_of(claims, &settings.role_claim, &settings.roles).ok_or(Refusal::NoRole)?,
        })
    }

    /// What a code is good for.
    async fn token(
        &self,
        metadata: &CoreProviderMetadata,
        attempt: &Attempt,
        code: &str,
    ) -> Result<CoreIdToken, Refusal> {
        let secret = secret_in(&self.settings.client_secret_file)
            .ok_or_else(|| Refusal::NoToken("our secret cannot be read".to_owned()))?;
        let client = self.client(metadata, Some(ClientSecret::new(secret)))?;
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|_| Refusal::Away("it publishes no token endpoint".to_owned()))?
            .set_pkce_verifier(verifier_of(attempt, &self.settings.name));
        let response = request.request_async(&self.http).await.map_err(no_token)?;
        let token = response.id_token().cloned();
        token.ok_or_else(|| Refusal::NoToken("its answer has no ID token".to_owned()))
    }

    fn client(
        &self,
        metadata: &CoreProviderMetadata,
        secret: Option<ClientSecret>,
    ) -> Result<Client, Refusal> {
        let redirect =
            RedirectUrl::new(self.redirect.clone()).map_err(|error| Refusal::Away(error.to_string()))?;
        let id = ClientId::new(self.settings.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, secret);
        Ok(client
            .set_redirect_uri(redirect)
            .set_auth_type(auth_type_of(metadata)))
    }

    /// What the provider publishes, read at most so long ago. Who comes while it is read waits for the same answer.
    async fn metadata(
        &self,
        now: Timestamp,
        fresh_for: SignedDuration,
    ) -> Result<Arc<CoreProviderMetadata>, Refusal> {
        let mut known = self.known.lock().await;
        let is_within = |at: Timestamp, span: SignedDuration| now.duration_since(at).abs() < span;
        if let Some((metadata, at)) = &known.metadata
            && is_within(*at, fresh_for)
        {
            return Ok(metadata.clone());
        }
        if known.failed_at.is_some_and(|at| is_within(at, ASK_AGAIN_AFTER)) {
            return Err(Refusal::Away("it was a moment ago".to_owned()));
        }
        match self.discover().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Known {
                    metadata: Some((metadata.clone(), now)),
                    failed_at: None,
                };
                Ok(metadata)
            }
            Err(cause) => {
                known.failed_at = Some(now);
                Err(Refusal::Away(cause))
            }
        }
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, String> {
        let issuer = self.settings.issuer.clone();
        let metadata = CoreProviderMetadata::discover_async(issuer, &self.http)
            .await
            .map_err(|error: DiscoveryError<HttpError>| with_causes(&error))?;
        let addresses = [
            ("authorization", Some(metadata.authorization_endpoint().as_str())),
            ("token", metadata.token_endpoint().map(|url| url.as_str())),
        ];
        for (name, url) in addresses {
            let url = url.ok_or_else(|| format!("it publishes no {name} endpoint"))?;
            self.http
                .check(url)
                .map_err(|error| format!("its {name} endpoint {error}"))?;
        }
        Ok(metadata)
    }
}

fn verifier_of(attempt: &Attempt, provider: &str) -> PkceCodeVerifier {
    PkceCodeVerifier::new(attempt.verifier(provider))
}

/// In a header, as the standard has it unless the provider says that it takes it in the body alone.
fn auth_type_of(metadata: &CoreProviderMetadata) -> AuthType {
    let takes = |methods: &Vec<CoreClientAuthMethod>, method: &CoreClientAuthMethod| methods.contains(method);
    match metadata.token_endpoint_auth_methods_supported() {
        Some(methods)
            if !takes(methods, &CoreClientAuthMethod::ClientSecretBasic)
                && takes(methods, &CoreClientAuthMethod::ClientSecretPost) =>
        {
            AuthType::RequestBody
        }
        _ => AuthType::BasicAuth,
    }
}

/// Without what the provider wrote: that may have a token or a person in it.
fn no_token<E>(error: RequestTokenError<HttpError, E>) -> Refusal
where
    E: openidconnect::ErrorResponse,
{
    match error {
        RequestTokenError::Request(error) => Refusal::Away(with_causes(&error)),
        RequestTokenError::ServerResponse(_) => {
            Refusal::NoToken("it refuses the code or our secret".to_owned())
        }
        RequestTokenError::Parse(error, _) => {
            Refusal::NoToken(format!("its answer is not understood at {}", error.path()))
        }
        RequestTokenError::Other(_) => Refusal::NoToken("its answer is not understood".to_owned()),
    }
}
