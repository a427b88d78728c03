//! What a client firm's own OpenID provider says of a person who wants to sign in.
//!
//! A *provider* is an entry of the settings; it speaks for the people of one tenant. An *attempt* is one sign-in from the button
//! to the way back: its browser holds a secret, and state, nonce and PKCE verifier are derived from that, for one provider.
//! What is let through is a [`Person`] with a role. Who a tenant is, sessions and pages are not known here.

mod attempt;
mod claims;
mod http;
mod provider;
mod settings;
mod verify;

use std::sync::Arc;

use jiff::Timestamp;
use springtide_runtime::clock::Clock;

pub use attempt::Attempt;
pub use provider::{Person, Provider, Refusal};
pub use settings::{EntryError, ProviderSettings, Settings, SettingsError};

/// All providers.
pub struct OpenIdConnect {
    public_url: String,
    providers: Vec<Provider>,
    clock: Arc<dyn Clock>,
}

impl OpenIdConnect {
    /// Of these settings; no provider is asked yet. `clock` tells whether a provider's word has expired.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, rustls::Error> {
        let Settings {
            public_url,
            providers,
        } = settings;
        let providers = providers
            .into_iter()
            .map(|provider| Provider::new(provider, &public_url));
        Ok(Self {
            providers: providers.collect::<Result<_, _>>()?,
            public_url,
            clock,
        })
    }

    /// The provider of an entry.
    pub fn named(&self, name: &str) -> Option<&Provider> {
        self.providers
            .iter()
            .find(|provider| provider.settings().name == name)
    }

    /// Those of a tenant.
    pub fn of_tenant<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = &'a Provider> {
        self.providers
            .iter()
            .filter(move |provider| provider.settings().tenant.as_str() == tenant)
    }

    /// Browsers reach the portal by TLS.
    pub fn is_encrypted(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// By the clock that providers' words are judged by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests;
