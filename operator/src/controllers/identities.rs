//! Identities: the CA in its Secret, and the certificates that it issues into Secrets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use springtide_runtime::authority::{Authority, AuthorityError, CERTIFICATE_VALIDITY};
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use springtide_runtime::probe::PROBE_KEY_FILE;

use crate::names::{BILLING_TLS_SECRET, CA_SECRET, NOT_AFTER_ANNOTATION};

use super::apply::{WriteError, apply, create};

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A Secret could not be read.
    #[error("Secret {name} could not be read")]
    Read {
        /// Which.
        name: String,
        /// What the client says.
        source: Box<kube::Error>,
    },
    /// A Secret could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Nothing could be issued.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The CA's Secret is not what we made.
    #[error("Secret {CA_SECRET} has no usable {0}; restore it, or delete it to begin with a new CA")]
    Incomplete(&'static str),
}

/// The installation's CA: made once; whoever is later than another reads what that one made.
pub async fn authority(client: &Client, namespace: &str, now: Timestamp) -> Result<Authority, IdentityError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if let Some(secret) = read(&secrets, CA_SECRET).await? {
        return from_secret(&secret);
    }
    let ca = Authority::generate(now)?;
    let data = [("ca.crt", ca.certificate.as_str()), ("ca.key", ca.key.as_str())];
    let secret = secret(
        namespace,
        CA_SECRET,
        "Opaque",
        data.map(|(key, text)| (key, text.as_bytes().to_vec())),
        ca.not_after,
    );
    if let Some(made) = create(&secrets, &secret).await? {
        return from_secret(&made);
    }
    let made = read(&secrets, CA_SECRET).await?;
    from_secret(&made.ok_or(IdentityError::Incomplete("content"))?)
}

/// Billing's identity in its Secret.
pub async fn billing(
    client: &Client,
    namespace: &str,
    authority: &Authority,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let identity = PeerIdentity::System(SystemRole::Billing);
    ensure(client, namespace, BILLING_TLS_SECRET, authority, &identity, now)
        .await
        .map(drop)
}

/// A certificate of `identity` in a Secret: issued if there is none of this CA, renewed at two thirds of its life. `true` if
/// it was written.
pub async fn ensure(
    client: &Client,
    namespace: &str,
    name: &str,
    authority: &Authority,
    identity: &PeerIdentity,
    now: Timestamp,
) -> Result<bool, IdentityError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if read(&secrets, name).await?.is_some_and(|secret| {
        is_current(&secret, authority, now) && has_probe_key(&secret, authority, identity)
    }) {
        return Ok(false);
    }
    let issued = authority.issue(identity, now)?;
    let data = [
        ("tls.crt", issued.certificate.as_str()),
        ("tls.key", issued.key.as_str()),
        ("ca.crt", authority.certificate()),
    ];
    let data = data.map(|(key, text)| (key, text.as_bytes().to_vec()));
    let mut secret = secret(namespace, name, "kubernetes.io/tls", data, issued.not_after);
    if let Some(key) = probe_key(authority, identity) {
        let data = secret.data.get_or_insert_default();
        data.insert(PROBE_KEY_FILE.to_owned(), ByteString(key));
    }
    apply(&secrets, &secret).await?;
    Ok(true)
}

/// What is in a Secret, if there is one.
pub async fn read(secrets: &Api<Secret>, name: &str) -> Result<Option<Secret>, IdentityError> {
    secrets.get_opt(name).await.map_err(|source| IdentityError::Read {
        name: name.to_owned(),
        source: Box::new(source),
    })
}

/// What a gateway knows the operator's probes by; other parts have none.
fn probe_key(authority: &Authority, identity: &PeerIdentity) -> Option<Vec<u8>> {
    let is_gateway = matches!(
        identity,
        PeerIdentity::Tenant {
            role: TenantRole::Gateway,
            ..
        }
    );
    is_gateway.then(|| authority.probe_key(identity).to_vec())
}

fn has_probe_key(secret: &Secret, authority: &Authority, identity: &PeerIdentity) -> bool {
    let known = secret.data.as_ref().and_then(|data| data.get(PROBE_KEY_FILE));
    known.map(|key| &key.0) == probe_key(authority, identity).as_ref()
}

fn is_current(secret: &Secret, authority: &Authority, now: Timestamp) -> bool {
    let same_ca = text(secret, "ca.crt").is_some_and(|certificate| certificate == authority.certificate());
    let not_after = secret
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(NOT_AFTER_ANNOTATION));
    let not_after = not_after.and_then(|text| text.parse::<Timestamp>().ok());
    same_ca && not_after.is_some_and(|not_after| not_after.duration_since(now) > CERTIFICATE_VALIDITY / 3)
}

fn from_secret(secret: &Secret) -> Result<Authority, IdentityError> {
    let certificate = text(secret, "ca.crt").ok_or(IdentityError::Incomplete("ca.crt"))?;
    let key = text(secret, "ca.key").ok_or(IdentityError::Incomplete("ca.key"))?;
    Ok(Authority::from_pem(certificate, key)?)
}

fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    std::str::from_utf8(&secret.data.as_ref()?.get(key)?.0).ok()
}

fn secret<const N: usize>(
    namespace: &str,
    name: &str,
    type_: &str,
    data: [(&str, Vec<u8>); N],
    not_after: Timestamp,
) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            annotations: Some(BTreeMap::from([(
                NOT_AFTER_ANNOTATION.to_owned(),
                not_after.to_string(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some(type_.to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, bytes)| (key.to_owned(), ByteString(bytes)))
                .collect(),
        ),
        ..Secret::default()
    }
}
