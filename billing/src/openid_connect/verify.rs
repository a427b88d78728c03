//! Whether an ID token is what the standard asks for. Pure: keys and time are parameters.
//!
//! By the library: signature by one of the provider's keys, issuer, audience (ours and no other), end, nonce. Here: asymmetric
//! signatures alone, the authorized party, and that the token was made for this attempt's time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata};
use openidconnect::{ClaimsVerificationError, ClientId, Nonce, SignatureVerificationError};
use serde_json::Value;

/// How far a provider's clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// How old a token may be: as old as its attempt, and a provider's clock may be behind.
const OLD: SignedDuration = SignedDuration::from_mins(11);

/// By a key pair: what the provider's public key verifies, it alone can have signed.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What is wrong with a token. Nothing of the token itself is said: it may be in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// By a key that is not among those that are known.
    #[error("it is signed by an unknown key")]
    UnknownKey,
    /// No signature, a wrong one, or one by an algorithm that proves nothing.
    #[error("its signature")]
    Signature,
    /// Somebody else made it.
    #[error("its issuer")]
    Issuer,
    /// It is not for us, or not for us alone.
    #[error("its audience")]
    Audience,
    /// It was made for another client.
    #[error("its authorized party")]
    AuthorizedParty,
    /// It has ended, or was made at another time than this attempt.
    #[error("its time")]
    Time,
    /// It is of another attempt.
    #[error("its nonce")]
    Nonce,
    /// It is none that is understood.
    #[error("its form")]
    Form,
}

/// The claims of a token that is what it must be.
pub(super) fn verified(
    token: &CoreIdToken,
    metadata: &CoreProviderMetadata,
    client_id: &str,
    nonce: &str,
    now: Timestamp,
) -> Result<Value, Unverified> {
    let at = chrono_of(now)?;
    // That of a public client, which knows no secret: it takes no signature by a shared one, whatever is allowed.
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(client_id.to_owned()),
        metadata.issuer().clone(),
        metadata.jwks().clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(move || at)
    .set_issue_time_verifier_fn(move |issued| made_in_time(issued, now));
    let claims = token
        .claims(&verifier, &Nonce::new(nonce.to_owned()))
        .map_err(|error| unverified(&error))?;
    if claims
        .authorized_party()
        .is_some_and(|party| party.as_str() != client_id)
    {
        return Err(Unverified::AuthorizedParty);
    }
    // All claims, as the provider has its own names for groups and roles.
    let text = token.to_string();
    let payload = text.split('.').nth(1).ok_or(Unverified::Form)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Unverified::Form)?;
    serde_json::from_slice(&payload).map_err(|_| Unverified::Form)
}

fn chrono_of(at: Timestamp) -> Result<DateTime<Utc>, Unverified> {
    let nanosecond = at.subsec_nanosecond().try_into().unwrap_or_default();
    DateTime::from_timestamp(at.as_second(), nanosecond).ok_or(Unverified::Time)
}

fn made_in_time(issued: DateTime<Utc>, now: Timestamp) -> Result<(), String> {
    let issued = Timestamp::from_second(issued.timestamp()).map_err(|error| error.to_string())?;
    let age = now.duration_since(issued);
    if (-AHEAD..=OLD).contains(&age) {
        Ok(())
    } else {
        Err("made at another time".to_owned())
    }
}

fn unverified(error: &ClaimsVerificationError) -> Unverified {
    match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            Unverified::UnknownKey
        }
        ClaimsVerificationError::SignatureVerification(_) => Unverified::Signature,
        ClaimsVerificationError::InvalidIssuer(_) => Unverified::Issuer,
        ClaimsVerificationError::InvalidAudience(_) => Unverified::Audience,
        ClaimsVerificationError::Expired(_) => Unverified::Time,
        ClaimsVerificationError::InvalidNonce(_) => Unverified::Nonce,
        _ => Unverified::Form,
    }
}
