//! One attempt to sign in: a secret that its browser alone holds, and what is derived from it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::digest::Digest;

/// Longest secret that is looked at.
const MAX_SECRET: usize = 128;

/// One attempt.
pub struct Attempt {
    secret: String,
}

impl Attempt {
    /// A new one, of 32 bytes that nobody can guess.
    pub fn new(random: [u8; 32]) -> Self {
        Self {
            secret: URL_SAFE_NO_PAD.encode(random),
        }
    }

    /// Of the secret that a browser sent.
    pub fn of_secret(secret: &str) -> Option<Self> {
        (!secret.is_empty() && secret.len() <= MAX_SECRET).then(|| Self {
            secret: secret.to_owned(),
        })
    }

    /// What the browser keeps.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What we keep.
    pub fn digest(&self) -> Digest {
        Digest::of(self.secret.as_bytes())
    }

    /// Whether this is the state that was sent to that provider.
    pub fn has_state(&self, provider: &str, state: &str) -> bool {
        Digest::of(self.state(provider).as_bytes()).constant_time_equals(&Digest::of(state.as_bytes()))
    }

    pub(super) fn state(&self, provider: &str) -> String {
        self.derived(provider, "state")
    }

    pub(super) fn nonce(&self, provider: &str) -> String {
        self.derived(provider, "nonce")
    }

    pub(super) fn verifier(&self, provider: &str) -> String {
        self.derived(provider, "verifier")
    }

    /// 43 characters of base64url, as PKCE wants them. One of them tells nothing of the others.
    fn derived(&self, provider: &str, purpose: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, format!("{purpose} {provider}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_differs_by_attempt_provider_and_purpose() {
        let mut seen = std::collections::BTreeSet::new();
        for attempt in [Attempt::new([1; 32]), Attempt::new([2; 32])] {
            for provider in ["acme", "other"] {
                let derived = [
                    attempt.state(provider),
                    attempt.nonce(provider),
                    attempt.verifier(provider),
                ];
                for text in derived {
                    assert_eq!(text.len(), 43);
                    assert!(seen.insert(text));
                }
            }
        }
    }

    #[test]
    fn a_state_is_of_one_attempt_and_one_provider() {
        let (one, other) = (Attempt::new([1; 32]), Attempt::new([2; 32]));
        let state = one.state("acme");
        let again = Attempt::of_secret(one.secret()).unwrap();
        assert!(again.has_state("acme", &state));
        assert!(!again.has_state("other", &state));
        assert!(!other.has_state("acme", &state));
        assert!(!one.has_state("acme", ""));
        assert!(Attempt::of_secret("").is_none() && Attempt::of_secret(&"x".repeat(129)).is_none());
    }
}
